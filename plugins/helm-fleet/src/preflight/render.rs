//! Renders the chart with each target's values, once per distinct set of them, and judges what comes out.

use super::{Problem, Subject, Target, adoption};
use crate::digest::Hasher;
use crate::error::line;
use crate::event::Action;
use crate::fleet::ReleaseSpec;
use crate::folder::RunFolder;
use crate::helm::process::Helm;
use crate::helm::redact::Redaction;
use crate::helm::{Request, template_arguments};
use crate::identity::PLACEHOLDER_CLIENT_ID;
use crate::manifest::{Carrier, Manifests};
use crate::release::Record;
use crate::values::{Values, ValuesFile, remote};
use aks_shared::identity::ServiceAccountRef;
use aks_shared::interrupt::Interrupt;
use futures::{StreamExt, stream};
use kube::{Client, Discovery};
use kubectl_wi_setup::{AccountOwner, ObservedAccount};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

/// How many renderings at once; each is bound by the CPU.
const CONCURRENCY: usize = 4;
/// Bound on one rendering.
const DEADLINE: Duration = Duration::from_mins(5);

/// What a rendering depends on besides its values.
pub(super) struct Server {
    version: String,
    apis: Vec<String>,
    has_release: bool,
}

/// A target that will need helm, and the server that its chart is rendered for.
pub(super) type Served<'a> = (&'a Target, Result<Server, kube::Error>);

/// Asks the servers of all targets that will need helm.
pub(super) async fn servers(targets: &[Target]) -> Vec<Served<'_>> {
    let affected = targets.iter().filter(|target| needs_helm(target));
    let questions: Vec<_> = affected
        .map(|target| async move { (target, Server::of(target).await) })
        .collect();
    stream::iter(questions)
        .buffered(super::CONCURRENCY)
        .collect()
        .await
}

/// Renders for all these servers, and judges what comes out.
pub(super) async fn check(
    subject: &Subject,
    servers: Vec<Served<'_>>,
    helm: &Helm,
    interrupt: &Interrupt,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut groups: BTreeMap<String, (&Values, Server, Vec<&Target>)> = BTreeMap::new();
    for (target, server) in servers {
        match (server, &target.values) {
            (Ok(server), Some(values)) => {
                let key = format!("{} {}", values.digest(), server.digest());
                let group = groups.entry(key);
                group
                    .or_insert_with(|| (values, server, Vec::new()))
                    .2
                    .push(target);
            }
            (Err(error), _) => {
                let what = format!("its version cannot be read: {error}");
                problems.push(Problem::new(&target.spec.name, what));
            }
            // It was not looked at, and so helm does not run for it.
            (Ok(_), None) => {}
        }
    }
    let groups: Vec<_> = groups.into_values().collect();
    let renderings: Vec<_> = groups
        .iter()
        .map(|(values, server, members)| {
            let records = members.iter().filter_map(|target| target.record.as_ref());
            let redaction = redaction(values, records);
            render(subject, values, server, helm, redaction, interrupt)
        })
        .collect();
    let rendered: Vec<_> = stream::iter(renderings).buffered(CONCURRENCY).collect().await;
    let release = &subject.fleet.release;
    let judgements: Vec<_> = groups
        .iter()
        .zip(&rendered)
        .flat_map(|((.., members), rendered)| members.iter().map(move |target| (*target, rendered)))
        .map(|(target, rendered)| judge(target, release, rendered))
        .collect();
    let judged: Vec<Vec<Problem>> = stream::iter(judgements)
        .buffered(super::CONCURRENCY)
        .collect()
        .await;
    problems.extend(judged.into_iter().flatten());
    problems
}

impl Server {
    async fn of(target: &Target) -> Result<Self, kube::Error> {
        let client = &target.cluster.client;
        let (version, apis) = futures::join!(client.apiserver_version(), apis(client));
        Ok(Self {
            version: version?.git_version,
            apis,
            has_release: target.record.is_some(),
        })
    }

    /// Equal for servers that one rendering can stand for.
    fn digest(&self) -> String {
        let apis = Hasher::new("apis").bytes("apis", self.apis.join("\n").as_bytes());
        format!("{} {} {}", self.version, self.has_release, apis.hex())
    }
}

/// The versions and kinds that a cluster serves, as charts ask for them: `apps/v1` and `apps/v1/Deployment`. None where
/// the API server is too old to list them at once: then charts see what their helm knows.
async fn apis(client: &Client) -> Vec<String> {
    let Ok(discovery) = Discovery::new(client.clone()).run_aggregated().await else {
        return Vec::new();
    };
    let mut served = BTreeSet::new();
    for group in discovery.groups() {
        for version in group.versions() {
            for (resource, _) in group.versioned_resources(version) {
                served.insert(format!("{}/{}", resource.api_version, resource.kind));
                served.insert(resource.api_version);
            }
        }
    }
    served.into_iter().collect()
}

/// Whether helm will run for a target.
pub const fn needs_helm(target: &Target) -> bool {
    matches!(target.action, Action::Install | Action::Upgrade)
}

async fn render(
    subject: &Subject,
    values: &Values,
    server: &Server,
    helm: &Helm,
    redaction: Redaction,
    interrupt: &Interrupt,
) -> Result<Manifests, String> {
    let overrides = write_overrides(&subject.folder, &values.overrides)
        .map_err(|error| format!("cannot write overrides: {error}"))?;
    let request = Request {
        release: &subject.fleet.release.name,
        namespace: &subject.fleet.release.namespace,
        chart: &subject.chart.path,
        files: &values.files,
        overrides: overrides.path(),
        settings: &subject.fleet.helm,
    };
    let arguments = template_arguments(&request, &server.version, &server.apis, server.has_release);
    match helm.run(&arguments, DEADLINE, &redaction, interrupt).await {
        Ok(text) => Manifests::parse(&text)
            .map_err(|error| format!("what the chart renders cannot be read: {}", line(&error))),
        Err(error) => {
            let output = error
                .output()
                .unwrap_or_default()
                .lines()
                .collect::<Vec<_>>()
                .join(" ");
            let separator = if output.is_empty() { "" } else { ": " };
            Err(format!(
                "the chart does not render with its values: {error}{separator}{output}"
            ))
        }
    }
}

/// What forbids a target, by what was rendered for it and by what its cluster has already.
async fn judge(target: &Target, release: &ReleaseSpec, rendered: &Result<Manifests, String>) -> Vec<Problem> {
    match rendered {
        Ok(manifests) => {
            let mut problems = unfit_identities(target, &release.name, manifests);
            problems.extend(adoption::problems(target, release, manifests).await);
            problems
        }
        Err(why) => vec![Problem::new(&target.spec.name, why.clone())],
    }
}

/// The identities of a target that what was rendered does not carry to a pod.
fn unfit_identities(target: &Target, release: &str, manifests: &Manifests) -> Vec<Problem> {
    target
        .identities
        .iter()
        .filter_map(|identity| {
            let account = &identity.workload.account;
            let carrier = Carrier {
                account: &account.name,
                namespace: &account.namespace,
                client_id: PLACEHOLDER_CLIENT_ID,
                account_is_foreign: identity.workload.account_owner == AccountOwner::Setup,
            };
            let obstacle = manifests.obstacle(&carrier).or_else(|| {
                let found = identity.observed.account.as_ref();
                unadoptable(account, found, release, target.record.as_ref(), manifests)
            })?;
            Some(Problem::new(
                &target.spec.name,
                format!("identity {}: {obstacle}", identity.name),
            ))
        })
        .collect()
}

/// Why Helm would stop at a service account that is there already: it takes nothing over that another made.
/// What the release has now, Helm updates whatever its marks.
fn unadoptable(
    account: &ServiceAccountRef,
    found: Option<&ObservedAccount>,
    release: &str,
    record: Option<&Record>,
    rendered: &Manifests,
) -> Option<String> {
    let found = found?;
    let has_it = |manifests: &Manifests| manifests.has_account(&account.name, &account.namespace);
    if !has_it(rendered) {
        return None;
    }
    let ours = format!("{}/{release}", account.namespace);
    let owner = match found.helm_release.as_deref() {
        Some(owner) if owner == ours => return None,
        Some(owner) => format!("is owned by release {owner}"),
        None => "has no release as its owner".to_owned(),
    };
    let deployed = record.and_then(|record| Manifests::parse(&record.manifest).ok());
    if deployed.as_ref().is_some_and(has_it) {
        return None;
    }
    Some(format!(
        "service account {account} exists and {owner}, so helm will not adopt it: let the chart render none, or \
         mark it for release {ours} by Helm's label and annotations"
    ))
}

/// Our overrides as a file of the run's folder that only its owner can read; it goes when the value is dropped.
pub fn write_overrides(folder: &RunFolder, overrides: &Value) -> io::Result<tempfile::NamedTempFile> {
    use io::Write;
    let mut file = tempfile::Builder::new()
        .prefix("overrides-")
        .suffix(".json")
        .tempfile_in(folder.path())?;
    file.write_all(overrides.to_string().as_bytes())?;
    file.flush()?;
    Ok(file)
}

/// What must not come out of helm's output or the pods' again: secrets of the new values and of those that the
/// records have.
pub fn redaction<'a>(values: &Values, records: impl IntoIterator<Item = &'a Record>) -> Redaction {
    let known = values
        .files
        .iter()
        .fold(Redaction::default(), |redaction, file| match file {
            ValuesFile::Local { path, .. } => match std::fs::read_to_string(path) {
                Ok(text) => redaction.with_file(&text),
                Err(_) => redaction.blind(),
            },
            ValuesFile::Remote { content: None, .. } => redaction.blind(),
            ValuesFile::Remote {
                address,
                content: Some(content),
            } if remote::is_secret(address) => redaction.with_secrets(content.values()),
            ValuesFile::Remote {
                content: Some(content),
                ..
            } => redaction.with_values(content.values()),
        });
    records
        .into_iter()
        .fold(known.with_values(&values.overrides), |redaction, record| {
            redaction.with_values(&record.config)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_of_somebody_else_is_not_for_helm_to_adopt() {
        let account = ServiceAccountRef::new("shop", "orders").unwrap();
        let text = "kind: ServiceAccount\nmetadata: {name: orders}\n";
        let rendered = Manifests::parse(text).unwrap();
        let nothing = Manifests::default();
        let owned_by = |release: Option<&str>| ObservedAccount {
            helm_release: release.map(str::to_owned),
            ..ObservedAccount::default()
        };
        let (by_hand, other, ours) = (
            owned_by(None),
            owned_by(Some("shop/other")),
            owned_by(Some("shop/orders")),
        );
        let without = Record::sample(1, "deployed", Value::Null, []);
        let mut with = without.clone();
        text.clone_into(&mut with.manifest);
        let judge = |found, deployed, rendered| unadoptable(&account, found, "orders", deployed, rendered);
        assert!(judge(Some(&by_hand), None, &rendered).is_some());
        assert!(judge(Some(&by_hand), Some(&without), &rendered).is_some());
        assert!(judge(Some(&other), None, &rendered).is_some());
        assert!(judge(Some(&ours), None, &rendered).is_none());
        assert!(judge(Some(&by_hand), Some(&with), &rendered).is_none());
        assert!(judge(Some(&by_hand), None, &nothing).is_none());
        assert!(judge(None, None, &rendered).is_none());
    }

    #[test]
    fn overrides_and_what_is_stored_are_redacted_and_an_unread_file_withholds_all() {
        let mut values = Values {
            files: Vec::new(),
            overrides: serde_json::json!({"apiKey": "canary-new"}),
            kept: Vec::new(),
        };
        let stored = serde_json::json!({"db": {"password": "canary-old"}});
        let record = Record::sample(3, "deployed", stored, []);
        let text = "canary-new canary-old";
        assert_eq!(redaction(&values, [&record]).apply(text), "[redacted] [redacted]");
        let content = remote::RemoteContent::new(serde_json::json!({"host": "canary-hidden"}));
        values.files.push(ValuesFile::Remote {
            address: "secrets://x".to_owned(),
            content: Some(content),
        });
        assert_eq!(redaction(&values, []).apply("at canary-hidden"), "at [redacted]");
        values.files.push(ValuesFile::Local {
            path: "absent".into(),
            digest: String::new(),
        });
        assert!(!redaction(&values, []).apply("canary-file").contains("canary"));
    }

    #[test]
    #[cfg(unix)]
    fn overrides_are_json_for_their_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = RunFolder::create().unwrap();
        let file = write_overrides(&folder, &serde_json::json!({"a": "yes"})).unwrap();
        assert_eq!(file.path().parent(), Some(folder.path()));
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), r#"{"a":"yes"}"#);
        assert_eq!(
            file.as_file().metadata().unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}
