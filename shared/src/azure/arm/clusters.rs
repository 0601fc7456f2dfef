//! Managed clusters, as far as workload identity needs to know them.

use super::request::parse;
use super::{Arm, ArmError, ArmRequest};
use crate::azure::ArmId;
use crate::identity::Issuer;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

const API_VERSION: &str = "2025-10-01";
const TYPE: &str = "Microsoft.ContainerService/managedClusters";

/// An AKS cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagedCluster {
    /// Its ARM id.
    pub id: ArmId,
    /// Its name.
    pub name: String,
    /// Its region.
    pub location: String,
    /// Host of its public API server.
    pub fqdn: Option<String>,
    /// Host of its private API server.
    pub private_fqdn: Option<String>,
    /// Resource group of its nodes.
    pub node_resource_group: Option<String>,
    /// Issuer of its service account tokens; only when it is enabled.
    pub issuer: Option<Issuer>,
    /// Whether the OIDC issuer is enabled.
    pub issuer_enabled: bool,
    /// Whether the workload identity webhook is enabled.
    pub workload_identity_enabled: bool,
    /// What its last operation came to, e.g. `Succeeded`.
    pub provisioning_state: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

impl ManagedCluster {
    /// Whether the host of a kubeconfig server is this cluster's API server.
    pub fn is_served_at(&self, host: &str) -> bool {
        let matches = |fqdn: &Option<String>| {
            fqdn.as_deref()
                .is_some_and(|fqdn| fqdn.eq_ignore_ascii_case(host))
        };
        matches(&self.fqdn) || matches(&self.private_fqdn)
    }
}

#[derive(Deserialize)]
struct Body {
    id: ArmId,
    name: String,
    #[serde(default)]
    location: String,
    #[serde(default)]
    tags: Option<BTreeMap<String, String>>,
    #[serde(default)]
    properties: Properties,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Properties {
    fqdn: Option<String>,
    #[serde(rename = "privateFQDN")]
    private_fqdn: Option<String>,
    node_resource_group: Option<String>,
    provisioning_state: Option<String>,
    oidc_issuer_profile: Option<IssuerProfile>,
    security_profile: Option<SecurityProfile>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct IssuerProfile {
    enabled: Option<bool>,
    #[serde(rename = "issuerURL")]
    issuer_url: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SecurityProfile {
    workload_identity: Option<Switch>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Switch {
    enabled: Option<bool>,
}

impl From<Body> for ManagedCluster {
    fn from(body: Body) -> Self {
        let properties = body.properties;
        let profile = properties.oidc_issuer_profile.unwrap_or_default();
        let webhook = properties
            .security_profile
            .and_then(|profile| profile.workload_identity);
        let some = |text: Option<String>| text.filter(|text| !text.is_empty());
        Self {
            id: body.id,
            name: body.name,
            location: body.location,
            fqdn: some(properties.fqdn),
            private_fqdn: some(properties.private_fqdn),
            node_resource_group: some(properties.node_resource_group),
            issuer: some(profile.issuer_url).map(Issuer),
            issuer_enabled: profile.enabled.unwrap_or(false),
            workload_identity_enabled: webhook.and_then(|webhook| webhook.enabled).unwrap_or(false),
            provisioning_state: properties.provisioning_state.unwrap_or_default(),
            tags: body.tags.unwrap_or_default(),
        }
    }
}

fn read(value: Value) -> Result<ManagedCluster, ArmError> {
    parse::<Body>(value, "managed cluster").map(ManagedCluster::from)
}

impl Arm {
    /// A cluster, or none.
    pub async fn cluster(&self, id: &ArmId) -> Result<Option<ManagedCluster>, ArmError> {
        let found = self.send_opt(&ArmRequest::get(id.as_str(), API_VERSION)).await?;
        found.map(|answer| read(answer.body)).transpose()
    }

    /// All clusters of a subscription that the caller may read.
    pub async fn clusters(&self, subscription: &str) -> Result<Vec<ManagedCluster>, ArmError> {
        let path = format!("/subscriptions/{subscription}/providers/{TYPE}");
        self.list(ArmRequest::get(path, API_VERSION))
            .await?
            .into_iter()
            .map(read)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ID: &str =
        "/subscriptions/s/resourcegroups/g/providers/Microsoft.ContainerService/managedClusters/aks";

    #[test]
    fn a_bare_cluster_has_nothing_enabled() {
        let cluster = read(json!({"id": ID, "name": "aks", "location": "westeurope", "tags": null})).unwrap();
        assert!(!cluster.issuer_enabled && !cluster.workload_identity_enabled);
        assert_eq!((cluster.issuer, cluster.fqdn), (None, None));
    }

    #[test]
    fn the_issuer_is_taken_byte_for_byte() {
        let cluster = read(json!({"id": ID, "name": "aks", "properties": {
            "fqdn": "a.hcp.westeurope.azmk8s.io", "privateFQDN": "",
            "oidcIssuerProfile": {"enabled": true, "issuerURL": "https://X.example/T/u/"},
            "securityProfile": {"workloadIdentity": {"enabled": true}}}}))
        .unwrap();
        assert_eq!(
            cluster.issuer.as_ref().unwrap().as_str(),
            "https://X.example/T/u/"
        );
        assert!(cluster.workload_identity_enabled);
        assert!(cluster.is_served_at("A.hcp.westeurope.azmk8s.io"));
        assert!(!cluster.is_served_at(""));
    }
}
