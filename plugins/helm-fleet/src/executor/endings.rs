//! How operations and targets end: told to the state machine and to the world, each target exactly once.

use super::{Crew, Driver, Operation, Running};
use crate::event::{Event, EventKind, FailureReport, Step, TargetResult, TargetStatus};
use crate::rollout::{Change, End, Next, Outcome, Restored};
use crate::targets::Stage;
use std::io;
use std::time::Duration;

impl<C: Crew + Sync, S: FnMut(&Event) -> io::Result<()>> Driver<'_, C, S> {
    /// Tells the state machine and the world how an operation ended.
    pub(super) fn end(&mut self, running: &Running, result: TargetResult) {
        let Running {
            operation,
            stage,
            target,
            since,
        } = *running;
        let result = Box::new(TargetResult {
            took: since.elapsed(),
            ..result
        });
        let cluster = self.targets[target].cluster.clone();
        let stage = self.rollout.stages()[stage].name.clone();
        let kind = match operation {
            Operation::Apply => {
                if self.rollout.finished(target, outcome_of(&result)) == Next::Deferred {
                    let failure = result.failure.clone();
                    self.deferred.insert(target, *result);
                    let unknown = || FailureReport::new(Step::Reach, "it cannot be reached");
                    EventKind::TargetDeferred {
                        cluster,
                        stage,
                        failure: failure.unwrap_or_else(unknown),
                    }
                } else {
                    self.accounted.insert(target);
                    EventKind::TargetFinished {
                        cluster,
                        stage,
                        result,
                    }
                }
            }
            Operation::Recheck => {
                self.rollout.rechecked(target, outcome_of(&result));
                EventKind::TargetRechecked {
                    cluster,
                    stage,
                    result,
                }
            }
            Operation::Rollback => {
                let restored = result.status == TargetStatus::RolledBack;
                self.rolled_back += usize::from(restored);
                let restored = if restored { Restored::Yes } else { Restored::No };
                self.rollout.rolled_back(target, restored);
                let status = if restored == Restored::Yes {
                    TargetStatus::RolledBack
                } else {
                    TargetStatus::RollbackFailed
                };
                let result = Box::new(TargetResult { status, ..*result });
                EventKind::RollbackFinished {
                    cluster,
                    stage,
                    result,
                }
            }
        };
        self.emit(kind);
    }

    /// Leaves what runs where it is.
    pub(super) fn abandon(&mut self) {
        self.cancel("interrupted");
        self.tasks.abort_all();
        let mut running: Vec<Running> = self.running.drain().map(|(_, running)| running).collect();
        running.sort_by_key(|running| running.target);
        for running in running
            .into_iter()
            .filter(|running| running.operation != Operation::Recheck)
        {
            let message = "left in its middle, because a third signal came; look at it before it is resumed";
            let failure = FailureReport::new(Step::Internal, message);
            let status = TargetStatus::Interrupted;
            self.end(
                &running,
                TargetResult {
                    status,
                    ..failed(failure, Change::Upgrade)
                },
            );
        }
    }

    /// Every target ends in exactly one event.
    pub(super) fn account_for_the_rest(&mut self, end: End) {
        let stages: Vec<Stage> = self.rollout.stages().to_vec();
        let reason = match end {
            End::Completed => "it is in no stage".to_owned(),
            End::Exceeded { stage } => format!("stage {} had more failures than it may", stages[stage].name),
            End::Waiting { stage, .. } => format!("the gate of stage {} waits", stages[stage].name),
            End::Cancelled => self
                .lost
                .clone()
                .unwrap_or_else(|| "the run was interrupted".to_owned()),
        };
        for stage in &stages {
            for target in stage
                .targets
                .iter()
                .filter(|target| !self.accounted.contains(target))
            {
                let cluster = self.targets[*target].cluster.clone();
                let stage = stage.name.clone();
                let kind = match self.deferred.remove(target) {
                    Some(result) => EventKind::TargetFinished {
                        cluster,
                        stage,
                        result: Box::new(result),
                    },
                    None => EventKind::TargetSkipped {
                        cluster,
                        stage,
                        reason: reason.clone(),
                    },
                };
                // What is lost here was lost before, and the summary says so.
                let _ = self.events.emit(kind);
            }
        }
    }
}

fn outcome_of(result: &TargetResult) -> Outcome {
    match result.status {
        TargetStatus::Unchanged
        | TargetStatus::IdentityRepaired
        | TargetStatus::Installed
        | TargetStatus::Upgraded
        | TargetStatus::Uninstalled
        | TargetStatus::RolledBack => Outcome::Success(result.change),
        TargetStatus::Unreachable => Outcome::Unreachable,
        TargetStatus::Interrupted => Outcome::Interrupted(result.change),
        TargetStatus::Failed | TargetStatus::RollbackFailed | TargetStatus::NotStarted => {
            Outcome::Failure(result.change)
        }
    }
}

/// A target that ended in a failure of our own.
pub const fn failed(failure: FailureReport, change: Change) -> TargetResult {
    TargetResult {
        status: TargetStatus::Failed,
        revision_before: None,
        revision_after: None,
        change,
        findings: Vec::new(),
        checks: Vec::new(),
        failure: Some(failure),
        took: Duration::ZERO,
    }
}
