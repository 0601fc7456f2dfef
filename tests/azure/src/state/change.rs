//! Settings that change while the simulator runs.

use std::net::IpAddr;

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::{Value, json};

use super::vault::is_enabled;
use super::{Cluster, State, Tags, Vault, key};
use crate::clock::Millis;
use crate::seed::{self, SeedError};

/// What may change of a cluster.
#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct ClusterChange {
    tags: Option<Tags>,
    fqdn: Option<String>,
    issuer_url: Option<String>,
    oidc_issuer_enabled: Option<bool>,
    workload_identity_enabled: Option<bool>,
    power_state: Option<String>,
    kubernetes_version: Option<String>,
    node_resource_group: Option<String>,
}

/// What may change of a vault.
#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct VaultChange {
    tags: Option<Tags>,
    tenant: Option<uuid::Uuid>,
    enable_rbac_authorization: Option<bool>,
    public_network_access: Option<String>,
    /// Null: everybody.
    allowed_ips: Given<Vec<IpAddr>>,
    access_policies: Option<Vec<seed::AccessPolicy>>,
    /// New secrets, or new versions of those that are there.
    secrets: Vec<seed::Secret>,
}

/// What may change of a secret: settings of its current version, or a new one.
#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct SecretChange {
    value: Option<String>,
    enabled: Option<bool>,
    not_before: Given<i64>,
    expires: Given<i64>,
}

/// A field that tells null from absent.
#[derive(Debug, Default)]
enum Given<T> {
    #[default]
    Absent,
    Set(Option<T>),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Given<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Option::deserialize(from).map(Self::Set)
    }
}

impl<T> Given<T> {
    fn put(self, to: &mut Option<T>) {
        if let Self::Set(value) = self {
            *to = value;
        }
    }
}

fn parse<T: DeserializeOwned>(id: &str, fields: &Value) -> Result<T, SeedError> {
    serde_json::from_value(fields.clone()).map_err(|source| SeedError::Parse {
        path: format!("the change of {id}"),
        source,
    })
}

fn set<T>(to: &mut T, from: Option<T>) {
    if let Some(value) = from {
        *to = value;
    }
}

impl State {
    /// Changes what has this id.
    pub(crate) fn change(&mut self, id: &str, fields: &Value, now: Millis) -> Result<(), SeedError> {
        let key = key(id);
        if let Some(cluster) = self.clusters.get_mut(&key) {
            change_cluster(cluster, parse(id, fields)?);
            cluster.etag = self.ids.next(&format!("etag/{key}"));
            return Ok(());
        }
        if self.vaults.contains_key(&key) {
            return self.change_vault(&key, parse(id, fields)?, now);
        }
        let missing = || SeedError::Dangling {
            what: "the change".to_owned(),
            missing: id.to_owned(),
        };
        let (vault, name) = key.rsplit_once("/secrets/").ok_or_else(missing)?;
        let change: SecretChange = parse(id, fields)?;
        let secret = self
            .vaults
            .get_mut(vault)
            .and_then(|vault| vault.secrets.get_mut(name));
        let secret = secret.ok_or_else(missing)?;
        let mut version = secret.versions.last().cloned().ok_or_else(missing)?;
        set(&mut version.enabled, change.enabled);
        change.not_before.put(&mut version.not_before);
        change.expires.put(&mut version.expires);
        version.updated = now;
        if let Some(value) = change.value {
            let id = self.ids.next(&format!("secret/{vault}/{name}"));
            version.id = id.simple().to_string();
            (version.value, version.created) = (value, now);
        } else {
            secret.versions.pop();
        }
        secret.versions.push(version);
        Ok(())
    }

    fn change_vault(&mut self, key: &str, change: VaultChange, now: Millis) -> Result<(), SeedError> {
        let policies = change
            .access_policies
            .as_deref()
            .map(|policies| self.access_policies(key, policies))
            .transpose()?;
        let mut versions = Vec::new();
        for secret in &change.secrets {
            versions.push((secret.name.clone(), self.version(key, secret, now)));
        }
        let Some(vault) = self.vaults.get_mut(key) else {
            return Ok(());
        };
        for (name, version) in versions {
            vault.secret(&name).versions.push(version);
        }
        set(&mut vault.access_policies, policies);
        change_vault(vault, change);
        Ok(())
    }
}

fn change_vault(vault: &mut Vault, change: VaultChange) {
    set(&mut vault.tags, change.tags);
    set(&mut vault.rbac, change.enable_rbac_authorization);
    change.allowed_ips.put(&mut vault.allowed_ips);
    let access = change.public_network_access.as_deref().map(is_enabled);
    set(&mut vault.public_network_access, access);
    if change.tenant.is_some() {
        vault.tenant = change.tenant;
    }
}

fn change_cluster(cluster: &mut Cluster, change: ClusterChange) {
    set(&mut cluster.tags, change.tags);
    set(&mut cluster.issuer_url, change.issuer_url);
    let properties = &mut cluster.properties;
    let texts = [
        ("fqdn", change.fqdn),
        ("kubernetesVersion", change.kubernetes_version.clone()),
        ("currentKubernetesVersion", change.kubernetes_version),
        ("nodeResourceGroup", change.node_resource_group),
    ];
    for (field, value) in texts {
        if let Some(value) = value {
            properties.insert(field.to_owned(), value.into());
        }
    }
    if let Some(state) = change.power_state {
        properties.insert("powerState".to_owned(), json!({"code": state}));
    }
    let mut enabled = properties["oidcIssuerProfile"]["enabled"] == true;
    set(&mut enabled, change.oidc_issuer_enabled);
    let mut profile = json!({"enabled": enabled});
    if enabled {
        profile["issuerURL"] = cluster.issuer_url.clone().into();
    }
    properties.insert("oidcIssuerProfile".to_owned(), profile);
    if let Some(enabled) = change.workload_identity_enabled {
        let security = properties.entry("securityProfile").or_insert_with(|| json!({}));
        security["workloadIdentity"] = json!({"enabled": enabled});
    }
}
