//! Which AKS cluster a context leads to, and the proof of it.

use super::nodes;
use crate::Workload;
use crate::error::{SetupError, reading};
use aks_shared::azure::arm::ManagedCluster;
use aks_shared::azure::{ArmId, Azure};
use aks_shared::cluster::Cluster;
use aks_shared::identity::{Audience, Issuer, ServiceAccountRef};
use aks_shared::labels;
use serde::Serialize;
use wi_probe::jwt::assertion_claims;

/// The cluster that a context leads to.
#[derive(Debug, Clone)]
pub struct ObservedCluster {
    /// The kubeconfig context.
    pub context: String,
    /// Its ARM id.
    pub id: ArmId,
    /// Its name in ARM.
    pub name: String,
    /// Its region.
    pub location: String,
    /// The issuer of its tokens, byte for byte.
    pub issuer: Issuer,
    /// How it is known that the context leads to it.
    pub proof: Proof,
}

/// How it is known that a context leads to a cluster of ARM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proof {
    /// The API server's discovery document names the issuer that ARM names.
    Discovery,
    /// A token of the cluster names the issuer that ARM names.
    Token,
    /// The nodes are machines of the group that ARM names for the cluster.
    Nodes,
    /// It is not known; the user accepted that.
    Accepted,
}

impl ObservedCluster {
    pub(crate) fn new(cluster: &Cluster, managed: ManagedCluster, (issuer, proof): (Issuer, Proof)) -> Self {
        Self {
            context: cluster.context.clone(),
            id: managed.id,
            name: managed.name,
            location: managed.location,
            issuer,
            proof,
        }
    }
}

/// The AKS cluster in ARM: the pinned one, else the one that is served where the context points.
pub(crate) async fn resolve(
    azure: &Azure,
    cluster: &Cluster,
    workload: &Workload,
) -> Result<ManagedCluster, SetupError> {
    if let Some(id) = &workload.cluster_id {
        let found = azure
            .arm
            .cluster(id)
            .await
            .map_err(reading(format!("cluster {}", id.name())))?;
        return found.ok_or_else(|| SetupError::ClusterMissing { id: id.clone() });
    }
    let host = host(cluster).to_owned();
    let served = azure
        .arm
        .clusters_served_at(&host, &azure.cluster_subscriptions)
        .await;
    let mut found = match served {
        Err(source) if source.is_forbidden() => return Err(SetupError::ClustersHidden { host, source }),
        served => served.map_err(reading(format!("the cluster that is served at {host}")))?,
    };
    match (found.pop(), found.is_empty()) {
        (None, _) => {
            let others = azure.arm.readable_clusters(&azure.cluster_subscriptions).await;
            let others = others.unwrap_or_default().into_iter().map(|one| one.id);
            Err(SetupError::NoCluster {
                host,
                others: others.collect(),
            })
        }
        (Some(only), true) => Ok(only),
        (Some(last), false) => {
            found.push(last);
            Err(SetupError::SeveralClusters {
                host,
                ids: found.into_iter().map(|one| one.id).collect(),
            })
        }
    }
}

/// Compares what the cluster says of itself with what ARM says: its issuer, or else whose machines its nodes are.
pub(crate) async fn prove(
    cluster: &Cluster,
    managed: &ManagedCluster,
    workload: &Workload,
    account_exists: bool,
) -> Result<(Issuer, Proof), SetupError> {
    let Some(expected) = managed.issuer.clone() else {
        return Err(SetupError::NotEnabled {
            id: managed.id.clone(),
            missing: missing(managed),
            is_changing: managed.is_changing(),
        });
    };
    let (found, proof) = match cluster.discovery().await {
        Ok(discovery) => (discovery.issuer, Proof::Discovery),
        Err(refused) if refused.is_forbidden() => {
            match issuer_of_token(cluster, workload, account_exists).await {
                Ok(issuer) => (issuer, Proof::Token),
                Err(why) => {
                    let why = format!("issuer discovery is forbidden, {why}");
                    let proof = nodes::prove(cluster, managed, workload.accept_unproven, &why).await?;
                    return Ok((expected, proof));
                }
            }
        }
        Err(error) => return Err(error.into()),
    };
    if found == expected {
        return Ok((expected, proof));
    }
    Err(SetupError::WrongCluster {
        id: managed.id.clone(),
        expected,
        found,
    })
}

/// Proves the place of a cluster whose features are to be switched on: without an issuer, its server's name in Azure
/// or the machines of its nodes.
pub(crate) async fn prove_place(
    cluster: &Cluster,
    managed: &ManagedCluster,
    workload: &Workload,
) -> Result<(), SetupError> {
    if managed.issuer.is_some() {
        return prove(cluster, managed, workload, false).await.map(drop);
    }
    if managed.is_served_at(host(cluster)) {
        return Ok(());
    }
    let why = "its issuer is off, the context leads to another server";
    nodes::prove(cluster, managed, workload.accept_unproven, why)
        .await
        .map(drop)
}

/// Refuses unless a context leads to the cluster with this id; its issuer may be off.
///
/// # Errors
/// Also when nothing proves that it does.
pub async fn check_cluster(azure: &Azure, cluster: &Cluster, id: &ArmId) -> Result<(), SetupError> {
    // No account is looked at but the one that every namespace has.
    let account = ServiceAccountRef {
        namespace: "default".to_owned(),
        name: "default".to_owned(),
    };
    let pinned = Workload {
        cluster_id: Some(id.clone()),
        ..Workload::new(account)
    };
    let managed = resolve(azure, cluster, &pinned).await?;
    prove_place(cluster, &managed, &pinned).await
}

/// The host of the context's server; an IPv6 address without its brackets.
fn host(cluster: &Cluster) -> &str {
    let host = cluster.server.host_str().unwrap_or_default();
    host.trim_matches(['[', ']'])
}

/// Whether a namespace exists. Who may not read namespaces works inside one that does.
pub(super) async fn has_namespace(cluster: &Cluster, name: &str) -> Result<bool, SetupError> {
    match cluster.has_namespace(name).await {
        Ok(exists) => Ok(exists),
        Err(error) if error.is_forbidden() => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Refuses a cluster whose issuer or webhook is off.
pub(super) fn check_enabled(managed: &ManagedCluster, webhook_mutates: bool) -> Result<(), SetupError> {
    let mut missing = missing(managed);
    if webhook_mutates {
        missing.retain(|what| *what != WEBHOOK);
    }
    if missing.is_empty() {
        Ok(())
    } else {
        Err(SetupError::NotEnabled {
            id: managed.id.clone(),
            missing,
            is_changing: managed.is_changing(),
        })
    }
}

const WEBHOOK: &str = "workload identity";

fn missing(managed: &ManagedCluster) -> Vec<&'static str> {
    let issuer = (!managed.issuer_enabled).then_some("the OIDC issuer");
    let webhook = (!managed.workload_identity_enabled).then_some(WEBHOOK);
    issuer.into_iter().chain(webhook).collect()
}

/// The `iss` of a token of the workload's account, or of the namespace's default one. The token goes nowhere.
async fn issuer_of_token(
    cluster: &Cluster,
    workload: &Workload,
    account_exists: bool,
) -> Result<Issuer, String> {
    let account = if account_exists {
        workload.account.clone()
    } else {
        ServiceAccountRef {
            namespace: workload.account.namespace.clone(),
            name: "default".to_owned(),
        }
    };
    let audience = Audience::from(labels::DEFAULT_AUDIENCE);
    let token = cluster
        .account_token(&account, &audience)
        .await
        .map_err(|_| format!("no token of service account {account} can be had"))?;
    let claims = assertion_claims(token.expose()).ok_or("the cluster's tokens are not readable")?;
    Ok(Issuer(claims.issuer))
}
