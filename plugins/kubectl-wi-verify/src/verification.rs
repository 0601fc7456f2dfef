//! One verification: gather the facts, run the probe, judge.

use crate::diagnosis::diagnose;
use crate::facts::{self, AzureFacts, ClusterFacts, DryRun, Expected, Facts, Known, SecretName};
use crate::probe_job::{self, ProbeError, ProbeJob};
use crate::report::Report;
use aks_shared::azure::{Azure, Cloud};
use aks_shared::cluster::{Cluster, ClusterError};
use aks_shared::identity::{Audience, SecretRef, ServiceAccountRef};
use aks_shared::interrupt::Interrupt;
use aks_shared::labels::DEFAULT_AUDIENCE;
use aks_shared::trust::TrustedRoots;
use std::pin::Pin;
use std::time::Duration;
use wi_probe::record::{Environment, SecretInput};
use wi_probe::{ProbeInput, ProbeRecord, TokenSource, probe};

/// Bound on one request of the probe.
const REQUEST_SECONDS: u64 = 20;

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
}

/// How the probe is run.
#[derive(Debug, Clone)]
pub struct ProbeOptions {
    /// Its image.
    pub image: String,
    /// Bound on one probe in a pod, scheduling and image pull included, `wait` not.
    pub timeout: Duration,
    /// How long to go on trying while the answer may still change, as after a setup.
    pub wait: Duration,
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
            cloud,
            roots,
        }
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
    let facts = tokio::select! {
        facts = gather(cluster, azure, verification, say) => facts?,
        () = interrupt.cancelled() => return Err(VerifyError::Interrupted { left: None }),
    };
    let facts = prove(cluster, azure, verification, facts, interrupt, say).await?;
    // What was read before the probe waited is no longer what the answer depended on.
    let facts = if has_waited(&facts) {
        let again = tokio::select! {
            again = gather(cluster, azure, verification, say) => again?,
            () = interrupt.cancelled() => return Err(VerifyError::Interrupted { left: None }),
        };
        Facts {
            pod: facts.pod,
            local: facts.local,
            ..again
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

/// Whether a probe tried more than once.
fn has_waited(facts: &Facts) -> bool {
    let mut records = [&facts.pod, &facts.local]
        .into_iter()
        .flatten()
        .filter_map(Known::known);
    records.any(|record| record.tries > 1)
}

/// Everything that can be read without running anything.
async fn gather(
    cluster: &Cluster,
    azure: Option<&Azure>,
    verification: &Verification,
    say: &(dyn Fn(&str) + Sync),
) -> Result<Facts, VerifyError> {
    say("reading the cluster and Azure");
    let account = facts::cluster::account(cluster, &verification.account)
        .await
        .map_err(|source| VerifyError::Cluster {
            context: cluster.context.clone(),
            source,
        })?;
    let client_id = account
        .known()
        .and_then(Option::as_ref)
        .and_then(|account| account.client_id.clone());
    let secrets: Vec<SecretName> = verification.secrets.iter().map(SecretName::from).collect();
    let (cluster_facts, azure_facts) = tokio::join!(
        facts::cluster::gather(cluster, &verification.account, &verification.probe.image, account),
        async {
            match azure {
                Some(azure) => {
                    Known::Known(facts::azure::gather(azure, cluster, client_id.as_deref(), &secrets).await)
                }
                None => Known::Unknown("nobody is signed in to Azure".to_owned()),
            }
        }
    );
    Ok(Facts {
        context: cluster.context.clone(),
        account: verification.account.clone(),
        secrets,
        expected: verification.expected.clone().unwrap_or_default(),
        cluster: cluster_facts,
        azure: azure_facts,
        pod: None,
        local: None,
    })
}

/// Runs the probes and adds their records.
async fn prove(
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
    let input = input(&facts, options, cloud, roots);
    let mut from_here = verification.from != Vantage::Pod;
    if verification.from != Vantage::Local {
        let job = ProbeJob {
            account: &verification.account,
            image: &options.image,
            input: &input,
            timeout: options.timeout + options.wait,
        };
        let ran = match hopeless(&facts.cluster) {
            Some(why) => Err(why),
            None => match probe_job::run(cluster, &job, interrupt, say).await {
                Ok(record) => Ok(record),
                Err(ProbeError::Interrupted { left }) => return Err(VerifyError::Interrupted { left }),
                Err(error) => {
                    from_here |= matches!(error, ProbeError::NotAllowed { .. });
                    Err(error.to_string())
                }
            },
        };
        facts.pod = Some(ran.map_or_else(Known::Unknown, Known::Known));
    }
    if from_here {
        say("trying the exchange from here");
        let tried = tokio::select! {
            tried = local(cluster, &facts, cloud, roots, &input) => tried,
            () = interrupt.cancelled() => return Err(VerifyError::Interrupted { left: None }),
        };
        facts.local = Some(tried);
    }
    Ok(facts)
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

fn input(facts: &Facts, options: &ProbeOptions, cloud: &Cloud, roots: &TrustedRoots) -> ProbeInput {
    let azure = facts.azure.known();
    ProbeInput {
        secrets: facts
            .secrets
            .iter()
            .map(|secret| SecretInput {
                vault: secret.vault.clone(),
                vault_uri: vault_uri(azure, secret, cloud),
                name: secret.name.clone(),
            })
            .collect(),
        wait_seconds: options.wait.as_secs(),
        request_seconds: REQUEST_SECONDS,
        ca_pem: roots.pem().map(str::to_owned),
        ..ProbeInput::new(&cloud.vault_scope)
    }
}

/// The vault's address as Azure tells it; only when nobody could be asked, the one that its name suggests.
fn vault_uri(azure: Option<&AzureFacts>, secret: &SecretName, cloud: &Cloud) -> String {
    let told = azure.and_then(|azure| azure.vaults.get(&secret.vault)?.known()?.as_ref());
    told.map_or_else(
        || format!("https://{}.{}/", secret.vault_name(), cloud.vault_suffix),
        |vault| vault.uri.clone(),
    )
}

/// The same exchange from here, with a token that the API server issues for the account.
async fn local(
    cluster: &Cluster,
    facts: &Facts,
    cloud: &Cloud,
    roots: &TrustedRoots,
    input: &ProbeInput,
) -> Known<ProbeRecord> {
    let account = facts.cluster.account.known().and_then(Option::as_ref);
    let injected = match facts.cluster.dry_run.known() {
        Some(DryRun::Admitted(injection)) => injection.clone(),
        Some(DryRun::Refused { .. }) | None => facts::Injection::default(),
    };
    let environment = Environment {
        client_id: injected.client_id.or_else(|| account?.client_id.clone()),
        tenant_id: injected
            .tenant_id
            .or_else(|| account?.tenant_id.clone())
            .or_else(|| tenant(facts)),
        authority: injected.authority.or_else(|| Some(cloud.authority.to_string())),
        token_file: None,
    };
    let audience = Audience(injected.audience.unwrap_or_else(|| DEFAULT_AUDIENCE.to_owned()));
    let token = match cluster.account_token(&facts.account, &audience).await {
        Ok(token) => token,
        Err(error) => return Known::Unknown(facts::one_line(&error)),
    };
    let http = match roots.http_client(Duration::from_secs(REQUEST_SECONDS)) {
        Ok(http) => http,
        Err(error) => return Known::Unknown(facts::one_line(&error)),
    };
    // A long wait outlasts the token: Kubernetes may give one of ten minutes.
    let renew = || -> Pin<Box<dyn Future<Output = Option<String>> + Send + '_>> {
        Box::pin(async {
            let fresh = cluster.account_token(&facts.account, &audience).await;
            fresh.ok().map(|token| token.expose().to_owned())
        })
    };
    let source = TokenSource::Given {
        token: token.expose().to_owned(),
        renew: &renew,
    };
    Known::Known(probe(&http, input, &environment, Some(source)).await)
}

fn tenant(facts: &Facts) -> Option<String> {
    Some(facts.azure.known()?.identity.known()?.as_ref()?.tenant_id.clone())
}
