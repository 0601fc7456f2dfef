//! Key vaults as resources: settings, access policies, and metadata of secrets without their values.

mod write;

use axum::http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::error::ArmError;
use super::router::Place;
use super::{Ask, page};
use crate::http::Reply;
use crate::state::{Secret, State, Vault, key, within};

pub(super) use write::check_availability;

pub(super) const KIND: &str = "Microsoft.KeyVault/vaults";

/// A vault as the resource provider shows it.
pub(super) fn document(state: &State, vault: &Vault) -> Value {
    let tenant = vault.tenant.unwrap_or(state.tenant().id);
    let policies: Vec<Value> = vault
        .access_policies
        .iter()
        .map(|(object_id, secrets)| policy(tenant, *object_id, secrets))
        .collect();
    let mut properties = json!({
        "sku": {"family": "A", "name": "standard"},
        "tenantId": tenant,
        "accessPolicies": policies,
        "enabledForDeployment": false,
        "enabledForDiskEncryption": false,
        "enabledForTemplateDeployment": false,
        "enableSoftDelete": true,
        "softDeleteRetentionInDays": 90,
        "enableRbacAuthorization": vault.rbac,
        "vaultUri": vault.uri,
        "provisioningState": "Succeeded",
        "publicNetworkAccess": if vault.public_network_access { "Enabled" } else { "Disabled" },
    });
    if let Some(ips) = &vault.allowed_ips {
        let rules: Vec<Value> = ips
            .iter()
            .map(|ip| json!({"value": format!("{ip}/32")}))
            .collect();
        properties["networkAcls"] = json!({
            "bypass": "AzureServices", "defaultAction": "Deny", "ipRules": rules, "virtualNetworkRules": [],
        });
    }
    json!({
        "id": vault.id,
        "name": vault.name,
        "type": KIND,
        "location": vault.location,
        "tags": vault.tags,
        "properties": properties,
    })
}

fn policy(tenant: Uuid, object_id: Uuid, secrets: &[String]) -> Value {
    json!({
        "tenantId": tenant,
        "objectId": object_id,
        "permissions": {"keys": [], "secrets": secrets, "certificates": [], "storage": []},
    })
}

pub(super) fn list(ask: Ask<'_>, scope: &str) -> Result<Reply, ArmError> {
    let state = ask.world.state();
    let action = format!("{KIND}/read");
    let readable = ask.readable(&state, &action, scope)?;
    let items = state
        .vaults
        .values()
        .filter(|one| within(&one.id, scope) && readable(&one.id))
        .map(|one| document(&state, one))
        .collect();
    drop(readable);
    drop(state);
    page::reply(ask, items)
}

fn find<'a>(ask: Ask<'_>, state: &'a State, place: Place<'_>, action: &str) -> Result<&'a Vault, ArmError> {
    let id = place.id(KIND);
    ask.require(state, &format!("{KIND}/{action}"), &id)?;
    place.require_group(state)?;
    state
        .vaults
        .get(&key(&id))
        .ok_or_else(|| ArmError::resource(KIND, place.name, place.group))
}

pub(super) fn one(ask: Ask<'_>, place: Place<'_>) -> Result<Reply, ArmError> {
    match ask.call.method {
        Method::GET => {}
        Method::PUT => return write::put(ask, place),
        Method::PATCH => return write::patch(ask, place),
        Method::DELETE => return write::delete(ask, place),
        ref other => return Err(ArmError::method(other.as_str())),
    }
    let state = ask.world.state();
    let vault = find(ask, &state, place, "read")?;
    Ok(Reply::ok(document(&state, vault)))
}

fn secret_document(vault: &Vault, secret: &Secret) -> Value {
    let uri = format!("{}secrets/{}", vault.uri, secret.name);
    let current = secret.current();
    json!({
        "id": format!("{}/secrets/{}", vault.id, secret.name),
        "name": secret.name,
        "type": "Microsoft.KeyVault/vaults/secrets",
        "location": vault.location,
        "properties": {
            "attributes": {
                "enabled": current.is_some_and(|version| version.enabled),
                "created": secret.versions.first().map(|version| version.created / 1000),
                "updated": current.map(|version| version.created / 1000),
            },
            "secretUri": uri,
            "secretUriWithVersion": current.map(|version| format!("{uri}/{}", version.id)),
        },
    })
}

pub(super) fn secrets(ask: Ask<'_>, place: Place<'_>) -> Result<Reply, ArmError> {
    let state = ask.world.state();
    let vault = find(ask, &state, place, "secrets/read")?;
    let items = vault
        .secrets
        .values()
        .map(|secret| secret_document(vault, secret))
        .collect();
    drop(state);
    page::reply(ask, items)
}

pub(super) fn secret(ask: Ask<'_>, place: Place<'_>, name: &str) -> Result<Reply, ArmError> {
    match ask.call.method {
        Method::GET => {}
        Method::PUT | Method::PATCH => return write::secret(ask, place, name),
        ref other => return Err(ArmError::method(other.as_str())),
    }
    let state = ask.world.state();
    let vault = find(ask, &state, place, "secrets/read")?;
    vault
        .secrets
        .get(&key(name))
        .map(|secret| Reply::ok(secret_document(vault, secret)))
        .ok_or_else(|| {
            ArmError::resource(
                &format!("{KIND}/secrets"),
                &format!("{}/{name}", place.name),
                place.group,
            )
        })
}

/// Access policies: `add`, `replace` or `remove`.
pub(super) fn access_policies(ask: Ask<'_>, place: Place<'_>, kind: &str) -> Result<Reply, ArmError> {
    if ask.call.method != Method::PUT {
        return Err(ArmError::method(ask.call.method.as_str()));
    }
    let mut state = ask.world.state();
    find(ask, &state, place, "accessPolicies/write")?;
    let body = ask.body()?;
    let invalid = |message: &str| ArmError::bad_request("BadRequest", message.to_owned());
    let given = body["properties"]["accessPolicies"]
        .as_array()
        .ok_or_else(|| invalid("accessPolicies is required."))?;
    let own = state.tenant().id;
    let vault = state
        .vaults
        .get_mut(&key(&place.id(KIND)))
        .ok_or_else(|| ArmError::resource(KIND, place.name, place.group))?;
    let tenant = vault.tenant.unwrap_or(own);
    let kind = kind.to_lowercase();
    for entry in given {
        let object_id = entry["objectId"].as_str().and_then(|id| Uuid::parse_str(id).ok());
        let object_id = object_id.ok_or_else(|| invalid("objectId must be a GUID."))?;
        if entry["tenantId"].as_str() != Some(tenant.to_string().as_str()) {
            return Err(invalid("An access policy's tenantId must be that of the vault."));
        }
        let secrets = entry["permissions"]["secrets"].as_array().into_iter().flatten();
        let secrets: Vec<String> = secrets.filter_map(Value::as_str).map(str::to_lowercase).collect();
        let known = vault.access_policies.entry(object_id).or_default();
        match kind.as_str() {
            "add" => {
                known.extend(secrets);
                known.sort();
                known.dedup();
            }
            "replace" => *known = secrets,
            "remove" => known.retain(|permission| !secrets.contains(permission)),
            _ => return Err(invalid("The operation must be add, replace or remove.")),
        }
        if known.is_empty() {
            vault.access_policies.remove(&object_id);
        }
    }
    let policies: Vec<Value> = vault
        .access_policies
        .iter()
        .map(|(id, secrets)| policy(tenant, *id, secrets))
        .collect();
    Ok(Reply::ok(json!({
        "id": format!("{}/accessPolicies/", vault.id),
        "type": "Microsoft.KeyVault/vaults/accessPolicies",
        "properties": {"accessPolicies": policies},
    })))
}
