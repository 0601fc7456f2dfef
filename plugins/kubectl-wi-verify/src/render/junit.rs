//! `JUnit`: a suite per cluster, a case per finding.

use super::{explained, found};
use crate::finding::{Finding, Verdict};
use crate::report::ClusterResult;
use aks_shared::{ExitStatus, Failure};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

/// The report of all clusters; what is as grave as `fail_on` is a failure.
pub fn junit(results: &[ClusterResult], fail_on: Verdict) -> Result<String, Failure> {
    let mut report = Report::new("kubectl wi verify");
    for result in results {
        let mut suite = TestSuite::new(result.context.clone());
        if let Some(found) = &result.report {
            for finding in found.checklist() {
                suite.add_test_case(case(&found.account.to_string(), finding, fail_on));
            }
        } else {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_message(result.error.join(": "));
            status.set_description(result.hints.join("\n"));
            suite.add_test_case(TestCase::new("reachable", status));
        }
        report.add_test_suite(suite);
    }
    report
        .to_string()
        .map_err(|error| Failure::from_error(ExitStatus::Failed, &error))
}

fn case(account: &str, finding: &Finding, fail_on: Verdict) -> TestCase {
    let mut status = match finding.verdict {
        verdict if verdict >= fail_on => {
            let mut failure = TestCaseStatus::non_success(NonSuccessKind::Failure);
            failure.set_type(finding.code.name());
            failure.set_description(description(finding));
            failure
        }
        Verdict::Pass | Verdict::Warn | Verdict::Fail => TestCaseStatus::success(),
        Verdict::Skipped | Verdict::Unknown => TestCaseStatus::skipped(),
    };
    let is_success = matches!(status, TestCaseStatus::Success { .. });
    if !is_success {
        status.set_message(finding.message.clone());
    }
    let name = if finding.subject.is_empty() {
        finding.code.name().to_owned()
    } else {
        format!("{} {}", finding.code, finding.subject)
    };
    let mut case = TestCase::new(name, status);
    case.set_classname(account);
    if is_success && finding.verdict == Verdict::Warn {
        case.set_system_out(format!("{}\n{}", finding.message, description(finding)));
    }
    case
}

/// What explains a finding and what mends it, a line each.
fn description(finding: &Finding) -> String {
    let (evidence, fixes) = explained(finding);
    let compared = evidence.iter().filter_map(|evidence| {
        let expected = evidence.expected.as_deref()?;
        Some(format!(
            "{}: expected {expected}, found {} in {}",
            evidence.what,
            found(evidence),
            evidence.source
        ))
    });
    let because = finding.because_of.map(|code| format!("because of {code}"));
    let fixes = fixes.iter().map(|fix| format!("fix: {fix}"));
    compared
        .chain(because)
        .chain(fixes)
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::FindingCode;
    use aks_shared::identity::ServiceAccountRef;

    fn results() -> [ClusterResult; 2] {
        let finding = |code, verdict| Finding::new(code, verdict, "s", "message");
        let findings = vec![
            finding(FindingCode::SubjectMismatch, Verdict::Fail)
                .compared("subject", Some("a"), None, "Azure")
                .fix("mend it"),
            finding(FindingCode::ExchangeRefused, Verdict::Fail)
                .compared("code", Some("x"), Some("y"), "Entra")
                .fix("nothing of its own")
                .because(Some(FindingCode::SubjectMismatch)),
            finding(FindingCode::LabelOnAccount, Verdict::Warn).fix("move it"),
        ];
        let account = ServiceAccountRef::new("shop", "orders").unwrap();
        let report = crate::Report::new("aks-1", account, findings);
        let refused = Failure::refused("no answer").hint("try kubectl");
        [
            ClusterResult::new("aks-1".into(), ExitStatus::Failed, Ok(report)),
            ClusterResult::new("aks-2".into(), ExitStatus::Refused, Err(refused)),
        ]
    }

    #[test]
    fn a_failure_has_what_explains_and_what_mends_it() {
        let text = junit(&results(), Verdict::Fail).unwrap();
        for expected in [
            ">subject: expected a, found (none) in Azure\nfix: mend it</failure>",
            ">because of subject-mismatch</failure>",
            "message\nfix: move it</system-out>",
            "<error message=\"no answer\">try kubectl</error>",
        ] {
            assert!(text.contains(expected), "{expected} is not in {text}");
        }
        assert!(!text.contains("expected x"), "{text}");
    }

    #[test]
    fn what_fails_the_command_fails_its_case() {
        for (fail_on, failures) in [(Verdict::Fail, 2), (Verdict::Warn, 3)] {
            let text = junit(&results(), fail_on).unwrap();
            assert_eq!(text.matches("<failure ").count(), failures, "{text}");
        }
    }
}
