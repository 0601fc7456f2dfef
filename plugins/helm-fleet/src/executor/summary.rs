//! How a rollout went, and the exit status that says so.

use crate::rollout::End;
use aks_shared::ExitStatus;

/// How a rollout went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Why it ended.
    pub end: End,
    /// How many targets failed, whatever became of them afterwards.
    pub failures: usize,
    /// How many could not be reached and were left out.
    pub unreachable: usize,
    /// How many were rolled back.
    pub rolled_back: usize,
    /// How many rollbacks failed.
    pub rollback_failures: usize,
    /// Whether a failed rollout is to be rolled back.
    pub rolls_back: bool,
    /// Why the events could not be kept, if so.
    pub lost: Option<String>,
}

impl Summary {
    /// The run's exit status; `interrupted` is the status of the signal that stopped it.
    pub fn status(&self, interrupted: Option<ExitStatus>) -> ExitStatus {
        match (self.end, interrupted) {
            (End::Completed, _) | (End::Exceeded { .. }, None) if self.rollback_failures > 0 => {
                ExitStatus::RollbackFailed
            }
            (End::Completed, _) if self.failures + self.unreachable > 0 => ExitStatus::ToleratedFailures,
            (End::Completed, _) => ExitStatus::Ok,
            (_, Some(status)) => status,
            (End::Exceeded { .. }, None) if self.rolls_back => ExitStatus::RolledBack,
            (End::Exceeded { .. }, None) => ExitStatus::Stopped,
            (End::Waiting { .. }, None) => ExitStatus::Waiting,
            (End::Cancelled, None) => ExitStatus::Failed,
        }
    }
}
