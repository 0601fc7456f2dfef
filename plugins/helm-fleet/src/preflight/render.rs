//! Renders the chart with each target's values, once per distinct set of them, and judges what comes out.

use super::{Problem, Subject, Target};
use crate::event::Action;
use crate::fleet::ServiceAccountOwner;
use crate::helm::process::Helm;
use crate::helm::redact::Redaction;
use crate::helm::{Request, template_arguments};
use crate::identity::{self, PLACEHOLDER_CLIENT_ID};
use crate::manifest::{Carrier, Manifests};
use crate::values::{Values, ValuesFile};
use aks_shared::interrupt::Interrupt;
use futures::{StreamExt, stream};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How many renderings at once; each is bound by the CPU.
const CONCURRENCY: usize = 4;
/// Bound on one rendering.
const DEADLINE: Duration = Duration::from_mins(5);

/// Renders and judges all targets that will need helm.
pub async fn check(
    subject: &Subject,
    targets: &[Target],
    helm: &Helm,
    interrupt: &Interrupt,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut groups: BTreeMap<String, (Values, String, Vec<&Target>)> = BTreeMap::new();
    let affected: Vec<&Target> = targets.iter().filter(|target| needs_helm(target)).collect();
    let versions: Vec<_> = affected
        .iter()
        .map(|target| target.cluster.client.apiserver_version())
        .collect();
    let versions: Vec<_> = stream::iter(versions)
        .buffered(super::CONCURRENCY)
        .collect()
        .await;
    for (target, version) in affected.into_iter().zip(versions) {
        let version = match version {
            Ok(version) => version.git_version,
            Err(error) => {
                problems.push(Problem::new(
                    &target.spec.name,
                    format!("its version cannot be read: {error}"),
                ));
                continue;
            }
        };
        match values_for_rendering(subject, target) {
            Ok(values) => {
                let key = format!("{} {version}", values.digest());
                groups
                    .entry(key)
                    .or_insert_with(|| (values, version, Vec::new()))
                    .2
                    .push(target);
            }
            Err(error) => {
                let causes = aks_shared::causes(&error);
                let what = std::iter::once(error.to_string())
                    .chain(causes)
                    .collect::<Vec<_>>()
                    .join(": ");
                problems.push(Problem::new(&target.spec.name, what));
            }
        }
    }
    let groups: Vec<_> = groups.into_values().collect();
    let renderings: Vec<_> = groups
        .iter()
        .map(|(values, version, _)| render(subject, values, version, helm, interrupt))
        .collect();
    let rendered: Vec<_> = stream::iter(renderings).buffered(CONCURRENCY).collect().await;
    for ((.., members), rendered) in groups.iter().zip(&rendered) {
        problems.extend(members.iter().flat_map(|target| judge(target, rendered)));
    }
    problems
}

/// Whether helm will run for a target.
pub const fn needs_helm(target: &Target) -> bool {
    matches!(target.action, Action::Install | Action::Upgrade)
}

fn values_for_rendering(subject: &Subject, target: &Target) -> Result<Values, crate::values::ValuesError> {
    let identities: Map<String, Value> = target
        .identities
        .iter()
        .map(|identity| (identity.name.clone(), identity::for_rendering(&identity.observed)))
        .collect();
    Values::of(
        &subject.fleet,
        &subject.base,
        &target.spec,
        &Value::Object(identities),
    )
}

async fn render(
    subject: &Subject,
    values: &Values,
    version: &str,
    helm: &Helm,
    interrupt: &Interrupt,
) -> Result<Manifests, String> {
    let overrides =
        write_overrides(&values.overrides).map_err(|error| format!("cannot write overrides: {error}"))?;
    let request = Request {
        release: &subject.fleet.release.name,
        namespace: &subject.fleet.release.namespace,
        chart: &subject.chart.path,
        files: &values.files,
        overrides: overrides.path(),
        settings: &subject.fleet.helm,
    };
    let arguments = template_arguments(&request, version);
    match helm
        .run(&arguments, DEADLINE, &redaction(&values.files), interrupt)
        .await
    {
        Ok(text) => Manifests::parse(&text).map_err(|error| {
            format!(
                "what the chart renders cannot be read: {error}: {}",
                aks_shared::causes(&error).join(": ")
            )
        }),
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

fn judge(target: &Target, rendered: &Result<Manifests, String>) -> Vec<Problem> {
    let manifests = match rendered {
        Ok(manifests) => manifests,
        Err(why) => return vec![Problem::new(&target.spec.name, why.clone())],
    };
    target
        .identities
        .iter()
        .filter_map(|identity| {
            let account = &identity.workload.account;
            let carrier = Carrier {
                account: &account.name,
                namespace: &account.namespace,
                client_id: PLACEHOLDER_CLIENT_ID,
                account_is_foreign: identity.account_owner == ServiceAccountOwner::Setup,
            };
            let obstacle = manifests.obstacle(&carrier)?;
            Some(Problem::new(
                &target.spec.name,
                format!("identity {}: {obstacle}", identity.name),
            ))
        })
        .collect()
}

/// Our overrides as a file that only its owner can read; it goes when the value is dropped.
pub fn write_overrides(overrides: &Value) -> io::Result<tempfile::NamedTempFile> {
    use io::Write;
    let mut file = tempfile::Builder::new()
        .prefix("helm-fleet-")
        .suffix(".json")
        .tempfile()?;
    file.write_all(overrides.to_string().as_bytes())?;
    file.flush()?;
    Ok(file)
}

/// What must not come out of helm's output again.
pub fn redaction(files: &[ValuesFile]) -> Redaction {
    let local = files.iter().filter_map(|file| match file {
        ValuesFile::Local { path, .. } => Some(path),
        ValuesFile::Remote(_) => None,
    });
    local.fold(Redaction::default(), |redaction, path: &PathBuf| {
        redaction.with_values(&read(path))
    })
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn overrides_are_json_for_their_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let file = write_overrides(&serde_json::json!({"a": "yes"})).unwrap();
        assert_eq!(read(file.path()), r#"{"a":"yes"}"#);
        assert_eq!(
            file.as_file().metadata().unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}
