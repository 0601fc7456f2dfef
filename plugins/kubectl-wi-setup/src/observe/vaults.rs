//! The vaults and secrets that a workload names, and the grants that its identity has there.

use crate::error::{SetupError, reading};
use aks_shared::azure::arm::{ManagedIdentity, RoleAssignment, Vault, roles};
use aks_shared::azure::{ArmId, Azure};
use aks_shared::identity::SecretRef;

/// A vault, found once for all its secrets.
#[derive(Debug, Clone)]
pub struct ObservedVault {
    /// The vault as the workload names it: a name or an ARM id.
    pub named: String,
    /// What ARM says of it.
    pub vault: Vault,
}

/// A secret that the workload names.
#[derive(Debug, Clone)]
pub struct ObservedSecret {
    /// The secret as it was named.
    pub named: SecretRef,
    /// Its vault in ARM.
    pub vault: Vault,
    /// Its own ARM id: the scope of the grant.
    pub scope: ArmId,
    /// The assignments of Key Vault Secrets User to the identity that hold here.
    pub grants: Vec<RoleAssignment>,
}

/// Finds the vaults, each once, and checks that every secret exists.
pub(super) async fn observe(
    azure: &Azure,
    wanted: &[SecretRef],
) -> Result<(Vec<ObservedVault>, Vec<ObservedSecret>), SetupError> {
    let mut named: Vec<&str> = wanted.iter().map(|secret| secret.vault.as_str()).collect();
    named.sort_unstable();
    named.dedup();
    let vaults = futures::future::try_join_all(named.iter().map(|name| find(azure, name))).await?;
    let secrets = wanted.iter().filter_map(|secret| {
        let vault = vaults.iter().find(|vault| vault.named == secret.vault)?;
        Some(find_secret(azure, secret, &vault.vault))
    });
    let secrets = futures::future::try_join_all(secrets).await?;
    Ok((vaults, secrets))
}

async fn find(azure: &Azure, named: &str) -> Result<ObservedVault, SetupError> {
    let what = || format!("vault {named}");
    let vault = if named.starts_with('/') {
        azure.arm.vault(&named.parse()?).await.map_err(reading(what()))?
    } else {
        // Names are unique in a cloud.
        azure
            .arm
            .vaults_named(named, &azure.subscriptions)
            .await
            .map_err(reading(what()))?
            .pop()
    };
    let vault = vault.ok_or_else(|| SetupError::VaultMissing {
        name: named.to_owned(),
    })?;
    Ok(ObservedVault {
        named: named.to_owned(),
        vault,
    })
}

async fn find_secret(azure: &Azure, named: &SecretRef, vault: &Vault) -> Result<ObservedSecret, SetupError> {
    match azure.arm.secret(&vault.id, &named.name).await {
        Ok(None) => {
            return Err(SetupError::SecretMissing {
                secret: named.clone(),
            });
        }
        // Who may grant roles may not be allowed to list secrets; the grant itself does not need it.
        Ok(Some(_)) => {}
        Err(error) if error.is_forbidden() => {}
        Err(error) => return Err(reading(format!("secret {named}"))(error)),
    }
    let scope = vault.id.child("secrets", &named.name)?;
    Ok(ObservedSecret {
        named: named.clone(),
        vault: vault.clone(),
        scope,
        grants: Vec::new(),
    })
}

/// Reads what the identity may already read.
pub(super) async fn observe_grants(
    azure: &Azure,
    identity: &ManagedIdentity,
    secrets: &mut [ObservedSecret],
) -> Result<(), SetupError> {
    let read = secrets.iter().map(|secret| async {
        azure
            .arm
            .role_assignments(secret.scope.as_str(), &identity.principal_id)
            .await
            .map_err(reading(format!(
                "the role assignments at secret {}",
                secret.named
            )))
    });
    let found = futures::future::try_join_all(read).await?;
    for (secret, assignments) in secrets.iter_mut().zip(found) {
        secret.grants = assignments
            .into_iter()
            .filter(|one| one.role == roles::KEY_VAULT_SECRETS_USER)
            .filter(|one| one.covers(secret.scope.as_str()) || one.is_at(secret.scope.as_str()))
            .collect();
    }
    Ok(())
}
