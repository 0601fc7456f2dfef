//! What Azure knows of the cluster behind a context: whether it is the pinned one, and whether somebody stopped it.

use super::Subject;
use crate::fleet::ClusterSpec;
use aks_shared::azure::arm::ManagedCluster;
use aks_shared::azure::{ArmId, Azure};
use aks_shared::cluster::Cluster;
use aks_shared::{ExitStatus, Failure};

/// Refuses a context that does not lead to the cluster that is pinned. With identities that is proven together with
/// them.
pub(super) async fn check_pin(
    subject: &Subject,
    spec: &ClusterSpec,
    cluster: &Cluster,
) -> Result<(), Failure> {
    let (Some(id), Some(azure)) = (&spec.id, &subject.azure) else {
        return Ok(());
    };
    if !subject.fleet.identities.is_empty() {
        return Ok(());
    }
    let id = id
        .parse::<ArmId>()
        .map_err(|error| Failure::from_error(ExitStatus::Usage, &error))?;
    kubectl_wi_setup::check_cluster(azure, cluster, &id).await.map_err(|error| {
        let mut failure = Failure::from(error);
        // It names the flags of another command.
        failure.hints = vec![format!(
            "correct clusters[].context or clusters[].id of {}; its id is told by: az aks show -g GROUP -n NAME --query id",
            spec.name
        )];
        failure
    })
}

/// Why a cluster does not answer: that it is stopped, where Azure says so, else what was there to say before.
pub(super) async fn why_silent(
    subject: &Subject,
    spec: &ClusterSpec,
    cluster: &Cluster,
    silence: Failure,
) -> Failure {
    let Some(azure) = &subject.azure else {
        return silence;
    };
    match managed(azure, spec, cluster).await {
        Some(managed) if managed.is_stopped => stopped(&managed),
        _ => silence,
    }
}

/// The cluster in Azure, as far as it is known and can be read.
async fn managed(azure: &Azure, spec: &ClusterSpec, cluster: &Cluster) -> Option<ManagedCluster> {
    if let Some(id) = &spec.id {
        return azure.arm.cluster(&id.parse().ok()?).await.ok()?;
    }
    let host = cluster.server.host_str()?.trim_matches(['[', ']']);
    let served = azure
        .arm
        .clusters_served_at(host, &azure.cluster_subscriptions)
        .await;
    served.ok()?.pop()
}

fn stopped(managed: &ManagedCluster) -> Failure {
    Failure::refused(format!("cluster {} is stopped", managed.name))
        .hint(format!("start it: az aks start --ids {}", managed.id.as_str()))
}
