//! What happens in a run, as typed and numbered events. They say what happened, never how it looks.

mod plan;
mod result;

pub use plan::{Action, RunPlan, StagePlan, TargetPlan};
pub use result::{FailureReport, IdentityResult, Step, TargetResult, TargetStatus};

use crate::gate::GateAnswer;
use crate::report::known::{self, Word};
use aks_shared::ExitStatus;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

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
