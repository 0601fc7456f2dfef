//! What a chart renders, judged: does the identity arrive at the pods?

use aks_shared::format::{self, FormatError};
use aks_shared::labels::{CLIENT_ID_ANNOTATION, USE_LABEL};
use serde_json::Value;
use std::collections::BTreeSet;

/// A chart's rendered objects.
#[derive(Debug, Clone, Default)]
pub struct Manifests(Vec<Value>);

/// What one identity needs of the manifests.
#[derive(Debug, Clone, Copy)]
pub struct Carrier<'a> {
    /// The service account's name.
    pub account: &'a str,
    /// The release's namespace.
    pub namespace: &'a str,
    /// The client id that the annotation must have.
    pub client_id: &'a str,
    /// Whether the account may be missing from the manifests, because somebody else makes it.
    pub account_is_foreign: bool,
}

impl Manifests {
    /// Reads the output of `helm template`.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let mut objects = Vec::new();
        let mut document = String::new();
        // No YAML content can start a line with `---`, so this is where documents end.
        for line in text.lines().chain(["---"]) {
            if line == "---" || line.starts_with("--- ") {
                if document
                    .lines()
                    .any(|line| !line.trim().is_empty() && !line.starts_with('#'))
                {
                    objects.push(format::from_yaml(&document)?);
                }
                document.clear();
            } else {
                document.push_str(line);
                document.push('\n');
            }
        }
        Ok(Self(objects))
    }

    /// All objects.
    pub fn objects(&self) -> impl Iterator<Item = &Value> {
        self.0.iter()
    }

    /// Why the identity would not reach a pod, if so.
    pub fn obstacle(&self, carrier: &Carrier<'_>) -> Option<String> {
        let pods: Vec<&Value> = self.0.iter().flat_map(pod_templates).collect();
        let account_of = |pod: &&Value| {
            pod.pointer("/spec/serviceAccountName")
                .and_then(Value::as_str)
                .unwrap_or("default")
                .to_owned()
        };
        let ours: Vec<&&Value> = pods
            .iter()
            .filter(|pod| account_of(pod) == carrier.account)
            .collect();
        if ours.is_empty() {
            let others: BTreeSet<String> = pods.iter().map(account_of).collect();
            let others = if others.is_empty() {
                "it renders no pods".to_owned()
            } else {
                format!(
                    "its pods run as {}",
                    others.into_iter().collect::<Vec<_>>().join(", ")
                )
            };
            return Some(format!(
                "no pod of the chart runs as service account {:?}: {others}",
                carrier.account
            ));
        }
        let labelled = |pod: &&&Value| {
            let labels = pod.pointer("/metadata/labels").and_then(Value::as_object);
            labels
                .and_then(|labels| labels.get(USE_LABEL))
                .and_then(Value::as_str)
                == Some("true")
        };
        if !ours.iter().any(labelled) {
            return Some(format!(
                "no pod that runs as service account {:?} has the label {USE_LABEL}: \"true\", without which the \
                 webhook does not see it",
                carrier.account
            ));
        }
        self.account_obstacle(carrier)
    }

    /// Whether a service account is among the objects; without a namespace it is in the release's.
    pub fn has_account(&self, name: &str, namespace: &str) -> bool {
        self.account(name, namespace).is_some()
    }

    fn account(&self, name: &str, namespace: &str) -> Option<&Value> {
        self.0.iter().find(|object| {
            let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
            text("/kind") == Some("ServiceAccount")
                && text("/metadata/name") == Some(name)
                && text("/metadata/namespace").is_none_or(|found| found == namespace)
        })
    }

    fn account_obstacle(&self, carrier: &Carrier<'_>) -> Option<String> {
        let Some(account) = self.account(carrier.account, carrier.namespace) else {
            return (!carrier.account_is_foreign).then(|| {
                format!(
                    "the chart renders no service account {:?}: let it, or set serviceAccountOwner: setup",
                    carrier.account
                )
            });
        };
        let annotations = account
            .pointer("/metadata/annotations")
            .and_then(Value::as_object);
        match annotations.and_then(|annotations| annotations.get(CLIENT_ID_ANNOTATION)) {
            Some(Value::String(found)) if found == carrier.client_id => None,
            Some(found) => Some(format!(
                "service account {:?} comes out with the annotation {CLIENT_ID_ANNOTATION}: {found}, which is not \
                 this identity's client id",
                carrier.account
            )),
            None => Some(format!(
                "service account {:?} comes out without the annotation {CLIENT_ID_ANNOTATION}: set it in overrides",
                carrier.account
            )),
        }
    }
}

/// All pods and pod templates in an object, whatever its kind.
fn pod_templates(object: &Value) -> Vec<&Value> {
    let mut found = Vec::new();
    if object.pointer("/spec/containers").is_some_and(Value::is_array) {
        found.push(object);
        return found;
    }
    match object {
        Value::Object(members) => found.extend(members.values().flat_map(pod_templates)),
        Value::Array(items) => found.extend(items.iter().flat_map(pod_templates)),
        _ => {}
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const RENDERED: &str = r#"---
# Source: orders/templates/account.yaml
apiVersion: v1
kind: ServiceAccount
metadata:
  name: orders
  annotations:
    azure.workload.identity/client-id: "abc"
---
# Source: orders/templates/deployment.yaml
apiVersion: apps/v1
kind: Deployment
metadata: {name: orders}
spec:
  template:
    metadata:
      labels: {app: orders, azure.workload.identity/use: "true"}
    spec:
      serviceAccountName: orders
      containers: [{name: a, image: b}]
---
# Source: orders/templates/empty.yaml
"#;

    const CARRIER: Carrier<'_> = Carrier {
        account: "orders",
        namespace: "shop",
        client_id: "abc",
        account_is_foreign: false,
    };

    fn obstacle(text: &str, carrier: &Carrier<'_>) -> String {
        Manifests::parse(text)
            .unwrap()
            .obstacle(carrier)
            .unwrap_or_default()
    }

    #[test]
    fn a_chart_that_carries_the_identity_has_no_obstacle() {
        assert_eq!(obstacle(RENDERED, &CARRIER), "");
        let cron = RENDERED
            .replace("kind: Deployment", "kind: CronJob")
            .replace("spec:\n  template:", "spec:\n  jobTemplate: {}\n  template:");
        assert_eq!(obstacle(&cron, &CARRIER), "");
    }

    #[test]
    fn each_missing_link_is_named() {
        for (from, to, expected) in [
            (
                "serviceAccountName: orders",
                "serviceAccountName: other",
                "its pods run as other",
            ),
            ("serviceAccountName: orders", "x: y", "its pods run as default"),
            ("use: \"true\"", "use: true", "has the label"),
            ("client-id: \"abc\"", "client-id: \"xyz\"", "not this identity's"),
            (
                "azure.workload.identity/client-id",
                "other",
                "without the annotation",
            ),
            (
                "kind: ServiceAccount",
                "kind: ConfigMap",
                "renders no service account",
            ),
        ] {
            let text = RENDERED.replace(from, to);
            assert!(
                obstacle(&text, &CARRIER).contains(expected),
                "{to}: {}",
                obstacle(&text, &CARRIER)
            );
        }
    }

    #[test]
    fn an_account_that_somebody_else_makes_need_not_be_rendered() {
        let text = RENDERED.replace("kind: ServiceAccount", "kind: ConfigMap");
        assert_eq!(
            obstacle(
                &text,
                &Carrier {
                    account_is_foreign: true,
                    ..CARRIER
                }
            ),
            ""
        );
    }
}
