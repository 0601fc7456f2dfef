//! A run that was confirmed: it takes its locks, is conducted under them, and gives them back whatever came of it.

use crate::approval::Approver;
use crate::ci;
use crate::cli::CommonArgs;
use crate::conduct::{AsyncWork, Conduct, Sink};
use crate::event::{EventKind, Events, FailureReport};
use crate::executor::{self, Summary};
use crate::identities::Ready;
use crate::locks::Locks;
use crate::plan;
use crate::preflight::Target;
use crate::prepare::{Prepared, holder, probe};
use crate::resume::Start;
use crate::rollout::{Policy, Rollout};
use crate::target::{Found, Goal, Run};
use aks_shared::{ExitStatus, Failure, Session};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

/// A run that holds its locks.
pub(crate) struct Locked<'a> {
    args: &'a CommonArgs,
    /// What it runs in.
    pub(crate) session: &'a Session,
    /// What it sets out to do.
    pub(crate) prepared: Prepared,
    locks: Arc<Locks>,
}

/// What the crew of a run is told besides the plan.
pub(crate) struct Orders {
    /// What is done to the targets.
    pub(crate) goal: Goal,
    /// What is done about failures.
    pub(crate) policy: Policy,
    /// Gates that are approved already, each with who did it.
    pub(crate) approved: BTreeMap<String, String>,
    /// The identities of every target, or why it has none.
    pub(crate) ready: Vec<Result<Ready, FailureReport>>,
}

/// Carries out what was prepared and confirmed, under the locks of all targets that it may change.
pub(crate) async fn carry_out<'a, W: AsyncWork>(
    args: &'a CommonArgs,
    session: &'a Session,
    prepared: Prepared,
    start: &Start,
    may_change: impl Fn(&Target) -> bool,
    work: impl FnOnce(Locked<'a>) -> W,
) -> Result<ExitStatus, Failure> {
    let subject = &prepared.subject;
    let targets = prepared.targets.iter().enumerate();
    let held: Vec<_> = targets.filter(|(_, target)| may_change(target)).collect();
    let who = holder(&subject.run, &session.env);
    let locks = Arc::new(Locks::take(subject, &held, &who, prepared.patience, session).await?);
    let begun = Conduct::begin(args, session, subject, &prepared.plan, start);
    let status = match begun {
        Ok((conduct, events)) => {
            let locks = Arc::clone(&locks);
            let locked = Locked {
                args,
                session,
                prepared,
                locks,
            };
            // It is large, and every future that waits for it would be too.
            Ok(Box::pin(conduct.carry_out(events, work(locked))).await)
        }
        Err(failure) => Err(failure),
    };
    locks.release(&session.interrupt).await;
    status
}

impl Locked<'_> {
    /// Tells of the plan.
    pub(crate) fn announce(&self, events: &mut Events<Sink>) -> io::Result<()> {
        events.emit(EventKind::RunStarted(Box::new(self.prepared.plan.clone())))
    }

    /// Runs all stages.
    pub(crate) async fn roll_out(self, orders: Orders, events: &mut Events<Sink>) -> Summary {
        let Self { args, session, .. } = self;
        let Prepared {
            subject,
            targets,
            helm,
            plan,
            ..
        } = self.prepared;
        let rollout = Rollout::new(subject.stages.clone(), orders.policy, plan::work(&plan).collect());
        let found = targets.into_iter().zip(orders.ready);
        let found = found.map(|(target, ready)| Arc::new(Found { target, ready }));
        let crew = Arc::new(Run {
            goal: orders.goal,
            holder: holder(&subject.run, &session.env),
            locks: self.locks,
            subject,
            found: Mutex::new(found.collect()),
            helm,
            probe: probe(args, session),
            approver: Approver {
                approved: orders.approved,
                actor: ci::actor(&session.env),
                ui: session.ui.clone(),
            },
            interrupt: session.interrupt.clone(),
            settled: Mutex::new(BTreeMap::new()),
        });
        executor::run(rollout, &plan.targets, &crew, &session.interrupt, events).await
    }
}
