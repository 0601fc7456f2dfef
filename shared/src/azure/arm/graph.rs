//! Finding resources without knowing their group: Resource Graph, then lists, subscription by subscription.
//!
//! Where something is, is asked for once in a run; how it is, each time: who waits for a change must see it.

use super::request::parse;
use super::{Arm, ArmError, ArmRequest, ManagedCluster, ManagedIdentity, Vault};
use crate::azure::ArmId;
use serde::Deserialize;
use serde::de::DeserializeOwned;
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

/// Where a cluster is served, as Resource Graph says.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClusterRow {
    id: ArmId,
    #[serde(default)]
    fqdn: Option<String>,
    #[serde(default)]
    private_fqdn: Option<String>,
}

impl ClusterRow {
    fn is_served_at(&self, host: &str) -> bool {
        [&self.fqdn, &self.private_fqdn]
            .into_iter()
            .flatten()
            .any(|fqdn| fqdn.eq_ignore_ascii_case(host))
    }
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
        let mut found = Vec::new();
        for row in self.cluster_rows(subscriptions).await? {
            if !row.is_served_at(host) {
                continue;
            }
            // A row may be older than the cluster's end.
            let cluster = self.cluster(&row.id).await?;
            found.extend(cluster.filter(|cluster| cluster.is_served_at(host)));
        }
        if found.is_empty() {
            let all = self.readable_clusters(subscriptions).await?;
            for listed in all.iter().filter(|cluster| cluster.is_served_at(host)) {
                found.extend(self.cluster(&listed.id).await?);
            }
        }
        Ok(found)
    }

    /// Where Resource Graph says that clusters are served: one query for all contexts of a run, because its own
    /// budget is some queries a second
    /// (<https://learn.microsoft.com/azure/governance/resource-graph/concepts/guidance-for-throttled-requests>).
    async fn cluster_rows(&self, subscriptions: &[String]) -> Result<Vec<ClusterRow>, ArmError> {
        const QUERY: &str = "Resources | where type =~ 'microsoft.containerservice/managedclusters' \
             | extend fqdn = tostring(properties.fqdn), privateFqdn = tostring(properties.privateFQDN) \
             | project id, fqdn, privateFqdn";
        let ask = || async {
            let mut rows: Vec<ClusterRow> = self.rows(QUERY, subscriptions).await;
            rows.sort_by(|one, other| one.id.cmp(&other.id));
            rows.dedup_by(|one, other| one.id == other.id);
            Ok(rows)
        };
        self.0.cluster_rows.get(&subscriptions.join(" "), ask).await
    }

    /// All clusters that the caller may read, subscription by subscription, as they were when the run first asked:
    /// for which there are, not for how they are.
    ///
    /// # Errors
    /// Also when there are none and some subscription does not let them be listed.
    pub async fn readable_clusters(&self, subscriptions: &[String]) -> Result<Vec<ManagedCluster>, ArmError> {
        let ask = || self.list_clusters(subscriptions);
        self.0.clusters.get(&subscriptions.join(" "), ask).await
    }

    async fn list_clusters(&self, subscriptions: &[String]) -> Result<Vec<ManagedCluster>, ArmError> {
        let mut found = Vec::new();
        let mut closed = None;
        for subscription in self.readable(subscriptions).await? {
            match self.clusters(&subscription).await {
                Ok(clusters) => found.extend(clusters),
                // A role in one group opens a subscription, and not the list of it.
                Err(error) if error.is_forbidden() => closed = Some(error),
                Err(error) => return Err(error),
            }
        }
        match closed {
            Some(error) if found.is_empty() => Err(error),
            _ => Ok(found),
        }
    }

    /// The vaults of a name; names are unique in a cloud, but a caller may see a deleted one's row.
    pub async fn vaults_named(&self, name: &str, subscriptions: &[String]) -> Result<Vec<Vault>, ArmError> {
        let name = literal(name);
        let key = format!("{} {}", name.to_ascii_lowercase(), subscriptions.join(" "));
        let ask = || self.vault_ids(&name, subscriptions);
        let ids = self.0.vault_ids.get(&key, ask).await?;
        let mut found = Vec::new();
        for id in &ids {
            found.extend(self.vault(id).await?);
        }
        if found.is_empty() && !ids.is_empty() {
            // A row may be older than the vault's end, and another vault may have its name since.
            found = self.list_vaults(&name, subscriptions).await?;
        }
        Ok(found)
    }

    async fn vault_ids(&self, name: &str, subscriptions: &[String]) -> Result<Vec<ArmId>, ArmError> {
        let query = format!(
            "Resources | where type =~ 'microsoft.keyvault/vaults' | where name =~ '{name}' | project id"
        );
        let ids = self.ids(&query, subscriptions).await;
        if !ids.is_empty() {
            return Ok(ids);
        }
        let listed = self.list_vaults(name, subscriptions).await?;
        Ok(listed.into_iter().map(|vault| vault.id).collect())
    }

    async fn list_vaults(&self, name: &str, subscriptions: &[String]) -> Result<Vec<Vault>, ArmError> {
        let mut found = Vec::new();
        for subscription in self.readable(subscriptions).await? {
            let all = self.vaults(&subscription).await?.into_iter();
            found.extend(all.filter(|vault| vault.name.eq_ignore_ascii_case(name)));
        }
        Ok(found)
    }

    /// The identities whose client id or principal id is `id`.
    pub async fn identities_with(
        &self,
        id: &str,
        subscriptions: &[String],
    ) -> Result<Vec<ManagedIdentity>, ArmError> {
        let id = literal(id);
        let query = format!(
            "Resources | where type =~ 'microsoft.managedidentity/userassignedidentities' \
             | where properties.clientId =~ '{id}' or properties.principalId =~ '{id}' | project id"
        );
        let mut found = Vec::new();
        for id in self.ids(&query, subscriptions).await {
            found.extend(self.identity(&id).await?);
        }
        if found.is_empty() {
            for subscription in self.readable(subscriptions).await? {
                let all = self.identities_of_subscription(&subscription).await?;
                found.extend(all.into_iter().filter(|identity| identity.has_id(&id)));
            }
        }
        Ok(found)
    }

    /// The ids that a query answers, each once.
    async fn ids(&self, query: &str, subscriptions: &[String]) -> Vec<ArmId> {
        let rows: Vec<Row> = self.rows(query, subscriptions).await;
        let mut ids: Vec<ArmId> = rows.into_iter().map(|row| row.id).collect();
        ids.sort();
        ids.dedup();
        ids
    }

    /// The rows that a query answers. One that fails answers none: lists are asked then, and they say why.
    async fn rows<T: DeserializeOwned>(&self, query: &str, subscriptions: &[String]) -> Vec<T> {
        match self.query(query, subscriptions).await {
            Ok(rows) => rows
                .into_iter()
                .filter_map(|row| parse(row, "row").ok())
                .collect(),
            Err(error) => {
                tracing::info!(%error, "Resource Graph did not answer; lists are read in its place");
                Vec::new()
            }
        }
    }

    /// The subscriptions that the user named, else all that the caller may read.
    pub async fn readable(&self, subscriptions: &[String]) -> Result<Vec<String>, ArmError> {
        if subscriptions.is_empty() {
            self.subscriptions().await
        } else {
            Ok(subscriptions.to_vec())
        }
    }
}

/// A text as the inside of a string literal of the query language: names need no other characters.
fn literal(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_ascii_alphanumeric() || "-._:".contains(*c))
        .collect()
}

#[cfg(test)]
mod tests;
