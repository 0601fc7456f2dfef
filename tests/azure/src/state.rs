//! What exists: plain data behind one lock, in memory only.
//!
//! Maps are keyed by the lower-case resource id, because Azure compares ids without case and answers in the case that
//! the creator chose.

mod build;
mod list;
mod replicated;

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::clock::Millis;
use crate::seed::{FederatedCredential, Subscription, Tenant};

pub(crate) use build::url;
pub(crate) use replicated::Replicated;

/// Tags of a resource.
pub(crate) type Tags = BTreeMap<String, String>;

/// Everything.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) ids: Ids,
    /// Directories; the first is the one in which everything is.
    pub(crate) tenants: Vec<Tenant>,
    pub(crate) subscriptions: Vec<Subscription>,
    pub(crate) groups: BTreeMap<String, Group>,
    pub(crate) clusters: BTreeMap<String, Cluster>,
    pub(crate) identities: BTreeMap<String, Identity>,
    pub(crate) vaults: BTreeMap<String, Vault>,
    pub(crate) assignments: Replicated<BTreeMap<String, Assignment>>,
    pub(crate) applications: Vec<Application>,
    pub(crate) operations: HashMap<Uuid, Operation>,
}

/// Ids that are the same under the same seed, and new each time something is made again.
#[derive(Debug)]
pub(crate) struct Ids {
    namespace: Uuid,
    counts: HashMap<String, u32>,
}

impl Ids {
    pub(crate) fn new(seed: &str) -> Self {
        Self {
            namespace: Uuid::new_v5(&Uuid::NAMESPACE_URL, seed.as_bytes()),
            counts: HashMap::new(),
        }
    }

    /// The next id for this purpose.
    pub(crate) fn next(&mut self, purpose: &str) -> Uuid {
        let count = self.counts.entry(purpose.to_lowercase()).or_default();
        *count += 1;
        Uuid::new_v5(
            &self.namespace,
            format!("{}#{count}", purpose.to_lowercase()).as_bytes(),
        )
    }
}

/// A resource group.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) location: String,
    pub(crate) tags: Tags,
}

/// An AKS cluster. Its properties are kept as the document they are, so that a PUT loses nothing.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) location: String,
    pub(crate) tags: Tags,
    /// All top-level fields besides id, name, type, location, tags, eTag and properties.
    pub(crate) extra: Map<String, Value>,
    pub(crate) properties: Map<String, Value>,
    /// The issuer, shown while it is enabled.
    pub(crate) issuer_url: String,
    pub(crate) etag: Uuid,
    /// The update that is running.
    pub(crate) operation: Option<Uuid>,
}

/// A managed identity.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) location: String,
    pub(crate) tags: Tags,
    pub(crate) client_id: Uuid,
    pub(crate) principal_id: Uuid,
    pub(crate) created: Millis,
    /// By lower-case name; Entra sees them a while later.
    pub(crate) credentials: Replicated<BTreeMap<String, FederatedCredential>>,
    /// Until when a write of a credential runs.
    pub(crate) writing: bool,
}

/// An application with its service principal.
#[derive(Debug, Clone)]
pub(crate) struct Application {
    pub(crate) name: String,
    pub(crate) client_id: Uuid,
    pub(crate) object_id: Uuid,
    pub(crate) secrets: Vec<crate::seed::ClientSecret>,
    pub(crate) credentials: Vec<FederatedCredential>,
    pub(crate) disabled: bool,
}

/// A key vault.
#[derive(Debug, Clone)]
pub(crate) struct Vault {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) location: String,
    pub(crate) tags: Tags,
    pub(crate) address: SocketAddr,
    /// With a trailing slash, as Azure answers it.
    pub(crate) uri: String,
    pub(crate) rbac: bool,
    pub(crate) public_network_access: bool,
    pub(crate) allowed_ips: Option<Vec<IpAddr>>,
    /// By object id: permissions to secrets, in lower case.
    pub(crate) access_policies: BTreeMap<Uuid, Vec<String>>,
    pub(crate) secrets: BTreeMap<String, Secret>,
}

/// A secret; the last version is the current one.
#[derive(Debug, Clone)]
pub(crate) struct Secret {
    pub(crate) name: String,
    pub(crate) versions: Vec<SecretVersion>,
}

impl Secret {
    /// The current version.
    pub(crate) fn current(&self) -> Option<&SecretVersion> {
        self.versions.last()
    }
}

/// One version of a secret.
#[derive(Clone)]
pub(crate) struct SecretVersion {
    pub(crate) id: String,
    pub(crate) value: String,
    pub(crate) content_type: Option<String>,
    pub(crate) enabled: bool,
    pub(crate) created: Millis,
}

impl std::fmt::Debug for SecretVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretVersion")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// A role assignment.
#[derive(Debug, Clone)]
pub(crate) struct Assignment {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) scope: String,
    /// The role's GUID.
    pub(crate) role: Uuid,
    /// The role definition's id as it was sent.
    pub(crate) role_definition_id: String,
    pub(crate) principal_id: Uuid,
    pub(crate) principal_type: String,
    pub(crate) description: Option<String>,
    pub(crate) condition: Option<String>,
    pub(crate) condition_version: Option<String>,
    pub(crate) created: Millis,
    pub(crate) created_by: Option<Uuid>,
}

/// A long-running operation.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub(crate) id: Uuid,
    /// The cluster's key.
    pub(crate) cluster: String,
    pub(crate) started: Millis,
    pub(crate) ends: Millis,
}

/// Whoever can sign in, or be given a role.
#[derive(Debug, Clone)]
pub(crate) struct Principal {
    pub(crate) name: String,
    pub(crate) client_id: Uuid,
    pub(crate) object_id: Uuid,
    /// The resource id of a managed identity.
    pub(crate) managed_identity: Option<String>,
    pub(crate) created: Millis,
    pub(crate) disabled: bool,
}

impl State {
    /// The tenant in which everything is.
    pub(crate) fn tenant(&self) -> &Tenant {
        &self.tenants[0]
    }

    /// The principal with this client id.
    pub(crate) fn by_client_id(&self, client_id: Uuid) -> Option<Principal> {
        self.principals()
            .find(|principal| principal.client_id == client_id)
    }

    /// The principal with this object id.
    pub(crate) fn by_object_id(&self, object_id: Uuid) -> Option<Principal> {
        self.principals()
            .find(|principal| principal.object_id == object_id)
    }

    /// All principals.
    pub(crate) fn principals(&self) -> impl Iterator<Item = Principal> + '_ {
        let applications = self.applications.iter().map(|application| Principal {
            name: application.name.clone(),
            client_id: application.client_id,
            object_id: application.object_id,
            managed_identity: None,
            created: 0,
            disabled: application.disabled,
        });
        let identities = self.identities.values().map(|identity| Principal {
            name: identity.name.clone(),
            client_id: identity.client_id,
            object_id: identity.principal_id,
            managed_identity: Some(identity.id.clone()),
            created: identity.created,
            disabled: false,
        });
        applications.chain(identities)
    }

    /// The federated credentials that Entra sees for a client at that time.
    pub(crate) fn credentials_seen(&self, client_id: Uuid, now: Millis) -> Vec<FederatedCredential> {
        let of_identity = self
            .identities
            .values()
            .filter(|identity| identity.client_id == client_id)
            .flat_map(|identity| identity.credentials.seen(now).values().cloned());
        let of_application = self
            .applications
            .iter()
            .filter(|application| application.client_id == client_id)
            .flat_map(|application| application.credentials.iter().cloned());
        of_identity.chain(of_application).collect()
    }

    /// Deletes what has this id and everything below it: resources, credentials, secrets, role assignments.
    pub(crate) fn delete(&mut self, id: &str, now: Millis) -> bool {
        let count = |state: &Self| {
            let credentials: usize = state
                .identities
                .values()
                .map(|one| one.credentials.current().len())
                .sum();
            let secrets: usize = state.vaults.values().map(|vault| vault.secrets.len()).sum();
            let resources =
                state.groups.len() + state.clusters.len() + state.identities.len() + state.vaults.len();
            resources + credentials + secrets + state.assignments.current().len()
        };
        let before = count(self);
        let stays = |key: &String| !within(key, id);
        self.groups.retain(|key, _| stays(key));
        self.clusters.retain(|key, _| stays(key));
        self.identities.retain(|key, _| stays(key));
        self.vaults.retain(|key, _| stays(key));
        for (parent, identity) in &mut self.identities {
            let below = format!("{parent}/federatedidentitycredentials/");
            let gone = |name: &String| within(&format!("{below}{name}"), id);
            if identity.credentials.current().keys().any(gone) {
                identity
                    .credentials
                    .write(now, 0, |credentials| credentials.retain(|name, _| !gone(name)));
            }
        }
        for (parent, vault) in &mut self.vaults {
            vault
                .secrets
                .retain(|name, _| stays(&format!("{parent}/secrets/{name}")));
        }
        self.assignments
            .write(now, 0, |assignments| assignments.retain(|key, _| stays(key)));
        count(self) < before
    }

    /// Ends the operations that are due.
    pub(crate) fn settle(&mut self, now: Millis) {
        for cluster in self.clusters.values_mut() {
            let Some(operation) = cluster.operation.and_then(|id| self.operations.get(&id)) else {
                continue;
            };
            if operation.ends <= now {
                cluster.operation = None;
                cluster
                    .properties
                    .insert("provisioningState".to_owned(), "Succeeded".into());
            }
        }
    }
}

/// The key of a resource id: lower case, no slash at the end.
pub(crate) fn key(id: &str) -> String {
    id.trim_end_matches('/').to_lowercase()
}

/// A path of these segments.
pub(crate) fn join(segments: &[&str]) -> String {
    segments
        .iter()
        .fold(String::new(), |path, segment| path + "/" + segment)
}

/// Whether `scope` is `outer` or lies within it.
pub(crate) fn within(scope: &str, outer: &str) -> bool {
    let (scope, outer) = (key(scope), key(outer));
    scope
        .strip_prefix(&outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_end_at_segments_and_have_no_case() {
        assert!(within("/subscriptions/A/resourceGroups/x", "/subscriptions/a"));
        assert!(within("/subscriptions/a", "/"));
        assert!(within("/subscriptions/a/", "/subscriptions/a"));
        assert!(!within(
            "/subscriptions/a/resourceGroups/rg-2",
            "/subscriptions/a/resourceGroups/rg"
        ));
        assert!(!within("/subscriptions/a", "/subscriptions/a/resourceGroups/rg"));
    }

    #[test]
    fn ids_follow_from_the_seed_and_change_when_made_again() {
        let (mut one, mut same, mut other) = (Ids::new("a"), Ids::new("a"), Ids::new("b"));
        let first = one.next("client/ID-1");
        assert_eq!(first, same.next("client/id-1"));
        assert_ne!(first, other.next("client/id-1"));
        assert_ne!(first, one.next("client/id-1"));
    }
}
