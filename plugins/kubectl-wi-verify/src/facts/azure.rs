//! Azure's side, read through the resource manager. Nothing here changes anything.

use super::{
    AksFacts, AssignmentFacts, AzureFacts, CredentialFacts, IdentityFacts, Known, RoleFacts, SecretName,
    VaultFacts,
};
use aks_shared::azure::arm::{ArmError, ManagedCluster, ManagedIdentity};
use aks_shared::azure::{ArmId, Azure};
use aks_shared::cluster::Cluster;
use futures::future::join_all;
use std::collections::{BTreeMap, BTreeSet};

const IDENTITY_TYPE: &str = "microsoft.managedidentity/userassignedidentities";

/// Reads the cluster's resource, the identity that `client_id` names with its credentials, the vaults, and the
/// identity's roles at each secret.
pub async fn gather(
    azure: &Azure,
    cluster: &Cluster,
    client_id: Option<&str>,
    secrets: &[SecretName],
) -> AzureFacts {
    let host = cluster.server.host_str().unwrap_or_default();
    let ((cluster, identities), vaults) = tokio::join!(
        cluster_and_identities(azure, host, client_id),
        vaults(azure, secrets)
    );
    let (identity, mistaken) = match (client_id, identities) {
        (Some(client_id), Known::Known(identities)) => {
            let by = |field: fn(&IdentityFacts) -> &str| {
                identities
                    .iter()
                    .find(|identity| field(identity).eq_ignore_ascii_case(client_id))
                    .cloned()
            };
            (
                Known::Known(by(|identity| &identity.client_id)),
                by(|identity| &identity.principal_id),
            )
        }
        (None, _) => (Known::Unknown("the service account names none".to_owned()), None),
        (Some(_), Known::Unknown(why)) => (Known::Unknown(why), None),
    };
    let found = identity.known().and_then(Option::as_ref);
    let (credentials, roles) = match found {
        Some(identity) => tokio::join!(
            credentials(azure, identity),
            roles(azure, identity, &vaults, secrets)
        ),
        None => (Known::Unknown("there is no identity".to_owned()), Vec::new()),
    };
    AzureFacts {
        cluster,
        identity,
        mistaken,
        credentials,
        vaults,
        roles,
    }
}

async fn cluster_and_identities(
    azure: &Azure,
    host: &str,
    client_id: Option<&str>,
) -> (Known<Option<AksFacts>>, Known<Vec<IdentityFacts>>) {
    let cluster = match azure.arm.clusters_served_at(host, &azure.subscriptions).await {
        Ok(found) if found.len() > 1 => {
            let ids: Vec<&str> = found.iter().map(|cluster| cluster.id.as_str()).collect();
            Known::Unknown(format!("several clusters have this address: {}", ids.join(", ")))
        }
        Ok(found) => Known::Known(found.into_iter().next()),
        Err(error) => Known::Unknown(super::one_line(&error)),
    };
    let identities = match client_id {
        Some(client_id) => {
            let nearby = cluster
                .known()
                .and_then(Option::as_ref)
                .map(|cluster| &cluster.id);
            Known::of(identities(azure, nearby, client_id).await)
        }
        None => Known::Known(Vec::new()),
    };
    let facts = match cluster {
        Known::Known(cluster) => Known::Known(cluster.map(aks_facts)),
        Known::Unknown(why) => Known::Unknown(why),
    };
    (facts, identities)
}

/// Identities whose client id or principal id is `id`: first those of the cluster's own group, where setup puts
/// them, then wherever Resource Graph or the lists find them.
async fn identities(azure: &Azure, nearby: Option<&ArmId>, id: &str) -> Result<Vec<IdentityFacts>, ArmError> {
    let matches = |identity: &ManagedIdentity| {
        identity.client_id.eq_ignore_ascii_case(id) || identity.principal_id.eq_ignore_ascii_case(id)
    };
    if let Some(cluster) = nearby
        && let Ok(all) = azure
            .arm
            .identities_of_group(cluster.subscription(), cluster.resource_group())
            .await
        && let Some(found) = all.into_iter().find(matches)
    {
        return Ok(vec![identity_facts(found)]);
    }
    let found = identities_by_graph(azure, id).await;
    if !found.is_empty() {
        return Ok(found);
    }
    let subscriptions = if azure.subscriptions.is_empty() {
        azure.arm.subscriptions().await?
    } else {
        azure.subscriptions.clone()
    };
    let mut found = Vec::new();
    for subscription in subscriptions {
        let all = azure.arm.identities_of_subscription(&subscription).await?;
        found.extend(all.into_iter().filter(matches).map(identity_facts));
    }
    Ok(found)
}

/// What Resource Graph finds. It lags behind and may be closed to the caller: nothing found means nothing.
async fn identities_by_graph(azure: &Azure, id: &str) -> Vec<IdentityFacts> {
    let id: String = id
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .collect();
    let query = format!(
        "Resources | where type =~ '{IDENTITY_TYPE}' | where properties.clientId =~ '{id}' or properties.principalId =~ '{id}' | project id"
    );
    let rows = azure
        .arm
        .query(&query, &azure.subscriptions)
        .await
        .unwrap_or_default();
    let mut found = Vec::new();
    for row in rows {
        let id = row
            .get("id")
            .and_then(serde_json::Value::as_str)
            .and_then(|id| id.parse::<ArmId>().ok());
        if let Some(id) = id
            && let Ok(Some(identity)) = azure.arm.identity(&id).await
        {
            found.push(identity_facts(identity));
        }
    }
    found
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

async fn roles(
    azure: &Azure,
    identity: &IdentityFacts,
    vaults: &BTreeMap<String, Known<Option<VaultFacts>>>,
    secrets: &[SecretName],
) -> Vec<RoleFacts> {
    let each = secrets.iter().filter_map(|secret| {
        let vault = vaults.get(&secret.vault)?.known()?.as_ref()?;
        let scope = format!("{}/secrets/{}", vault.id, secret.name);
        Some(async move {
            let found = azure.arm.role_assignments(&scope, &identity.principal_id).await;
            let assignments = found.map(|assignments| {
                assignments
                    .into_iter()
                    .filter(|assignment| assignment.covers(&scope))
                    .map(|assignment| AssignmentFacts {
                        role: assignment.role,
                        scope: assignment.scope,
                    })
                    .collect()
            });
            RoleFacts {
                secret: secret.clone(),
                scope,
                assignments: Known::of(assignments),
            }
        })
    });
    join_all(each).await
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
