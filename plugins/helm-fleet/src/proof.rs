//! Proves that a release works, and marks the revision accordingly.

use crate::event::{FailureReport, Step, TargetStatus};
use crate::executor::Progress;
use crate::preflight::{Subject, TargetIdentity};
use crate::release::{Record, Verified};
use crate::rollout::Change;
use crate::target::{Course, Found, Run, release_failure};
use aks_shared::azure::Azure;
use futures::future::join_all;
use kubectl_wi_verify::{
    Expected, Finding, FindingCode, ProbeOptions, Vantage, Verdict, Verification, verify,
};
use std::time::Duration;

/// How long verification goes on trying where it has passed before: a pod's first request may meet a cold cache.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it goes on where the identity was changed, by this run or by one that did not come to its end: role
/// assignments take up to ten minutes.
const PATIENCE_AFTER_CHANGE: Duration = Duration::from_mins(10);
/// Why an identity is tried.
#[derive(Debug, Clone, Copy)]
enum Question {
    /// Whether the release works: an identity that was just made is waited for.
    IsItProven,
    /// Whether it is why helm failed: as it is now.
    IsItTheCause,
}

/// Bound on a probe that only asks whether the identity is why helm failed: where no pod can run, a rollback does not
/// wait long to hear it.
const GLANCE: Duration = Duration::from_secs(30);

/// How releases are verified.
#[derive(Debug, Clone)]
pub struct ProbeSettings {
    /// Its image; without one nothing can be verified from a pod.
    pub image: Option<String>,
    /// Where the exchange is tried.
    pub from: Vantage,
}

impl ProbeSettings {
    /// Why no release of this fleet could be verified, if so.
    pub fn obstacle(&self, subject: &Subject) -> Option<&'static str> {
        let needs_image = self.from != Vantage::Local && !subject.fleet.identities.is_empty();
        (needs_image && self.image.is_none())
            .then_some("no image for the probe that verifies identities was given")
    }
}

impl Run {
    /// Verifies a release and marks its revision accordingly.
    pub(crate) async fn prove(
        &self,
        found: &Found,
        record: &Record,
        digest: &str,
        progress: &Progress,
        course: &mut Course,
    ) -> Result<(), FailureReport> {
        let target = &found.target;
        let verdict = self.verify(found, record, progress, course).await;
        let mark = match &verdict {
            Ok(()) => Verified::Yes,
            // Nobody has found anything, and without a mark there is none to take away.
            Err(_) if self.interrupt.is_raised() || !record.is_verified(digest) => return verdict,
            Err(_) => Verified::No,
        };
        let namespace = &self.subject.fleet.release.namespace;
        let marked = record
            .set_verified(&target.cluster, namespace, digest, mark)
            .await;
        match (verdict, marked) {
            (Ok(()), Err(error)) => Err(FailureReport {
                step: Step::Release,
                ..release_failure(&error)
            }),
            (verdict, _) => verdict,
        }
    }

    /// Verifies what the run has changed once more: it has to be there still, and to work.
    pub(crate) async fn recheck(
        &self,
        found: &Found,
        progress: &Progress,
        course: &mut Course,
    ) -> Result<TargetStatus, FailureReport> {
        let target = &found.target;
        let changed =
            |what: String| FailureReport::new(Step::Release, format!("since it was verified {what}"));
        let record = self.latest(target).await;
        course.change = self.kind_of_change(target);
        // It was reached before: whoever is away now has not gone on working.
        let record = record.map_err(|failure| FailureReport {
            step: Step::Release,
            ..failure
        })?;
        let record = record.ok_or_else(|| changed("the release has gone".to_owned()))?;
        course.revision = Some(record.revision);
        if !record.is_deployed() || !record.is_of_run(&self.subject.run) {
            let what = format!(
                "somebody made revision {}, which is {}",
                record.revision, record.status
            );
            return Err(changed(what));
        }
        progress.say("verify again");
        let digest = record.digest().unwrap_or_default().to_owned();
        self.prove(found, &record, &digest, progress, course).await?;
        Ok(TargetStatus::Upgraded)
    }

    async fn verify(
        &self,
        found: &Found,
        record: &Record,
        progress: &Progress,
        course: &mut Course,
    ) -> Result<(), FailureReport> {
        self.verify_identities(found, Question::IsItProven, progress, course)
            .await?;
        self.verify_steps(found, record.revision, progress, course).await
    }

    /// Adds to why helm failed what is wrong with the identities: a pod that waits for its secret only says that it is not
    /// ready. Nothing is added where they work.
    pub(crate) async fn explained(
        &self,
        mut failure: FailureReport,
        found: &Found,
        progress: &Progress,
        course: &mut Course,
    ) -> FailureReport {
        let has_pods = failure.step == Step::Helm && course.change != Change::None;
        if !has_pods || found.target.identities.is_empty() || self.interrupt.is_raised() {
            return failure;
        }
        progress.say("helm failed; is it the identity?");
        let known = course.findings.len();
        let verdict = self
            .verify_identities(found, Question::IsItTheCause, progress, course)
            .await;
        let is_cause = |finding: &Finding| finding.verdict == Verdict::Fail;
        match verdict {
            Err(identity) if course.findings[known..].iter().any(is_cause) => {
                failure.causes.push(identity.line());
            }
            // What works, or could not be tried, verifies no release.
            _ => course.findings.truncate(known),
        }
        failure
    }

    /// Tries the token exchange of every identity, all at once: what is wrong with one says nothing of the others.
    async fn verify_identities(
        &self,
        found: &Found,
        question: Question,
        progress: &Progress,
        course: &mut Course,
    ) -> Result<(), FailureReport> {
        let Some(azure) = &self.subject.azure else {
            return Ok(());
        };
        let identities = &found.target.identities;
        let verifications = identities.iter().map(|identity| async move {
            let verification = self.verification(azure, found, identity, question);
            let say = |text: &str| match identities.as_slice() {
                [_] => progress.say(format!("verify: {text}")),
                _ => progress.say(format!("verify {}: {text}", identity.name)),
            };
            // It is large, and every future that waits for it would be too.
            let cluster = &found.target.cluster;
            let verified = verify(cluster, Some(azure), &verification, &self.interrupt, &say);
            (identity, Box::pin(verified).await)
        });
        let mut verdict = Ok(());
        for (identity, result) in join_all(verifications).await {
            let (name, secrets) = (&identity.name, identity.workload.secrets.len());
            let judged = match result {
                Ok(report) => {
                    let judged = verdict_of(&report, name, secrets);
                    let mut findings = report.findings;
                    if identities.len() > 1 {
                        tell_apart(&mut findings, name);
                    }
                    course.findings.extend(findings);
                    judged
                }
                Err(error) => Err(of_identity(name, FailureReport::of(Step::Verify, &error))),
            };
            verdict = verdict.and(judged);
        }
        verdict
    }

    /// How an identity is verified.
    fn verification(
        &self,
        azure: &Azure,
        found: &Found,
        identity: &TargetIdentity,
        question: Question,
    ) -> Verification {
        let client_id = found.ready.as_ref().ok().and_then(|ready| {
            let variables = ready.variables.get(&identity.name)?;
            Some(variables.get("clientId")?.as_str()?.to_owned())
        });
        let image = self.probe.image.clone().unwrap_or_default();
        let mut probe = ProbeOptions::new(image, azure.cloud.clone(), azure.roots.clone());
        match question {
            Question::IsItProven => probe.wait = patience(found),
            Question::IsItTheCause => probe.timeout = GLANCE,
        }
        let mut verification = Verification::new(identity.workload.account.clone(), probe);
        verification.secrets.clone_from(&identity.workload.secrets);
        verification.from = self.probe.from;
        verification.expected = Some(Expected { client_id });
        verification
    }
}

/// How long the verification of a target goes on trying.
fn patience(Found { target, ready }: &Found) -> Duration {
    let is_changed = ready.as_ref().is_ok_and(|ready| ready.changed);
    let is_proven = target.record.as_ref().is_some_and(Record::was_verified);
    if is_changed || !is_proven {
        PATIENCE_AFTER_CHANGE
    } else {
        PATIENCE
    }
}

/// Says in each finding which identity it is about.
fn tell_apart(findings: &mut [Finding], name: &str) {
    for finding in findings {
        finding.message = format!("identity {name}: {}", finding.message);
    }
}

/// A failure that tells which identity it is about.
fn of_identity(name: &str, failure: FailureReport) -> FailureReport {
    FailureReport {
        message: format!("identity {name}: {}", failure.message),
        ..failure
    }
}

/// A proof is an exchange that worked and every secret read; that nothing failed is none.
fn verdict_of(
    report: &kubectl_wi_verify::Report,
    identity: &str,
    secrets: usize,
) -> Result<(), FailureReport> {
    let failed = |what: String| Err(of_identity(identity, FailureReport::new(Step::Verify, what)));
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
