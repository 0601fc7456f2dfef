//! ARM resource ids: compared without case, spelled as they came.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

/// The id of a resource, `/subscriptions/…/resourceGroups/…/providers/NAMESPACE/TYPE/NAME…`.
///
/// Azure spells ids in varying case (`resourcegroups`), so equality ignores it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ArmId(String);

/// A text that is no resource id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{given:?} is no resource id: it must be /subscriptions/ID/resourceGroups/GROUP/providers/NAMESPACE/TYPE/NAME"
)]
pub struct ArmIdError {
    /// The text.
    pub given: String,
}

impl ArmId {
    /// The id of a top-level resource; `resource_type` is `NAMESPACE/TYPE`.
    pub fn resource(
        subscription: &str,
        group: &str,
        resource_type: &str,
        name: &str,
    ) -> Result<Self, ArmIdError> {
        format!("/subscriptions/{subscription}/resourceGroups/{group}/providers/{resource_type}/{name}")
            .parse()
    }

    /// The id of a resource below this one.
    pub fn child(&self, kind: &str, name: &str) -> Result<Self, ArmIdError> {
        format!("{}/{kind}/{name}", self.0).parse()
    }

    /// The id as it was spelled.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id of the subscription.
    pub fn subscription(&self) -> &str {
        self.segment(1)
    }

    /// The name of the resource group.
    pub fn resource_group(&self) -> &str {
        self.segment(3)
    }

    /// The provider's namespace and the types down to this resource, e.g. `Microsoft.KeyVault/vaults/secrets`.
    pub fn resource_type(&self) -> String {
        let segments: Vec<&str> = self.segments().collect();
        let kinds = segments[6..].iter().step_by(2).copied();
        std::iter::once(segments[5])
            .chain(kinds)
            .collect::<Vec<_>>()
            .join("/")
    }

    /// Whether this is a resource of the given `NAMESPACE/TYPE`.
    pub fn is_type(&self, resource_type: &str) -> bool {
        self.resource_type().eq_ignore_ascii_case(resource_type)
    }

    /// The name of the resource itself.
    pub fn name(&self) -> &str {
        self.segments().next_back().unwrap_or_default()
    }

    /// The id of the resource group, `/subscriptions/…/resourceGroups/…`.
    pub fn group_path(&self) -> String {
        format!(
            "/subscriptions/{}/resourceGroups/{}",
            self.subscription(),
            self.resource_group()
        )
    }

    /// The id in lower case: one text for all spellings.
    pub fn canonical(&self) -> String {
        self.0.to_ascii_lowercase()
    }

    fn segments(&self) -> std::str::Split<'_, char> {
        self.0[1..].split('/')
    }

    fn segment(&self, index: usize) -> &str {
        self.segments().nth(index).unwrap_or_default()
    }
}

impl FromStr for ArmId {
    type Err = ArmIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ArmIdError {
            given: text.to_owned(),
        };
        let trimmed = text.trim_end_matches('/');
        let segments: Vec<&str> = trimmed.strip_prefix('/').ok_or_else(error)?.split('/').collect();
        // Only characters that need no escape in a path: an id becomes part of a request's URL.
        let plain = |c: char| c.is_alphanumeric() || "-_.()".contains(c);
        let valid = segments.len() >= 8
            && segments.len().is_multiple_of(2)
            && segments[0].eq_ignore_ascii_case("subscriptions")
            && segments[2].eq_ignore_ascii_case("resourceGroups")
            && segments[4].eq_ignore_ascii_case("providers")
            && segments.iter().all(|segment| {
                !segment.is_empty() && segment.chars().all(plain) && segment.chars().any(|c| c != '.')
            });
        if valid {
            Ok(Self(trimmed.to_owned()))
        } else {
            Err(error())
        }
    }
}

impl TryFrom<String> for ArmId {
    type Error = ArmIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ArmId> for String {
    fn from(id: ArmId) -> Self {
        id.0
    }
}

impl fmt::Display for ArmId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl PartialEq for ArmId {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for ArmId {}

impl Hash for ArmId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.canonical().hash(state);
    }
}

impl PartialOrd for ArmId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ArmId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.canonical().cmp(&other.canonical())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VAULT: &str = "/subscriptions/S/resourcegroups/rg-Shared/providers/Microsoft.KeyVault/vaults/kv";

    #[test]
    fn spelling_is_kept_and_case_is_ignored() {
        let one: ArmId = VAULT.parse().unwrap();
        let two: ArmId = VAULT
            .to_ascii_uppercase()
            .replace("/SUBSCRIPTIONS", "/subscriptions")
            .parse()
            .unwrap();
        assert_eq!(one, two);
        assert_eq!(one.as_str(), VAULT);
        assert_eq!(one.resource_group(), "rg-Shared");
    }

    #[test]
    fn the_parts_are_found() {
        let secret = VAULT
            .parse::<ArmId>()
            .unwrap()
            .child("secrets", "db-password")
            .unwrap();
        assert_eq!(secret.resource_type(), "Microsoft.KeyVault/vaults/secrets");
        assert!(secret.is_type("microsoft.keyvault/vaults/secrets"));
        assert_eq!((secret.subscription(), secret.name()), ("S", "db-password"));
    }

    #[test]
    fn what_would_change_the_url_is_no_id() {
        for bad in [
            "",
            "kv",
            "/subscriptions/s/resourceGroups/g",
            "/subscriptions/s/resourceGroups/g/providers/P/t",
            "/subscriptions/s/resourceGroups/g/providers/P/t/n?x=1",
            "/subscriptions/s/resourceGroups/../providers/P/t/n",
            "/subscriptions/s/resourceGroups/g/providers/P/t/n m",
            "/subscriptions/s//g/providers/P/t/n",
        ] {
            assert!(bad.parse::<ArmId>().is_err(), "{bad}");
        }
    }
}
