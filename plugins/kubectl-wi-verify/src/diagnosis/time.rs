//! Why Entra finds a token outside its time: whose clock is wrong, or that the token is old.
//!
//! A token's times are those of the API server's clock. The place that the exchange was tried from tells its own clock,
//! and Entra, which counts as right, tells its time when it complains.

use super::{Place, explained_by, injection, kubectl, refusal};
use crate::facts::Facts;
use crate::finding::{Finding, FindingCode, Verdict};
use aks_shared::injection::TOKEN_FILE;
use wi_probe::ProbeRecord;
use wi_probe::exchange::EntraRefusal;
use wi_probe::jwt::AssertionClaims;
use wi_probe::record::AssertionOutcome;

/// How far a clock may be off before it is a cause, in seconds; Entra allows for about as much.
const TOLERATED_SKEW: i64 = 300;

pub(super) fn finding(
    facts: &Facts,
    place: Place,
    record: &ProbeRecord,
    refused: &EntraRefusal,
    before: &[Finding],
) -> Option<Finding> {
    let claims = match &record.assertion {
        AssertionOutcome::Read(claims) => Some(claims),
        AssertionOutcome::Missing { .. } | AssertionOutcome::Malformed => None,
    };
    let entra = refusal::time_of_entra(refused);
    entra
        .and_then(|entra| skew(place, record.clock, claims, entra))
        .or_else(|| expired(facts, place, record, claims?, entra, before))
}

fn skew(place: Place, clock: i64, claims: Option<&AssertionClaims>, entra: i64) -> Option<Finding> {
    let off = |time: i64| Some(time - entra).filter(|off| off.abs() > TOLERATED_SKEW);
    let issued = claims.and_then(|claims| claims.not_before);
    let own = off(clock);
    // One that was asked for from here was issued just now. One in a pod may be an old one, unless it comes from a time
    // that is not yet, or the node lives in that time as well.
    let is_fresh = |off: &i64| {
        place == Place::Here || *off > 0 || own.is_some_and(|own| (own - off).abs() <= TOLERATED_SKEW)
    };
    let servers = issued.and_then(off).filter(is_fresh);
    let (place_is, machine) = match place {
        Place::Pod => ("the node that the probe ran on", "the node"),
        Place::Here => ("this machine", "this machine"),
    };
    let (whose, machine, off) = match (own, servers) {
        (Some(own), None) => (place_is.to_owned(), machine, own),
        (Some(_), Some(servers)) => (
            format!("{place_is}, and that of the API server with it,"),
            machine,
            servers,
        ),
        (None, Some(servers)) => (
            "the API server".to_owned(),
            "the control plane's machines",
            servers,
        ),
        (None, None) => return None,
    };
    let how = if off > 0 { "ahead of" } else { "behind" };
    let (entra, clock) = (entra.to_string(), clock.to_string());
    let mut finding = Finding::new(
        FindingCode::ClockSkew,
        Verdict::Fail,
        whose.trim_end_matches(','),
        format!("the clock of {whose} is {} s {how} Entra's", off.abs()),
    )
    .compared("seconds since 1970", Some(&entra), Some(&clock), place_is);
    if let Some(issued) = issued {
        finding = finding.compared(
            "issued, seconds since 1970",
            Some(&entra),
            Some(&issued.to_string()),
            "token, by the API server's clock",
        );
    }
    Some(finding.fix(format!(
        "chronyc makestep  # on {machine}; and see why it does not keep time"
    )))
}

fn expired(
    facts: &Facts,
    place: Place,
    record: &ProbeRecord,
    claims: &AssertionClaims,
    entra: Option<i64>,
    before: &[Finding],
) -> Option<Finding> {
    let now = entra.unwrap_or(record.clock);
    let end = claims.expires_at.filter(|end| *end < now)?;
    let wanted = injection(facts).and_then(|injection| injection.token_file.as_deref());
    let found = record.environment.token_file.as_deref();
    // In a dry run the webhook's file is named, and this pod has another one.
    let elsewhere =
        found.filter(|found| place == Place::Pod && wanted.is_some_and(|wanted| wanted != *found));
    let (message, fix) = match elsewhere {
        Some(file) => (
            format!(
                "the token in {file} is past its end, and the pod was made just now: something gives pods a stored token instead of the one that the kubelet renews"
            ),
            format!(
                "{} get mutatingwebhookconfigurations  # which of them, or which policy, sets {TOKEN_FILE} in pods?",
                kubectl(facts)
            ),
        ),
        None => (
            "the service account token is past its end: the kubelet did not renew it, or the application kept an old one"
                .to_owned(),
            "restart the workload, and let it read the token file anew each time".to_owned(),
        ),
    };
    let finding = Finding::new(
        FindingCode::TokenExpired,
        Verdict::Fail,
        facts.account.to_string(),
        message,
    )
    .compared(
        "end, seconds since 1970",
        Some(&format!("after {now}")),
        Some(&end.to_string()),
        "token",
    )
    .compared(TOKEN_FILE, wanted, found, place.name())
    .fix(fix);
    Some(finding.because(explained_by(before, FindingCode::TokenExpired)))
}
