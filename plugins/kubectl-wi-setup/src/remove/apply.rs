//! Takes away what a removal says, one thing after the other, and looks nothing up.

use super::plan::{Part, Removal};
use crate::apply::{ApplyError, Writer};
use aks_shared::cluster::Cluster;
use aks_shared::identity::ServiceAccountRef;
use aks_shared::labels;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::{Value, json};

/// Carries out a removal; an empty one does nothing. What is gone already is as good.
///
/// # Errors
/// When Azure or the cluster refuses, and when the command is asked to stop: nothing further is taken away then.
pub(super) async fn apply(
    writer: &mut Writer<'_>,
    cluster: &Cluster,
    removal: &Removal,
) -> Result<(), ApplyError> {
    for part in &removal.removed {
        take_away(writer, cluster, &removal.account, part).await?;
    }
    Ok(())
}

async fn take_away(
    writer: &mut Writer<'_>,
    cluster: &Cluster,
    account: &ServiceAccountRef,
    part: &Part,
) -> Result<(), ApplyError> {
    match part {
        Part::Account { uid } => delete_account(writer, cluster, account, uid).await,
        Part::Annotation { helm_release, .. } => {
            release_fields(writer, cluster, account, helm_release.as_deref()).await
        }
        Part::Assignment { id, scope } => {
            writer.begin(format!("role assignment at {scope}"))?;
            let deleted = writer.arm.delete_role_assignment(id).await;
            let request_id =
                deleted.map_err(|source| writer.azure_error("role assignment at", scope, source))?;
            writer.record("role assignment", "delete", scope.clone(), request_id);
            Ok(())
        }
        Part::Credential { identity, name, .. } => {
            writer.begin(format!("federated credential {name}"))?;
            let deleted = writer.arm.delete_federated_credential(identity, name).await;
            let request_id =
                deleted.map_err(|source| writer.azure_error("federated credential", name, source))?;
            writer.record("federated credential", "delete", name.clone(), request_id);
            Ok(())
        }
        Part::Identity { id } => {
            let name = id.name().to_owned();
            writer.begin(format!("managed identity {name}"))?;
            let deleted = writer.arm.delete_identity(id).await;
            let request_id =
                deleted.map_err(|source| writer.azure_error("managed identity", &name, source))?;
            writer.record("managed identity", "delete", name, request_id);
            Ok(())
        }
    }
}

/// Deletes the account that was looked at; another one of its name stays.
async fn delete_account(
    writer: &mut Writer<'_>,
    cluster: &Cluster,
    account: &ServiceAccountRef,
    uid: &str,
) -> Result<(), ApplyError> {
    let name = account.to_string();
    writer.begin(format!("service account {name}"))?;
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    match accounts(cluster, account).delete(&account.name, &params).await {
        Ok(_) => writer.record("service account", "delete", name, None),
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        Err(source) => return Err(writer.cluster_error("service account", &name, source)),
    }
    Ok(())
}

/// Takes back the fields that are ours: an apply without them ends our part in them.
async fn release_fields(
    writer: &mut Writer<'_>,
    cluster: &Cluster,
    account: &ServiceAccountRef,
    helm_release: Option<&str>,
) -> Result<(), ApplyError> {
    let name = account.to_string();
    writer.begin(format!("service account {name}"))?;
    // An apply would make an account that is gone by now.
    let found = accounts(cluster, account).get_opt(&account.name).await;
    if found
        .map_err(|source| writer.cluster_error("service account", &name, source))?
        .is_none()
    {
        return Ok(());
    }
    let params = PatchParams::apply(labels::FIELD_MANAGER).force();
    let patch = Patch::Apply(without_ours(account, helm_release));
    let written = accounts(cluster, account)
        .patch(&account.name, &params, &patch)
        .await;
    written.map_err(|source| writer.cluster_error("service account", &name, source))?;
    writer.record("service account", "update", name, None);
    Ok(())
}

/// The account without our fields; what Helm knows its release by stays.
fn without_ours(account: &ServiceAccountRef, helm_release: Option<&str>) -> Value {
    let mut metadata = json!({"name": account.name, "namespace": account.namespace});
    if let Some((namespace, release)) = helm_release.and_then(|release| release.split_once('/')) {
        metadata["labels"] = json!({labels::MANAGED_BY_LABEL: labels::MANAGED_BY_HELM});
        metadata["annotations"] = json!({
            labels::HELM_RELEASE_NAME_ANNOTATION: release,
            labels::HELM_RELEASE_NAMESPACE_ANNOTATION: namespace,
        });
    }
    json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
}

fn accounts(cluster: &Cluster, account: &ServiceAccountRef) -> Api<ServiceAccount> {
    Api::namespaced(cluster.client.clone(), &account.namespace)
}
