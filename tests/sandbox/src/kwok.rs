//! A node without a machine: kwok says that it is ready, and that the pods on it are.

use serde_json::{Value, json};

use crate::spec::{Cluster, Spec};
use crate::state::StateDir;
use crate::supervise::Unit;

/// The process that plays kubelet.
pub fn unit(state: &StateDir, spec: &Spec, cluster: &Cluster) -> Unit {
    Unit::new(format!("{}-kwok", cluster.name), &spec.programs.kwok)
        .flag("kubeconfig", state.cluster(&cluster.name).join("kwok.kubeconfig"))
        .flag("manage-all-nodes", "true")
        .flag("node-ip", cluster.node_address.to_string())
        .flag("cidr", cluster.pod_subnet())
}

/// Path and content of the node.
pub fn node(spec: &Spec, cluster: &Cluster) -> (String, Value) {
    let name = cluster.node_name();
    let node = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {"kwok.x-k8s.io/node": "fake"},
            "labels": {
                "kubernetes.azure.com/cluster": cluster.node_group(),
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                "topology.kubernetes.io/region": cluster.region,
                "type": "kwok",
            },
        },
        "spec": {"providerID": cluster.provider_id(&spec.subscription_id())},
    });
    (format!("/api/v1/nodes/{name}"), node)
}
