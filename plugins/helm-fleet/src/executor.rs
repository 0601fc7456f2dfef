//! Drives a rollout: asks the state machine, runs targets as tasks, emits every event.
//!
//! What is done to a target is the crew's; nothing here knows of clusters. A task is never dropped in its middle
//! unless the user insists: a cancel starts nothing new, and running targets see the interruption themselves.

mod crew;
mod endings;
mod summary;
#[cfg(test)]
mod tests;

pub use crew::{Crew, Operation, Progress};
pub use endings::failed;
pub use summary::Summary;

use crate::event::{Event, EventKind, Events, FailureReport, Step, TargetPlan, TargetResult, TargetStatus};
use crate::gate::{Gate, GateAnswer};
use crate::rollout::{Change, Decision, End, Rollout};
use aks_shared::interrupt::Interrupt;
use futures::future::BoxFuture;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::time::Instant;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{Id, JoinError, JoinSet};

/// Runs all stages.
pub async fn run<C, S>(
    rollout: Rollout,
    targets: &[TargetPlan],
    crew: &C,
    interrupt: &Interrupt,
    events: &mut Events<S>,
) -> Summary
where
    C: Crew + Sync,
    S: FnMut(&Event) -> io::Result<()>,
{
    let (sender, progress) = unbounded_channel();
    let driver = Driver {
        rollout,
        targets,
        crew,
        interrupt,
        events,
        tasks: JoinSet::new(),
        running: HashMap::new(),
        sender,
        progress,
        gate: None,
        deferred: BTreeMap::new(),
        accounted: BTreeSet::new(),
        rolled_back: 0,
        cancelled: false,
        lost: None,
    };
    driver.run().await
}

struct Running {
    operation: Operation,
    stage: usize,
    target: usize,
    since: Instant,
}

struct Driver<'a, C, S> {
    rollout: Rollout,
    targets: &'a [TargetPlan],
    crew: &'a C,
    interrupt: &'a Interrupt,
    events: &'a mut Events<S>,
    tasks: JoinSet<TargetResult>,
    running: HashMap<Id, Running>,
    sender: UnboundedSender<EventKind>,
    progress: UnboundedReceiver<EventKind>,
    /// What waits at the open gate: who approved it, or that it is not.
    gate: Option<BoxFuture<'static, (GateAnswer, Option<String>)>>,
    /// How targets ended that are to be tried once more.
    deferred: BTreeMap<usize, TargetResult>,
    /// Targets of which the end was told.
    accounted: BTreeSet<usize>,
    rolled_back: usize,
    cancelled: bool,
    lost: Option<String>,
}

impl<C: Crew + Sync, S: FnMut(&Event) -> io::Result<()>> Driver<'_, C, S> {
    async fn run(mut self) -> Summary {
        let end = loop {
            if self.interrupt.is_raised() {
                self.cancel("interrupted");
            }
            match self.rollout.decide() {
                Decision::StartStage(stage) => {
                    let stage = &self.rollout.stages()[stage];
                    let started = EventKind::StageStarted {
                        stage: stage.name.clone(),
                        targets: stage.targets.len(),
                        max_concurrency: stage.max_concurrency,
                        max_failures: stage.max_failures,
                    };
                    self.emit(started);
                }
                Decision::StartTarget { stage, target } => self.start(Operation::Apply, stage, target),
                Decision::StartRecheck { stage, target } => self.start(Operation::Recheck, stage, target),
                Decision::StartRollback { stage, target } => self.start(Operation::Rollback, stage, target),
                Decision::OpenGate { stage, gate } => self.open(stage, gate),
                Decision::Wait => {
                    if self.wait().await == Patience::Lost {
                        break End::Cancelled;
                    }
                }
                Decision::FinishStage { stage, failures } => {
                    let stage = &self.rollout.stages()[stage];
                    let finished = EventKind::StageFinished {
                        stage: stage.name.clone(),
                        failures,
                        max_failures: stage.max_failures,
                    };
                    self.emit(finished);
                }
                Decision::Finish(end) => break end,
            }
        };
        self.account_for_the_rest(end);
        Summary {
            end,
            failures: self.rollout.failures(),
            unreachable: self.rollout.unreachable(),
            rolled_back: self.rolled_back,
            rollback_failures: self.rollout.rollback_failures(),
            rolls_back: self.rollout.policy().strategy.rolls_back(),
            lost: self.lost,
        }
    }

    /// Announces what is about to be done, and does it only if that could be written down.
    fn start(&mut self, operation: Operation, stage: usize, target: usize) {
        let plan = &self.targets[target];
        let cluster = plan.cluster.clone();
        let stage_name = self.rollout.stages()[stage].name.clone();
        let announcement = match operation {
            Operation::Apply => Some(EventKind::TargetStarted {
                cluster: cluster.clone(),
                stage: stage_name,
                revision_before: plan.revision,
                restore: plan.restore,
            }),
            Operation::Rollback => Some(EventKind::RollbackStarted {
                cluster: cluster.clone(),
                stage: stage_name,
                restore: plan.restore,
            }),
            Operation::Recheck => None,
        };
        let running = Running {
            operation,
            stage,
            target,
            since: Instant::now(),
        };
        if announcement.is_some_and(|kind| !self.emit(kind)) {
            // It was not touched, and that is no failure of its stage.
            let failure = FailureReport::new(Step::Internal, "the run file cannot be written");
            let status = TargetStatus::Interrupted;
            self.end(
                &running,
                TargetResult {
                    status,
                    ..failed(failure, Change::None)
                },
            );
            return;
        }
        let progress = Progress {
            cluster,
            sender: self.sender.clone(),
        };
        let task = self.tasks.spawn(self.crew.perform(operation, target, progress));
        self.running.insert(task.id(), running);
    }

    fn open(&mut self, stage: usize, gate: usize) {
        let stage = &self.rollout.stages()[stage];
        let gate = &stage.gates[gate];
        let left = match gate {
            Gate::Bake(bake) => Some(self.crew.left_to_bake(stage, *bake)),
            Gate::Approval(_) => None,
        };
        let reached = EventKind::GateReached {
            stage: stage.name.clone(),
            gate: gate.name().to_owned(),
            // Rounded up: nothing is over before it is said to be.
            seconds: left.map(|left| left.as_secs() + u64::from(left.subsec_nanos() > 0)),
        };
        self.gate = Some(if let Some(left) = left {
            Box::pin(async move {
                tokio::time::sleep(left).await;
                (GateAnswer::Passed, None)
            })
        } else {
            let approval = self.crew.approval(gate.name());
            Box::pin(async move {
                let by = approval.await;
                let answer = if by.is_some() {
                    GateAnswer::Passed
                } else {
                    GateAnswer::Waiting
                };
                (answer, by)
            })
        });
        self.emit(reached);
    }

    /// Waits for the next thing to happen.
    async fn wait(&mut self) -> Patience {
        let gate = async {
            match &mut self.gate {
                Some(gate) => gate.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.interrupt.abandoned() => {
                self.abandon();
                return Patience::Lost;
            }
            () = self.interrupt.cancelled(), if !self.cancelled => {}
            Some(kind) = self.progress.recv() => {
                self.emit(kind);
            }
            Some(joined) = self.tasks.join_next_with_id() => self.joined(joined),
            answer = gate => self.answered(answer),
        }
        Patience::Kept
    }

    fn joined(&mut self, joined: Result<(Id, TargetResult), JoinError>) {
        while let Ok(kind) = self.progress.try_recv() {
            self.emit(kind);
        }
        let (id, result) = match joined {
            Ok((id, result)) => (id, result),
            Err(error) => {
                let failure = FailureReport::new(Step::Internal, "the target's task ended in a panic");
                // What it did before is not known; who rolls back looks at the release itself.
                (error.id(), failed(failure, Change::Upgrade))
            }
        };
        if let Some(running) = self.running.remove(&id) {
            self.end(&running, result);
        }
    }

    fn answered(&mut self, (answer, by): (GateAnswer, Option<String>)) {
        self.gate = None;
        if let Some((stage, gate)) = self.rollout.open_gate() {
            let (stage, gate) = (stage.name.clone(), gate.name().to_owned());
            // A gate that passed and is not known to have would have to be approved again: no harm is done.
            self.emit(EventKind::GateAnswered {
                stage,
                gate,
                answer,
                by,
            });
        }
        self.rollout.answered(answer);
    }

    /// Emits an event; when it cannot be kept nothing new is started from here on.
    fn emit(&mut self, kind: EventKind) -> bool {
        match self.events.emit(kind) {
            Ok(()) => true,
            Err(error) => {
                let reason = format!("the run file cannot be written: {error}");
                self.lost.get_or_insert_with(|| reason.clone());
                self.cancel(&reason);
                false
            }
        }
    }

    fn cancel(&mut self, reason: &str) {
        if self.cancelled {
            return;
        }
        self.cancelled = true;
        self.gate = None;
        self.rollout.cancel();
        let reason = reason.to_owned();
        if let Err(error) = self.events.emit(EventKind::CancelStarted { reason }) {
            self.lost
                .get_or_insert_with(|| format!("the run file cannot be written: {error}"));
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patience {
    Kept,
    Lost,
}
