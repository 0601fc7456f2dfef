//! The words between a rollout and those who carry it out.

use crate::fleet::{FailureStrategy, FirstInstall, Unreachable};
use serde::{Deserialize, Serialize};

/// What a rollout does about what goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policy {
    /// What is rolled back.
    pub strategy: FailureStrategy,
    /// Whether that means releases that the run itself has installed.
    pub first_install: FirstInstall,
    /// What becomes of targets that cannot be reached.
    pub unreachable: Unreachable,
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// A stage begins.
    StartStage(usize),
    /// A target is to be started.
    StartTarget {
        /// Its stage.
        stage: usize,
        /// The target.
        target: usize,
    },
    /// A gate is to be opened; it is answered by [`Rollout::answered`].
    OpenGate {
        /// Its stage.
        stage: usize,
        /// Which of the stage's gates.
        gate: usize,
    },
    /// A target is to be verified again.
    StartRecheck {
        /// Its stage.
        stage: usize,
        /// The target.
        target: usize,
    },
    /// A target is to be rolled back.
    StartRollback {
        /// Its stage.
        stage: usize,
        /// The target.
        target: usize,
    },
    /// Something that runs has to end first.
    Wait,
    /// A stage has ended, its gates have passed or will not be opened; nothing of it runs any more.
    FinishStage {
        /// The stage.
        stage: usize,
        /// How many of its targets failed.
        failures: usize,
    },
    /// There is nothing more to do.
    Finish(End),
}

/// Why a rollout has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All stages were gone through.
    Completed,
    /// A stage had more failures than it may.
    Exceeded {
        /// The stage.
        stage: usize,
    },
    /// A gate waits for its approval.
    Waiting {
        /// The stage.
        stage: usize,
        /// Which of the stage's gates.
        gate: usize,
    },
    /// It was told to stop.
    Cancelled,
}

/// How a target ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is where it should be.
    Success(Change),
    /// It failed.
    Failure(Change),
    /// It cannot be reached; nothing was done to it.
    Unreachable,
    /// It was stopped by the cancel.
    Interrupted(Change),
}

/// What a run has changed about a target's release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Nothing.
    None,
    /// It has a first revision now.
    Install,
    /// It has a further revision now.
    Upgrade,
}

/// Whether a target that ended will be tried once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It will not.
    Done,
    /// At the end of its stage.
    Deferred,
}

/// Whether a rollback has put back what was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restored {
    /// It has.
    Yes,
    /// It has not: a person has to look.
    No,
}

impl Outcome {
    pub(super) const fn change(self) -> Change {
        match self {
            Self::Success(change) | Self::Failure(change) | Self::Interrupted(change) => change,
            Self::Unreachable => Change::None,
        }
    }
}
