//! The order of a rollout as a state machine: no clock, no I/O, every decision from what was told before.
//!
//! It starts targets up to the stage's concurrency, lets running ones end after a failure, and goes on to the
//! next stage only when the stage's failures are within its limit.

use crate::targets::Stage;
use std::collections::{BTreeSet, VecDeque};

/// Where a rollout stands.
#[derive(Debug, Clone)]
pub struct Rollout {
    stages: Vec<Stage>,
    stage: usize,
    entered: bool,
    pending: VecDeque<usize>,
    running: BTreeSet<usize>,
    failures: usize,
    cancelled: bool,
    ended: bool,
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
    /// Running targets have to end first.
    Wait,
    /// A stage has ended; nothing of it runs any more.
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
    /// It was told to stop.
    Cancelled,
}

impl Rollout {
    /// A rollout that has not begun.
    pub const fn new(stages: Vec<Stage>) -> Self {
        Self {
            stages,
            stage: 0,
            entered: false,
            pending: VecDeque::new(),
            running: BTreeSet::new(),
            failures: 0,
            cancelled: false,
            ended: false,
        }
    }

    /// The stages.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// What is to be done next. A target that is to be started counts as running from here on.
    pub fn decide(&mut self) -> Decision {
        let Some(stage) = self.stages.get(self.stage).filter(|_| !self.ended) else {
            return Decision::Finish(self.end());
        };
        if !self.entered {
            if self.cancelled {
                self.ended = true;
                return Decision::Finish(End::Cancelled);
            }
            self.entered = true;
            self.pending = stage.targets.iter().copied().collect();
            return Decision::StartStage(self.stage);
        }
        let may_start = !self.cancelled && self.failures <= stage.max_failures;
        if may_start
            && self.running.len() < stage.max_concurrency
            && let Some(target) = self.pending.pop_front()
        {
            self.running.insert(target);
            return Decision::StartTarget {
                stage: self.stage,
                target,
            };
        }
        if !self.running.is_empty() {
            return Decision::Wait;
        }
        let (finished, failures) = (self.stage, self.failures);
        if may_start {
            self.stage += 1;
            self.entered = false;
            self.failures = 0;
        } else {
            self.ended = true;
        }
        Decision::FinishStage {
            stage: finished,
            failures,
        }
    }

    /// Tells that a running target has ended.
    pub fn finished(&mut self, target: usize, outcome: Outcome) {
        if self.running.remove(&target) && outcome == Outcome::Failure {
            self.failures += 1;
        }
    }

    /// Tells that nothing new is to be started.
    pub const fn cancel(&mut self) {
        self.cancelled = true;
    }

    fn end(&self) -> End {
        match self.stages.get(self.stage) {
            Some(stage) if self.entered && self.failures > stage.max_failures => {
                End::Exceeded { stage: self.stage }
            }
            Some(_) => End::Cancelled,
            None => End::Completed,
        }
    }
}

/// Whether a target counts against the stage's limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It does not.
    Success,
    /// It does.
    Failure,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stage(targets: std::ops::Range<usize>, max_concurrency: usize, max_failures: usize) -> Stage {
        Stage {
            name: String::new(),
            max_concurrency,
            max_failures,
            targets: targets.collect(),
        }
    }

    /// Runs a rollout in which `failing` targets fail; of several running ones `pick` says which ends first.
    /// Returns the started targets and the end, checking the laws on the way.
    fn run(
        stages: &[Stage],
        failing: &BTreeSet<usize>,
        pick: &[usize],
        cancel_at: usize,
    ) -> (Vec<usize>, End) {
        let mut rollout = Rollout::new(stages.to_vec());
        let mut started = Vec::new();
        let mut running: Vec<usize> = Vec::new();
        let mut failures = vec![0; stages.len()];
        let mut open: Option<usize> = None;
        for step in 0.. {
            if step == cancel_at {
                rollout.cancel();
            }
            match rollout.decide() {
                Decision::StartStage(stage) => {
                    assert!(running.is_empty() && open.is_none(), "a stage began early");
                    assert!((0..stage).all(|before| failures[before] <= stages[before].max_failures));
                    open = Some(stage);
                }
                Decision::StartTarget { stage, target } => {
                    assert_eq!(open, Some(stage));
                    assert!(step < cancel_at, "a target was started after the cancel");
                    assert!(
                        failures[stage] <= stages[stage].max_failures,
                        "started beyond the threshold"
                    );
                    assert!(stages[stage].targets.contains(&target) && !started.contains(&target));
                    started.push(target);
                    running.push(target);
                    assert!(running.len() <= stages[stage].max_concurrency, "too many at once");
                }
                Decision::Wait => {
                    let target = running.remove(pick[step % pick.len()] % running.len());
                    let failed = failing.contains(&target);
                    failures[open.unwrap()] += usize::from(failed);
                    rollout.finished(
                        target,
                        if failed {
                            Outcome::Failure
                        } else {
                            Outcome::Success
                        },
                    );
                }
                Decision::FinishStage {
                    stage,
                    failures: told,
                } => {
                    assert_eq!((open, told), (Some(stage), failures[stage]));
                    assert!(running.is_empty());
                    open = None;
                }
                Decision::Finish(end) => {
                    assert!(open.is_none() && running.is_empty());
                    assert_eq!(rollout.decide(), Decision::Finish(end), "the end is not final");
                    if let End::Exceeded { stage } = end {
                        assert!(failures[stage] > stages[stage].max_failures);
                    }
                    return (started, end);
                }
            }
        }
        unreachable!("the loop ends by returning");
    }

    #[test]
    fn a_failing_canary_keeps_the_rest_untouched() {
        let stages = [stage(0..1, 1, 0), stage(1..3, 2, 0)];
        let (started, end) = run(&stages, &[0].into(), &[0], usize::MAX);
        assert_eq!((started, end), (vec![0], End::Exceeded { stage: 0 }));
    }

    #[test]
    fn tolerated_failures_let_the_next_stage_start() {
        let stages = [stage(0..2, 1, 1), stage(2..3, 1, 0)];
        let (started, end) = run(&stages, &[0].into(), &[0], usize::MAX);
        assert_eq!((started, end), (vec![0, 1, 2], End::Completed));
    }

    #[test]
    fn empty_stages_are_gone_through() {
        let (started, end) = run(
            &[stage(0..0, 1, 0), stage(0..1, 1, 0)],
            &BTreeSet::new(),
            &[0],
            usize::MAX,
        );
        assert_eq!((started, end), (vec![0], End::Completed));
    }

    proptest! {
        #[test]
        fn the_laws_hold_for_any_fleet(
            sizes in proptest::collection::vec((0_usize..8, 1_usize..5, 0_usize..4), 1..5),
            failing in proptest::collection::btree_set(0_usize..32, 0..10),
            pick in proptest::collection::vec(0_usize..8, 1..20),
            cancel_at in 0_usize..80,
        ) {
            let mut first = 0;
            let stages: Vec<Stage> = sizes
                .into_iter()
                .map(|(size, concurrency, failures)| {
                    let stage = stage(first..first + size, concurrency, failures);
                    first += size;
                    stage
                })
                .collect();
            let (started, end) = run(&stages, &failing, &pick, cancel_at);
            if end == End::Completed {
                prop_assert_eq!(started.len(), first);
            }
            let (_, undisturbed) = run(&stages, &BTreeSet::new(), &pick, usize::MAX);
            prop_assert_eq!(undisturbed, End::Completed);
        }
    }
}
