//! The laws of a rollout, for single cases and for any fleet.

use super::*;
use crate::fleet::FirstInstall;
use crate::targets::LabelLimit;
use proptest::prelude::*;
use std::ops::Range;
use std::time::Duration;

fn stage(targets: Range<usize>, max_concurrency: usize, max_failures: usize) -> Stage {
    Stage {
        max_concurrency,
        max_failures,
        targets: targets.collect(),
        ..Stage::default()
    }
}

/// What happens around a rollout.
#[derive(Debug, Clone, Default)]
struct World {
    policy: Policy,
    /// Outcomes other than an upgrade that succeeds; of several, the last one counts for all later attempts.
    outcomes: BTreeMap<usize, Vec<Outcome>>,
    /// Targets that fail when they are verified again.
    spoilt: BTreeSet<usize>,
    /// Targets whose rollback fails.
    stuck: BTreeSet<usize>,
    /// Whether somebody approves.
    nobody_approves: bool,
    /// Of several running targets, which one ends first.
    pick: Vec<usize>,
    /// Before which decision the run is cancelled.
    cancel_at: Option<usize>,
}

/// What was seen of a rollout.
#[derive(Debug, Default)]
struct Seen {
    started: Vec<usize>,
    ended: Vec<(usize, Outcome)>,
    gates: Vec<(usize, usize)>,
    rolled_back: Vec<usize>,
    open: Option<usize>,
    running: Vec<usize>,
    failures: usize,
    end: Option<End>,
}

impl World {
    fn failing<const N: usize>(targets: [usize; N]) -> Self {
        let outcome = vec![Outcome::Failure(Change::Upgrade)];
        Self {
            outcomes: targets.map(|target| (target, outcome.clone())).into(),
            ..Self::default()
        }
    }

    fn with(mut self, strategy: FailureStrategy) -> Self {
        self.policy.strategy = strategy;
        self
    }

    fn outcome(&self, target: usize, attempt: usize) -> Outcome {
        match self.outcomes.get(&target).map(Vec::as_slice) {
            None | Some([]) => Outcome::Success(Change::Upgrade),
            Some(outcomes) => outcomes[attempt.min(outcomes.len() - 1)],
        }
    }

    /// Runs a rollout to its end and checks the laws on the way.
    fn run(&self, stages: &[Stage]) -> Seen {
        let work = stages.iter().flat_map(|stage| stage.targets.clone()).collect();
        let mut rollout = Rollout::new(stages.to_vec(), self.policy, work);
        let mut seen = Seen::default();
        let cancelled = |step: usize| self.cancel_at.is_some_and(|at| step >= at);
        for step in 0..10_000 {
            if self.cancel_at == Some(step) {
                rollout.cancel();
            }
            let decision = rollout.decide();
            match decision {
                Decision::StartStage(stage) => {
                    assert!(
                        seen.running.is_empty() && seen.open.is_none(),
                        "a stage began early"
                    );
                    assert!(!cancelled(step), "a stage began after the cancel");
                    (seen.open, seen.failures) = (Some(stage), 0);
                }
                Decision::StartTarget { stage, target } => {
                    assert_eq!(seen.open, Some(stage));
                    assert!(!cancelled(step), "a target was started after the cancel");
                    assert!(
                        seen.failures <= stages[stage].max_failures,
                        "started beyond the threshold"
                    );
                    assert!(stages[stage].targets.contains(&target));
                    seen.started.push(target);
                    seen.begin(&stages[stage], target);
                }
                Decision::StartRecheck { stage, target } => {
                    assert!(!cancelled(step) && seen.open == Some(stage));
                    assert!(
                        matches!(seen.outcome(target), Some(Outcome::Success(change)) if change != Change::None)
                    );
                    seen.begin(&stages[stage], target);
                }
                Decision::StartRollback { stage, target } => {
                    assert!(!cancelled(step), "a rollback was started after the cancel");
                    assert_ne!(self.policy.strategy, FailureStrategy::Pause);
                    let change = seen.outcome(target).expect("it had ended").change();
                    let kept = self.policy.first_install == FirstInstall::Keep;
                    assert!(change == Change::Upgrade || change == Change::Install && !kept);
                    assert!(!seen.rolled_back.contains(&target), "rolled back twice");
                    seen.rolled_back.push(target);
                    seen.begin(&stages[stage], target);
                }
                Decision::OpenGate { stage, gate } => {
                    assert!(seen.running.is_empty() && seen.open == Some(stage) && !cancelled(step));
                    assert!(
                        seen.failures <= stages[stage].max_failures,
                        "a gate was opened after a failed stage"
                    );
                    seen.gates.push((stage, gate));
                    let approval = matches!(stages[stage].gates[gate], Gate::Approval(_));
                    let waits = approval && self.nobody_approves;
                    rollout.answered(if waits {
                        GateAnswer::Waiting
                    } else {
                        GateAnswer::Passed
                    });
                }
                Decision::Wait => {
                    assert!(!seen.running.is_empty(), "it waits for nothing");
                    let pick = self
                        .pick
                        .get(step % self.pick.len().max(1))
                        .copied()
                        .unwrap_or_default();
                    let target = seen.running.remove(pick % seen.running.len());
                    if seen.rolled_back.contains(&target) {
                        let stuck = self.stuck.contains(&target);
                        rollout.rolled_back(target, if stuck { Restored::No } else { Restored::Yes });
                    } else if let Some(Outcome::Success(change)) = seen.outcome(target) {
                        let spoilt = self.spoilt.contains(&target);
                        let outcome = if spoilt {
                            Outcome::Failure(change)
                        } else {
                            Outcome::Success(change)
                        };
                        rollout.rechecked(target, outcome);
                        seen.end(target, outcome, self.policy);
                    } else {
                        let attempt = seen.started.iter().filter(|other| **other == target).count() - 1;
                        let outcome = self.outcome(target, attempt);
                        if rollout.finished(target, outcome) == Next::Done {
                            seen.end(target, outcome, self.policy);
                        } else {
                            assert_eq!(
                                (outcome, attempt),
                                (Outcome::Unreachable, 0),
                                "deferred more than once"
                            );
                            assert_eq!(self.policy.unreachable, Unreachable::Defer);
                        }
                    }
                }
                Decision::FinishStage { stage, failures } => {
                    assert_eq!((seen.open, failures), (Some(stage), seen.failures));
                    assert!(seen.running.is_empty());
                    seen.open = None;
                }
                Decision::Finish(end) => {
                    assert!(seen.running.is_empty());
                    assert_eq!(rollout.decide(), Decision::Finish(end), "the end is not final");
                    assert_eq!(seen.open.is_some(), matches!(end, End::Waiting { .. }));
                    let stuck = seen
                        .rolled_back
                        .iter()
                        .filter(|target| self.stuck.contains(target))
                        .count();
                    assert_eq!(rollout.rollback_failures(), stuck);
                    seen.end = Some(end);
                    return seen;
                }
            }
        }
        panic!("it does not end");
    }
}

impl Seen {
    fn outcome(&self, target: usize) -> Option<Outcome> {
        let mut ended = self.ended.iter().rev();
        ended
            .find(|(other, _)| *other == target)
            .map(|(_, outcome)| *outcome)
    }

    fn begin(&mut self, stage: &Stage, target: usize) {
        self.running.push(target);
        assert!(self.running.len() <= stage.max_concurrency, "too many at once");
        assert!(
            self.running.iter().all(|target| stage.targets.contains(target)),
            "two stages at once"
        );
        for limit in &stage.label_limits {
            let mut counts = BTreeMap::new();
            for value in self.running.iter().filter_map(|target| limit.values.get(target)) {
                *counts.entry(value).or_insert(0) += 1;
            }
            assert!(
                counts.values().all(|count| *count <= limit.max),
                "too many of one label"
            );
        }
    }

    fn end(&mut self, target: usize, outcome: Outcome, policy: Policy) {
        let failed = match outcome {
            Outcome::Failure(_) => true,
            Outcome::Unreachable => policy.unreachable == Unreachable::Fail,
            Outcome::Success(_) | Outcome::Interrupted(_) => false,
        };
        self.failures += usize::from(failed);
        self.ended.push((target, outcome));
    }
}

#[test]
fn a_failing_canary_keeps_the_rest_untouched() {
    let seen = World::failing([0]).run(&[stage(0..1, 1, 0), stage(1..3, 2, 0)]);
    assert_eq!(
        (seen.started, seen.end),
        (vec![0], Some(End::Exceeded { stage: 0 }))
    );
}

#[test]
fn tolerated_failures_let_the_next_stage_start() {
    let seen = World::failing([0]).run(&[stage(0..2, 1, 1), stage(2..3, 1, 0)]);
    assert_eq!((seen.started, seen.end), (vec![0, 1, 2], Some(End::Completed)));
}

#[test]
fn empty_stages_are_gone_through() {
    let seen = World::default().run(&[stage(0..0, 1, 0), stage(0..1, 1, 0)]);
    assert_eq!((seen.started, seen.end), (vec![0], Some(End::Completed)));
}

#[test]
fn each_strategy_rolls_back_its_own_in_reverse_order() {
    let stages = [stage(0..2, 1, 1), stage(2..5, 1, 0)];
    for (strategy, expected) in [
        (FailureStrategy::Pause, vec![]),
        // The failure that the first stage tolerated is rolled back at its end, the other one at the second's.
        (FailureStrategy::RollbackFailed, vec![0, 3]),
        (FailureStrategy::RollbackStage, vec![3, 2]),
        (FailureStrategy::RollbackAll, vec![3, 2, 1, 0]),
    ] {
        let seen = World::failing([0, 3]).with(strategy).run(&stages);
        assert_eq!(seen.rolled_back, expected, "{strategy:?}");
        assert_eq!(seen.end, Some(End::Exceeded { stage: 1 }));
        assert!(!seen.started.contains(&4));
    }
}

#[test]
fn a_stage_whose_rollbacks_are_cut_short_is_told_to_have_ended() {
    let mut world = World::failing([0, 1, 2]).with(FailureStrategy::RollbackFailed);
    // Before the stage's start, between its targets, and between their rollbacks.
    for cancel_at in 0..16 {
        world.cancel_at = Some(cancel_at);
        let seen = world.run(&[stage(0..3, 1, 3)]);
        assert!(seen.open.is_none(), "{cancel_at}");
    }
}

#[test]
fn a_failed_rollback_does_not_keep_others_from_theirs() {
    let mut world = World::failing([2]).with(FailureStrategy::RollbackAll);
    world.stuck = [1].into();
    assert_eq!(world.run(&[stage(0..3, 1, 0)]).rolled_back, [2, 1, 0]);
}

#[test]
fn first_installs_are_kept_unless_they_are_to_be_uninstalled() {
    let mut world = World::failing([1]).with(FailureStrategy::RollbackAll);
    world.outcomes.insert(0, vec![Outcome::Success(Change::Install)]);
    assert_eq!(world.run(&[stage(0..2, 1, 0)]).rolled_back, [1]);
    world.policy.first_install = FirstInstall::Uninstall;
    assert_eq!(world.run(&[stage(0..2, 1, 0)]).rolled_back, [1, 0]);
}

#[test]
fn what_failed_before_anything_changed_is_not_rolled_back() {
    let mut world = World::default().with(FailureStrategy::RollbackFailed);
    world.outcomes.insert(0, vec![Outcome::Failure(Change::None)]);
    assert!(world.run(&[stage(0..1, 1, 0)]).rolled_back.is_empty());
}

#[test]
fn a_gate_comes_between_stages_and_may_make_the_run_wait() {
    let mut stages = [stage(0..1, 1, 0), stage(1..2, 1, 0)];
    stages[0].gates = vec![
        Gate::Bake(Duration::from_mins(1)),
        Gate::Approval("canary".into()),
    ];
    let seen = World::default().run(&stages);
    assert_eq!(
        (seen.gates, seen.end),
        (vec![(0, 0), (0, 1)], Some(End::Completed))
    );
    let world = World {
        nobody_approves: true,
        ..World::default()
    };
    let seen = world.run(&stages);
    assert_eq!(
        (seen.started, seen.end),
        (vec![0], Some(End::Waiting { stage: 0, gate: 1 }))
    );
}

#[test]
fn what_does_not_last_through_the_bake_counts_against_the_stage() {
    let mut stages = [stage(0..2, 2, 0), stage(2..3, 1, 0)];
    stages[0].gates = vec![Gate::Bake(Duration::from_mins(1))];
    let mut world = World::default().with(FailureStrategy::RollbackStage);
    world.spoilt = [1].into();
    let seen = world.run(&stages);
    assert_eq!(
        (seen.rolled_back, seen.end),
        (vec![1, 0], Some(End::Exceeded { stage: 0 }))
    );
    assert!(!seen.started.contains(&2));
}

#[test]
fn a_stage_without_targets_has_no_gates() {
    let mut empty = stage(0..0, 1, 0);
    empty.gates = vec![Gate::Approval("a".into())];
    let seen = World::default().run(&[empty, stage(0..1, 1, 0)]);
    assert_eq!((seen.gates, seen.end), (vec![], Some(End::Completed)));
}

#[test]
fn nobody_waits_at_a_gate_that_guards_nothing() {
    let mut guarded = stage(0..1, 1, 0);
    guarded.gates = vec![Gate::Approval("a".into())];
    let stages = vec![guarded, stage(1..2, 1, 0)];
    let decisions = |work: BTreeSet<usize>| {
        let mut rollout = Rollout::new(stages.clone(), Policy::default(), work);
        assert_eq!(rollout.decide(), Decision::StartStage(0));
        rollout.decide();
        rollout.finished(0, Outcome::Success(Change::None));
        rollout.decide()
    };
    assert_eq!(decisions([1].into()), Decision::OpenGate { stage: 0, gate: 0 });
    assert_eq!(
        decisions(BTreeSet::new()),
        Decision::FinishStage {
            stage: 0,
            failures: 0
        }
    );
}

#[test]
fn unreachable_targets_fail_or_are_left_out_or_tried_once_more() {
    let stages = [stage(0..2, 1, 0)];
    for (unreachable, started, failures, left_out) in [
        (Unreachable::Fail, vec![0], 1, 0),
        (Unreachable::Skip, vec![0, 1], 0, 1),
        (Unreachable::Defer, vec![0, 1, 0], 0, 1),
    ] {
        let mut world = World::default();
        world.policy.unreachable = unreachable;
        world.outcomes.insert(0, vec![Outcome::Unreachable]);
        let seen = world.run(&stages);
        assert_eq!(
            (seen.started, seen.failures),
            (started, failures),
            "{unreachable:?}"
        );
        let missing = seen
            .ended
            .iter()
            .filter(|(_, outcome)| *outcome == Outcome::Unreachable)
            .count();
        assert_eq!(missing - failures, left_out, "{unreachable:?}");
    }
    let mut world = World::default();
    world.policy.unreachable = Unreachable::Defer;
    world
        .outcomes
        .insert(0, vec![Outcome::Unreachable, Outcome::Success(Change::Upgrade)]);
    assert_eq!(
        world.run(&stages).outcome(0),
        Some(Outcome::Success(Change::Upgrade))
    );
}

#[test]
fn a_cancel_among_the_rollbacks_of_a_tolerated_stage_ends_the_stage() {
    let stages = [stage(0..3, 1, 3)];
    for cancel_at in 0..20 {
        let mut world = World::default();
        world.policy.strategy = FailureStrategy::RollbackFailed;
        world.cancel_at = Some(cancel_at);
        for target in 0..3 {
            world
                .outcomes
                .insert(target, vec![Outcome::Failure(Change::Upgrade)]);
        }
        // Whether every stage that began has ended is looked at there.
        let seen = world.run(&stages);
        assert!(
            matches!(seen.end, Some(End::Cancelled | End::Completed)),
            "{cancel_at}"
        );
    }
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        4 => Just(Outcome::Success(Change::Upgrade)),
        1 => Just(Outcome::Success(Change::None)),
        1 => Just(Outcome::Success(Change::Install)),
        2 => Just(Outcome::Failure(Change::Upgrade)),
        1 => Just(Outcome::Failure(Change::None)),
        1 => Just(Outcome::Failure(Change::Install)),
        2 => Just(Outcome::Unreachable),
    ]
}

fn policy() -> impl Strategy<Value = Policy> {
    let strategy = prop_oneof![
        Just(FailureStrategy::Pause),
        Just(FailureStrategy::RollbackFailed),
        Just(FailureStrategy::RollbackStage),
        Just(FailureStrategy::RollbackAll),
    ];
    let first_install = prop_oneof![Just(FirstInstall::Keep), Just(FirstInstall::Uninstall)];
    let unreachable = prop_oneof![
        Just(Unreachable::Fail),
        Just(Unreachable::Skip),
        Just(Unreachable::Defer)
    ];
    (strategy, first_install, unreachable).prop_map(|(strategy, first_install, unreachable)| Policy {
        strategy,
        first_install,
        unreachable,
    })
}

prop_compose! {
    /// Up to five stages of up to eight targets each.
    fn fleet()(
        sizes in proptest::collection::vec((0_usize..8, 1_usize..5, 0_usize..4, 0_usize..3, 0_usize..4), 1..5),
        regions in proptest::collection::vec(0_usize..4, 40),
    ) -> Vec<Stage> {
        let mut first = 0;
        let make = |(size, concurrency, failures, per_region, gates): (usize, usize, usize, usize, usize)| {
            let mut stage = stage(first..first + size, concurrency, failures);
            // One region is no label at all.
            let values = stage.targets.iter().filter(|target| regions[**target] > 0);
            if per_region > 0 {
                stage.label_limits.push(LabelLimit {
                    label: "region".into(),
                    max: per_region,
                    values: values.map(|target| (*target, regions[*target].to_string())).collect(),
                });
            }
            let gate = |index: usize| {
                if index.is_multiple_of(2) { Gate::Bake(Duration::ZERO) } else { Gate::Approval(index.to_string()) }
            };
            stage.gates = (0..gates).map(gate).collect();
            first += size;
            stage
        };
        sizes.into_iter().map(make).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_laws_hold_for_any_fleet(
        stages in fleet(),
        policy in policy(),
        outcomes in proptest::collection::btree_map(0_usize..40, proptest::collection::vec(outcome(), 1..3), 0..16),
        spoilt in proptest::collection::btree_set(0_usize..40, 0..6),
        stuck in proptest::collection::btree_set(0_usize..40, 0..6),
        nobody_approves in any::<bool>(),
        pick in proptest::collection::vec(0_usize..8, 1..20),
        cancel_at in proptest::option::of(0_usize..120),
    ) {
        let world = World { policy, outcomes, spoilt, stuck, nobody_approves, pick, cancel_at };
        let seen = world.run(&stages);
        let total: usize = stages.iter().map(|stage| stage.targets.len()).sum();
        let distinct: BTreeSet<usize> = seen.started.iter().copied().collect();
        match seen.end.unwrap() {
            End::Completed => prop_assert_eq!(distinct.len(), total),
            End::Exceeded { stage } => {
                prop_assert!(seen.failures > stages[stage].max_failures);
                let changed = |target: &usize| match seen.outcome(*target).map(Outcome::change) {
                    Some(Change::Upgrade) => true,
                    Some(Change::Install) => policy.first_install == FirstInstall::Uninstall,
                    _ => false,
                };
                let complete = |targets: Vec<usize>| {
                    targets.iter().filter(|target| changed(target)).all(|target| seen.rolled_back.contains(target))
                };
                match policy.strategy {
                    _ if world.cancel_at.is_some() => {}
                    FailureStrategy::RollbackAll => prop_assert!(complete(seen.started.clone())),
                    FailureStrategy::RollbackStage => prop_assert!(complete(stages[stage].targets.clone())),
                    FailureStrategy::Pause => prop_assert!(seen.rolled_back.is_empty()),
                    FailureStrategy::RollbackFailed => {
                        let failed = |target: &usize| matches!(seen.outcome(*target), Some(Outcome::Failure(_)));
                        prop_assert!(complete(stages[stage].targets.iter().copied().filter(failed).collect()));
                        prop_assert!(seen.rolled_back.iter().all(failed), "what works was taken back");
                    }
                }
            }
            End::Waiting { stage, gate } => {
                prop_assert!(nobody_approves && matches!(stages[stage].gates[gate], Gate::Approval(_)));
            }
            End::Cancelled => prop_assert!(world.cancel_at.is_some()),
        }
        if matches!(policy.strategy, FailureStrategy::RollbackStage | FailureStrategy::RollbackAll) {
            let first_end = |target: &usize| seen.ended.iter().position(|(other, _)| other == target);
            let in_reverse = seen.rolled_back.is_sorted_by_key(|target| std::cmp::Reverse(first_end(target)));
            prop_assert!(in_reverse, "{:?} of {:?}", seen.rolled_back, seen.ended);
        }
        // Left alone, every fleet comes to its end.
        let undisturbed = World { policy, ..World::default() }.run(&stages);
        prop_assert_eq!(undisturbed.end, Some(End::Completed));
        prop_assert!(undisturbed.rolled_back.is_empty());
    }
}
