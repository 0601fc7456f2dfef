//! What a rollout knows of its targets by now: who failed, who may run, what a gate guards, what is to be rolled back.

use super::{Change, Outcome, Rollout};
use crate::fleet::{FirstInstall, Unreachable};

impl Rollout {
    /// How many targets failed, whatever became of them afterwards.
    pub fn failures(&self) -> usize {
        self.outcomes
            .values()
            .filter(|outcome| self.is_failure(**outcome))
            .count()
    }

    /// How many targets could not be reached and were left out for that.
    pub fn unreachable(&self) -> usize {
        let left_out = |outcome: &Outcome| *outcome == Outcome::Unreachable && !self.is_failure(*outcome);
        self.outcomes.values().filter(|outcome| left_out(outcome)).count()
    }

    /// How many rollbacks failed.
    pub const fn rollback_failures(&self) -> usize {
        self.rollback_failures
    }

    pub(super) fn has_room(&self, stage: usize, target: usize) -> bool {
        let stage = &self.stages[stage];
        let has_room_by_label = stage.label_limits.iter().all(|limit| {
            let Some(value) = limit.values.get(&target) else {
                return true;
            };
            let same = self
                .running
                .iter()
                .filter(|other| limit.values.get(other) == Some(value));
            same.count() < limit.max
        });
        self.running.len() < stage.max_concurrency && has_room_by_label
    }

    pub(super) fn failures_of_stage(&self) -> usize {
        let targets = &self.stages[self.stage].targets;
        targets.iter().filter(|target| self.has_failed(**target)).count()
    }

    pub(super) fn is_exceeded(&self) -> bool {
        self.failures_of_stage() > self.stages[self.stage].max_failures
    }

    pub(super) fn has_failed(&self, target: usize) -> bool {
        self.outcomes
            .get(&target)
            .is_some_and(|outcome| self.is_failure(*outcome))
    }

    pub(super) fn is_failure(&self, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Failure(_) => true,
            Outcome::Unreachable => self.policy.unreachable == Unreachable::Fail,
            Outcome::Success(_) | Outcome::Interrupted(_) => false,
        }
    }

    /// A gate guards what comes after it, and says something of what was changed before it. A stage of which the
    /// user selected nothing has no gates.
    pub(super) fn is_gate_due(&self) -> bool {
        if self.stages[self.stage].targets.is_empty() {
            return false;
        }
        let changed = self.stages[self.stage]
            .targets
            .iter()
            .filter_map(|target| self.outcomes.get(target))
            .any(|outcome| outcome.change() != Change::None);
        let mut later = self.stages[self.stage + 1..]
            .iter()
            .flat_map(|stage| &stage.targets);
        changed || later.any(|target| self.work.contains(target))
    }

    pub(super) fn changed_successes(&self) -> impl Iterator<Item = usize> {
        let is_changed = |target: &usize| matches!(self.outcomes.get(target), Some(Outcome::Success(change)) if *change != Change::None);
        self.stages[self.stage].targets.iter().copied().filter(is_changed)
    }

    /// Changed targets of that kind, the one that ended last at the end, unless they were rolled back already.
    pub(super) fn to_roll_back(&self, is_meant: impl Fn(&(usize, usize)) -> bool) -> Vec<(usize, usize)> {
        let is_subject = |target: usize| match self.outcomes.get(&target).map(|outcome| outcome.change()) {
            None | Some(Change::None) => false,
            Some(Change::Install) => self.policy.first_install == FirstInstall::Uninstall,
            Some(Change::Upgrade) => true,
        };
        let ended = self.ended.iter().copied();
        ended
            .filter(|ended| is_meant(ended) && is_subject(ended.1) && !self.rolled_back.contains(&ended.1))
            .collect()
    }
}
