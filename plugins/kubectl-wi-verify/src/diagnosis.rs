//! From facts to findings, purely: nothing here asks anybody.
//!
//! Each part of the chain has its module. A part that finds a cause tells the later ones, so that consequences
//! refer to it.

mod cluster;
mod exchange;
mod expression;
mod federation;
mod identity;
mod privilege;
mod refusal;
mod secrets;
mod stores;
mod time;
mod webhook;
mod workload;

#[cfg(test)]
mod tests;

use crate::facts::{DryRun, Facts, Injection};
use crate::finding::{Finding, FindingCode, Verdict};
use aks_shared::labels::DEFAULT_AUDIENCE;
use aks_shared::shell::{place_flags, quoted};
use wi_probe::ProbeRecord;
use wi_probe::jwt::AssertionClaims;
use wi_probe::record::{AssertionOutcome, ExchangeOutcome};

/// Judges the facts.
pub fn diagnose(facts: &Facts) -> Vec<Finding> {
    let mut findings = cluster::findings(facts);
    findings.extend(webhook::account(facts));
    findings.extend(workload::findings(facts));
    findings.extend(webhook::injection(facts, &findings));
    findings.extend(identity::findings(facts));
    findings.extend(federation::findings(facts));
    findings.extend(exchange::discovery(facts));
    findings.extend(exchange::findings(facts, &findings));
    findings.extend(privilege::other_account(facts, &findings));
    findings.extend(secrets::findings(facts, &findings));
    findings.extend(privilege::access(facts, &findings));
    for finding in &mut findings {
        advise(finding);
    }
    findings
}

/// What is not well, not somebody else's consequence and without a fix of its own gets what mends its kind.
fn advise(finding: &mut Finding) {
    let remedy = finding.code.remedy();
    let needs_one = finding.verdict >= Verdict::Unknown && finding.because_of.is_none();
    if needs_one && finding.fixes.is_empty() && !remedy.is_empty() {
        finding.fixes.push(remedy.to_owned());
    }
}

/// What explains a consequence: the first code of its catalogue entry that failed by itself.
fn explained_by(findings: &[Finding], consequence: FindingCode) -> Option<FindingCode> {
    first_failed(findings, consequence.explained_by())
}

/// The first of `candidates` that failed by itself.
fn first_failed(findings: &[Finding], candidates: &[FindingCode]) -> Option<FindingCode> {
    let failed = |code: &FindingCode| {
        findings
            .iter()
            .any(|it| it.code == *code && it.verdict == Verdict::Fail && it.because_of.is_none())
    };
    candidates.iter().copied().find(failed)
}

/// The client id that the service account names.
fn annotated_client(facts: &Facts) -> Option<&str> {
    facts.account_facts()?.client_id.as_deref()
}

/// Whether Entra granted an exchange to any probe.
fn is_granted(facts: &Facts) -> bool {
    records(facts)
        .into_iter()
        .any(|(_, record)| matches!(record.exchange, ExchangeOutcome::Granted(_)))
}

/// Which place a probe ran in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Pod,
    Here,
}

impl Place {
    const fn name(self) -> &'static str {
        match self {
            Self::Pod => "pod",
            Self::Here => "here",
        }
    }

    const fn seen_from(self) -> &'static str {
        match self {
            Self::Pod => "seen from a pod",
            Self::Here => "seen from here",
        }
    }
}

/// The records of all probes that ran.
fn records(facts: &Facts) -> Vec<(Place, &ProbeRecord)> {
    [(Place::Pod, &facts.pod), (Place::Here, &facts.local)]
        .into_iter()
        .filter_map(|(place, record)| Some((place, record.as_ref()?.known()?)))
        .collect()
}

/// The claims of the token that was, or would be, exchanged: the pod's own before the one requested from here.
fn claims(facts: &Facts) -> Option<&AssertionClaims> {
    records(facts)
        .into_iter()
        .find_map(|(_, record)| match &record.assertion {
            AssertionOutcome::Read(claims) => Some(claims),
            AssertionOutcome::Missing { .. } | AssertionOutcome::Malformed => None,
        })
}

/// What the webhook adds, as far as that is known.
fn injection(facts: &Facts) -> Option<&Injection> {
    match facts.cluster.dry_run.known()? {
        DryRun::Admitted(injection) => Some(injection),
        DryRun::Refused { .. } => None,
    }
}

/// The audience of the tokens that pods get.
fn audience(facts: &Facts) -> String {
    if let Some(claims) = claims(facts)
        && let Some(audience) = claims.audiences.first()
    {
        return audience.clone();
    }
    injection(facts)
        .and_then(|injection| injection.audience.clone())
        .unwrap_or_else(|| DEFAULT_AUDIENCE.to_owned())
}

/// The issuer of the tokens that pods get.
fn issuer(facts: &Facts) -> Option<String> {
    claims(facts)
        .map(|claims| claims.issuer.clone())
        .or_else(|| facts.cluster.issuer.known().cloned())
}

/// The command that sets this workload up, or mends it.
fn setup_command(facts: &Facts) -> String {
    format!(
        "kubectl wi setup {}{}",
        workload_flags(facts),
        secret_flags(facts)
    )
}

/// The command that verifies this workload again.
fn verify_command(facts: &Facts) -> String {
    let target = match &facts.workload {
        Some(workload) => format!("{} {}", place(facts), workload.name),
        None => workload_flags(facts),
    };
    format!("kubectl wi verify {target}{}", secret_flags(facts))
}

/// The command that verifies this workload again and waits for what takes time.
fn wait_command(facts: &Facts) -> String {
    format!("{} --wait 10m", verify_command(facts))
}

/// The command that changes the cluster's resource in Azure, by its own names where they are known.
fn update_command(facts: &Facts, flags: &str) -> String {
    let (group, name) = facts
        .aks()
        .map_or(("GROUP", "CLUSTER"), |cluster| (&cluster.group, &cluster.name));
    format!("az aks update -g {group} -n {name}{flags}")
}

/// The command that sets an annotation of the service account, or takes it away.
fn annotate_command(facts: &Facts, annotation: &str, value: Option<&str>) -> String {
    let change = value.map_or_else(|| "-".to_owned(), |value| format!("={value}"));
    format!(
        "kubectl annotate {} serviceaccount {} --overwrite {annotation}{change}",
        place(facts),
        facts.account.name
    )
}

/// The flags of our commands that name this workload.
fn workload_flags(facts: &Facts) -> String {
    format!("{} --service-account {}", place(facts), facts.account.name)
}

/// A kubectl that asks this cluster, of all namespaces or of none.
fn kubectl(facts: &Facts) -> String {
    format!("kubectl --context {}", quoted(&facts.context))
}

/// The flags that say which cluster and namespace.
fn place(facts: &Facts) -> String {
    place_flags(&facts.context, &facts.account.namespace)
}

fn secret_flags(facts: &Facts) -> String {
    let flags: Vec<String> = facts
        .secrets
        .iter()
        .map(|secret| format!(" --secret {}", quoted(&secret.to_string())))
        .collect();
    flags.concat()
}

/// Names in one line.
fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().collect::<Vec<_>>().join(", ")
}

/// How two texts that should be equal differ, when it is easily overlooked.
fn small_difference(expected: &str, found: &str) -> Option<&'static str> {
    if expected.trim_end_matches('/') == found.trim_end_matches('/') {
        return Some(if expected.ends_with('/') {
            "without the trailing slash"
        } else {
            "with a trailing slash that does not belong there"
        });
    }
    if expected.eq_ignore_ascii_case(found) {
        return Some("in another case");
    }
    if expected.trim() == found.trim() {
        return Some("with blanks around it");
    }
    None
}
