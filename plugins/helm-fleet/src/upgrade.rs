//! `helm fleet upgrade`: from the flags to the exit code. What is decided is decided in the modules that this
//! one calls, one after the other.

use crate::again;
use crate::approval::Approver;
use crate::ci;
use crate::cli::UpgradeArgs;
use crate::conduct::{AsyncWork, Conduct, Ending, Sink, confirm, untouched};
use crate::event::{Action, EventKind, Events, RunPlan};
use crate::executor::{self, Summary};
use crate::fleet::FailureStrategy;
use crate::identities;
use crate::locks::Locks;
use crate::plan;
use crate::preflight::Target;
use crate::prepare::{Prepared, holder, policy, prepare, probe};
use crate::reporter::lines::count;
use crate::resume::Start;
use crate::rollout::{End, Rollout};
use crate::target::{Found, Goal, Run};
use aks_shared::{ExitStatus, Failure, Session};
use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

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
    let question = format!("Upgrade {}?", count(plan::work(&prepared.plan), "cluster"));
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
    let locks = take_locks(args, session, &prepared).await?;
    let begun = Conduct::begin(&args.common, session, &prepared.subject, &prepared.plan, &start);
    let status = match begun {
        Ok((conduct, events)) => {
            let upgrade = Upgrade {
                args,
                session,
                prepared,
                start: &start,
                locks: Arc::clone(&locks),
            };
            Ok(conduct.carry_out(events, upgrade).await)
        }
        Err(failure) => Err(failure),
    };
    locks.release(&session.interrupt).await;
    status
}

/// Takes the locks of all targets that the run may change.
async fn take_locks(
    args: &UpgradeArgs,
    session: &Session,
    prepared: &Prepared,
) -> Result<Arc<Locks>, Failure> {
    let subject = &prepared.subject;
    let rolls_back = policy(&subject.fleet).strategy != FailureStrategy::Pause;
    let may_change = |target: &&Target| match target.action {
        // These cannot be reached now.
        Action::TryLater | Action::LeaveOut => false,
        Action::Install | Action::Upgrade | Action::RepairIdentity | Action::Rollback | Action::Uninstall => {
            true
        }
        Action::Nothing => {
            let record = target.record.as_ref();
            let of_this_run = record.is_some_and(|record| record.is_of_run(&subject.run));
            rolls_back && of_this_run && !plan::is_empty(&prepared.plan)
        }
    };
    let targets: Vec<&Target> = prepared.targets.iter().filter(may_change).collect();
    let who = holder(&subject.run, &session.env);
    let timeout = args.common.locks.lock_timeout;
    Locks::take(subject, &targets, &who, timeout, session)
        .await
        .map(Arc::new)
}

/// An upgrade that was confirmed.
struct Upgrade<'a> {
    args: &'a UpgradeArgs,
    session: &'a Session,
    prepared: Prepared,
    start: &'a Start,
    locks: Arc<Locks>,
}

impl AsyncWork for Upgrade<'_> {
    async fn run(self, events: &mut Events<Sink>) -> io::Result<Ending> {
        let (args, session, interrupt) = (self.args, self.session, &self.session.interrupt);
        let Prepared {
            subject,
            targets,
            helm,
            plan,
        } = self.prepared;
        events.emit(EventKind::RunStarted(Box::new(plan.clone())))?;
        let ready = identities::establish(subject.azure.as_ref(), &targets, interrupt, events).await?;
        let actor = ci::actor(&session.env);
        let mut approved = self.start.passed(&subject, &targets);
        approved.extend(args.run.approve.iter().map(|gate| (gate.clone(), actor.clone())));
        let is_work = |(_, target): &(usize, &Target)| {
            target.action != Action::Nothing
                || target.identities.iter().any(|identity| !identity.plan.is_empty())
        };
        let work = targets
            .iter()
            .enumerate()
            .filter(is_work)
            .map(|(index, _)| index)
            .collect();
        let rollout = Rollout::new(subject.stages.clone(), policy(&subject.fleet), work);
        let found = targets
            .into_iter()
            .zip(ready)
            .map(|(target, ready)| Arc::new(Found { target, ready }));
        let crew = Arc::new(Run {
            subject,
            goal: Goal::Upgrade,
            holder: holder(&plan.run, &session.env),
            locks: self.locks,
            found: Mutex::new(found.collect()),
            helm,
            probe: probe(&args.common, session),
            approver: Approver {
                approved,
                actor,
                ui: session.ui.clone(),
            },
            interrupt: interrupt.clone(),
            settled: Mutex::new(BTreeMap::new()),
        });
        let summary = executor::run(rollout, &plan.targets, &crew, interrupt, events).await;
        let status = summary.status(interrupt.status());
        let status = if status == ExitStatus::ToleratedFailures && args.run.failures_ok {
            ExitStatus::Ok
        } else {
            status
        };
        let reason = reason(args, &plan, &summary, status);
        Ok((status, reason))
    }
}

fn reason(args: &UpgradeArgs, plan: &RunPlan, summary: &Summary, status: ExitStatus) -> String {
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
            let stage = &plan.stages[stage];
            format!(
                "stopped in stage {}: more than {} allowed; {taken_back}; once it is repaired: {}",
                stage.name,
                count(stage.max_failures, "failure"),
                again::resume(args, plan, None)
            )
        }
        (End::Waiting { stage, gate }, _) => {
            let stage = &plan.stages[stage];
            let gate = stage.gates[gate]
                .strip_prefix("approval ")
                .unwrap_or(&stage.gates[gate]);
            format!(
                "stage {} is done and healthy; go on with: {}",
                stage.name,
                again::resume(args, plan, Some(gate))
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
