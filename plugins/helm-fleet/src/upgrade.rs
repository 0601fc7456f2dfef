//! `helm fleet upgrade`: from the flags to the exit code. What is decided is decided in the modules that this
//! one calls, one after the other.

use crate::again;
use crate::ci;
use crate::cli::UpgradeArgs;
use crate::conduct::{AsyncWork, Ending, Sink, confirm, untouched};
use crate::event::{Action, Events, RunPlan};
use crate::executor::Summary;
use crate::identities;
use crate::locked::{self, Locked, Orders};
use crate::plan;
use crate::preflight::Target;
use crate::prepare::{Prepared, policy, prepare};
use crate::reporter::lines::count;
use crate::resume::Start;
use crate::rollout::End;
use crate::target::Goal;
use crate::targets::Stage;
use aks_shared::{ExitStatus, Failure, Session};
use std::io;
use std::ops::ControlFlow;

/// Runs the command.
pub async fn run(args: &UpgradeArgs, session: &Session) -> Result<ExitStatus, Failure> {
    begin(args, session, Start::Fresh).await
}

/// Begins a run, or goes on with one.
pub(crate) async fn begin(
    args: &UpgradeArgs,
    session: &Session,
    start: Start,
) -> Result<ExitStatus, Failure> {
    // It is large, and every future that waits for it would be too.
    let prepare = Box::pin(prepare(args, session, &start));
    let prepared = untouched(session, prepare).await?;
    let question = format!(
        "Upgrade {}?",
        count(plan::work(&prepared.plan).count(), "cluster")
    );
    let confirmed = confirm(
        &args.common,
        session,
        &prepared.plan,
        &prepared.targets,
        &question,
    )
    .await?;
    if let ControlFlow::Break(status) = confirmed {
        return Ok(status);
    }
    let strategy = policy(&prepared.subject.fleet).strategy;
    // What a rollback of the whole may reach.
    let rolls_back = strategy.rolls_back() && !plan::is_empty(&prepared.plan);
    let run = prepared.subject.run.clone();
    let may_change = |target: &Target| match target.action {
        // These cannot be reached now.
        Action::TryLater | Action::LeaveOut => false,
        Action::Install | Action::Upgrade | Action::RepairIdentity | Action::Rollback | Action::Uninstall => {
            true
        }
        Action::Nothing => {
            let record = target.record.as_ref();
            rolls_back && record.is_some_and(|record| record.is_of_run(&run))
        }
    };
    let start = &start;
    let work = |locked| Upgrade { args, start, locked };
    locked::carry_out(&args.common, session, prepared, start, may_change, work).await
}

/// An upgrade that was confirmed.
struct Upgrade<'a> {
    args: &'a UpgradeArgs,
    start: &'a Start,
    locked: Locked<'a>,
}

impl AsyncWork for Upgrade<'_> {
    async fn run(self, events: &mut Events<Sink>) -> io::Result<Ending> {
        let Self { args, start, locked } = self;
        let Session { env, interrupt, .. } = locked.session;
        let Prepared {
            subject,
            targets,
            plan,
            ..
        } = &locked.prepared;
        let (plan, stages, policy) = (plan.clone(), subject.stages.clone(), policy(&subject.fleet));
        locked.announce(events)?;
        let ready = identities::establish(subject.azure.as_ref(), targets, interrupt, events).await?;
        let actor = ci::actor(env);
        let mut approved = start.passed(subject, targets);
        approved.extend(args.run.approve.iter().map(|gate| (gate.clone(), actor.clone())));
        let orders = Orders {
            goal: Goal::Upgrade,
            policy,
            approved,
            ready,
        };
        let summary = locked.roll_out(orders, events).await;
        let status = summary.status(interrupt.status());
        let status = if status == ExitStatus::ToleratedFailures && args.run.failures_ok {
            ExitStatus::Ok
        } else {
            status
        };
        let reason = reason(args, &plan, &stages, &summary, status);
        Ok((status, reason))
    }
}

fn reason(
    args: &UpgradeArgs,
    plan: &RunPlan,
    stages: &[Stage],
    summary: &Summary,
    status: ExitStatus,
) -> String {
    let taken_back = match (summary.rolled_back, summary.rollback_failures) {
        (0, 0) => "nothing was rolled back".to_owned(),
        (done, 0) => format!("{} rolled back", count(done, "cluster")),
        (done, failed) => {
            format!(
                "{} rolled back, {} not: look at them",
                count(done, "cluster"),
                count(failed, "cluster")
            )
        }
    };
    match (summary.end, status) {
        (_, ExitStatus::Interrupted | ExitStatus::Terminated) => {
            format!("interrupted; go on with: {}", again::resume(args, plan, None))
        }
        (End::Exceeded { stage }, _) => {
            let stage = &stages[stage];
            format!(
                "stopped in stage {}: more than {} allowed; {taken_back}; once it is repaired: {}",
                stage.name,
                count(stage.max_failures, "failure"),
                again::resume(args, plan, None)
            )
        }
        (End::Waiting { stage, gate }, _) => {
            let stage = &stages[stage];
            format!(
                "stage {} is done and healthy; go on with: {}",
                stage.name,
                again::resume(args, plan, Some(stage.gates[gate].name()))
            )
        }
        (End::Completed, _) if summary.failures + summary.unreachable > 0 => {
            let unreachable = match summary.unreachable {
                0 => String::new(),
                number => format!(", {} left out", count(number, "unreachable cluster")),
            };
            let rolled_back = if summary.rolled_back + summary.rollback_failures > 0 {
                format!("; {taken_back}")
            } else {
                String::new()
            };
            format!(
                "finished with {} within the limits{unreachable}{rolled_back}",
                count(summary.failures, "failure")
            )
        }
        (End::Completed, _) if plan::is_empty(plan) => "nothing to do: every cluster is at target".to_owned(),
        (End::Completed, _) => "every cluster is at target".to_owned(),
        (End::Cancelled, _) => format!(
            "{}, so nothing more was started",
            summary.lost.as_deref().unwrap_or("the run was stopped")
        ),
    }
}
