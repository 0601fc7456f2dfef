//! What happens in a run, as typed and numbered events. They say what happened, never how it looks.

use crate::chart::Chart;
use crate::fleet::{FailureStrategy, FirstInstall};
use crate::gate::GateAnswer;
use crate::report::known::{self, Word};
use crate::rollout::Change;
use aks_shared::ExitStatus;
use jiff::Timestamp;
use kubectl_wi_verify::Finding;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// One event; the numbers of a run have no gaps.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Its number, from 1.
    pub seq: u64,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum EventKind {
    /// The run began; lists every target.
    RunStarted(Box<RunPlan>),
    /// The identity of a target is being set up.
    IdentityStarted {
        /// The target.
        cluster: String,
        /// The identity's name in the fleet file.
        identity: String,
    },
    /// The identity of a target is in order.
    IdentityFinished {
        /// The target.
        cluster: String,
        /// What is there now, and what was changed.
        result: IdentityResult,
    },
    /// The identity of a target could not be set up.
    IdentityFailed {
        /// The target.
        cluster: String,
        /// The identity's name in the fleet file.
        identity: String,
        /// Why.
        failure: FailureReport,
        /// What was written before.
        written: Option<IdentityResult>,
    },
    /// A stage began.
    StageStarted {
        /// The stage.
        stage: String,
        /// How many targets it has.
        targets: usize,
        /// How many at once.
        max_concurrency: usize,
        /// How many may fail.
        max_failures: usize,
    },
    /// A target began. Written to disk before anything is done to it.
    TargetStarted {
        /// The target.
        cluster: String,
        /// Its stage.
        stage: String,
        /// The revision that it had.
        revision_before: Option<u32>,
        /// The revision that a rollback would go back to.
        restore: Option<u32>,
    },
    /// A target could not be reached, and is tried once more at the end of its stage.
    TargetDeferred {
        /// The target.
        cluster: String,
        /// Its stage.
        stage: String,
        /// Why.
        failure: FailureReport,
    },
    /// Something about a target that may be lost without harm.
    TargetProgress {
        /// The target.
        cluster: String,
        /// What is done now.
        message: String,
    },
    /// A target ended.
    TargetFinished {
        /// The target.
        cluster: String,
        /// Its stage.
        stage: String,
        /// How it ended.
        result: Box<TargetResult>,
    },
    /// A target was never started. Every target of the plan is either this or finished, once.
    TargetSkipped {
        /// The target.
        cluster: String,
        /// Its stage.
        stage: String,
        /// Why.
        reason: String,
    },
    /// A target was verified again at the end of a bake.
    TargetRechecked {
        /// The target.
        cluster: String,
        /// Its stage.
        stage: String,
        /// What was found.
        result: Box<TargetResult>,
    },
    /// A gate was reached.
    GateReached {
        /// The stage before it.
        stage: String,
        /// Its name.
        gate: String,
        /// How long it keeps the run waiting, in seconds; none when it waits for somebody's word.
        seconds: Option<u64>,
    },
    /// A gate was passed, or is left waiting.
    GateAnswered {
        /// The stage before it.
        stage: String,
        /// Its name.
        gate: String,
        /// What became of it.
        answer: GateAnswer,
        /// Who approved it.
        by: Option<String>,
    },
    /// A target is about to be rolled back. Written to disk before anything is done to it.
    RollbackStarted {
        /// The target.
        cluster: String,
        /// Its stage.
        stage: String,
        /// The revision that it goes back to; none when the release is uninstalled.
        restore: Option<u32>,
    },
    /// A rollback ended.
    RollbackFinished {
        /// The target.
        cluster: String,
        /// Its stage.
        stage: String,
        /// How.
        result: Box<TargetResult>,
    },
    /// A stage ended.
    StageFinished {
        /// The stage.
        stage: String,
        /// How many of its targets failed.
        failures: usize,
        /// How many may fail.
        max_failures: usize,
    },
    /// Nothing new is started from here on.
    CancelStarted {
        /// Why.
        reason: String,
    },
    /// The run ended. The last event, exactly once.
    RunFinished {
        /// The process exit code.
        exit_code: u8,
        /// Its name.
        #[serde(deserialize_with = "known::exit_name")]
        exit_name: Word,
        /// Why it ended like this, one sentence.
        reason: String,
    },
}

/// What a run sets out to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunPlan {
    /// The version of this stream.
    #[serde(deserialize_with = "known::version")]
    pub schema: Word,
    /// The command, `upgrade` or `rollback`.
    #[serde(deserialize_with = "known::command")]
    pub command: Word,
    /// The run's id.
    pub run: String,
    /// The release.
    pub release: String,
    /// Its namespace.
    pub namespace: String,
    /// The chart.
    pub chart: Chart,
    /// The version of helm; none when no target needs it.
    pub helm: Option<String>,
    /// Who is signed in to Azure.
    pub principal: Option<Value>,
    /// The commit that the run is of, where CI tells it.
    pub commit: Option<String>,
    /// The page of the pipeline run, where CI tells it.
    pub pipeline_url: Option<String>,
    /// Whether an earlier part of the run came before.
    pub resumed: bool,
    /// What is done when a stage has more failures than it may.
    pub on_failure: FailureStrategy,
    /// What a rollback does where there was no release before the run.
    pub first_install: FirstInstall,
    /// The stages in order.
    pub stages: Vec<StagePlan>,
    /// The targets in the order of the file.
    pub targets: Vec<TargetPlan>,
}

/// A stage as planned.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StagePlan {
    /// Its name.
    pub name: String,
    /// How many at once.
    pub max_concurrency: usize,
    /// How many may fail.
    pub max_failures: usize,
    /// How many at once that share the value of a label, by label.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub max_per_label: BTreeMap<String, usize>,
    /// Its gates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<String>,
    /// The names of its targets.
    pub targets: Vec<String>,
}

/// A target as planned.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetPlan {
    /// The cluster's name.
    pub cluster: String,
    /// Its kubeconfig context.
    pub context: String,
    /// Its stage.
    pub stage: String,
    /// The UID of its `kube-system`.
    pub uid: String,
    /// The newest revision.
    pub revision: Option<u32>,
    /// The revision that a rollback goes back to: the newest good one; none before the first install.
    pub restore: Option<u32>,
    /// What is expected to be done.
    pub action: Action,
    /// Why.
    pub reason: String,
    /// Digest of what it is to become, but for the ids of identities: a run is resumed with the same only.
    pub inputs: String,
    /// The changes to its identities, one line each.
    pub identity_changes: Vec<String>,
    /// The keys of values that the cluster has, the fleet has not, and that are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept_values: Vec<String>,
}

/// What is done to a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// First install.
    Install,
    /// A new revision.
    Upgrade,
    /// No helm: the release is at target and only its identity was not.
    RepairIdentity,
    /// Back to an earlier revision.
    Rollback,
    /// The release is taken away.
    Uninstall,
    /// It cannot be reached: once more when its turn comes.
    TryLater,
    /// It cannot be reached, and is left out.
    LeaveOut,
    /// Nothing at all.
    Nothing,
}

/// One identity of one target.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IdentityResult {
    /// The identity's name in the fleet file.
    pub identity: String,
    /// Its client id; none when it was not made.
    pub client_id: Option<String>,
    /// How many writes it took; none when it was in order.
    pub changed: usize,
    /// What somebody should look at, and what this leaves as it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The whole outcome, as `kubectl wi setup` prints it.
    pub outcome: Value,
}

/// How a target ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetResult {
    /// In one word.
    pub status: TargetStatus,
    /// The revision before.
    pub revision_before: Option<u32>,
    /// The revision after; none when there is none, or when it is not known.
    pub revision_after: Option<u32>,
    /// What the run has changed about the release.
    pub change: Change,
    /// What verification found.
    pub findings: Vec<Finding>,
    /// The further checks that it passed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<String>,
    /// Why it failed.
    pub failure: Option<FailureReport>,
    /// How long it took.
    #[serde(with = "seconds")]
    pub took: Duration,
}

/// How a target ended, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetStatus {
    /// Its stage never started it.
    NotStarted,
    /// Nothing was to be done.
    Unchanged,
    /// The release was at target; its identity was repaired and proven.
    IdentityRepaired,
    /// First install, verified.
    Installed,
    /// New revision, verified.
    Upgraded,
    /// It was stopped in the middle.
    Interrupted,
    /// It could not be reached, and was left out for that.
    Unreachable,
    /// The release is again what it was before the run, or gone where there was none.
    RolledBack,
    /// The release is gone, as was asked for.
    Uninstalled,
    /// It failed.
    Failed,
    /// It could not be rolled back: a person has to look.
    RollbackFailed,
}

impl TargetStatus {
    /// Whether the target is where the fleet wants it.
    pub const fn is_success(self) -> bool {
        matches!(
            self,
            Self::Unchanged | Self::IdentityRepaired | Self::Installed | Self::Upgraded
        )
    }

    /// The word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotStarted => "not started",
            Self::Unchanged => "unchanged",
            Self::IdentityRepaired => "identity repaired",
            Self::Installed => "installed",
            Self::Upgraded => "upgraded",
            Self::Interrupted => "interrupted",
            Self::Unreachable => "unreachable",
            Self::RolledBack => "rolled back",
            Self::Uninstalled => "uninstalled",
            Self::Failed => "failed",
            Self::RollbackFailed => "rollback failed",
        }
    }
}

/// Why something failed, fit for a report: no secrets, no types.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailureReport {
    /// Where in the chain.
    pub step: Step,
    /// What failed.
    pub message: String,
    /// Why, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// The last lines of a process, redacted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// What the pods of the release say, one line each, redacted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
}

/// A step of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The identity.
    Identity,
    /// `helm upgrade`.
    Helm,
    /// Reading or marking the release record.
    Release,
    /// Verification.
    Verify,
    /// `helm rollback` or `helm uninstall`.
    Rollback,
    /// Reaching the cluster.
    Reach,
    /// Looking at it before anything is touched.
    Preflight,
    /// Our own fault.
    Internal,
}

impl FailureReport {
    /// A failure without causes.
    pub fn new(step: Step, message: impl Into<String>) -> Self {
        Self {
            step,
            message: message.into(),
            causes: Vec::new(),
            output: None,
            evidence: Vec::new(),
        }
    }

    /// A failure by an error.
    pub fn of(step: Step, error: &dyn std::error::Error) -> Self {
        Self {
            causes: aks_shared::causes(error),
            ..Self::new(step, error.to_string())
        }
    }

    /// What was seen of it: helm's last lines, then what the pods say.
    pub fn details(&self) -> impl Iterator<Item = &str> {
        self.output
            .iter()
            .flat_map(|output| output.lines())
            .chain(self.evidence.iter().map(String::as_str))
    }

    /// Message and causes in one line.
    pub fn line(&self) -> String {
        std::iter::once(&self.message)
            .chain(&self.causes)
            .cloned()
            .collect::<Vec<_>>()
            .join(": ")
    }
}

/// Numbers events and hands them on; the one source of a run's events.
pub struct Events<S> {
    seq: u64,
    sink: S,
}

impl<S: FnMut(&Event) -> std::io::Result<()>> Events<S> {
    /// Events from 1 on.
    pub const fn new(sink: S) -> Self {
        Self::after(0, sink)
    }

    /// Events that come after others of the same run.
    pub const fn after(seq: u64, sink: S) -> Self {
        Self { seq, sink }
    }

    /// Emits an event; fails when what must be kept could not be.
    pub fn emit(&mut self, kind: EventKind) -> std::io::Result<()> {
        self.seq += 1;
        (self.sink)(&Event {
            seq: self.seq,
            at: Timestamp::now(),
            kind,
        })
    }

    /// Emits the last event.
    pub fn finish(&mut self, status: ExitStatus, reason: String) -> std::io::Result<()> {
        self.emit(EventKind::RunFinished {
            exit_code: status.code(),
            exit_name: status.name(),
            reason,
        })
    }
}

/// Durations as seconds, to the millisecond.
mod seconds {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::time::Duration;

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64((duration.as_secs_f64() * 1000.0).round() / 1000.0)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
