//! `TEST-fleet.xml` for CI: a suite per stage, a case per target.

use crate::event::TargetStatus;
use crate::report::{FleetReport, TargetReport};
use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};
use std::fmt::Write;
use std::time::Duration;

/// The report as `JUnit` XML.
pub fn render(report: &FleetReport) -> Result<String, SerializeError> {
    let mut document = Report::new(format!(
        "helm fleet {}/{}",
        report.release.namespace, report.release.name
    ));
    for stage in &report.stages {
        let mut suite = TestSuite::new(stage.name.as_str());
        suite.add_test_cases(
            report
                .targets
                .iter()
                .filter(|target| target.stage == stage.name)
                .map(case),
        );
        document.add_test_suite(suite);
    }
    document.to_string()
}

fn case(target: &TargetReport) -> TestCase {
    let message = target.trouble().map(crate::event::FailureReport::line);
    let status = match target.status {
        TargetStatus::NotStarted => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(message.unwrap_or_else(|| target.reason.clone()));
            status
        }
        TargetStatus::Unreachable => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(message.unwrap_or_else(|| target.status.name().to_owned()));
            status
        }
        TargetStatus::Failed
        | TargetStatus::Interrupted
        | TargetStatus::RolledBack
        | TargetStatus::RollbackFailed => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(message.unwrap_or_else(|| target.status.name().to_owned()));
            status.set_description(details(target));
            status
        }
        TargetStatus::Unchanged
        | TargetStatus::IdentityRepaired
        | TargetStatus::Uninstalled
        | TargetStatus::Installed
        | TargetStatus::Upgraded => TestCaseStatus::success(),
    };
    let mut case = TestCase::new(target.cluster.as_str(), status);
    case.set_classname(format!("{}.{}", target.stage, target.context));
    case.set_time(Duration::from_secs_f64(target.seconds.max(0.0)));
    case
}

fn details(target: &TargetReport) -> String {
    let mut text = String::new();
    for finding in target.failed_findings() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}: {}", finding.code, finding.message);
        for fix in &finding.fixes {
            let _ = writeln!(text, "  fix: {fix}");
        }
    }
    let failures = target.rollback_failure.iter().chain(&target.failure);
    for line in failures.flat_map(crate::event::FailureReport::details) {
        let _ = writeln!(text, "{line}");
    }
    text
}

#[cfg(test)]
mod tests {
    use crate::report::sample;

    #[test]
    fn stages_are_suites_and_targets_are_cases() {
        let text = super::render(&sample::report()).unwrap();
        for expected in [
            r#"<testsuite name="canary" tests="1" skipped="0" errors="0" failures="0">"#,
            r#"<testsuite name="prod" tests="2" skipped="1" errors="0" failures="1">"#,
            r#"<testcase name="neu-1" classname="prod.aks-neu-1" time="8.200">"#,
            "Error: UPGRADE FAILED: timed out",
        ] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
    }
}
