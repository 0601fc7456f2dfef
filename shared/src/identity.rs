//! The vocabulary of workload identity: what an issuer, a subject and a federated credential are. Pure.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A text that is no valid name for what it was given as.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is no {what}: {why}")]
pub struct NameError {
    /// What the text was meant to be.
    pub what: &'static str,
    /// The text.
    pub given: String,
    /// The rule it breaks.
    pub why: &'static str,
}

/// A service account of one cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ServiceAccountRef {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl ServiceAccountRef {
    /// Checks both names by the rules of Kubernetes.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Result<Self, NameError> {
        let (namespace, name) = (namespace.into(), name.into());
        check_dns_name("namespace", &namespace, 63, false)?;
        check_dns_name("service account name", &name, 253, true)?;
        Ok(Self { namespace, name })
    }

    /// The `sub` claim of its tokens, and the subject of a federated credential for it.
    pub fn subject(&self) -> Subject {
        Subject(format!("system:serviceaccount:{}:{}", self.namespace, self.name))
    }
}

impl fmt::Display for ServiceAccountRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

fn check_dns_name(what: &'static str, given: &str, longest: usize, dots: bool) -> Result<(), NameError> {
    let error = |why| {
        Err(NameError {
            what,
            given: given.to_owned(),
            why,
        })
    };
    if given.is_empty() {
        return error("it is empty");
    }
    if given.len() > longest {
        return error("it is too long");
    }
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let inner = |c: char| edge(c) || c == '-' || (dots && c == '.');
    if !given.chars().all(inner) || !given.starts_with(edge) || !given.ends_with(edge) {
        return error(
            "it must be lower-case letters, digits and '-', and start and end with a letter or digit",
        );
    }
    Ok(())
}

/// The `sub` of a token, `system:serviceaccount:NS:NAME`; compared by case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Subject(pub String);

/// An OIDC issuer URL, byte for byte: the trailing slash is part of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Issuer(pub String);

/// The `aud` of a token.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Audience(pub String);

macro_rules! text {
    ($($name:ident),*) => {$(
        impl $name {
            /// The text as it is.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
    )*};
}
text!(Subject, Issuer, Audience);

/// What a federated credential trusts: tokens with exactly this issuer, subject and audience.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Trust {
    /// Who signs the token.
    pub issuer: Issuer,
    /// Whom the token is about.
    pub subject: Subject,
    /// Whom the token is for.
    pub audience: Audience,
}

/// A named secret of a vault, as `VAULT/NAME`, or `ARM-ID-OF-VAULT/NAME` / `ARM-ID/secrets/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct SecretRef {
    /// The vault's name or its ARM id.
    pub vault: String,
    /// The secret's name.
    pub name: String,
}

impl std::str::FromStr for SecretRef {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = |why| NameError {
            what: "secret",
            given: text.to_owned(),
            why,
        };
        let (vault, name) = text
            .rsplit_once('/')
            .ok_or_else(|| error("it must be VAULT/NAME"))?;
        let vault = vault.strip_suffix("/secrets").unwrap_or(vault);
        // https://learn.microsoft.com/azure/key-vault/general/about-keys-secrets-certificates: 1-127 of [0-9a-zA-Z-].
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if name.is_empty() || name.len() > 127 || !name.chars().all(plain) {
            return Err(error("a secret's name is 1 to 127 letters, digits and '-'"));
        }
        let is_id = vault.to_ascii_lowercase().starts_with("/subscriptions/");
        if !is_id && (vault.len() < 3 || vault.len() > 24 || !vault.chars().all(plain)) {
            return Err(error(
                "a vault is named by 3 to 24 letters, digits and '-', or by its ARM id",
            ));
        }
        Ok(Self {
            vault: vault.to_owned(),
            name: name.to_owned(),
        })
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.vault, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_names_namespace_and_account() {
        let account = ServiceAccountRef::new("shop", "orders").unwrap();
        assert_eq!(account.subject().as_str(), "system:serviceaccount:shop:orders");
    }

    #[test]
    fn names_that_kubernetes_refuses_are_refused() {
        for bad in ["", "Shop", "-a", "a-", "a_b", "a.b", &"a".repeat(64)] {
            assert!(ServiceAccountRef::new(bad, "orders").is_err(), "{bad}");
        }
        assert!(ServiceAccountRef::new("shop", "a.b").is_ok());
    }

    #[test]
    fn secrets_are_named_by_vault_or_arm_id() {
        let plain: SecretRef = "kv-central/db-password".parse().unwrap();
        assert_eq!(
            (plain.vault.as_str(), plain.name.as_str()),
            ("kv-central", "db-password")
        );
        let id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/kv";
        for text in [format!("{id}/db"), format!("{id}/secrets/db")] {
            assert_eq!(
                text.parse::<SecretRef>().unwrap(),
                SecretRef {
                    vault: id.into(),
                    name: "db".into()
                }
            );
        }
        for bad in ["db", "kv-central/", "kv-central/a_b", "k/db", ""] {
            assert!(bad.parse::<SecretRef>().is_err(), "{bad}");
        }
    }
}
