//! Markdown: a heading per cluster, a table of findings, the fixes below it.

use super::checklist::symbol;
use super::{explained, found};
use crate::finding::Verdict;
use crate::report::{ClusterResult, Report};
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
            for hint in &result.hints {
                command(&mut lines, hint);
            }
            continue;
        };
        of_report(&mut lines, report);
    }
    lines.push(String::new());
    lines.join("\n")
}

fn of_report(lines: &mut Vec<String>, report: &Report) {
    lines.push(format!(
        "Service account `{}`: **{}**",
        report.account,
        report.verdict.name()
    ));
    lines.push(String::new());
    lines.push("| | Finding | |".to_owned());
    lines.push("|---|---|---|".to_owned());
    for finding in report.checklist() {
        let because = finding.because_of;
        let because = because.map_or_else(String::new, |code| format!(" (because of `{code}`)"));
        lines.push(format!(
            "| {} | `{}` | {}{because} |",
            symbol(finding.verdict),
            finding.code,
            escaped(&finding.message)
        ));
    }
    let faults = report
        .findings
        .iter()
        .filter(|finding| matches!(finding.verdict, Verdict::Fail | Verdict::Warn));
    for fault in faults {
        let (evidence, fixes) = explained(fault);
        for evidence in evidence {
            let Some(expected) = &evidence.expected else {
                continue;
            };
            lines.push(String::new());
            lines.push(format!(
                "`{}` {}: expected `{expected}`, found `{}` in {}",
                fault.code,
                escaped(&evidence.what),
                found(evidence),
                escaped(&evidence.source)
            ));
        }
        for fix in fixes {
            command(lines, fix);
        }
    }
}

fn command(lines: &mut Vec<String>, command: &str) {
    lines.extend([
        String::new(),
        "```sh".to_owned(),
        command.to_owned(),
        "```".to_owned(),
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::{Finding, FindingCode};
    use aks_shared::identity::ServiceAccountRef;
    use aks_shared::{ExitStatus, Failure};

    #[test]
    fn what_is_not_well_has_its_explanation_and_its_fix() {
        let finding = |code, verdict| Finding::new(code, verdict, "s", "a|b");
        let findings = vec![
            finding(FindingCode::SubjectMismatch, Verdict::Fail)
                .compared("subject", Some("a"), None, "Azure")
                .fix("mend it"),
            finding(FindingCode::ExchangeRefused, Verdict::Fail).because(Some(FindingCode::SubjectMismatch)),
            finding(FindingCode::LabelOnAccount, Verdict::Warn).fix("move it"),
        ];
        let account = ServiceAccountRef::new("shop", "orders").unwrap();
        let report = Report::new("aks-1", account, findings);
        let refused = Failure::refused("no answer").hint("try kubectl");
        let results = [
            ClusterResult::new("aks-1".into(), ExitStatus::Failed, Ok(report)),
            ClusterResult::new("aks-2".into(), ExitStatus::Refused, Err(refused)),
        ];
        let expected = "\
# Workload identity

## aks-1

Service account `shop/orders`: **fail**

| | Finding | |
|---|---|---|
| ! | `label-on-account` | a\\|b |
| ✗ | `subject-mismatch` | a\\|b |
| ✗ | `exchange-refused` | a\\|b (because of `subject-mismatch`) |

`subject-mismatch` subject: expected `a`, found `(none)` in Azure

```sh
mend it
```

```sh
move it
```

## aks-2

no answer

```sh
try kubectl
```
";
        assert_eq!(markdown(&results), expected);
    }
}
