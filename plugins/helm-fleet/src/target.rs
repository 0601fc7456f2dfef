//! One target, from its identity's ids to a verified release.

use crate::decision::{Desired, IdentityState, decide};
use crate::event::{Action, FailureReport, Step, TargetResult, TargetStatus};
use crate::evidence;
use crate::executor::Progress;
use crate::helm::process::Helm;
use crate::helm::{Request, UpgradeRequest, upgrade_arguments};
use crate::identities::Ready;
use crate::identity;
use crate::preflight::render::{redaction, write_overrides};
use crate::preflight::{Subject, Target};
use crate::release::{DIGEST_LABEL, REVISION_LABEL, Record, ReleaseError, Verified, label_of};
use crate::values::Values;
use aks_shared::interrupt::Interrupt;
use kubectl_wi_verify::{
    Expected, Finding, FindingCode, ProbeOptions, Vantage, Verdict, Verification, VerifyError, verify,
};
use serde_json::Value;
use std::time::Duration;

/// How long verification goes on trying where it has passed before: a pod's first request may meet a cold cache.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it goes on where the identity was changed, by this run or by one that did not come to its end: role
/// assignments take up to ten minutes.
const PATIENCE_AFTER_CHANGE: Duration = Duration::from_mins(10);

/// What all targets of a run share.
#[derive(Debug)]
pub struct Run {
    /// What the run is about.
    pub subject: Subject,
    /// The targets.
    pub targets: Vec<Target>,
    /// Their identities, or why they have none.
    pub ready: Vec<Result<Ready, FailureReport>>,
    /// Helm, when any target was expected to need it.
    pub helm: Option<Helm>,
    /// The probe.
    pub probe: ProbeSettings,
    /// The run's id.
    pub id: String,
    /// The wish to stop.
    pub interrupt: Interrupt,
}

/// How releases are verified.
#[derive(Debug, Clone)]
pub struct ProbeSettings {
    /// Its image; without one nothing can be verified from a pod.
    pub image: Option<String>,
    /// Where the exchange is tried.
    pub from: Vantage,
}

/// What became of a target so far; kept when it fails in its middle.
#[derive(Debug, Default)]
struct Course {
    revision: Option<u32>,
    findings: Vec<Finding>,
}

impl Run {
    /// Brings one target to where the fleet wants it.
    pub async fn target(&self, index: usize, progress: Progress) -> TargetResult {
        let target = &self.targets[index];
        let revision_before = target.record.as_ref().map(|record| record.revision);
        let mut course = Course {
            revision: revision_before,
            findings: Vec::new(),
        };
        let (status, failure) = match self.attempt(index, &progress, &mut course).await {
            Ok(status) => (status, None),
            Err(failure) if self.interrupt.is_raised() => (TargetStatus::Interrupted, Some(failure)),
            Err(failure) => (TargetStatus::Failed, Some(failure)),
        };
        TargetResult {
            status,
            revision_before,
            revision_after: course.revision,
            findings: course.findings,
            failure,
            // The executor measures.
            took: Duration::ZERO,
        }
    }

    async fn attempt(
        &self,
        index: usize,
        progress: &Progress,
        course: &mut Course,
    ) -> Result<TargetStatus, FailureReport> {
        let target = &self.targets[index];
        let ready = self.ready[index].as_ref().map_err(Clone::clone)?;
        let values = Values::of(
            &self.subject.fleet,
            &self.subject.files,
            &target.spec,
            &Value::Object(ready.variables.clone()),
        )
        .map_err(|error| FailureReport::of(Step::Helm, &error))?;
        let desired = Desired::new(&self.subject.fleet, &self.subject.chart, values);
        let state = if ready.changed {
            IdentityState::Changed
        } else {
            IdentityState::InOrder
        };
        let (action, _) = decide(target.record.as_ref(), &desired, &self.subject.chart, state);
        let status = match action {
            Action::Nothing => return Ok(TargetStatus::Unchanged),
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
            self.upgrade(target, &desired, progress, course).await?
        };
        self.prove(index, &record, &desired, progress, course).await?;
        Ok(status)
    }

    /// Runs helm and believes the release record alone.
    async fn upgrade(
        &self,
        target: &Target,
        desired: &Desired,
        progress: &Progress,
        course: &mut Course,
    ) -> Result<Record, FailureReport> {
        let before = target.record.as_ref().map_or(0, |record| record.revision);
        self.unmoved(target, course).await?;
        let result = self.helm_upgrade(target, desired, progress).await;
        let after = self.latest(target).await?;
        course.revision = after.as_ref().map(|record| record.revision).or(course.revision);
        result?;
        let after =
            after.ok_or_else(|| FailureReport::new(Step::Release, "helm succeeded and left no release"))?;
        if after.revision <= before || !after.is_deployed() || !after.has_digest(&desired.digest) {
            let message = format!(
                "helm succeeded, and yet revision {} is {} and not ours",
                after.revision, after.status
            );
            return Err(FailureReport::new(Step::Release, message));
        }
        Ok(after)
    }

    async fn helm_upgrade(
        &self,
        target: &Target,
        desired: &Desired,
        progress: &Progress,
    ) -> Result<(), FailureReport> {
        let Some(helm) = &self.helm else {
            return Err(FailureReport::new(
                Step::Helm,
                "the plan did not expect an upgrade; run the command again",
            ));
        };
        if self.interrupt.is_raised() {
            return Err(FailureReport::new(
                Step::Helm,
                "interrupted before helm was started",
            ));
        }
        let fleet = &self.subject.fleet;
        let overrides = write_overrides(&desired.values.overrides)
            .map_err(|error| FailureReport::of(Step::Helm, &error))?;
        let request = Request {
            release: &fleet.release.name,
            namespace: &fleet.release.namespace,
            chart: &self.subject.chart.path,
            files: &desired.values.files,
            overrides: overrides.path(),
            settings: &fleet.helm,
        };
        let base = target.record.as_ref().map_or(0, |record| record.revision);
        let upgrade = UpgradeRequest {
            context: &target.spec.context,
            create_namespace: fleet.release.create_namespace,
            labels: &[
                (DIGEST_LABEL, label_of(&desired.digest)),
                (REVISION_LABEL, &(base + 1).to_string()),
            ],
            description: &format!("helm-fleet run={} from={base}", self.id),
        };
        let arguments = upgrade_arguments(helm.version(), &request, &upgrade);
        progress.say(format!("helm {}", if base == 0 { "install" } else { "upgrade" }));
        // Helm's timeout bounds each of its waits and hooks, not the whole.
        let deadline = fleet.helm.timeout * 4 + Duration::from_mins(1);
        let redaction = redaction(&desired.values, &target.record);
        let Err(error) = helm.run(&arguments, deadline, &redaction, &self.interrupt).await else {
            return Ok(());
        };
        let mut failure = FailureReport::of(Step::Helm, &error);
        failure.output = error.output().filter(|text| !text.is_empty()).map(str::to_owned);
        if !self.interrupt.is_raised() {
            let release = &fleet.release;
            failure.evidence =
                evidence::of_release(&target.cluster, &release.namespace, &release.name, &redaction).await;
        }
        Err(failure)
    }

    /// Verifies every identity and marks the revision accordingly.
    async fn prove(
        &self,
        index: usize,
        record: &Record,
        desired: &Desired,
        progress: &Progress,
        course: &mut Course,
    ) -> Result<(), FailureReport> {
        let target = &self.targets[index];
        let verdict = self.verify(index, progress, course).await;
        let mark = if verdict.is_ok() {
            Verified::Yes
        } else {
            Verified::No
        };
        // Without a mark there is none to take away.
        if verdict.is_ok() || record.is_verified(&desired.digest) {
            let namespace = &self.subject.fleet.release.namespace;
            record
                .set_verified(&target.cluster, namespace, &desired.digest, mark)
                .await
                .map_err(|error| release_failure(&error))
                .or_else(|failure| if verdict.is_ok() { Err(failure) } else { Ok(()) })?;
        }
        verdict
    }

    async fn verify(
        &self,
        index: usize,
        progress: &Progress,
        course: &mut Course,
    ) -> Result<(), FailureReport> {
        let target = &self.targets[index];
        let Some(azure) = &self.subject.azure else {
            return Ok(());
        };
        let changed = self.ready[index].as_ref().is_ok_and(|ready| ready.changed);
        let proven_before = target.record.as_ref().is_some_and(Record::was_verified);
        for identity in &target.identities {
            let client_id = self.ready[index].as_ref().ok().and_then(|ready| {
                ready
                    .variables
                    .get(&identity.name)?
                    .get("clientId")?
                    .as_str()
                    .map(str::to_owned)
            });
            let image = self.probe.image.clone().unwrap_or_default();
            let mut probe = ProbeOptions::new(image, azure.cloud.clone(), azure.roots.clone());
            probe.wait = if changed || !proven_before {
                PATIENCE_AFTER_CHANGE
            } else {
                PATIENCE
            };
            let mut verification = Verification::new(identity.workload.account.clone(), probe);
            verification.secrets.clone_from(&identity.workload.secrets);
            verification.from = self.probe.from;
            verification.expected = Some(Expected { client_id });
            let say = |text: &str| progress.say(format!("verify: {text}"));
            let report = verify(&target.cluster, Some(azure), &verification, &self.interrupt, &say)
                .await
                .map_err(|error: VerifyError| FailureReport::of(Step::Verify, &error))?;
            let failure = verdict_of(&report, &identity.name, identity.workload.secrets.len());
            course.findings.extend(report.findings);
            failure?;
        }
        Ok(())
    }

    /// The release as it is now, if it is still at the revision that the plan was made from.
    async fn unmoved(&self, target: &Target, course: &mut Course) -> Result<Option<Record>, FailureReport> {
        let now = self.latest(target).await?;
        if let Some(failure) = moved(target.record.as_ref(), now.as_ref()) {
            course.revision = now.map(|record| record.revision);
            return Err(failure);
        }
        Ok(now)
    }

    async fn latest(&self, target: &Target) -> Result<Option<Record>, FailureReport> {
        let release = &self.subject.fleet.release;
        Record::latest(&target.cluster, &release.namespace, &release.name)
            .await
            .map_err(|error| release_failure(&error))
    }
}

impl ProbeSettings {
    /// Why no release of this fleet could be verified, if so.
    pub fn obstacle(&self, subject: &Subject) -> Option<&'static str> {
        let needs_image = self.from != Vantage::Local && !subject.fleet.identities.is_empty();
        (needs_image && self.image.is_none())
            .then_some("no image for the probe that verifies identities was given")
    }
}

/// A proof is an exchange that worked and every secret read; that nothing failed is none.
fn verdict_of(
    report: &kubectl_wi_verify::Report,
    identity: &str,
    secrets: usize,
) -> Result<(), FailureReport> {
    let failed = |what: String| {
        Err(FailureReport::new(
            Step::Verify,
            format!("identity {identity}: {what}"),
        ))
    };
    if let Some(cause) = report.cause() {
        return failed(format!("{}: {}", cause.code, cause.message));
    }
    let passed = |code| {
        report
            .findings
            .iter()
            .filter(|finding| finding.code == code && finding.verdict == Verdict::Pass)
            .count()
    };
    if passed(FindingCode::ExchangeOk) == 0 {
        return failed("the exchange was not proven".to_owned());
    }
    let read = passed(FindingCode::SecretOk);
    if read < secrets {
        return failed(format!("{read} of {secrets} secrets were proven to be readable"));
    }
    Ok(())
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

fn release_failure(error: &ReleaseError) -> FailureReport {
    FailureReport::of(Step::Release, error)
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

#[cfg(test)]
mod tests {
    use super::*;
    use aks_shared::identity::ServiceAccountRef;
    use kubectl_wi_verify::Report;

    fn report(findings: &[(FindingCode, Verdict)]) -> Report {
        let findings = findings
            .iter()
            .map(|(code, verdict)| Finding::new(*code, *verdict, "", "why"))
            .collect();
        Report::new(
            "aks-weu-1",
            ServiceAccountRef::new("shop", "orders").unwrap(),
            findings,
        )
    }

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

    #[test]
    fn only_what_was_proven_passes() {
        use FindingCode::{ExchangeOk, IssuerOk, SecretForbidden, SecretNotTried, SecretOk};
        use Verdict::{Fail, Pass, Unknown};
        assert!(verdict_of(&report(&[(ExchangeOk, Pass), (SecretOk, Pass)]), "orders", 1).is_ok());
        for (findings, secrets, expected) in [
            (vec![(IssuerOk, Pass)], 0, "exchange was not proven"),
            (
                vec![(ExchangeOk, Pass), (SecretNotTried, Unknown)],
                1,
                "0 of 1 secrets",
            ),
            (
                vec![(ExchangeOk, Pass), (SecretForbidden, Fail)],
                1,
                "secret-forbidden: why",
            ),
        ] {
            let failure = verdict_of(&report(&findings), "orders", secrets).unwrap_err();
            assert!(failure.message.contains(expected), "{failure:?}");
        }
    }
}
