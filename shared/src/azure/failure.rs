//! How an Azure error ends a command, and what the user can do about it.

use super::arm::{ArmError, least_role};
use super::{ArmId, AzureError, CloudError};
use crate::exit::ExitStatus;
use crate::failure::Failure;

impl From<AzureError> for Failure {
    fn from(error: AzureError) -> Self {
        match error {
            AzureError::Cloud(error) => Self::from(error),
            AzureError::Trust(error) => Self::from_error(ExitStatus::Usage, &error)
                .hint("name a PEM file with --ca-file, or unset AKS_WI_CA_FILE"),
            AzureError::SignIn(ref source) => source.failure(error.to_string()),
            AzureError::Arm(error) => Self::from(error),
        }
    }
}

impl From<CloudError> for Failure {
    fn from(error: CloudError) -> Self {
        let failure = Self::from_error(ExitStatus::Usage, &error);
        match error {
            CloudError::Unknown { .. } => failure.hint("use --cloud public|usgov|china|FILE.json"),
            CloudError::Authority { .. } => {
                failure.hint("describe the cloud: --cloud FILE.json, or name it: --cloud public|usgov|china")
            }
            CloudError::NoFile => failure.hint("set AZURE_ENVIRONMENT_FILEPATH, or use --cloud FILE.json"),
            CloudError::Read { .. } | CloudError::Parse { .. } | CloudError::Endpoint { .. } => failure,
        }
    }
}

impl From<ArmError> for Failure {
    fn from(error: ArmError) -> Self {
        let mut failure = Self::from_error(ExitStatus::Failed, &error);
        for hint in hints(&error) {
            failure = failure.hint(hint);
        }
        failure
    }
}

/// What can be done about a refusal of the resource manager.
fn hints(error: &ArmError) -> Vec<String> {
    let Some(refusal) = error.refusal() else {
        return Vec::new();
    };
    if error.is_forbidden() {
        let (action, scope) = (refusal.action(), refusal.scope());
        let mut hint = format!("the missing action is {action} at {scope}");
        if let Some(role) = least_role(&action, &scope) {
            let principal = refusal.principal().unwrap_or_else(|| "PRINCIPAL".to_owned());
            let scope = grantable(&scope);
            hint = format!(
                "{hint}; ask for the role {role:?}: az role assignment create --role {role:?} --assignee {principal} --scope {scope}"
            );
        }
        return vec![
            hint,
            "a role that was just granted needs a new sign-in and up to ten minutes".to_owned(),
        ];
    }
    match refusal.code.as_str() {
        "MissingSubscriptionRegistration" => {
            vec!["register the resource provider: az provider register --namespace NAMESPACE".to_owned()]
        }
        "InvalidAuthenticationTokenTenant" => vec![
            "the subscription is in another tenant than the sign-in; choose it with --tenant: az account list --query '[].{id: id, tenant: tenantId}' -o table"
                .to_owned(),
        ],
        "ExpiredAuthenticationToken" => {
            vec!["Azure takes the token for expired: check this machine's clock, and sign in again".to_owned()]
        }
        "ScopeLocked" => vec![format!(
            "a lock forbids this; see it, and ask its owner to lift it: az lock list --resource-group {} -o table",
            group_of(&refusal.path)
        )],
        "RequestDisallowedByPolicy" => vec![format!(
            "a policy forbids this; see it, give what it wants (--tag, --identity-group) or ask for an exemption: az policy assignment list --resource-group {} --disable-scope-strict-match -o table",
            group_of(&refusal.path)
        )],
        "DenyAssignmentAuthorizationFailed" => {
            vec!["a deny assignment forbids this whatever the role; ask who manages the scope".to_owned()]
        }
        _ => Vec::new(),
    }
}

/// The resource group that a path lies in.
fn group_of(path: &str) -> &str {
    let mut segments = path.split('/');
    segments
        .find(|segment| segment.eq_ignore_ascii_case("resourceGroups"))
        .and_then(|_| segments.next())
        .unwrap_or("GROUP")
}

/// Where a role for `scope` is best assigned: what is about to be made has no id yet, so what it hangs on is named.
fn grantable(scope: &str) -> String {
    let lower = scope.to_ascii_lowercase();
    if let Some(end) = lower.rfind("/providers/microsoft.authorization/") {
        return scope[..end].to_owned();
    }
    match scope.parse::<ArmId>() {
        Ok(id) if lower.contains("/providers/microsoft.managedidentity/") => id.group_path(),
        _ => scope.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_of_a_path_is_found_whatever_its_spelling() {
        assert_eq!(
            group_of("/subscriptions/s/resourcegroups/rg-1/providers/P/t/n"),
            "rg-1"
        );
        assert_eq!(group_of("/subscriptions/s"), "GROUP");
    }

    #[test]
    fn roles_are_asked_for_at_what_exists() {
        let group = "/subscriptions/s/resourceGroups/g";
        let vault = format!("{group}/providers/Microsoft.KeyVault/vaults/kv");
        let assignment = format!("{vault}/providers/Microsoft.Authorization/roleAssignments/x");
        let identity = format!("{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id");
        assert_eq!(grantable(&assignment), vault);
        assert_eq!(grantable(&identity), group);
        assert_eq!(grantable(&vault), vault);
        assert_eq!(grantable(group), group);
    }
}
