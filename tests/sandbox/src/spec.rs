//! What a sandbox consists of: pure data from which everything else is derived.

use std::fmt;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::range::Range;

/// How much of a cluster is real.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Everything: a control plane, a node that runs pods, the workload identity webhook.
    Nodes,
    /// Control planes whose pods are said to be ready by kwok.
    Workloads,
    /// API servers alone, on one shared etcd.
    ApiOnly,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nodes => "nodes",
            Self::Workloads => "workloads",
            Self::ApiOnly => "api-only",
        })
    }
}

/// Where the programs are that a sandbox runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Programs {
    /// The store.
    pub etcd: PathBuf,
    /// The API server.
    pub kube_apiserver: PathBuf,
    /// Deployments, service accounts and the like.
    pub kube_controller_manager: PathBuf,
    /// Pods to nodes.
    pub kube_scheduler: PathBuf,
    /// The node's agent.
    pub kubelet: PathBuf,
    /// The node without a kubelet.
    pub kwok: PathBuf,
    /// The azure-workload-identity webhook.
    pub webhook: PathBuf,
    /// The simulated Azure.
    pub azure: PathBuf,
}

impl Programs {
    /// Those of the tool cache.
    pub fn tools(&self) -> Vec<PathBuf> {
        let tools = [
            &self.etcd,
            &self.kube_apiserver,
            &self.kube_controller_manager,
            &self.kube_scheduler,
            &self.kubelet,
            &self.kwok,
            &self.webhook,
        ];
        tools.into_iter().cloned().collect()
    }
}

/// An image for every node: its name and the archive that holds it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NodeImage {
    /// Its reference, as pods name it.
    pub reference: String,
    /// A tar that `ctr images import` reads.
    pub archive: PathBuf,
}

/// One sandbox.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Spec {
    /// Its name.
    pub name: String,
    /// How much of the clusters is real.
    pub kind: Kind,
    /// Its addresses.
    pub range: Range,
    /// Its clusters.
    pub clusters: Vec<Cluster>,
    /// What it runs.
    pub programs: Programs,
    /// What its nodes can run.
    pub images: Vec<NodeImage>,
}

impl Spec {
    /// The Entra tenant.
    pub fn tenant_id(&self) -> String {
        uuid(&self.name, "tenant")
    }

    /// The subscription of all resources.
    pub fn subscription_id(&self) -> String {
        uuid(&self.name, "subscription")
    }

    /// The application id of the operator, who signs in by a client secret.
    pub fn operator_client_id(&self) -> String {
        uuid(&self.name, "operator-client")
    }

    /// The object id of the operator's service principal.
    pub fn operator_object_id(&self) -> String {
        uuid(&self.name, "operator-object")
    }
}

/// One cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// Its name in Azure and its context in the kubeconfig.
    pub name: String,
    /// Its Azure region.
    pub region: String,
    /// From 1; addresses and ports follow from it.
    pub number: u8,
    /// The address of its API server, which is also its issuer.
    pub address: Ipv4Addr,
    /// The address of its node.
    pub node_address: Ipv4Addr,
}

/// The resource group of all clusters.
pub const FLEET_GROUP: &str = "rg-fleet";
/// The resource group of what they share.
pub const SHARED_GROUP: &str = "rg-shared";
/// The central vault.
pub const VAULT: &str = "kv-central";

impl Cluster {
    /// The issuer of its service account tokens, trailing slash included.
    pub fn issuer(&self) -> String {
        format!("https://{}/", self.address)
    }

    /// The API server's URL.
    pub fn server(&self) -> String {
        format!("https://{}:443", self.address)
    }

    /// The group in which Azure keeps a cluster's machines.
    pub fn node_group(&self) -> String {
        format!("MC_{FLEET_GROUP}_{}_{}", self.name, self.region)
    }

    /// The one node's name, in the manner of AKS.
    pub fn node_name(&self) -> String {
        format!("aks-nodepool1-{:08}-vmss000000", self.pool_number())
    }

    /// The one node's id in Azure.
    pub fn provider_id(&self, subscription_id: &str) -> String {
        let group = self.node_group().to_lowercase();
        let pool = self.pool_number();
        format!(
            "azure:///subscriptions/{subscription_id}/resourceGroups/{group}/providers/Microsoft.Compute\
             /virtualMachineScaleSets/aks-nodepool1-{pool:08}-vmss/virtualMachines/0"
        )
    }

    /// The pods' addresses on its node, known only inside the sandbox.
    pub fn pod_subnet(&self) -> String {
        format!("10.244.{}.0/24", self.number)
    }

    fn pool_number(&self) -> u32 {
        let digest = Sha256::digest(self.name.as_bytes());
        u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]) % 100_000_000
    }
}

const REGIONS: [(&str, &str); 8] = [
    ("weu", "westeurope"),
    ("neu", "northeurope"),
    ("sdc", "swedencentral"),
    ("frc", "francecentral"),
    ("gwc", "germanywestcentral"),
    ("uks", "uksouth"),
    ("eus", "eastus"),
    ("wus", "westus3"),
];

/// The first `count` clusters: `aks-weu-1`, `aks-neu-1`, … through the regions, then `aks-weu-2` and so on.
pub fn clusters(range: Range, count: u8) -> Vec<Cluster> {
    let cluster = |number: u8| {
        let index = usize::from(number - 1);
        let (short, region) = REGIONS[index % REGIONS.len()];
        Cluster {
            name: format!("aks-{short}-{}", index / REGIONS.len() + 1),
            region: region.to_owned(),
            number,
            address: range.api_server(number),
            node_address: range.node(number),
        }
    };
    (1..=count).map(cluster).collect()
}

/// A UUID that is the same for the same sandbox and purpose.
pub fn uuid(sandbox: &str, purpose: &str) -> String {
    let digest = Sha256::digest(format!("aks-sandbox/{sandbox}/{purpose}"));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    // RFC 9562: version 8 (own derivation), variant 10.
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = |part: &[u8]| {
        part.iter()
            .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
    };
    let parts = [
        &bytes[..4],
        &bytes[4..6],
        &bytes[6..8],
        &bytes[8..10],
        &bytes[10..],
    ];
    parts.map(hex).join("-")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn clusters_have_distinct_names_and_addresses() {
        let clusters = clusters(Range::new(3), 60);
        let names: BTreeSet<_> = clusters.iter().map(|cluster| cluster.name.clone()).collect();
        let addresses: BTreeSet<_> = clusters
            .iter()
            .flat_map(|c| [c.address, c.node_address])
            .collect();
        assert_eq!((names.len(), addresses.len()), (60, 120));
        let first: Vec<_> = clusters
            .iter()
            .take(3)
            .map(|cluster| cluster.name.as_str())
            .collect();
        assert_eq!(first, ["aks-weu-1", "aks-neu-1", "aks-sdc-1"]);
    }

    #[test]
    fn the_node_group_is_a_valid_label_value() {
        for cluster in clusters(Range::new(0), 200) {
            assert!(cluster.node_group().len() <= 63, "{}", cluster.node_group());
        }
    }

    #[test]
    fn ids_differ_by_sandbox_and_purpose_and_stay() {
        assert_eq!(uuid("default", "tenant"), uuid("default", "tenant"));
        assert_ne!(uuid("default", "tenant"), uuid("other", "tenant"));
        assert_ne!(uuid("default", "tenant"), uuid("default", "subscription"));
        assert_eq!(uuid("default", "tenant").len(), 36);
    }
}
