//! The steps of the demo, and what must be true after each.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use super::folder;
use super::shell::{Shell, ShellError};
use crate::azure::Access;
use crate::files::{self, FileError};
use crate::operator::{Operator, OperatorError};
use crate::output::talk;
use crate::programs;
use crate::spec::Spec;
use crate::state::StateDir;

/// Why the demo is no success.
#[derive(Debug, thiserror::Error)]
pub(super) enum JobError {
    /// A command ended otherwise than it should.
    #[error(transparent)]
    Shell(#[from] ShellError),
    /// A command or a report says something else than it should.
    #[error("{what}: {why}")]
    Unexpected {
        /// Which step or file.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// A file failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The simulated Azure refused a change by hand.
    #[error(transparent)]
    Operator(#[from] OperatorError),
}

const NAMESPACE: &str = "shop";
const ACCOUNT: &str = "orders";
const SECRET: &str = "kv-central/db-password";
const IDENTITY_API: &str = "2024-11-30";

/// Runs all steps on a sandbox that is up.
pub(super) fn run(state: &StateDir, spec: &Spec) -> Result<(), JobError> {
    let started = Instant::now();
    let folder = folder();
    lay_out(state, &folder)?;
    let shell = Shell {
        state,
        spec,
        folder: folder.join("work"),
    };
    let canary = spec.clusters[0].name.as_str();
    let upgrade = "helm fleet upgrade -f helm-fleet.yaml --yes";
    let verify = format!(
        "kubectl wi verify --context {canary} -n {NAMESPACE} --service-account {ACCOUNT} --secret {SECRET}"
    );

    heading("1. The job: an identity on each cluster, the chart in two stages, proof, report");
    shell.run(upgrade, 0)?;
    let first = read_report(&folder.join("report.json"), spec)?;
    must_be_proven(&first)?;

    heading("2. The proof by hand, on one cluster");
    shell.run(&verify, 0)?;

    heading("3. Again: nothing to do");
    let again = shell.run(&format!("{upgrade} --report-dir ../again"), 0)?;
    must_say("the second upgrade", &again, &["nothing to do"])?;
    if revisions(&first) != revisions(&read_report(&folder.join("again/report.json"), spec)?) {
        return Err(unexpected("the second upgrade", "it made new revisions"));
    }

    heading("4. A deliberate break: on one cluster the federated credential trusts another subject");
    let wrong = format!("system:serviceaccount:{NAMESPACE}:someone-else");
    break_subject(
        &Operator::sign_in(state, &Access::of_spec(spec))?,
        &first,
        canary,
        &wrong,
    )?;
    let broken = shell.run(&verify, 1)?;
    let right = format!("system:serviceaccount:{NAMESPACE}:{ACCOUNT}");
    must_say(
        "kubectl wi verify",
        &broken,
        &["subject-mismatch", &right, &wrong],
    )?;

    heading("5. The next upgrade repairs it");
    let repaired = shell.run(&format!("{upgrade} --report-dir ../repair"), 0)?;
    must_say("the repairing upgrade", &repaired, &["repaired"])?;
    read_report(&folder.join("repair/report.json"), spec)?;
    shell.run(&verify, 0)?;

    let seconds = started.elapsed().as_secs_f64();
    heading(&format!(
        "Done in {seconds:.0} s. Reports: {}",
        files::shown(&folder)
    ));
    Ok(())
}

fn heading(text: &str) {
    talk(&format!("\n== {text}"));
}

fn unexpected(what: impl Into<String>, why: impl Into<String>) -> JobError {
    JobError::Unexpected {
        what: what.into(),
        why: why.into(),
    }
}

fn must_say(what: &str, said: &str, texts: &[&str]) -> Result<(), JobError> {
    match texts.iter().find(|text| !said.contains(**text)) {
        None => Ok(()),
        Some(text) => Err(unexpected(what, format!("it does not say `{text}`"))),
    }
}

/// Copies the chart and the fleet file to a folder of the demo's own, and adds what is particular to this sandbox:
/// the authority that the application must believe.
fn lay_out(state: &StateDir, folder: &Path) -> Result<(), JobError> {
    files::remove_folder(folder)?;
    files::copy_folder(
        &programs::workspace().join("tests/sandbox/demo"),
        &folder.join("work"),
    )?;
    let authority = files::read(&state.ca_certificate())?;
    files::write_json(
        &folder.join("work/values/sandbox.yaml"),
        &json!({"caBundle": authority}),
    )?;
    Ok(())
}

/// Reads the report and checks that every cluster is a target of its own, in order and proven.
fn read_report(path: &Path, spec: &Spec) -> Result<Value, JobError> {
    let name = files::shown(path);
    let report: Value = files::read_json(path)?;
    let targets = report["targets"].as_array().cloned().unwrap_or_default();
    if targets.len() != spec.clusters.len() {
        return Err(unexpected(
            name,
            format!("{} targets for {} clusters", targets.len(), spec.clusters.len()),
        ));
    }
    let clients: BTreeSet<&str> = targets
        .iter()
        .filter_map(|target| target["clientId"].as_str())
        .collect();
    if clients.len() != targets.len() {
        return Err(unexpected(name, "the clusters do not have an identity each"));
    }
    for target in &targets {
        let cluster = target["cluster"].as_str().unwrap_or_default();
        if !target["revisionAfter"].is_u64() {
            return Err(unexpected(name, format!("{cluster} has no revision")));
        }
        let findings = target["findings"].as_array().cloned().unwrap_or_default();
        if findings.iter().any(|finding| finding["verdict"] == "fail") {
            return Err(unexpected(name, format!("{cluster} has a failed finding")));
        }
    }
    for other in ["TEST-fleet.xml", "report.md"] {
        let path = path.with_file_name(other);
        let length = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        if length == 0 {
            return Err(unexpected(files::shown(&path), "it is missing or empty"));
        }
    }
    Ok(report)
}

/// Every target of a first run was verified from a pod: the exchange, and the secret.
fn must_be_proven(report: &Value) -> Result<(), JobError> {
    for target in report["targets"].as_array().into_iter().flatten() {
        let codes: Vec<&str> = target["findings"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|finding| finding["code"].as_str())
            .collect();
        for code in ["exchange-ok", "secret-ok"] {
            if !codes.contains(&code) {
                return Err(unexpected(
                    "report.json",
                    format!("{} has no {code}", target["cluster"]),
                ));
            }
        }
    }
    Ok(())
}

fn revisions(report: &Value) -> Vec<(Value, Value)> {
    let targets = report["targets"].as_array().cloned().unwrap_or_default();
    targets
        .iter()
        .map(|target| (target["cluster"].clone(), target["revisionAfter"].clone()))
        .collect()
}

/// Points the federated credential of one cluster's identity to another subject, as a hand in the portal would.
fn break_subject(operator: &Operator, report: &Value, context: &str, subject: &str) -> Result<(), JobError> {
    let targets = report["targets"].as_array().cloned().unwrap_or_default();
    let target = targets
        .iter()
        .find(|target| target["context"] == context)
        .cloned()
        .unwrap_or_default();
    let identity = target["identities"][0]["outcome"]["identityId"].as_str();
    let identity = identity.ok_or_else(|| unexpected("report.json", format!("no identity of {context}")))?;
    let list = format!("{identity}/federatedIdentityCredentials?api-version={IDENTITY_API}");
    let credentials = operator.call("GET", &list, None)?;
    let mut credential = credentials["value"][0].clone();
    let id = credential["id"].as_str().unwrap_or_default().to_owned();
    credential["properties"]["subject"] = subject.into();
    let body = json!({"properties": credential["properties"]}).to_string();
    operator.call("PUT", &format!("{id}?api-version={IDENTITY_API}"), Some(&body))?;
    talk(&format!(
        "  {} now trusts {subject}",
        id.rsplit('/').next().unwrap_or_default()
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_step_must_say_is_named_when_it_is_missing() {
        assert!(must_say("x", "a b", &["a", "b"]).is_ok());
        assert!(
            must_say("x", "a b", &["c"])
                .unwrap_err()
                .to_string()
                .contains("`c`")
        );
    }

    #[test]
    fn the_demo_material_is_where_it_is_expected() {
        let material = programs::workspace().join("tests/sandbox/demo");
        assert!(
            material.join("helm-fleet.yaml").is_file() && material.join("charts/orders/Chart.yaml").is_file()
        );
    }
}
