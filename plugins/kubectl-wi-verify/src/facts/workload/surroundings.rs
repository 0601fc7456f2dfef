//! The pods of a service account, the objects by which the Secrets Store driver and External Secrets use it, and
//! leftovers of pod-managed identity. An API that a cluster does not have has no objects.

use super::{Known, WorkloadFacts, found, skipped};
use aks_shared::cluster::Cluster;
use aks_shared::identity::ServiceAccountRef;
use aks_shared::injection::{self, variable};
use aks_shared::labels::{FIELD_MANAGER, MANAGED_BY_LABEL, USE_LABEL};
use futures::future::join_all;
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;

/// The driver whose volumes name a `SecretProviderClass`.
const SECRETS_STORE_DRIVER: &str = "secrets-store.csi.k8s.io";

/// What stands around a service account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Surroundings {
    /// The pods that run as it; with a workload only that one's.
    pub pods: Known<Vec<PodFacts>>,
    /// The `SecretProviderClass` objects that they mount.
    pub provider_classes: Vec<ProviderClassFacts>,
    /// The stores of External Secrets that use the account.
    pub stores: Known<Vec<StoreFacts>>,
    /// Objects of pod-managed identity in the namespace, as `azureidentity/NAME`.
    pub pod_identity: Known<Vec<String>>,
}

/// A pod that runs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodFacts {
    /// Its name.
    pub name: String,
    /// Whether it asks the webhook for a token, in some container at least.
    pub asks: bool,
    /// Whether a container has a token for Entra.
    pub has_token: bool,
    /// `AZURE_CLIENT_ID` of a container.
    pub client_id: Option<String>,
}

/// A `SecretProviderClass`, or that there is none of this name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProviderClassFacts {
    /// Its name.
    pub name: String,
    /// Whether it exists.
    pub exists: bool,
    /// Its provider, `azure` for the one that reads Key Vault.
    pub provider: Option<String>,
    /// `clientID`, without which it does not use workload identity.
    pub client_id: Option<String>,
    /// `tenantID`: the vault's tenant.
    pub tenant_id: Option<String>,
    /// `keyvaultName`.
    pub vault: Option<String>,
}

/// A `SecretStore` or `ClusterSecretStore` that uses the account.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StoreFacts {
    /// `secretstore/NAME`.
    pub name: String,
    /// `authType`; `WorkloadIdentity` is what the account is for.
    pub auth_type: Option<String>,
    /// `tenantId`, which must not stand beside the account's own annotation.
    pub tenant_id: Option<String>,
    /// `vaultUrl`.
    pub vault_url: Option<String>,
}

/// Reads what stands around an account; with a workload only that one's pods.
pub async fn gather(
    cluster: &Cluster,
    account: &ServiceAccountRef,
    workload: Option<&WorkloadFacts>,
) -> Surroundings {
    let ((pods, provider_classes), stores, pod_identity) = tokio::join!(
        pods_and_classes(cluster, account, workload),
        stores(cluster, account),
        pod_identity(cluster, account)
    );
    Surroundings {
        pods,
        provider_classes,
        stores,
        pod_identity,
    }
}

async fn pods_and_classes(
    cluster: &Cluster,
    account: &ServiceAccountRef,
    workload: Option<&WorkloadFacts>,
) -> (Known<Vec<PodFacts>>, Vec<ProviderClassFacts>) {
    let fields = format!(
        "spec.serviceAccountName={},status.phase!=Succeeded,status.phase!=Failed",
        account.name
    );
    let mut options = ListParams::default().fields(&fields);
    if let Some(selector) = workload.and_then(|workload| workload.selector.as_deref()) {
        options = options.labels(selector);
    }
    let pods = Api::<Pod>::namespaced(cluster.client.clone(), &account.namespace);
    let answer = pods.list(&options).await.map(|list| list.items);
    let mounted: BTreeSet<String> = match (workload, &answer) {
        (Some(workload), _) => workload.provider_classes.iter().cloned().collect(),
        (None, Ok(pods)) => pods
            .iter()
            .filter_map(|pod| pod.spec.as_ref())
            .flat_map(provider_classes)
            .collect(),
        (None, Err(_)) => BTreeSet::new(),
    };
    let classes = join_all(
        mounted
            .into_iter()
            .map(|name| provider_class(cluster, account, name)),
    );
    let classes = classes.await.into_iter().flatten().collect();
    let pods = found(answer.map(|pods| pods.iter().filter(|pod| !is_probe(pod)).map(pod_facts).collect()));
    (pods, classes)
}

/// Whether a pod is one of ours, which come and go.
fn is_probe(pod: &Pod) -> bool {
    let labels = pod.metadata.labels.as_ref();
    labels
        .and_then(|labels| labels.get(MANAGED_BY_LABEL))
        .is_some_and(|value| value == FIELD_MANAGER)
}

fn pod_facts(pod: &Pod) -> PodFacts {
    let annotations = pod.metadata.annotations.clone().unwrap_or_default();
    let skipped = skipped(&annotations);
    let labels = pod.metadata.labels.as_ref();
    let is_labelled = labels
        .and_then(|labels| labels.get(USE_LABEL))
        .is_some_and(|value| value == "true");
    let containers = pod.spec.as_ref().map(|spec| spec.containers.as_slice());
    let containers = containers.unwrap_or_default();
    let first = |name: &str| containers.iter().find_map(|container| variable(container, name));
    PodFacts {
        name: pod.metadata.name.clone().unwrap_or_default(),
        asks: is_labelled
            && containers
                .iter()
                .any(|container| !skipped.contains(&container.name)),
        has_token: first(injection::TOKEN_FILE).is_some(),
        client_id: first(injection::CLIENT_ID),
    }
}

/// The `SecretProviderClass` objects that a pod mounts.
pub(super) fn provider_classes(spec: &PodSpec) -> Vec<String> {
    let volumes = spec.volumes.iter().flatten();
    volumes
        .filter_map(|volume| volume.csi.as_ref())
        .filter(|csi| csi.driver == SECRETS_STORE_DRIVER)
        .filter_map(|csi| {
            csi.volume_attributes
                .as_ref()?
                .get("secretProviderClass")
                .cloned()
        })
        .collect()
}

async fn provider_class(
    cluster: &Cluster,
    account: &ServiceAccountRef,
    name: String,
) -> Option<ProviderClassFacts> {
    let resource = resource("secrets-store.csi.x-k8s.io", "v1", "SecretProviderClass");
    let objects =
        Api::<DynamicObject>::namespaced_with(cluster.client.clone(), &account.namespace, &resource);
    // Without the right to read it nothing is known of it.
    let object = objects.get_opt(&name).await.ok()?;
    let Some(object) = object else {
        return Some(ProviderClassFacts {
            name,
            ..ProviderClassFacts::default()
        });
    };
    let text = |pointer: &str| text(&object.data, pointer);
    Some(ProviderClassFacts {
        name,
        exists: true,
        provider: text("/spec/provider"),
        client_id: text("/spec/parameters/clientID"),
        tenant_id: text("/spec/parameters/tenantID").or_else(|| text("/spec/parameters/tenantId")),
        vault: text("/spec/parameters/keyvaultName"),
    })
}

async fn stores(cluster: &Cluster, account: &ServiceAccountRef) -> Known<Vec<StoreFacts>> {
    let (own, shared) = tokio::join!(
        stores_of_kind(cluster, account, "SecretStore"),
        stores_of_kind(cluster, account, "ClusterSecretStore")
    );
    match (own, shared) {
        (Known::Known(mut own), Known::Known(shared)) => {
            own.extend(shared);
            Known::Known(own)
        }
        // Those of the namespace are the account's; the others are often not the operator's to read.
        (Known::Known(own), Known::Unknown(_)) => Known::Known(own),
        (unknown @ Known::Unknown(_), _) => unknown,
    }
}

async fn stores_of_kind(
    cluster: &Cluster,
    account: &ServiceAccountRef,
    kind: &str,
) -> Known<Vec<StoreFacts>> {
    let list = async |version: &str| {
        let resource = resource("external-secrets.io", version, kind);
        let client = cluster.client.clone();
        let objects = if kind == "SecretStore" {
            Api::<DynamicObject>::namespaced_with(client, &account.namespace, &resource)
        } else {
            Api::<DynamicObject>::all_with(client, &resource)
        };
        objects.list(&ListParams::default()).await
    };
    // Releases before 0.16 serve no v1.
    let listed = match list("v1").await {
        Err(kube::Error::Api(status)) if status.is_not_found() => list("v1beta1").await,
        answer => answer,
    };
    found(listed.map(|objects| {
        objects
            .items
            .iter()
            .filter_map(|object| store(object, account, kind))
            .collect()
    }))
}

/// What a store says of the vault, if it uses the account.
fn store(object: &DynamicObject, account: &ServiceAccountRef, kind: &str) -> Option<StoreFacts> {
    let provider = object.data.pointer("/spec/provider/azurekv")?;
    let text = |pointer: &str| text(provider, pointer);
    if text("/serviceAccountRef/name")? != account.name {
        return None;
    }
    let namespace = text("/serviceAccountRef/namespace");
    if namespace.is_some_and(|namespace| namespace != account.namespace) {
        return None;
    }
    Some(StoreFacts {
        name: format!(
            "{}/{}",
            kind.to_ascii_lowercase(),
            object.metadata.name.as_deref().unwrap_or_default()
        ),
        auth_type: text("/authType"),
        tenant_id: text("/tenantId"),
        vault_url: text("/vaultUrl"),
    })
}

async fn pod_identity(cluster: &Cluster, account: &ServiceAccountRef) -> Known<Vec<String>> {
    let list = async |kind: &str| {
        let resource = resource("aadpodidentity.k8s.io", "v1", kind);
        let objects =
            Api::<DynamicObject>::namespaced_with(cluster.client.clone(), &account.namespace, &resource);
        found(objects.list(&ListParams::default()).await.map(|objects| {
            let name = |object: DynamicObject| {
                let name = object.metadata.name.unwrap_or_default();
                format!("{}/{name}", kind.to_ascii_lowercase())
            };
            objects.items.into_iter().map(name).collect::<Vec<_>>()
        }))
    };
    match tokio::join!(list("AzureIdentity"), list("AzureIdentityBinding")) {
        (Known::Known(mut identities), Known::Known(bindings)) => {
            identities.extend(bindings);
            Known::Known(identities)
        }
        (Known::Unknown(why), _) | (_, Known::Unknown(why)) => Known::Unknown(why),
    }
}

fn resource(group: &str, version: &str, kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

fn text(value: &Value, pointer: &str) -> Option<String> {
    let text = value.pointer(pointer)?.as_str()?;
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_asks_when_it_is_labelled_and_not_wholly_exempt() {
        let pod = |labels: Value, annotations: Value| {
            let pod = json!({
                "metadata": {"name": "p", "labels": labels, "annotations": annotations},
                "spec": {"containers": [{"name": "main", "env": [{"name": "AZURE_CLIENT_ID", "value": "c"}]}]},
            });
            pod_facts(&serde_json::from_value(pod).unwrap())
        };
        let asking = pod(json!({USE_LABEL: "true"}), json!({}));
        assert!(asking.asks && !asking.has_token);
        assert_eq!(asking.client_id.as_deref(), Some("c"));
        assert!(!pod(json!({USE_LABEL: "True"}), json!({})).asks);
        let exempt = json!({"azure.workload.identity/skip-containers": "main"});
        assert!(!pod(json!({USE_LABEL: "true"}), exempt).asks);
    }

    #[test]
    fn a_store_counts_when_it_uses_this_account() {
        let account = ServiceAccountRef::new("shop", "orders").unwrap();
        let object = |reference: Value| -> DynamicObject {
            serde_json::from_value(json!({
                "metadata": {"name": "kv"},
                "spec": {"provider": {"azurekv": {"authType": "WorkloadIdentity", "vaultUrl": "https://kv/",
                    "serviceAccountRef": reference}}},
            }))
            .unwrap()
        };
        let found = store(&object(json!({"name": "orders"})), &account, "SecretStore").unwrap();
        assert_eq!(found.name, "secretstore/kv");
        assert_eq!(found.vault_url.as_deref(), Some("https://kv/"));
        for other in [
            json!({"name": "x"}),
            json!({"name": "orders", "namespace": "other"}),
        ] {
            assert_eq!(store(&object(other), &account, "ClusterSecretStore"), None);
        }
    }
}
