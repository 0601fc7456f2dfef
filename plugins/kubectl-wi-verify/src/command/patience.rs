//! `--wait`: one round after another until all is well or the time is over.
//!
//! The probe itself waits for what becomes known by itself. What it cannot see, such as an account, a webhook or a
//! workload that comes later, needs a new round that reads everything anew, so no round waits for long.

use crate::finding::Verdict;
use crate::report::Report;
use aks_shared::{ExitStatus, Failure};
use std::time::Duration;

/// The pause between two rounds.
pub(super) const PAUSE: Duration = Duration::from_secs(3);

/// How long the probe of one round may wait for Entra and Key Vault.
const ROUND: Duration = Duration::from_secs(30);

/// How long the probe of the next round may wait, of what is left.
pub(super) fn round(left: Duration) -> Duration {
    left.min(ROUND)
}

/// What a round still lacks, when another one may find it; none when this one is the answer.
pub(super) fn lacking(result: &Result<Report, Failure>, fail_on: Verdict, left: Duration) -> Option<String> {
    if left <= PAUSE {
        return None;
    }
    match result {
        Ok(report) if report.status(fail_on) == ExitStatus::Ok => None,
        Ok(report) => report.findings.first().map(|first| first.code.to_string()),
        // A cluster that does not answer may, and a workload that is not there may come.
        Err(failure) if failure.status == ExitStatus::Refused => Some(failure.message.clone()),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::{Finding, FindingCode};
    use aks_shared::identity::ServiceAccountRef;

    const LEFT: Duration = Duration::from_mins(1);

    fn report(code: FindingCode, verdict: Verdict) -> Report {
        let account = ServiceAccountRef::new("shop", "orders").unwrap();
        let found = Finding::new(code, verdict, "subject", "message");
        Report::new("weu-1", account, vec![found])
    }

    #[test]
    fn whatever_is_wrong_is_waited_for_and_what_is_well_is_not() {
        let lacks = |result: &Result<Report, Failure>| lacking(result, Verdict::Fail, LEFT);
        for code in [
            FindingCode::AccountMissing,
            FindingCode::WebhookMissing,
            FindingCode::SubjectMismatch,
        ] {
            let found = lacks(&Ok(report(code, Verdict::Fail)));
            assert_eq!(found.as_deref(), Some(code.name()));
        }
        assert_eq!(lacks(&Ok(report(FindingCode::ExchangeOk, Verdict::Pass))), None);
        assert_eq!(
            lacks(&Ok(report(FindingCode::LabelOnAccount, Verdict::Warn))),
            None
        );
        assert!(lacks(&Err(Failure::refused("there is no deploy/orders"))).is_some());
        assert_eq!(lacks(&Err(Failure::usage("no such flag"))), None);
        let stopped = Failure::new(ExitStatus::Interrupted, "interrupted");
        assert_eq!(lacks(&Err(stopped)), None);
    }

    #[test]
    fn what_fails_the_command_is_what_is_waited_for() {
        let warned = Ok(report(FindingCode::LabelOnAccount, Verdict::Warn));
        assert!(lacking(&warned, Verdict::Warn, LEFT).is_some());
        assert_eq!(lacking(&warned, Verdict::Fail, LEFT), None);
    }

    #[test]
    fn nothing_is_begun_when_the_time_is_over() {
        let wrong = Ok(report(FindingCode::AccountMissing, Verdict::Fail));
        assert_eq!(lacking(&wrong, Verdict::Fail, Duration::ZERO), None);
        assert_eq!(lacking(&wrong, Verdict::Fail, PAUSE), None);
        assert_eq!(round(Duration::from_secs(7)), Duration::from_secs(7));
        assert_eq!(round(Duration::from_mins(10)), ROUND);
        assert_eq!(round(Duration::ZERO), Duration::ZERO);
    }
}
