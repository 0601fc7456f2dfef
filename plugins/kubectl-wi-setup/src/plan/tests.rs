//! Every state in which an object can be found, and what a plan makes of it.

mod account;
mod federation;
mod grants;
mod lifecycle;

use super::*;
use crate::args::WaitFor;
use crate::observe::{ObservedAccount, ObservedCluster, ObservedVault};
use crate::run::provable;
use crate::{AccountOwner, HelmOwner};
use aks_shared::azure::arm::{FederatedCredential, RoleAssignment, Vault, roles};
use pretty_assertions::assert_eq;
use std::collections::BTreeSet;

const VAULT: &str =
    "/subscriptions/s/resourceGroups/rg-shared/providers/Microsoft.KeyVault/vaults/kv-central";

pub(crate) fn workload() -> Workload {
    let account = ServiceAccountRef::new("shop", "orders").unwrap();
    Workload {
        secrets: vec!["kv-central/db-password".parse().unwrap()],
        ..Workload::new(account)
    }
}

/// A cluster on which nothing was ever set up.
pub(crate) fn nothing() -> Observed {
    let vault = Vault {
        id: VAULT.parse().unwrap(),
        name: "kv-central".into(),
        location: "westeurope".into(),
        uri: "https://kv-central.vault.azure.net/".into(),
        tenant_id: "t".into(),
        uses_roles: true,
        secret_readers: Vec::new(),
    };
    let scope = vault.id.child("secrets", "db-password").unwrap();
    let named = "kv-central/db-password".parse().unwrap();
    let id =
        "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/aks-weu-1";
    let identity =
        "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-x";
    Observed {
        cluster: ObservedCluster {
            context: "weu-1".into(),
            id: id.parse().unwrap(),
            name: "aks-weu-1".into(),
            location: "westeurope".into(),
            issuer: "https://issuer/".into(),
            proof: Proof::Discovery,
        },
        tenant_id: "t".into(),
        identity_id: identity.parse().unwrap(),
        identity: None,
        credentials: Vec::new(),
        vaults: vec![ObservedVault {
            named: "kv-central".into(),
            vault: vault.clone(),
        }],
        secrets: vec![ObservedSecret {
            named,
            vault,
            scope,
            grants: Vec::new(),
        }],
        unseen_vaults: Vec::new(),
        grants: Vec::new(),
        audience: "api://AzureADTokenExchange".into(),
        audience_source: AudienceSource::Webhook,
        namespace_exists: true,
        account: None,
        pods: None,
        gone_issuers: Vec::new(),
    }
}

fn identity(tags: &[(&str, &str)]) -> ManagedIdentity {
    ManagedIdentity {
        id: nothing().identity_id,
        location: "westeurope".into(),
        tags: tags
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        client_id: "client".into(),
        principal_id: "principal".into(),
        tenant_id: "t".into(),
    }
}

fn our_identity(subject: &str) -> ManagedIdentity {
    identity(&[("managed-by", "kubectl-wi"), ("kubectl-wi-subject", subject)])
}

fn credential(name: &str) -> FederatedCredential {
    FederatedCredential {
        name: name.into(),
        issuer: "https://issuer/".into(),
        subject: "system:serviceaccount:shop:orders".into(),
        audiences: vec!["api://AzureADTokenExchange".into()],
        expression: None,
    }
}

fn our_name() -> String {
    plan(&workload(), &nothing())
        .federated_credential
        .target()
        .name
        .clone()
}

fn assignment(scope: &str) -> RoleAssignment {
    RoleAssignment {
        id: "a".into(),
        scope: scope.into(),
        role: roles::KEY_VAULT_SECRETS_USER.into(),
        principal_id: "principal".into(),
        condition: None,
    }
}

/// A cluster on which setup has run.
pub(crate) fn everything() -> Observed {
    let mut observed = nothing();
    observed.identity = Some(our_identity("system:serviceaccount:shop:orders"));
    observed.credentials = vec![credential(&our_name())];
    observed.secrets[0].grants = vec![assignment(observed.secrets[0].scope.as_str())];
    observed.account = Some(ObservedAccount {
        client_id: Some("client".into()),
        is_ours: true,
        ..ObservedAccount::default()
    });
    observed
}

#[test]
fn from_nothing_everything_is_created_and_the_account_is_left_to_the_chart() {
    let plan = plan(&workload(), &nothing());
    let actions = [
        plan.identity.action(),
        plan.federated_credential.action(),
        plan.grants[0].action(),
    ];
    assert_eq!(actions, ["create", "create", "create"]);
    assert_eq!(
        (plan.service_account.action(), plan.namespace.is_none()),
        ("left", true)
    );
    assert!(!plan.is_empty() && plan.conflicts().is_empty());
    let tags = &plan.identity.target().tags;
    assert_eq!(tags[labels::SUBJECT_TAG], "system:serviceaccount:shop:orders");
}

#[test]
fn what_was_set_up_needs_nothing() {
    let plan = plan(&workload(), &everything());
    assert!(plan.is_empty(), "{plan}");
    assert_eq!(plan.conflicts(), Vec::<String>::new());
    assert!(plan.lines().iter().all(|line| line.starts_with('=')), "{plan}");
}

#[test]
fn an_account_for_a_release_comes_with_its_namespace() {
    let workload = Workload {
        helm_release: Some("orders".into()),
        ..workload()
    };
    let observed = Observed {
        namespace_exists: false,
        ..nothing()
    };
    let plan = plan(&workload, &observed);
    assert_eq!(plan.namespace.map(|namespace| namespace.action()), Some("create"));
    let owner = HelmOwner {
        release: "orders".into(),
        namespace: "shop".into(),
    };
    assert_eq!(plan.service_account.written().unwrap().helm, Some(owner));
}

#[test]
fn the_chart_keeps_its_account_even_when_a_release_is_named() {
    let workload = Workload {
        helm_release: Some("orders".into()),
        account_owner: AccountOwner::Chart,
        ..workload()
    };
    assert_eq!(plan(&workload, &nothing()).service_account.action(), "left");
}

#[test]
fn a_rebuilt_cluster_gets_a_second_credential_and_the_stale_one_is_told() {
    let mut observed = everything();
    observed.cluster.issuer = "https://rebuilt/".into();
    let plan = plan(&workload(), &observed);
    assert_eq!(plan.federated_credential.action(), "create");
    assert_ne!(plan.federated_credential.target().name, our_name());
    assert!(
        plan.notes
            .iter()
            .any(|note| note.contains(&our_name()) && note.contains("https://issuer/"))
    );
}

#[test]
fn an_identity_of_others_is_used_as_it_is() {
    let workload = Workload {
        tags: BTreeMap::from([("team".into(), "shop".into())]),
        ..workload()
    };
    let observed = Observed {
        identity: Some(identity(&[("made-by", "terraform")])),
        ..everything()
    };
    assert_eq!(plan(&workload, &observed).identity.action(), "in-sync");
}

#[test]
fn an_identity_that_was_named_by_its_id_is_never_tagged() {
    let observed = everything();
    let workload = Workload {
        identity_id: Some(observed.identity_id.clone()),
        tags: BTreeMap::from([("team".into(), "shop".into())]),
        ..workload()
    };
    assert_eq!(plan(&workload, &observed).identity.action(), "in-sync");
    // Even ours, made for another account: it was asked for by name.
    let shared = Observed {
        identity: Some(our_identity("system:serviceaccount:shop-orders:x")),
        ..observed
    };
    let plan = plan(&workload, &shared);
    assert!(plan.is_empty(), "{plan}");
}

#[test]
fn a_new_tag_is_added_to_our_identity_and_foreign_tags_stay() {
    let workload = Workload {
        tags: BTreeMap::from([("team".into(), "shop".into())]),
        ..workload()
    };
    let mut observed = everything();
    observed
        .identity
        .as_mut()
        .unwrap()
        .tags
        .insert("cost".into(), "1".into());
    let plan = plan(&workload, &observed);
    assert_eq!(
        plan.identity.to_string(),
        "~ update managed identity id-x: tag team (none) → shop"
    );
    assert_eq!(plan.identity.target().tags["cost"], "1");
}

#[test]
fn an_identity_of_a_namesake_is_not_taken_over() {
    let observed = Observed {
        identity: Some(our_identity("system:serviceaccount:shop-orders:x")),
        ..everything()
    };
    assert_eq!(plan(&workload(), &observed).identity.action(), "conflict");
    let chosen = Workload {
        identity_name: "id-shared".into(),
        ..workload()
    };
    assert_eq!(plan(&chosen, &observed).identity.action(), "in-sync");
}

#[test]
fn skipped_steps_are_left_and_a_missing_identity_cannot_be() {
    let all = Workload {
        skip: BTreeSet::from(Step::ALL),
        ..workload()
    };
    let plan_all = plan(&all, &nothing());
    assert_eq!(plan_all.identity.action(), "conflict");
    assert_eq!(plan_all.grants[0].action(), "left");
    let grants = Workload {
        skip: BTreeSet::from([Step::Identity, Step::Federation]),
        ..workload()
    };
    let mut observed = everything();
    observed.secrets[0].grants.clear();
    let plan_grants = plan(&grants, &observed);
    assert!(plan_grants.conflicts().is_empty());
    assert_eq!(plan_grants.grants[0].action(), "create");
}

#[test]
fn only_what_was_set_up_is_waited_for() {
    let complete = plan(&workload(), &everything());
    assert_eq!(provable(&complete, WaitFor::Access), WaitFor::Access);
    assert_eq!(provable(&complete, WaitFor::None), WaitFor::None);
    // What others are to set up may come any day.
    let left = |step: Step, observed: &Observed| {
        let workload = Workload {
            skip: BTreeSet::from([step]),
            ..workload()
        };
        provable(&plan(&workload, observed), WaitFor::Access)
    };
    let mut observed = everything();
    observed.secrets[0].grants.clear();
    assert_eq!(left(Step::Grants, &observed), WaitFor::Exchange);
    let mut observed = everything();
    observed.credentials.clear();
    assert_eq!(left(Step::Federation, &observed), WaitFor::None);
    // What they have set up already counts.
    assert_eq!(left(Step::Federation, &everything()), WaitFor::Access);
}

#[test]
fn the_document_of_a_plan_names_every_action() {
    let document = serde_json::to_value(plan(&workload(), &nothing())).unwrap();
    assert_eq!(document["identity"]["action"], "create");
    assert_eq!(document["grants"][0]["action"], "create");
    assert_eq!(document["serviceAccount"]["action"], "left");
    assert_eq!(document["cluster"]["audienceSource"], "webhook");
}
