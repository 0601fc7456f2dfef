//! A workload as the user names it (`deploy/orders`), and what stands around it: the pods that run as its service
//! account, what they mount, and what is left over of older ways to an identity.

mod surroundings;

pub use surroundings::{PodFacts, ProviderClassFacts, StoreFacts, Surroundings, gather};

use super::{Known, one_line};
use aks_shared::cluster::Cluster;
use aks_shared::injection;
use aks_shared::labels::USE_LABEL;
use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::core::Selector;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Names of containers, separated by semicolons, that the webhook leaves alone.
pub(crate) const SKIP_ANNOTATION: &str = "azure.workload.identity/skip-containers";
/// How long the projected token lives; a pod's own wins over its account's.
const EXPIRATION_ANNOTATION: &str = "azure.workload.identity/service-account-token-expiration";
/// The label by which the retired pod-managed identity chose pods.
pub(crate) const POD_IDENTITY_LABEL: &str = "aadpodidbinding";

/// A workload by kind and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadRef {
    kind: &'static Kind,
    name: String,
}

/// A kind of workload, and how kubectl calls it.
#[derive(Debug, PartialEq, Eq)]
struct Kind {
    group: &'static str,
    name: &'static str,
    plural: &'static str,
    short: &'static [&'static str],
    /// Where the pod's metadata and spec stand, as a JSON pointer.
    template: &'static str,
}

const KINDS: [Kind; 7] = [
    Kind {
        group: "apps",
        name: "Deployment",
        plural: "deployments",
        short: &["deploy"],
        template: "/spec/template",
    },
    Kind {
        group: "apps",
        name: "StatefulSet",
        plural: "statefulsets",
        short: &["sts"],
        template: "/spec/template",
    },
    Kind {
        group: "apps",
        name: "DaemonSet",
        plural: "daemonsets",
        short: &["ds"],
        template: "/spec/template",
    },
    Kind {
        group: "apps",
        name: "ReplicaSet",
        plural: "replicasets",
        short: &["rs"],
        template: "/spec/template",
    },
    Kind {
        group: "batch",
        name: "Job",
        plural: "jobs",
        short: &[],
        template: "/spec/template",
    },
    Kind {
        group: "batch",
        name: "CronJob",
        plural: "cronjobs",
        short: &["cj"],
        template: "/spec/jobTemplate/spec/template",
    },
    Kind {
        group: "",
        name: "Pod",
        plural: "pods",
        short: &["po"],
        template: "",
    },
];

/// A text that names no workload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{given:?} is no workload: it must be KIND/NAME with deploy, sts, ds, rs, job, cronjob or pod as KIND"
)]
pub struct WorkloadRefError {
    given: String,
}

impl std::str::FromStr for WorkloadRef {
    type Err = WorkloadRefError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || WorkloadRefError {
            given: text.to_owned(),
        };
        let (kind, name) = text.split_once('/').ok_or_else(error)?;
        let asked = kind.to_ascii_lowercase();
        let is = |kind: &&Kind| {
            asked == kind.plural
                || asked == kind.name.to_ascii_lowercase()
                || kind.short.contains(&asked.as_str())
        };
        let kind = KINDS.iter().find(is).ok_or_else(error)?;
        if name.is_empty() || name.contains('/') {
            return Err(error());
        }
        Ok(Self {
            kind,
            name: name.to_owned(),
        })
    }
}

impl std::fmt::Display for WorkloadRef {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.kind.name.to_ascii_lowercase(), self.name)
    }
}

/// A workload, as far as it matters to its identity.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadFacts {
    /// `deployment/orders`.
    pub name: String,
    /// The service account of its pods.
    pub account: String,
    /// The value of the use label on its pods.
    pub use_label: Option<String>,
    /// Its containers, those that run first included.
    pub containers: Vec<ContainerFacts>,
    /// The value of the label of pod-managed identity.
    pub pod_identity: Option<String>,
    /// The `SecretProviderClass` objects that its pods mount.
    pub provider_classes: Vec<String>,
    /// How its pods are found; none for one that does not say.
    pub selector: Option<String>,
    /// What the probe takes over from its pods.
    pub placement: Placement,
}

/// A container of a workload.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerFacts {
    /// Its name.
    pub name: String,
    /// Whether the webhook is told to leave it alone.
    pub is_skipped: bool,
    /// The variables for the Azure SDKs that it sets itself. A credential's value is never read, and neither is one
    /// that stands elsewhere.
    pub preset: BTreeMap<String, Option<String>>,
}

/// What the probe takes over from a workload: where its pods run and how long their token lives. None of the labels
/// by which a Service or a controller selects.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Placement {
    /// Labels that the node must have.
    pub node_selector: BTreeMap<String, String>,
    /// Taints that are tolerated, as Kubernetes writes them.
    pub tolerations: Vec<Value>,
    /// Annotations for the webhook.
    pub annotations: BTreeMap<String, String>,
}

/// Variables of the Azure SDKs that say who a process is, and are no secrets.
const SETTINGS: [&str; 4] = [
    injection::CLIENT_ID,
    injection::TENANT_ID,
    injection::AUTHORITY_HOST,
    injection::TOKEN_FILE,
];

/// Variables that make `EnvironmentCredential`, which the SDKs try before workload identity, a credential:
/// <https://learn.microsoft.com/dotnet/api/azure.identity.environmentcredential>.
pub const CREDENTIALS: [&str; 3] = [
    "AZURE_CLIENT_SECRET",
    "AZURE_CLIENT_CERTIFICATE_PATH",
    "AZURE_PASSWORD",
];

/// Reads a workload; none when there is no such object.
pub async fn read(
    cluster: &Cluster,
    namespace: &str,
    workload: &WorkloadRef,
) -> Result<Option<WorkloadFacts>, kube::Error> {
    let kind = workload.kind;
    let named = GroupVersionKind::gvk(kind.group, "v1", kind.name);
    let resource = ApiResource::from_gvk_with_plural(&named, kind.plural);
    let objects = Api::<DynamicObject>::namespaced_with(cluster.client.clone(), namespace, &resource);
    let Some(object) = objects.get_opt(&workload.name).await? else {
        return Ok(None);
    };
    let value = serde_json::to_value(&object).map_err(kube::Error::SerdeError)?;
    Ok(Some(facts(workload, &value)))
}

fn facts(workload: &WorkloadRef, object: &Value) -> WorkloadFacts {
    let read = |pointer: &str| object.pointer(pointer).cloned().unwrap_or_default();
    let template: PodTemplateSpec = serde_json::from_value(read(workload.kind.template)).unwrap_or_default();
    let selector: Option<LabelSelector> = serde_json::from_value(read("/spec/selector")).ok();
    let metadata = template.metadata.unwrap_or_default();
    let labels = metadata.labels.unwrap_or_default();
    let annotations = metadata.annotations.unwrap_or_default();
    let spec = template.spec.unwrap_or_default();
    WorkloadFacts {
        name: workload.to_string(),
        account: account(&spec),
        use_label: labels.get(USE_LABEL).cloned(),
        containers: containers(&spec, &skipped(&annotations)),
        pod_identity: labels.get(POD_IDENTITY_LABEL).cloned(),
        provider_classes: surroundings::provider_classes(&spec),
        selector: selector
            .filter(|selector| *selector != LabelSelector::default())
            .and_then(|selector| Selector::try_from(selector).ok())
            .map(|selector| selector.to_string()),
        placement: Placement {
            node_selector: spec.node_selector.unwrap_or_default(),
            tolerations: spec
                .tolerations
                .iter()
                .flatten()
                .filter_map(|toleration| serde_json::to_value(toleration).ok())
                .collect(),
            annotations: annotations
                .into_iter()
                .filter(|(name, _)| name == EXPIRATION_ANNOTATION)
                .collect(),
        },
    }
}

fn account(spec: &PodSpec) -> String {
    let named = spec.service_account_name.clone().filter(|name| !name.is_empty());
    named.unwrap_or_else(|| "default".to_owned())
}

/// The names in the annotation that exempts containers.
fn skipped(annotations: &BTreeMap<String, String>) -> Vec<String> {
    let names = annotations.get(SKIP_ANNOTATION).map(String::as_str);
    let names = names.unwrap_or_default().split(';').map(str::trim);
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn containers(spec: &PodSpec, skipped: &[String]) -> Vec<ContainerFacts> {
    let all = spec
        .containers
        .iter()
        .chain(spec.init_containers.iter().flatten());
    all.map(|container| ContainerFacts {
        name: container.name.clone(),
        is_skipped: skipped.contains(&container.name),
        preset: preset(container),
    })
    .collect()
}

fn preset(container: &Container) -> BTreeMap<String, Option<String>> {
    let mut preset = BTreeMap::new();
    for variable in container.env.iter().flatten() {
        let is_empty = variable.value.as_deref().is_none_or(str::is_empty) && variable.value_from.is_none();
        if is_empty {
            continue;
        }
        if SETTINGS.contains(&variable.name.as_str()) {
            preset.insert(variable.name.clone(), variable.value.clone());
        } else if CREDENTIALS.contains(&variable.name.as_str()) {
            preset.insert(variable.name.clone(), None);
        }
    }
    preset
}

/// Makes a fact of an answer; an API that the cluster does not have has no objects.
fn found<T: Default>(answer: Result<T, kube::Error>) -> Known<T> {
    match answer {
        Ok(value) => Known::Known(value),
        Err(kube::Error::Api(status)) if status.is_not_found() => Known::Known(T::default()),
        Err(error) => Known::Unknown(one_line(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_workload_is_named_as_kubectl_names_it() {
        for (text, expected) in [
            ("deploy/orders", "deployment/orders"),
            ("deployments/orders", "deployment/orders"),
            ("sts/db", "statefulset/db"),
            ("ds/agent", "daemonset/agent"),
            ("Job/once", "job/once"),
            ("cj/nightly", "cronjob/nightly"),
            ("pod/x", "pod/x"),
        ] {
            assert_eq!(text.parse::<WorkloadRef>().unwrap().to_string(), expected);
        }
        for bad in ["orders", "svc/orders", "deploy/", "deploy/a/b", "/x"] {
            assert!(bad.parse::<WorkloadRef>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_matters_to_the_identity_is_read_from_the_template_and_no_secret() {
        let object = json!({"spec": {
            "selector": {"matchLabels": {"app": "orders"}},
            "template": {
                "metadata": {
                    "labels": {"app": "orders", USE_LABEL: "true", POD_IDENTITY_LABEL: "old"},
                    "annotations": {SKIP_ANNOTATION: "mesh; other", EXPIRATION_ANNOTATION: "7200", "x": "y"},
                },
                "spec": {
                    "serviceAccountName": "orders",
                    "nodeSelector": {"pool": "apps"},
                    "tolerations": [{"key": "only", "operator": "Exists"}],
                    "containers": [
                        {"name": "main", "env": [
                            {"name": "AZURE_CLIENT_ID", "value": "c"},
                            {"name": "AZURE_TENANT_ID", "value": ""},
                            {"name": "AZURE_CLIENT_SECRET", "value": "hunter2"},
                            {"name": "OTHER", "value": "x"}]},
                        {"name": "mesh"}],
                    "volumes": [{"name": "s", "csi": {"driver": "secrets-store.csi.k8s.io",
                        "volumeAttributes": {"secretProviderClass": "kv"}}}],
                },
            },
        }});
        let facts = facts(&"deploy/orders".parse().unwrap(), &object);
        assert_eq!(facts.account, "orders");
        assert_eq!(facts.selector.as_deref(), Some("app=orders"));
        assert_eq!(facts.provider_classes, ["kv"]);
        assert_eq!(facts.placement.node_selector["pool"], "apps");
        assert_eq!(facts.placement.tolerations[0]["key"], "only");
        assert_eq!(facts.placement.annotations.len(), 1);
        let [main, mesh] = facts.containers.as_slice() else {
            panic!("two containers")
        };
        assert!(mesh.is_skipped && !main.is_skipped);
        assert_eq!(main.preset["AZURE_CLIENT_ID"].as_deref(), Some("c"));
        assert_eq!(main.preset.get("AZURE_TENANT_ID"), None);
        assert_eq!(main.preset["AZURE_CLIENT_SECRET"], None);
        assert!(!serde_json::to_string(&facts).unwrap().contains("hunter2"));
    }

    #[test]
    fn a_pod_is_its_own_template_and_a_cron_job_has_it_deeper() {
        let pod =
            json!({"metadata": {"labels": {USE_LABEL: "true"}}, "spec": {"containers": [{"name": "c"}]}});
        let read = facts(&"pod/x".parse().unwrap(), &pod);
        assert_eq!(
            (read.account.as_str(), read.use_label.as_deref()),
            ("default", Some("true"))
        );
        let cron = json!({"spec": {"jobTemplate": {"spec": {"template": pod}}}});
        let read = facts(&"cronjob/x".parse().unwrap(), &cron);
        assert_eq!((read.use_label.as_deref(), read.selector), (Some("true"), None));
    }
}
