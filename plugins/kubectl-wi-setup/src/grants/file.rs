//! The file of grants: what is asked for, and for whom. It is read as it is written.

use crate::file::{ApiVersion, Parsed};
use crate::outputs::{Ended, unwritten};
use aks_shared::azure::{ArmId, Scope};
use aks_shared::failure::API_VERSION;
use aks_shared::format;
use aks_shared::{ExitStatus, Failure};
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::Path;
use uuid::Uuid;

/// The kind of a file of grants.
pub(crate) const GRANTS: &str = "Grants";

/// The content of a file of grants, as --export-grants writes it.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct GrantFile {
    /// The version of the file's grammar.
    #[serde(rename = "apiVersion")]
    _api_version: ApiVersion,
    /// What the file describes.
    #[serde(rename = "kind")]
    _kind: GrantsKind,
    /// Role assignments.
    #[serde(default)]
    pub(super) grants: Vec<GrantEntry>,
    /// Access policies that let an identity read every secret of a vault.
    #[serde(default)]
    pub(super) vault_policies: Vec<PolicyEntry>,
}

/// The kind of a file of grants.
#[derive(Debug, Clone, Copy, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
enum GrantsKind {
    /// Grants of identities that exist.
    Grants,
}

/// A role for an identity at a scope.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct GrantEntry {
    /// Who asks, for people: nothing depends on it.
    #[serde(default, rename = "for")]
    pub(super) workload: String,
    /// Object id of the identity.
    #[cfg_attr(test, schemars(with = "String"))]
    pub(super) principal_id: Parsed<Uuid>,
    /// Name or id of the role.
    pub(super) role: String,
    /// Where it shall hold.
    #[cfg_attr(test, schemars(with = "String"))]
    pub(super) scope: Parsed<Scope>,
}

/// Every secret of a vault for an identity.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PolicyEntry {
    /// Who asks, for people: nothing depends on it.
    #[serde(default, rename = "for")]
    pub(super) workload: String,
    /// Object id of the identity.
    #[cfg_attr(test, schemars(with = "String"))]
    pub(super) principal_id: Parsed<Uuid>,
    /// ARM id of the vault.
    #[cfg_attr(test, schemars(with = "String"))]
    pub(super) vault: Parsed<ArmId>,
}

/// Writes what the identities of a run are to be granted, for the owner of the vaults.
pub(crate) fn export(path: &Path, ended: &[Ended<'_>]) -> Result<(), Failure> {
    let text =
        format::to_yaml(&document(ended)).map_err(|error| Failure::from_error(ExitStatus::Failed, &error))?;
    let head = "# What these identities are to be granted. Its owner looks at it and applies it:\n\
                #   kubectl wi setup --only grants -f FILE\n";
    std::fs::write(path, format!("{head}{text}")).map_err(|error| unwritten(path, &error))
}

fn document(ended: &[Ended<'_>]) -> Value {
    let (mut grants, mut policies) = (Vec::new(), Vec::new());
    for (unit, outcome, _) in ended {
        let Some(outcome) = outcome else { continue };
        let workload = format!("{} {}", unit.context, unit.account);
        grants.extend(outcome.grants.iter().map(|grant| {
            json!({
                "for": workload,
                "principalId": outcome.principal_id,
                "role": grant.role_name,
                "scope": grant.scope,
            })
        }));
        policies.extend(
            outcome
                .vault_policies
                .iter()
                .map(|vault| json!({"for": workload, "principalId": outcome.principal_id, "vault": vault})),
        );
    }
    let mut document = json!({"apiVersion": API_VERSION, "kind": GRANTS, "grants": grants});
    if !policies.is_empty() {
        document["vaultPolicies"] = json!(policies);
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Workload;
    use crate::outcome::Outcome;
    use crate::plan::plan;
    use crate::plan::tests::{everything, workload};
    use crate::selection::Unit;

    #[test]
    fn what_is_exported_is_what_is_read() {
        let mut observed = everything();
        observed.secrets[0].vault.uses_roles = false;
        let wide = Workload {
            allow_vault_wide: true,
            ..workload()
        };
        let principal = "5b1f7f4e-5f57-4d3c-9a0c-2b0d9e6a1c11";
        let outcome = |plan: &crate::Plan| Outcome::of(plan, "c".into(), principal.into(), Vec::new());
        let (role, policy) = (
            outcome(&plan(&workload(), &everything())),
            outcome(&plan(&wide, &observed)),
        );
        let unit = Unit {
            label: "weu-1".into(),
            context: "weu-1".into(),
            account: workload().account,
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("grants.yaml");
        export(&path, &[(&unit, Some(&role), None), (&unit, Some(&policy), None)]).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        let read: GrantFile = format::from_yaml(&text).unwrap();
        assert_eq!(read.grants.len(), 1, "{text}");
        assert_eq!(read.grants[0].principal_id.0.to_string(), principal);
        assert_eq!(read.grants[0].role, "Key Vault Secrets User");
        assert_eq!(read.grants[0].workload, "weu-1 shop/orders");
        assert_eq!(read.vault_policies[0].vault.0.name(), "kv-central");
    }
}
