//! `JUnit`: a suite per cluster, a case per finding.

use crate::finding::{Finding, Verdict};
use crate::report::ClusterResult;
use aks_shared::{ExitStatus, Failure};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

/// The report of all clusters.
pub fn junit(results: &[ClusterResult]) -> Result<String, Failure> {
    let mut report = Report::new("kubectl wi verify");
    for result in results {
        let mut suite = TestSuite::new(result.context.clone());
        if let Some(found) = &result.report {
            for finding in found.checklist() {
                suite.add_test_case(case(&found.account.to_string(), finding));
            }
        } else {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_message(result.error.join(": "));
            suite.add_test_case(TestCase::new("reachable", status));
        }
        report.add_test_suite(suite);
    }
    report
        .to_string()
        .map_err(|error| Failure::from_error(ExitStatus::Failed, &error))
}

fn case(account: &str, finding: &Finding) -> TestCase {
    let mut status = match finding.verdict {
        Verdict::Pass | Verdict::Warn => TestCaseStatus::success(),
        Verdict::Fail => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Verdict::Skipped | Verdict::Unknown => TestCaseStatus::skipped(),
    };
    if finding.verdict == Verdict::Fail {
        status.set_type(finding.code.name());
        status.set_description(finding.fixes.join("\n"));
    }
    if !matches!(finding.verdict, Verdict::Pass | Verdict::Warn) {
        status.set_message(finding.message.clone());
    }
    let name = if finding.subject.is_empty() {
        finding.code.name().to_owned()
    } else {
        format!("{} {}", finding.code, finding.subject)
    };
    let mut case = TestCase::new(name, status);
    case.set_classname(account);
    if finding.verdict == Verdict::Warn {
        case.set_system_out(&finding.message);
    }
    case
}
