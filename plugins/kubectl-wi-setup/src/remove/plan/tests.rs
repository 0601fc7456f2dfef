//! What goes and what stays, for every state in which the parts can be found.

use super::*;
use crate::plan::tests::{everything, workload};
use crate::pods::PodUse;
use aks_shared::azure::arm::roles;
use pretty_assertions::assert_eq;

const SECRET: &str = "/subscriptions/s/resourceGroups/rg-shared/providers/Microsoft.KeyVault/vaults/kv-central/secrets/db-password";

fn assignment(scope: &str, name: &str) -> RoleAssignment {
    RoleAssignment {
        id: format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}"),
        scope: scope.to_owned(),
        role: roles::KEY_VAULT_SECRETS_USER.to_owned(),
        principal_id: "principal".to_owned(),
        condition: None,
    }
}

fn our_assignment() -> RoleAssignment {
    let scope: Scope = SECRET.parse().unwrap();
    let name = names::assignment_name(&scope, "principal", roles::KEY_VAULT_SECRETS_USER);
    assignment(SECRET, &name.to_string())
}

/// What setup has made, untouched by others.
fn whole() -> Found {
    let observed = everything();
    let mut identity = observed.identity.unwrap();
    identity
        .tags
        .insert(labels::CLUSTER_TAG.to_owned(), observed.cluster.id.canonical());
    Found {
        account: Some(ObservedAccount {
            only_ours: true,
            created_by_us: true,
            uid: Some("u".into()),
            ..observed.account.unwrap()
        }),
        cluster: observed.cluster,
        pods: Some(Vec::new()),
        identity_id: observed.identity_id,
        identity: Some(identity),
        credentials: observed.credentials,
        assignments: vec![our_assignment()],
        unread: Vec::new(),
    }
}

/// The kinds of what goes, in order.
fn removed(removal: &Removal) -> Vec<&'static str> {
    let kind = |part: &Part| match part {
        Part::Account { .. } => "account",
        Part::Annotation { .. } => "annotation",
        Part::Assignment { .. } => "assignment",
        Part::Credential { .. } => "credential",
        Part::Identity { .. } => "identity",
    };
    removal.removed.iter().map(kind).collect()
}

fn kept(removal: &Removal) -> Vec<&str> {
    removal.kept.iter().map(|kept| kept.object.as_str()).collect()
}

#[test]
fn what_setup_made_goes_in_reverse_order() {
    let removal = plan(&workload(), &whole());
    assert_eq!(
        removed(&removal),
        ["account", "assignment", "credential", "identity"]
    );
    assert_eq!((kept(&removal), removal.pods.len()), (Vec::new(), 0));
}

#[test]
fn nothing_is_left_of_what_was_removed() {
    let gone = Found {
        account: None,
        identity: None,
        credentials: Vec::new(),
        assignments: Vec::new(),
        ..whole()
    };
    let removal = plan(&workload(), &gone);
    assert!(removal.is_empty() && kept(&removal).is_empty());
    assert!(
        removal.notes[0].contains("--identity-name"),
        "{:?}",
        removal.notes
    );
}

#[test]
fn an_identity_of_others_loses_only_what_setup_added() {
    let mut found = whole();
    found.identity.as_mut().unwrap().tags.clear();
    let removal = plan(&workload(), &found);
    assert_eq!(removed(&removal), ["account", "assignment", "credential"]);
    assert_eq!(kept(&removal), ["managed identity id-x"]);
}

#[test]
fn an_identity_of_another_cluster_or_account_stays() {
    for (tag, other) in [
        (
            labels::CLUSTER_TAG,
            "/subscriptions/s/resourcegroups/rg/providers/p/t/other",
        ),
        (labels::SUBJECT_TAG, "system:serviceaccount:shop:other"),
        (labels::MANAGED_BY_TAG, "terraform"),
    ] {
        let mut found = whole();
        let identity = found.identity.as_mut().unwrap();
        identity.tags.insert(tag.to_owned(), other.to_owned());
        let removal = plan(&workload(), &found);
        assert!(!removed(&removal).contains(&"identity"), "{tag}");
    }
}

#[test]
fn what_other_workloads_share_stays() {
    let mut found = whole();
    let others = FederatedCredential {
        name: "terraform".into(),
        ..found.credentials[0].clone()
    };
    found.credentials.push(others);
    let removal = plan(&workload(), &found);
    assert_eq!(removed(&removal), ["account", "credential"]);
    let at_secret = format!("role assignment at {SECRET}");
    assert_eq!(kept(&removal), [at_secret.as_str(), "managed identity id-x"]);
}

#[test]
fn a_role_that_others_gave_stays_and_keeps_the_identity() {
    let mut found = whole();
    let others = assignment("/subscriptions/s", "3f0e4d5c-0000-4000-8000-000000000000");
    found.assignments.push(others);
    let removal = plan(&workload(), &found);
    assert_eq!(removed(&removal), ["account", "assignment", "credential"]);
    assert!(removal.kept[0].why.contains("/subscriptions/s"), "{removal:?}");
}

#[test]
fn credentials_of_earlier_issuers_go_only_with_an_identity_that_is_ours() {
    let rebuilt = |tags: bool| {
        let mut found = whole();
        found.cluster.issuer = "https://rebuilt/".into();
        if !tags {
            found.identity.as_mut().unwrap().tags.clear();
        }
        removed(&plan(&workload(), &found)).contains(&"credential")
    };
    assert!(rebuilt(true) && !rebuilt(false));
}

#[test]
fn an_account_that_others_wrote_to_loses_only_our_fields() {
    let account = |change: fn(&mut ObservedAccount)| {
        let mut found = whole();
        change(found.account.as_mut().unwrap());
        let removal = plan(&workload(), &found);
        (removed(&removal)[0], removal)
    };
    assert_eq!(account(|found| found.only_ours = false).0, "annotation");
    let (kind, adopted) = account(|found| {
        found.only_ours = false;
        found.created_by_us = false;
        found.helm_release = Some("shop/orders".into());
    });
    assert_eq!(kind, "annotation");
    assert!(
        adopted.notes[0].contains("Helm release shop/orders"),
        "{adopted:?}"
    );
    // Made for a release that never came.
    let (kind, _) = account(|found| {
        found.created_by_us = false;
        found.helm_release = Some("shop/orders".into());
    });
    assert_eq!(kind, "account");
    let (kind, foreign) = account(|found| {
        found.only_ours = false;
        found.is_ours = false;
    });
    assert_eq!(kind, "assignment");
    assert_eq!(kept(&foreign), ["service account shop/orders"]);
}

#[test]
fn running_pods_and_closed_subscriptions_are_named() {
    let found = Found {
        pods: Some(vec![PodUse {
            name: "orders-5d4f-x".into(),
            owner: Some("deployment/orders".into()),
            client_id: Some("client".into()),
        }]),
        unread: vec!["t".into()],
        ..whole()
    };
    let lines = plan(&workload(), &found).lines();
    let says = |text: &str| lines.iter().any(|line| line.contains(text));
    assert!(
        says("orders-5d4f-x (deployment/orders) uses it") && says("subscription t"),
        "{lines:?}"
    );
}
