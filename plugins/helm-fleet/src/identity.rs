//! The identities of a target: the fleet file's words in those of the setup library, and what templates see.

use crate::fleet::{ClusterSpec, Fleet, IdentitySpec, ServiceAccountOwner};
use aks_shared::azure::{ArmId, ArmIdError};
use aks_shared::identity::{Audience, NameError, SecretRef, ServiceAccountRef};
use kubectl_wi_setup::{AccountOwner, Observed, Outcome, Workload};
use serde_json::{Map, Value, json};

/// Client id of the identities that a rendering is made with: its shape is right, and no identity has it.
pub const PLACEHOLDER_CLIENT_ID: &str = "00000000-0000-4000-8000-00000c11e47d";
/// Any other id of such an identity.
const PLACEHOLDER_ID: &str = "00000000-0000-4000-8000-0000000001d0";

/// The fleet file says something of an identity that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A name is wrong.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The cluster's ARM id is wrong.
    #[error("the cluster's id is no ARM id")]
    Id(#[from] ArmIdError),
}

/// The workload that the setup library is asked for.
pub fn workload(
    fleet: &Fleet,
    cluster: &ClusterSpec,
    spec: &IdentitySpec,
) -> Result<Workload, IdentityError> {
    let account = account(fleet, spec)?;
    let mut workload = Workload::new(account);
    workload.secrets = secrets(spec)?;
    workload.cluster_id = cluster.id.as_deref().map(str::parse::<ArmId>).transpose()?;
    if let Some(name) = &spec.name {
        workload.identity_name.clone_from(name);
    }
    workload.identity_group.clone_from(&spec.group);
    workload.audience = spec.audience.clone().map(Audience);
    workload.account_owner = match spec.service_account_owner {
        ServiceAccountOwner::Auto => AccountOwner::Auto,
        ServiceAccountOwner::Setup => AccountOwner::Setup,
        ServiceAccountOwner::Chart => AccountOwner::Chart,
    };
    // Only the account that the chart will render may be made for the release to adopt.
    if spec.service_account_owner == ServiceAccountOwner::Auto {
        workload.helm_release = Some(fleet.release.name.clone());
    }
    workload.tags.clone_from(&spec.tags);
    Ok(workload)
}

/// The service account of an identity.
pub fn account(fleet: &Fleet, spec: &IdentitySpec) -> Result<ServiceAccountRef, NameError> {
    ServiceAccountRef::new(fleet.release.namespace.clone(), spec.service_account.clone())
}

/// The secrets of an identity.
pub fn secrets(spec: &IdentitySpec) -> Result<Vec<SecretRef>, NameError> {
    spec.secrets.iter().map(|secret| secret.parse()).collect()
}

/// What templates see of an identity before anything was looked at: every name, with values of the right shape.
pub fn placeholder(spec: &IdentitySpec) -> Value {
    let vaults = spec.secrets.iter().filter_map(|secret| secret.parse::<SecretRef>().ok()).map(|secret| {
        let name = vault_key(&secret.vault);
        let vault = json!({
            "name": name,
            "id": format!("/subscriptions/{PLACEHOLDER_ID}/resourceGroups/g/providers/Microsoft.KeyVault/vaults/{name}"),
            "uri": format!("https://{name}.vault.invalid/"),
            "tenantId": PLACEHOLDER_ID,
        });
        (name, vault)
    });
    variables(
        PLACEHOLDER_CLIENT_ID,
        PLACEHOLDER_ID,
        PLACEHOLDER_ID,
        "placeholder",
        &vaults.collect(),
    )
}

/// What templates see of an identity for a rendering: what the clusters share is real, and the ids that differ
/// are placeholders, so that one rendering stands for many clusters.
pub fn for_rendering(observed: &Observed) -> Value {
    variables(
        PLACEHOLDER_CLIENT_ID,
        PLACEHOLDER_ID,
        &observed.tenant_id,
        "placeholder",
        &vaults(observed),
    )
}

/// What templates see of an identity that exists already; none when it is yet to be made.
pub fn known(observed: &Observed) -> Option<Value> {
    let identity = observed.identity.as_ref()?;
    Some(variables(
        &identity.client_id,
        &identity.principal_id,
        &identity.tenant_id,
        observed.identity_id.as_str(),
        &vaults(observed),
    ))
}

/// What templates see of an identity that was set up.
pub fn established(observed: &Observed, outcome: &Outcome) -> Value {
    variables(
        &outcome.client_id,
        &outcome.principal_id,
        &outcome.tenant_id,
        observed.identity_id.as_str(),
        &vaults(observed),
    )
}

fn variables(
    client_id: &str,
    principal_id: &str,
    tenant_id: &str,
    id: &str,
    vaults: &Map<String, Value>,
) -> Value {
    json!({
        "clientId": client_id,
        "principalId": principal_id,
        "tenantId": tenant_id,
        "identityId": id,
        "identityName": id.rsplit('/').next().unwrap_or_default(),
        "vaults": vaults,
    })
}

fn vaults(observed: &Observed) -> Map<String, Value> {
    let of = |observed: &kubectl_wi_setup::ObservedVault| {
        let vault = &observed.vault;
        let content = json!({"name": vault.name, "id": vault.id.as_str(), "uri": vault.uri, "tenantId": vault.tenant_id});
        (vault_key(&observed.named), content)
    };
    observed.vaults.iter().map(of).collect()
}

/// The name by which templates know a vault: as the file writes it, without the rest of an ARM id.
fn vault_key(named: &str) -> String {
    named.rsplit('/').next().unwrap_or(named).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(value: Value) -> IdentitySpec {
        serde_json::from_value(value).unwrap()
    }

    fn fleet() -> Fleet {
        serde_json::from_value(json!({"apiVersion": "helmfleet/v1alpha1", "kind": "Fleet",
            "release": {"name": "shop-orders", "namespace": "shop"}, "chart": {"ref": "x"}}))
        .unwrap()
    }

    fn cluster() -> ClusterSpec {
        serde_json::from_value(json!({"name": "weu-1", "context": "aks-weu-1"})).unwrap()
    }

    #[test]
    fn only_an_account_that_the_chart_renders_is_made_for_the_release() {
        for (owner, release) in [("auto", Some("shop-orders")), ("setup", None), ("chart", None)] {
            let spec = spec(json!({"serviceAccount": "orders", "serviceAccountOwner": owner}));
            let workload = workload(&fleet(), &cluster(), &spec).unwrap();
            assert_eq!(workload.helm_release.as_deref(), release, "{owner}");
        }
    }

    #[test]
    fn placeholders_have_every_name_that_templates_may_use() {
        let id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/kv-other";
        let spec = spec(json!({"serviceAccount": "a", "secrets": ["kv-central/x", format!("{id}/y")]}));
        let value = placeholder(&spec);
        assert_eq!(value["vaults"]["kv-central"]["name"], "kv-central");
        assert_eq!(value["vaults"]["kv-other"]["name"], "kv-other");
        assert_eq!(value["clientId"].as_str().map(str::len), Some(36));
    }
}
