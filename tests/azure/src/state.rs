//! What exists: plain data behind one lock, in memory only.
//!
//! Maps are keyed by the lower-case resource id, because Azure compares ids without case and answers in the case that
//! the creator chose.

mod build;
mod change;
mod list;
mod replicated;
mod roles;
mod rules;
mod vault;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::arm::roles::Role;
use crate::clock::Millis;
use crate::entra::Certificate;
use crate::platform;
use crate::seed::{ClientSecret, Disabled, EndingSecret, FederatedCredential, Subscription, Tenant};

pub(crate) use build::url;
pub(crate) use replicated::Replicated;
pub(crate) use rules::{Denial, Rules, rule_id};
pub(crate) use vault::{Deleted, Secret, SecretVersion, Vault};

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
    /// Custom roles by id.
    pub(crate) roles: BTreeMap<Uuid, Role>,
    pub(crate) assignments: Replicated<Assignment>,
    pub(crate) rules: Rules,
    /// What Resource Graph knows.
    pub(crate) index: Replicated<Value>,
    pub(crate) applications: Vec<Application>,
    /// Pipelines, and what the machine on which they run may sign in as.
    pub(crate) running: platform::Running,
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
    pub(crate) credentials: Replicated<FederatedCredential>,
    /// Until when a write of a credential runs.
    pub(crate) writing: bool,
}

/// An application with its service principal.
#[derive(Debug, Clone)]
pub(crate) struct Application {
    pub(crate) name: String,
    pub(crate) client_id: Uuid,
    pub(crate) object_id: Uuid,
    pub(crate) secrets: Vec<ClientSecret>,
    pub(crate) ending_secrets: Vec<EndingSecret>,
    pub(crate) certificates: Vec<Certificate>,
    pub(crate) credentials: Vec<FederatedCredential>,
    pub(crate) token_lifetime_s: Option<u32>,
    pub(crate) allowed_ips: Option<Vec<IpAddr>>,
    pub(crate) disabled: Option<Disabled>,
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
    /// Whether it ends as failed.
    pub(crate) fails: bool,
    /// The cluster before it, to which a failed one goes back.
    pub(crate) before: Box<Cluster>,
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
    /// Seconds that its tokens live, where a policy says so.
    pub(crate) token_lifetime_s: Option<u32>,
    pub(crate) disabled: Option<Disabled>,
}

impl State {
    /// The tenant in which everything is.
    pub(crate) fn tenant(&self) -> &Tenant {
        &self.tenants[0]
    }

    /// The subscription that an id in a path means.
    pub(crate) fn subscription(&self, given: &str) -> Option<&Subscription> {
        self.subscriptions
            .iter()
            .find(|known| known.id.to_string().eq_ignore_ascii_case(given))
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
            token_lifetime_s: application.token_lifetime_s,
            disabled: application.disabled,
        });
        let identities = self.identities.values().map(|identity| Principal {
            name: identity.name.clone(),
            client_id: identity.client_id,
            object_id: identity.principal_id,
            managed_identity: Some(identity.id.clone()),
            created: identity.created,
            token_lifetime_s: None,
            disabled: None,
        });
        applications.chain(identities)
    }

    /// The certificates by which a client may sign its own assertions.
    pub(crate) fn certificates(&self, client_id: Uuid) -> Vec<Certificate> {
        let application = self.applications.iter().find(|one| one.client_id == client_id);
        application.map_or_else(Vec::new, |application| application.certificates.clone())
    }

    /// The federated credentials that Entra sees for a client at that time.
    pub(crate) fn credentials_seen(&self, client_id: Uuid, now: Millis) -> Vec<FederatedCredential> {
        let of_identity = self
            .identities
            .values()
            .filter(|identity| identity.client_id == client_id)
            .flat_map(|identity| identity.credentials.seen(now).cloned());
        let of_application = self
            .applications
            .iter()
            .filter(|application| application.client_id == client_id)
            .flat_map(|application| application.credentials.iter().cloned());
        of_identity.chain(of_application).collect()
    }

    /// Deletes what has this id and everything below it: resources, credentials, secrets, roles and their assignments.
    /// What has no id in the resource manager goes by its client id or, as `githubJobs/NAME`, by its kind and name.
    pub(crate) fn delete(&mut self, id: &str) -> bool {
        let count = |state: &Self| {
            let credentials: usize = state.identities.values().map(|one| one.credentials.len()).sum();
            let secrets: usize = state.vaults.values().map(|vault| vault.secrets.len()).sum();
            let resources = state.applications.len()
                + state.groups.len()
                + state.clusters.len()
                + state.identities.len()
                + state.vaults.len()
                + state.roles.len()
                + state.running.len();
            resources + credentials + secrets + state.assignments.len() + state.rules.len()
        };
        let before = count(self);
        let stays = |key: &String| !within(key, id);
        self.groups.retain(|key, _| stays(key));
        self.clusters.retain(|key, _| stays(key));
        self.identities.retain(|key, _| stays(key));
        self.vaults.retain(|key, _| stays(key));
        for (parent, identity) in &mut self.identities {
            let below = format!("{parent}/federatedidentitycredentials/");
            identity
                .credentials
                .retain(|name| !within(&format!("{below}{name}"), id));
        }
        for (parent, vault) in &mut self.vaults {
            vault
                .secrets
                .retain(|name, _| stays(&format!("{parent}/secrets/{name}")));
        }
        self.assignments.retain(|key| !within(key, id));
        self.rules.delete(id);
        self.delete_roles(id);
        self.running.delete(id);
        self.applications
            .retain(|one| !one.client_id.to_string().eq_ignore_ascii_case(id));
        count(self) < before
    }

    /// Ends the operations that are due.
    pub(crate) fn settle(&mut self, now: Millis) {
        for cluster in self.clusters.values_mut() {
            let Some(operation) = cluster.operation.and_then(|id| self.operations.get(&id)) else {
                continue;
            };
            if operation.ends > now {
                continue;
            }
            let end = if operation.fails {
                let etag = cluster.etag;
                *cluster = (*operation.before).clone();
                cluster.etag = etag;
                "Failed"
            } else {
                // Nobody knows the issuer before the API server has been started again with it.
                if cluster.properties["oidcIssuerProfile"]["enabled"] == true {
                    cluster.properties["oidcIssuerProfile"]["issuerURL"] = cluster.issuer_url.clone().into();
                }
                "Succeeded"
            };
            cluster.operation = None;
            cluster
                .properties
                .insert("provisioningState".to_owned(), end.into());
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
