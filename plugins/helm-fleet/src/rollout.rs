//! The order of a rollout as a state machine: no clock, no I/O, every decision from what was told before.
//!
//! It starts targets up to the stage's bounds, lets running ones end after a failure, opens the stage's gates, and
//! goes on to the next stage only when the stage's failures are within its limit. When they are not, it rolls back
//! what the policy says, in reverse order, whatever becomes of single rollbacks.

use crate::fleet::{FailureStrategy, Unreachable};
use crate::gate::{Gate, GateAnswer};
use crate::targets::Stage;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

mod tally;
#[cfg(test)]
mod tests;
mod words;

pub use words::{Change, Decision, End, Next, Outcome, Policy, Restored};

/// Where a rollout stands.
#[derive(Debug, Clone)]
pub struct Rollout {
    stages: Vec<Stage>,
    policy: Policy,
    work: BTreeSet<usize>,
    stage: usize,
    phase: Phase,
    pending: VecDeque<usize>,
    deferred: VecDeque<usize>,
    retried: BTreeSet<usize>,
    running: BTreeSet<usize>,
    outcomes: BTreeMap<usize, Outcome>,
    /// Targets in the order in which they ended, each with its stage.
    ended: Vec<(usize, usize)>,
    /// What is still to be rolled back, the next one last.
    rollbacks: Vec<(usize, usize)>,
    /// What was rolled back, or tried to.
    rolled_back: BTreeSet<usize>,
    rollback_failures: usize,
    cancelled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The stage is about to begin.
    Enter,
    /// Its targets are being upgraded.
    Targets,
    /// A gate is about to be opened.
    Gate(usize),
    /// A gate is open.
    Open(usize),
    /// The targets are verified again at the end of a gate.
    Recheck(usize),
    /// Targets are rolled back, and then it goes on.
    Rollback(After),
    /// It is over.
    Over(End),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    Gate(usize),
    End(End),
}

impl Rollout {
    /// A rollout that has not begun; `work` are the targets for which anything is planned.
    pub fn new(stages: Vec<Stage>, policy: Policy, work: BTreeSet<usize>) -> Self {
        Self {
            stages,
            policy,
            work,
            stage: 0,
            phase: Phase::Enter,
            pending: VecDeque::new(),
            deferred: VecDeque::new(),
            retried: BTreeSet::new(),
            running: BTreeSet::new(),
            outcomes: BTreeMap::new(),
            ended: Vec::new(),
            rollbacks: Vec::new(),
            rolled_back: BTreeSet::new(),
            rollback_failures: 0,
            cancelled: false,
        }
    }

    /// The stages.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// The policy.
    pub const fn policy(&self) -> Policy {
        self.policy
    }

    /// What is to be done next. A target that is to be started counts as running from here on.
    pub fn decide(&mut self) -> Decision {
        loop {
            let decision = match self.phase {
                Phase::Over(end) => Some(Decision::Finish(end)),
                Phase::Enter => self.enter(),
                Phase::Targets => self.targets(),
                Phase::Gate(gate) => self.gate(gate),
                Phase::Open(_) if self.cancelled => Some(self.leave(Phase::Over(End::Cancelled))),
                Phase::Open(_) => Some(Decision::Wait),
                Phase::Recheck(gate) => self.recheck(gate),
                Phase::Rollback(after) => self.rollback(after),
            };
            if let Some(decision) = decision {
                return decision;
            }
        }
    }

    /// Tells that a running target has ended.
    pub fn finished(&mut self, target: usize, outcome: Outcome) -> Next {
        if !self.running.remove(&target) {
            return Next::Done;
        }
        let again = outcome == Outcome::Unreachable && self.policy.unreachable == Unreachable::Defer;
        if again && !self.cancelled && self.retried.insert(target) {
            self.deferred.push_back(target);
            return Next::Deferred;
        }
        self.outcomes.insert(target, outcome);
        self.ended.push((self.stage, target));
        Next::Done
    }

    /// The gate that is open, with its stage.
    pub fn open_gate(&self) -> Option<(&Stage, &Gate)> {
        let Phase::Open(gate) = self.phase else {
            return None;
        };
        let stage = self.stages.get(self.stage)?;
        Some((stage, stage.gates.get(gate)?))
    }

    /// Tells what became of the open gate.
    pub fn answered(&mut self, answer: GateAnswer) {
        let Phase::Open(gate) = self.phase else { return };
        self.phase = match answer {
            GateAnswer::Waiting => Phase::Over(End::Waiting {
                stage: self.stage,
                gate,
            }),
            GateAnswer::Passed => match self.stages[self.stage].gates[gate] {
                Gate::Bake(_) => {
                    self.pending = self.changed_successes().collect();
                    Phase::Recheck(gate)
                }
                Gate::Approval(_) => Phase::Gate(gate + 1),
            },
        };
    }

    /// Tells what verifying a target again has shown; one that fails counts as a failure of its stage.
    pub fn rechecked(&mut self, target: usize, outcome: Outcome) {
        if self.running.remove(&target) {
            self.outcomes.insert(target, outcome);
        }
    }

    /// Tells that a rollback has ended.
    pub fn rolled_back(&mut self, target: usize, restored: Restored) {
        if self.running.remove(&target) {
            self.rollback_failures += usize::from(restored == Restored::No);
        }
    }

    /// Tells that nothing new is to be started.
    pub const fn cancel(&mut self) {
        self.cancelled = true;
    }

    fn enter(&mut self) -> Option<Decision> {
        if self.stage == self.stages.len() {
            self.phase = Phase::Over(End::Completed);
            return None;
        }
        if self.cancelled {
            self.phase = Phase::Over(End::Cancelled);
            return None;
        }
        self.pending = self.stages[self.stage].targets.iter().copied().collect();
        self.phase = Phase::Targets;
        Some(Decision::StartStage(self.stage))
    }

    fn targets(&mut self) -> Option<Decision> {
        let may_start = !self.cancelled && !self.is_exceeded();
        if may_start && let Some(target) = self.start_next(self.stage) {
            let stage = self.stage;
            return Some(Decision::StartTarget { stage, target });
        }
        if !self.running.is_empty() {
            return Some(Decision::Wait);
        }
        if may_start && !self.deferred.is_empty() {
            self.pending = std::mem::take(&mut self.deferred);
            return None;
        }
        self.judge(0)
    }

    /// Nothing of the stage runs: whether it may go on to the gate.
    fn judge(&mut self, gate: usize) -> Option<Decision> {
        self.pending.clear();
        for target in std::mem::take(&mut self.deferred) {
            self.outcomes.insert(target, Outcome::Unreachable);
        }
        let (stage, strategy) = (self.stage, self.policy.strategy);
        let is_meant = |ended: &(usize, usize)| match strategy {
            FailureStrategy::Pause => false,
            FailureStrategy::RollbackFailed => ended.0 == stage && self.has_failed(ended.1),
            FailureStrategy::RollbackStage => ended.0 == stage,
            FailureStrategy::RollbackAll => true,
        };
        if self.is_exceeded() {
            // Who interrupts a run wants an end, and finds every cluster as it was left.
            self.rollbacks = if self.cancelled {
                Vec::new()
            } else {
                self.to_roll_back(is_meant)
            };
            return Some(self.leave(Phase::Rollback(After::End(End::Exceeded { stage }))));
        }
        if self.cancelled {
            return Some(self.leave(Phase::Over(End::Cancelled)));
        }
        if strategy == FailureStrategy::RollbackFailed {
            self.rollbacks = self.to_roll_back(is_meant);
        }
        self.phase = Phase::Rollback(After::Gate(gate));
        None
    }

    fn gate(&mut self, gate: usize) -> Option<Decision> {
        if self.cancelled {
            return Some(self.leave(Phase::Over(End::Cancelled)));
        }
        let stage = self.stage;
        if gate == self.stages[stage].gates.len() {
            let left = self.leave(Phase::Enter);
            self.stage += 1;
            return Some(left);
        }
        if !self.is_gate_due() {
            self.phase = Phase::Gate(gate + 1);
            return None;
        }
        self.phase = Phase::Open(gate);
        Some(Decision::OpenGate { stage, gate })
    }

    fn recheck(&mut self, gate: usize) -> Option<Decision> {
        if !self.cancelled
            && let Some(target) = self.start_next(self.stage)
        {
            let stage = self.stage;
            return Some(Decision::StartRecheck { stage, target });
        }
        if !self.running.is_empty() {
            return Some(Decision::Wait);
        }
        self.judge(gate + 1)
    }

    fn rollback(&mut self, after: After) -> Option<Decision> {
        if let Some((stage, target)) = self.rollbacks.last().copied().filter(|_| !self.cancelled) {
            // One stage after the other: what runs is of the same one.
            let same = self
                .running
                .iter()
                .all(|other| self.stages[stage].targets.contains(other));
            if same && self.has_room(stage, target) {
                self.rollbacks.pop();
                self.rolled_back.insert(target);
                self.running.insert(target);
                return Some(Decision::StartRollback { stage, target });
            }
        }
        if !self.running.is_empty() {
            return Some(Decision::Wait);
        }
        self.phase = match after {
            // The stage has yet to end; the gate sees the cancel as well.
            After::Gate(gate) => Phase::Gate(gate),
            After::End(_) if self.cancelled && !self.rollbacks.is_empty() => Phase::Over(End::Cancelled),
            After::End(end) => Phase::Over(end),
        };
        None
    }

    fn leave(&mut self, next: Phase) -> Decision {
        self.phase = next;
        Decision::FinishStage {
            stage: self.stage,
            failures: self.failures_of_stage(),
        }
    }

    /// Takes the first pending target that the bounds of the stage let run.
    fn start_next(&mut self, stage: usize) -> Option<usize> {
        let position = self
            .pending
            .iter()
            .position(|target| self.has_room(stage, *target))?;
        let target = self.pending.remove(position)?;
        self.running.insert(target);
        Some(target)
    }
}
