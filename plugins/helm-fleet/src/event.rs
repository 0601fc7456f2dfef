//! What happens in a run, as typed and numbered events. They say what happened, never how it looks.

use crate::chart::Chart;
use aks_shared::ExitStatus;
use jiff::Timestamp;
use kubectl_wi_verify::Finding;
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;

/// One event; the numbers of a run have no gaps.
#[derive(Debug, Clone, Serialize)]
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
#[derive(Debug, Clone, Serialize)]
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
        exit_name: &'static str,
        /// Why it ended like this, one sentence.
        reason: String,
    },
}

/// What a run sets out to do.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunPlan {
    /// The version of this stream.
    pub schema: &'static str,
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
    /// The stages in order.
    pub stages: Vec<StagePlan>,
    /// The targets in the order of the file.
    pub targets: Vec<TargetPlan>,
}

/// A stage as planned.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StagePlan {
    /// Its name.
    pub name: String,
    /// How many at once.
    pub max_concurrency: usize,
    /// How many may fail.
    pub max_failures: usize,
    /// The names of its targets.
    pub targets: Vec<String>,
}

/// A target as planned.
#[derive(Debug, Clone, Serialize)]
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
    /// What is expected to be done.
    pub action: Action,
    /// Why.
    pub reason: String,
    /// The changes to its identities, one line each.
    pub identity_changes: Vec<String>,
}

/// What is done to a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// First install.
    Install,
    /// A new revision.
    Upgrade,
    /// No helm: the release is at target and only its identity was not.
    RepairIdentity,
    /// Nothing at all.
    Nothing,
}

/// One identity of one target.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IdentityResult {
    /// The identity's name in the fleet file.
    pub identity: String,
    /// Its client id; none when it was not made.
    pub client_id: Option<String>,
    /// How many writes it took; none when it was in order.
    pub changed: usize,
    /// The whole outcome, as `kubectl wi setup` prints it.
    pub outcome: Value,
}

/// How a target ended.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetResult {
    /// In one word.
    pub status: TargetStatus,
    /// The revision before.
    pub revision_before: Option<u32>,
    /// The revision after.
    pub revision_after: Option<u32>,
    /// What verification found.
    pub findings: Vec<Finding>,
    /// Why it failed.
    pub failure: Option<FailureReport>,
    /// How long it took.
    #[serde(serialize_with = "seconds")]
    pub took: Duration,
}

/// How a target ended, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
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
    /// It failed.
    Failed,
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
            Self::Failed => "failed",
        }
    }
}

/// Why something failed, fit for a report: no secrets, no types.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailureReport {
    /// Where in the chain.
    pub step: Step,
    /// What failed.
    pub message: String,
    /// Why, outermost first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// The last lines of a process, redacted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// What the pods of the release say, one line each, redacted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
}

/// A step of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
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
        Self { seq: 0, sink }
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

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((duration.as_secs_f64() * 1000.0).round() / 1000.0)
}
