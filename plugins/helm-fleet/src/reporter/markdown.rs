//! `report.md` for pull requests and run summaries.

use super::lines::count;
use super::words;
use crate::event::FailureReport;
use crate::report::{FleetReport, TargetReport};
use aks_shared::markdown::escaped;
use std::fmt::Write;

/// The report as Markdown.
pub fn render(report: &FleetReport) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write(report, &mut text);
    text
}

fn write(report: &FleetReport, text: &mut String) -> std::fmt::Result {
    let release = &report.release;
    writeln!(text, "# helm fleet: {}/{}\n", release.namespace, release.name)?;
    writeln!(
        text,
        "**{}** (exit code {}): {}\n",
        report.exit_name,
        report.exit_code,
        escaped(&report.reason)
    )?;
    let counts = words::counts(report);
    let counts: Vec<String> = counts
        .into_iter()
        .map(|(status, number)| format!("{number} {}", status.name()))
        .collect();
    writeln!(
        text,
        "{}: {}\n",
        count(report.summary.total, "cluster"),
        counts.join(", ")
    )?;
    for (name, fact) in words::facts(report) {
        // A link is made of it by whoever shows it; anything else is text.
        let fact = if fact.starts_with("https://") {
            fact.replace(char::is_whitespace, "")
        } else {
            escaped(&fact)
        };
        writeln!(text, "- {name}: {fact}")?;
    }
    let failed: Vec<&TargetReport> = report
        .targets
        .iter()
        .filter(|target| target.trouble().is_some())
        .collect();
    if !failed.is_empty() {
        writeln!(text, "\n## Failures")?;
    }
    for target in failed {
        trouble(target, text)?;
    }
    for stage in &report.stages {
        writeln!(text, "\n## Stage {}\n", escaped(&stage.name))?;
        writeln!(text, "{}: {}\n", words::stage(stage.status), words::limits(stage))?;
        writeln!(
            text,
            "| cluster | status | revision | verified | client id | time |"
        )?;
        writeln!(text, "|---|---|---|---|---|---|")?;
        for target in report.targets.iter().filter(|target| target.stage == stage.name) {
            row(target, text)?;
        }
        let mut gates = stage.gates.iter().peekable();
        if gates.peek().is_some() {
            writeln!(text)?;
        }
        for gate in gates {
            writeln!(
                text,
                "- gate {}: {}",
                escaped(&gate.name),
                escaped(&words::answer(gate))
            )?;
        }
    }
    access(report, text)?;
    writes(report, text)?;
    let mut notes = words::notes(report).into_iter().peekable();
    if notes.peek().is_some() {
        writeln!(text, "\n## To look at\n")?;
    }
    for note in notes {
        writeln!(text, "- {}", escaped(&note))?;
    }
    Ok(())
}

fn row(target: &TargetReport, text: &mut String) -> std::fmt::Result {
    writeln!(
        text,
        "| {} | {} | {} | {} | {} | {:.1} s |",
        escaped(&target.cluster),
        target.status.name(),
        words::revisions(target),
        target.verification(),
        target.client_ids().as_deref().unwrap_or("–"),
        target.seconds,
    )
}

fn trouble(target: &TargetReport, text: &mut String) -> std::fmt::Result {
    writeln!(text, "\n### {}", escaped(&target.cluster))?;
    let failures: Vec<&FailureReport> = target.rollback_failure.iter().chain(&target.failure).collect();
    for failure in &failures {
        writeln!(text, "\n{}", escaped(&failure.line()))?;
    }
    for finding in target.failed_findings() {
        writeln!(text, "\n- `{}`: {}", finding.code, escaped(&finding.message))?;
        for evidence in &finding.evidence {
            writeln!(
                text,
                "  - {}: expected {}, found {}",
                escaped(&evidence.what),
                code(evidence.expected.as_deref().unwrap_or("–")),
                code(evidence.found.as_deref().unwrap_or("nothing")),
            )?;
        }
        for fix in &finding.fixes {
            writeln!(text, "  - fix: {}", code(fix))?;
        }
    }
    let details: Vec<&str> = failures.into_iter().flat_map(FailureReport::details).collect();
    if !details.is_empty() {
        // A fence in the details would close ours.
        writeln!(
            text,
            "\n````text\n{}\n````",
            details.join("\n").replace("````", "'```")
        )?;
    }
    Ok(())
}

fn access(report: &FleetReport, text: &mut String) -> std::fmt::Result {
    if report.access.is_empty() {
        return Ok(());
    }
    writeln!(text, "\n## Access\n")?;
    writeln!(
        text,
        "| cluster | subject | identity | client id | may read | other grants |\n|---|---|---|---|---|---|"
    )?;
    for row in &report.access {
        let vaults = row.vaults.iter().map(|vault| format!("all of {vault}"));
        let readable: Vec<String> = row.secrets.iter().cloned().chain(vaults).collect();
        let cells = [
            &row.cluster,
            &row.subject,
            &row.identity_name,
            &row.client_id,
            &readable.join(", "),
            &row.grants.join(", "),
        ];
        writeln!(text, "| {} |", cells.map(|cell| escaped(cell)).join(" | "))?;
    }
    Ok(())
}

fn writes(report: &FleetReport, text: &mut String) -> std::fmt::Result {
    let writes = report
        .targets
        .iter()
        .flat_map(|target| target.writes().into_iter().map(move |write| (target, write)));
    let mut writes = writes.peekable();
    if writes.peek().is_some() {
        writeln!(text, "\n## Identity changes\n")?;
        writeln!(
            text,
            "| cluster | action | object | name | request |\n|---|---|---|---|---|"
        )?;
    }
    for (target, write) in writes {
        let request = write.request_id.unwrap_or_else(|| "–".to_owned());
        let cells = [
            &target.cluster,
            &write.action,
            &write.object,
            &write.name,
            &request,
        ];
        writeln!(text, "| {} |", cells.map(|cell| escaped(cell)).join(" | "))?;
    }
    Ok(())
}

/// Foreign text as code.
fn code(text: &str) -> String {
    format!("`{}`", text.replace('`', "'").replace(['\n', '\r'], " "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn the_report_names_outcome_targets_and_causes() {
        let text = render(&sample::report());
        for expected in [
            "**stopped** (exit code 4): stage prod: 1 failure, 0 allowed",
            "| weu-1 | upgraded | 3 → 4 | pass | 11111111-0000-4000-8000-000000000001 | 8.2 s |",
            "| neu-2 | not started | 3 | - | – | 0.0 s |",
            "### neu-1\n\nhelm upgrade failed (exit status: 1)",
            "````text\nError: UPGRADE FAILED: timed out\npod orders-1: app: ErrImagePull\n````",
        ] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
    }

    #[test]
    fn access_and_writes_are_told() {
        let text = render(&sample::report());
        for expected in [
            "3 clusters: 1 failed, 1 upgraded, 1 not started",
            "| kv-central/db-password | Reader@/subscriptions/s |",
            "| weu-1 | create | managed identity | id-weu-1 | req-1 |",
            "- weu-1: a note",
        ] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
        assert_eq!(code("a`b\nc"), "`a'b c`");
    }
}
