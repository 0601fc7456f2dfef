//! Role assignments, and which built-in role is the least that has an action.

use super::request::parse;
use super::{Arm, ArmError, ArmRequest, retry};
use backon::{BackoffBuilder, ConstantBuilder};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

const API_VERSION: &str = "2022-04-01";
const TYPE: &str = "Microsoft.Authorization/roleAssignments";

/// Ids of built-in roles; the same in every cloud.
pub mod roles {
    /// Reads the values of secrets: `Microsoft.KeyVault/vaults/secrets/getSecret/action`.
    pub const KEY_VAULT_SECRETS_USER: &str = "4633458b-17de-408a-b874-0445c86b69e6";
}

/// A role assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleAssignment {
    /// Its full id.
    pub id: String,
    /// Where it holds; anything below inherits it.
    pub scope: String,
    /// The id of the role, without the path before it.
    pub role: String,
    /// Whom it is for.
    pub principal_id: String,
    /// A condition that narrows it.
    pub condition: Option<String>,
}

impl RoleAssignment {
    /// Whether it holds at `scope` itself or above it, without a condition that could narrow it.
    pub fn covers(&self, scope: &str) -> bool {
        let (mine, asked) = (
            self.scope.trim_end_matches('/').to_ascii_lowercase(),
            scope.to_ascii_lowercase(),
        );
        self.condition.is_none()
            && asked
                .strip_prefix(&mine)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Whether it holds at exactly this scope.
    pub fn is_at(&self, scope: &str) -> bool {
        self.scope
            .trim_end_matches('/')
            .eq_ignore_ascii_case(scope.trim_end_matches('/'))
    }
}

#[derive(Deserialize)]
struct Body {
    id: String,
    properties: Properties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    scope: String,
    role_definition_id: String,
    principal_id: String,
    #[serde(default)]
    condition: Option<String>,
}

fn read(value: Value) -> Result<RoleAssignment, ArmError> {
    let body: Body = parse(value, "role assignment")?;
    let role = body
        .properties
        .role_definition_id
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    Ok(RoleAssignment {
        id: body.id,
        scope: body.properties.scope,
        role,
        principal_id: body.properties.principal_id,
        condition: body
            .properties
            .condition
            .filter(|condition| !condition.is_empty()),
    })
}

impl Arm {
    /// The assignments of a principal that hold at `scope`: there, above and below.
    pub async fn role_assignments(
        &self,
        scope: &str,
        principal_id: &str,
    ) -> Result<Vec<RoleAssignment>, ArmError> {
        let request = ArmRequest::get(format!("{scope}/providers/{TYPE}"), API_VERSION)
            .query("$filter", &format!("principalId eq '{principal_id}'"));
        let found: Result<Vec<RoleAssignment>, ArmError> =
            self.list(request).await?.into_iter().map(read).collect();
        Ok(found?
            .into_iter()
            .filter(|one| one.principal_id.eq_ignore_ascii_case(principal_id))
            .collect())
    }

    /// Assigns a role to an identity at a scope; an assignment that exists under another name is as good.
    /// Answers the request id.
    ///
    /// A principal that is too new to be found is tried again for two minutes.
    pub async fn assign_role(
        &self,
        scope: &str,
        name: &uuid::Uuid,
        role_definition_id: &str,
        principal_id: &str,
    ) -> Result<Option<String>, ArmError> {
        let body = json!({"properties": {
            "roleDefinitionId": role_definition_id,
            "principalId": principal_id,
            "principalType": "ServicePrincipal",
        }});
        let request = ArmRequest::put(format!("{scope}/providers/{TYPE}/{name}"), API_VERSION, body);
        let pauses = ConstantBuilder::default()
            .with_delay(Duration::from_secs(5))
            .with_max_times(24)
            .build();
        let is_too_new = |error: &ArmError| error.code() == Some("PrincipalNotFound");
        let answer = retry::until(&self.1, pauses, is_too_new, || self.send(&request)).await;
        match answer {
            Ok(answer) => Ok(answer.request_id),
            Err(error) if error.code() == Some("RoleAssignmentExists") => {
                Ok(error.refusal().and_then(|refusal| refusal.request_id.clone()))
            }
            Err(error) => Err(error),
        }
    }
}

impl Arm {
    /// Deletes a role assignment by its full id; one that is gone is as good. Answers the request id.
    pub async fn delete_role_assignment(&self, id: &str) -> Result<Option<String>, ArmError> {
        // 204 is the answer for what is gone.
        let deleted = self.send_opt(&ArmRequest::delete(id, API_VERSION)).await?;
        Ok(deleted.and_then(|answer| answer.request_id))
    }
}

/// The full id of a built-in role, in the subscription of the scope that it is assigned at.
pub fn role_definition_id(subscription: &str, role: &str) -> String {
    format!("/subscriptions/{subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}")
}

/// The least built-in role that has an action at a scope, of those that setup and verify need.
pub fn least_role(action: &str, scope: &str) -> Option<&'static str> {
    let (action, scope) = (action.to_ascii_lowercase(), scope.to_ascii_lowercase());
    let under = |prefix: &str| action.starts_with(&prefix.to_ascii_lowercase());
    if action.ends_with("/read") {
        return Some("Reader");
    }
    if under("Microsoft.Authorization/roleAssignments/") {
        // It may hand out the roles of vaults only.
        return Some(if scope.contains("/providers/microsoft.keyvault/vaults/") {
            "Key Vault Data Access Administrator"
        } else {
            "Role Based Access Control Administrator"
        });
    }
    if under("Microsoft.KeyVault/vaults/") {
        return Some("Key Vault Contributor");
    }
    if under("Microsoft.ManagedIdentity/userAssignedIdentities/") {
        return Some("Managed Identity Contributor");
    }
    if under("Microsoft.ContainerService/managedClusters/") {
        return Some("Azure Kubernetes Service Contributor Role");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assignment(scope: &str) -> RoleAssignment {
        RoleAssignment {
            id: String::new(),
            scope: scope.to_owned(),
            role: roles::KEY_VAULT_SECRETS_USER.to_owned(),
            principal_id: "p".to_owned(),
            condition: None,
        }
    }

    #[test]
    fn a_scope_covers_what_is_below_it_and_no_namesake() {
        assert!(assignment("/subscriptions/S").covers("/subscriptions/s/resourceGroups/g"));
        assert!(assignment("/").covers("/subscriptions/s"));
        assert!(
            !assignment("/subscriptions/s/resourceGroups/g").covers("/subscriptions/s/resourceGroups/g2")
        );
        let narrowed = RoleAssignment {
            condition: Some("(x)".into()),
            ..assignment("/subscriptions/s")
        };
        assert!(!narrowed.covers("/subscriptions/s"));
    }

    #[test]
    fn roles_are_found_for_actions() {
        let group = "/subscriptions/s/resourceGroups/g";
        let vault = format!("{group}/providers/Microsoft.KeyVault/vaults/kv/secrets/db");
        for (action, scope, role) in [
            (
                "Microsoft.Authorization/roleAssignments/write",
                vault.as_str(),
                "Key Vault Data Access Administrator",
            ),
            (
                "Microsoft.Authorization/roleAssignments/write",
                group,
                "Role Based Access Control Administrator",
            ),
            ("Microsoft.Authorization/roleAssignments/read", group, "Reader"),
            (
                "microsoft.managedidentity/userAssignedIdentities/federatedIdentityCredentials/write",
                group,
                "Managed Identity Contributor",
            ),
            (
                "Microsoft.KeyVault/vaults/accessPolicies/write",
                &vault,
                "Key Vault Contributor",
            ),
            ("Microsoft.KeyVault/vaults/read", &vault, "Reader"),
        ] {
            assert_eq!(least_role(action, scope), Some(role), "{action}");
        }
    }
}
