//! What an administrator grants so that somebody may let identities read secrets and nothing else: the right to assign
//! roles, narrowed by a condition to one role and to one kind of principal.
//!
//! The form of the condition is the one of
//! <https://learn.microsoft.com/azure/role-based-access-control/delegate-role-assignments-examples>.

use aks_shared::ExitStatus;
use aks_shared::azure::arm::roles::KEY_VAULT_SECRETS_USER;
use aks_shared::azure::{ArmId, Principal};
use aks_shared::failure::API_VERSION;
use serde_json::{Value, json};
use std::fmt::Write;

/// The role that the condition narrows: it assigns roles and does nothing else.
const ROLE: &str = "Role Based Access Control Administrator";
/// The version of the language of conditions.
const CONDITION_VERSION: &str = "2.0";

/// A delegation to a principal at the vaults that it grants secrets of.
#[derive(Debug)]
pub(crate) struct Delegation {
    assignee: String,
    vaults: Vec<ArmId>,
}

impl Delegation {
    /// The delegation that lets the signed-in principal grant secrets of these vaults.
    pub(crate) fn new(principal: &Principal, vaults: Vec<ArmId>) -> Self {
        let assignee = principal.object_id.clone();
        Self {
            assignee: assignee.unwrap_or_else(|| "OBJECT-ID".to_owned()),
            vaults,
        }
    }

    /// The commands for a person, one for each vault.
    pub(crate) fn text(&self) -> String {
        let mut text = format!(
            "# Lets {} assign Key Vault Secrets User to service principals and managed identities, and nothing else\n",
            self.assignee
        );
        for vault in &self.vaults {
            // The condition holds single quotes, so the shell gets it in double ones; it has no $, ` or \\ to keep.
            let _ = writeln!(
                text,
                "az role assignment create --role {ROLE:?} --assignee-object-id {} --scope {vault} --condition-version {CONDITION_VERSION} --condition \"{}\"",
                self.assignee,
                condition()
            );
        }
        text
    }

    /// The document for programs.
    pub(crate) fn document(&self) -> Value {
        let scopes: Vec<&str> = self.vaults.iter().map(ArmId::as_str).collect();
        let content = json!({
            "role": ROLE,
            "principalId": self.assignee,
            "scopes": scopes,
            "conditionVersion": CONDITION_VERSION,
            "condition": condition(),
        });
        ExitStatus::Ok.document(API_VERSION, "Delegation", content)
    }
}

/// Assigning (judged by the request) and taking away (judged by what is there) of one role, for service principals:
/// what Azure calls the type of managed identities too.
fn condition() -> String {
    let limited = |action: &str, source: &str| {
        let attribute = |name: &str| format!("@{source}[Microsoft.Authorization/roleAssignments:{name}]");
        format!(
            "((!(ActionMatches{{'Microsoft.Authorization/roleAssignments/{action}'}})) OR ({} ForAnyOfAnyValues:GuidEquals {{{KEY_VAULT_SECRETS_USER}}} AND {} ForAnyOfAnyValues:StringEqualsIgnoreCase {{'ServicePrincipal'}}))",
            attribute("RoleDefinitionId"),
            attribute("PrincipalType"),
        )
    };
    format!(
        "{} AND {}",
        limited("write", "Request"),
        limited("delete", "Resource")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;

    fn delegation() -> Delegation {
        let vault = "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/kv-central";
        let principal = Principal {
            method: "github".into(),
            tenant: "t".into(),
            object_id: Some("o".into()),
            name: None,
        };
        Delegation::new(&principal, vec![vault.parse().unwrap()])
    }

    #[test]
    fn the_condition_admits_one_role_for_service_principals_both_ways() {
        assert_eq!(
            condition(),
            "((!(ActionMatches{'Microsoft.Authorization/roleAssignments/write'})) OR \
             (@Request[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {4633458b-17de-408a-b874-0445c86b69e6} \
             AND @Request[Microsoft.Authorization/roleAssignments:PrincipalType] ForAnyOfAnyValues:StringEqualsIgnoreCase {'ServicePrincipal'})) AND \
             ((!(ActionMatches{'Microsoft.Authorization/roleAssignments/delete'})) OR \
             (@Resource[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {4633458b-17de-408a-b874-0445c86b69e6} \
             AND @Resource[Microsoft.Authorization/roleAssignments:PrincipalType] ForAnyOfAnyValues:StringEqualsIgnoreCase {'ServicePrincipal'}))"
        );
    }

    #[test]
    fn the_command_can_be_pasted() {
        let text = delegation().text();
        let command = text.lines().last().unwrap();
        assert!(
            command.starts_with(
                "az role assignment create --role \"Role Based Access Control Administrator\" --assignee-object-id o \
                 --scope /subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/kv-central "
            ),
            "{command}"
        );
        // Three arguments are quoted for the shell: nothing inside them ends the quotes or is expanded.
        assert_eq!(command.matches('"').count(), 4);
        assert!(!command.contains(['$', '`', '\\']));
        assert_eq!(delegation().document()["condition"], condition());
    }
}
