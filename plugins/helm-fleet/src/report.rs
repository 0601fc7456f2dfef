//! The report of a run: events folded into the state they leave. Written once, rendered by the reporters, and read
//! back to be rendered again.

mod access;
mod fold;
pub mod known;
pub(crate) mod read;
#[cfg(test)]
pub(crate) mod sample;

pub use access::Access;

use crate::chart::Chart;
use crate::event::{FailureReport, IdentityResult, Step, TargetStatus};
use crate::gate::GateAnswer;
use jiff::Timestamp;
use known::Word;
use kubectl_wi_verify::{Finding, Verdict};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The API version of this plugin's documents.
pub const API_VERSION: &str = "helmfleet/v1alpha1";
/// The kind of the report.
const KIND: &str = "FleetReport";

/// The `FleetReport` document.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FleetReport {
    #[serde(deserialize_with = "known::version")]
    api_version: Word,
    #[serde(deserialize_with = "known::kind")]
    kind: Word,
    /// The process exit code.
    pub exit_code: u8,
    /// Its name.
    #[serde(deserialize_with = "known::exit_name")]
    pub exit_name: Word,
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
    /// Who may read what from where, as the run leaves it.
    pub access: Vec<Access>,
}

/// One execution.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunReport {
    /// Its id.
    pub id: String,
    /// The command, `upgrade` or another one.
    #[serde(deserialize_with = "known::command")]
    pub command: Word,
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
#[derive(Debug, Clone, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Could not be reached, and left out for that.
    pub unreachable: usize,
    /// Rolled back.
    pub rolled_back: usize,
    /// The release is gone, as was asked for.
    #[serde(default)]
    pub uninstalled: usize,
    /// Could not be rolled back.
    pub rollback_failed: usize,
    /// Never started.
    pub not_started: usize,
}

/// One stage.
#[derive(Debug, Clone, Serialize, Deserialize)]
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
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended; its gates come after that.
    pub finished_at: Option<Timestamp>,
    /// The gates that were reached, in order.
    pub gates: Vec<GateReport>,
}

/// A gate that was reached.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GateReport {
    /// Its name.
    pub name: String,
    /// When it was reached.
    pub reached_at: Timestamp,
    /// When it was answered.
    pub answered_at: Option<Timestamp>,
    /// What became of it; none while it is open.
    pub answer: Option<GateAnswer>,
    /// Who approved it.
    pub by: Option<String>,
}

/// Where a stage stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Its gate waits for an approval.
    Waiting,
}

/// One target.
#[derive(Debug, Clone, Serialize, Deserialize)]
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
    /// The keys of values that the cluster has, the fleet has not, and that are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept_values: Vec<String>,
    /// The client id of its first identity.
    pub client_id: Option<String>,
    /// The revision before.
    pub revision_before: Option<u32>,
    /// The revision after; none when there is none, or when it is not known.
    pub revision_after: Option<u32>,
    /// Its identities, with every write and its request id.
    pub identities: Vec<IdentityResult>,
    /// What verification found.
    pub findings: Vec<Finding>,
    /// The further checks that it passed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<String>,
    /// Why it failed.
    pub failure: Option<FailureReport>,
    /// Why it could not be rolled back.
    pub rollback_failure: Option<FailureReport>,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended, its rollback included.
    pub finished_at: Option<Timestamp>,
    /// How long it took, in seconds.
    pub seconds: f64,
}

impl TargetReport {
    /// Verification in one word, `-` when there was none. What was at target had been verified before.
    pub fn verification(&self) -> &'static str {
        let failed = self.trouble().is_some_and(|failure| failure.step == Step::Verify);
        match self.findings.iter().map(|finding| finding.verdict).max() {
            _ if failed => Verdict::Fail.name(),
            Some(verdict) => verdict.name(),
            None if !self.checks.is_empty() => Verdict::Pass.name(),
            None if self.status == TargetStatus::Unchanged => "before",
            None => "-",
        }
    }

    /// The client ids of all its identities.
    pub fn client_ids(&self) -> Option<String> {
        let mut ids: Vec<&str> = Vec::new();
        for id in self
            .identities
            .iter()
            .filter_map(|identity| identity.client_id.as_deref())
        {
            // A run that was resumed tells of each anew.
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        (!ids.is_empty()).then(|| ids.join(", "))
    }

    /// Why it is not where it should be: what failed last.
    pub fn trouble(&self) -> Option<&FailureReport> {
        self.rollback_failure.as_ref().or(self.failure.as_ref())
    }

    /// Findings that say that something is wrong.
    pub fn failed_findings(&self) -> impl Iterator<Item = &Finding> {
        self.findings
            .iter()
            .filter(|finding| finding.verdict == Verdict::Fail)
    }

    /// What was written for it in Azure and on its cluster, in order.
    pub fn writes(&self) -> Vec<Write> {
        let changes =
            |identity: &IdentityResult| Vec::<Write>::deserialize(identity.outcome.get("changes")?).ok();
        self.identities.iter().filter_map(changes).flatten().collect()
    }
}

/// One thing that was written for an identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Write {
    /// What kind of object.
    pub object: String,
    /// `create`, `update` or `delete`.
    pub action: String,
    /// The object's name.
    pub name: String,
    /// Azure's id of the request.
    #[serde(default)]
    pub request_id: Option<String>,
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

    #[test]
    fn the_client_ids_of_all_identities_are_told_once() {
        let mut target = sample::report().targets.swap_remove(0);
        let first = target.identities[0].clone();
        let second = IdentityResult {
            client_id: Some("22222222".to_owned()),
            ..first.clone()
        };
        target.identities.extend([second, first]);
        let ids = target.client_ids().unwrap();
        assert_eq!(ids, "11111111-0000-4000-8000-000000000001, 22222222");
    }
}
