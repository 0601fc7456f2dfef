//! From a seed, or a part of one, to state.

mod cluster;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use uuid::Uuid;

use super::vault::is_enabled;
use super::{
    Application, Assignment, Cluster, Denial, Group, Identity, Ids, Replicated, Rules, Secret, SecretVersion,
    State, Vault, key,
};
use crate::arm::roles;
use crate::clock::Millis;
use crate::entra::Certificate;
use crate::platform::Running;
use crate::seed::{self, Seed, SeedError};

impl State {
    /// What exists under this seed; vaults listen where `addresses` says, by position.
    pub(crate) fn from_seed(seed: &Seed, addresses: &[SocketAddr], now: Millis) -> Result<Self, SeedError> {
        let mut state = Self {
            ids: Ids::new(&seed.name),
            tenants: std::iter::once(&seed.tenant)
                .chain(&seed.other_tenants)
                .cloned()
                .collect(),
            subscriptions: Vec::new(),
            groups: BTreeMap::new(),
            clusters: BTreeMap::new(),
            identities: BTreeMap::new(),
            vaults: BTreeMap::new(),
            roles: BTreeMap::new(),
            assignments: Replicated::default(),
            rules: Rules::default(),
            index: Replicated::default(),
            applications: Vec::new(),
            running: Running::default(),
            operations: HashMap::new(),
        };
        state.running = Running::new(seed.platform.as_ref(), &mut state.ids)?;
        for subscription in &seed.subscriptions {
            state.add_subscription(subscription, now)?;
        }
        if state.subscriptions.is_empty() {
            return Err(dangling("the seed", "a subscription"));
        }
        for principal in &seed.service_principals {
            state.add_application(principal)?;
        }
        for group in &seed.resource_groups {
            state.add_group(group)?;
        }
        for cluster in &seed.clusters {
            state.add_cluster(cluster)?;
        }
        for identity in &seed.identities {
            state.add_identity(identity, now)?;
        }
        for (vault, address) in seed.vaults.iter().zip(addresses) {
            state.add_vault(vault, *address, now)?;
        }
        for role in &seed.custom_roles {
            state.add_role(role, now)?;
        }
        for assignment in &seed.role_assignments {
            state.add_assignment(assignment, now)?;
        }
        state.rules.locks.clone_from(&seed.locks);
        state.rules.policies.clone_from(&seed.policies);
        for denial in &seed.deny_assignments {
            state.add_denial(denial)?;
        }
        Ok(state)
    }

    pub(crate) fn add_subscription(
        &mut self,
        given: &seed::Subscription,
        now: Millis,
    ) -> Result<(), SeedError> {
        if self.subscriptions.iter().any(|known| known.id == given.id) {
            return Err(SeedError::Twice {
                what: format!("subscription {}", given.id),
            });
        }
        self.subscriptions.push(given.clone());
        for _ in 0..given.other_role_assignments {
            let principal = self.ids.next(&format!("somebody/{}", given.id));
            let assignment = seed::RoleAssignment {
                principal: principal.to_string(),
                role: "Reader".to_owned(),
                scope: format!("/subscriptions/{}", given.id),
                condition: None,
            };
            self.add_assignment(&assignment, now)?;
        }
        Ok(())
    }

    pub(crate) fn add_denial(&mut self, given: &seed::DenyAssignment) -> Result<(), SeedError> {
        let what = format!("the deny assignment {}", given.name);
        let ids = |names: &[String]| -> Result<Vec<Uuid>, SeedError> {
            names.iter().map(|name| self.principal(&what, name)).collect()
        };
        let (principals, excluded) = (ids(&given.principals)?, ids(&given.exclude_principals)?);
        let denial = Denial {
            id: self.ids.next(&format!("denial/{}/{}", given.scope, given.name)),
            name: given.name.clone(),
            scope: given.scope.clone(),
            actions: given.actions.clone(),
            not_actions: given.not_actions.clone(),
            data_actions: given.data_actions.clone(),
            principals,
            excluded,
        };
        self.rules.denials.push(denial);
        Ok(())
    }

    /// The subscription that a seed names for something, or the first one.
    fn subscription_of(&self, what: &str, given: Option<Uuid>) -> Result<Uuid, SeedError> {
        let id = given.unwrap_or(self.subscriptions[0].id);
        if self.subscriptions.iter().any(|known| known.id == id) {
            Ok(id)
        } else {
            Err(dangling(what, &format!("subscription {id}")))
        }
    }

    /// The id of a resource in a group that exists.
    fn resource_id(
        &self,
        subscription: Option<Uuid>,
        group: &str,
        (kind, name): (&str, &str),
    ) -> Result<String, SeedError> {
        let what = format!("{kind} {name}");
        let group_id = format!(
            "/subscriptions/{}/resourceGroups/{group}",
            self.subscription_of(&what, subscription)?
        );
        if !self.groups.contains_key(&key(&group_id)) {
            return Err(dangling(&what, &format!("resource group {group}")));
        }
        Ok(format!("{group_id}/providers/{kind}/{name}"))
    }

    /// The object id that a principal's name or id in a seed means.
    pub(super) fn principal(&self, what: &str, named: &str) -> Result<Uuid, SeedError> {
        if let Ok(id) = Uuid::parse_str(named) {
            return Ok(id);
        }
        self.principals()
            .find(|principal| principal.name == named)
            .map(|principal| principal.object_id)
            .ok_or_else(|| dangling(what, &format!("principal {named}")))
    }

    pub(crate) fn add_application(&mut self, given: &seed::ServicePrincipal) -> Result<(), SeedError> {
        let name = &given.display_name;
        let certificates = given
            .certificates
            .iter()
            .map(|pem| Certificate::from_pem(pem).ok_or_else(|| SeedError::Certificate { of: name.clone() }))
            .collect::<Result<_, _>>()?;
        let client_id = given
            .client_id
            .unwrap_or_else(|| self.ids.next(&format!("client/{name}")));
        let object_id = given
            .object_id
            .unwrap_or_else(|| self.ids.next(&format!("object/{name}")));
        self.applications.push(Application {
            name: name.clone(),
            client_id,
            object_id,
            secrets: given.secrets.clone(),
            ending_secrets: given.ending_secrets.clone(),
            certificates,
            credentials: given.federated_credentials.clone(),
            token_lifetime_s: given.access_token_lifetime_s,
            allowed_ips: given.allowed_ips.clone(),
            disabled: given.disabled,
        });
        Ok(())
    }

    pub(crate) fn add_group(&mut self, given: &seed::ResourceGroup) -> Result<(), SeedError> {
        let subscription = self.subscription_of(&given.name, given.subscription)?;
        let id = format!("/subscriptions/{subscription}/resourceGroups/{}", given.name);
        let group = Group {
            id: id.clone(),
            name: given.name.clone(),
            location: given.location.clone(),
            tags: given.tags.clone(),
        };
        once(&mut self.groups, &id, group)
    }

    pub(crate) fn add_cluster(&mut self, given: &seed::Cluster) -> Result<(), SeedError> {
        let kind = ("Microsoft.ContainerService/managedClusters", given.name.as_str());
        // The resource provider answers the group's segment in lower case.
        let id = self
            .resource_id(given.subscription, &given.resource_group, kind)?
            .replace("/resourceGroups/", "/resourcegroups/");
        let cluster = Cluster {
            name: given.name.clone(),
            location: given.location.clone(),
            tags: given.tags.clone(),
            extra: cluster::extra(),
            properties: cluster::properties(given),
            issuer_url: given.issuer_url.clone(),
            etag: self.ids.next(&format!("etag/{id}")),
            operation: None,
            id: id.clone(),
        };
        once(&mut self.clusters, &id, cluster)
    }

    pub(crate) fn add_identity(&mut self, given: &seed::Identity, now: Millis) -> Result<(), SeedError> {
        let kind = (
            "Microsoft.ManagedIdentity/userAssignedIdentities",
            given.name.as_str(),
        );
        let id = self
            .resource_id(given.subscription, &given.resource_group, kind)?
            .replace("/resourceGroups/", "/resourcegroups/");
        let credentials = given
            .federated_credentials
            .iter()
            .map(|credential| (key(&credential.name), credential.clone()));
        let identity = Identity {
            name: given.name.clone(),
            location: given.location.clone(),
            tags: given.tags.clone(),
            client_id: given
                .client_id
                .unwrap_or_else(|| self.ids.next(&format!("client/{id}"))),
            principal_id: given
                .principal_id
                .unwrap_or_else(|| self.ids.next(&format!("object/{id}"))),
            created: now,
            credentials: Replicated::new(credentials),
            writing: false,
            id: id.clone(),
        };
        once(&mut self.identities, &id, identity)
    }

    pub(crate) fn add_vault(
        &mut self,
        given: &seed::Vault,
        address: SocketAddr,
        now: Millis,
    ) -> Result<(), SeedError> {
        let id = self.resource_id(
            given.subscription,
            &given.resource_group,
            ("Microsoft.KeyVault/vaults", given.name.as_str()),
        )?;
        let access_policies = self.access_policies(&id, &given.access_policies)?;
        let mut secrets = BTreeMap::new();
        for secret in &given.secrets {
            let version = self.version(&id, secret, now);
            let secret = Secret {
                name: secret.name.clone(),
                versions: vec![version],
            };
            once(&mut secrets, &secret.name.clone(), secret)?;
        }
        let vault = Vault {
            name: given.name.clone(),
            location: given.location.clone(),
            tags: given.tags.clone(),
            tenant: given.tenant,
            address,
            uri: url(address),
            rbac: given.enable_rbac_authorization,
            public_network_access: is_enabled(&given.public_network_access),
            allowed_ips: given.allowed_ips.clone(),
            access_policies,
            secrets,
            deleted: BTreeMap::new(),
            id: id.clone(),
        };
        once(&mut self.vaults, &id, vault)
    }

    /// Permissions to the secrets of the vault with this id, by object id.
    pub(super) fn access_policies(
        &self,
        vault: &str,
        given: &[seed::AccessPolicy],
    ) -> Result<BTreeMap<Uuid, Vec<String>>, SeedError> {
        let policy = |policy: &seed::AccessPolicy| {
            let secrets = policy.secrets.iter().map(|name| name.to_lowercase()).collect();
            Ok((self.principal(vault, &policy.principal)?, secrets))
        };
        given.iter().map(policy).collect()
    }

    /// A first or another version of a secret of the vault with this id.
    pub(super) fn version(&mut self, vault: &str, given: &seed::Secret, now: Millis) -> SecretVersion {
        let id = self.ids.next(&format!("secret/{vault}/{}", given.name));
        SecretVersion {
            id: id.simple().to_string(),
            value: given.value.clone(),
            content_type: given.content_type.clone(),
            tags: BTreeMap::new(),
            enabled: given.enabled,
            not_before: given.not_before,
            expires: given.expires,
            created: now,
            updated: now,
        }
    }

    pub(crate) fn add_assignment(
        &mut self,
        given: &seed::RoleAssignment,
        now: Millis,
    ) -> Result<(), SeedError> {
        let what = format!("the role assignment of {} at {}", given.role, given.scope);
        let principal_id = self.principal(&what, &given.principal)?;
        let role = self
            .role_named(&given.role)
            .ok_or_else(|| dangling(&what, &format!("role {}", given.role)))?
            .id;
        let scope = given.scope.trim_end_matches('/').to_owned();
        let name = self
            .ids
            .next(&format!("assignment/{scope}/{principal_id}/{role}"))
            .to_string();
        let id = format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}");
        let assignment = Assignment {
            id: id.clone(),
            name,
            role,
            role_definition_id: roles::definition_id(&scope, role),
            scope: if scope.is_empty() { "/".to_owned() } else { scope },
            principal_id,
            principal_type: "ServicePrincipal".to_owned(),
            description: None,
            condition: given.condition.clone(),
            condition_version: given.condition.as_ref().map(|_| "2.0".to_owned()),
            created: now,
            created_by: None,
        };
        self.assignments.insert(now, 0, key(&id), assignment);
        Ok(())
    }
}

fn once<T>(map: &mut BTreeMap<String, T>, id: &str, value: T) -> Result<(), SeedError> {
    if map.contains_key(&key(id)) {
        return Err(SeedError::Twice { what: id.to_owned() });
    }
    map.insert(key(id), value);
    Ok(())
}

pub(super) fn dangling(what: &str, missing: &str) -> SeedError {
    SeedError::Dangling {
        what: what.to_owned(),
        missing: missing.to_owned(),
    }
}

/// `https://ADDR/`, with the port where it is not 443.
pub(crate) fn url(address: SocketAddr) -> String {
    let host = match address.ip() {
        std::net::IpAddr::V4(ip) => ip.to_string(),
        std::net::IpAddr::V6(ip) => format!("[{ip}]"),
    };
    match address.port() {
        443 => format!("https://{host}/"),
        port => format!("https://{host}:{port}/"),
    }
}
