//! The operations of providers, as far as they are served.

use serde_json::{Value, json};

use super::error::ArmError;
use super::{Ask, page};
use crate::http::Reply;

/// Kinds of resources with what can be done with them.
const KINDS: [(&str, &str, &[&str]); 6] = [
    (
        "Microsoft.ManagedIdentity/userAssignedIdentities",
        "User Assigned Identities",
        &["read", "write", "delete"],
    ),
    (
        "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials",
        "Federated Identity Credentials",
        &["read", "write", "delete"],
    ),
    (
        "Microsoft.KeyVault/vaults",
        "Key Vault",
        &["read", "write", "delete"],
    ),
    (
        "Microsoft.KeyVault/vaults/accessPolicies",
        "Access Policies",
        &["write"],
    ),
    ("Microsoft.KeyVault/vaults/secrets", "Secrets", &["read", "write"]),
    ("Microsoft.ResourceGraph/resources", "Resources", &["read"]),
];

/// Those of one provider, named in lower case.
pub(super) fn list(ask: Ask<'_>, provider: &str) -> Result<Reply, ArmError> {
    let of_provider = |kind: &str| kind.to_lowercase().starts_with(&format!("{provider}/"));
    let items: Vec<Value> = KINDS
        .iter()
        .filter(|(kind, ..)| of_provider(kind))
        .flat_map(|(kind, resource, verbs)| {
            verbs.iter().map(move |verb| {
                let provider = kind.split('/').next();
                let operation = format!("{verb} {resource}");
                let display = json!({
                    "provider": provider, "resource": resource, "operation": operation, "description": operation,
                });
                json!({"name": format!("{kind}/{verb}"), "display": display})
            })
        })
        .collect();
    if items.is_empty() {
        return Err(ArmError::path(&ask.call.path));
    }
    page::reply(ask, items)
}
