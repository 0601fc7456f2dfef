//! What the issuer publishes and what became of the exchange, as the probes saw them.

use super::{Place, explained_by, first_failed, kubectl, records, refusal, time};
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
            "the discovery document names another issuer than the token: it is a copy of another one, or the cluster was given a new issuer since",
        )
        .compared("issuer", Some(&claims.issuer), Some(issuer), "discovery document")
        .fix(format!(
            "{} get --raw /.well-known/openid-configuration  # publish this at {}/.well-known/openid-configuration",
            kubectl(facts),
            claims.issuer.trim_end_matches('/')
        )),
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
        DiscoveryOutcome::Unreachable { url, why } => {
            unreachable(facts, record, url, &format!("{why} ({from})"))
        }
        DiscoveryOutcome::Answered { url, status } => {
            unreachable(facts, record, url, &format!("HTTP {status} ({from})"))
        }
        DiscoveryOutcome::Unreadable { url } => unreachable(
            facts,
            record,
            url,
            &format!("the answer is no such document ({from})"),
        ),
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

fn unreachable(facts: &Facts, record: &ProbeRecord, url: &str, why: &str) -> Finding {
    let verdict = grave(record);
    let message = match verdict {
        Verdict::Fail => format!("neither Entra nor the probe can fetch {url}: {why}"),
        Verdict::Skipped => format!("{url} cannot be fetched: {why}; Entra can, and only that counts"),
        _ => format!("{url} cannot be fetched: {why}; only Entra needs it"),
    };
    let reconcile = super::update_command(facts, "  # reconciles the cluster; then wait for some minutes");
    Finding::new(FindingCode::DiscoveryUnreachable, verdict, url, message).fix(reconcile)
}

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
            .because(explained_by(before, FindingCode::ProbeFailed))
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
            .fix(format!(
                "{} --from pod  # or ask for the right to create tokens of service accounts",
                super::verify_command(facts)
            ))
            .because(explained_by(before, FindingCode::ProbeFailed)),
        );
    }
    let egress = egress_blocked(facts);
    findings.extend(egress);
    let known = before.len();
    let mut all = before.to_vec();
    all.append(&mut findings);
    for (place, record) in records(facts) {
        if let Some(cause) = time_or_patience(facts, place, record, &all)
            && !all.iter().any(|finding| finding.code == cause.code)
        {
            all.push(cause);
        }
        let judged = exchange(facts, place, record, &all);
        all.push(judged);
        all.extend(flaky(place, record));
    }
    all.split_off(known)
}

/// That Entra is reached from here and not from a pod.
fn egress_blocked(facts: &Facts) -> Option<Finding> {
    let seen = records(facts);
    let at = |wanted: Place| {
        let mut found = seen.iter().filter(|(place, _)| *place == wanted);
        found.next().map(|(_, record)| &record.exchange)
    };
    let ExchangeOutcome::Unreachable { host, .. } = at(Place::Pod)? else {
        return None;
    };
    let is_answered = matches!(
        at(Place::Here)?,
        ExchangeOutcome::Granted(_) | ExchangeOutcome::Refused(_)
    );
    is_answered.then(|| {
        Finding::new(
            FindingCode::EgressBlocked,
            Verdict::Fail,
            host,
            format!("{host} answers from here and cannot be reached from a pod: the cluster's egress does not let it through"),
        )
        .fix(format!("let the cluster's egress (firewall, network policy, proxy) reach {host} on port 443"))
    })
}

/// What explains a refusal when no comparison does: a clock, an old token, or that what is right is not known yet.
fn time_or_patience(
    facts: &Facts,
    place: Place,
    record: &ProbeRecord,
    before: &[Finding],
) -> Option<Finding> {
    let ExchangeOutcome::Refused(refused) = &record.exchange else {
        return None;
    };
    if refusal::is_about_time(refused) {
        return time::finding(facts, place, record, refused, before);
    }
    let is_right = before
        .iter()
        .any(|finding| finding.code == FindingCode::CredentialOk);
    let is_explained = first_failed(before, &refusal::candidates(refused)).is_some();
    if !refusal::is_no_match(refused) || !is_right || is_explained {
        return None;
    }
    Some(
        Finding::new(
            FindingCode::TrustPropagating,
            Verdict::Fail,
            facts.account.to_string(),
            "every field of the federated credential is as it should be, so it was probably written just now and is not known everywhere yet; that takes minutes",
        )
        .fix(super::wait_command(facts)),
    )
}

/// The rate, when exchanges failed after one was granted.
fn flaky(place: Place, record: &ProbeRecord) -> Option<Finding> {
    let attempts = &record.attempts;
    (attempts.refused_after_grant > 0).then(|| {
        let codes: Vec<String> = attempts
            .refused
            .iter()
            .map(|(code, times)| format!("{times} × {code}"))
            .collect();
        let codes = codes.join(", ");
        Finding::new(
            FindingCode::ExchangeFlaky,
            Verdict::Warn,
            place.name(),
            format!(
                "{} of {} exchanges were granted ({}), others refused after one was granted: {codes}",
                attempts.granted,
                attempts.total(),
                place.seen_from()
            ),
        )
        .compared(
            "rate",
            Some("1.00"),
            Some(&format!(
                "{:.2}",
                f64::from(attempts.granted) / f64::from(attempts.total().max(1))
            )),
            "the tries of this run",
        )
        .compared("refusals", None, Some(&codes), "Entra")
        .fix("let the application try a refused exchange again; the configuration is right")
    })
}

/// What the tries tell besides the last one.
fn tries(record: &ProbeRecord) -> String {
    let attempts = &record.attempts;
    let refused = attempts.total() - attempts.granted;
    match (attempts.total(), refused) {
        (0 | 1, _) => String::new(),
        (total, 0) => format!(", {total} of {total} times"),
        (_, refused) if attempts.refused_after_grant == 0 => {
            format!(", after {refused} refusals: what was set up has become known since")
        }
        (total, _) => format!(", {} of {total} times", attempts.granted),
    }
}

fn exchange(facts: &Facts, place: Place, record: &ProbeRecord, before: &[Finding]) -> Finding {
    let from = place.seen_from();
    let subject = place.name();
    match &record.exchange {
        ExchangeOutcome::Granted(claims) => Finding::new(
            FindingCode::ExchangeOk,
            Verdict::Pass,
            subject,
            format!(
                "Entra exchanged the token of {} ({from}{})",
                facts.account,
                tries(record)
            ),
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
        .fix(format!("let the cluster's egress reach {host} on port 443"))
        .because(explained_by(before, FindingCode::ExchangeUnreachable)),
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
            .because(explained_by(before, FindingCode::TokenMissing)),
            AssertionOutcome::Read(_) | AssertionOutcome::Malformed => Finding::new(
                FindingCode::ExchangeNotTried,
                Verdict::Fail,
                subject,
                format!("the exchange could not be tried: {why}"),
            )
            .because(explained_by(before, FindingCode::ExchangeNotTried)),
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
    let cause = first_failed(before, &refusal::candidates(refused));
    let tries = if record.tries > 1 {
        format!(", {} tries", record.tries)
    } else {
        String::new()
    };
    let code = refused.code();
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
