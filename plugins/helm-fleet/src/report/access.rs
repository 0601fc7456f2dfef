//! Who may read what from where: the outcome of an identity's setup as a row of the access matrix.

use crate::event::IdentityResult;
use aks_shared::identity::ServiceAccountRef;
use serde::{Deserialize, Serialize};

/// What one service account of one cluster may do through its identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Access {
    /// The cluster.
    pub cluster: String,
    /// The identity's name in the fleet file.
    pub identity: String,
    /// Its name in Azure.
    pub identity_name: String,
    /// Its client id.
    pub client_id: String,
    /// Who may use it: the subject that its federated credential trusts.
    pub subject: String,
    /// Whose tokens the credential trusts.
    pub issuer: String,
    /// The secrets that it may read by grants on these secrets, `VAULT/NAME`.
    pub secrets: Vec<String>,
    /// The vaults that it may read as a whole, by an access policy.
    pub vaults: Vec<String>,
    /// Grants on anything else, `ROLE@SCOPE`.
    pub grants: Vec<String>,
}

/// The part of an outcome that says who may do what.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    cluster: Cluster,
    namespace: String,
    service_account: String,
    identity_name: String,
    client_id: String,
    secrets: Vec<Secret>,
    grants: Vec<Grant>,
    #[serde(default)]
    vault_policies: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Cluster {
    issuer: String,
}

#[derive(Debug, Deserialize)]
struct Secret {
    vault: String,
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Grant {
    scope: String,
    role_name: String,
}

impl Access {
    /// What an identity that was set up gives; none of one that was not.
    pub(super) fn of(cluster: &str, result: &IdentityResult) -> Option<Self> {
        let outcome = Outcome::deserialize(&result.outcome).ok()?;
        let account = ServiceAccountRef {
            namespace: outcome.namespace,
            name: outcome.service_account,
        };
        let is_on_secret = |grant: &Grant, secret: &Secret| {
            let scope = grant.scope.to_ascii_lowercase();
            scope.ends_with(&format!("/vaults/{}/secrets/{}", secret.vault, secret.name).to_ascii_lowercase())
        };
        let granted = outcome
            .secrets
            .iter()
            .filter(|secret| outcome.grants.iter().any(|grant| is_on_secret(grant, secret)));
        let others = outcome
            .grants
            .iter()
            .filter(|grant| !outcome.secrets.iter().any(|secret| is_on_secret(grant, secret)));
        let secrets = granted
            .map(|secret| format!("{}/{}", secret.vault, secret.name))
            .collect();
        let grants = others
            .map(|grant| format!("{}@{}", grant.role_name, grant.scope))
            .collect();
        Some(Self {
            cluster: cluster.to_owned(),
            identity: result.identity.clone(),
            subject: account.subject().as_str().to_owned(),
            issuer: outcome.cluster.issuer,
            secrets,
            vaults: outcome.vault_policies,
            grants,
            identity_name: outcome.identity_name,
            client_id: outcome.client_id,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, EventKind};
    use crate::report::{FleetReport, sample};

    #[test]
    fn only_what_is_granted_is_access() {
        let mut result = sample::identity("weu-1");
        let access = Access::of("weu-1", &result).unwrap();
        assert_eq!(access.subject, "system:serviceaccount:shop:orders");
        assert_eq!(access.secrets, ["kv-central/db-password"]);
        assert_eq!(access.grants, ["Reader@/subscriptions/s"]);
        result.outcome["grants"] = serde_json::json!([]);
        assert!(Access::of("weu-1", &result).unwrap().secrets.is_empty());
        // One that failed has no outcome but its changes.
        result.outcome = serde_json::json!({"changes": []});
        assert_eq!(Access::of("weu-1", &result), None);
    }

    #[test]
    fn rows_are_in_the_order_of_the_targets_whoever_came_first() {
        let mut events = sample::events();
        let first = |event: &Event| matches!(event.kind, EventKind::IdentityFinished { .. });
        let place = events.iter().position(first).unwrap();
        let mut earlier = events[place].clone();
        earlier.kind = EventKind::IdentityFinished {
            cluster: "neu-1".to_owned(),
            result: sample::identity("neu-1"),
        };
        events.insert(place, earlier);
        let mut report = None;
        for event in events {
            FleetReport::fold(&mut report, &event);
        }
        let access = report.unwrap().access;
        let clusters: Vec<&str> = access.iter().map(|row| row.cluster.as_str()).collect();
        assert_eq!(clusters, ["weu-1", "neu-1"]);
    }
}
