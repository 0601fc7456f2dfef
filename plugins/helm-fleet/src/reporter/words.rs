//! The words of a report that its forms share.

use super::lines::count;
use crate::event::TargetStatus;
use crate::gate::GateAnswer;
use crate::report::{FleetReport, GateReport, StageReport, StageStatus, TargetReport};
use jiff::Timestamp;

/// What a run is known by: names with what they stand for, in the order in which they are told.
pub(super) fn facts(report: &FleetReport) -> Vec<(&'static str, String)> {
    let (run, chart) = (&report.run, &report.release.chart);
    let mut facts = vec![
        ("run", format!("{} (helm fleet {})", run.id, run.command)),
        (
            "time",
            format!("{} to {}", clock(run.started_at), clock(run.finished_at)),
        ),
        ("chart", format!("{} {}", chart.name, chart.version)),
        ("digest", chart.digest.clone()),
    ];
    facts.extend(run.helm.as_ref().map(|helm| ("helm", helm.clone())));
    facts.extend(principal(report).map(|principal| ("signed in as", principal)));
    facts.extend(run.commit.as_ref().map(|commit| ("commit", commit.clone())));
    facts.extend(run.pipeline_url.as_ref().map(|url| ("pipeline", url.clone())));
    facts
}

/// Who was signed in to Azure, with the tenant.
fn principal(report: &FleetReport) -> Option<String> {
    let principal = report.run.principal.as_ref()?;
    let text = |key: &str| principal.get(key).and_then(serde_json::Value::as_str);
    let who = text("name")
        .or_else(|| text("objectId"))
        .unwrap_or("unknown principal");
    let tenant = text("tenant").unwrap_or("unknown");
    Some(format!(
        "{who} of tenant {tenant} ({})",
        text("method").unwrap_or("unknown")
    ))
}

/// How many targets ended how; nothing of what none ended by. What matters most comes first.
pub(super) fn counts(report: &FleetReport) -> Vec<(TargetStatus, usize)> {
    let counts = &report.summary;
    [
        (TargetStatus::RollbackFailed, counts.rollback_failed),
        (TargetStatus::Failed, counts.failed),
        (TargetStatus::Interrupted, counts.interrupted),
        (TargetStatus::Unreachable, counts.unreachable),
        (TargetStatus::RolledBack, counts.rolled_back),
        (TargetStatus::Uninstalled, counts.uninstalled),
        (TargetStatus::Installed, counts.installed),
        (TargetStatus::Upgraded, counts.upgraded),
        (TargetStatus::IdentityRepaired, counts.identity_repaired),
        (TargetStatus::Unchanged, counts.unchanged),
        (TargetStatus::NotStarted, counts.not_started),
    ]
    .into_iter()
    .filter(|(_, number)| *number > 0)
    .collect()
}

/// Where a stage stands.
pub(super) const fn stage(status: StageStatus) -> &'static str {
    match status {
        StageStatus::NotStarted => "not started",
        StageStatus::Running => "not ended",
        StageStatus::Finished => "finished",
        StageStatus::Failed => "failed",
        StageStatus::Waiting => "waiting",
    }
}

/// What became of a gate.
pub(super) fn answer(gate: &GateReport) -> String {
    match (gate.answer, &gate.by) {
        (Some(GateAnswer::Passed), Some(by)) => format!("approved by {by}"),
        (Some(GateAnswer::Passed), None) => "passed".to_owned(),
        (Some(GateAnswer::Waiting), _) => "waits for an approval".to_owned(),
        (None, _) => "not passed".to_owned(),
    }
}

/// The limits of a stage and how it kept them.
pub(super) fn limits(stage: &StageReport) -> String {
    format!(
        "{} at once, {}, {} allowed",
        stage.max_concurrency,
        count(stage.failures, "failure"),
        stage.max_failures
    )
}

/// The revisions of a target: before and after where they differ.
pub(super) fn revisions(target: &TargetReport) -> String {
    let number = |revision: Option<u32>| revision.map_or("–".to_owned(), |number| number.to_string());
    if target.revision_before == target.revision_after {
        number(target.revision_after)
    } else {
        format!(
            "{} → {}",
            number(target.revision_before),
            number(target.revision_after)
        )
    }
}

/// What somebody should look at besides failures, each by its cluster.
pub(super) fn notes(report: &FleetReport) -> Vec<String> {
    let of_target = |target: &TargetReport| {
        let of = |note: &String| format!("{}: {note}", target.cluster);
        let notes = target.identities.iter().flat_map(|identity| &identity.notes);
        let kept = (!target.kept_values.is_empty())
            .then(|| format!("kept values of its own: {}", target.kept_values.join(", ")));
        notes.chain(&kept).map(of).collect::<Vec<_>>()
    };
    report.targets.iter().flat_map(of_target).collect()
}

/// A time to the second, in UTC.
pub(super) fn clock(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}
