//! `--interactive`: asks for what the flags leave open, with what the cluster and Azure have to offer, and knows the
//! command that would have needed no question. It reads only; of secrets it sees names.

use crate::AccountOwner;
use crate::args::SetupArgs;
use aks_shared::azure::arm::Vault;
use aks_shared::azure::{ArmError, Azure};
use aks_shared::cluster::{Cluster, ClusterError, Connection};
use aks_shared::identity::{SecretRef, ServiceAccountRef};
use aks_shared::kubeconfig::Kubeconfig;
use aks_shared::ui::Ui;
use aks_shared::{ExitStatus, Failure, Session};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::ListParams;
use kube::{Api, ResourceExt};

/// The last entry of a list that need not be complete.
const OTHER: &str = "another one …";

/// The questions were answered.
#[derive(Debug)]
pub(crate) struct Answered {
    /// The flags with the answers in them.
    pub(crate) args: SetupArgs,
    /// The flags that say the same as the answers.
    flags: Vec<String>,
}

impl Answered {
    /// The command that would not have asked, from the words of the one that did.
    pub(crate) fn command(&self, given: impl IntoIterator<Item = String>) -> String {
        let mut words: Vec<String> = given.into_iter().filter(|word| word != "--interactive").collect();
        // The front is told which command it is; the command's own program is not.
        if words.first().is_some_and(|word| word == "setup") {
            words.remove(0);
        }
        words.extend(self.flags.iter().cloned());
        words.push("--yes".to_owned());
        format!("kubectl wi setup {}", shell_words::join(words))
    }

    fn flag(&mut self, name: &str, value: &str) {
        self.flags.extend([name.to_owned(), value.to_owned()]);
    }
}

/// Asks for context, namespace, account and secrets, each only when no flag names it.
pub(crate) async fn complete(
    args: SetupArgs,
    azure: &Azure,
    kubeconfig: &Kubeconfig,
    session: &Session,
) -> Result<Answered, Failure> {
    let ui = &session.ui;
    let mut answered = Answered {
        args,
        flags: Vec::new(),
    };
    ask_context(&mut answered, kubeconfig, ui).await?;
    let contexts = kubeconfig.select(&answered.args.kube.context)?;
    let Some(context) = contexts.first() else {
        return Err(Failure::usage("the kubeconfig has no context"));
    };
    // Several contexts were chosen by a glob: the first one stands for them in the questions to come.
    let connection = Connection::new(&answered.args.kube, azure.roots.clone(), &session.env);
    let cluster = Cluster::connect(kubeconfig, context, &connection)
        .await
        .map_err(crate::SetupError::from)?;
    let namespace = ask_namespace(&mut answered, &cluster, ui).await?;
    ask_account(&mut answered, &cluster, &namespace, ui).await?;
    if answered.args.workload.secret.is_empty() {
        ask_secrets(&mut answered, azure, ui).await?;
    }
    Ok(answered)
}

fn left() -> Failure {
    Failure::usage("a question was not answered; nothing was changed")
}

async fn ask_context(answered: &mut Answered, kubeconfig: &Kubeconfig, ui: &Ui) -> Result<(), Failure> {
    let contexts = kubeconfig.contexts();
    if !answered.args.kube.context.is_empty() || contexts.is_empty() {
        return Ok(());
    }
    let current = kubeconfig.file().current_context.as_deref();
    let first = contexts.iter().position(|one| Some(one.as_str()) == current);
    let chosen = match contexts.as_slice() {
        [_] => 0,
        several => {
            let answer = ui
                .choose("Which cluster", several, first.unwrap_or_default())
                .await;
            answer.ok_or_else(left)?
        }
    };
    answered.flag("--context", &contexts[chosen]);
    answered.args.kube.context = vec![contexts[chosen].clone()];
    Ok(())
}

async fn ask_namespace(answered: &mut Answered, cluster: &Cluster, ui: &Ui) -> Result<String, Failure> {
    if let Some(given) = &answered.args.workload.namespace {
        return Ok(given.clone());
    }
    let all: Api<Namespace> = Api::all(cluster.client.clone());
    // Who may not list namespaces knows the one to work in.
    let listed = all.list(&ListParams::default()).await;
    let names = listed.map(|found| found.items.iter().map(ResourceExt::name_any).collect());
    let mut names: Vec<String> = names.unwrap_or_default();
    names.retain(|name| !name.starts_with("kube-"));
    let first = names.iter().position(|name| *name == cluster.namespace);
    let name = one_of("Which namespace", names, first.unwrap_or_default(), ui).await?;
    answered.flag("--namespace", &name);
    answered.args.workload.namespace = Some(name.clone());
    Ok(name)
}

async fn ask_account(
    answered: &mut Answered,
    cluster: &Cluster,
    namespace: &str,
    ui: &Ui,
) -> Result<(), Failure> {
    if answered.args.workload.service_account.is_none() {
        let api: Api<ServiceAccount> = in_namespace(cluster, namespace);
        let listed = api.list(&ListParams::default()).await;
        let names = listed.map(|found| found.items.iter().map(ResourceExt::name_any).collect());
        let name = one_of("Which service account", names.unwrap_or_default(), 0, ui).await?;
        answered.flag("--service-account", &name);
        answered.args.workload.service_account = Some(name);
    }
    let workload = &answered.args.workload;
    if workload.service_account_owner != AccountOwner::Auto || workload.helm_release.is_some() {
        return Ok(());
    }
    let name = workload.service_account.clone().unwrap_or_default();
    let account = ServiceAccountRef::new(namespace, name)
        .map_err(|error| Failure::from_error(ExitStatus::Usage, &error))?;
    let existing: Result<Option<ServiceAccount>, ClusterError> = cluster.service_account(&account).await;
    if !matches!(existing, Ok(None)) {
        return Ok(());
    }
    let makers = [
        "setup, now",
        "setup, now, so that a Helm release adopts it",
        "the chart, later",
    ];
    let question = format!("Service account {account} does not exist; who makes it");
    let makers = makers.map(str::to_owned);
    match ui.choose(&question, &makers, 0).await.ok_or_else(left)? {
        0 => {
            answered.flag("--service-account-owner", "setup");
            answered.args.workload.service_account_owner = AccountOwner::Setup;
        }
        1 => {
            let release = ui.ask("Which release").await.ok_or_else(left)?;
            answered.flag("--helm-release", &release);
            answered.args.workload.helm_release = Some(release);
        }
        _ => {
            answered.flag("--service-account-owner", "chart");
            answered.args.workload.service_account_owner = AccountOwner::Chart;
        }
    }
    Ok(())
}

async fn ask_secrets(answered: &mut Answered, azure: &Azure, ui: &Ui) -> Result<(), Failure> {
    let mut vaults = vaults(azure).await.unwrap_or_default();
    vaults.sort_by(|one, other| one.name.cmp(&other.name));
    let mut items: Vec<String> = vaults.iter().map(described).collect();
    let (other, none) = (items.len(), items.len() + 1);
    items.extend([OTHER.to_owned(), "none: the identity reads no secret".to_owned()]);
    let chosen = ui
        .choose("Secrets of which vault", &items, 0)
        .await
        .ok_or_else(left)?;
    if chosen == none {
        return Ok(());
    }
    let (vault, names) = if chosen == other {
        let named = ui.ask("The vault's name or ARM id").await.ok_or_else(left)?;
        (named, Vec::new())
    } else {
        let vault = &vaults[chosen];
        // Who may grant roles may not be allowed to list secrets.
        let names = azure.arm.secret_names(&vault.id).await;
        (vault.name.clone(), names.unwrap_or_default())
    };
    let names: Vec<String> = if names.is_empty() {
        let text = ui.ask("Names of the secrets, separated by commas").await;
        let text = text.ok_or_else(left)?;
        text.split(',').map(|name| name.trim().to_owned()).collect()
    } else {
        let marked = ui.choose_many("Which secrets", &names).await.ok_or_else(left)?;
        marked.into_iter().map(|index| names[index].clone()).collect()
    };
    for name in names {
        let text = format!("{vault}/{name}");
        let secret: SecretRef = text
            .parse()
            .map_err(|error| Failure::from_error(ExitStatus::Usage, &error))?;
        answered.flag("--secret", &text);
        answered.args.workload.secret.push(secret);
    }
    Ok(())
}

/// The vaults that the principal may read.
async fn vaults(azure: &Azure) -> Result<Vec<Vault>, ArmError> {
    let subscriptions = azure.arm.readable(&azure.subscriptions).await?;
    let lists = subscriptions
        .iter()
        .map(|subscription| azure.arm.vaults(subscription));
    let lists = futures::future::try_join_all(lists).await?;
    Ok(lists.into_iter().flatten().collect())
}

fn described(vault: &Vault) -> String {
    let model = if vault.uses_roles {
        "roles"
    } else {
        "access policies"
    };
    format!("{} ({}, {model})", vault.name, vault.location)
}

/// One of the names that were found, or one that is typed.
async fn one_of(question: &str, mut names: Vec<String>, first: usize, ui: &Ui) -> Result<String, Failure> {
    if names.is_empty() {
        return ui.ask(question).await.ok_or_else(left);
    }
    names.push(OTHER.to_owned());
    let chosen = ui.choose(question, &names, first).await.ok_or_else(left)?;
    if chosen + 1 == names.len() {
        return ui.ask("Its name").await.ok_or_else(left);
    }
    Ok(names.swap_remove(chosen))
}

fn in_namespace<K>(cluster: &Cluster, namespace: &str) -> Api<K>
where
    K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    Api::namespaced(cluster.client.clone(), namespace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SetupCli;
    use clap::Parser;

    fn answered(flags: &[(&str, &str)]) -> Answered {
        let cli = SetupCli::try_parse_from(["setup", "--interactive"]).unwrap();
        let mut answered = Answered {
            args: cli.setup,
            flags: Vec::new(),
        };
        for (name, value) in flags {
            answered.flag(name, value);
        }
        answered
    }

    fn command(given: &[&str], flags: &[(&str, &str)]) -> String {
        answered(flags).command(given.iter().map(ToString::to_string))
    }

    #[test]
    fn the_command_is_what_was_given_and_what_was_answered() {
        let answers = [("--context", "aks weu-1"), ("--secret", "kv-central/db-password")];
        let expected = "kubectl wi setup -n shop --tag 'a=b c' --context 'aks weu-1' --secret kv-central/db-password --yes";
        for given in [
            &["setup", "-n", "shop", "--interactive", "--tag", "a=b c"][..],
            &["-n", "shop", "--tag", "a=b c", "--interactive"],
        ] {
            assert_eq!(command(given, &answers), expected);
        }
    }

    #[test]
    fn the_command_is_one_that_needs_no_question() {
        let line = command(&["setup", "--interactive"], &[("--service-account", "orders")]);
        let words = shell_words::split(&line).unwrap();
        let words = words.iter().skip(2);
        assert!(SetupCli::try_parse_from(words).is_ok(), "{line}");
    }
}
