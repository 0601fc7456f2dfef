//! What a file of grants changes: read from Azure, then compared.

use super::file::{GrantEntry, GrantFile, PolicyEntry};
use crate::clusters::{AT_ONCE, at_once};
use crate::error::{SetupError, reading};
use crate::plan::{Change, GrantSpec, PolicySpec, compare_grant, compare_policy, conflict};
use crate::rights::{self, Right};
use aks_shared::azure::{ArmId, Azure, Scope};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;

/// What a file of grants changes, by who gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GrantsPlan {
    /// Who gets something, in the order of the file.
    pub(super) holders: Vec<Holder>,
    /// What is worth knowing and changes nothing.
    pub(super) notes: Vec<String>,
}

/// Somebody who gets something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Holder {
    /// The object id.
    pub(super) principal_id: String,
    /// Whom the file says that this is.
    #[serde(rename = "for")]
    pub(super) workload: String,
    /// The roles.
    pub(super) grants: Vec<Change<GrantSpec>>,
    /// The access policies.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) vault_policies: Vec<Change<PolicySpec>>,
}

impl GrantsPlan {
    /// Whether nothing has to change.
    pub(super) fn is_empty(&self) -> bool {
        let settled = |holder: &Holder| {
            holder.grants.iter().all(Change::is_settled)
                && holder.vault_policies.iter().all(Change::is_settled)
        };
        self.holders.iter().all(settled)
    }

    /// The rights that it takes to carry it out.
    pub(super) fn needed(&self) -> Vec<Right> {
        let holders = self.holders.iter();
        let needed: BTreeSet<Right> = holders
            .flat_map(|holder| rights::to_grant(&holder.grants, &holder.vault_policies))
            .collect();
        needed.into_iter().collect()
    }

    /// Why the plan cannot be applied.
    pub(super) fn conflicts(&self) -> Vec<String> {
        let grants = self.holders.iter().flat_map(|holder| &holder.grants);
        let policies = self.holders.iter().flat_map(|holder| &holder.vault_policies);
        let conflicts = grants.filter_map(conflict);
        conflicts.chain(policies.filter_map(conflict)).collect()
    }

    fn holder(&mut self, principal_id: &str, workload: &str) -> &mut Holder {
        let is_it = |holder: &Holder| holder.principal_id == principal_id && holder.workload == workload;
        let index = self.holders.iter().position(is_it).unwrap_or_else(|| {
            self.holders.push(Holder {
                principal_id: principal_id.to_owned(),
                workload: workload.to_owned(),
                grants: Vec::new(),
                vault_policies: Vec::new(),
            });
            self.holders.len() - 1
        });
        &mut self.holders[index]
    }
}

impl fmt::Display for GrantsPlan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for holder in &self.holders {
            let whom = match holder.workload.as_str() {
                "" => String::new(),
                // Foreign text moves no cursor.
                workload => format!(" (the file says: {})", workload.escape_debug()),
            };
            writeln!(formatter, "principal {}{whom}", holder.principal_id)?;
            for grant in &holder.grants {
                writeln!(formatter, "  {grant}")?;
            }
            for policy in &holder.vault_policies {
                writeln!(formatter, "  {policy}")?;
            }
        }
        for note in &self.notes {
            writeln!(formatter, "* {note}")?;
        }
        Ok(())
    }
}

/// Reads what the file's identities have, and plans what they lack.
pub(super) async fn observe(azure: &Azure, file: &GrantFile) -> Result<GrantsPlan, SetupError> {
    let mut plan = GrantsPlan {
        holders: Vec::new(),
        notes: Vec::new(),
    };
    let grants = file.grants.iter().map(|entry| grant(azure, entry)).collect();
    for (entry, change) in file.grants.iter().zip(at_once(AT_ONCE, grants).await) {
        let (change, notes) = change?;
        let principal = entry.principal_id.0.to_string();
        plan.holder(&principal, &entry.workload).grants.push(change);
        plan.notes.extend(notes);
    }
    let policies = file
        .vault_policies
        .iter()
        .map(|entry| policy(azure, entry))
        .collect();
    for (entry, change) in file.vault_policies.iter().zip(at_once(AT_ONCE, policies).await) {
        let principal = entry.principal_id.0.to_string();
        let holder = plan.holder(&principal, &entry.workload);
        holder.vault_policies.push(change?);
    }
    Ok(plan)
}

/// A role of the file, with what is worth knowing of it.
async fn grant(azure: &Azure, entry: &GrantEntry) -> Result<(Change<GrantSpec>, Vec<String>), SetupError> {
    let scope = &entry.scope.0;
    let principal = entry.principal_id.0.to_string();
    // The names that are shown are Azure's, whatever the file calls things.
    let definition = azure
        .arm
        .role_definition(scope, &entry.role)
        .await
        .map_err(reading(format!("role {:?} at {scope}", entry.role)))?
        .ok_or_else(|| SetupError::RoleMissing {
            role: entry.role.clone(),
            scope: scope.clone(),
        })?;
    let assignments = azure
        .arm
        .role_assignments(scope.as_str(), &principal)
        .await
        .map_err(reading(format!("the role assignments at {scope}")))?;
    let spec = GrantSpec {
        secret: None,
        vault: None,
        scope: scope.clone(),
        role: definition.role,
        role_name: definition.name,
        role_definition_id: definition.id,
        principal_id: Some(principal),
    };
    let mut notes = Vec::new();
    let change = match useless_at_secret(azure, scope, &mut notes).await? {
        Some(why) => Change::Conflict { wanted: spec, why },
        None => compare_grant(spec, &assignments, &mut notes),
    };
    Ok((change, notes))
}

/// Why a role at a secret would come to nothing. Whoever asks for it may not have been able to look.
async fn useless_at_secret(
    azure: &Azure,
    scope: &Scope,
    notes: &mut Vec<String>,
) -> Result<Option<String>, SetupError> {
    let Some((vault, secret)) = secret_of(scope) else {
        return Ok(None);
    };
    let found = azure.arm.vault(&vault).await;
    let found = found.map_err(reading(format!("vault {}", vault.name())))?;
    let Some(found) = found else {
        return Err(SetupError::VaultMissing {
            name: vault.to_string(),
        });
    };
    if !found.uses_roles {
        let why = format!(
            "vault {} uses access policies, and roles mean nothing there; have the grants exported anew with --allow-vault-wide, or use a vault with Azure RBAC",
            found.name
        );
        return Ok(Some(why));
    }
    if let Ok(None) = azure.arm.secret(&vault, &secret).await {
        notes.push(format!("secret {}/{secret} does not exist yet", found.name));
    }
    Ok(None)
}

/// The vault and the name of a secret that is a scope.
fn secret_of(scope: &Scope) -> Option<(ArmId, String)> {
    let id: ArmId = scope.as_str().parse().ok()?;
    if !id.is_type("Microsoft.KeyVault/vaults/secrets") {
        return None;
    }
    let vault = scope.as_str().rsplitn(3, '/').nth(2)?;
    Some((vault.parse().ok()?, id.name().to_owned()))
}

async fn policy(azure: &Azure, entry: &PolicyEntry) -> Result<Change<PolicySpec>, SetupError> {
    let id = &entry.vault.0;
    let vault = azure
        .arm
        .vault(id)
        .await
        .map_err(reading(format!("vault {}", id.name())))?
        .ok_or_else(|| SetupError::VaultMissing { name: id.to_string() })?;
    let spec = PolicySpec {
        vault: vault.name.clone(),
        id: vault.id.clone(),
        tenant_id: vault.tenant_id.clone(),
        principal_id: Some(entry.principal_id.0.to_string()),
    };
    if vault.uses_roles {
        let why =
            "Azure RBAC rules this vault, and access policies mean nothing there; export the grants anew"
                .to_owned();
        return Ok(Change::Conflict { wanted: spec, why });
    }
    Ok(compare_policy(spec, &vault))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_secret_has_a_vault() {
        let vault = "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/kv";
        let secret = format!("{vault}/Secrets/db").parse().unwrap();
        assert_eq!(
            secret_of(&secret),
            Some((vault.parse().unwrap(), "db".to_owned()))
        );
        for other in [vault, "/subscriptions/s"] {
            assert_eq!(secret_of(&other.parse().unwrap()), None);
        }
    }
}
