//! Markdown: a heading per cluster, a table of findings, the fixes below it.

use super::checklist::symbol;
use crate::finding::Verdict;
use crate::report::ClusterResult;
use aks_shared::markdown::escaped;

/// The report of all clusters.
pub fn markdown(results: &[ClusterResult]) -> String {
    let mut lines = vec!["# Workload identity".to_owned()];
    for result in results {
        lines.push(String::new());
        lines.push(format!("## {}", result.context));
        lines.push(String::new());
        let Some(report) = &result.report else {
            lines.push(escaped(&result.error.join(": ")));
            continue;
        };
        lines.push(format!(
            "Service account `{}`: **{}**",
            report.account,
            report.verdict().name()
        ));
        lines.push(String::new());
        lines.push("| | Finding | |".to_owned());
        lines.push("|---|---|---|".to_owned());
        for finding in report.checklist() {
            lines.push(format!(
                "| {} | `{}` | {} |",
                symbol(finding.verdict),
                finding.code,
                escaped(&finding.message)
            ));
        }
        for failure in report
            .failures()
            .filter(|failure| failure.verdict == Verdict::Fail)
        {
            for evidence in failure
                .evidence
                .iter()
                .filter(|evidence| evidence.expected.is_some())
            {
                lines.push(String::new());
                lines.push(format!(
                    "`{}` {}: expected `{}`, found `{}`",
                    failure.code,
                    escaped(&evidence.what),
                    evidence.expected.as_deref().unwrap_or_default(),
                    evidence.found.as_deref().unwrap_or("(none)")
                ));
            }
            for fix in &failure.fixes {
                lines.extend([String::new(), "```sh".to_owned(), fix.clone(), "```".to_owned()]);
            }
        }
    }
    lines.push(String::new());
    lines.join("\n")
}
