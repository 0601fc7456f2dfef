//! The pods that run as a service account, and how each is started anew.
//!
//! The webhook writes the identity into a pod when the pod is made; a running one keeps what it was given.

use aks_shared::cluster::{Cluster, ClusterError};
use aks_shared::identity::ServiceAccountRef;
use aks_shared::shell::place_flags;
use aks_shared::{injection, labels};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use std::collections::BTreeSet;

/// The label by which a Deployment tells its replica sets apart.
const TEMPLATE_HASH: &str = "pod-template-hash";

/// A pod that runs as a service account with an identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodUse {
    /// Its name.
    pub name: String,
    /// Who makes it anew, `deployment/orders`; none when nobody does.
    pub owner: Option<String>,
    /// The client id that it was started with.
    pub client_id: Option<String>,
}

/// The pods that run as an account and asked the webhook for its identity; none where they may not be listed.
pub(crate) async fn of_account(
    cluster: &Cluster,
    account: &ServiceAccountRef,
) -> Result<Option<Vec<PodUse>>, ClusterError> {
    let ours = ListParams::default()
        .fields(&format!("spec.serviceAccountName={}", account.name))
        .labels(&format!("{}=true", labels::USE_LABEL));
    let listed = Api::<Pod>::namespaced(cluster.client.clone(), &account.namespace)
        .list(&ours)
        .await
        .map_err(|error| cluster.request_error(&format!("the pods of service account {account}"), error));
    match listed {
        Ok(pods) => Ok(Some(
            pods.items.iter().filter(|pod| runs(pod)).map(read).collect(),
        )),
        Err(error) if error.is_forbidden() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a pod runs or will.
fn runs(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    pod.metadata.deletion_timestamp.is_none() && !matches!(phase, Some("Succeeded" | "Failed"))
}

fn read(pod: &Pod) -> PodUse {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let mut ids = containers.filter_map(|container| injection::variable(container, injection::CLIENT_ID));
    PodUse {
        name: pod.metadata.name.clone().unwrap_or_default(),
        owner: owner(pod),
        client_id: ids.next(),
    }
}

fn owner(pod: &Pod) -> Option<String> {
    let owners = pod.metadata.owner_references.iter().flatten();
    let controller = owners.into_iter().find(|owner| owner.controller == Some(true))?;
    let hash = pod
        .metadata
        .labels
        .as_ref()
        .and_then(|all| all.get(TEMPLATE_HASH));
    let kind = controller.kind.to_ascii_lowercase();
    let deployment = hash
        .filter(|_| kind == "replicaset")
        .and_then(|hash| controller.name.strip_suffix(hash.as_str())?.strip_suffix('-'));
    Some(match deployment {
        Some(deployment) => format!("deployment/{deployment}"),
        None => format!("{kind}/{}", controller.name),
    })
}

/// The command that starts each of some pods anew, once for each owner.
pub(crate) fn restarts<'a>(
    context: &str,
    namespace: &str,
    pods: impl Iterator<Item = &'a PodUse>,
) -> Vec<String> {
    let place = place_flags(context, namespace);
    let commands: BTreeSet<String> = pods
        .map(|pod| {
            let owner = pod.owner.as_deref().unwrap_or_default();
            match owner.split_once('/') {
                Some(("deployment" | "statefulset" | "daemonset", _)) => {
                    format!("kubectl rollout restart {place} {owner}")
                }
                // Its owner makes another one; what nobody owns has to be made again by hand.
                _ => format!("kubectl delete {place} pod/{}", pod.name),
            }
        })
        .collect();
    commands.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(metadata: &Value) -> Pod {
        serde_json::from_value(json!({"metadata": metadata, "spec": {"containers": [
            {"name": "sidecar"},
            {"name": "app", "env": [{"name": "AZURE_CLIENT_ID", "value": "c"}]}]}}))
        .unwrap()
    }

    fn owned(kind: &str, name: &str) -> PodUse {
        let reference =
            json!({"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": "u", "controller": true});
        read(&pod(&json!({
            "name": "p", "labels": {"pod-template-hash": "5d4f"}, "ownerReferences": [reference]})))
    }

    #[test]
    fn every_pod_is_started_anew_by_who_owns_it() {
        let pods = [
            owned("ReplicaSet", "orders-5d4f"),
            owned("ReplicaSet", "orders-5d4f"),
            owned("ReplicaSet", "rollout-77"),
            owned("StatefulSet", "queue"),
            read(&pod(&json!({"name": "alone"}))),
        ];
        assert_eq!(pods[0].client_id.as_deref(), Some("c"));
        assert_eq!(
            restarts("weu-1", "shop", pods.iter()),
            [
                "kubectl delete --context weu-1 -n shop pod/alone",
                "kubectl delete --context weu-1 -n shop pod/p",
                "kubectl rollout restart --context weu-1 -n shop deployment/orders",
                "kubectl rollout restart --context weu-1 -n shop statefulset/queue",
            ]
        );
    }

    #[test]
    fn what_has_ended_or_is_going_uses_nothing() {
        let mut done = pod(&json!({"name": "p"}));
        assert!(runs(&done));
        done.status = serde_json::from_value(json!({"phase": "Succeeded"})).unwrap();
        assert!(!runs(&done));
        assert!(!runs(&pod(
            &json!({"name": "p", "deletionTimestamp": "2026-01-01T00:00:00Z"})
        )));
    }
}
