//! The checklist of a terminal: one line per finding in the order of the chain, details below what failed.

use super::{explained, found};
use crate::finding::{Finding, Verdict};
use crate::report::{ClusterResult, Report};
use console::{StyledObject, style};
use std::fmt::Write;

/// How much stands below a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Evidence and fixes of what is not as it should be, or not known to be.
    Faults,
    /// What every check is about, and its evidence.
    Everything,
}

/// The checklists of all clusters.
pub fn checklist(results: &[ClusterResult], detail: Detail) -> String {
    let mut text = String::new();
    for (index, result) in results.iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        match &result.report {
            Some(report) => one(&mut text, report, detail),
            None => unanswered(&mut text, result),
        }
    }
    if results.len() > 1 {
        let good = results.iter().filter(|result| result.exit_code == 0).count();
        line(&mut text, "");
        line(
            &mut text,
            &format!("{good} of {} clusters verified", results.len()),
        );
        for bad in results.iter().filter(|result| result.exit_code != 0) {
            line(&mut text, &format!("  {}: {}", bad.context, shortest(bad)));
        }
    }
    text
}

/// One `context/verdict` line per cluster.
pub fn names(results: &[ClusterResult]) -> String {
    let mut text = String::new();
    for result in results {
        let verdict = result
            .report
            .as_ref()
            .map_or("refused", |report| report.verdict().name());
        line(&mut text, &format!("{}/{verdict}", result.context));
    }
    text
}

/// A cluster of which nothing was found out, and what to do about that.
fn unanswered(text: &mut String, result: &ClusterResult) {
    line(
        text,
        &format!("{}  {}", style(&result.context).bold(), result.error.join(": ")),
    );
    for hint in &result.hints {
        line(text, &format!("      {} {hint}", style("hint:").cyan().bold()));
    }
}

/// Why a cluster is not verified, in a word or two.
fn shortest(result: &ClusterResult) -> &str {
    match &result.report {
        Some(report) => report
            .findings
            .first()
            .map_or("nothing was found out", |first| first.code.name()),
        None => result.error.first().map_or("", String::as_str),
    }
}

/// The symbol of a verdict; meaning never stands in the colour alone.
pub const fn symbol(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "✓",
        Verdict::Fail => "✗",
        Verdict::Warn => "!",
        Verdict::Unknown => "?",
        Verdict::Skipped => "-",
    }
}

fn one(text: &mut String, report: &Report, detail: Detail) {
    line(
        text,
        &format!("{}  {}", style(&report.context).bold(), report.account),
    );
    let findings = report.checklist();
    let width = findings
        .iter()
        .map(|finding| finding.code.name().len())
        .max()
        .unwrap_or(0);
    for finding in findings {
        let code = finding.code.name();
        line(
            text,
            &format!(
                "  {} {code:width$}  {}",
                colored(finding.verdict),
                finding.message
            ),
        );
        let is_open = matches!(finding.verdict, Verdict::Fail | Verdict::Warn | Verdict::Unknown);
        if is_open || detail == Detail::Everything {
            details(text, finding, detail);
        }
    }
    line(text, &conclusion(report));
}

fn details(text: &mut String, finding: &Finding, detail: Detail) {
    if detail == Detail::Everything {
        line(text, &format!("      {}", style(finding.code.meaning()).dim()));
    }
    let (evidence, fixes) = match detail {
        Detail::Faults => explained(finding),
        Detail::Everything => (finding.evidence.as_slice(), finding.fixes.as_slice()),
    };
    for evidence in evidence {
        let found = found(evidence);
        match &evidence.expected {
            Some(expected) => {
                line(text, &format!("      {}", evidence.what));
                line(text, &format!("        expected  {expected}"));
                line(text, &format!("        found     {found}"));
                line(text, &format!("        in        {}", evidence.source));
            }
            None => line(text, &format!("      {}: {found}", evidence.what)),
        }
    }
    if let Some(code) = finding.because_of {
        line(text, &format!("      because of {code}"));
    }
    for fix in fixes {
        line(text, &format!("      {} {fix}", style("fix:").cyan().bold()));
    }
}

fn conclusion(report: &Report) -> String {
    match (report.cause(), report.verdict()) {
        (Some(cause), _) => format!("{} {}", style("failed:").red().bold(), cause.code),
        (None, Verdict::Warn) => style("works, with warnings").yellow().to_string(),
        (None, Verdict::Unknown) => {
            format!("{}, as far as could be told", style("works").green())
        }
        (None, _) => style("works").green().bold().to_string(),
    }
}

fn colored(verdict: Verdict) -> StyledObject<&'static str> {
    let symbol = style(symbol(verdict));
    match verdict {
        Verdict::Pass => symbol.green(),
        Verdict::Fail => symbol.red().bold(),
        Verdict::Warn => symbol.yellow().bold(),
        Verdict::Unknown => symbol.cyan(),
        Verdict::Skipped => symbol.dim(),
    }
}

fn line(text: &mut String, content: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{content}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::FindingCode;
    use aks_shared::ExitStatus;
    use aks_shared::identity::ServiceAccountRef;

    #[test]
    fn the_chain_is_listed_in_order_with_details_below_what_failed() {
        let account = ServiceAccountRef::new("shop", "orders").unwrap();
        let findings = vec![
            Finding::new(
                FindingCode::ExchangeRefused,
                Verdict::Fail,
                "pod",
                "Entra refused",
            )
            .because(Some(FindingCode::SubjectMismatch)),
            Finding::new(
                FindingCode::SubjectMismatch,
                Verdict::Fail,
                "fc",
                "another subject",
            )
            .compared("subject", Some("a"), None, "Azure")
            .fix("mend it"),
            Finding::new(FindingCode::IssuerOk, Verdict::Pass, "c", "one issuer").compared(
                "issuer",
                None,
                Some("i"),
                "c",
            ),
        ];
        let report = Report::new("aks-1", account, findings);
        let result = ClusterResult::new("aks-1".into(), ExitStatus::Failed, Ok(report));
        console::set_colors_enabled(false);
        let expected = "\
aks-1  shop/orders
  ✓ issuer-ok         one issuer
  ✗ subject-mismatch  another subject
      subject
        expected  a
        found     (none)
        in        Azure
      fix: mend it
  ✗ exchange-refused  Entra refused
      because of subject-mismatch
failed: subject-mismatch
";
        assert_eq!(checklist(std::slice::from_ref(&result), Detail::Faults), expected);
        let wide = checklist(std::slice::from_ref(&result), Detail::Everything);
        assert!(
            wide.contains(&format!("\n      {}\n", FindingCode::IssuerOk.meaning())),
            "{wide}"
        );
        assert_eq!(names(&[result]), "aks-1/fail\n");
    }
}
