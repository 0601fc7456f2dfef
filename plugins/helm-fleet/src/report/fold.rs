//! Folds events into a report, one after the other.

use super::{
    API_VERSION, Access, Counts, FleetReport, GateReport, KIND, ReleaseReport, RunReport, StageReport,
    StageStatus, TargetReport,
};
use crate::event::{Event, EventKind, IdentityResult, RunPlan, TargetResult, TargetStatus};
use crate::gate::GateAnswer;
use crate::rollout::Change;
use aks_shared::ExitStatus;
use jiff::Timestamp;

impl FleetReport {
    /// Folds an event into the report. The first event of a run makes it; where a run file holds a run that was
    /// resumed, each part begins it anew and keeps what the parts before have written.
    pub fn fold(report: &mut Option<Self>, event: &Event) {
        match (report.as_mut(), &event.kind) {
            (before, EventKind::RunStarted(plan)) => {
                let mut begun = Self::begin(plan, event.at);
                if let Some(before) = before {
                    begun.keep(before);
                }
                *report = Some(begun);
            }
            (Some(report), _) => report.add(event),
            (None, _) => {}
        }
    }

    fn begin(plan: &RunPlan, at: Timestamp) -> Self {
        let stages = plan.stages.iter().map(|stage| StageReport {
            name: stage.name.clone(),
            max_concurrency: stage.max_concurrency,
            max_failures: stage.max_failures,
            failures: 0,
            status: StageStatus::NotStarted,
            started_at: None,
            finished_at: None,
            gates: Vec::new(),
        });
        let targets = plan.targets.iter().map(|target| TargetReport {
            cluster: target.cluster.clone(),
            context: target.context.clone(),
            uid: target.uid.clone(),
            stage: target.stage.clone(),
            status: TargetStatus::NotStarted,
            reason: target.reason.clone(),
            kept_values: target.kept_values.clone(),
            client_id: None,
            revision_before: target.revision,
            revision_after: target.revision,
            identities: Vec::new(),
            findings: Vec::new(),
            checks: Vec::new(),
            failure: None,
            rollback_failure: None,
            started_at: None,
            finished_at: None,
            seconds: 0.0,
        });
        let mut report = Self {
            api_version: API_VERSION,
            kind: KIND,
            exit_code: ExitStatus::Failed.code(),
            exit_name: ExitStatus::Failed.name(),
            reason: "the run has not ended".to_owned(),
            run: RunReport {
                id: plan.run.clone(),
                command: plan.command,
                started_at: at,
                finished_at: at,
                helm: plan.helm.clone(),
                principal: plan.principal.clone(),
                commit: plan.commit.clone(),
                pipeline_url: plan.pipeline_url.clone(),
            },
            release: ReleaseReport {
                name: plan.release.clone(),
                namespace: plan.namespace.clone(),
                chart: plan.chart.clone(),
            },
            summary: Counts::default(),
            stages: stages.collect(),
            targets: targets.collect(),
            access: Vec::new(),
        };
        report.summary = report.count();
        report
    }

    /// Takes over what an earlier part of the run has written.
    fn keep(&mut self, before: &Self) {
        self.run.started_at = before.run.started_at;
        self.access.clone_from(&before.access);
        for earlier in &before.targets {
            if let Some(target) = self.target(&earlier.cluster) {
                target.identities.clone_from(&earlier.identities);
                target.client_id.clone_from(&earlier.client_id);
            }
        }
    }

    fn add(&mut self, event: &Event) {
        let at = event.at;
        self.run.finished_at = at;
        match &event.kind {
            EventKind::IdentityFinished { cluster, result } => self.add_identity(cluster, result),
            EventKind::IdentityFailed {
                cluster,
                failure,
                written,
                ..
            } => {
                if let Some(result) = written {
                    self.add_identity(cluster, result);
                }
                if let Some(target) = self.target(cluster) {
                    target.failure = Some(failure.clone());
                }
            }
            EventKind::StageStarted { stage, .. } => {
                if let Some(stage) = self.stage(stage) {
                    stage.status = StageStatus::Running;
                    stage.started_at = Some(at);
                }
            }
            EventKind::TargetStarted { cluster, .. } | EventKind::RollbackStarted { cluster, .. } => {
                if let Some(target) = self.target(cluster) {
                    target.started_at = target.started_at.or(Some(at));
                }
            }
            EventKind::TargetFinished { cluster, result, .. } => self.finish(cluster, result, at),
            EventKind::TargetRechecked { cluster, result, .. } => {
                if result.failure.is_some() {
                    self.finish(cluster, result, at);
                } else if let Some(target) = self.target(cluster) {
                    target.findings.clone_from(&result.findings);
                    target.checks.clone_from(&result.checks);
                }
            }
            EventKind::RollbackFinished { cluster, result, .. } => {
                if let Some(target) = self.target(cluster) {
                    target.status = result.status;
                    target.revision_after = result.revision_after;
                    target.rollback_failure.clone_from(&result.failure);
                    target.finished_at = Some(at);
                }
            }
            EventKind::TargetDeferred { cluster, failure, .. } => {
                if let Some(target) = self.target(cluster) {
                    target.reason = failure.line();
                }
            }
            EventKind::TargetSkipped { cluster, reason, .. } => {
                if let Some(target) = self.target(cluster) {
                    target.reason.clone_from(reason);
                }
            }
            EventKind::GateReached { stage, gate, .. } => {
                if let Some(stage) = self.stage(stage) {
                    stage.gates.push(GateReport {
                        name: gate.clone(),
                        reached_at: at,
                        answered_at: None,
                        answer: None,
                        by: None,
                    });
                }
            }
            EventKind::GateAnswered {
                stage,
                gate,
                answer,
                by,
            } => {
                self.answer(stage, gate, *answer, by.as_ref(), at);
            }
            EventKind::StageFinished {
                stage,
                failures,
                max_failures,
            } => {
                if let Some(stage) = self.stage(stage) {
                    stage.failures = *failures;
                    stage.finished_at = Some(at);
                    stage.status = if failures <= max_failures {
                        StageStatus::Finished
                    } else {
                        StageStatus::Failed
                    };
                }
            }
            EventKind::RunFinished {
                exit_code,
                exit_name,
                reason,
            } => {
                self.exit_code = *exit_code;
                self.exit_name = exit_name;
                self.reason.clone_from(reason);
            }
            EventKind::RunStarted(_)
            | EventKind::IdentityStarted { .. }
            | EventKind::TargetProgress { .. }
            | EventKind::CancelStarted { .. } => {}
        }
        self.summary = self.count();
    }

    fn add_identity(&mut self, cluster: &str, result: &IdentityResult) {
        let Some(target) = self.target(cluster) else {
            return;
        };
        target.client_id = target.client_id.take().or_else(|| result.client_id.clone());
        target.identities.push(result.clone());
        if let Some(access) = Access::of(cluster, result) {
            self.access
                .retain(|other| (&other.cluster, &other.identity) != (&access.cluster, &access.identity));
            self.access.push(access);
            // The clusters come in any order, and are told in the file's.
            let place = |row: &Access| {
                self.targets
                    .iter()
                    .position(|target| target.cluster == row.cluster)
            };
            self.access.sort_by_key(place);
        }
    }

    fn finish(&mut self, cluster: &str, result: &TargetResult, at: Timestamp) {
        let Some(target) = self.target(cluster) else {
            return;
        };
        target.status = result.status;
        // Of a release that was changed or taken away only what was read since is told.
        let is_as_before = result.change == Change::None && result.status != TargetStatus::Uninstalled;
        target.revision_after = result
            .revision_after
            .or(target.revision_after.filter(|_| is_as_before));
        target.findings.clone_from(&result.findings);
        target.checks.clone_from(&result.checks);
        target.failure = result.failure.clone().or(target.failure.take());
        target.finished_at = Some(at);
        target.seconds = (result.took.as_secs_f64() * 1000.0).round() / 1000.0;
    }

    fn answer(&mut self, stage: &str, gate: &str, answer: GateAnswer, by: Option<&String>, at: Timestamp) {
        let Some(stage) = self.stage(stage) else { return };
        if answer == GateAnswer::Waiting {
            stage.status = StageStatus::Waiting;
        }
        let answered = GateReport {
            name: gate.to_owned(),
            reached_at: at,
            answered_at: Some(at),
            answer: Some(answer),
            by: by.cloned(),
        };
        let open = |gate: &&mut GateReport| gate.answer.is_none() && gate.name == answered.name;
        match stage.gates.iter_mut().rev().find(open) {
            Some(gate) => {
                let reached_at = gate.reached_at;
                *gate = GateReport {
                    reached_at,
                    ..answered
                };
            }
            // One that was approved beforehand is never reached.
            None => stage.gates.push(answered),
        }
    }

    fn count(&self) -> Counts {
        let mut counts = Counts {
            total: self.targets.len(),
            ..Counts::default()
        };
        for target in &self.targets {
            *match target.status {
                TargetStatus::NotStarted => &mut counts.not_started,
                TargetStatus::Unchanged => &mut counts.unchanged,
                TargetStatus::IdentityRepaired => &mut counts.identity_repaired,
                TargetStatus::Installed => &mut counts.installed,
                TargetStatus::Upgraded => &mut counts.upgraded,
                TargetStatus::Unreachable => &mut counts.unreachable,
                TargetStatus::RolledBack => &mut counts.rolled_back,
                TargetStatus::Uninstalled => &mut counts.uninstalled,
                TargetStatus::RollbackFailed => &mut counts.rollback_failed,
                TargetStatus::Interrupted => &mut counts.interrupted,
                TargetStatus::Failed => &mut counts.failed,
            } += 1;
        }
        counts
    }

    fn target(&mut self, cluster: &str) -> Option<&mut TargetReport> {
        self.targets.iter_mut().find(|target| target.cluster == cluster)
    }

    fn stage(&mut self, name: &str) -> Option<&mut StageReport> {
        self.stages.iter_mut().find(|stage| stage.name == name)
    }
}
