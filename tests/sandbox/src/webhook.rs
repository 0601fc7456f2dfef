//! The azure-workload-identity webhook of a cluster: the real one, beside the node instead of in a pod.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};

use crate::api::{Api, ApiError};
use crate::files::{self, FileError};
use crate::spec::{Cluster, Spec};
use crate::state::StateDir;
use crate::supervise::Unit;

/// Where the API server sends pods.
pub const PORT: u16 = 9443;

/// Its name among the processes.
pub fn name(cluster: &Cluster) -> String {
    format!("{}-azure-wi-webhook", cluster.name)
}

/// The process.
pub fn unit(state: &StateDir, spec: &Spec, cluster: &Cluster) -> Unit {
    let folder = state.cluster(&cluster.name);
    Unit::new(name(cluster), &spec.programs.webhook)
        .flag("webhook-cert-dir", folder.join("webhook-certificates"))
        .flag("disable-cert-rotation", "true")
        .variable("AZURE_TENANT_ID", spec.tenant_id())
        .variable("AZURE_ENVIRONMENT", "AzureStackCloud")
        .variable("AZURE_ENVIRONMENT_FILEPATH", state.azure_cloud())
        .variable("POD_NAMESPACE", "kube-system")
        .variable("KUBECONFIG", folder.join("webhook.kubeconfig"))
        .in_network(&cluster.name)
}

/// The process as it is where somebody installed it for the Azure of China.
pub fn unit_of_another_cloud(state: &StateDir, spec: &Spec, cluster: &Cluster) -> Unit {
    unit(state, spec, cluster).variable("AZURE_ENVIRONMENT", "AzureChinaCloud")
}

/// Tells the API server about it, with the name and labels that it has on AKS.
pub fn register(api: &Api, state: &StateDir, cluster: &Cluster) -> Result<(), ApiError> {
    let configuration = configuration(REGISTRATION, cluster, &authority(state)?);
    api.apply(&path(REGISTRATION), &configuration)
}

/// Registers it once more, as an installation by its Helm chart beside the managed one does.
pub fn register_twice(api: &Api, state: &StateDir, cluster: &Cluster) -> Result<(), ApiError> {
    let mut configuration = configuration(SECOND_REGISTRATION, cluster, &authority(state)?);
    configuration["metadata"]["labels"] = json!({
        "azure-workload-identity.io/system": "true",
        "app.kubernetes.io/managed-by": "Helm",
    });
    api.apply(&path(SECOND_REGISTRATION), &configuration)
}

/// Makes pods pass unchanged.
pub fn unregister(api: &Api) -> Result<(), ApiError> {
    api.delete(&path(REGISTRATION))
}

/// Takes the second registration away.
pub fn unregister_second(api: &Api) -> Result<(), ApiError> {
    api.delete(&path(SECOND_REGISTRATION))
}

/// The registration's name on AKS.
const REGISTRATION: &str = "azure-wi-webhook-mutating-webhook-configuration";
/// The name of one that somebody made beside it.
const SECOND_REGISTRATION: &str = "second-azure-wi-webhook-mutating-webhook-configuration";

fn path(name: &str) -> String {
    format!("/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{name}")
}

fn authority(state: &StateDir) -> Result<String, FileError> {
    Ok(BASE64_STANDARD.encode(files::read(&state.ca_certificate())?))
}

fn configuration(name: &str, cluster: &Cluster, authority: &str) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {
            "name": name,
            "labels": {"azure-workload-identity.io/system": "true", "kubernetes.azure.com/managedby": "aks"},
        },
        "webhooks": [{
            "name": "mutation.azure-workload-identity.io",
            "admissionReviewVersions": ["v1"],
            "clientConfig": {
                "url": format!("https://{}:{PORT}/mutate-v1-pod", cluster.node_address),
                "caBundle": authority,
            },
            "failurePolicy": "Fail",
            "matchPolicy": "Equivalent",
            "objectSelector": {"matchLabels": {"azure.workload.identity/use": "true"}},
            "reinvocationPolicy": "IfNeeded",
            "rules": [{
                "apiGroups": [""],
                "apiVersions": ["v1"],
                "operations": ["CREATE"],
                "resources": ["pods"],
            }],
            "sideEffects": "None",
            "timeoutSeconds": 10,
        }],
    })
}

/// Whether a labelled pod would get its token: shown by a dry run, nothing is created.
pub fn is_injecting(api: &Api) -> Result<bool, ApiError> {
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "webhook-check-", "labels": {"azure.workload.identity/use": "true"}},
        "spec": {"containers": [{"name": "check", "image": "none"}]},
    });
    let answer = api.dry_run_pod(&pod)?;
    let variables = answer["spec"]["containers"][0]["env"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    Ok(variables
        .iter()
        .any(|variable| variable["name"] == "AZURE_FEDERATED_TOKEN_FILE"))
}
