//! The service account in every state in which it can be found.

use super::{everything, workload};
use crate::observe::ObservedAccount;
use crate::plan::{AccountSpec, Change, plan};
use crate::{AccountOwner, Observed, Workload};
use pretty_assertions::assert_eq;

/// What becomes of an account that is found in a state, under an owner.
fn account(found: ObservedAccount, change: impl FnOnce(&mut Workload)) -> Change<AccountSpec> {
    let mut workload = workload();
    change(&mut workload);
    plan(
        &workload,
        &Observed {
            account: Some(found),
            ..everything()
        },
    )
    .service_account
}

#[test]
fn a_plain_account_is_annotated_without_force() {
    let change = account(ObservedAccount::default(), |_| {});
    let written = change.written().unwrap();
    assert_eq!(
        (written.client_id.as_deref(), written.force, written.managed_by_us),
        (Some("client"), false, false)
    );
    assert_eq!(change.action(), "update");
}

#[test]
fn accounts_of_helm_and_flux_are_left_to_them_unless_setup_is_the_owner() {
    let helm = || ObservedAccount {
        helm_release: Some("shop/orders".into()),
        ..ObservedAccount::default()
    };
    assert_eq!(
        account(helm(), |_| {}).to_string(),
        "- service account shop/orders: left to Helm release shop/orders"
    );
    let flux = ObservedAccount {
        is_flux: true,
        ..ObservedAccount::default()
    };
    assert_eq!(account(flux, |_| {}).action(), "left");
    assert_eq!(
        account(helm(), |workload| workload.account_owner = AccountOwner::Setup).action(),
        "update"
    );
}

#[test]
fn an_account_of_another_identity_is_changed_only_on_request() {
    let other = || ObservedAccount {
        client_id: Some("other".into()),
        ..ObservedAccount::default()
    };
    let conflict = account(other(), |_| {});
    assert_eq!(conflict.action(), "conflict");
    assert!(conflict.to_string().contains("other") && conflict.to_string().contains("--replace-identity"));
    let replaced = account(other(), |workload| workload.replace_identity = true);
    assert!(replaced.written().unwrap().force);
    assert_eq!(
        account(other(), |workload| workload.account_owner = AccountOwner::Chart).action(),
        "left"
    );
}

#[test]
fn replacing_reaches_an_account_that_a_release_owns() {
    let owned = ObservedAccount {
        client_id: Some("other".into()),
        helm_release: Some("shop/orders".into()),
        ..ObservedAccount::default()
    };
    let workload = Workload {
        replace_identity: true,
        ..workload()
    };
    let plan = plan(
        &workload,
        &Observed {
            account: Some(owned),
            ..everything()
        },
    );
    assert_eq!(plan.service_account.action(), "update");
    assert!(
        plan.notes
            .iter()
            .any(|note| note.contains("Helm release shop/orders")),
        "{:?}",
        plan.notes
    );
}

#[test]
fn an_account_that_we_annotated_follows_a_recreated_identity() {
    let ours = ObservedAccount {
        client_id: Some("before".into()),
        is_ours: true,
        helm_release: Some("shop/orders".into()),
        ..ObservedAccount::default()
    };
    let observed = Observed {
        identity: None,
        credentials: Vec::new(),
        account: Some(ours),
        ..everything()
    };
    let plan = plan(&workload(), &observed);
    assert_eq!(
        plan.service_account.to_string(),
        "~ update service account shop/orders: client id before → (known after apply)"
    );
    // What we wrote for Helm must be sent again, or server-side apply takes it away.
    assert!(plan.service_account.written().unwrap().helm.is_some());
}

#[test]
fn a_wrong_tenant_is_corrected_and_a_missing_one_stays_missing() {
    let wrong = ObservedAccount {
        client_id: Some("client".into()),
        tenant_id: Some("elsewhere".into()),
        ..ObservedAccount::default()
    };
    assert_eq!(
        account(wrong, |_| {}).written().unwrap().tenant_id.as_deref(),
        Some("t")
    );
    assert_eq!(
        account(ObservedAccount::default(), |_| {})
            .written()
            .unwrap()
            .tenant_id,
        None
    );
}
