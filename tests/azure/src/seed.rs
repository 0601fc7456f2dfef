//! The seed: what exists in the simulated Azure when it starts.
//!
//! JSON in camelCase; unknown fields are refused. Ids that the seed leaves out are derived from [`Seed::name`], so the
//! same seed always gives the same tenant, client and principal ids. See `seed.example.json`.

mod governance;
mod platform;
mod resources;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::faults::Weather;

pub use governance::{DenyAssignment, Lock, LockLevel, Policy};
pub use platform::{GithubJob, PipelineJob, Platform, ServiceConnection};
pub use resources::{
    AccessPolicy, Cluster, CustomRole, FederatedCredential, Identity, ResourceGroup, RoleAssignment, Secret,
    Vault,
};

/// Why a seed cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// The file cannot be read.
    #[error("cannot read the seed {path}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// It is not a seed, or not a change of what is there.
    #[error("cannot use {path}")]
    Parse {
        /// The file, or `the seed` for text.
        path: String,
        /// Where and why.
        source: serde_json::Error,
    },
    /// It names something that it does not hold.
    #[error("{what} refers to {missing}, which the seed does not hold")]
    Dangling {
        /// What refers.
        what: String,
        /// To what.
        missing: String,
    },
    /// A certificate cannot be used.
    #[error("a certificate of {of} is no certificate with an RSA key")]
    Certificate {
        /// Whose.
        of: String,
    },
    /// Two things have the same id.
    #[error("{what} stands in the seed twice")]
    Twice {
        /// What.
        what: String,
    },
}

/// Everything that exists at the start.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Seed {
    /// All ids that are not given are derived from this name.
    #[serde(default = "default_name")]
    pub name: String,
    /// The token service.
    pub entra: Entra,
    /// The resource manager, Resource Graph included.
    pub arm: Service,
    /// GitHub, Azure DevOps and the machine on which pipelines run; there are none if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// The tenant of everything.
    pub tenant: Tenant,
    /// Tenants that exist and in which nothing is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_tenants: Vec<Tenant>,
    /// Audience of tokens for the resource manager, without a trailing slash.
    #[serde(default = "default_arm_audience")]
    pub arm_audience: String,
    /// Audience of tokens for vaults, without a trailing slash.
    #[serde(default = "default_vault_audience")]
    pub vault_audience: String,
    /// Subscriptions; the first is meant where a resource names none.
    pub subscriptions: Vec<Subscription>,
    /// Applications that sign in, e.g. the operator or a pipeline.
    #[serde(default)]
    pub service_principals: Vec<ServicePrincipal>,
    /// Resource groups.
    #[serde(default)]
    pub resource_groups: Vec<ResourceGroup>,
    /// AKS clusters.
    #[serde(default)]
    pub clusters: Vec<Cluster>,
    /// Key vaults, each with an address of its own.
    #[serde(default)]
    pub vaults: Vec<Vault>,
    /// Managed identities.
    #[serde(default)]
    pub identities: Vec<Identity>,
    /// Roles that somebody made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub custom_roles: Vec<CustomRole>,
    /// Role assignments.
    #[serde(default)]
    pub role_assignments: Vec<RoleAssignment>,
    /// Management locks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locks: Vec<Lock>,
    /// Policies that deny.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<Policy>,
    /// Deny assignments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deny_assignments: Vec<DenyAssignment>,
    /// Delays and faults from the start.
    #[serde(default)]
    pub weather: Weather,
}

/// Where a service listens.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Service {
    /// `ADDR:PORT`; port 0 takes a free one. The certificate carries the address.
    pub address: SocketAddr,
}

/// The token service.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entra {
    /// `ADDR:PORT`; port 0 takes a free one.
    pub address: SocketAddr,
    /// Entra refuses issuers on loopback addresses (AADSTS70022); tests that have no other address lift that.
    #[serde(default)]
    pub allow_loopback_issuers: bool,
}

/// A directory.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tenant {
    /// Its id.
    pub id: Uuid,
    /// Its name in messages.
    #[serde(default = "default_tenant_name")]
    pub display_name: String,
    /// The national cloud in which it is, if that is not this one (AADSTS900382, AADSTS90038).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub national_cloud: Option<String>,
}

/// A subscription.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Subscription {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    #[serde(default = "default_subscription_name")]
    pub display_name: String,
    /// Role assignments that it takes.
    #[serde(default = "default_assignment_limit")]
    pub role_assignment_limit: u32,
    /// Namespaces of providers that are not registered in it, e.g. `Microsoft.ManagedIdentity`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unregistered_providers: Vec<String>,
    /// Role assignments of nobody in particular that it has from the start.
    #[serde(default)]
    pub other_role_assignments: u32,
}

/// An application with its service principal.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServicePrincipal {
    /// Its name, by which role assignments may refer to it.
    pub display_name: String,
    /// Application (client) id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<Uuid>,
    /// Object id of the service principal, to which roles are assigned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_id: Option<Uuid>,
    /// Client secrets that are valid.
    #[serde(default)]
    pub secrets: Vec<ClientSecret>,
    /// Client secrets that are valid until a certain time (AADSTS7000222).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ending_secrets: Vec<EndingSecret>,
    /// Certificates whose keys may sign its assertions, PEM.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<String>,
    /// Federated credentials of the application, e.g. of a pipeline.
    #[serde(default)]
    pub federated_credentials: Vec<FederatedCredential>,
    /// Seconds that its access tokens live, as a token lifetime policy sets it; an hour if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_token_lifetime_s: Option<u32>,
    /// The only addresses from which a conditional access policy lets it sign in (AADSTS53003); there is no policy if
    /// absent. Managed identities never have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_ips: Option<Vec<IpAddr>>,
    /// Who forbade it to sign in, if somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<Disabled>,
}

/// Who forbade an application to sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Disabled {
    /// Its owner, everywhere (AADSTS7000112).
    Everywhere,
    /// An administrator of this tenant, for its service principal there (AADSTS7000116).
    InTenant,
}

/// A client secret that ends.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EndingSecret {
    /// The secret.
    pub value: ClientSecret,
    /// When it ends.
    pub end: jiff::Timestamp,
}

/// A client secret; never shown.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientSecret(pub String);

impl std::fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientSecret(…)")
    }
}

impl Seed {
    /// Reads a seed file.
    pub fn from_file(path: &Path) -> Result<Self, SeedError> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|source| SeedError::Read {
            path: name.clone(),
            source,
        })?;
        serde_json::from_str(&text).map_err(|source| SeedError::Parse { path: name, source })
    }

    /// Reads a seed from JSON text.
    pub fn from_json(text: &str) -> Result<Self, SeedError> {
        serde_json::from_str(text).map_err(|source| SeedError::Parse {
            path: "the seed".to_owned(),
            source,
        })
    }

    /// An Azure on loopback with one tenant and one subscription, and nothing in it yet.
    pub fn on_loopback(name: &str) -> Self {
        let derive = |what: &str| Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("{name}/{what}").as_bytes());
        let address = loopback();
        Self {
            name: name.to_owned(),
            entra: Entra {
                address,
                allow_loopback_issuers: true,
            },
            arm: Service { address },
            platform: Some(Platform::on_loopback()),
            tenant: Tenant {
                id: derive("tenant"),
                display_name: default_tenant_name(),
                national_cloud: None,
            },
            other_tenants: Vec::new(),
            arm_audience: default_arm_audience(),
            vault_audience: default_vault_audience(),
            subscriptions: vec![Subscription {
                id: derive("subscription"),
                display_name: default_subscription_name(),
                role_assignment_limit: default_assignment_limit(),
                unregistered_providers: Vec::new(),
                other_role_assignments: 0,
            }],
            service_principals: Vec::new(),
            resource_groups: Vec::new(),
            clusters: Vec::new(),
            vaults: Vec::new(),
            identities: Vec::new(),
            custom_roles: Vec::new(),
            role_assignments: Vec::new(),
            locks: Vec::new(),
            policies: Vec::new(),
            deny_assignments: Vec::new(),
            weather: Weather::default(),
        }
    }
}

/// A free port of 127.0.0.1.
pub fn loopback() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

fn default_name() -> String {
    "azure-sim".to_owned()
}

fn default_tenant_name() -> String {
    "Sandbox".to_owned()
}

fn default_subscription_name() -> String {
    "Sandbox subscription".to_owned()
}

/// The documented limit.
fn default_assignment_limit() -> u32 {
    4_000
}

fn default_arm_audience() -> String {
    "https://management.azure.com".to_owned()
}

fn default_vault_audience() -> String {
    "https://vault.azure.net".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_a_seed() {
        let seed = Seed::from_json(include_str!("../seed.example.json")).unwrap();
        assert!(!seed.clusters.is_empty() && !seed.vaults.is_empty() && !seed.role_assignments.is_empty());
    }

    #[test]
    fn unknown_fields_are_refused() {
        let mut seed = serde_json::to_value(Seed::on_loopback("x")).unwrap();
        seed["clutsers"] = serde_json::json!([]);
        assert!(
            Seed::from_json(&seed.to_string())
                .unwrap_err()
                .to_string()
                .contains("cannot use the seed")
        );
    }

    #[test]
    fn secrets_are_not_in_debug_output() {
        let mut seed = Seed::on_loopback("x");
        seed.service_principals.push(ServicePrincipal {
            display_name: "operator".to_owned(),
            client_id: None,
            object_id: None,
            secrets: vec![ClientSecret("hidden-1".to_owned())],
            ending_secrets: Vec::new(),
            certificates: Vec::new(),
            federated_credentials: Vec::new(),
            access_token_lifetime_s: None,
            allowed_ips: None,
            disabled: None,
        });
        let secret = Secret {
            name: "db-password".to_owned(),
            value: "hidden-2".to_owned(),
            enabled: true,
            content_type: None,
            not_before: None,
            expires: None,
        };
        assert!(!format!("{seed:?} {secret:?}").contains("hidden"));
    }
}
