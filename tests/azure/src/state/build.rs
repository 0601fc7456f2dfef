//! From a seed, or a part of one, to state.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    Application, Assignment, Cluster, Group, Identity, Ids, Replicated, Secret, SecretVersion, State, Vault,
    key,
};
use crate::arm::roles;
use crate::clock::Millis;
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
            subscriptions: seed.subscriptions.clone(),
            groups: BTreeMap::new(),
            clusters: BTreeMap::new(),
            identities: BTreeMap::new(),
            vaults: BTreeMap::new(),
            assignments: Replicated::new(BTreeMap::new()),
            applications: Vec::new(),
            operations: HashMap::new(),
        };
        if state.subscriptions.is_empty() {
            return Err(dangling("the seed", "a subscription"));
        }
        seed.service_principals
            .iter()
            .for_each(|principal| state.add_application(principal));
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
        for assignment in &seed.role_assignments {
            state.add_assignment(assignment, now)?;
        }
        Ok(state)
    }

    fn subscription(&self, what: &str, given: Option<Uuid>) -> Result<Uuid, SeedError> {
        match given {
            None => Ok(self.subscriptions[0].id),
            Some(id)
                if self
                    .subscriptions
                    .iter()
                    .any(|subscription| subscription.id == id) =>
            {
                Ok(id)
            }
            Some(id) => Err(dangling(what, &format!("subscription {id}"))),
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
            self.subscription(&what, subscription)?
        );
        if !self.groups.contains_key(&key(&group_id)) {
            return Err(dangling(&what, &format!("resource group {group}")));
        }
        Ok(format!("{group_id}/providers/{kind}/{name}"))
    }

    /// The object id that a principal's name or id in a seed means.
    fn principal(&self, what: &str, named: &str) -> Result<Uuid, SeedError> {
        if let Ok(id) = Uuid::parse_str(named) {
            return Ok(id);
        }
        self.principals()
            .find(|principal| principal.name == named)
            .map(|principal| principal.object_id)
            .ok_or_else(|| dangling(what, &format!("principal {named}")))
    }

    fn add_application(&mut self, given: &seed::ServicePrincipal) {
        let name = &given.display_name;
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
            credentials: given.federated_credentials.clone(),
            disabled: given.disabled,
        });
    }

    pub(crate) fn add_group(&mut self, given: &seed::ResourceGroup) -> Result<(), SeedError> {
        let subscription = self.subscription(&given.name, given.subscription)?;
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
            extra: extra_of_cluster(),
            properties: properties_of_cluster(given),
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
            .map(|credential| (key(&credential.name), credential.clone()))
            .collect();
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
        let mut access_policies = BTreeMap::new();
        for policy in &given.access_policies {
            let principal = self.principal(&id, &policy.principal)?;
            access_policies.insert(
                principal,
                policy.secrets.iter().map(|name| name.to_lowercase()).collect(),
            );
        }
        let mut secrets = BTreeMap::new();
        for secret in &given.secrets {
            let version = SecretVersion {
                id: self
                    .ids
                    .next(&format!("secret/{id}/{}", secret.name))
                    .simple()
                    .to_string(),
                value: secret.value.clone(),
                content_type: None,
                enabled: secret.enabled,
                created: now,
            };
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
            address,
            uri: url(address),
            rbac: given.enable_rbac_authorization,
            public_network_access: !given.public_network_access.eq_ignore_ascii_case("disabled"),
            allowed_ips: given.allowed_ips.clone(),
            access_policies,
            secrets,
            id: id.clone(),
        };
        once(&mut self.vaults, &id, vault)
    }

    pub(crate) fn add_assignment(
        &mut self,
        given: &seed::RoleAssignment,
        now: Millis,
    ) -> Result<(), SeedError> {
        let what = format!("the role assignment of {} at {}", given.role, given.scope);
        let principal_id = self.principal(&what, &given.principal)?;
        let role =
            roles::find(&given.role).ok_or_else(|| dangling(&what, &format!("role {}", given.role)))?;
        let scope = given.scope.trim_end_matches('/').to_owned();
        let name = self
            .ids
            .next(&format!("assignment/{scope}/{principal_id}/{}", role.id))
            .to_string();
        let id = format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}");
        let assignment = Assignment {
            id: id.clone(),
            name,
            role: role.id,
            role_definition_id: roles::definition_id(&scope, role.id),
            scope: if scope.is_empty() { "/".to_owned() } else { scope },
            principal_id,
            principal_type: "ServicePrincipal".to_owned(),
            description: None,
            condition: given.condition.clone(),
            condition_version: given.condition.as_ref().map(|_| "2.0".to_owned()),
            created: now,
            created_by: None,
        };
        self.assignments.write(now, 0, |assignments| {
            assignments.insert(key(&id), assignment);
        });
        Ok(())
    }
}

fn once<T>(map: &mut BTreeMap<String, T>, id: &str, value: T) -> Result<(), SeedError> {
    match map.insert(key(id), value) {
        None => Ok(()),
        Some(_) => Err(SeedError::Twice { what: id.to_owned() }),
    }
}

fn dangling(what: &str, missing: &str) -> SeedError {
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

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn extra_of_cluster() -> Map<String, Value> {
    object(json!({
        "sku": {"name": "Base", "tier": "Standard"},
        "identity": {"type": "SystemAssigned"},
    }))
}

fn properties_of_cluster(given: &seed::Cluster) -> Map<String, Value> {
    let version = &given.kubernetes_version;
    let node_group = given
        .node_resource_group
        .clone()
        .unwrap_or_else(|| format!("MC_{}_{}_{}", given.resource_group, given.name, given.location));
    let mut properties = object(json!({
        "provisioningState": "Succeeded",
        "powerState": {"code": given.power_state},
        "kubernetesVersion": version,
        "currentKubernetesVersion": version,
        "dnsPrefix": format!("{}-{}", given.name, given.resource_group),
        "fqdn": given.fqdn,
        "agentPoolProfiles": [{
            "name": "nodepool1", "count": 1, "vmSize": "Standard_D4s_v5", "osType": "Linux", "mode": "System",
            "provisioningState": "Succeeded", "orchestratorVersion": version,
        }],
        "nodeResourceGroup": node_group,
        "enableRBAC": true,
        "networkProfile": {"networkPlugin": "azure", "networkPluginMode": "overlay", "podCidr": "10.244.0.0/16"},
        "disableLocalAccounts": false,
        "securityProfile": {},
        "oidcIssuerProfile": {"enabled": given.oidc_issuer_enabled},
    }));
    if given.oidc_issuer_enabled {
        properties["oidcIssuerProfile"]["issuerURL"] = given.issuer_url.clone().into();
    }
    if given.workload_identity_enabled {
        properties["securityProfile"]["workloadIdentity"] = json!({"enabled": true});
    }
    if let Some(host) = &given.private_fqdn {
        properties.insert("privateFQDN".to_owned(), host.clone().into());
        properties.insert(
            "apiServerAccessProfile".to_owned(),
            json!({"enablePrivateCluster": true}),
        );
    }
    properties
}
