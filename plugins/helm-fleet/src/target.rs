//! One target, from its identity's ids to a verified release.

mod deploy;
mod reading;

pub(crate) use reading::release_failure;

use crate::approval::Approver;
use crate::decision::{Desired, IdentityState, decide};
use crate::event::{Action, FailureReport, Step, TargetResult, TargetStatus};
use crate::evidence;
use crate::executor::{Crew, Operation, Progress};
use crate::gate::left_to_bake;
use crate::helm::process::{Helm, HelmError};
use crate::helm::redact::Redaction;
use crate::identities::{Ready, establish_one};
use crate::identity;
use crate::locks::Locks;
use crate::preflight::loss::values_of;
use crate::preflight::{Subject, Target, look_again};
use crate::proof::ProbeSettings;
use crate::release::Record;
use crate::rollout::Change;
use crate::targets::Stage;
use aks_shared::interrupt::Interrupt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use kubectl_wi_verify::Finding;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What a run is to do to its targets.
#[derive(Debug)]
pub enum Goal {
    /// To bring them to what the fleet file says.
    Upgrade,
    /// To bring each back to a revision that it has.
    Rollback(BTreeMap<usize, u32>),
    /// To take the release from them.
    Uninstall,
}

/// What all targets of a run share.
#[derive(Debug)]
pub struct Run {
    /// What is done to the targets.
    pub goal: Goal,
    /// Who holds the locks.
    pub holder: String,
    /// What keeps other runs away.
    pub locks: Arc<Locks>,
    /// What the run is about.
    pub subject: Subject,
    /// The targets as they were found; one that could not be reached is found later.
    pub found: Mutex<Vec<Arc<Found>>>,
    /// Helm, when any target was expected to need it.
    pub helm: Option<Helm>,
    /// The probe.
    pub probe: ProbeSettings,
    /// Who approves gates.
    pub approver: Approver,
    /// The wish to stop.
    pub interrupt: Interrupt,
    /// When targets came to what they should be.
    pub settled: Mutex<BTreeMap<usize, Timestamp>>,
}

/// A target with its identities, or why it has none.
#[derive(Debug)]
pub struct Found {
    /// The target.
    pub target: Target,
    /// Its identities.
    pub ready: Result<Ready, FailureReport>,
}

/// What became of a target so far; kept when it fails in its middle.
#[derive(Debug)]
pub(crate) struct Course {
    pub(crate) revision: Option<u32>,
    pub(crate) change: Change,
    pub(crate) findings: Vec<Finding>,
    pub(crate) checks: Vec<String>,
}

impl Crew for Arc<Run> {
    fn perform(
        &self,
        operation: Operation,
        target: usize,
        progress: Progress,
    ) -> impl Future<Output = TargetResult> + Send + 'static {
        let run = Self::clone(self);
        async move { run.operate(operation, target, &progress).await }
    }

    fn left_to_bake(&self, stage: &Stage, bake: Duration) -> Duration {
        let settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = stage
            .targets
            .iter()
            .filter_map(|target| settled.get(target))
            .max();
        let ago = newest.map(|at| Timestamp::now().duration_since(*at));
        // Without a time, or with one that the clock has yet to reach, all of it is left.
        let ago = ago.and_then(|ago| Duration::try_from(ago).ok());
        left_to_bake(bake, ago.unwrap_or_default())
    }

    fn approval(&self, gate: &str) -> BoxFuture<'static, Option<String>> {
        self.approver.ask(gate)
    }
}

impl Run {
    async fn operate(&self, operation: Operation, index: usize, progress: &Progress) -> TargetResult {
        let found = self.found(index);
        let locked = self.locks.check(index);
        let revision_before = found.target.record.as_ref().map(|record| record.revision);
        let mut course = Course {
            revision: revision_before,
            change: Change::None,
            findings: Vec::new(),
            checks: Vec::new(),
        };
        let result = match operation {
            Operation::Apply | Operation::Rollback if locked.is_err() => {
                locked.map(|()| TargetStatus::NotStarted)
            }
            Operation::Apply => match &self.goal {
                Goal::Upgrade => self.apply(index, progress, &mut course).await,
                Goal::Rollback(revisions) => {
                    let revision = revisions.get(&index).copied();
                    self.go_back(&found, revision, progress, &mut course).await
                }
                Goal::Uninstall => self.take_away(&found, progress, &mut course).await,
            },
            Operation::Recheck => self.recheck(&found, progress, &mut course).await,
            Operation::Rollback => self.take_back(&found, progress, &mut course).await,
        };
        let (status, failure) = match result {
            Ok(status) => (status, None),
            Err(failure) if failure.step == Step::Reach => (TargetStatus::Unreachable, Some(failure)),
            Err(failure) if self.interrupt.is_raised() => (TargetStatus::Interrupted, Some(failure)),
            Err(failure) => (TargetStatus::Failed, Some(failure)),
        };
        if operation == Operation::Apply && failure.is_none() {
            self.settle(index, status);
        }
        TargetResult {
            status,
            revision_before,
            revision_after: course.revision,
            change: course.change,
            findings: course.findings,
            checks: course.checks,
            failure,
            // The executor measures.
            took: Duration::ZERO,
        }
    }

    /// Remembers since when a target is what it should be: what was left alone has been for longer.
    fn settle(&self, index: usize, status: TargetStatus) {
        let found = self.found(index);
        let record = found.target.record.as_ref();
        let deployed = record.and_then(|record| record.deployed_at);
        let since = deployed.filter(|_| status == TargetStatus::Unchanged);
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        settled.insert(index, since.unwrap_or_else(Timestamp::now));
    }

    fn is_of_this_run(&self, record: Option<&Record>) -> bool {
        record.is_some_and(|record| record.is_of_run(&self.subject.run))
    }

    /// A target as it was found last.
    fn found(&self, index: usize) -> Arc<Found> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&found[index])
    }

    /// Brings one target to where the fleet wants it, after a second look if the first one did not reach it.
    async fn apply(
        &self,
        index: usize,
        progress: &Progress,
        course: &mut Course,
    ) -> Result<TargetStatus, FailureReport> {
        let mut found = self.found(index);
        match found.target.action {
            Action::LeaveOut => return Err(FailureReport::new(Step::Reach, found.target.reason.clone())),
            Action::TryLater => {
                progress.say("looking at it again");
                let (subject, interrupt) = (&self.subject, &self.interrupt);
                // Both are large and rare.
                let look = Box::pin(look_again(subject, &found.target, self.helm.as_ref(), interrupt));
                let target = look.await?;
                self.locks.add(subject, index, &target, &self.holder).await?;
                let azure = subject.azure.as_ref();
                let ready = Box::pin(establish_one(azure, &target, interrupt, progress.sender())).await;
                course.revision = target.record.as_ref().map(|record| record.revision);
                found = Arc::new(Found { target, ready });
                self.found.lock().unwrap_or_else(PoisonError::into_inner)[index] = Arc::clone(&found);
            }
            Action::Install
            | Action::Upgrade
            | Action::RepairIdentity
            | Action::Rollback
            | Action::Uninstall
            | Action::Nothing => {}
        }
        self.attempt(&found, progress, course).await
    }

    async fn attempt(
        &self,
        found: &Found,
        progress: &Progress,
        course: &mut Course,
    ) -> Result<TargetStatus, FailureReport> {
        let target = &found.target;
        let ready = found.ready.as_ref().map_err(Clone::clone)?;
        let (record, identities) = (target.record.as_ref(), Value::Object(ready.variables.clone()));
        let values = values_of(&self.subject, &target.spec, record, &identities)
            .map_err(|error| FailureReport::of(Step::Helm, &error))?;
        let desired = Desired::new(&self.subject.fleet, &self.subject.chart, values);
        let state = if ready.changed {
            IdentityState::Changed
        } else {
            IdentityState::InOrder
        };
        let (action, _) = decide(target.record.as_ref(), &desired, &self.subject.chart, state);
        // What this run did before it was resumed is its own as well.
        if self.is_of_this_run(target.record.as_ref()) {
            course.change = self.kind_of_change(target);
        }
        let status = match action {
            Action::Nothing | Action::Rollback | Action::Uninstall | Action::TryLater | Action::LeaveOut => {
                return Ok(TargetStatus::Unchanged);
            }
            Action::RepairIdentity => TargetStatus::IdentityRepaired,
            Action::Install => TargetStatus::Installed,
            Action::Upgrade => TargetStatus::Upgraded,
        };
        let record = if action == Action::RepairIdentity {
            let record = self.unmoved(target, course).await?;
            let record = record.ok_or_else(|| FailureReport::new(Step::Release, "the release has gone"))?;
            // The number alone does not tell: whoever deletes a release and installs it counts anew.
            if decide(Some(&record), &desired, &self.subject.chart, state).0 != action {
                let message = format!("revision {} is not what it was planned from", record.revision);
                return Err(FailureReport::new(Step::Release, message));
            }
            record
        } else {
            match self.upgrade(target, &desired, progress, course).await {
                Ok(record) => record,
                Err(failure) => return Err(self.explained(failure, found, progress, course).await),
            }
        };
        self.prove(found, &record, &desired.digest, progress, course)
            .await?;
        Ok(status)
    }

    /// Why helm failed, in its own words and in those of the pods.
    pub(crate) async fn helm_failure(
        &self,
        step: Step,
        error: &HelmError,
        target: &Target,
        redaction: &Redaction,
    ) -> FailureReport {
        let mut failure = FailureReport::of(step, error);
        failure.output = error.output().filter(|text| !text.is_empty()).map(str::to_owned);
        if !self.interrupt.is_raised() {
            let release = &self.subject.fleet.release;
            failure.evidence =
                evidence::of_release(&target.cluster, &release.namespace, &release.name, redaction).await;
        }
        failure
    }

    /// The helm of the run.
    pub(crate) fn helm(&self) -> Result<&Helm, FailureReport> {
        let missing = "the plan did not expect an upgrade; run the command again";
        self.helm
            .as_ref()
            .ok_or_else(|| FailureReport::new(Step::Helm, missing))
    }

    /// When a helm that has not ended is stopped.
    pub(crate) fn deadline(&self) -> Duration {
        self.subject.fleet.helm.deadline()
    }

    /// What a further revision of a target's release is.
    pub(crate) fn kind_of_change(&self, target: &Target) -> Change {
        match self.restore(target) {
            Some(_) => Change::Upgrade,
            None => Change::Install,
        }
    }

    /// The revision that a rollback of this run goes back to.
    pub(crate) fn restore(&self, target: &Target) -> Option<u32> {
        target.record.as_ref()?.restore(&self.subject.run)
    }
}

/// The variables of an identity before anything was looked at, by its name in the fleet file.
pub fn placeholders(fleet: &crate::fleet::Fleet) -> Value {
    Value::Object(
        fleet
            .identities
            .iter()
            .map(|(name, spec)| (name.clone(), identity::placeholder(spec)))
            .collect(),
    )
}
