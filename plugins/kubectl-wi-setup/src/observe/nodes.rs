//! Which AKS cluster the nodes say that they belong to.
//!
//! AKS keeps the machines of each cluster in a resource group of its own, and a node's provider id names it
//! (<https://learn.microsoft.com/azure/aks/faq>).

use super::Proof;
use crate::error::SetupError;
use aks_shared::azure::arm::ManagedCluster;
use aks_shared::cluster::Cluster;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::ListParams;

/// How many nodes are looked at; virtual ones have no machine.
const LOOKED_AT: u32 = 10;

/// What the nodes say.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// They are machines of the cluster.
    Same,
    /// They are machines of this group.
    Other(String),
    /// None of them is a machine of Azure.
    Silent,
}

/// Takes the nodes for the proof that a context leads to a cluster; what cannot be proven may be accepted.
///
/// # Errors
/// When the nodes belong to another cluster, and when they prove nothing and that is not accepted: `why` says what
/// else proved nothing.
pub(super) async fn prove(
    cluster: &Cluster,
    managed: &ManagedCluster,
    accept_unproven: bool,
    why: &str,
) -> Result<Proof, SetupError> {
    let nodes = Api::<Node>::all(cluster.client.clone())
        .list(&ListParams::default().limit(LOOKED_AT))
        .await
        .map_err(|error| cluster.request_error("the nodes", error));
    let silent = match nodes {
        Ok(nodes) => {
            let ids = nodes
                .items
                .iter()
                .filter_map(|node| node.spec.as_ref()?.provider_id.as_deref());
            match judge(managed, ids) {
                Verdict::Same => return Ok(Proof::Nodes),
                Verdict::Other(found) => {
                    return Err(SetupError::WrongNodes {
                        id: managed.id.clone(),
                        found,
                    });
                }
                Verdict::Silent => "no node is a machine of Azure",
            }
        }
        Err(error) if error.is_forbidden() => "the nodes may not be listed",
        Err(error) => return Err(error.into()),
    };
    if accept_unproven {
        return Ok(Proof::Accepted);
    }
    Err(SetupError::Unproven {
        id: managed.id.clone(),
        why: format!("{why}, and {silent}"),
    })
}

fn judge<'a>(managed: &ManagedCluster, provider_ids: impl Iterator<Item = &'a str>) -> Verdict {
    let Some(own) = &managed.node_resource_group else {
        return Verdict::Silent;
    };
    let own = format!(
        "/subscriptions/{}/resourceGroups/{own}",
        managed.id.subscription()
    );
    let mut groups = provider_ids.filter_map(group);
    match groups.next() {
        None => Verdict::Silent,
        // The cloud provider writes the group in lower case.
        Some(found) if found.eq_ignore_ascii_case(&own) => Verdict::Same,
        Some(found) => Verdict::Other(found),
    }
}

/// The resource group in `azure:///subscriptions/ID/resourceGroups/GROUP/providers/…`.
fn group(provider_id: &str) -> Option<String> {
    let path = provider_id.strip_prefix("azure://")?;
    let end = path.to_ascii_lowercase().find("/providers/")?;
    Some(path[..end].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn managed(group: Option<&str>) -> ManagedCluster {
        let id =
            "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/aks";
        ManagedCluster {
            id: id.parse().unwrap(),
            name: "aks".into(),
            location: "westeurope".into(),
            fqdn: None,
            private_fqdn: None,
            node_resource_group: group.map(str::to_owned),
            issuer: None,
            issuer_enabled: false,
            workload_identity_enabled: false,
            provisioning_state: "Succeeded".into(),
            tags: BTreeMap::new(),
            is_stopped: false,
        }
    }

    fn machine(subscription: &str, group: &str) -> String {
        format!(
            "azure:///subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachineScaleSets/x/virtualMachines/0"
        )
    }

    #[test]
    fn nodes_prove_the_cluster_whose_machines_they_are() {
        let judged =
            |group: Option<&str>, ids: &[String]| judge(&managed(group), ids.iter().map(String::as_str));
        let own = machine("s", "mc_rg_aks_weu");
        let kwok = "kwok://node-1".to_owned();
        assert_eq!(
            judged(Some("MC_rg_aks_weu"), &[kwok.clone(), own.clone()]),
            Verdict::Same
        );
        assert_eq!(judged(Some("MC_rg_aks_weu"), &[kwok]), Verdict::Silent);
        assert_eq!(judged(Some("MC_rg_aks_weu"), &[]), Verdict::Silent);
        assert_eq!(judged(None, &[own]), Verdict::Silent);
        for (subscription, group) in [("s", "mc_rg_other_weu"), ("t", "mc_rg_aks_weu")] {
            assert!(matches!(
                judged(Some("MC_rg_aks_weu"), &[machine(subscription, group)]),
                Verdict::Other(_)
            ));
        }
    }
}
