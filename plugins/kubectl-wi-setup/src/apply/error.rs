//! Why a plan was not carried out to its end, and what was done until then.

use crate::outcome::ChangeRecord;
use aks_shared::ExitStatus;
use aks_shared::azure::ArmError;

/// A plan could not be carried out to its end. What was done before stays and is valid.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The plan has conflicts; nothing was written.
    #[error("the plan cannot be applied: {}", conflicts.join("; "))]
    Conflicts {
        /// What stands in the way.
        conflicts: Vec<String>,
    },
    /// Azure refused it.
    #[error("cannot {what}")]
    Azure {
        /// What was to be done, e.g. `write managed identity x`.
        what: String,
        /// Why.
        source: ArmError,
        /// What was changed before.
        changes: Vec<ChangeRecord>,
    },
    /// The command was asked to stop; what was under way was finished.
    #[error("interrupted; {what} was not touched")]
    Interrupted {
        /// What was next.
        what: String,
        /// The status to exit with.
        status: ExitStatus,
        /// What was changed before.
        changes: Vec<ChangeRecord>,
    },
    /// The command was asked to stop while a write was tried again.
    #[error("interrupted between two tries to {what}; {}", match last {
        Some(_) => "whether Azure did it is not known",
        None => "it was not done",
    })]
    Stopped {
        /// What was to be done.
        what: String,
        /// The status to exit with.
        status: ExitStatus,
        /// What the last try answered; none when there was none.
        #[source]
        last: Option<Box<ArmError>>,
        /// What was changed before.
        changes: Vec<ChangeRecord>,
    },
    /// The cluster refused it.
    #[error("cannot {what}")]
    Cluster {
        /// What was to be done.
        what: String,
        /// Why.
        source: Box<kube::Error>,
        /// What was changed before.
        changes: Vec<ChangeRecord>,
    },
}

impl ApplyError {
    /// What was changed before it failed.
    pub fn changes(&self) -> &[ChangeRecord] {
        match self {
            Self::Conflicts { .. } => &[],
            Self::Azure { changes, .. }
            | Self::Cluster { changes, .. }
            | Self::Stopped { changes, .. }
            | Self::Interrupted { changes, .. } => changes,
        }
    }
}
