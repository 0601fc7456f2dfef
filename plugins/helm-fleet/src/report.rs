//! The report of a run: events folded into the state they leave. Written once, rendered by the reporters.

#[cfg(test)]
pub(crate) mod sample;

use crate::chart::Chart;
use crate::event::{Event, EventKind, FailureReport, IdentityResult, TargetStatus};
use jiff::Timestamp;
use kubectl_wi_verify::{Finding, Verdict};
use serde::Serialize;
use serde_json::Value;

/// The API version of this plugin's documents.
pub const API_VERSION: &str = "helmfleet/v1alpha1";

/// The `FleetReport` document.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FleetReport {
    api_version: &'static str,
    kind: &'static str,
    /// The process exit code.
    pub exit_code: u8,
    /// Its name.
    pub exit_name: &'static str,
    /// Why the run ended like this.
    pub reason: String,
    /// The run.
    pub run: RunReport,
    /// The release.
    pub release: ReleaseReport,
    /// How the targets ended.
    pub summary: Counts,
    /// The stages in order.
    pub stages: Vec<StageReport>,
    /// The targets in the order of the file.
    pub targets: Vec<TargetReport>,
}

/// One execution.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunReport {
    /// Its id.
    pub id: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
    /// The version of helm; none when no target needed it.
    pub helm: Option<String>,
    /// Who was signed in to Azure.
    pub principal: Option<Value>,
    /// The commit, where CI tells it.
    pub commit: Option<String>,
    /// The page of the pipeline run, where CI tells it.
    pub pipeline_url: Option<String>,
}

/// What was rolled out.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseReport {
    /// The release's name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The chart.
    pub chart: Chart,
}

/// How many targets ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// All.
    pub total: usize,
    /// First installs.
    pub installed: usize,
    /// New revisions.
    pub upgraded: usize,
    /// Identity repaired, release at target.
    pub identity_repaired: usize,
    /// Nothing to do.
    pub unchanged: usize,
    /// Failed.
    pub failed: usize,
    /// Stopped in the middle.
    pub interrupted: usize,
    /// Never started.
    pub not_started: usize,
}

/// One stage.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StageReport {
    /// Its name.
    pub name: String,
    /// How many at once.
    pub max_concurrency: usize,
    /// How many may fail.
    pub max_failures: usize,
    /// How many failed.
    pub failures: usize,
    /// Where it stands.
    pub status: StageStatus,
}

/// Where a stage stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StageStatus {
    /// It never began.
    NotStarted,
    /// It began and has not ended.
    Running,
    /// It ended within its limits.
    Finished,
    /// It ended beyond its limits.
    Failed,
}

/// One target.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetReport {
    /// The cluster's name.
    pub cluster: String,
    /// Its kubeconfig context.
    pub context: String,
    /// The UID of its `kube-system`.
    pub uid: String,
    /// Its stage.
    pub stage: String,
    /// How it ended.
    pub status: TargetStatus,
    /// Why something was to be done.
    pub reason: String,
    /// The client id of its first identity.
    pub client_id: Option<String>,
    /// The revision before.
    pub revision_before: Option<u32>,
    /// The revision after.
    pub revision_after: Option<u32>,
    /// Its identities, with every write and its request id.
    pub identities: Vec<IdentityResult>,
    /// What verification found.
    pub findings: Vec<Finding>,
    /// Why it failed.
    pub failure: Option<FailureReport>,
    /// How long it took, in seconds.
    pub seconds: f64,
}

impl TargetReport {
    fn add_identity(&mut self, result: &IdentityResult) {
        self.client_id = self.client_id.take().or_else(|| result.client_id.clone());
        self.identities.push(result.clone());
    }

    /// Verification in one word, `-` when there was none.
    pub fn verification(&self) -> &'static str {
        self.findings
            .iter()
            .map(|finding| finding.verdict)
            .max()
            .map_or("-", Verdict::name)
    }
}

impl FleetReport {
    /// Folds an event into the report. The first event of a run makes it.
    pub fn fold(report: &mut Option<Self>, event: &Event) {
        match (report.as_mut(), &event.kind) {
            (None, EventKind::RunStarted(plan)) => *report = Some(Self::begin(plan, event.at)),
            (Some(report), _) => report.add(event),
            (None, _) => {}
        }
    }

    fn begin(plan: &crate::event::RunPlan, at: Timestamp) -> Self {
        let stages = plan.stages.iter().map(|stage| StageReport {
            name: stage.name.clone(),
            max_concurrency: stage.max_concurrency,
            max_failures: stage.max_failures,
            failures: 0,
            status: StageStatus::NotStarted,
        });
        let targets = plan.targets.iter().map(|target| TargetReport {
            cluster: target.cluster.clone(),
            context: target.context.clone(),
            uid: target.uid.clone(),
            stage: target.stage.clone(),
            status: TargetStatus::NotStarted,
            reason: target.reason.clone(),
            client_id: None,
            revision_before: target.revision,
            revision_after: target.revision,
            identities: Vec::new(),
            findings: Vec::new(),
            failure: None,
            seconds: 0.0,
        });
        Self {
            api_version: API_VERSION,
            kind: "FleetReport",
            exit_code: aks_shared::ExitStatus::Failed.code(),
            exit_name: aks_shared::ExitStatus::Failed.name(),
            reason: "the run has not ended".to_owned(),
            run: RunReport {
                id: plan.run.clone(),
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
        }
    }

    fn add(&mut self, event: &Event) {
        self.run.finished_at = event.at;
        match &event.kind {
            EventKind::IdentityFinished { cluster, result } => {
                if let Some(target) = self.target(cluster) {
                    target.add_identity(result);
                }
            }
            EventKind::IdentityFailed {
                cluster,
                failure,
                written,
                ..
            } => {
                if let Some(target) = self.target(cluster) {
                    if let Some(result) = written {
                        target.add_identity(result);
                    }
                    target.failure = Some(failure.clone());
                }
            }
            EventKind::StageStarted { stage, .. } => {
                if let Some(stage) = self.stage(stage) {
                    stage.status = StageStatus::Running;
                }
            }
            EventKind::TargetFinished { cluster, result, .. } => {
                if let Some(target) = self.target(cluster) {
                    target.status = result.status;
                    target.revision_after = result.revision_after.or(target.revision_after);
                    target.findings.clone_from(&result.findings);
                    target.failure = result.failure.clone().or(target.failure.take());
                    target.seconds = (result.took.as_secs_f64() * 1000.0).round() / 1000.0;
                }
            }
            EventKind::StageFinished {
                stage,
                failures,
                max_failures,
            } => {
                if let Some(stage) = self.stage(stage) {
                    stage.failures = *failures;
                    let within = failures <= max_failures;
                    stage.status = if within {
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
                self.summary = self.count();
            }
            EventKind::RunStarted(_)
            | EventKind::IdentityStarted { .. }
            | EventKind::TargetStarted { .. }
            | EventKind::TargetProgress { .. }
            | EventKind::CancelStarted { .. } => {}
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_planned_target_is_accounted_for() {
        let report = sample::report();
        let counts = Counts {
            total: 3,
            upgraded: 1,
            failed: 1,
            not_started: 1,
            ..Counts::default()
        };
        assert_eq!(report.summary, counts);
        assert_eq!(
            report.targets[0].client_id.as_deref(),
            Some("11111111-0000-4000-8000-000000000001")
        );
        assert_eq!(
            (
                report.targets[0].revision_before,
                report.targets[0].revision_after
            ),
            (Some(3), Some(4))
        );
        assert_eq!(
            report.stages.iter().map(|stage| stage.status).collect::<Vec<_>>(),
            [StageStatus::Finished, StageStatus::Failed]
        );
        assert_eq!((report.exit_code, report.exit_name), (4, "stopped"));
    }
}
