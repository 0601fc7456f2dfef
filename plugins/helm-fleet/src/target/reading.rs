//! The release of a target as it is now: before a plan is carried out, and after helm has run.

use super::{Course, Run};
use crate::event::{FailureReport, Step};
use crate::preflight::Target;
use crate::release::{Record, ReleaseError};
use std::time::{Duration, Instant};

/// How long an API server that helm has lost is waited for where requests have no bound.
const PATIENCE: Duration = Duration::from_mins(1);
/// How often it is asked.
const LOOK: Duration = Duration::from_secs(1);

impl Run {
    /// The release as it is now, if it is still at the revision that the plan was made from.
    pub(crate) async fn unmoved(
        &self,
        target: &Target,
        course: &mut Course,
    ) -> Result<Option<Record>, FailureReport> {
        let now = self.latest_since(target.record.as_ref(), target).await?;
        if let Some(failure) = moved(target.record.as_ref(), now.as_ref()) {
            course.revision = now.map(|record| record.revision);
            return Err(failure);
        }
        Ok(now)
    }

    /// The release as it is now.
    pub(crate) async fn latest(&self, target: &Target) -> Result<Option<Record>, FailureReport> {
        self.latest_since(None, target).await
    }

    async fn latest_since(
        &self,
        known: Option<&Record>,
        target: &Target,
    ) -> Result<Option<Record>, FailureReport> {
        let release = &self.subject.fleet.release;
        Record::latest_since(known, &target.cluster, &release.namespace, &release.name)
            .await
            .map_err(|error| release_failure(&error))
    }

    /// The release after helm has run. The API server that helm has lost may be back in a moment, so it is waited for
    /// as long as for an answer, or until the user does not want to.
    pub(crate) async fn latest_in_time(&self, target: &Target) -> Result<Option<Record>, FailureReport> {
        let patience = self.subject.connection.request_timeout.unwrap_or(PATIENCE);
        let since = Instant::now();
        loop {
            let latest = self.latest(target).await;
            let is_lost = latest.as_ref().is_err_and(|failure| failure.step == Step::Reach);
            if !is_lost || since.elapsed() >= patience {
                return latest;
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = self.interrupt.forced() => return latest,
            }
        }
    }

    /// The release after helm has run: whoever cannot be reached now is no longer untouched.
    pub(crate) async fn latest_after_helm(
        &self,
        target: &Target,
        failed: Option<&FailureReport>,
    ) -> Result<Option<Record>, FailureReport> {
        self.latest_in_time(target).await.map_err(|failure| match failed {
            Some(failed) => {
                let mut failed = failed.clone();
                failed.causes.push(format!(
                    "what became of the release is not known: {}",
                    failure.line()
                ));
                failed
            }
            None => FailureReport {
                step: Step::Release,
                ..failure
            },
        })
    }
}

/// Why a plan that was made from one record cannot be carried out on another.
fn moved(planned: Option<&Record>, now: Option<&Record>) -> Option<FailureReport> {
    let revision = |record: Option<&Record>| record.map_or(0, |record| record.revision);
    let (before, now) = (revision(planned), revision(now));
    (before != now).then(|| {
        let message = format!("the release moved from revision {before} to {now} since the plan was made");
        FailureReport::new(Step::Release, message)
    })
}

/// A request about a release that failed; [`Step::Reach`] when the cluster cannot be reached.
pub(crate) fn release_failure(error: &ReleaseError) -> FailureReport {
    let step = match error {
        ReleaseError::Cluster(error) if error.is_unreachable() => Step::Reach,
        ReleaseError::Cluster(_) | ReleaseError::Decode { .. } => Step::Release,
    };
    FailureReport::of(step, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn a_plan_holds_for_its_own_revision_only() {
        let record = |revision| Record::sample(revision, "deployed", Value::Null, []);
        assert!(moved(Some(&record(3)), Some(&record(3))).is_none());
        assert!(moved(None, None).is_none());
        for (planned, now) in [(Some(3), Some(4)), (Some(3), None), (None, Some(1))] {
            let (planned, now) = (planned.map(record), now.map(record));
            assert!(moved(planned.as_ref(), now.as_ref()).is_some());
        }
    }
}
