//! Where a role assignment holds: a management group, a subscription, a resource group or a resource.

use super::ArmId;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The scope of a role assignment; compared without case, as ids are.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scope(String);

/// A text that is no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{given:?} is no scope: it must be /subscriptions/ID, a resource group, the id of a resource, or /providers/Microsoft.Management/managementGroups/NAME"
)]
pub struct ScopeError {
    /// The text.
    pub given: String,
}

impl Scope {
    /// The scope as it was spelled.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The scope in lower case: one text for all spellings.
    pub fn canonical(&self) -> String {
        self.0.to_ascii_lowercase()
    }

    /// The subscription that the scope is, or lies in.
    pub fn subscription(&self) -> Option<&str> {
        let mut segments = self.0[1..].split('/');
        let kind = segments.next()?;
        kind.eq_ignore_ascii_case("subscriptions")
            .then(|| segments.next())
            .flatten()
    }
}

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ScopeError {
            given: text.to_owned(),
        };
        let trimmed = text.trim_end_matches('/');
        let segments: Vec<&str> = trimmed.strip_prefix('/').ok_or_else(error)?.split('/').collect();
        // As in a resource's id: what needs an escape has no place in a request's path.
        let plain = |segment: &&str| {
            segment.chars().any(|c| c != '.')
                && segment
                    .chars()
                    .all(|c| c.is_alphanumeric() || "-_.()".contains(c))
        };
        let is = |index: usize, word: &str| {
            segments
                .get(index)
                .is_some_and(|segment| segment.eq_ignore_ascii_case(word))
        };
        let valid = match segments.len() {
            2 => is(0, "subscriptions"),
            4 if is(0, "providers") => is(1, "Microsoft.Management") && is(2, "managementGroups"),
            4 => is(0, "subscriptions") && is(2, "resourceGroups"),
            _ => trimmed.parse::<ArmId>().is_ok(),
        };
        if valid && segments.iter().all(plain) {
            Ok(Self(trimmed.to_owned()))
        } else {
            Err(error())
        }
    }
}

impl TryFrom<String> for Scope {
    type Error = ScopeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.0
    }
}

impl From<ArmId> for Scope {
    fn from(id: ArmId) -> Self {
        Self(id.into())
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl PartialEq for Scope {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Scope {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_is_a_scope() {
        let vault = "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/kv";
        for (text, subscription) in [
            ("/subscriptions/s", Some("s")),
            ("/subscriptions/s/resourcegroups/g/", Some("s")),
            (vault, Some("s")),
            (&format!("{vault}/secrets/db"), Some("s")),
            ("/providers/Microsoft.Management/managementGroups/root-1", None),
        ] {
            let scope: Scope = text.parse().unwrap();
            assert_eq!(scope.subscription(), subscription, "{text}");
        }
        assert_eq!(
            vault.parse::<Scope>().unwrap(),
            vault.to_ascii_uppercase().parse().unwrap()
        );
    }

    #[test]
    fn what_is_none_or_would_change_the_url_is_refused() {
        for text in [
            "",
            "/",
            "subscriptions/s",
            "/subscriptions",
            "/subscriptions/s/resourceGroups",
            "/subscriptions/s/resourceGroups/..",
            "/subscriptions/s?x",
            "/providers/Microsoft.Compute/managementGroups/x",
        ] {
            assert!(text.parse::<Scope>().is_err(), "{text}");
        }
    }
}
