//! The cluster's side, read through its API server.

use super::injection::PodShape;
use super::{AccountFacts, DryRun, Known, injection, one_line};
use aks_shared::cluster::{Cluster, ClusterError};
use aks_shared::identity::ServiceAccountRef;
use aks_shared::labels::{
    CLIENT_ID_ANNOTATION, HELM_RELEASE_NAME_ANNOTATION, TENANT_ID_ANNOTATION, USE_LABEL,
};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, ListParams};

/// The name of the webhook in every distribution of it: the AKS add-on and the open source chart.
const WEBHOOK: &str = "mutation.azure-workload-identity.io";

/// Reads the service account. A cluster that cannot be asked at all is an error; a missing right is a fact.
pub async fn account(
    cluster: &Cluster,
    account: &ServiceAccountRef,
) -> Result<Known<Option<AccountFacts>>, ClusterError> {
    match cluster.service_account(account).await {
        Ok(found) => Ok(Known::Known(found.as_ref().map(read_account))),
        Err(error) if is_forbidden(&error) => Ok(Known::Unknown(one_line(&error))),
        Err(error) => Err(error),
    }
}

/// Reads all else: issuer, webhooks, and what becomes of `pod` in a dry run.
pub async fn gather(
    cluster: &Cluster,
    pod: &PodShape<'_>,
) -> (Known<String>, Known<Vec<String>>, Known<DryRun>) {
    tokio::join!(
        issuer(cluster),
        webhooks(cluster),
        injection::dry_run(cluster, pod)
    )
}

async fn issuer(cluster: &Cluster) -> Known<String> {
    Known::of(cluster.discovery().await.map(|discovery| discovery.issuer.0))
}

async fn webhooks(cluster: &Cluster) -> Known<Vec<String>> {
    let all = Api::<MutatingWebhookConfiguration>::all(cluster.client.clone());
    let found = all.list(&ListParams::default()).await.map(|list| {
        let named = |configuration: MutatingWebhookConfiguration| {
            let name = configuration.metadata.name.unwrap_or_default();
            let hooks = configuration.webhooks.unwrap_or_default().into_iter();
            hooks
                .filter(|hook| hook.name == WEBHOOK)
                .map(move |hook| format!("{name}/{}", hook.name))
        };
        list.items.into_iter().flat_map(named).collect()
    });
    Known::of(found)
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

fn is_forbidden(error: &ClusterError) -> bool {
    match error {
        ClusterError::Request { source, .. } => {
            matches!(&**source, kube::Error::Api(status) if status.is_forbidden())
        }
        ClusterError::Config { .. } => false,
    }
}
