//! The federated credential: in sync by its content, in conflict with what others made.

use super::{credential, everything, our_name, workload};
use crate::Observed;
use crate::plan::plan;
use aks_shared::azure::arm::FederatedCredential;
use aks_shared::identity::Subject;
use pretty_assertions::assert_eq;

#[test]
fn an_equal_credential_under_another_name_is_in_sync() {
    let observed = Observed {
        credentials: vec![credential("terraform")],
        ..everything()
    };
    let plan = plan(&workload(), &observed);
    assert_eq!(plan.federated_credential.action(), "in-sync");
    assert_eq!(plan.federated_credential.target().name, "terraform");
}

#[test]
fn our_credential_with_other_content_is_put_right() {
    let broken = FederatedCredential {
        subject: "system:serviceaccount:shop:other".into(),
        ..credential(&our_name())
    };
    let observed = Observed {
        credentials: vec![broken],
        ..everything()
    };
    let plan = plan(&workload(), &observed);
    assert_eq!(
        plan.federated_credential.to_string(),
        format!(
            "~ update federated credential {}: subject system:serviceaccount:shop:other → system:serviceaccount:shop:orders",
            our_name()
        )
    );
}

#[test]
fn a_credential_of_our_name_on_an_identity_of_others_is_not_taken_over() {
    let theirs = FederatedCredential {
        subject: "system:serviceaccount:shop:other".into(),
        ..credential(&our_name())
    };
    let mut observed = Observed {
        credentials: vec![theirs],
        ..everything()
    };
    observed.identity.as_mut().unwrap().tags.clear();
    let conflicts = plan(&workload(), &observed).conflicts();
    assert_eq!(conflicts.len(), 1);
    assert!(
        conflicts[0].contains("shop:other") && conflicts[0].contains("federated-credential show"),
        "{conflicts:?}"
    );
}

#[test]
fn a_rival_for_another_audience_is_a_conflict() {
    let rival = FederatedCredential {
        audiences: vec!["api://other".into()],
        ..credential("terraform")
    };
    let observed = Observed {
        credentials: vec![rival],
        ..everything()
    };
    let conflicts = plan(&workload(), &observed).conflicts();
    assert_eq!(conflicts.len(), 1);
    assert!(
        conflicts[0].contains("terraform") && conflicts[0].contains("api://other"),
        "{conflicts:?}"
    );
}

#[test]
fn a_full_identity_takes_no_further_credential() {
    let other = |number: usize| FederatedCredential {
        subject: Subject(format!("system:serviceaccount:shop:n{number}")),
        ..credential(&format!("c{number}"))
    };
    let full = Observed {
        credentials: (0..20).map(other).collect(),
        ..everything()
    };
    assert_eq!(plan(&workload(), &full).federated_credential.action(), "conflict");
    let room = Observed {
        credentials: (0..19).map(other).collect(),
        ..everything()
    };
    assert_eq!(plan(&workload(), &room).federated_credential.action(), "create");
}
