//! One verification: gather the facts, run the probe, judge.

use crate::diagnosis::diagnose;
use crate::facts::injection::PodShape;
use crate::facts::{self, AzureFacts, ClusterFacts, Expected, Facts, Known, SecretName, WorkloadFacts};
use crate::proof::prove;
use crate::report::Report;
use aks_shared::azure::{Azure, Cloud};
use aks_shared::cluster::{Cluster, ClusterError};
use aks_shared::identity::{SecretRef, ServiceAccountRef};
use aks_shared::interrupt::Interrupt;
use aks_shared::trust::TrustedRoots;
use std::time::Duration;

/// How long one exchange takes at the most, where Entra grants it.
const EXCHANGE: Duration = Duration::from_secs(1);

/// Where the exchange is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Vantage {
    /// In a pod of the service account: the proof
    #[default]
    Pod,
    /// From here, with a token that the API server issues; no pod runs
    Local,
    /// Both, which tells egress faults from trust faults
    Both,
}

/// What is to be verified.
#[derive(Debug, Clone)]
pub struct Verification {
    /// The service account.
    pub account: ServiceAccountRef,
    /// The secrets that it must be able to read.
    pub secrets: Vec<SecretRef>,
    /// Where the exchange is tried.
    pub from: Vantage,
    /// How.
    pub probe: ProbeOptions,
    /// What the caller knows to be right.
    pub expected: Option<Expected>,
    /// The workload whose account it is, when one was named.
    pub workload: Option<WorkloadFacts>,
    /// Whether to look at the pods that run as the account, and at what else uses it.
    pub surroundings: bool,
    /// Whether to try what must be refused.
    pub least_privilege: bool,
}

/// How the probe is run.
#[derive(Debug, Clone)]
pub struct ProbeOptions {
    /// Its image.
    pub image: String,
    /// Bound on one probe in a pod, scheduling and image pull included, `wait` and `repeat` not.
    pub timeout: Duration,
    /// How long to go on trying while the answer may still change, as after a setup.
    pub wait: Duration,
    /// How many exchanges to make once one was granted; for a rate.
    pub repeat: u32,
    /// Secrets with which the image is pulled.
    pub pull_secrets: Vec<String>,
    /// The cloud to use when nobody is signed in to Azure.
    pub cloud: Cloud,
    /// Roots believed besides the usual ones, here and in the pod.
    pub roots: TrustedRoots,
}

impl ProbeOptions {
    /// A probe of two minutes at most that tries once.
    pub const fn new(image: String, cloud: Cloud, roots: TrustedRoots) -> Self {
        Self {
            image,
            timeout: Duration::from_mins(2),
            wait: Duration::ZERO,
            repeat: 1,
            pull_secrets: Vec::new(),
            cloud,
            roots,
        }
    }

    /// Bound on one probe in a pod with all that it is asked to do.
    pub(crate) fn bound(&self) -> Duration {
        self.timeout + self.wait + EXCHANGE * self.repeat.saturating_sub(1)
    }
}

impl Verification {
    /// A verification from a pod, of nothing but the exchange.
    pub const fn new(account: ServiceAccountRef, probe: ProbeOptions) -> Self {
        Self {
            account,
            secrets: Vec::new(),
            from: Vantage::Pod,
            probe,
            expected: None,
            workload: None,
            surroundings: false,
            least_privilege: false,
        }
    }

    /// The probe's pod.
    pub(crate) fn pod(&self) -> PodShape<'_> {
        PodShape {
            account: &self.account,
            image: &self.probe.image,
            pull_secrets: &self.probe.pull_secrets,
            placement: self.workload.as_ref().map(|workload| &workload.placement),
        }
    }
}

/// Nothing could be verified. What is wrong with the identity is no error but a finding.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The cluster cannot be asked.
    #[error("cluster {context:?} cannot be verified")]
    Cluster {
        /// The context.
        context: String,
        /// Why.
        source: ClusterError,
    },
    /// The command was asked to stop.
    #[error("interrupted; {}", leftover(left.as_deref()))]
    Interrupted {
        /// The Job of the probe, when it could not be deleted.
        left: Option<String>,
    },
}

fn leftover(job: Option<&str>) -> String {
    job.map_or_else(
        || "no probe was left behind".to_owned(),
        |job| format!("the probe {job} could not be deleted and goes by itself"),
    )
}

/// Verifies one service account of one cluster. Without `azure` its side stays unknown and the rest still runs.
pub async fn verify(
    cluster: &Cluster,
    azure: Option<&Azure>,
    verification: &Verification,
    interrupt: &Interrupt,
    say: &(dyn Fn(&str) + Sync),
) -> Result<Report, VerifyError> {
    let gathered = || async {
        tokio::select! {
            facts = Box::pin(gather(cluster, azure, verification, say)) => facts,
            () = interrupt.cancelled() => Err(VerifyError::Interrupted { left: None }),
        }
    };
    let facts = gathered().await?;
    let facts = Box::pin(prove(cluster, azure, verification, facts, interrupt, say)).await?;
    // What was read before the probe waited is no longer what the answer depended on.
    let facts = if has_waited(verification, &facts) {
        Facts {
            pod: facts.pod,
            local: facts.local,
            other: facts.other,
            ..gathered().await?
        }
    } else {
        facts
    };
    let findings = diagnose(&facts);
    Ok(Report::new(
        &cluster.context,
        verification.account.clone(),
        findings,
    ))
}

/// Whether a probe tried more than once because what was set up may have had to become known.
fn has_waited(verification: &Verification, facts: &Facts) -> bool {
    let mut records = [&facts.pod, &facts.local]
        .into_iter()
        .flatten()
        .filter_map(Known::known);
    !verification.probe.wait.is_zero() && records.any(|record| record.tries > 1)
}

/// Everything that can be read without running anything; all that does not depend on an answer is asked at once.
async fn gather(
    cluster: &Cluster,
    azure: Option<&Azure>,
    verification: &Verification,
    say: &(dyn Fn(&str) + Sync),
) -> Result<Facts, VerifyError> {
    say("reading the cluster and Azure");
    let account = &verification.account;
    let secrets: Vec<SecretName> = verification.secrets.iter().map(SecretName::from).collect();
    let surroundings = async {
        if !verification.surroundings {
            return None;
        }
        Some(facts::workload::gather(cluster, account, verification.workload.as_ref()).await)
    };
    let pod = verification.pod();
    let ((issuer, webhooks, dry_run), surroundings, sides) = tokio::join!(
        facts::cluster::gather(cluster, &pod),
        surroundings,
        account_and_azure(cluster, azure, verification, &secrets)
    );
    let (account_facts, azure_facts) = sides.map_err(|source| VerifyError::Cluster {
        context: cluster.context.clone(),
        source,
    })?;
    Ok(Facts {
        context: cluster.context.clone(),
        account: account.clone(),
        secrets,
        expected: verification.expected.clone().unwrap_or_default(),
        least_privilege: verification.least_privilege,
        workload: verification.workload.clone(),
        surroundings,
        cluster: ClusterFacts {
            server: cluster.server.to_string(),
            issuer,
            account: account_facts,
            webhooks,
            dry_run,
        },
        azure: azure_facts,
        pod: None,
        local: None,
        other: None,
    })
}

type Sides = (Known<Option<facts::AccountFacts>>, Known<AzureFacts>);

/// The account, and what Azure knows of the identity that it names.
async fn account_and_azure(
    cluster: &Cluster,
    azure: Option<&Azure>,
    verification: &Verification,
    secrets: &[SecretName],
) -> Result<Sides, ClusterError> {
    let account = facts::cluster::account(cluster, &verification.account);
    let Some(azure) = azure else {
        let nobody = Known::Unknown("nobody is signed in to Azure".to_owned());
        return Ok((account.await?, nobody));
    };
    let (account, beforehand) = tokio::join!(account, facts::azure::beforehand(azure, cluster, secrets));
    let account = account?;
    let client_id = account.found().and_then(|account| account.client_id.as_deref());
    let found = facts::azure::gather(azure, beforehand, &verification.account, client_id, secrets).await;
    Ok((account, Known::Known(found)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aks_shared::env::Env;

    #[test]
    fn what_a_probe_is_asked_to_do_comes_on_top_of_its_time() {
        let cloud = Cloud::resolve(Some("public"), &Env::of::<&str, &str>([])).unwrap();
        let mut options = ProbeOptions::new("image".to_owned(), cloud, TrustedRoots::default());
        assert_eq!(options.bound(), Duration::from_mins(2));
        (options.wait, options.repeat) = (Duration::from_secs(30), 11);
        assert_eq!(options.bound(), Duration::from_secs(120 + 30 + 10));
    }
}
