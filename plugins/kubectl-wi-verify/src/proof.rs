//! The proof: the exchange and the reads, tried in a pod, from here, or both at once.

use crate::facts::{ClusterFacts, DryRun, Facts, Known, SecretName};
use crate::local::Local;
use crate::probe_job::{self, ProbeError, ProbeJob};
use crate::verification::{ProbeOptions, Vantage, Verification, VerifyError};
use aks_shared::azure::{Azure, Cloud};
use aks_shared::cluster::Cluster;
use aks_shared::interrupt::Interrupt;
use aks_shared::trust::TrustedRoots;
use wi_probe::record::{ExchangeOutcome, SecretInput};
use wi_probe::{ProbeInput, ProbeRecord};

/// Bound on one request of the probe.
pub(crate) const REQUEST_SECONDS: u64 = 20;

/// Runs the probes and adds their records.
pub(crate) async fn prove(
    cluster: &Cluster,
    azure: Option<&Azure>,
    verification: &Verification,
    mut facts: Facts,
    interrupt: &Interrupt,
    say: &(dyn Fn(&str) + Sync),
) -> Result<Facts, VerifyError> {
    let options = &verification.probe;
    let cloud = azure.map_or(&options.cloud, |azure| &azure.cloud);
    let roots = azure.map_or(&options.roots, |azure| &azure.roots);
    let input = input(&facts, options, cloud);
    let local = Local {
        cluster,
        facts: &facts,
        cloud,
        roots,
        input: &input,
    };
    let from_here = async {
        match verification.from {
            Vantage::Pod => None,
            Vantage::Local | Vantage::Both => Some(local.probe().await),
        }
    };
    let other = async {
        if verification.least_privilege {
            Some(local.other_account().await)
        } else {
            None
        }
    };
    let from_pod = async {
        match verification.from {
            Vantage::Local => {
                say("trying the exchange from here");
                Ok(None)
            }
            Vantage::Pod | Vantage::Both => {
                in_pod(cluster, verification, &facts, &input, roots, interrupt, say)
                    .await
                    .map(Some)
            }
        }
    };
    let here = async {
        tokio::select! {
            both = async { tokio::join!(from_here, other) } => Ok(both),
            () = interrupt.cancelled() => Err(VerifyError::Interrupted { left: None }),
        }
    };
    // Not `try_join`: an interrupted probe still has to be taken away.
    let (pod, here) = tokio::join!(from_pod, here);
    let pod = pod?;
    let (mut here, other) = here?;
    if here.is_none() && pod.as_ref().is_some_and(Tried::wants_another_place) {
        say("trying the exchange from here");
        here = tokio::select! {
            tried = local.probe() => Some(tried),
            () = interrupt.cancelled() => return Err(VerifyError::Interrupted { left: None }),
        };
    }
    facts.pod = pod.map(|tried| tried.record);
    facts.local = here;
    facts.other = other;
    Ok(facts)
}

/// What became of the probe in a pod.
struct Tried {
    record: Known<ProbeRecord>,
    /// Whether the caller has no right to run it.
    not_allowed: bool,
}

impl Tried {
    /// Whether a try from here tells more: no pod may run, or the pod does not get out.
    fn wants_another_place(&self) -> bool {
        self.not_allowed
            || self
                .record
                .known()
                .is_some_and(|record| matches!(record.exchange, ExchangeOutcome::Unreachable { .. }))
    }
}

async fn in_pod(
    cluster: &Cluster,
    verification: &Verification,
    facts: &Facts,
    input: &ProbeInput,
    roots: &TrustedRoots,
    interrupt: &Interrupt,
    say: &(dyn Fn(&str) + Sync),
) -> Result<Tried, VerifyError> {
    let unable = |why: String, not_allowed| Tried {
        record: Known::Unknown(why),
        not_allowed,
    };
    if let Some(why) = hopeless(&facts.cluster) {
        return Ok(unable(why, false));
    }
    let options = &verification.probe;
    let input = ProbeInput {
        ca_pem: roots.pem().map(str::to_owned),
        ..input.clone()
    };
    let job = ProbeJob {
        pod: verification.pod(),
        input: &input,
        timeout: options.bound(),
    };
    match probe_job::run(cluster, &job, interrupt, say).await {
        Ok(record) => Ok(Tried {
            record: Known::Known(record),
            not_allowed: false,
        }),
        Err(ProbeError::Interrupted { left }) => Err(VerifyError::Interrupted { left }),
        Err(error) => {
            let not_allowed = matches!(error, ProbeError::NotAllowed { .. });
            Ok(unable(error.to_string(), not_allowed))
        }
    }
}

/// Why a probe's pod cannot come to be, when that is known beforehand.
fn hopeless(cluster: &ClusterFacts) -> Option<String> {
    if matches!(cluster.account, Known::Known(None)) {
        return Some("there is no such service account".to_owned());
    }
    match &cluster.dry_run {
        Known::Known(DryRun::Refused { .. }) => Some("its pod would be refused at admission".to_owned()),
        Known::Known(DryRun::Admitted(_)) | Known::Unknown(_) => None,
    }
}

fn input(facts: &Facts, options: &ProbeOptions, cloud: &Cloud) -> ProbeInput {
    let secret = |secret: &SecretName, name: &str| SecretInput {
        vault: secret.vault.clone(),
        vault_uri: vault_uri(facts, secret, cloud),
        name: name.to_owned(),
    };
    let mut forbidden: Vec<SecretInput> = Vec::new();
    if facts.least_privilege {
        // Nobody granted what nobody named.
        let nobodys = format!("wi-probe-{}", uuid::Uuid::new_v4().simple());
        for named in &facts.secrets {
            if !forbidden.iter().any(|input| input.vault == named.vault) {
                forbidden.push(secret(named, &nobodys));
            }
        }
    }
    ProbeInput {
        secrets: facts
            .secrets
            .iter()
            .map(|named| secret(named, &named.name))
            .collect(),
        forbidden,
        repeat: options.repeat,
        wait_seconds: options.wait.as_secs(),
        request_seconds: REQUEST_SECONDS,
        ..ProbeInput::new(&cloud.vault_scope)
    }
}

/// The vault's address as Azure tells it; only when nobody could be asked, the one that its name suggests.
fn vault_uri(facts: &Facts, secret: &SecretName, cloud: &Cloud) -> String {
    facts.vault(&secret.vault).map_or_else(
        || format!("https://{}.{}/", secret.vault_name(), cloud.vault_suffix),
        |vault| vault.uri.clone(),
    )
}
