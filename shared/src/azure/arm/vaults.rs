//! Key vaults and the metadata of their secrets, from the control plane: no value passes here.

use super::request::parse;
use super::{Arm, ArmError, ArmRequest};
use crate::azure::ArmId;
use serde::Deserialize;
use serde_json::{Value, json};

/// Versions before this one retire in February 2027 (access-control-default).
const API_VERSION: &str = "2026-02-01";
const TYPE: &str = "Microsoft.KeyVault/vaults";

/// A key vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vault {
    /// Its ARM id.
    pub id: ArmId,
    /// Its name.
    pub name: String,
    /// Its region.
    pub location: String,
    /// Where its secrets are read; never derived from the name.
    pub uri: String,
    /// The tenant whose tokens it accepts.
    pub tenant_id: String,
    /// Whether roles rule it; else access policies do, which cannot name a secret.
    pub uses_roles: bool,
    /// Object ids whose access policy lets them read every secret; without meaning where roles rule.
    pub secret_readers: Vec<String>,
}

/// What the control plane knows of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretMetadata {
    /// Its ARM id.
    pub id: ArmId,
    /// Whether it can be read.
    pub enabled: bool,
}

#[derive(Deserialize)]
struct Body {
    id: ArmId,
    name: String,
    #[serde(default)]
    location: String,
    properties: Properties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    vault_uri: String,
    tenant_id: String,
    // Null and absent mean access policies, like false.
    #[serde(default)]
    enable_rbac_authorization: Option<bool>,
    #[serde(default)]
    access_policies: Option<Vec<AccessPolicy>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AccessPolicy {
    object_id: String,
    // A policy for a user through an application does not hold for the object alone.
    #[serde(default)]
    application_id: Option<String>,
    #[serde(default)]
    permissions: PolicyPermissions,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PolicyPermissions {
    secrets: Option<Vec<String>>,
}

impl AccessPolicy {
    fn reads_secrets(&self) -> bool {
        let reads = |permission: &String| ["get", "all"].contains(&permission.to_ascii_lowercase().as_str());
        self.application_id.is_none() && self.permissions.secrets.iter().flatten().any(reads)
    }
}

#[derive(Deserialize)]
struct SecretBody {
    id: ArmId,
    #[serde(default)]
    properties: SecretProperties,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SecretProperties {
    attributes: SecretAttributes,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SecretAttributes {
    enabled: Option<bool>,
}

fn read(value: Value) -> Result<Vault, ArmError> {
    let body: Body = parse(value, "key vault")?;
    Ok(Vault {
        id: body.id,
        name: body.name,
        location: body.location,
        uri: body.properties.vault_uri,
        tenant_id: body.properties.tenant_id,
        uses_roles: body.properties.enable_rbac_authorization.unwrap_or(false),
        secret_readers: body
            .properties
            .access_policies
            .into_iter()
            .flatten()
            .filter(AccessPolicy::reads_secrets)
            .map(|policy| policy.object_id)
            .collect(),
    })
}

impl Arm {
    /// A vault, or none.
    pub async fn vault(&self, id: &ArmId) -> Result<Option<Vault>, ArmError> {
        let found = self.send_opt(&ArmRequest::get(id.as_str(), API_VERSION)).await?;
        found.map(|answer| read(answer.body)).transpose()
    }

    /// All vaults of a subscription that the caller may read.
    pub async fn vaults(&self, subscription: &str) -> Result<Vec<Vault>, ArmError> {
        let path = format!("/subscriptions/{subscription}/providers/{TYPE}");
        self.list(ArmRequest::get(path, API_VERSION))
            .await?
            .into_iter()
            .map(read)
            .collect()
    }

    /// Lets an identity read every secret of a vault that access policies rule; what others may do stays. Answers the
    /// request id.
    pub async fn let_read_all_secrets(
        &self,
        vault: &ArmId,
        tenant_id: &str,
        principal_id: &str,
    ) -> Result<Option<String>, ArmError> {
        let policy = json!({
            "tenantId": tenant_id, "objectId": principal_id, "permissions": {"secrets": ["get"]},
        });
        let body = json!({"properties": {"accessPolicies": [policy]}});
        let request = ArmRequest::put(format!("{vault}/accessPolicies/add"), API_VERSION, body);
        Ok(self.send(&request).await?.request_id)
    }

    /// The names of a vault's secrets. Nobody's right to read values is needed.
    pub async fn secret_names(&self, vault: &ArmId) -> Result<Vec<String>, ArmError> {
        let found = self
            .list(ArmRequest::get(format!("{vault}/secrets"), API_VERSION))
            .await?;
        found
            .into_iter()
            .map(|value| parse::<SecretBody>(value, "secret").map(|secret| secret.id.name().to_owned()))
            .collect()
    }

    /// The metadata of a secret, or none.
    pub async fn secret(&self, vault: &ArmId, name: &str) -> Result<Option<SecretMetadata>, ArmError> {
        let found = self
            .send_opt(&ArmRequest::get(format!("{vault}/secrets/{name}"), API_VERSION))
            .await?;
        let Some(answer) = found else { return Ok(None) };
        let body: SecretBody = answer.parse("secret")?;
        Ok(Some(SecretMetadata {
            id: body.id,
            enabled: body.properties.attributes.enabled.unwrap_or(true),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_policies_of_the_object_itself_read_secrets() {
        let policy = |id: &str, secrets: Value| json!({"objectId": id, "permissions": {"secrets": secrets}});
        let mut through_an_application = policy("c", json!(["get"]));
        through_an_application["applicationId"] = json!("app");
        let vault = read(json!({
            "id": "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/kv", "name": "kv",
            "properties": {"vaultUri": "https://kv.vault.azure.net/", "tenantId": "t", "accessPolicies": [
                policy("a", json!(["List", "Get"])), policy("b", json!(["list"])), through_an_application,
                policy("d", json!(["all"])), {"objectId": "e", "permissions": {}}]},
        }))
        .unwrap();
        assert_eq!(vault.secret_readers, ["a", "d"]);
    }

    #[test]
    fn only_a_true_switch_means_roles() {
        let id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/kv";
        for (switch, roles) in [(json!(true), true), (json!(false), false), (Value::Null, false)] {
            let vault = read(json!({"id": id, "name": "kv", "properties": {
                "vaultUri": "https://kv.vault.azure.net/", "tenantId": "t", "enableRbacAuthorization": switch}}))
            .unwrap();
            assert_eq!(vault.uses_roles, roles);
        }
    }
}
