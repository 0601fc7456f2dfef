//! `report.md`: the run for a pull request or a pipeline's summary page.

use crate::report::{FleetReport, TargetReport};
use kubectl_wi_verify::Verdict;
use std::fmt::Write;

/// The report as Markdown.
pub fn render(report: &FleetReport) -> String {
    let mut text = String::new();
    write(report, &mut text).unwrap_or_default();
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
        escape(&report.reason)
    )?;
    writeln!(
        text,
        "- run `{}`, {} to {}",
        report.run.id, report.run.started_at, report.run.finished_at
    )?;
    let chart = &release.chart;
    writeln!(
        text,
        "- chart `{}` {}, digest `{}`",
        chart.name, chart.version, chart.digest
    )?;
    if let Some(helm) = &report.run.helm {
        writeln!(text, "- helm {helm}")?;
    }
    if let Some(commit) = &report.run.commit {
        writeln!(text, "- commit `{commit}`")?;
    }
    if let Some(url) = &report.run.pipeline_url {
        writeln!(text, "- pipeline {url}")?;
    }
    for stage in &report.stages {
        writeln!(text, "\n## Stage {}\n", escape(&stage.name))?;
        let (concurrency, allowed, failures) = (stage.max_concurrency, stage.max_failures, stage.failures);
        writeln!(
            text,
            "{concurrency} at once, {failures} failed, {allowed} allowed.\n"
        )?;
        writeln!(
            text,
            "| cluster | status | revision | verified | client id | time |"
        )?;
        writeln!(text, "|---|---|---|---|---|---|")?;
        for target in report.targets.iter().filter(|target| target.stage == stage.name) {
            row(target, text)?;
        }
    }
    let failed: Vec<&TargetReport> = report
        .targets
        .iter()
        .filter(|target| target.failure.is_some())
        .collect();
    if !failed.is_empty() {
        writeln!(text, "\n## Failures")?;
        for target in failed {
            failure(target, text)?;
        }
    }
    let mut changes = report.targets.iter().flat_map(changes_of).peekable();
    if changes.peek().is_some() {
        writeln!(text, "\n## Identity changes\n")?;
        writeln!(
            text,
            "| cluster | action | object | name | request |\n|---|---|---|---|---|"
        )?;
        for change in changes {
            writeln!(text, "| {} |", change.map(|cell| escape(&cell)).join(" | "))?;
        }
    }
    Ok(())
}

fn row(target: &TargetReport, text: &mut String) -> std::fmt::Result {
    let revision = |revision: Option<u32>| revision.map_or("–".to_owned(), |number| number.to_string());
    writeln!(
        text,
        "| {} | {} | {} → {} | {} | {} | {:.1} s |",
        escape(&target.cluster),
        target.status.name(),
        revision(target.revision_before),
        revision(target.revision_after),
        target.verification(),
        target.client_id.as_deref().unwrap_or("–"),
        target.seconds,
    )
}

fn failure(target: &TargetReport, text: &mut String) -> std::fmt::Result {
    let Some(failure) = &target.failure else {
        return Ok(());
    };
    writeln!(
        text,
        "\n### {}\n\n{}",
        escape(&target.cluster),
        escape(&failure.line())
    )?;
    for finding in target
        .findings
        .iter()
        .filter(|finding| finding.verdict == Verdict::Fail)
    {
        writeln!(text, "\n- `{}`: {}", finding.code, escape(&finding.message))?;
        for evidence in &finding.evidence {
            let (expected, found) = (evidence.expected.as_deref(), evidence.found.as_deref());
            writeln!(
                text,
                "  - {}: expected `{}`, found `{}`",
                escape(&evidence.what),
                expected.unwrap_or("–"),
                found.unwrap_or("nothing"),
            )?;
        }
        for fix in &finding.fixes {
            writeln!(text, "  - fix: `{fix}`")?;
        }
    }
    let details: Vec<&str> = failure.details().collect();
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

fn changes_of(target: &TargetReport) -> Vec<[String; 5]> {
    let cell = |change: &serde_json::Value, key: &str| {
        change
            .get(key)
            .and_then(serde_json::Value::as_str)
            .unwrap_or("–")
            .to_owned()
    };
    target
        .identities
        .iter()
        .filter_map(|identity| identity.outcome.get("changes")?.as_array())
        .flatten()
        .map(|change| {
            let of = |key| cell(change, key);
            [
                target.cluster.clone(),
                of("action"),
                of("object"),
                of("name"),
                of("requestId"),
            ]
        })
        .collect()
}

/// Foreign text stays text: no table cell, tag or link is made of it.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' | '#' => escaped.extend(['\\', character]),
            '<' => escaped.push_str("&lt;"),
            '\n' | '\r' => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
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
            "| neu-2 | not started | 3 → 3 | - | – | 0.0 s |",
            "### neu-1\n\nhelm upgrade failed (exit status: 1)",
            "````text\nError: UPGRADE FAILED: timed out\npod orders-1: app: ErrImagePull\n````",
        ] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
    }

    #[test]
    fn foreign_text_makes_no_markup() {
        assert_eq!(escape("a|b <img> [x]\n`"), "a\\|b &lt;img> \\[x\\] \\`");
    }
}
