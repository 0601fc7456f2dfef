//! Takes back what a run did to a target: to the revision that was recorded before, never just the previous one.
//!
//! Helm rolls back what a release consists of. Custom resource definitions, data and what hooks did stay, and so do
//! the identities.

use crate::event::{FailureReport, Step, TargetStatus};
use crate::executor::Progress;
use crate::helm::{rollback_arguments, uninstall_arguments};
use crate::preflight::Target;
use crate::release::Record;
use crate::rollout::Change;
use crate::target::{Course, Found, Run, release_failure};
use std::ffi::OsString;

/// What is to be done to take a run's work back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Nothing was done.
    Nothing,
    /// What it installed goes.
    Uninstall,
    /// Back to a revision.
    To(u32),
}

impl Run {
    /// Takes back what this run did to a target, and verifies what is there again.
    pub(crate) async fn take_back(
        &self,
        found: &Found,
        progress: &Progress,
        course: &mut Course,
    ) -> Result<TargetStatus, FailureReport> {
        let target = &found.target;
        let record = self.latest(target).await.map_err(unreached)?;
        course.revision = record.as_ref().map(|record| record.revision);
        let planned = target.record.as_ref().map(|record| record.revision);
        match way(record.as_ref(), planned, self.restore(target), &self.subject.run)? {
            Way::Nothing => {}
            Way::Uninstall => self.uninstall(target, progress, course).await?,
            Way::To(revision) => {
                let from = record.map_or(0, |record| record.revision);
                self.roll_back(found, (from, revision), progress, course).await?;
            }
        }
        Ok(TargetStatus::RolledBack)
    }

    /// Brings a target back to a revision that it has, because the user says so; none means that it is there.
    pub(crate) async fn go_back(
        &self,
        found: &Found,
        to: Option<u32>,
        progress: &Progress,
        course: &mut Course,
    ) -> Result<TargetStatus, FailureReport> {
        let Some(to) = to else {
            return Ok(TargetStatus::Unchanged);
        };
        let record = self.unmoved(&found.target, course).await?;
        let from = record.map_or(0, |record| record.revision);
        course.change = Change::Upgrade;
        self.roll_back(found, (from, to), progress, course).await?;
        Ok(TargetStatus::RolledBack)
    }

    /// Takes the release away, and believes the release record alone.
    pub(crate) async fn uninstall(
        &self,
        target: &Target,
        progress: &Progress,
        course: &mut Course,
    ) -> Result<(), FailureReport> {
        let fleet = &self.subject.fleet;
        progress.say("helm uninstall");
        self.run_helm(
            target,
            &uninstall_arguments(&fleet.release, &target.spec.context, &fleet.helm),
        )
        .await?;
        match self.latest(target).await.map_err(unreached)? {
            None => course.revision = None,
            Some(record) => {
                let message = format!(
                    "helm succeeded, and yet revision {} is {}",
                    record.revision, record.status
                );
                return Err(FailureReport::new(Step::Rollback, message));
            }
        }
        Ok(())
    }

    async fn roll_back(
        &self,
        found: &Found,
        (from, to): (u32, u32),
        progress: &Progress,
        course: &mut Course,
    ) -> Result<(), FailureReport> {
        let (target, fleet) = (&found.target, &self.subject.fleet);
        let helm = self.helm()?;
        let arguments = rollback_arguments(
            helm.version(),
            &fleet.release,
            &target.spec.context,
            to,
            &fleet.helm,
        );
        progress.say(format!("helm rollback {to}"));
        let result = self.run_helm(target, &arguments).await;
        // Not known until it is read.
        course.revision = None;
        let after = self.latest_in_time(target).await.map_err(unreached)?;
        course.revision = after.as_ref().map(|record| record.revision);
        result?;
        let after = after.filter(|record| record.revision > from && record.is_deployed());
        let after = after.ok_or_else(|| {
            FailureReport::new(Step::Rollback, "helm succeeded, and yet no revision is deployed")
        })?;
        // Helm copies the labels of the revision that it goes back to.
        let old = after.kept(to);
        let marked = after.set_restored(&target.cluster, &fleet.release.namespace, to);
        marked.await.map_err(|error| unreached(release_failure(&error)))?;
        // What nobody has verified before need not work now.
        let verified = old.is_some_and(crate::release::Revision::was_verified);
        match after.digest() {
            Some(digest) if verified => self.prove(found, &after, digest, progress, course).await,
            _ => Ok(()),
        }
    }

    /// Runs helm to its end: who interrupts a rollback in its middle leaves neither the old nor the new.
    async fn run_helm(&self, target: &Target, arguments: &[OsString]) -> Result<(), FailureReport> {
        let redaction = target.redaction();
        let helm = self.helm()?;
        let result = helm
            .run_through(arguments, self.deadline(), &redaction, &self.interrupt)
            .await;
        match result {
            Ok(_) => Ok(()),
            Err(error) => Err(self
                .helm_failure(Step::Rollback, &error, target, &redaction)
                .await),
        }
    }
}

/// Whoever cannot be reached cannot be rolled back.
fn unreached(failure: FailureReport) -> FailureReport {
    FailureReport {
        step: Step::Rollback,
        ..failure
    }
}

/// How to take back what a run did: `planned` is the revision that it began with, `restore` where it goes back to.
fn way(
    now: Option<&Record>,
    planned: Option<u32>,
    restore: Option<u32>,
    run: &str,
) -> Result<Way, FailureReport> {
    let refused = |message: String| Err(FailureReport::new(Step::Rollback, message));
    let Some(now) = now else {
        return if restore.is_some() {
            refused("the release has gone".to_owned())
        } else {
            Ok(Way::Nothing)
        };
    };
    let revision = now.revision;
    if !now.is_of_run(run) {
        if planned == Some(revision) {
            return Ok(Way::Nothing);
        }
        return refused(format!(
            "somebody else made revision {revision} in the meantime; it was left alone"
        ));
    }
    match restore {
        None => Ok(Way::Uninstall),
        Some(restore) if now.kept(restore).is_none() => refused(format!(
            "revision {restore}, which was recorded before the run, is no longer kept; helm.historyMax may be too low"
        )),
        Some(restore) => Ok(Way::To(restore)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::{REVISION_LABEL, RUN_LABEL};
    use serde_json::Value;

    fn record(newest: u32, writer: &str, kept: &[u32]) -> Record {
        let mut record = Record::sample(newest, "failed", Value::Null, []);
        record.keep(kept.iter().map(|number| (*number, Vec::new())));
        let ours = [
            (REVISION_LABEL, newest.to_string()),
            (RUN_LABEL, writer.to_owned()),
        ];
        record.keep([(newest, ours.to_vec())]);
        record
    }

    #[test]
    fn a_rollback_goes_to_the_recorded_revision_only() {
        let of = |now: Option<Record>, planned, restore| {
            way(now.as_ref(), planned, restore, "now").map_err(|failure| failure.message)
        };
        assert_eq!(
            of(Some(record(4, "now", &[2, 3])), Some(3), Some(2)),
            Ok(Way::To(2))
        );
        assert_eq!(of(Some(record(1, "now", &[])), None, None), Ok(Way::Uninstall));
        // Nothing was done yet, or nothing is left of it.
        assert_eq!(
            of(Some(record(3, "before", &[2])), Some(3), Some(3)),
            Ok(Way::Nothing)
        );
        assert_eq!(of(None, None, None), Ok(Way::Nothing));
        for (now, what) in [
            (Some(record(5, "other", &[3])), "somebody else made revision 5"),
            (Some(record(4, "now", &[3])), "revision 2, which was recorded"),
            (None, "the release has gone"),
        ] {
            let refusal = of(now, Some(3), Some(2)).unwrap_err();
            assert!(refusal.contains(what), "{refusal}");
        }
    }
}
