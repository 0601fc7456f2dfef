//! What the commands have in common that take back what was installed.
//!
//! Every cluster is looked at before any is touched, the stages come in reverse order and without gates, no failure
//! keeps another cluster from its turn, and identities stay as they are.

use crate::cli::CommonArgs;
use crate::conduct::{AsyncWork, Ending, Sink, confirm};
use crate::event::{Action, Events};
use crate::identities::Ready;
use crate::identity;
use crate::locked::{self, Locked, Orders};
use crate::plan;
use crate::preflight::loss::OnValueLoss;
use crate::preflight::{self, Problem, Target, TargetIdentity, refusal};
use crate::prepare::{Prepared, check_probe, find_helm, load, plan_of, wait_for_others};
use crate::reporter::lines::count;
use crate::resume::{Start, run_id};
use crate::rollout::{End, Policy};
use crate::target::Goal;
use crate::targets::Stage;
use aks_shared::{ExitStatus, Failure, Session};
use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;

/// A command of this kind.
#[derive(Clone, Copy)]
pub(crate) struct Backwards<'a> {
    /// Its flags.
    pub(crate) args: &'a CommonArgs,
    /// What it runs in.
    pub(crate) session: &'a Session,
    /// What it says.
    pub(crate) words: Words,
}

/// What such a command says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words {
    /// Its name.
    pub(crate) command: &'static str,
    /// Whether what it leaves is verified.
    pub(crate) verifies: bool,
    /// What it is about to do to so many clusters, as the beginning of a question.
    pub(crate) question: &'static str,
    /// That all is done.
    pub(crate) done: &'static str,
    /// That nothing was to be done.
    pub(crate) nothing: &'static str,
    /// That so many clusters failed.
    pub(crate) failed: &'static str,
    /// How the run ends then.
    pub(crate) status: ExitStatus,
}

impl Backwards<'_> {
    /// Loads and looks at everything; touches nothing. `aim` says what is to be done to a target, given all of them, or
    /// why nothing can.
    pub(crate) async fn prepare(
        &self,
        aim: impl Fn(&Target, &[Target]) -> Result<(Action, String), String> + Send,
    ) -> Result<Prepared, Failure> {
        let (args, session) = (self.args, self.session);
        // Nothing is written but what a revision has already.
        let mut subject = load(args, session, OnValueLoss::Drop).await?;
        if self.words.verifies {
            check_probe(args, session, &subject)?;
        }
        subject.run = run_id();
        subject.stages = reversed(&subject.stages);
        let patience = wait_for_others(args, session, &subject).await;
        let clusters = subject.clusters.len();
        session
            .ui
            .status(&format!("looking at {}", count(clusters, "cluster")));
        let (mut targets, mut problems) = preflight::look(&subject).await;
        let aims = targets.iter().map(|target| match target.action {
            Action::LeaveOut | Action::TryLater => {
                Err("it cannot be reached; leave it out by --skip".to_owned())
            }
            _ => aim(target, &targets),
        });
        let aims: Vec<_> = aims.collect();
        for (target, aimed) in targets.iter_mut().zip(aims) {
            match aimed {
                Ok((action, reason)) => (target.action, target.reason) = (action, reason),
                Err(what) => problems.push(Problem::new(&target.spec.name, what)),
            }
        }
        if !problems.is_empty() {
            return Err(refusal(&problems, clusters));
        }
        let helm = if targets.iter().any(is_meant) {
            Some(find_helm(args.tools.helm.helm_bin.as_ref(), session, &subject).await?)
        } else {
            None
        };
        let mut plan = plan_of(&subject, &targets, helm.as_ref(), session);
        plan.command = self.words.command;
        for planned in &mut plan.targets {
            planned.restore = None;
            planned.identity_changes.clear();
        }
        Ok(Prepared {
            subject,
            targets,
            helm,
            plan,
            patience,
        })
    }

    /// Has the plan confirmed and carries it out.
    pub(crate) async fn carry_out(self, prepared: Prepared, goal: Goal) -> Result<ExitStatus, Failure> {
        let Self { args, session, words } = self;
        let plan = &prepared.plan;
        let question = format!(
            "{} {}?",
            words.question,
            count(plan::work(plan).count(), "cluster")
        );
        if let ControlFlow::Break(status) = confirm(args, session, plan, &prepared.targets, &question).await?
        {
            return Ok(status);
        }
        let work = |locked| Way { words, goal, locked };
        locked::carry_out(args, session, prepared, &Start::Fresh, is_meant, work).await
    }
}

/// A command that was confirmed.
struct Way<'a> {
    words: Words,
    goal: Goal,
    locked: Locked<'a>,
}

impl AsyncWork for Way<'_> {
    async fn run(self, events: &mut Events<Sink>) -> io::Result<Ending> {
        let Self { words, goal, locked } = self;
        let (interrupt, prepared) = (&locked.session.interrupt, &locked.prepared);
        let nothing = plan::is_empty(&prepared.plan);
        locked.announce(events)?;
        let orders = Orders {
            goal,
            policy: Policy::default(),
            approved: BTreeMap::new(),
            ready: prepared
                .targets
                .iter()
                .map(|target| Ok(as_it_is(target)))
                .collect(),
        };
        let summary = locked.roll_out(orders, events).await;
        Ok(match summary.end {
            End::Completed if summary.failures > 0 => {
                let failed = count(summary.failures, "cluster");
                (words.status, format!("{failed} {}", words.failed))
            }
            End::Completed if nothing => (ExitStatus::Ok, words.nothing.to_owned()),
            End::Completed => (ExitStatus::Ok, words.done.to_owned()),
            End::Exceeded { .. } | End::Waiting { .. } | End::Cancelled => {
                let status = interrupt.status().unwrap_or(ExitStatus::Failed);
                let interrupted = "interrupted; run the command again to go on".to_owned();
                (status, summary.lost.unwrap_or(interrupted))
            }
        })
    }
}

/// Whether anything is done to a target.
pub(crate) fn is_meant(target: &Target) -> bool {
    matches!(target.action, Action::Rollback | Action::Uninstall)
}

/// The stages in reverse order, without gates, and whatever fails.
fn reversed(stages: &[Stage]) -> Vec<Stage> {
    let stages = stages.iter().rev().map(|stage| Stage {
        max_failures: stage.targets.len(),
        gates: Vec::new(),
        targets: stage.targets.iter().rev().copied().collect(),
        ..stage.clone()
    });
    stages.collect()
}

/// The identities of a target as they are.
fn as_it_is(target: &Target) -> Ready {
    let known =
        |identity: &TargetIdentity| Some((identity.name.clone(), identity::known(&identity.observed)?));
    Ready {
        variables: target.identities.iter().filter_map(known).collect(),
        changed: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_stage_goes_first_and_no_failure_stops_it() {
        let stage = |name: &str, targets: &[usize]| Stage {
            name: name.into(),
            targets: targets.to_vec(),
            ..Stage::default()
        };
        let stages = reversed(&[stage("canary", &[0]), stage("prod", &[1, 2])]);
        assert_eq!(
            (stages[0].name.as_str(), stages[0].targets.as_slice()),
            ("prod", [2, 1].as_slice())
        );
        assert_eq!((stages[0].max_failures, stages[1].max_failures), (2, 1));
    }
}
