//! Clocks, and tokens that are past their end.

use super::*;

const NOW: i64 = 1_700_000_000;

/// What the probe records when Entra finds the token's times wrong: its own clock, and when the token was issued and ends.
fn untimely(facts: &mut Facts, clock: i64, issued: Option<i64>, end: i64) {
    refuse(facts, 700_024);
    let record = pod(facts);
    record.clock = clock;
    if let ExchangeOutcome::Refused(refusal) = &mut record.exchange {
        refusal.description = "AADSTS700024: Client assertion is not within its valid time range. Current time: 2023-11-14T22:13:20.0000000Z, assertion valid from x".into();
    }
    if let AssertionOutcome::Read(claims) = &mut record.assertion {
        claims.expires_at = Some(end);
        claims.not_before = issued;
    }
}

#[test]
fn a_wrong_clock_is_told_from_an_old_token() {
    let skewed = report(|facts| untimely(facts, NOW + 7200, None, NOW + 9000));
    let (code, finding) = cause(&skewed);
    assert_eq!(code, FindingCode::ClockSkew);
    assert!(finding.message.contains("7200 s ahead"), "{}", finding.message);
    let old = report(|facts| untimely(facts, NOW, Some(NOW - 5000), NOW - 10));
    assert_eq!(cause(&old).0, FindingCode::TokenExpired);
    let neither = report(|facts| untimely(facts, NOW, Some(NOW), NOW + 10));
    assert_eq!(cause(&neither).0, FindingCode::ExchangeRefused);
}

#[test]
fn whose_clock_it_is_follows_from_where_each_time_comes_from() {
    const HOUR: i64 = 3600;
    let whose = |from_here: bool, clock: i64, issued: i64| {
        let report = report(|facts| {
            untimely(facts, clock, Some(issued), issued + HOUR);
            if from_here {
                facts.local = facts.pod.take();
            }
        });
        let (code, finding) = cause(&report);
        (code, finding.subject.clone(), finding.fixes[0].clone())
    };
    let both = "the node that the probe ran on, and that of the API server with it";
    for (from_here, clock, issued, expected, machine) in [
        // A token that was asked for just now carries the API server's time.
        (
            true,
            NOW,
            NOW - 2 * HOUR,
            "the API server",
            "on the control plane",
        ),
        (true, NOW + HOUR, NOW, "this machine", "on this machine"),
        (
            true,
            NOW + HOUR,
            NOW + HOUR,
            "this machine, and that of the API server with it",
            "on this machine",
        ),
        (false, NOW, NOW + HOUR, "the API server", "on the control plane"),
        (false, NOW - 2 * HOUR, NOW - 2 * HOUR, both, "on the node"),
        // An old token in a pod tells nothing of the API server's clock.
        (
            false,
            NOW - HOUR,
            NOW - 9 * HOUR,
            "the node that the probe ran on",
            "on the node",
        ),
    ] {
        let (code, subject, fix) = whose(from_here, clock, issued);
        assert_eq!((code, subject.as_str()), (FindingCode::ClockSkew, expected));
        assert!(fix.contains(machine), "{fix}");
    }
}

#[test]
fn an_old_token_that_something_puts_into_pods_is_told_from_one_that_was_kept() {
    let kept = report(|facts| untimely(facts, NOW, Some(NOW - 5000), NOW - 10));
    assert!(cause(&kept).1.fixes[0].starts_with("restart the workload"));
    // The dry run looks right: what puts it there leaves dry runs alone.
    let stored = |facts: &mut Facts| {
        untimely(facts, NOW, Some(NOW - 5000), NOW - 10);
        pod(facts).environment.token_file = Some("/stored/token".into());
    };
    let unseen = report(stored);
    let (code, finding) = cause(&unseen);
    assert_eq!(code, FindingCode::TokenExpired);
    assert!(finding.message.contains("/stored/token"), "{}", finding.message);
    assert!(
        finding.fixes[0].contains("mutatingwebhookconfigurations"),
        "{:?}",
        finding.fixes
    );
    // Where the dry run shows it too, that explains all the rest.
    let seen = report(|facts| {
        stored(facts);
        injection(facts).token_file = Some("/stored/token".into());
        injection(facts).audience = None;
    });
    assert_eq!(cause(&seen).0, FindingCode::InjectionIncomplete);
    for consequence in [FindingCode::TokenExpired, FindingCode::ExchangeRefused] {
        let finding = found(&seen, consequence);
        assert_eq!(finding.because_of, Some(FindingCode::InjectionIncomplete));
    }
}
