//! What the executor tells, for single cases and for any fleet, whatever fails, panics or interrupts.

use super::*;
use crate::event::Action;
use crate::fleet::{FailureStrategy, Unreachable};
use crate::rollout::{Change, Policy};
use crate::targets::Stage;
use aks_shared::ExitStatus;
use proptest::prelude::*;
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn plan(name: &str) -> TargetPlan {
    TargetPlan {
        cluster: name.to_owned(),
        context: name.to_owned(),
        stage: String::new(),
        uid: String::new(),
        revision: Some(3),
        restore: Some(3),
        action: Action::Upgrade,
        reason: String::new(),
        inputs: String::new(),
        identity_changes: Vec::new(),
        kept_values: Vec::new(),
    }
}

fn stage(name: &str, max_concurrency: usize, max_failures: usize, targets: &[usize]) -> Stage {
    Stage {
        name: name.into(),
        max_concurrency,
        max_failures,
        targets: targets.to_vec(),
        ..Stage::default()
    }
}

fn stages() -> Vec<Stage> {
    vec![stage("canary", 1, 0, &[0]), stage("prod", 2, 0, &[1, 2])]
}

/// What becomes of one operation on one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Success,
    Failure,
    Unreachable,
    Panic,
    /// The user wants to stop while it runs; it sees that and ends.
    Interrupt(u8),
    /// It does not end by itself.
    Hang,
}

/// A crew whose fortunes are known.
#[derive(Debug, Clone)]
struct Fortune {
    fates: Arc<dyn Fates>,
    approves: bool,
    interrupt: Interrupt,
    /// The operations that run now, and the most that ever did.
    running: Arc<Mutex<(usize, usize)>>,
}

trait Fates: Send + Sync + std::fmt::Debug {
    fn of(&self, operation: Operation, target: usize) -> Fate;
}

impl Fates for BTreeMap<(usize, usize), Fate> {
    fn of(&self, operation: Operation, target: usize) -> Fate {
        let operation = match operation {
            Operation::Apply => 0,
            Operation::Recheck => 1,
            Operation::Rollback => 2,
        };
        self.get(&(operation, target)).copied().unwrap_or(Fate::Success)
    }
}

impl Fortune {
    fn new<const N: usize>(fates: [((usize, usize), Fate); N]) -> Self {
        Self {
            fates: Arc::new(BTreeMap::from(fates)),
            approves: true,
            interrupt: Interrupt::new(),
            running: Arc::default(),
        }
    }
}

impl Crew for Fortune {
    fn perform(
        &self,
        operation: Operation,
        target: usize,
        progress: Progress,
    ) -> impl Future<Output = TargetResult> + Send + 'static {
        let (fate, interrupt, running) = (
            self.fates.of(operation, target),
            self.interrupt.clone(),
            Arc::clone(&self.running),
        );
        async move {
            {
                let mut running = running.lock().unwrap();
                running.0 += 1;
                running.1 = running.1.max(running.0);
            }
            progress.say("helm upgrade");
            tokio::task::yield_now().await;
            running.lock().unwrap().0 -= 1;
            let success = match operation {
                Operation::Rollback => TargetStatus::RolledBack,
                Operation::Apply | Operation::Recheck => TargetStatus::Upgraded,
            };
            let status = match fate {
                Fate::Success => success,
                Fate::Failure => TargetStatus::Failed,
                Fate::Unreachable => TargetStatus::Unreachable,
                Fate::Panic => panic!("this is meant to panic"),
                Fate::Interrupt(times) => {
                    (0..times).for_each(|_| interrupt.insist(ExitStatus::Terminated));
                    TargetStatus::Interrupted
                }
                Fate::Hang => {
                    interrupt.abandoned().await;
                    std::future::pending().await
                }
            };
            let failure = FailureReport::new(Step::Helm, "it failed");
            TargetResult {
                status,
                failure: (status != success).then_some(failure.clone()),
                ..failed(failure, Change::Upgrade)
            }
        }
    }

    fn left_to_bake(&self, _stage: &Stage, bake: Duration) -> Duration {
        bake
    }

    fn approval(&self, _gate: &str) -> BoxFuture<'static, Option<String>> {
        Box::pin(std::future::ready(self.approves.then(|| "kim".to_owned())))
    }
}

struct Seen {
    events: Vec<serde_json::Value>,
    summary: Summary,
}

impl Seen {
    fn names(&self) -> Vec<String> {
        let name = |event: &serde_json::Value| {
            let subject = event["cluster"]
                .as_str()
                .or(event["stage"].as_str())
                .unwrap_or_default();
            format!("{} {subject}", event["type"].as_str().unwrap())
        };
        self.events.iter().map(name).collect()
    }
}

/// Runs a rollout; from the event `full_at` on nothing can be written.
async fn rolled_out(stages: &[Stage], policy: Policy, crew: &Fortune, full_at: u64) -> Seen {
    let mut seen = Vec::new();
    let mut events = Events::new(|event: &Event| {
        seen.push(serde_json::to_value(event).unwrap());
        if event.seq >= full_at {
            Err(io::ErrorKind::StorageFull.into())
        } else {
            Ok(())
        }
    });
    let total: usize = stages.iter().map(|stage| stage.targets.len()).sum();
    let targets: Vec<TargetPlan> = (0..total).map(|target| plan(&target.to_string())).collect();
    let rollout = Rollout::new(stages.to_vec(), policy, (0..total).collect());
    let summary = run(rollout, &targets, crew, &crew.interrupt, &mut events).await;
    for (index, event) in seen.iter().enumerate() {
        assert_eq!(event["seq"], index + 1);
    }
    Seen {
        events: seen,
        summary,
    }
}

async fn simple(crew: &Fortune) -> Seen {
    rolled_out(&stages(), Policy::default(), crew, u64::MAX).await
}

#[tokio::test]
async fn progress_comes_before_the_end_of_its_target() {
    let seen = simple(&Fortune::new([])).await;
    assert_eq!(
        &seen.names()[..5],
        [
            "stage-started canary",
            "target-started 0",
            "target-progress 0",
            "target-finished 0",
            "stage-finished canary"
        ]
    );
    assert_eq!(seen.summary.status(None), ExitStatus::Ok);
}

#[tokio::test]
async fn a_panic_is_a_failure_of_its_target() {
    let seen = simple(&Fortune::new([((0, 0), Fate::Panic)])).await;
    assert_eq!(
        seen.names()[4..],
        ["stage-finished canary", "target-skipped 1", "target-skipped 2"]
    );
    assert_eq!(seen.summary.status(None), ExitStatus::Stopped);
}

#[tokio::test]
async fn an_interrupt_lets_running_targets_end_and_starts_none() {
    let crew = Fortune::new([((0, 0), Fate::Interrupt(1))]);
    let seen = simple(&crew).await;
    assert_eq!(
        seen.names()[2..],
        [
            "target-progress 0",
            "cancel-started ",
            "target-finished 0",
            "stage-finished canary",
            "target-skipped 1",
            "target-skipped 2"
        ]
    );
    assert_eq!(seen.summary.end, End::Cancelled);
    assert_eq!(
        seen.summary.status(crew.interrupt.status()),
        ExitStatus::Terminated
    );
}

#[tokio::test]
async fn a_third_signal_leaves_what_hangs() {
    let crew = Fortune::new([((0, 1), Fate::Hang), ((0, 2), Fate::Interrupt(3))]);
    let seen = simple(&crew).await;
    let names = seen.names();
    for target in ["target-finished 1", "target-finished 2"] {
        assert_eq!(
            names.iter().filter(|name| *name == target).count(),
            1,
            "{names:?}"
        );
    }
    assert_eq!(
        seen.summary.status(crew.interrupt.status()),
        ExitStatus::Terminated
    );
}

#[tokio::test]
async fn a_failed_rollout_is_taken_back_in_reverse_and_its_code_says_whether_that_worked() {
    let policy = Policy {
        strategy: FailureStrategy::RollbackAll,
        ..Policy::default()
    };
    let one_at_a_time = vec![stage("canary", 1, 0, &[0]), stage("prod", 1, 0, &[1, 2])];
    let crew = Fortune::new([((0, 1), Fate::Failure)]);
    let seen = rolled_out(&one_at_a_time, policy, &crew, u64::MAX).await;
    let rollbacks: Vec<String> = seen
        .names()
        .into_iter()
        .filter(|name| name.starts_with("rollback-started"))
        .collect();
    assert_eq!(rollbacks, ["rollback-started 1", "rollback-started 0"]);
    assert_eq!(seen.summary.status(None), ExitStatus::RolledBack);

    let crew = Fortune::new([((0, 1), Fate::Failure), ((2, 1), Fate::Failure)]);
    let seen = rolled_out(&one_at_a_time, policy, &crew, u64::MAX).await;
    assert_eq!((seen.summary.rolled_back, seen.summary.rollback_failures), (1, 1));
    assert_eq!(seen.summary.status(None), ExitStatus::RollbackFailed);
}

#[tokio::test]
async fn a_gate_that_nobody_approves_ends_the_run_healthy() {
    let mut stages = stages();
    stages[0].gates = vec![
        Gate::Bake(Duration::from_millis(1)),
        Gate::Approval("canary".into()),
    ];
    let mut crew = Fortune::new([]);
    let seen = rolled_out(&stages, Policy::default(), &crew, u64::MAX).await;
    assert_eq!(seen.summary.status(None), ExitStatus::Ok);
    crew.approves = false;
    let seen = rolled_out(&stages, Policy::default(), &crew, u64::MAX).await;
    assert_eq!(
        seen.names()[4..],
        [
            "gate-reached canary",
            "gate-answered canary",
            "target-progress 0",
            "target-rechecked 0",
            "gate-reached canary",
            "gate-answered canary",
            "target-skipped 1",
            "target-skipped 2"
        ]
    );
    assert_eq!(seen.summary.status(None), ExitStatus::Waiting);
}

#[tokio::test]
async fn a_bake_is_left_at_once_when_the_user_wants_to_stop() {
    let mut stages = stages();
    stages[0].gates = vec![Gate::Bake(Duration::from_hours(1))];
    let crew = Fortune::new([]);
    let (seen, ()) = tokio::join!(rolled_out(&stages, Policy::default(), &crew, u64::MAX), async {
        while crew.running.lock().unwrap().1 == 0 {
            tokio::task::yield_now().await;
        }
        crew.interrupt.raise(ExitStatus::Interrupted);
    });
    assert_eq!(seen.summary.end, End::Cancelled);
}

#[tokio::test]
async fn left_out_targets_are_told_apart_from_failures() {
    let policy = Policy {
        unreachable: Unreachable::Defer,
        ..Policy::default()
    };
    let seen = rolled_out(
        &stages(),
        policy,
        &Fortune::new([((0, 0), Fate::Unreachable)]),
        u64::MAX,
    )
    .await;
    let canary: Vec<String> = seen
        .names()
        .into_iter()
        .filter(|name| name.ends_with('0'))
        .collect();
    assert!(canary.contains(&"target-deferred 0".to_owned()));
    assert_eq!((seen.summary.failures, seen.summary.unreachable), (0, 1));
    assert_eq!(seen.summary.status(None), ExitStatus::ToleratedFailures);
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => Just(Fate::Failure),
        2 => Just(Fate::Unreachable),
        2 => Just(Fate::Panic),
        1 => Just(Fate::Interrupt(1)),
        1 => Just(Fate::Interrupt(2)),
        1 => Just(Fate::Interrupt(3)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_target_is_accounted_for_once_whatever_happens(
        sizes in proptest::collection::vec((0_usize..6, 1_usize..4, 0_usize..3, any::<bool>()), 1..4),
        fates in proptest::collection::btree_map((0_usize..3, 0_usize..18), fate(), 0..10),
        strategy in prop_oneof![
            Just(FailureStrategy::Pause),
            Just(FailureStrategy::RollbackFailed),
            Just(FailureStrategy::RollbackStage),
            Just(FailureStrategy::RollbackAll),
        ],
        unreachable in prop_oneof![Just(Unreachable::Fail), Just(Unreachable::Skip), Just(Unreachable::Defer)],
        approves in any::<bool>(),
        full_at in proptest::option::of(1_u64..60),
    ) {
        // A panic that is meant is not to be printed three hundred times.
        std::panic::set_hook(Box::new(|_| {}));
        let mut first = 0;
        let stages: Vec<Stage> = sizes
            .iter()
            .map(|(size, concurrency, failures, gate)| {
                let targets: Vec<usize> = (first..first + size).collect();
                first += size;
                let mut stage = stage(&first.to_string(), *concurrency, *failures, &targets);
                if *gate {
                    stage.gates = vec![Gate::Bake(Duration::ZERO), Gate::Approval(stage.name.clone())];
                }
                stage
            })
            .collect();
        let crew = Fortune { fates: Arc::new(fates), approves, ..Fortune::new([]) };
        let policy = Policy { strategy, unreachable, ..Policy::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let seen = runtime.block_on(rolled_out(&stages, policy, &crew, full_at.unwrap_or(u64::MAX)));
        let _ = std::panic::take_hook();

        let most = sizes.iter().map(|(_, concurrency, ..)| *concurrency).max().unwrap_or_default();
        prop_assert!(crew.running.lock().unwrap().1 <= most);
        for target in 0..first {
            let ends = seen.events.iter().filter(|event| {
                matches!(event["type"].as_str(), Some("target-finished" | "target-skipped"))
                    && event["cluster"].as_str() == Some(&target.to_string())
            });
            prop_assert_eq!(ends.count(), 1, "target {} in {:?}", target, seen.names());
        }
        let position = |kind: &str, cluster: &serde_json::Value| {
            seen.events.iter().position(|event| event["type"] == kind && event["cluster"] == *cluster)
        };
        for event in &seen.events {
            if event["type"] == "rollback-finished" {
                prop_assert!(position("rollback-started", &event["cluster"]) < position("rollback-finished", &event["cluster"]));
            }
        }
        if let Some(lost_at) = full_at.and_then(|at| usize::try_from(at).ok()) {
            // Nothing begins that could not be written down before.
            let begun_late = seen.events.iter().skip(lost_at).any(|event| {
                matches!(event["type"].as_str(), Some("target-started" | "rollback-started" | "stage-started"))
            });
            prop_assert!(!begun_late, "{:?}", seen.names());
        }
    }
}
