//! The run for people, on standard error: on a terminal a bar for the stage and a line for every running target, plain
//! lines elsewhere, each prefixed by its cluster.

use crate::event::{Event, EventKind, IdentityResult, TargetResult, TargetStatus};
use crate::gate::GateAnswer;
use aks_shared::ui::{Gauge, Task, Ui};
use kubectl_wi_verify::Verdict;
use std::collections::BTreeMap;

/// Talks to the user.
#[derive(Debug)]
pub struct Lines {
    ui: Ui,
    stage: Option<Gauge>,
    running: BTreeMap<String, Task>,
}

impl Lines {
    /// Talks through `ui`.
    pub const fn new(ui: Ui) -> Self {
        Self {
            ui,
            stage: None,
            running: BTreeMap::new(),
        }
    }

    /// Says what an event means.
    pub fn on_event(&mut self, event: &Event) {
        match &event.kind {
            EventKind::IdentityStarted { cluster, .. }
            | EventKind::TargetStarted { cluster, .. }
            | EventKind::RollbackStarted { cluster, .. } => {
                let task = self.ui.task(cluster.clone());
                if let Some(text) = text_of(&event.kind).first() {
                    task.say(text);
                }
                self.running.insert(cluster.clone(), task);
            }
            EventKind::TargetProgress { cluster, .. } => {
                for text in text_of(&event.kind) {
                    match self.running.get(cluster) {
                        Some(task) => task.say(&text),
                        None => self.ui.status(&format!("{cluster}: {text}")),
                    }
                }
            }
            EventKind::IdentityFinished { cluster, .. }
            | EventKind::IdentityFailed { cluster, .. }
            | EventKind::TargetDeferred { cluster, .. }
            | EventKind::TargetRechecked { cluster, .. }
            | EventKind::RollbackFinished { cluster, .. }
            | EventKind::TargetSkipped { cluster, .. }
            | EventKind::TargetFinished { cluster, .. } => {
                let task = self
                    .running
                    .remove(cluster)
                    .unwrap_or_else(|| self.ui.task(cluster.clone()));
                for text in text_of(&event.kind) {
                    task.finish(&text);
                }
                self.advance(&event.kind);
            }
            EventKind::CancelStarted { reason } => self.ui.warning(&format!(
                "{reason}: no further cluster is started; waiting for {}",
                if self.running.is_empty() {
                    "nothing".to_owned()
                } else {
                    self.running.keys().cloned().collect::<Vec<_>>().join(", ")
                }
            )),
            EventKind::RunStarted(_)
            | EventKind::StageStarted { .. }
            | EventKind::StageFinished { .. }
            | EventKind::GateReached { .. }
            | EventKind::GateAnswered { .. }
            | EventKind::RunFinished { .. } => {
                for text in text_of(&event.kind) {
                    self.ui.status(&text);
                }
                self.stage = match &event.kind {
                    EventKind::StageStarted { stage, targets, .. } => {
                        Some(self.ui.gauge(format!("stage {stage}"), *targets))
                    }
                    _ => None,
                };
            }
        }
    }

    /// Fills the bar of the stage where an event ends a target, and names the one that ended last.
    fn advance(&self, kind: &EventKind) {
        let Some(stage) = &self.stage else { return };
        match kind {
            EventKind::TargetFinished { cluster, result, .. } => {
                stage.advance();
                stage.say(&format!("{cluster} {}", result.status.name()));
            }
            EventKind::TargetSkipped { .. } => stage.advance(),
            _ => {}
        }
    }
}

/// What an event means, one text per line, without the cluster's prefix.
pub fn text_of(kind: &EventKind) -> Vec<String> {
    match kind {
        EventKind::RunStarted(plan) => vec![format!(
            "run {}: release {}/{}, chart {} {}, {} in {}",
            plan.run,
            plan.namespace,
            plan.release,
            plan.chart.name,
            plan.chart.version,
            count(plan.targets.len(), "cluster"),
            count(plan.stages.len(), "stage"),
        )],
        EventKind::IdentityStarted { identity, .. } => vec![format!("identity {identity}: setting up")],
        EventKind::IdentityFinished { result, .. } => vec![identity_text(result)],
        EventKind::IdentityFailed {
            identity,
            failure,
            written,
            ..
        } => {
            let changed = written.as_ref().map_or(0, |result| result.changed);
            let after = if changed == 0 {
                String::new()
            } else {
                format!(" after {}", count(changed, "change"))
            };
            vec![format!("identity {identity} failed{after}: {}", failure.line())]
        }
        EventKind::StageStarted {
            stage,
            targets,
            max_concurrency,
            max_failures,
        } => vec![format!(
            "stage {stage}: {}, {max_concurrency} at once, {} allowed",
            count(*targets, "cluster"),
            count(*max_failures, "failure"),
        )],
        EventKind::TargetStarted { revision_before, .. } => {
            vec![
                revision_before.map_or("started, no release yet".to_owned(), |revision| {
                    format!("started at revision {revision}")
                }),
            ]
        }
        EventKind::TargetProgress { message, .. } => vec![message.clone()],
        EventKind::TargetDeferred { failure, .. } => vec![format!(
            "cannot be reached, tried again at the end of its stage: {}",
            failure.line()
        )],
        EventKind::TargetSkipped { reason, .. } => vec![format!("not started: {reason}")],
        EventKind::TargetRechecked { result, .. } if result.failure.is_none() => {
            vec!["verified again after the bake".to_owned()]
        }
        EventKind::RollbackStarted { restore, .. } => vec![restore.map_or_else(
            || "uninstalling what this run installed".to_owned(),
            |revision| format!("rolling back to revision {revision}"),
        )],
        EventKind::GateReached { stage, gate, seconds } => vec![match seconds {
            Some(seconds) => format!("stage {stage}: {gate} for {seconds}s"),
            None => format!("stage {stage}: gate {gate} waits for an approval"),
        }],
        EventKind::GateAnswered {
            stage,
            gate,
            answer,
            by,
        } => {
            let by = by
                .as_ref()
                .map(|by| format!(", approved by {by}"))
                .unwrap_or_default();
            vec![match answer {
                GateAnswer::Passed => format!("stage {stage}: gate {gate} passed{by}"),
                GateAnswer::Waiting => format!("stage {stage}: gate {gate} is not approved yet"),
            }]
        }
        EventKind::TargetFinished { result, .. }
        | EventKind::TargetRechecked { result, .. }
        | EventKind::RollbackFinished { result, .. } => result_text(result),
        EventKind::StageFinished {
            stage, failures: 0, ..
        } => vec![format!("stage {stage}: finished")],
        EventKind::StageFinished {
            stage,
            failures,
            max_failures,
        } => {
            vec![format!(
                "stage {stage}: {}, {max_failures} allowed",
                count(*failures, "failure")
            )]
        }
        EventKind::CancelStarted { reason } | EventKind::RunFinished { reason, .. } => vec![reason.clone()],
    }
}

fn identity_text(result: &IdentityResult) -> String {
    let IdentityResult {
        identity,
        client_id,
        changed,
        ..
    } = result;
    let client_id = client_id.as_deref().unwrap_or("unknown");
    match changed {
        0 => format!("identity {identity} is in order, client id {client_id}"),
        writes => format!(
            "identity {identity} set up ({}), client id {client_id}",
            count(*writes, "change")
        ),
    }
}

fn result_text(result: &TargetResult) -> Vec<String> {
    let took = format!("{:.1}s", result.took.as_secs_f64());
    let verified = match result.findings.iter().map(|finding| finding.verdict).max() {
        None => String::new(),
        Some(Verdict::Fail) => ", not verified".to_owned(),
        Some(_) => ", verified".to_owned(),
    };
    let revision = result
        .revision_after
        .map(|revision| format!(" revision {revision}"))
        .unwrap_or_default();
    let mut lines = vec![match result.status {
        TargetStatus::Unchanged => "nothing to do".to_owned(),
        TargetStatus::IdentityRepaired => format!("identity repaired{verified}; release unchanged ({took})"),
        TargetStatus::Installed | TargetStatus::Upgraded => {
            format!("{}{revision}{verified} ({took})", result.status.name())
        }
        TargetStatus::Uninstalled => format!("uninstalled ({took})"),
        TargetStatus::NotStarted => result.status.name().to_owned(),
        TargetStatus::RolledBack => result.revision_after.map_or_else(
            || format!("rolled back: uninstalled ({took})"),
            |revision| format!("rolled back by revision {revision}{verified} ({took})"),
        ),
        TargetStatus::Failed
        | TargetStatus::RollbackFailed
        | TargetStatus::Unreachable
        | TargetStatus::Interrupted => {
            let why = result
                .failure
                .as_ref()
                .map(crate::event::FailureReport::line)
                .unwrap_or_default();
            format!("{}: {why} ({took})", result.status.name())
        }
    }];
    let failed = result
        .findings
        .iter()
        .filter(|finding| finding.verdict == Verdict::Fail);
    lines.extend(failed.map(|finding| format!("  {}: {}", finding.code, finding.message)));
    let details = result
        .failure
        .iter()
        .flat_map(crate::event::FailureReport::details);
    lines.extend(details.map(|line| format!("  {line}")));
    lines
}

/// `1 cluster`, `2 clusters`.
pub fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn a_run_reads_as_a_story() {
        let text: Vec<String> = sample::events()
            .iter()
            .flat_map(|event| text_of(&event.kind))
            .collect();
        assert_eq!(
            text,
            [
                "run 20261121-1: release shop/orders, chart orders 0.1.0, 3 clusters in 2 stages",
                "identity orders: setting up",
                "identity orders set up (3 changes), client id 11111111-0000-4000-8000-000000000001",
                "stage canary: 1 cluster, 1 at once, 0 failures allowed",
                "started at revision 3",
                "helm upgrade",
                "upgraded revision 4, verified (8.2s)",
                "stage canary: finished",
                "stage prod: 2 clusters, 1 at once, 0 failures allowed",
                "started at revision 3",
                "failed: helm upgrade failed (exit status: 1) (8.2s)",
                "  Error: UPGRADE FAILED: timed out",
                "  pod orders-1: app: ErrImagePull",
                "stage prod: 1 failure, 0 allowed",
                "not started: stage prod had more failures than it may",
                "stage prod: 1 failure, 0 allowed",
            ]
        );
    }
}
