//! What an identity may do, in every state in which it can be found.

use super::{VAULT, assignment, everything, workload};
use crate::Workload;
use crate::observe::ObservedGrant;
use crate::plan::plan;
use aks_shared::azure::arm::{RoleAssignment, RoleDefinition};
use pretty_assertions::assert_eq;

#[test]
fn a_wider_grant_is_enough_and_told() {
    let mut observed = everything();
    observed.secrets[0].grants = vec![assignment(VAULT)];
    let plan = plan(&workload(), &observed);
    assert!(plan.is_empty());
    assert!(plan.notes[0].contains("wider than asked"), "{:?}", plan.notes);
}

#[test]
fn a_role_that_was_asked_for_by_name_is_assigned_once() {
    let group = "/subscriptions/s/resourceGroups/rg-data";
    let definition = RoleDefinition {
        id: "/subscriptions/s/providers/Microsoft.Authorization/roleDefinitions/r".into(),
        role: "r".into(),
        name: "Storage Blob Data Reader".into(),
    };
    let mut observed = everything();
    observed.grants = vec![ObservedGrant {
        scope: group.parse().unwrap(),
        definition,
        assignments: Vec::new(),
    }];
    let missing = plan(&workload(), &observed);
    assert_eq!(
        missing.grants[1].to_string(),
        format!("+ create role Storage Blob Data Reader at {group}")
    );
    let role_at = |scope: &str| RoleAssignment {
        id: format!("{scope}/a"),
        role: "r".into(),
        ..assignment(scope)
    };
    observed.grants[0].assignments = vec![role_at(group)];
    assert!(plan(&workload(), &observed).is_empty());
    // Inherited, it is there, and more than was asked for.
    observed.grants[0].assignments = vec![role_at("/subscriptions/s")];
    let inherited = plan(&workload(), &observed);
    assert!(inherited.is_empty());
    assert!(
        inherited.notes[0].contains("wider than asked: role r at /subscriptions/s"),
        "{:?}",
        inherited.notes
    );
}

#[test]
fn another_role_at_the_secret_is_told() {
    let mut observed = everything();
    observed.secrets[0].grants.push(RoleAssignment {
        id: "b".into(),
        role: "00482a5a-887f-4fb3-b363-3b7fe8e74483".into(),
        ..assignment(VAULT)
    });
    let plan = plan(&workload(), &observed);
    assert!(plan.is_empty());
    assert!(
        plan.notes[0].contains("wider than asked: role Key Vault Administrator at"),
        "{:?}",
        plan.notes
    );
}

#[test]
fn a_vault_with_access_policies_is_opened_as_a_whole_only_when_that_was_accepted() {
    let mut observed = everything();
    observed.secrets[0].vault.uses_roles = false;
    let refused = plan(&workload(), &observed);
    assert!(refused.conflicts()[0].contains("--allow-vault-wide"), "{refused}");
    let accepting = Workload {
        allow_vault_wide: true,
        ..workload()
    };
    let accepted = plan(&accepting, &observed);
    assert_eq!(accepted.conflicts(), Vec::<String>::new());
    assert_eq!(
        (accepted.grants.len(), accepted.vault_policies[0].action()),
        (0, "create")
    );
    assert!(accepted.notes[0].contains("every secret"), "{:?}", accepted.notes);
    assert_eq!(accepted.secrets.len(), 1);
    observed.secrets[0].vault.secret_readers = vec!["PRINCIPAL".into()];
    assert!(plan(&accepting, &observed).is_empty());
    observed.secrets[0].vault.tenant_id = "elsewhere".into();
    assert!(plan(&accepting, &observed).conflicts()[0].contains("tenant elsewhere"));
}

#[test]
fn vaults_that_cannot_limit_or_accept_the_identity_are_refused() {
    let mut policies = everything();
    policies.secrets[0].vault.uses_roles = false;
    assert!(plan(&workload(), &policies).conflicts()[0].contains("access policies"));
    let mut abroad = everything();
    abroad.secrets[0].vault.tenant_id = "elsewhere".into();
    assert!(plan(&workload(), &abroad).conflicts()[0].contains("tenant elsewhere"));
}
