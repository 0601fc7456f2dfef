//! Azure's side, read through the resource manager. Nothing here changes anything.

use super::{
    AksFacts, AssignmentFacts, AzureFacts, CredentialFacts, IdentityFacts, Known, RoleFacts, SecretName,
    VaultFacts,
};
use aks_shared::azure::arm::{ArmError, ManagedCluster, ManagedIdentity, RoleAssignment};
use aks_shared::azure::{ArmId, Azure};
use aks_shared::cluster::Cluster;
use aks_shared::identity::ServiceAccountRef;
use aks_shared::labels::{CLUSTER_TAG, SUBJECT_TAG};
use futures::future::join_all;
use std::collections::{BTreeMap, BTreeSet};

/// What can be asked before anybody knows which identity the account names.
pub struct Beforehand {
    cluster: Known<Option<ManagedCluster>>,
    vaults: BTreeMap<String, Known<Option<VaultFacts>>>,
}

/// Reads the cluster's resource and the vaults.
pub async fn beforehand(azure: &Azure, cluster: &Cluster, secrets: &[SecretName]) -> Beforehand {
    let host = cluster.server.host_str().unwrap_or_default();
    let (cluster, vaults) = tokio::join!(aks_cluster(azure, host), vaults(azure, secrets));
    Beforehand { cluster, vaults }
}

/// Reads the identity that `client_id` names with its credentials, and its roles at each secret.
pub async fn gather(
    azure: &Azure,
    beforehand: Beforehand,
    account: &ServiceAccountRef,
    client_id: Option<&str>,
    secrets: &[SecretName],
) -> AzureFacts {
    let Beforehand { cluster, vaults } = beforehand;
    let nearby = cluster.found().map(|cluster| &cluster.id);
    let Identities {
        identity,
        mistaken,
        intended,
    } = identities(azure, nearby, account, client_id).await;
    let (credentials, roles) = match identity.found() {
        Some(identity) => tokio::join!(
            credentials(azure, identity),
            roles(azure, identity, &vaults, secrets)
        ),
        None => (Known::Unknown("there is no identity".to_owned()), Vec::new()),
    };
    AzureFacts {
        authority: Some(azure.cloud.authority.to_string()),
        cluster: cluster.map(|cluster| cluster.map(aks_facts)),
        identity,
        mistaken,
        intended,
        credentials,
        vaults,
        roles,
    }
}

async fn aks_cluster(azure: &Azure, host: &str) -> Known<Option<ManagedCluster>> {
    match azure
        .arm
        .clusters_served_at(host, &azure.cluster_subscriptions)
        .await
    {
        Ok(found) if found.len() > 1 => {
            let ids: Vec<&str> = found.iter().map(|cluster| cluster.id.as_str()).collect();
            Known::Unknown(format!("several clusters have this address: {}", ids.join(", ")))
        }
        Ok(found) => Known::Known(found.into_iter().next()),
        Err(error) => Known::Unknown(super::one_line(&error)),
    }
}

/// The identities that have to do with an account.
struct Identities {
    /// The one whose client id it names.
    identity: Known<Option<IdentityFacts>>,
    /// The one whose principal id it names.
    mistaken: Option<IdentityFacts>,
    /// The one that setup tagged as its own, when that is another than it names.
    intended: Option<IdentityFacts>,
}

async fn identities(
    azure: &Azure,
    nearby: Option<&ArmId>,
    account: &ServiceAccountRef,
    client_id: Option<&str>,
) -> Identities {
    let found = match client_id {
        Some(id) => search(azure, nearby, account, id)
            .await
            .map(|found| (id, found))
            .map_err(|error| super::one_line(&error)),
        None => Err("the service account names none".to_owned()),
    };
    let (id, (named, intended)) = match found {
        Ok(found) => found,
        Err(why) => {
            return Identities {
                identity: Known::Unknown(why),
                mistaken: None,
                intended: None,
            };
        }
    };
    let by = |field: fn(&IdentityFacts) -> &str| {
        let mut named = named.iter();
        named
            .find(|identity| field(identity).eq_ignore_ascii_case(id))
            .cloned()
    };
    let identity = by(|identity| &identity.client_id);
    Identities {
        mistaken: by(|identity| &identity.principal_id),
        intended: intended.filter(|intended| identity.as_ref() != Some(intended)),
        identity: Known::Known(identity),
    }
}

/// The identities whose client id or principal id is `id`, and the one that setup tagged as the account's: first in the
/// cluster's own group, where setup puts them, then wherever Resource Graph or the lists find them.
async fn search(
    azure: &Azure,
    nearby: Option<&ArmId>,
    account: &ServiceAccountRef,
    id: &str,
) -> Result<(Vec<IdentityFacts>, Option<IdentityFacts>), ArmError> {
    let mut intended = None;
    if let Some(cluster) = nearby
        && let Ok(all) = azure
            .arm
            .identities_of_group(cluster.subscription(), cluster.resource_group())
            .await
    {
        let is_made_for = |identity: &&ManagedIdentity| {
            let tag = |name: &str| identity.tags.get(name).map(String::as_str);
            tag(SUBJECT_TAG) == Some(account.subject().as_str())
                && tag(CLUSTER_TAG) == Some(cluster.canonical().as_str())
        };
        intended = all.iter().find(is_made_for).cloned().map(identity_facts);
        if let Some(found) = all.into_iter().find(|identity| identity.has_id(id)) {
            return Ok((vec![identity_facts(found)], intended));
        }
    }
    let named = azure.arm.identities_with(id, &azure.subscriptions).await?;
    Ok((named.into_iter().map(identity_facts).collect(), intended))
}

async fn credentials(azure: &Azure, identity: &IdentityFacts) -> Known<Vec<CredentialFacts>> {
    let Ok(id) = identity.id.parse::<ArmId>() else {
        return Known::Unknown(format!("{} is no resource id", identity.id));
    };
    let found = azure.arm.federated_credentials(&id).await;
    Known::of(found.map(|credentials| {
        credentials
            .into_iter()
            .map(|credential| CredentialFacts {
                name: credential.name,
                issuer: credential.issuer.0,
                subject: credential.subject.0,
                audiences: credential
                    .audiences
                    .into_iter()
                    .map(|audience| audience.0)
                    .collect(),
                expression: credential.expression,
            })
            .collect()
    }))
}

async fn vaults(azure: &Azure, secrets: &[SecretName]) -> BTreeMap<String, Known<Option<VaultFacts>>> {
    let names: BTreeSet<&str> = secrets.iter().map(|secret| secret.vault.as_str()).collect();
    let each = names
        .into_iter()
        .map(async |name| (name.to_owned(), vault(azure, name).await));
    join_all(each).await.into_iter().collect()
}

async fn vault(azure: &Azure, name: &str) -> Known<Option<VaultFacts>> {
    let found = match name.parse::<ArmId>() {
        Ok(id) => azure
            .arm
            .vault(&id)
            .await
            .map(|vault| vault.into_iter().collect::<Vec<_>>()),
        Err(_) => azure.arm.vaults_named(name, &azure.subscriptions).await,
    };
    match found {
        Ok(found) if found.len() > 1 => Known::Unknown(format!(
            "several vaults are called {name}; name the one by its ARM id"
        )),
        Ok(found) => Known::Known(found.into_iter().next().map(|vault| VaultFacts {
            id: vault.id.to_string(),
            uri: vault.uri,
            rbac: vault.uses_roles,
        })),
        Err(error) => Known::Unknown(super::one_line(&error)),
    }
}

/// The identity's roles at each secret. A vault is asked once: the answer has what holds above it and below as well.
async fn roles(
    azure: &Azure,
    identity: &IdentityFacts,
    vaults: &BTreeMap<String, Known<Option<VaultFacts>>>,
    secrets: &[SecretName],
) -> Vec<RoleFacts> {
    let each = vaults.iter().filter_map(|(name, vault)| {
        let vault = vault.found()?;
        Some(async move {
            let found = azure
                .arm
                .role_assignments(&vault.id, &identity.principal_id)
                .await;
            let found = Known::of(found);
            let of_vault = secrets.iter().filter(|secret| secret.vault == *name);
            of_vault
                .map(|secret| roles_at(vault, secret, &found))
                .collect::<Vec<_>>()
        })
    });
    join_all(each).await.into_iter().flatten().collect()
}

fn roles_at(vault: &VaultFacts, secret: &SecretName, found: &Known<Vec<RoleAssignment>>) -> RoleFacts {
    let scope = format!("{}/secrets/{}", vault.id, secret.name);
    let facts = |assignment: &RoleAssignment| AssignmentFacts {
        role: assignment.role.clone(),
        scope: assignment.scope.clone(),
    };
    let (assignments, elsewhere) = match found {
        Known::Known(found) => {
            let (here, elsewhere): (Vec<_>, Vec<_>) =
                found.iter().partition(|assignment| assignment.covers(&scope));
            (
                Known::Known(here.into_iter().map(facts).collect()),
                elsewhere.into_iter().map(facts).collect(),
            )
        }
        Known::Unknown(why) => (Known::Unknown(why.clone()), Vec::new()),
    };
    RoleFacts {
        secret: secret.clone(),
        scope,
        assignments,
        elsewhere,
    }
}

fn aks_facts(cluster: ManagedCluster) -> AksFacts {
    AksFacts {
        id: cluster.id.to_string(),
        name: cluster.name,
        group: cluster.id.resource_group().to_owned(),
        issuer: cluster.issuer.map(|issuer| issuer.0),
        issuer_enabled: cluster.issuer_enabled,
        workload_identity_enabled: cluster.workload_identity_enabled,
    }
}

fn identity_facts(identity: ManagedIdentity) -> IdentityFacts {
    IdentityFacts {
        name: identity.id.name().to_owned(),
        id: identity.id.to_string(),
        client_id: identity.client_id,
        principal_id: identity.principal_id,
        tenant_id: identity.tenant_id,
    }
}
