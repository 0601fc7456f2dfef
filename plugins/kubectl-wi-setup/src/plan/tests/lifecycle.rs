//! What a plan says of a cluster that was built anew, and of pods that run while their account changes.

use super::{credential, everything, our_name, workload};
use crate::observe::ObservedAccount;
use crate::plan::plan;
use crate::pods::PodUse;
use crate::{Observed, Step, Workload};
use aks_shared::azure::arm::FederatedCredential;
use pretty_assertions::assert_eq;

/// The cluster has another issuer than when setup ran, and nobody has the old one.
fn rebuilt(prune: bool) -> (Workload, Observed) {
    let workload = Workload { prune, ..workload() };
    let mut observed = everything();
    observed.cluster.issuer = "https://rebuilt/".into();
    if prune {
        observed.gone_issuers = vec!["https://issuer/".into()];
    }
    (workload, observed)
}

#[test]
fn a_stale_credential_is_deleted_only_on_request() {
    let (workload, observed) = rebuilt(false);
    let told = plan(&workload, &observed);
    assert_eq!(told.stale_credentials, []);
    assert!(
        told.notes.iter().any(|note| note.contains("--prune")),
        "{:?}",
        told.notes
    );
    let (workload, observed) = rebuilt(true);
    let pruned = plan(&workload, &observed);
    assert_eq!(pruned.stale_credentials.len(), 1);
    assert!(!pruned.notes.iter().any(|note| note.contains(&our_name())));
    let line = format!(
        "x delete federated credential {} (issuer https://issuer/",
        our_name()
    );
    assert!(
        pruned.lines().iter().any(|one| one.starts_with(&line)),
        "{pruned}"
    );
}

#[test]
fn what_is_pruned_makes_room() {
    let (workload, mut observed) = rebuilt(true);
    let others = (0..19).map(|number| FederatedCredential {
        subject: aks_shared::identity::Subject(format!("system:serviceaccount:shop:n{number}")),
        ..credential(&format!("c{number}"))
    });
    observed.credentials.extend(others);
    assert_eq!(plan(&workload, &observed).federated_credential.action(), "create");
    observed.gone_issuers.clear();
    assert_eq!(
        plan(&workload, &observed).federated_credential.action(),
        "conflict"
    );
}

#[test]
fn nothing_is_pruned_where_the_federation_is_left_to_others() {
    let (workload, observed) = rebuilt(true);
    let workload = Workload {
        skip: [Step::Federation].into(),
        ..workload
    };
    assert_eq!(plan(&workload, &observed).stale_credentials, []);
}

#[test]
fn pods_that_keep_another_identity_are_named_with_their_restart() {
    let pod = |name: &str, owner: &str, client_id: &str| PodUse {
        name: name.into(),
        owner: Some(owner.into()),
        client_id: Some(client_id.into()),
    };
    let observed = Observed {
        account: Some(ObservedAccount::default()),
        pods: Some(vec![
            pod("old", "deployment/orders", "another"),
            pod("new", "statefulset/queue", "client"),
        ]),
        ..everything()
    };
    let plan_of = |observed: &Observed| plan(&workload(), observed);
    let changed = plan_of(&observed);
    assert_eq!(
        changed.restarts,
        ["kubectl rollout restart --context weu-1 -n shop deployment/orders"]
    );
    assert!(
        changed.notes.iter().any(|note| note.ends_with(": old")),
        "{:?}",
        changed.notes
    );
    // An account that does not change restarts nothing, and unknown pods are told as such.
    let same = Observed {
        account: everything().account,
        ..observed.clone()
    };
    assert_eq!(plan_of(&same).restarts, Vec::<String>::new());
    let unknown = plan_of(&Observed {
        pods: None,
        ..observed
    });
    assert!(unknown.restarts.is_empty() && unknown.notes.iter().any(|note| note.contains("restart them")));
}
