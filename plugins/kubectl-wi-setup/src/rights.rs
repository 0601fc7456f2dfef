//! Whether the signed-in principal may do what a plan says, asked before the first write.
//!
//! A "no" of Azure is certain and refuses. A "yes" is advice only: conditions, deny assignments, locks and policies
//! do not show. Where Azure does not answer, the writes themselves will tell.

use crate::plan::{Change, GrantSpec, Plan, PolicySpec};
use crate::roles;
use aks_shared::azure::Azure;
use aks_shared::azure::arm::{Permissions, least_role};
use aks_shared::{Failure, azure::Principal};
use std::collections::{BTreeMap, BTreeSet};

const WRITE_IDENTITY: &str = "Microsoft.ManagedIdentity/userAssignedIdentities/write";
const WRITE_CREDENTIAL: &str =
    "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/write";
const WRITE_POLICY: &str = "Microsoft.KeyVault/vaults/accessPolicies/write";
const ASSIGN_ROLE: &str = "Microsoft.Authorization/roleAssignments/write";

/// An action of Azure at a scope that exists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Right {
    /// The action, `NAMESPACE/TYPE/write`.
    pub(crate) action: &'static str,
    /// The group or resource at which it is needed.
    pub(crate) scope: String,
}

impl Right {
    pub(crate) fn new(action: &'static str, scope: impl Into<String>) -> Self {
        let scope = scope.into();
        Self { action, scope }
    }
}

/// What carrying out a plan needs in Azure; nothing when the plan writes nothing there.
pub(crate) fn needed(plan: &Plan) -> Vec<Right> {
    let identity = plan.identity.target();
    let exists = identity.principal_id.is_some();
    // What does not exist yet has no scope of its own: its group decides.
    let scope = if exists {
        identity.id.to_string()
    } else {
        identity.id.group_path()
    };
    let mut rights = Vec::new();
    if plan.identity.written().is_some() {
        rights.push(Right::new(WRITE_IDENTITY, scope.clone()));
    }
    if plan.federated_credential.written().is_some() {
        rights.push(Right::new(WRITE_CREDENTIAL, scope));
    }
    rights.extend(to_grant(&plan.grants, &plan.vault_policies));
    rights.sort();
    rights.dedup();
    rights
}

/// What it takes to make grants and to add access policies.
pub(crate) fn to_grant(
    grants: &[Change<GrantSpec>],
    policies: &[Change<PolicySpec>],
) -> impl Iterator<Item = Right> {
    let grants = grants.iter().filter_map(Change::written);
    let policies = policies.iter().filter_map(Change::written);
    let assign = grants.map(|grant| Right::new(ASSIGN_ROLE, grant.scope.as_str()));
    assign.chain(policies.map(|policy| Right::new(WRITE_POLICY, policy.id.as_str())))
}

/// What Azure says of the scopes of some rights, each asked about once; silence says nothing.
pub(crate) async fn known(
    azure: &Azure,
    needed: impl Iterator<Item = Right>,
) -> BTreeMap<String, Permissions> {
    let scopes: BTreeSet<String> = needed.map(|right| right.scope).collect();
    let asked = scopes.into_iter().map(|scope| async move {
        let permissions = azure.arm.permissions(&scope).await.ok()?;
        Some((scope, permissions))
    });
    let answers = futures::future::join_all(asked).await;
    answers.into_iter().flatten().collect()
}

/// The rights that the answers deny.
pub(crate) fn without(needed: Vec<Right>, known: &BTreeMap<String, Permissions>) -> Vec<Right> {
    let denied = |right: &Right| {
        known
            .get(&right.scope)
            .is_some_and(|permissions| !permissions.allow(right.action))
    };
    needed.into_iter().filter(denied).collect()
}

/// Refuses a plan that the principal certainly may not carry out; to be asked before anything is written.
pub async fn check(azure: &Azure, plan: &Plan) -> Result<(), Failure> {
    check_all(azure, needed(plan)).await
}

/// Refuses when the principal certainly lacks one of some rights.
pub(crate) async fn check_all(azure: &Azure, needed: Vec<Right>) -> Result<(), Failure> {
    let known = known(azure, needed.iter().cloned()).await;
    check_known(azure, needed, &known).await
}

/// Refuses when the answers deny one of some rights.
pub(crate) async fn check_known(
    azure: &Azure,
    needed: Vec<Right>,
    known: &BTreeMap<String, Permissions>,
) -> Result<(), Failure> {
    let missing = without(needed, known);
    if missing.is_empty() {
        return Ok(());
    }
    let scopes: BTreeSet<&str> = missing.iter().map(|right| right.scope.as_str()).collect();
    let object_id = azure.principal.object_id.as_deref();
    let asked = scopes
        .into_iter()
        .filter_map(|scope| Some(azure.arm.role_assignments(scope, object_id?)));
    // Who may not read role assignments only misses the explanation.
    let held = futures::future::join_all(asked).await;
    let held: Vec<String> = held
        .into_iter()
        .filter_map(Result::ok)
        .flatten()
        .map(|assignment| assignment.role)
        .collect();
    let mut failure = refusal(&missing, &azure.principal);
    failure.causes.extend(roles::explain(&held, &missing));
    Err(failure)
}

/// The refusal that names each right, the least role that has it and the command that grants it.
fn refusal(missing: &[Right], principal: &Principal) -> Failure {
    let assignee = principal
        .object_id
        .as_deref()
        .or(principal.name.as_deref())
        .unwrap_or("PRINCIPAL");
    let lacks: Vec<String> = missing
        .iter()
        .map(|right| format!("{} at {}", right.action, right.scope))
        .collect();
    let mut failure = Failure::refused(format!(
        "{principal} may not do what the plan needs: {}",
        lacks.join("; ")
    ));
    let mut hints: Vec<String> = Vec::new();
    for right in missing {
        let Some(role) = least_role(right.action, &right.scope) else {
            continue;
        };
        let hint = format!(
            "ask for the role {role:?}: az role assignment create --role {role:?} --assignee {assignee} --scope {}",
            right.scope
        );
        if !hints.contains(&hint) {
            hints.push(hint);
        }
    }
    hints.push("a role that was just granted needs a new sign-in and up to ten minutes; or leave a part to others with --skip".to_owned());
    for hint in hints {
        failure = failure.hint(hint);
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::{everything, nothing, workload};
    use aks_shared::ExitStatus;
    use pretty_assertions::assert_eq;

    const GROUP: &str = "/subscriptions/s/resourceGroups/rg";
    const SECRET: &str = "/subscriptions/s/resourceGroups/rg-shared/providers/Microsoft.KeyVault/vaults/kv-central/secrets/db-password";

    #[test]
    fn an_empty_plan_needs_no_right() {
        assert_eq!(needed(&crate::plan(&workload(), &everything())), []);
    }

    #[test]
    fn what_does_not_exist_yet_is_asked_for_at_its_group() {
        let plan = crate::plan(&workload(), &nothing());
        assert_eq!(
            needed(&plan),
            [
                Right::new(ASSIGN_ROLE, SECRET),
                Right::new(WRITE_CREDENTIAL, GROUP),
                Right::new(WRITE_IDENTITY, GROUP),
            ]
        );
    }

    #[test]
    fn what_exists_is_asked_for_itself() {
        let mut observed = everything();
        observed.credentials.clear();
        let id = observed.identity_id.to_string();
        assert_eq!(
            needed(&crate::plan(&workload(), &observed)),
            [Right::new(WRITE_CREDENTIAL, id)]
        );
    }

    #[test]
    fn only_a_no_counts() {
        let needed = || vec![Right::new(ASSIGN_ROLE, SECRET), Right::new(WRITE_IDENTITY, GROUP)];
        // Nothing is known of the secret; no role at all is known at the group.
        let known = BTreeMap::from([(GROUP.to_owned(), Permissions::default())]);
        assert_eq!(without(needed(), &known), [Right::new(WRITE_IDENTITY, GROUP)]);
        assert_eq!(without(needed(), &BTreeMap::new()), []);
    }

    #[test]
    fn the_refusal_says_what_to_ask_for_once() {
        let principal = Principal {
            method: "environment".into(),
            tenant: "t".into(),
            object_id: Some("o".into()),
            name: Some("ci".into()),
        };
        let missing = [
            Right::new(ASSIGN_ROLE, SECRET),
            Right::new(WRITE_CREDENTIAL, GROUP),
            Right::new(WRITE_IDENTITY, GROUP),
        ];
        let failure = refusal(&missing, &principal);
        assert_eq!(failure.status, ExitStatus::Refused);
        assert!(
            failure.message.contains(&format!("{ASSIGN_ROLE} at {SECRET}")),
            "{}",
            failure.message
        );
        let of_group = format!(
            "az role assignment create --role \"Managed Identity Contributor\" --assignee o --scope {GROUP}"
        );
        let naming = failure.hints.iter().filter(|hint| hint.ends_with(&of_group));
        assert_eq!(naming.count(), 1, "{:?}", failure.hints);
    }
}
