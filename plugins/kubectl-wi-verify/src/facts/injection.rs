//! The pod of the probe, and what the webhook makes of it: read from a server-side dry run, so that nothing runs.

use super::workload::Placement;
use crate::facts::{DryRun, Injection, Known};
use aks_shared::cluster::Cluster;
use aks_shared::identity::ServiceAccountRef;
use aks_shared::injection::{self, variable};
use aks_shared::labels::{FIELD_MANAGER, MANAGED_BY_LABEL, USE_LABEL};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The container of the probe's pod.
pub const CONTAINER: &str = "wi-probe";

/// Labels of the probe and of its pod: none by which a Service, a controller or a network policy of the workload
/// selects.
pub fn labels() -> BTreeMap<String, String> {
    [
        ("app.kubernetes.io/name", CONTAINER),
        (MANAGED_BY_LABEL, FIELD_MANAGER),
        (USE_LABEL, "true"),
        ("sidecar.istio.io/inject", "false"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

/// What of the probe's pod is not always the same.
#[derive(Debug, Clone, Copy)]
pub struct PodShape<'a> {
    /// The service account that it runs as.
    pub account: &'a ServiceAccountRef,
    /// The probe's image.
    pub image: &'a str,
    /// Secrets with which the image is pulled.
    pub pull_secrets: &'a [String],
    /// What is taken over from the workload.
    pub placement: Option<&'a Placement>,
}

/// Metadata and spec of the probe's pod, which satisfies the Pod Security standard *restricted*.
pub fn pod_template(shape: &PodShape<'_>, environment: &Value) -> Value {
    let none = Placement::default();
    let placement = shape.placement.unwrap_or(&none);
    let mut annotations = json!({
        "sidecar.istio.io/inject": "false",
        "linkerd.io/inject": "disabled",
        "cluster-autoscaler.kubernetes.io/safe-to-evict": "true",
    });
    for (name, value) in &placement.annotations {
        annotations[name] = json!(value);
    }
    let mut node_selector = placement.node_selector.clone();
    node_selector
        .entry("kubernetes.io/os".to_owned())
        .or_insert_with(|| "linux".to_owned());
    let pull_secrets: Vec<Value> = shape
        .pull_secrets
        .iter()
        .map(|name| json!({"name": name}))
        .collect();
    json!({
        "metadata": {"labels": labels(), "annotations": annotations},
        "spec": {
            "serviceAccountName": shape.account.name,
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "nodeSelector": node_selector,
            "tolerations": placement.tolerations,
            "imagePullSecrets": pull_secrets,
            // A condition that nobody ever sets: the pod is never Ready, so no Service sends traffic to it.
            "readinessGates": [{"conditionType": "kubectl-wi/never-ready"}],
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": 65532,
                "runAsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": CONTAINER,
                "image": shape.image,
                "imagePullPolicy": "IfNotPresent",
                "env": environment,
                "resources": {
                    "requests": {"cpu": "10m", "memory": "16Mi"},
                    "limits": {"cpu": "500m", "memory": "64Mi"},
                },
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "readOnlyRootFilesystem": true,
                    "capabilities": {"drop": ["ALL"]},
                },
            }],
        },
    })
}

/// What becomes of a labelled pod of this account; nothing is created.
pub async fn dry_run(cluster: &Cluster, shape: &PodShape<'_>) -> Known<DryRun> {
    let mut pod = pod_template(shape, &json!([]));
    pod["metadata"]["generateName"] = json!("wi-probe-");
    let pod: Pod = match serde_json::from_value(pod) {
        Ok(pod) => pod,
        Err(error) => return Known::Unknown(error.to_string()),
    };
    let options = PostParams {
        dry_run: true,
        field_manager: Some(FIELD_MANAGER.to_owned()),
    };
    let pods = Api::<Pod>::namespaced(cluster.client.clone(), &shape.account.namespace);
    match pods.create(&options, &pod).await {
        Ok(admitted) => Known::Known(DryRun::Admitted(read(&admitted))),
        Err(kube::Error::Api(status)) if is_admission(status.code, &status.message) => {
            Known::Known(DryRun::Refused {
                message: status.message,
            })
        }
        Err(error) => Known::Unknown(super::one_line(&error)),
    }
}

/// Whether a refusal comes from admission. The API server has no field that tells it from a missing right (403
/// both), and none for a namespace that does not exist.
fn is_admission(code: u16, message: &str) -> bool {
    matches!(code, 400 | 403 | 422 | 500) && !lacks_right(message)
}

/// Whether a refusal to create something says that the right to do so is missing.
pub(crate) fn lacks_right(message: &str) -> bool {
    message.contains("cannot create resource")
}

fn read(pod: &Pod) -> Injection {
    let Some(spec) = &pod.spec else {
        return Injection::default();
    };
    let Some(container) = spec
        .containers
        .iter()
        .find(|container| container.name == CONTAINER)
    else {
        return Injection::default();
    };
    Injection {
        client_id: variable(container, injection::CLIENT_ID),
        tenant_id: variable(container, injection::TENANT_ID),
        authority: variable(container, injection::AUTHORITY_HOST),
        audience: injection::token_audience(spec, container).map(|audience| audience.0),
        token_file: variable(container, injection::TOKEN_FILE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> ServiceAccountRef {
        ServiceAccountRef::new("shop", "orders").unwrap()
    }

    fn template() -> Value {
        let shape = PodShape {
            account: &account(),
            image: "image",
            pull_secrets: &["registry".to_owned()],
            placement: None,
        };
        pod_template(&shape, &json!([]))
    }

    fn mutated() -> Pod {
        let mut pod = template();
        pod["spec"]["containers"][0]["env"] = json!([
            {"name": "AZURE_CLIENT_ID", "value": "client"},
            {"name": "AZURE_TENANT_ID", "value": "tenant"},
            {"name": "AZURE_AUTHORITY_HOST", "value": "https://login/"},
            {"name": "AZURE_FEDERATED_TOKEN_FILE", "value": "/var/run/x/token/azure-identity-token"},
        ]);
        pod["spec"]["containers"][0]["volumeMounts"] =
            json!([{"name": "v", "mountPath": "/var/run/x/token"}]);
        pod["spec"]["volumes"] = json!([{"name": "v", "projected": {"sources": [
            {"serviceAccountToken": {"path": "azure-identity-token", "audience": "api://AzureADTokenExchange"}}]}}]);
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn the_injection_is_read_wherever_the_webhook_mounts_the_token() {
        let injection = read(&mutated());
        assert_eq!(injection.client_id.as_deref(), Some("client"));
        assert_eq!(injection.audience.as_deref(), Some("api://AzureADTokenExchange"));
    }

    #[test]
    fn a_pod_that_stays_as_it_is_has_no_injection() {
        let pod: Pod = serde_json::from_value(template()).unwrap();
        assert!(read(&pod).is_empty());
    }

    #[test]
    fn the_pod_is_restricted_and_never_ready() {
        let pod: Pod = serde_json::from_value(template()).unwrap();
        let spec = pod.spec.unwrap();
        assert_eq!(spec.readiness_gates.map(|gates| gates.len()), Some(1));
        assert_eq!(spec.image_pull_secrets.unwrap()[0].name, "registry");
        assert_eq!(spec.automount_service_account_token, Some(false));
        let security = spec.containers[0].security_context.clone().unwrap();
        assert_eq!(security.allow_privilege_escalation, Some(false));
        assert_eq!(security.capabilities.unwrap().drop.unwrap(), ["ALL"]);
        assert_eq!(spec.security_context.unwrap().run_as_non_root, Some(true));
    }

    #[test]
    fn of_a_workload_the_probe_takes_its_place_and_never_its_labels() {
        let placement = Placement {
            node_selector: [("pool".to_owned(), "apps".to_owned())].into(),
            tolerations: vec![json!({"key": "only", "operator": "Exists"})],
            annotations: [("azure.workload.identity/x".to_owned(), "y".to_owned())].into(),
        };
        let shape = PodShape {
            account: &account(),
            image: "image",
            pull_secrets: &[],
            placement: Some(&placement),
        };
        let pod: Pod = serde_json::from_value(pod_template(&shape, &json!([]))).unwrap();
        let spec = pod.spec.unwrap();
        let nodes = spec.node_selector.unwrap();
        assert_eq!((nodes["pool"].as_str(), nodes.len()), ("apps", 2));
        assert_eq!(spec.tolerations.unwrap()[0].key.as_deref(), Some("only"));
        assert_eq!(
            pod.metadata.annotations.unwrap()["azure.workload.identity/x"],
            "y"
        );
        assert_eq!(pod.metadata.labels, Some(labels()));
    }

    #[test]
    fn a_missing_right_is_no_refusal_by_admission() {
        let right = r#"pods is forbidden: User "x" cannot create resource "pods" in API group """#;
        assert!(!is_admission(403, right));
        assert!(is_admission(
            403,
            r#"pods "x" is forbidden: violates PodSecurity "restricted""#
        ));
        assert!(is_admission(500, "failed calling webhook"));
        assert!(!is_admission(404, "namespaces not found"));
    }
}
