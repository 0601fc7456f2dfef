//! The resources that a seed holds.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A resource group.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResourceGroup {
    /// Its subscription; the first one if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<Uuid>,
    /// Its name.
    pub name: String,
    /// Its region.
    pub location: String,
    /// Its tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// An AKS cluster.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cluster {
    /// Its subscription; the first one if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<Uuid>,
    /// Its resource group.
    pub resource_group: String,
    /// Its name.
    pub name: String,
    /// Its region.
    pub location: String,
    /// Its tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Host of its API server, without scheme and port.
    pub fqdn: String,
    /// Its private host, for a private cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_fqdn: Option<String>,
    /// The issuer of its service account tokens, byte for byte. Shown only while the issuer is enabled.
    pub issuer_url: String,
    /// Whether the OIDC issuer is on.
    #[serde(default = "yes")]
    pub oidc_issuer_enabled: bool,
    /// Whether workload identity is on.
    #[serde(default = "yes")]
    pub workload_identity_enabled: bool,
    /// The group of its machines; `MC_GROUP_NAME_REGION` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_resource_group: Option<String>,
    /// Its Kubernetes version.
    #[serde(default = "default_kubernetes_version")]
    pub kubernetes_version: String,
    /// `Running` or `Stopped`.
    #[serde(default = "default_power_state")]
    pub power_state: String,
}

/// A key vault.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Vault {
    /// Its subscription; the first one if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<Uuid>,
    /// Its resource group.
    pub resource_group: String,
    /// Its name.
    pub name: String,
    /// Its region.
    pub location: String,
    /// Its tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Its directory, if that is not the tenant of everything else: it then refuses tokens of that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Uuid>,
    /// Where its data plane listens; its `vaultUri` follows from this. A free port beside the resource manager if absent.
    #[serde(default = "unspecified")]
    pub address: SocketAddr,
    /// Whether roles rule, or access policies.
    #[serde(default = "yes")]
    pub enable_rbac_authorization: bool,
    /// Access policies: who (object id, or the name of a service principal or identity) may do what with secrets.
    #[serde(default)]
    pub access_policies: Vec<AccessPolicy>,
    /// `Enabled` or `Disabled`.
    #[serde(default = "enabled")]
    pub public_network_access: String,
    /// Networks that may connect; everyone if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_ips: Option<Vec<IpAddr>>,
    /// Its secrets.
    #[serde(default)]
    pub secrets: Vec<Secret>,
}

/// One entry of a vault's access policies.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccessPolicy {
    /// Object id, or the name of a service principal or identity of the seed.
    pub principal: String,
    /// Permissions to secrets, e.g. `get`.
    pub secrets: Vec<String>,
}

/// A secret with one version.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Secret {
    /// Its name.
    pub name: String,
    /// Its value; never listed or logged.
    pub value: String,
    /// Whether it may be read.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// What kind of value it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// From when on it is valid, seconds since the Unix epoch. Only told: it can be read before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<i64>,
    /// Until when it is valid, seconds since the Unix epoch. Only told: it can be read after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<i64>,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret")
            .field("name", &self.name)
            .field("enabled", &self.enabled)
            .finish_non_exhaustive()
    }
}

/// A managed identity.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Identity {
    /// Its subscription; the first one if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<Uuid>,
    /// Its resource group.
    pub resource_group: String,
    /// Its name.
    pub name: String,
    /// Its region.
    pub location: String,
    /// Its tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Its client id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<Uuid>,
    /// Its principal (object) id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal_id: Option<Uuid>,
    /// Its federated credentials.
    #[serde(default)]
    pub federated_credentials: Vec<FederatedCredential>,
}

/// Whom an identity trusts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FederatedCredential {
    /// Its name.
    pub name: String,
    /// The issuer, byte for byte.
    pub issuer: String,
    /// The subject, byte for byte.
    pub subject: String,
    /// Exactly one audience.
    #[serde(default = "default_audiences")]
    pub audiences: Vec<String>,
}

/// A role that somebody made.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CustomRole {
    /// Its name, which no other role of the tenant has.
    pub name: String,
    /// The GUID of its definition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// What it allows, e.g. `Microsoft.KeyVault/vaults/read`; `*` is any text.
    #[serde(default)]
    pub actions: Vec<String>,
    /// What of it is left out.
    #[serde(default)]
    pub not_actions: Vec<String>,
    /// What it allows to do with data.
    #[serde(default)]
    pub data_actions: Vec<String>,
    /// What of it is left out.
    #[serde(default)]
    pub not_data_actions: Vec<String>,
    /// Where it can be assigned, with everything below; the first subscription if absent.
    #[serde(default)]
    pub assignable_scopes: Vec<String>,
}

/// Who may do what where.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RoleAssignment {
    /// Object id, or the name of a service principal or identity of the seed.
    pub principal: String,
    /// Name or id of a role, e.g. `Contributor`.
    pub role: String,
    /// Where: `/subscriptions/…`; `/` and everything below any scope is possible, one secret included.
    pub scope: String,
    /// A condition, stored as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
}

fn unspecified() -> SocketAddr {
    (std::net::Ipv4Addr::UNSPECIFIED, 0).into()
}

fn yes() -> bool {
    true
}

fn enabled() -> String {
    "Enabled".to_owned()
}

fn default_kubernetes_version() -> String {
    "1.34.4".to_owned()
}

fn default_power_state() -> String {
    "Running".to_owned()
}

fn default_audiences() -> Vec<String> {
    vec!["api://AzureADTokenExchange".to_owned()]
}
