//! The cluster's side, read through its API server.

use super::injection::{self, PodShape};
use super::{AccountFacts, DryRun, Known, one_line};
use aks_shared::cluster::{Cluster, ClusterError};
use aks_shared::identity::ServiceAccountRef;
use aks_shared::labels::{
    CLIENT_ID_ANNOTATION, HELM_RELEASE_NAME_ANNOTATION, TENANT_ID_ANNOTATION, USE_LABEL,
};
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhook, MutatingWebhookConfiguration};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::{Api, ListParams};
use kube::core::{Expression, Selector, SelectorExt};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The name of the webhook in every distribution of it: the AKS add-on and the open source chart.
const WEBHOOK: &str = "mutation.azure-workload-identity.io";

/// The label that every namespace has: its name.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// A webhook that mutates labelled pods for workload identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookFacts {
    /// Its name, as `CONFIGURATION/WEBHOOK`.
    pub name: String,
    /// Its selector that leaves out the probe's pod, when one does: the API server does not ask it then.
    #[serde(default)]
    pub left_out_by: Option<String>,
}

/// Reads the service account. A cluster that cannot be asked at all is an error; a missing right is a fact.
pub async fn account(
    cluster: &Cluster,
    account: &ServiceAccountRef,
) -> Result<Known<Option<AccountFacts>>, ClusterError> {
    match cluster.service_account(account).await {
        Ok(found) => Ok(Known::Known(found.as_ref().map(read_account))),
        Err(error) if error.is_forbidden() => Ok(Known::Unknown(one_line(&error))),
        Err(error) => Err(error),
    }
}

/// Reads all else: issuer, webhooks, and what becomes of `pod` in a dry run.
pub async fn gather(
    cluster: &Cluster,
    pod: &PodShape<'_>,
) -> (Known<String>, Known<Vec<WebhookFacts>>, Known<DryRun>) {
    tokio::join!(
        issuer(cluster),
        webhooks(cluster, &pod.account.namespace),
        injection::dry_run(cluster, pod)
    )
}

async fn issuer(cluster: &Cluster) -> Known<String> {
    Known::of(cluster.discovery().await.map(|discovery| discovery.issuer.0))
}

async fn webhooks(cluster: &Cluster, namespace: &str) -> Known<Vec<WebhookFacts>> {
    let all = Api::<MutatingWebhookConfiguration>::all(cluster.client.clone());
    let list = match all.list(&ListParams::default()).await {
        Ok(list) => list,
        Err(error) => return Known::Unknown(one_line(&error)),
    };
    let hooks: Vec<(String, MutatingWebhook)> = list.items.into_iter().flat_map(named).collect();
    let mut labels = NamespaceLabels::of_name(namespace);
    if hooks.iter().any(|(_, hook)| labels.must_be_read(hook)) {
        let namespaces = Api::<Namespace>::all(cluster.client.clone());
        // Without the right to read them, what they decide counts as decided for the webhook.
        if let Ok(found) = namespaces.get_metadata(namespace).await {
            labels = NamespaceLabels {
                labels: found.metadata.labels.unwrap_or_default(),
                are_all: true,
            };
        }
    }
    let judged = hooks.into_iter().map(|(name, hook)| WebhookFacts {
        left_out_by: left_out_by(&hook, &labels).map(str::to_owned),
        name,
    });
    Known::Known(judged.collect())
}

/// The webhooks for workload identity of a configuration, with their names.
fn named(configuration: MutatingWebhookConfiguration) -> impl Iterator<Item = (String, MutatingWebhook)> {
    let name = configuration.metadata.name.unwrap_or_default();
    let hooks = configuration.webhooks.unwrap_or_default().into_iter();
    hooks
        .filter(|hook| hook.name == WEBHOOK)
        .map(move |hook| (format!("{name}/{}", hook.name), hook))
}

/// What is known of a namespace's labels.
struct NamespaceLabels {
    labels: BTreeMap<String, String>,
    are_all: bool,
}

impl NamespaceLabels {
    /// Before they are read.
    fn of_name(namespace: &str) -> Self {
        Self {
            labels: BTreeMap::from([(NAME_LABEL.to_owned(), namespace.to_owned())]),
            are_all: false,
        }
    }

    /// Whether a webhook asks for more of them than is known.
    fn must_be_read(&self, hook: &MutatingWebhook) -> bool {
        expressions(hook.namespace_selector.as_ref())
            .iter()
            .any(|expression| !self.is_known(expression))
    }

    fn is_known(&self, expression: &Expression) -> bool {
        self.are_all || key(expression) == NAME_LABEL
    }
}

/// The selector of a webhook that leaves out the probe's pod in this namespace.
fn left_out_by(hook: &MutatingWebhook, namespace: &NamespaceLabels) -> Option<&'static str> {
    let of_namespace = expressions(hook.namespace_selector.as_ref());
    let mut known = of_namespace.iter().filter(|it| namespace.is_known(it));
    if known.any(|it| !it.matches(&namespace.labels)) {
        return Some("namespaceSelector");
    }
    let of_pod = expressions(hook.object_selector.as_ref());
    let labels = injection::labels();
    of_pod
        .iter()
        .any(|it| !it.matches(&labels))
        .then_some("objectSelector")
}

/// What a selector demands; one that cannot be understood demands nothing.
fn expressions(selector: Option<&LabelSelector>) -> Vec<Expression> {
    let selector = selector.cloned().map(Selector::try_from);
    match selector {
        Some(Ok(selector)) => selector.into_iter().collect(),
        Some(Err(_)) | None => Vec::new(),
    }
}

fn key(expression: &Expression) -> &str {
    match expression {
        Expression::In(key, _)
        | Expression::NotIn(key, _)
        | Expression::Equal(key, _)
        | Expression::NotEqual(key, _)
        | Expression::Exists(key)
        | Expression::DoesNotExist(key) => key,
    }
}

fn read_account(account: &ServiceAccount) -> AccountFacts {
    let annotation = |name: &str| {
        let value = account.metadata.annotations.as_ref()?.get(name)?.clone();
        Some(value).filter(|value| !value.is_empty())
    };
    AccountFacts {
        client_id: annotation(CLIENT_ID_ANNOTATION),
        tenant_id: annotation(TENANT_ID_ANNOTATION),
        has_use_label: account
            .metadata
            .labels
            .as_ref()
            .is_some_and(|labels| labels.contains_key(USE_LABEL)),
        helm_release: annotation(HELM_RELEASE_NAME_ANNOTATION),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// What leaves out a pod of the namespace `shop`, whose labels are known or not.
    fn left_out(selectors: &Value, are_all: bool) -> Option<&'static str> {
        let mut hook = json!({"name": WEBHOOK, "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "clientConfig": {}});
        for (name, selector) in selectors.as_object().unwrap() {
            hook[name] = selector.clone();
        }
        let mut labels = NamespaceLabels::of_name("shop");
        if are_all {
            labels.labels.insert("team".to_owned(), "orders".to_owned());
            labels.are_all = true;
        }
        left_out_by(&serde_json::from_value(hook).unwrap(), &labels)
    }

    #[test]
    fn a_webhook_acts_on_what_its_selectors_select() {
        let name = |operator: &str, value: &str| {
            json!({"namespaceSelector": {"matchExpressions": [
                {"key": NAME_LABEL, "operator": operator, "values": [value]}]}})
        };
        let team = json!({"namespaceSelector": {"matchLabels": {"team": "payments"}}});
        let object = |labels: Value| json!({"objectSelector": {"matchLabels": labels}});
        let namespace = Some("namespaceSelector");
        for (selectors, all_known, only_the_name_known) in [
            (json!({}), None, None),
            (name("In", "shop"), None, None),
            (name("In", "other"), namespace, namespace),
            (name("NotIn", "shop"), namespace, namespace),
            // What is not known leaves nothing out.
            (team, namespace, None),
            (object(json!({USE_LABEL: "true"})), None, None),
            (
                object(json!({"tier": "web"})),
                Some("objectSelector"),
                Some("objectSelector"),
            ),
        ] {
            assert_eq!(left_out(&selectors, true), all_known, "{selectors}");
            assert_eq!(left_out(&selectors, false), only_the_name_known, "{selectors}");
        }
    }
}
