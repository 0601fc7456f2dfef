//! Clusters that a fleet finds in Azure by their tags.

use crate::fleet::{ClusterSpec, DiscoverSpec};
use aks_shared::Failure;
use aks_shared::azure::Azure;
use aks_shared::azure::arm::ManagedCluster;
use aks_shared::kubeconfig::glob_matches;
use std::collections::BTreeMap;

/// The label that a found cluster's region becomes.
const REGION: &str = "region";

/// The clusters of Azure that a fleet asks for; none when it asks for none.
pub(crate) async fn from_azure(spec: &DiscoverSpec, azure: &Azure) -> Result<Vec<ClusterSpec>, Failure> {
    if spec.azure.is_none() {
        return Ok(Vec::new());
    }
    let found = azure.arm.readable_clusters(&azure.cluster_subscriptions).await?;
    Ok(chosen(spec, &found))
}

/// Those of the clusters that have the tags, in the order of their ids.
fn chosen(spec: &DiscoverSpec, found: &[ManagedCluster]) -> Vec<ClusterSpec> {
    let Some(azure) = &spec.azure else {
        return Vec::new();
    };
    let has = |cluster: &ManagedCluster, name: &str, value: &str| {
        let mut tags = cluster.tags.iter();
        tags.any(|(key, found)| key.eq_ignore_ascii_case(name) && found == value)
    };
    let mut chosen: Vec<&ManagedCluster> = found
        .iter()
        .filter(|cluster| azure.tags.iter().all(|(name, value)| has(cluster, name, value)))
        .filter(|cluster| !spec.exclude.iter().any(|glob| glob_matches(glob, &cluster.name)))
        .collect();
    chosen.sort_by_key(|cluster| cluster.id.canonical());
    chosen.dedup_by_key(|cluster| cluster.id.canonical());
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for cluster in &chosen {
        *times.entry(&cluster.name).or_default() += 1;
    }
    let spec_of = |cluster: &&ManagedCluster| ClusterSpec {
        // Names are unique within a resource group only.
        name: match times[cluster.name.as_str()] {
            2.. => format!("{}.{}", cluster.name, cluster.id.resource_group()),
            _ => cluster.name.clone(),
        },
        id: Some(cluster.id.as_str().to_owned()),
        labels: if spec.labels_from.tags {
            labels(cluster)
        } else {
            BTreeMap::new()
        },
        ..ClusterSpec::default()
    };
    chosen.iter().map(spec_of).collect()
}

fn labels(cluster: &ManagedCluster) -> BTreeMap<String, String> {
    let region = [(REGION.to_owned(), cluster.location.clone())];
    region.into_iter().chain(cluster.tags.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn managed(group: &str, name: &str, tags: &[(&str, &str)]) -> ManagedCluster {
        let id = format!(
            "/subscriptions/s/resourceGroups/{group}/providers/Microsoft.ContainerService/managedClusters/{name}"
        );
        ManagedCluster {
            name: name.to_owned(),
            location: "westeurope".to_owned(),
            tags: tags
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            id: id.parse().unwrap(),
            fqdn: None,
            private_fqdn: None,
            node_resource_group: None,
            issuer: None,
            issuer_enabled: false,
            workload_identity_enabled: false,
            provisioning_state: String::new(),
            is_stopped: false,
        }
    }

    #[test]
    fn clusters_are_found_by_all_their_tags_and_told_apart() {
        let spec: DiscoverSpec = serde_json::from_value(json!({
            "azure": {"tags": {"fleet": "shop"}}, "exclude": ["*-admin"], "labelsFrom": {"tags": true}}))
        .unwrap();
        let found = [
            managed("g2", "aks-1", &[("Fleet", "shop"), ("ring", "1")]),
            managed("g1", "aks-1", &[("fleet", "shop"), ("region", "own")]),
            managed("g1", "aks-2", &[("fleet", "shop")]),
            managed("g1", "aks-3", &[("fleet", "Shop")]),
            managed("g1", "aks-4", &[]),
            managed("g1", "aks-admin", &[("fleet", "shop")]),
        ];
        let chosen = chosen(&spec, &found);
        let names: Vec<&str> = chosen.iter().map(|cluster| cluster.name.as_str()).collect();
        assert_eq!(names, ["aks-1.g1", "aks-2", "aks-1.g2"]);
        assert_eq!(chosen[0].labels["region"], "own");
        assert_eq!(
            chosen[2].labels,
            BTreeMap::from([
                ("Fleet".to_owned(), "shop".to_owned()),
                ("region".to_owned(), "westeurope".to_owned()),
                ("ring".to_owned(), "1".to_owned()),
            ])
        );
        assert!(
            chosen
                .iter()
                .all(|cluster| cluster.context.is_empty() && cluster.id.is_some())
        );
    }
}
