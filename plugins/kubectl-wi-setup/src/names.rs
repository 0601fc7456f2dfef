//! Names of what setup creates: deterministic, valid, and distinct for distinct things. Pure.

use aks_shared::azure::arm::FederatedCredential;
use aks_shared::azure::{ArmId, Scope};
use aks_shared::identity::{Audience, ServiceAccountRef, Trust};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use uuid::Uuid;

/// Managed identity: 3-128 of letters, digits, '-' and '_', starting with a letter or digit
/// (resource-name-rules).
const IDENTITY_LONGEST: usize = 128;
/// Federated credential: `^[a-zA-Z0-9][a-zA-Z0-9-_]{2,119}$`.
const CREDENTIAL_LONGEST: usize = 120;

/// The namespace of our role assignment names; any fixed value does, it must never change.
const ASSIGNMENTS: Uuid = Uuid::from_u128(0x6f0c_5d2e_8a41_4b7c_9d35_2e1f_70ab_c4d8);

/// The prefix of the names of our federated credentials.
const CREDENTIAL_PREFIX: &str = "wi-";

/// Eight hex digits that stand for a cluster in names.
pub(crate) fn cluster_hash(cluster: &ArmId) -> String {
    hash(&cluster.canonical(), 8)
}

/// A rendered template as a valid name of a managed identity. What had to be changed or cut is told apart by a
/// hash of the whole.
pub(crate) fn identity_name(rendered: &str) -> String {
    valid(rendered, IDENTITY_LONGEST)
}

/// The name of the federated credential for a service account of an issuer. The audience is not part of it: one
/// issuer and subject can be trusted once only.
pub(crate) fn credential_name(account: &ServiceAccountRef, trust: &Trust) -> String {
    let hash = hash(&format!("{}\n{}", trust.issuer, trust.subject), 10);
    let prefix = valid(
        &format!("{CREDENTIAL_PREFIX}{}-{}", account.namespace, account.name),
        CREDENTIAL_LONGEST - hash.len() - 1,
    );
    format!("{prefix}-{hash}")
}

/// Whether a federated credential is one that we made for an account: its content gives its name.
pub(crate) fn is_made_for(account: &ServiceAccountRef, found: &FederatedCredential) -> bool {
    let trust = Trust {
        issuer: found.issuer.clone(),
        subject: found.subject.clone(),
        // No part of the name.
        audience: Audience::from(""),
    };
    found.subject == account.subject() && found.name == credential_name(account, &trust)
}

/// The name of a role assignment: the same triple has the same name, so a rerun meets its own.
pub(crate) fn assignment_name(scope: &Scope, principal_id: &str, role: &str) -> Uuid {
    let triple = format!(
        "{}|{}|{}",
        scope.canonical(),
        principal_id.to_ascii_lowercase(),
        role.to_ascii_lowercase()
    );
    Uuid::new_v5(&ASSIGNMENTS, triple.as_bytes())
}

/// `text` with only letters, digits, '-' and '_', starting with a letter or digit, 3 to `longest` long.
fn valid(text: &str, longest: usize) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let replaced: String = text.chars().map(|c| if plain(c) { c } else { '-' }).collect();
    let trimmed = replaced.trim_start_matches(['-', '_']);
    if trimmed == text && (3..=longest).contains(&trimmed.len()) {
        return text.to_owned();
    }
    let hash = hash(text, 8);
    let room = longest - hash.len() - 1;
    let kept = trimmed[..trimmed.len().min(room)].trim_end_matches(['-', '_']);
    if kept.is_empty() {
        format!("id-{hash}")
    } else {
        format!("{kept}-{hash}")
    }
}

fn hash(text: &str, digits: usize) -> String {
    let mut hex = String::new();
    for byte in Sha256::digest(text.as_bytes()) {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex.truncate(digits);
    hex
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn is_valid(name: &str, longest: usize) -> bool {
        (3..=longest).contains(&name.len())
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    }

    fn trust(issuer: &str, subject: &str) -> Trust {
        Trust {
            issuer: issuer.into(),
            subject: subject.into(),
            audience: "a".into(),
        }
    }

    #[test]
    fn a_valid_name_stays_as_it_is() {
        assert_eq!(
            identity_name("id-aks-shop-orders-0a1b2c3d"),
            "id-aks-shop-orders-0a1b2c3d"
        );
    }

    #[test]
    fn what_is_changed_stays_distinct() {
        assert_ne!(identity_name("id-a.b"), identity_name("id-a-b"));
        assert!(identity_name("id-a.b").starts_with("id-a-b-"));
    }

    #[test]
    fn the_issuer_is_part_of_the_credential_name_to_the_last_slash() {
        let account = ServiceAccountRef::new("shop", "orders").unwrap();
        let one = credential_name(&account, &trust("https://i/", "s"));
        assert_ne!(one, credential_name(&account, &trust("https://i", "s")));
        assert!(one.starts_with("wi-shop-orders-"), "{one}");
    }

    #[test]
    fn a_credential_is_ours_when_its_content_gives_its_name() {
        let account = ServiceAccountRef::new("shop", "orders").unwrap();
        let other = ServiceAccountRef::new("shop", "billing").unwrap();
        let made = |name: &str, issuer: &str| FederatedCredential {
            name: name.into(),
            issuer: issuer.into(),
            subject: account.subject(),
            audiences: vec!["a".into()],
            expression: None,
        };
        let name = credential_name(&account, &trust("https://i/", account.subject().as_str()));
        assert!(is_made_for(&account, &made(&name, "https://i/")));
        assert!(!is_made_for(&account, &made(&name, "https://other/")));
        assert!(!is_made_for(&account, &made("terraform", "https://i/")));
        assert!(!is_made_for(&other, &made(&name, "https://i/")));
    }

    #[test]
    fn assignment_names_never_change() {
        let scope: Scope =
            "/subscriptions/S/resourceGroups/g/providers/Microsoft.KeyVault/vaults/kv/secrets/db"
                .parse()
                .unwrap();
        let lower: Scope = scope.as_str().to_ascii_lowercase().parse().unwrap();
        assert_eq!(
            assignment_name(&scope, "P", "R"),
            assignment_name(&lower, "p", "r")
        );
        assert_eq!(
            assignment_name(&scope, "p", "r").to_string(),
            "db23b6e0-d0ae-52c3-ac2d-dddc4775cc62"
        );
    }

    proptest! {
        #[test]
        fn identity_names_are_valid(text in ".{0,300}") {
            prop_assert!(is_valid(&identity_name(&text), IDENTITY_LONGEST));
        }

        #[test]
        fn identity_names_are_distinct(one in "[a-z.-]{1,200}", two in "[a-z.-]{1,200}") {
            prop_assume!(one != two);
            prop_assert_ne!(identity_name(&one), identity_name(&two));
        }

        #[test]
        fn credential_names_are_valid(
            namespace in "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?",
            name in "[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?",
            issuer in "https://[a-z]{1,40}/",
        ) {
            let account = ServiceAccountRef::new(namespace, name).unwrap();
            let subject = account.subject();
            let made = credential_name(&account, &trust(&issuer, subject.as_str()));
            prop_assert!(is_valid(&made, CREDENTIAL_LONGEST), "{made}");
        }
    }
}
