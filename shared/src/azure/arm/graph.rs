//! Finding resources without knowing their group: Resource Graph, then lists, subscription by subscription.

use super::request::parse;
use super::{Arm, ArmError, ArmRequest, ManagedCluster, Vault};
use crate::azure::ArmId;
use serde::Deserialize;
use serde_json::{Value, json};

const API_VERSION: &str = "2022-10-01";
const PATH: &str = "/providers/Microsoft.ResourceGraph/resources";
const SUBSCRIPTIONS_API_VERSION: &str = "2022-12-01";

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    data: Vec<Value>,
    #[serde(rename = "$skipToken")]
    skip_token: Option<String>,
}

#[derive(Deserialize)]
struct Row {
    id: ArmId,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Subscription {
    subscription_id: String,
}

impl Arm {
    /// The rows of a Resource Graph query; no subscriptions means all that the caller may read.
    pub async fn query(&self, query: &str, subscriptions: &[String]) -> Result<Vec<Value>, ArmError> {
        let mut rows = Vec::new();
        let mut skip_token: Option<String> = None;
        loop {
            let mut body = json!({"query": query, "options": {"resultFormat": "objectArray"}});
            if !subscriptions.is_empty() {
                body["subscriptions"] = json!(subscriptions);
            }
            if let Some(token) = &skip_token {
                body["options"]["$skipToken"] = json!(token);
            }
            let page: Page = self
                .send(&ArmRequest::post(PATH, API_VERSION, body))
                .await?
                .parse("Resource Graph answer")?;
            rows.extend(page.data);
            skip_token = page.skip_token.filter(|token| !token.is_empty());
            if skip_token.is_none() {
                return Ok(rows);
            }
        }
    }

    /// The ids of the subscriptions that the caller may read.
    pub async fn subscriptions(&self) -> Result<Vec<String>, ArmError> {
        let request = ArmRequest::get("/subscriptions", SUBSCRIPTIONS_API_VERSION);
        let found = self.list(request).await?;
        found
            .into_iter()
            .map(|value| parse::<Subscription>(value, "subscription").map(|one| one.subscription_id))
            .collect()
    }

    /// The clusters whose API server is at `host`. Resource Graph lags behind and may be closed to the caller;
    /// lists then answer.
    pub async fn clusters_served_at(
        &self,
        host: &str,
        subscriptions: &[String],
    ) -> Result<Vec<ManagedCluster>, ArmError> {
        let host = literal(host);
        let query = format!(
            "Resources | where type =~ 'microsoft.containerservice/managedclusters' \
             | where properties.fqdn =~ '{host}' or properties.privateFQDN =~ '{host}' | project id"
        );
        let mut found = Vec::new();
        for id in self.ids(&query, subscriptions).await {
            // A row may be older than the cluster's end.
            found.extend(
                self.cluster(&id)
                    .await?
                    .filter(|cluster| cluster.is_served_at(&host)),
            );
        }
        if found.is_empty() {
            for subscription in self.readable(subscriptions).await? {
                let all = self.clusters(&subscription).await?;
                found.extend(all.into_iter().filter(|cluster| cluster.is_served_at(&host)));
            }
        }
        Ok(found)
    }

    /// The vaults of a name; names are unique in a cloud, but a caller may see a deleted one's row.
    pub async fn vaults_named(&self, name: &str, subscriptions: &[String]) -> Result<Vec<Vault>, ArmError> {
        let name = literal(name);
        let query = format!(
            "Resources | where type =~ 'microsoft.keyvault/vaults' | where name =~ '{name}' | project id"
        );
        let mut found = Vec::new();
        for id in self.ids(&query, subscriptions).await {
            found.extend(self.vault(&id).await?);
        }
        if found.is_empty() {
            for subscription in self.readable(subscriptions).await? {
                let all = self.vaults(&subscription).await?;
                found.extend(
                    all.into_iter()
                        .filter(|vault| vault.name.eq_ignore_ascii_case(&name)),
                );
            }
        }
        Ok(found)
    }

    /// The ids that a query answers. A query that fails answers none: lists are asked then, and they say why.
    async fn ids(&self, query: &str, subscriptions: &[String]) -> Vec<ArmId> {
        match self.query(query, subscriptions).await {
            Ok(rows) => {
                let mut ids: Vec<ArmId> = rows
                    .into_iter()
                    .filter_map(|row| parse::<Row>(row, "row").ok())
                    .map(|row| row.id)
                    .collect();
                ids.sort();
                ids.dedup();
                ids
            }
            Err(error) => {
                tracing::info!(%error, "Resource Graph did not answer; lists are read in its place");
                Vec::new()
            }
        }
    }

    async fn readable(&self, subscriptions: &[String]) -> Result<Vec<String>, ArmError> {
        if subscriptions.is_empty() {
            self.subscriptions().await
        } else {
            Ok(subscriptions.to_vec())
        }
    }
}

/// A text as the inside of a string literal of the query language: hosts and names need no other characters.
fn literal(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_ascii_alphanumeric() || "-._:".contains(*c))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_cannot_leave_its_literal() {
        assert_eq!(literal("a.b' or 1 == 1 | x"), "a.bor11x");
        assert_eq!(literal("10.0.0.1"), "10.0.0.1");
    }
}
