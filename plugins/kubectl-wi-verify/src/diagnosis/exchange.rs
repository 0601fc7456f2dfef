//! What the issuer publishes and what became of the exchange, as the probes saw them.

use super::{Place, explained_by, records, refusal};
use crate::facts::{Facts, Known};
use crate::finding::{Finding, FindingCode, Verdict};
use wi_probe::ProbeRecord;
use wi_probe::discovery::DiscoveryOutcome;
use wi_probe::exchange::EntraRefusal;
use wi_probe::record::{AssertionOutcome, ExchangeOutcome};

pub(super) fn discovery(facts: &Facts) -> Vec<Finding> {
    let seen = records(facts);
    let Some((place, record)) = seen.iter().find(|(_, record)| record.discovery.is_some()) else {
        return Vec::new();
    };
    let (Some(outcome), AssertionOutcome::Read(claims)) = (&record.discovery, &record.assertion) else {
        return Vec::new();
    };
    let from = place.seen_from();
    let finding = match outcome {
        DiscoveryOutcome::Published { issuer, .. } if *issuer != claims.issuer => Finding::new(
            FindingCode::DiscoveryIssuerDiffers,
            grave(record),
            &claims.issuer,
            "the discovery document names another issuer than the token",
        )
        .compared("issuer", Some(&claims.issuer), Some(issuer), "discovery document"),
        DiscoveryOutcome::Published {
            key_ids, jwks_uri, ..
        } => {
            let key = claims.key_id.as_deref().unwrap_or_default();
            if key_ids.iter().any(|published| published == key) {
                Finding::new(
                    FindingCode::DiscoveryOk,
                    Verdict::Pass,
                    &claims.issuer,
                    format!("the issuer publishes the key that signed the token ({from})"),
                )
                .compared("key id", Some(key), Some(key), jwks_uri)
            } else {
                Finding::new(
                    FindingCode::KeyNotPublished,
                    grave(record),
                    &claims.issuer,
                    "the key that signed the token is not among the ones that the issuer publishes: it was rotated and the token is old, or the documents are",
                )
                .compared("key id", Some(key), Some(&key_ids.join(" ")), jwks_uri)
                .fix("restart the workload, so that its pods get tokens of the new key")
            }
        }
        DiscoveryOutcome::Unreachable { url, why } => unreachable(record, url, &format!("{why} ({from})")),
        DiscoveryOutcome::Answered { url, status } => {
            unreachable(record, url, &format!("HTTP {status} ({from})"))
        }
        DiscoveryOutcome::Unreadable { url } => {
            unreachable(record, url, &format!("the answer is no such document ({from})"))
        }
    };
    vec![finding]
}

/// An issuer's documents matter to Entra, not to the pod: a failure to fetch them is only the cause when Entra
/// complains of the same.
fn grave(record: &ProbeRecord) -> Verdict {
    match &record.exchange {
        ExchangeOutcome::Granted(_) => Verdict::Skipped,
        ExchangeOutcome::Refused(refused) if refusal::is_about_the_issuer(refused) => Verdict::Fail,
        _ => Verdict::Unknown,
    }
}

fn unreachable(record: &ProbeRecord, url: &str, why: &str) -> Finding {
    let verdict = grave(record);
    let message = match verdict {
        Verdict::Fail => format!("neither Entra nor the probe can fetch {url}: {why}"),
        Verdict::Skipped => format!("{url} cannot be fetched: {why}; Entra can, and only that counts"),
        _ => format!("{url} cannot be fetched: {why}; only Entra needs it"),
    };
    Finding::new(FindingCode::DiscoveryUnreachable, verdict, url, message)
        .fix("az aks update -g GROUP -n CLUSTER  # reconciles the cluster; then wait for some minutes")
}

/// What explains that a pod has not what it needs for an exchange.
const NOTHING_TO_EXCHANGE: [FindingCode; 6] = [
    FindingCode::AccountMissing,
    FindingCode::WebhookMissing,
    FindingCode::WebhookRefuses,
    FindingCode::InjectionMissing,
    FindingCode::ClientIdMissing,
    FindingCode::InjectionIncomplete,
];
/// What explains that there is no pod.
const NO_POD: [FindingCode; 2] = [FindingCode::AccountMissing, FindingCode::WebhookRefuses];

pub(super) fn findings(facts: &Facts, before: &[Finding]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(Known::Unknown(why)) = &facts.pod {
        findings.push(if facts.local.is_some() {
            Finding::new(
                FindingCode::ProbePodUnavailable,
                Verdict::Warn,
                "pod",
                format!("the probe could not run in a pod: {why}"),
            )
        } else {
            Finding::new(
                FindingCode::ProbeFailed,
                Verdict::Fail,
                "pod",
                format!("the probe gave no record: {why}"),
            )
            .fix(format!(
                "{} --from local  # what can be told without a pod",
                super::verify_command(facts)
            ))
            .because(explained_by(before, &NO_POD))
        });
    }
    if let Some(Known::Unknown(why)) = &facts.local {
        findings.push(
            Finding::new(
                FindingCode::ProbeFailed,
                Verdict::Fail,
                "here",
                format!("nothing could be tried from here: {why}"),
            )
            .because(explained_by(before, &NO_POD)),
        );
    }
    for (place, record) in records(facts) {
        findings.push(exchange(facts, place, record, before));
    }
    findings
}

fn exchange(facts: &Facts, place: Place, record: &ProbeRecord, before: &[Finding]) -> Finding {
    let from = place.seen_from();
    let subject = place.name();
    match &record.exchange {
        ExchangeOutcome::Granted(claims) => Finding::new(
            FindingCode::ExchangeOk,
            Verdict::Pass,
            subject,
            format!("Entra exchanged the token of {} ({from})", facts.account),
        )
        .compared(
            "client id",
            record.environment.client_id.as_deref(),
            claims.client_id.as_deref(),
            "access token",
        )
        .compared("principal", None, claims.object_id.as_deref(), "access token"),
        ExchangeOutcome::Refused(refused) => refusal_finding(facts, place, record, refused, before),
        ExchangeOutcome::Unreachable { host, why } => Finding::new(
            FindingCode::ExchangeUnreachable,
            Verdict::Fail,
            subject,
            format!("Entra at {host} cannot be reached ({from}): {why}"),
        )
        .fix(format!("let the cluster's egress reach {host} on port 443")),
        ExchangeOutcome::Unreadable { status } => Finding::new(
            FindingCode::ExchangeUnreachable,
            Verdict::Fail,
            subject,
            format!(
                "something else than Entra answers (HTTP {status}, {from}); is there a proxy on the way?"
            ),
        ),
        ExchangeOutcome::NotTried { why } => match &record.assertion {
            AssertionOutcome::Missing { why } => Finding::new(
                FindingCode::TokenMissing,
                Verdict::Fail,
                subject,
                format!("there is no service account token for Entra: {why}"),
            )
            .because(explained_by(before, &NOTHING_TO_EXCHANGE)),
            AssertionOutcome::Read(_) | AssertionOutcome::Malformed => Finding::new(
                FindingCode::ExchangeNotTried,
                Verdict::Fail,
                subject,
                format!("the exchange could not be tried: {why}"),
            )
            .because(explained_by(before, &NOTHING_TO_EXCHANGE)),
        },
    }
}

fn refusal_finding(
    facts: &Facts,
    place: Place,
    record: &ProbeRecord,
    refused: &EntraRefusal,
    before: &[Finding],
) -> Finding {
    let (subject, from) = (place.name(), place.seen_from());
    let cause = explained_by(before, &refusal::candidates(refused));
    let tries = if record.tries > 1 {
        format!(", {} tries", record.tries)
    } else {
        String::new()
    };
    let code = refused
        .codes
        .first()
        .map_or_else(|| refused.error.clone(), |code| format!("AADSTS{code}"));
    // What explains the refusal says all that there is to say.
    let advice = refusal::advice(facts, record, refused).filter(|_| cause.is_none());
    let message = match &advice {
        Some(advice) => format!(
            "Entra refused the exchange with {code} ({from}{tries}): {}",
            advice.why
        ),
        None => format!("Entra refused the exchange ({from}{tries}): {refused}"),
    };
    let mut finding = Finding::new(FindingCode::ExchangeRefused, Verdict::Fail, subject, message)
        .compared("code", None, Some(&code), "Entra")
        .compared("message", None, Some(&refused.description), "Entra");
    if let Some(id) = &refused.correlation_id {
        finding = finding.compared("correlation id", None, Some(id), "Entra");
    }
    if let Some(advice) = advice {
        finding = finding.fix(advice.fix);
    }
    finding.because(cause)
}
