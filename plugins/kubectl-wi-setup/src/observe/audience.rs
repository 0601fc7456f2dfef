//! The audience that the webhook really projects, read from a server-side dry run of a labelled pod.

use crate::Workload;
use aks_shared::cluster::Cluster;
use aks_shared::identity::Audience;
use aks_shared::{injection, labels};
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use kube::Api;
use kube::api::PostParams;
use serde::Serialize;
use serde_json::json;

/// The name of the dry run's only container.
const CONTAINER: &str = "dry-run";

/// Where the audience of the federated credential is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AudienceSource {
    /// The user named it.
    Flag,
    /// The webhook projects it.
    Webhook,
    /// It could not be read; the documented one is taken.
    Default,
}

/// What a dry run told of the webhook.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ObservedAudience {
    /// The audience for the workload's tokens.
    pub(super) audience: Audience,
    /// Where it is known from.
    pub(super) source: AudienceSource,
    /// Whether a webhook gave the labelled pod a token, whatever audience was asked for.
    pub(super) is_projected: bool,
}

/// The audience for a workload's tokens. Where a dry run is refused, the documented audience is taken.
pub(super) async fn observe(
    cluster: &Cluster,
    workload: &Workload,
    namespace_exists: bool,
    account_exists: bool,
) -> ObservedAudience {
    let projected = projected(cluster, workload, namespace_exists, account_exists).await;
    choose(workload.audience.as_ref(), projected)
}

fn choose(wanted: Option<&Audience>, projected: Option<Audience>) -> ObservedAudience {
    let is_projected = projected.is_some();
    let (audience, source) = match (wanted, projected) {
        (Some(audience), _) => (audience.clone(), AudienceSource::Flag),
        (None, Some(audience)) => (audience, AudienceSource::Webhook),
        (None, None) => (Audience::from(labels::DEFAULT_AUDIENCE), AudienceSource::Default),
    };
    ObservedAudience {
        audience,
        source,
        is_projected,
    }
}

/// What the webhook projects for the account, or for a default account in its place: the audience is the
/// webhook's own setting and the same for all.
async fn projected(
    cluster: &Cluster,
    workload: &Workload,
    namespace_exists: bool,
    account_exists: bool,
) -> Option<Audience> {
    let own = (
        workload.account.namespace.as_str(),
        workload.account.name.as_str(),
    );
    let candidates = [
        account_exists.then_some(own),
        (namespace_exists && !account_exists).then_some((own.0, "default")),
        (!namespace_exists).then_some(("default", "default")),
    ];
    for (namespace, account) in candidates.into_iter().flatten() {
        let pods = Api::<Pod>::namespaced(cluster.client.clone(), namespace);
        let Some(pod) = labelled_pod(account) else {
            continue;
        };
        let dry_run = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        if let Ok(mutated) = pods.create(&dry_run, &pod).await {
            return audience_of(&mutated.spec?);
        }
    }
    None
}

/// A pod that the strictest pod security level admits; it is never persisted.
fn labelled_pod(account: &str) -> Option<Pod> {
    serde_json::from_value(json!({
        "metadata": {"generateName": "wi-setup-dry-run-", "labels": {labels::USE_LABEL: "true"}},
        "spec": {
            "serviceAccountName": account,
            "automountServiceAccountToken": false,
            "restartPolicy": "Never",
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": CONTAINER,
                "image": "dry-run",
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"cpu": "1m", "memory": "1Mi"}},
            }],
        },
    }))
    .ok()
}

/// The audience that the mutated pod's own container got; another webhook may have put a container before it.
fn audience_of(spec: &PodSpec) -> Option<Audience> {
    let own = spec
        .containers
        .iter()
        .find(|container| container.name == CONTAINER)?;
    injection::token_audience(spec, own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_audience_that_is_asked_for_does_not_hide_the_webhook() {
        let wanted = Audience::from("api://Other");
        let chosen = choose(Some(&wanted), Some(Audience::from(labels::DEFAULT_AUDIENCE)));
        assert_eq!(
            chosen,
            ObservedAudience {
                audience: wanted,
                source: AudienceSource::Flag,
                is_projected: true
            }
        );
        assert!(!choose(None, None).is_projected);
    }

    #[test]
    fn a_sidecar_that_was_put_first_hides_nothing() {
        let env = json!([{"name": injection::TOKEN_FILE, "value": "/var/run/x/token"}]);
        let spec: PodSpec = serde_json::from_value(json!({
            "containers": [{"name": "sidecar"}, {
                "name": CONTAINER, "env": env, "volumeMounts": [{"name": "t", "mountPath": "/var/run/x"}]}],
            "volumes": [{"name": "t", "projected": {"sources": [
                {"serviceAccountToken": {"path": "token", "audience": "api://custom"}}]}}],
        }))
        .unwrap();
        assert_eq!(audience_of(&spec), Some(Audience::from("api://custom")));
    }

    #[test]
    fn the_dry_run_pod_is_one() {
        assert!(labelled_pod("orders").is_some());
    }
}
