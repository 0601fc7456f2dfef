//! The objects of a plan, as far as setup decides over them.

use super::change::Described;
use aks_shared::azure::arm::FederatedCredential;
use aks_shared::azure::{ArmId, Scope};
use aks_shared::identity::{Audience, Issuer, SecretRef, ServiceAccountRef, Subject};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Display;

/// What stands for an id that Azure chooses.
const AFTER_APPLY: &str = "(known after apply)";

/// A managed identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IdentitySpec {
    /// Its ARM id.
    pub id: ArmId,
    /// Its region.
    pub location: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Its client id, when it exists.
    pub client_id: Option<String>,
    /// Its object id, when it exists.
    pub principal_id: Option<String>,
}

/// A federated credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CredentialSpec {
    /// Its name.
    pub name: String,
    /// Whose tokens it trusts.
    pub issuer: Issuer,
    /// Whom they are about.
    pub subject: Subject,
    /// Whom they are for; one when it is ours.
    pub audiences: Vec<Audience>,
}

impl CredentialSpec {
    pub(super) fn of(found: &FederatedCredential) -> Self {
        Self {
            name: found.name.clone(),
            issuer: found.issuer.clone(),
            subject: found.subject.clone(),
            audiences: found.audiences.clone(),
        }
    }
}

/// A role of the identity at a scope: at a secret, or wherever it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GrantSpec {
    /// The secret as it was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretRef>,
    /// The name of its vault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vault: Option<String>,
    /// Where it holds; a secret's ARM id.
    pub scope: Scope,
    /// The id of the role, without the path before it.
    pub role: String,
    /// Its name.
    pub role_name: String,
    /// Its full id.
    pub role_definition_id: String,
    /// The identity's object id, when it exists.
    pub principal_id: Option<String>,
}

impl GrantSpec {
    /// Where it holds, for people.
    pub fn place(&self) -> String {
        match (&self.vault, &self.secret) {
            (Some(vault), Some(secret)) => format!("secret {vault}/{}", secret.name),
            _ => self.scope.to_string(),
        }
    }
}

/// A vault's access policy: the identity reads every secret of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicySpec {
    /// The name of the vault.
    pub vault: String,
    /// Its ARM id.
    pub id: ArmId,
    /// The tenant that the policy names.
    pub tenant_id: String,
    /// The identity's object id, when it exists.
    pub principal_id: Option<String>,
}

/// A namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceSpec {
    /// Its name.
    pub name: String,
}

/// A service account: only what setup writes to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountSpec {
    /// The account.
    pub account: ServiceAccountRef,
    /// The client id in its annotation, when it is known.
    pub client_id: Option<String>,
    /// The tenant in its annotation; written only where one stands already.
    pub tenant_id: Option<String>,
    /// The release that may adopt it.
    pub helm: Option<HelmOwner>,
    /// Whether it is labelled as ours.
    pub managed_by_us: bool,
    /// Whether fields of other writers are taken over.
    pub force: bool,
}

/// A release that may adopt an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HelmOwner {
    /// Its name.
    pub release: String,
    /// Its namespace.
    pub namespace: String,
}

impl Described for IdentitySpec {
    fn name(&self) -> String {
        format!("managed identity {}", self.id.name())
    }

    fn detail(&self) -> String {
        format!(
            "resource group {}, {}, client id {AFTER_APPLY}",
            self.id.resource_group(),
            self.location
        )
    }

    fn difference(&self, from: &Self) -> String {
        let changed = self
            .tags
            .iter()
            .filter(|(name, value)| from.tags.get(*name) != Some(*value));
        let texts: Vec<String> = changed
            .map(|(name, value)| {
                format!(
                    "tag {name} {} → {value}",
                    from.tags.get(name).map_or("(none)", String::as_str)
                )
            })
            .collect();
        texts.join(", ")
    }
}

impl Described for CredentialSpec {
    fn name(&self) -> String {
        format!("federated credential {}", self.name)
    }

    fn detail(&self) -> String {
        format!(
            "issuer {}, subject {}, audience {}",
            self.issuer,
            self.subject,
            list(&self.audiences)
        )
    }

    fn difference(&self, from: &Self) -> String {
        let mut parts = Vec::new();
        if from.issuer != self.issuer {
            parts.push(format!("issuer {} → {}", from.issuer, self.issuer));
        }
        if from.subject != self.subject {
            parts.push(format!("subject {} → {}", from.subject, self.subject));
        }
        if from.audiences != self.audiences {
            parts.push(format!(
                "audience {} → {}",
                list(&from.audiences),
                list(&self.audiences)
            ));
        }
        parts.join(", ")
    }
}

impl Described for GrantSpec {
    fn name(&self) -> String {
        format!("role {} at {}", self.role_name, self.place())
    }

    fn detail(&self) -> String {
        String::new()
    }

    fn difference(&self, _from: &Self) -> String {
        String::new()
    }
}

impl Described for PolicySpec {
    fn name(&self) -> String {
        format!("access policy of vault {}", self.vault)
    }

    fn detail(&self) -> String {
        "get on every secret of the vault".to_owned()
    }

    fn difference(&self, _from: &Self) -> String {
        String::new()
    }
}

impl Described for NamespaceSpec {
    fn name(&self) -> String {
        format!("namespace {}", self.name)
    }

    fn detail(&self) -> String {
        String::new()
    }

    fn difference(&self, _from: &Self) -> String {
        String::new()
    }
}

impl Described for AccountSpec {
    fn name(&self) -> String {
        format!("service account {}", self.account)
    }

    fn detail(&self) -> String {
        let id = format!("client id {}", or_after_apply(self.client_id.as_deref()));
        match &self.helm {
            Some(helm) => format!("{id}, to be adopted by release {}", helm.release),
            None => id,
        }
    }

    fn difference(&self, from: &Self) -> String {
        let mut parts = Vec::new();
        if from.client_id != self.client_id || self.client_id.is_none() {
            let before = from.client_id.as_deref().unwrap_or("(none)");
            parts.push(format!(
                "client id {before} → {}",
                or_after_apply(self.client_id.as_deref())
            ));
        }
        if from.tenant_id != self.tenant_id {
            let text = |tenant: &Option<String>| tenant.clone().unwrap_or_else(|| "(none)".to_owned());
            parts.push(format!(
                "tenant {} → {}",
                text(&from.tenant_id),
                text(&self.tenant_id)
            ));
        }
        parts.join(", ")
    }
}

fn or_after_apply(id: Option<&str>) -> &str {
    id.unwrap_or(AFTER_APPLY)
}

fn list<T: Display>(items: &[T]) -> String {
    items
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}
