//! Drives a rollout: asks the state machine, runs targets as tasks, emits every event.
//!
//! What is done to a target is the caller's; nothing here knows of clusters. A task is never dropped in its
//! middle: a cancel starts nothing new, and running targets see the interruption themselves.

use crate::event::{EventKind, Events, FailureReport, Step, TargetPlan, TargetResult, TargetStatus};
use crate::rollout::{Decision, End, Outcome, Rollout};
use aks_shared::ExitStatus;
use aks_shared::interrupt::Interrupt;
use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

/// By which a running target tells what it does.
#[derive(Debug, Clone)]
pub struct Progress {
    cluster: String,
    sender: UnboundedSender<EventKind>,
}

impl Progress {
    /// Says what is done now.
    pub fn say(&self, message: impl Into<String>) {
        // Progress may be lost: the run may be over already.
        let _ = self.sender.send(EventKind::TargetProgress {
            cluster: self.cluster.clone(),
            message: message.into(),
        });
    }
}

/// How a rollout went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Why it ended.
    pub end: End,
    /// How many targets failed.
    pub failures: usize,
}

impl Summary {
    /// The run's exit status; `interrupted` is the status of the signal that stopped it.
    pub fn status(self, interrupted: Option<ExitStatus>) -> ExitStatus {
        match (self.end, interrupted) {
            (_, Some(status)) => status,
            (End::Completed, None) if self.failures == 0 => ExitStatus::Ok,
            (End::Completed, None) => ExitStatus::ToleratedFailures,
            (End::Exceeded { .. }, None) => ExitStatus::Stopped,
            (End::Cancelled, None) => ExitStatus::Failed,
        }
    }
}

/// Runs all stages. `work` makes the future that does one target.
pub async fn run<W, F, S>(
    mut rollout: Rollout,
    targets: &[TargetPlan],
    work: W,
    interrupt: &Interrupt,
    events: &mut Events<S>,
) -> Summary
where
    W: Fn(usize, Progress) -> F,
    F: Future<Output = TargetResult> + Send + 'static,
    S: FnMut(&crate::event::Event) -> io::Result<()>,
{
    let (sender, mut progress) = unbounded_channel();
    let mut tasks = JoinSet::new();
    let mut running: HashMap<tokio::task::Id, (usize, usize, Instant)> = HashMap::new();
    let mut failures = 0;
    let mut cancelled = false;
    loop {
        if !cancelled && interrupt.is_raised() {
            cancelled = true;
            rollout.cancel();
            let _ = events.emit(EventKind::CancelStarted {
                reason: "interrupted".to_owned(),
            });
        }
        let emitted = match rollout.decide() {
            Decision::StartStage(stage) => {
                let stage = &rollout.stages()[stage];
                events.emit(EventKind::StageStarted {
                    stage: stage.name.clone(),
                    targets: stage.targets.len(),
                    max_concurrency: stage.max_concurrency,
                    max_failures: stage.max_failures,
                })
            }
            Decision::StartTarget { stage, target } => {
                let cluster = targets[target].cluster.clone();
                let started = EventKind::TargetStarted {
                    cluster: cluster.clone(),
                    stage: rollout.stages()[stage].name.clone(),
                    revision_before: targets[target].revision,
                };
                let emitted = events.emit(started);
                if emitted.is_ok() {
                    let task = tasks.spawn(work(
                        target,
                        Progress {
                            cluster,
                            sender: sender.clone(),
                        },
                    ));
                    running.insert(task.id(), (stage, target, Instant::now()));
                } else {
                    // What is about to happen could not be written down, so it does not happen.
                    let failure = FailureReport::new(Step::Internal, "the run file cannot be written");
                    failures += 1;
                    rollout.finished(target, Outcome::Failure);
                    let _ = events.emit(EventKind::TargetFinished {
                        cluster: targets[target].cluster.clone(),
                        stage: rollout.stages()[stage].name.clone(),
                        result: Box::new(failed(failure, Duration::ZERO)),
                    });
                }
                emitted
            }
            Decision::Wait => {
                tokio::select! {
                    biased;
                    Some(kind) = progress.recv() => events.emit(kind),
                    Some(joined) = tasks.join_next_with_id() => {
                        let drained = drain(&mut progress, events);
                        let (id, result) = match joined {
                            Ok((id, result)) => (id, result),
                            Err(error) => {
                                let failure = FailureReport::new(Step::Internal, "the target's task ended in a panic");
                                (error.id(), failed(failure, Duration::ZERO))
                            }
                        };
                        let Some((stage, target, since)) = running.remove(&id) else { continue };
                        let outcome =
                            if result.status.is_success() { Outcome::Success } else { Outcome::Failure };
                        failures += usize::from(outcome == Outcome::Failure);
                        rollout.finished(target, outcome);
                        let finished = events.emit(EventKind::TargetFinished {
                            cluster: targets[target].cluster.clone(),
                            stage: rollout.stages()[stage].name.clone(),
                            result: Box::new(TargetResult { took: since.elapsed(), ..result }),
                        });
                        drained.and(finished)
                    }
                    () = interrupt.cancelled(), if !cancelled => Ok(()),
                }
            }
            Decision::FinishStage { stage, failures } => {
                let stage = &rollout.stages()[stage];
                events.emit(EventKind::StageFinished {
                    stage: stage.name.clone(),
                    failures,
                    max_failures: stage.max_failures,
                })
            }
            Decision::Finish(end) => return Summary { end, failures },
        };
        if let Err(error) = emitted
            && !cancelled
        {
            cancelled = true;
            rollout.cancel();
            let reason = format!("the run file cannot be written: {error}");
            let _ = events.emit(EventKind::CancelStarted { reason });
        }
    }
}

fn drain<S: FnMut(&crate::event::Event) -> io::Result<()>>(
    progress: &mut UnboundedReceiver<EventKind>,
    events: &mut Events<S>,
) -> io::Result<()> {
    while let Ok(kind) = progress.try_recv() {
        events.emit(kind)?;
    }
    Ok(())
}

/// A target that ended in a failure of our own.
pub const fn failed(failure: FailureReport, took: Duration) -> TargetResult {
    TargetResult {
        status: TargetStatus::Failed,
        revision_before: None,
        revision_after: None,
        findings: Vec::new(),
        failure: Some(failure),
        took,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Action, Event};
    use crate::targets::Stage;

    fn plan(name: &str) -> TargetPlan {
        TargetPlan {
            cluster: name.to_owned(),
            context: name.to_owned(),
            stage: String::new(),
            uid: String::new(),
            revision: None,
            action: Action::Install,
            reason: String::new(),
            identity_changes: Vec::new(),
        }
    }

    fn stages() -> Vec<Stage> {
        vec![
            Stage {
                name: "canary".into(),
                max_concurrency: 1,
                max_failures: 0,
                targets: vec![0],
            },
            Stage {
                name: "prod".into(),
                max_concurrency: 2,
                max_failures: 0,
                targets: vec![1, 2],
            },
        ]
    }

    fn success() -> TargetResult {
        TargetResult {
            status: TargetStatus::Upgraded,
            failure: None,
            ..failed(FailureReport::new(Step::Helm, ""), Duration::ZERO)
        }
    }

    async fn events_of<F>(
        work: impl Fn(usize, Progress) -> F,
        interrupt: &Interrupt,
    ) -> (Vec<String>, Summary)
    where
        F: Future<Output = TargetResult> + Send + 'static,
    {
        let mut seen = Vec::new();
        let mut events = Events::new(|event: &Event| {
            seen.push(serde_json::to_value(event).unwrap());
            Ok(())
        });
        let targets = ["a", "b", "c"].map(plan);
        let summary = run(Rollout::new(stages()), &targets, work, interrupt, &mut events).await;
        for (index, event) in seen.iter().enumerate() {
            assert_eq!(event["seq"], index + 1);
        }
        let names = seen
            .iter()
            .map(|event| {
                let subject = event["cluster"]
                    .as_str()
                    .or(event["stage"].as_str())
                    .unwrap_or_default();
                format!("{} {subject}", event["type"].as_str().unwrap())
            })
            .collect();
        (names, summary)
    }

    #[tokio::test]
    async fn progress_comes_before_the_end_of_its_target() {
        let work = |_, progress: Progress| async move {
            progress.say("helm upgrade");
            success()
        };
        let (names, summary) = events_of(work, &Interrupt::new()).await;
        assert_eq!(
            &names[..5],
            [
                "stage-started canary",
                "target-started a",
                "target-progress a",
                "target-finished a",
                "stage-finished canary"
            ]
        );
        assert_eq!(summary.status(None), ExitStatus::Ok);
    }

    #[tokio::test]
    async fn a_panic_is_a_failure_of_its_target() {
        let work = |target, _| async move {
            assert_ne!(target, 0, "this is meant to panic");
            success()
        };
        let (names, summary) = events_of(work, &Interrupt::new()).await;
        assert_eq!(names.last().unwrap(), "stage-finished canary");
        assert_eq!(summary.status(None), ExitStatus::Stopped);
    }

    #[tokio::test]
    async fn an_interrupt_lets_running_targets_end_and_starts_none() {
        let interrupt = Interrupt::new();
        let raised = interrupt.clone();
        let work = move |_, _| {
            raised.raise(ExitStatus::Terminated);
            async { success() }
        };
        let (names, summary) = events_of(work, &interrupt).await;
        assert_eq!(
            names,
            [
                "stage-started canary",
                "target-started a",
                "cancel-started ",
                "target-finished a",
                "stage-finished canary"
            ]
        );
        assert_eq!(summary.end, End::Cancelled);
        assert_eq!(summary.status(interrupt.status()), ExitStatus::Terminated);
    }
}
