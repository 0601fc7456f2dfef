//! From the flags to what a command is about: the fleet, by its file or by the command line, and all that it names.

use crate::again;
use crate::chart::Chart;
use crate::cli::{FleetArgs, InlineArgs};
use crate::discover;
use crate::fleet::selector::SelectorError;
use crate::fleet::{ClusterSpec, Fleet, FleetText};
use crate::folder::RunFolder;
use crate::helm::process::Helm;
use crate::preflight::Subject;
use crate::preflight::loss::OnValueLoss;
use crate::reach::{self, TokenFile};
use crate::targets::{self, Selection, Stage, TargetError};
use crate::validate::check_templates;
use crate::values::files::ValuesFiles;
use crate::values::{Values, ValuesFile, remote};
use aks_shared::args::{AzureArgs, KubeArgs};
use aks_shared::azure::Azure;
use aks_shared::cluster::Connection;
use aks_shared::env::Env;
use aks_shared::kubeconfig::Kubeconfig;
use aks_shared::trust::TrustedRoots;
use aks_shared::{ExitStatus, Failure, Session};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A fleet and the text that it was read from, if it was.
pub(crate) struct Inputs {
    pub(crate) fleet: Fleet,
    pub(crate) text: Option<FleetText>,
}

impl FleetArgs {
    /// The fleet that the flags name or describe.
    pub(crate) fn read(&self, env: &Env) -> Result<Inputs, Failure> {
        if let (Some(release), None) = (&self.inline.release, &self.inline.chart) {
            let what = format!("release {release} is named without its chart, which this command reads");
            return Err(Failure::usage(what).hint("name the chart after the release: RELEASE CHART"));
        }
        self.read_release(env)
    }

    /// The same for a command that wants to know which release it is and on which clusters, and no more.
    pub(crate) fn read_release(&self, env: &Env) -> Result<Inputs, Failure> {
        if let Some(release) = &self.inline.release {
            let chart = self.inline.chart.as_deref().unwrap_or_default();
            let fleet = self.inline.fleet(release, chart, env)?;
            return Ok(Inputs { fleet, text: None });
        }
        let text = FleetText::read(&self.file)?;
        let fleet = text.fleet()?;
        let text = Some(text);
        Ok(Inputs { fleet, text })
    }

    /// The folder that the fleet's paths start from.
    pub(crate) fn folder(&self) -> PathBuf {
        match self.file.parent() {
            Some(parent) if self.inline.release.is_none() && !parent.as_os_str().is_empty() => {
                parent.to_owned()
            }
            _ => PathBuf::from("."),
        }
    }

    /// The part of the fleet that the flags select.
    pub(crate) fn selection(&self, kube: &KubeArgs) -> Result<Selection, Failure> {
        let selector = self.part.selector.as_deref().unwrap_or_default().parse();
        let selector =
            selector.map_err(|error: SelectorError| Failure::from_error(ExitStatus::Usage, &error))?;
        Ok(Selection {
            clusters: self.part.cluster.clone(),
            contexts: kube.context.clone(),
            selector,
            stage: self.part.stage.clone(),
            skip: self.part.skip.clone(),
        })
    }
}

impl InlineArgs {
    /// The fleet that the command line describes: one stage, on the contexts that it selects.
    fn fleet(&self, release: &str, chart: &str, env: &Env) -> Result<Fleet, Failure> {
        let set = self.set.iter().flat_map(|pair| ["--set", pair.as_str()]);
        let document = json!({
            "apiVersion": "helmfleet/v1alpha1",
            "kind": "Fleet",
            "release": {
                "name": release,
                "namespace": namespace(self.namespace.as_ref(), env),
                "createNamespace": self.create_namespace,
            },
            "chart": {"ref": chart, "repo": self.repo, "version": self.chart_version},
            "helm": {"args": set.collect::<Vec<_>>()},
            "values": self.values,
            "rollout": {"stages": [{"name": "all", "maxConcurrency": self.max_concurrency.as_deref().unwrap_or("100%")}]},
        });
        let fleet: Fleet = serde_json::from_value(document)
            .map_err(|error| Failure::usage("the flags describe no fleet").caused_by(&error))?;
        match fleet.problems() {
            problems if problems.is_empty() => Ok(fleet),
            problems => Err(Failure::usage("the flags describe no fleet").with_causes(problems)),
        }
    }
}

/// The namespace of a release that no file names. Helm hands its own `-n` over by the environment.
pub(crate) fn namespace(flag: Option<&String>, env: &Env) -> String {
    let named = flag.cloned().or_else(|| env.get("HELM_NAMESPACE"));
    named.unwrap_or_else(|| "default".to_owned())
}

/// What a command wants to know of clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Everything, and so Azure is asked of identities and pinned clusters.
    All,
    /// Releases; nobody signs in to Azure unless clusters are reached by it.
    Releases,
}

/// Where the inputs of a command come from.
pub(crate) struct Source<'a> {
    pub(crate) interest: Interest,
    pub(crate) args: &'a FleetArgs,
    pub(crate) kube: &'a KubeArgs,
    pub(crate) azure: &'a AzureArgs,
    pub(crate) helm_bin: Option<&'a PathBuf>,
    pub(crate) on_value_loss: OnValueLoss,
    pub(crate) recover_pending: Duration,
}

/// The clusters of a fleet and how they are reached, whatever is rolled out there.
pub(crate) struct Reached {
    pub(crate) clusters: Vec<ClusterSpec>,
    pub(crate) kubeconfig: Kubeconfig,
    pub(crate) connection: Connection,
    stages: Vec<Stage>,
    folder: Arc<RunFolder>,
    azure: Option<Azure>,
    /// Its end is the end of what it keeps valid.
    token: Option<TokenFile>,
}

/// Finds the clusters of a fleet and the ways to them; looks at none.
pub(crate) async fn reached(
    Inputs { fleet, text }: &Inputs,
    source: &Source<'_>,
    session: &Session,
) -> Result<Reached, Failure> {
    let (ui, env) = (&session.ui, &session.env);
    check_driver(env)?;
    let selection = source.args.selection(source.kube)?;
    let mut kubeconfig = Kubeconfig::load(source.kube.kubeconfig.as_deref(), env)?;
    let is_pinned = |cluster: &ClusterSpec| cluster.id.is_some();
    let is_azures = !fleet.identities.is_empty() || fleet.clusters.iter().any(is_pinned);
    let needs_azure = (source.interest == Interest::All && is_azures)
        || fleet.discover.azure.is_some()
        || reach::needs_azure(&fleet.clusters, source.args.kube_auth);
    let azure = if needs_azure {
        Some(Azure::connect(source.azure, env).await?)
    } else {
        None
    };
    let mut found = Vec::new();
    if let Some(azure) = &azure {
        let (cloud, principal) = (&azure.cloud.name, &azure.principal);
        ui.detail(&format!("signed in to {cloud} as {principal}"));
        found = discover::from_azure(&fleet.discover, azure).await?;
    }
    let clusters = targets::clusters(fleet, &selection, &kubeconfig.contexts(), found)
        .map_err(|error| unfound(error, text.as_ref()))?;
    let (mut clusters, stages) = targets::select(clusters, fleet.rollout.as_ref(), &selection)?;
    let folder = Arc::new(RunFolder::create().map_err(|error| unkept(&error))?);
    let token = match &azure {
        Some(azure) => {
            let auth = source.args.kube_auth;
            reach::prepare(azure, &mut clusters, &mut kubeconfig, &folder, auth).await?
        }
        None => None,
    };
    let connection = Connection::new(source.kube, roots(source.azure, env, azure.as_ref())?, env);
    Ok(Reached {
        clusters,
        kubeconfig,
        connection,
        stages,
        folder,
        azure,
        token,
    })
}

/// Loads all that a fleet names; looks at no cluster.
pub(crate) async fn subject(
    inputs: Inputs,
    source: &Source<'_>,
    session: &Session,
) -> Result<Subject, Failure> {
    let env = &session.env;
    let base = source.args.folder();
    let reached = reached(&inputs, source, session).await?;
    let folder = reached.folder;
    let Inputs { fleet, text } = inputs;
    let files = Arc::new(ValuesFiles::kept_in(&base, Arc::clone(&folder)));
    let values = check_templates(&fleet, text.as_ref(), &files, &reached.clusters)?;
    let helm = async || {
        // Neither pulling a chart nor reading values asks a cluster.
        let nowhere = Path::new(NO_KUBECONFIG).to_owned();
        Helm::find(source.helm_bin, env, nowhere, &session.interrupt).await
    };
    let addresses = addresses(values);
    if !addresses.is_empty() {
        let helm = helm().await?;
        for address in addresses {
            let content = remote::read(&address, &helm, &folder, &session.interrupt).await;
            let content = content.map_err(|error| {
                Failure::from_error(ExitStatus::Refused, &error).hint(format!(
                    "try what helm says: helm template x CHART --values {address}"
                ))
            })?;
            files.learn(&address, content);
        }
    }
    let chart = Chart::keep(&fleet.chart, &base, &folder, helm, &session.interrupt).await?;
    let unlock = again::command("unlock", source.args, source.kube, &fleet.release.namespace);
    Ok(Subject {
        run: String::new(),
        fleet,
        base,
        files,
        chart,
        clusters: reached.clusters,
        stages: reached.stages,
        kubeconfig: reached.kubeconfig,
        folder,
        connection: reached.connection,
        on_value_loss: source.on_value_loss,
        recover_pending: source.recover_pending,
        unlock,
        azure: reached.azure,
        token: reached.token.map(Arc::new),
    })
}

/// Why there are no clusters; what the file names in vain is told by its place there.
pub(crate) fn unfound(error: TargetError, text: Option<&FleetText>) -> Failure {
    let missing = match (&error, text) {
        (TargetError::UnknownContexts { missing, .. }, Some(text)) => {
            missing.iter().map(|missing| text.placed(missing)).collect()
        }
        _ => return error.into(),
    };
    Failure {
        causes: missing,
        ..Failure::from(error)
    }
}

/// The values files of all clusters that helm reads itself, each once.
fn addresses(values: Vec<Values>) -> BTreeSet<String> {
    let named = values.into_iter().flat_map(|values| values.files);
    named
        .filter_map(|file| match file {
            ValuesFile::Remote { address, .. } => Some(address),
            ValuesFile::Local { .. } => None,
        })
        .collect()
}

/// A kubeconfig that names no cluster.
const NO_KUBECONFIG: &str = if cfg!(windows) { "NUL" } else { "/dev/null" };

fn roots(args: &AzureArgs, env: &Env, azure: Option<&Azure>) -> Result<TrustedRoots, Failure> {
    if let Some(azure) = azure {
        return Ok(azure.roots.clone());
    }
    TrustedRoots::configured(args, env).map_err(|error| Failure::from_error(ExitStatus::Usage, &error))
}

/// Releases are read from Secrets, so helm must write them there.
fn check_driver(env: &Env) -> Result<(), Failure> {
    let driver = env.get("HELM_DRIVER").unwrap_or_default();
    if matches!(driver.as_str(), "" | "secret" | "secrets") {
        return Ok(());
    }
    Err(Failure::refused(format!(
        "HELM_DRIVER is {driver:?}; only releases in Secrets are supported"
    ))
    .hint("unset HELM_DRIVER"))
}

pub(crate) fn unkept(error: &std::io::Error) -> Failure {
    Failure::refused("what helm is to read cannot be kept in a temporary folder; nothing was touched")
        .caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::ReadArgs;
    use crate::fleet::amount::Amount;
    use clap::Parser;

    #[test]
    fn the_command_line_describes_a_fleet() {
        let inline = InlineArgs {
            set: vec!["a=1".to_owned(), "b=2".to_owned()],
            values: vec!["v.yaml".to_owned()],
            max_concurrency: Some("5".to_owned()),
            ..InlineArgs::default()
        };
        let env = Env::of([("HELM_NAMESPACE", "shop")]);
        let fleet = inline.fleet("orders", "./chart", &env).unwrap();
        assert_eq!(
            (fleet.release.name.as_str(), fleet.release.namespace.as_str()),
            ("orders", "shop")
        );
        assert_eq!(fleet.helm.args, ["--set", "a=1", "--set", "b=2"]);
        assert_eq!(fleet.values[0].file, "v.yaml");
        let stage = &fleet.rollout.unwrap().stages[0];
        assert_eq!(stage.max_concurrency, Amount::Count(5));
    }

    #[test]
    fn what_the_command_line_says_is_checked() {
        let wrong = InlineArgs {
            max_concurrency: Some("many".to_owned()),
            ..InlineArgs::default()
        };
        let env = Env::of::<&str, &str>([]);
        assert_eq!(
            wrong.fleet("orders", "x", &env).unwrap_err().status,
            ExitStatus::Usage
        );
        let failure = InlineArgs::default().fleet("Orders", "x", &env).unwrap_err();
        assert!(
            failure.causes[0].starts_with("release.name: "),
            "{:?}",
            failure.causes
        );
    }

    #[test]
    fn a_release_may_be_named_without_its_chart_where_nobody_reads_that() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            read: ReadArgs,
        }
        let line = Line::try_parse_from(["x", "orders", "--context", "a"]).unwrap();
        let (fleet, env) = (&line.read.fleet, Env::of::<&str, &str>([]));
        assert!(fleet.read_release(&env).is_ok());
        let refused = fleet.read(&env).map(drop).unwrap_err();
        assert_eq!(refused.status, ExitStatus::Usage);
        assert!(refused.message.contains("without its chart"), "{refused:?}");
    }
}
