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
            AzureError::SignIn(ref source) => {
                let mut failure = Self::refused(error.to_string());
                failure.causes = source.answers.iter().map(ToString::to_string).collect();
                if source.answers.iter().any(|answer| answer.refused) {
                    failure.hint("choose another link with --auth, or correct the one that was refused")
                } else {
                    failure.hint("sign in: az login").hint(
                        "in a pipeline set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_FEDERATED_TOKEN_FILE or AZURE_CLIENT_SECRET",
                    )
                }
            }
            AzureError::Arm(error) => Self::from(error),
        }
    }
}

impl From<CloudError> for Failure {
    fn from(error: CloudError) -> Self {
        let failure = Self::from_error(ExitStatus::Usage, &error);
        match error {
            CloudError::Unknown { .. } => failure.hint("use --cloud public|usgov|china|FILE.json"),
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
        if let Some(role) = least_role(&action) {
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
        "ScopeLocked" => vec!["a lock forbids this: az lock list --resource-group GROUP".to_owned()],
        _ => Vec::new(),
    }
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
