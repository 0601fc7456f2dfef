//! The vaults and secrets that a workload names, and the grants that its identity has there.

use crate::error::{SetupError, reading};
use crate::{GrantRequest, Step, Workload};
use aks_shared::azure::arm::{ManagedIdentity, RoleAssignment, RoleDefinition, Vault};
use aks_shared::azure::{ArmId, Azure, Scope};
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
    /// The roles that the identity has here, inherited ones included.
    pub grants: Vec<RoleAssignment>,
}

/// A role that was asked for besides those for the secrets.
#[derive(Debug, Clone)]
pub struct ObservedGrant {
    /// Where it shall hold.
    pub scope: Scope,
    /// The role.
    pub definition: RoleDefinition,
    /// The roles that the identity has there, inherited ones included.
    pub assignments: Vec<RoleAssignment>,
}

/// What is found of the vaults and secrets that a workload names.
#[derive(Debug, Default)]
pub(super) struct Named {
    pub(super) vaults: Vec<ObservedVault>,
    pub(super) secrets: Vec<ObservedSecret>,
    /// The ids of vaults that the principal may not read; only where others make the grants.
    pub(super) unseen: Vec<ArmId>,
}

/// Finds the vaults, each once, and checks that every secret exists. Where others make the grants, a vault that is named
/// by its id need not be readable: the grant depends on nothing else.
pub(super) async fn observe(azure: &Azure, workload: &Workload) -> Result<Named, SetupError> {
    let wanted = &workload.secrets;
    let left_to_others = workload.skip.contains(&Step::Grants);
    let mut names: Vec<&str> = wanted.iter().map(|secret| secret.vault.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let finds = names.into_iter().map(|name| async move {
        match find(azure, name).await {
            Err(error) if left_to_others && name.starts_with('/') && is_hidden(&error) => {
                Ok(Err(name.parse::<ArmId>()?))
            }
            found => found.map(Ok),
        }
    });
    let mut all = Named::default();
    for found in futures::future::try_join_all(finds).await? {
        match found {
            Ok(vault) => all.vaults.push(vault),
            Err(unseen) => all.unseen.push(unseen),
        }
    }
    let secrets = wanted.iter().map(|secret| {
        let vault = all.vaults.iter().find(|vault| vault.named == secret.vault);
        async move {
            match vault {
                Some(vault) => find_secret(azure, secret, &vault.vault).await,
                None => unseen_secret(azure, secret, !workload.allow_vault_wide),
            }
        }
    });
    all.secrets = futures::future::try_join_all(secrets).await?;
    Ok(all)
}

/// Whether a vault may well be there for others to see.
fn is_hidden(error: &SetupError) -> bool {
    match error {
        SetupError::VaultMissing { .. } => true,
        SetupError::Azure { source, .. } => source.is_forbidden(),
        _ => false,
    }
}

/// A secret of a vault of which no more is known than its id. What is supposed of it here makes no grant: whoever makes
/// it looks at the vault.
fn unseen_secret(azure: &Azure, named: &SecretRef, uses_roles: bool) -> Result<ObservedSecret, SetupError> {
    let id: ArmId = named.vault.parse()?;
    let scope = id.child("secrets", &named.name)?;
    Ok(ObservedSecret {
        named: named.clone(),
        vault: Vault {
            name: id.name().to_owned(),
            id,
            location: String::new(),
            uri: String::new(),
            tenant_id: azure.principal.tenant.clone(),
            uses_roles,
            secret_readers: Vec::new(),
        },
        scope,
        grants: Vec::new(),
    })
}

/// The vault of a name or an ARM id.
pub(crate) async fn find(azure: &Azure, named: &str) -> Result<ObservedVault, SetupError> {
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

/// Finds the roles that are asked for by name.
pub(super) async fn observe_roles(
    azure: &Azure,
    wanted: &[GrantRequest],
) -> Result<Vec<ObservedGrant>, SetupError> {
    let found = wanted.iter().map(|grant| async move {
        let definition = azure
            .arm
            .role_definition(&grant.scope, &grant.role)
            .await
            .map_err(reading(format!("role {:?} at {}", grant.role, grant.scope)))?;
        Ok(ObservedGrant {
            scope: grant.scope.clone(),
            definition: definition.ok_or_else(|| SetupError::RoleMissing {
                role: grant.role.clone(),
                scope: grant.scope.clone(),
            })?,
            assignments: Vec::new(),
        })
    });
    futures::future::try_join_all(found).await
}

/// Reads what the identity may already do.
pub(super) async fn observe_grants(
    azure: &Azure,
    identity: &ManagedIdentity,
    named: &mut Named,
    grants: &mut [ObservedGrant],
) -> Result<(), SetupError> {
    let read = |scope: String, what: String| async move {
        azure
            .arm
            .role_assignments(&scope, &identity.principal_id)
            .await
            .map_err(reading(format!("the role assignments at {what}")))
    };
    // Where access policies rule, roles say nothing; of a vault that is hidden, neither do they.
    let Named { secrets, unseen, .. } = named;
    let is_told =
        |secret: &&mut ObservedSecret| secret.vault.uses_roles && !unseen.contains(&secret.vault.id);
    let at_secrets = secrets.iter_mut().filter(is_told).map(|secret| {
        let found = read(secret.scope.to_string(), format!("secret {}", secret.named));
        async move {
            secret.grants = found.await?;
            Ok::<(), SetupError>(())
        }
    });
    let at_scopes = grants.iter_mut().map(|grant| {
        let found = read(grant.scope.to_string(), grant.scope.to_string());
        async move {
            grant.assignments = found.await?;
            Ok::<(), SetupError>(())
        }
    });
    futures::try_join!(
        futures::future::try_join_all(at_secrets),
        futures::future::try_join_all(at_scopes)
    )?;
    Ok(())
}
