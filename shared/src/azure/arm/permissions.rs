//! What the caller may do at a scope, as far as Azure tells it.

use super::request::parse;
use super::{Arm, ArmError, ArmRequest};
use crate::kubeconfig::glob_matches;
use serde::Deserialize;

const API_VERSION: &str = "2022-04-01";

/// The actions of the roles that the caller has at one scope, one entry for each role.
///
/// A "no" is certain. A "yes" is advice: conditions, deny assignments, locks and policies do not show here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Permissions(Vec<Permission>);

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Permission {
    #[serde(default)]
    actions: Vec<String>,
    #[serde(default)]
    not_actions: Vec<String>,
}

impl Permissions {
    /// Whether some role has the action. What one role leaves out, another may have.
    pub fn allow(&self, action: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| covers(pattern, action));
        self.0
            .iter()
            .any(|role| any(&role.actions) && !any(&role.not_actions))
    }
}

impl Arm {
    /// What the caller may do at `scope`: a subscription, a group or a resource.
    pub async fn permissions(&self, scope: &str) -> Result<Permissions, ArmError> {
        let path = format!("{scope}/providers/Microsoft.Authorization/permissions");
        let roles = self.list(ArmRequest::get(path, API_VERSION)).await?;
        let roles: Result<Vec<Permission>, ArmError> =
            roles.into_iter().map(|role| parse(role, "permission")).collect();
        Ok(Permissions(roles?))
    }
}

/// Whether a pattern covers an action: no case, `*` is any text. A `*` between slashes may stand for nothing:
/// `userAssignedIdentities/*/write` is what the built-in roles say for `userAssignedIdentities/write` too.
fn covers(pattern: &str, action: &str) -> bool {
    let (pattern, action) = (pattern.to_ascii_lowercase(), action.to_ascii_lowercase());
    glob_matches(&pattern, &action) || glob_matches(&pattern.replace("/*/", "/"), &action)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const ASSIGN: &str = "Microsoft.Authorization/roleAssignments/write";
    const IDENTITY: &str = "Microsoft.ManagedIdentity/userAssignedIdentities/write";

    fn permissions(roles: &Value) -> Permissions {
        Permissions(serde_json::from_value(roles.clone()).unwrap())
    }

    #[test]
    fn contributors_write_identities_and_assign_nothing() {
        let contributor = json!({"actions": ["*"], "notActions": ["Microsoft.Authorization/*/Write"]});
        let alone = permissions(&json!([contributor]));
        assert!(alone.allow(IDENTITY) && !alone.allow(ASSIGN));
        let with_another = permissions(&json!([contributor, {"actions": [ASSIGN], "notActions": []}]));
        assert!(with_another.allow(ASSIGN));
        assert!(!Permissions::default().allow(IDENTITY));
    }

    #[test]
    fn patterns_cover_whole_actions_without_case() {
        for pattern in [
            "*",
            "microsoft.managedidentity/*",
            "Microsoft.ManagedIdentity/userAssignedIdentities/*/write",
            "*/userassignedidentities/write",
            "Microsoft.*Identity/*/write",
        ] {
            assert!(covers(pattern, IDENTITY), "{pattern}");
        }
        for pattern in [
            "",
            "*/read",
            "Microsoft.ManagedIdentity/userAssignedIdentities",
            "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/*",
            "userAssignedIdentities/write",
        ] {
            assert!(!covers(pattern, IDENTITY), "{pattern}");
        }
    }
}
