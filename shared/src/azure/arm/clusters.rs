//! Managed clusters, as far as workload identity needs to know them.

use super::request::parse;
use super::{Arm, ArmError, ArmRequest};
use crate::azure::ArmId;
use crate::identity::Issuer;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
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
    /// Whether the OIDC issuer is enabled; while it is being switched on it has no URL, and is not yet.
    pub issuer_enabled: bool,
    /// Whether the workload identity webhook is enabled.
    pub workload_identity_enabled: bool,
    /// What its last operation came to, e.g. `Succeeded`.
    pub provisioning_state: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Whether somebody has stopped it.
    pub is_stopped: bool,
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

/// A kubeconfig that holds a credential. It has no `Debug`: it must not reach a log.
pub struct UserKubeconfig(String);

impl UserKubeconfig {
    /// Its YAML, for whoever connects by it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

#[derive(Deserialize)]
struct Credentials {
    #[serde(default)]
    kubeconfigs: Vec<Encoded>,
}

#[derive(Default, Deserialize)]
struct Encoded {
    value: String,
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
    power_state: Option<PowerState>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PowerState {
    code: Option<String>,
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
        let power = properties.power_state.and_then(|state| state.code);
        let some = |text: Option<String>| text.filter(|text| !text.is_empty());
        let issuer = some(profile.issuer_url).map(Issuer);
        Self {
            id: body.id,
            name: body.name,
            location: body.location,
            fqdn: some(properties.fqdn),
            private_fqdn: some(properties.private_fqdn),
            node_resource_group: some(properties.node_resource_group),
            issuer_enabled: profile.enabled.unwrap_or(false) && issuer.is_some(),
            issuer,
            workload_identity_enabled: webhook.and_then(|webhook| webhook.enabled).unwrap_or(false),
            provisioning_state: properties.provisioning_state.unwrap_or_default(),
            tags: body.tags.unwrap_or_default(),
            is_stopped: power.is_some_and(|code| code.eq_ignore_ascii_case("Stopped")),
        }
    }
}

pub(super) fn read(value: Value) -> Result<ManagedCluster, ArmError> {
    parse::<Body>(value, "managed cluster").map(ManagedCluster::from)
}

impl Arm {
    /// A cluster, or none.
    pub async fn cluster(&self, id: &ArmId) -> Result<Option<ManagedCluster>, ArmError> {
        let found = self.send_opt(&ArmRequest::get(id.as_str(), API_VERSION)).await?;
        found.map(|answer| read(answer.body)).transpose()
    }

    /// The kubeconfig that leads to a cluster as its user, in YAML: with Entra's sign-in left to a plugin where the
    /// cluster has that, else with a certificate of its own.
    ///
    /// <https://learn.microsoft.com/rest/api/aks/managed-clusters/list-cluster-user-credentials>
    pub async fn user_kubeconfig(&self, id: &ArmId) -> Result<UserKubeconfig, ArmError> {
        let path = format!("{}/listClusterUserCredential", id.as_str());
        let request = ArmRequest::post(path, API_VERSION, Value::Object(serde_json::Map::new()));
        let answer = self.send(&request.query("format", "exec")).await?;
        let credentials: Credentials = answer.parse("user credential of a managed cluster")?;
        let first = credentials.kubeconfigs.into_iter().next().unwrap_or_default();
        let text = STANDARD.decode(first.value).unwrap_or_default();
        Ok(UserKubeconfig(String::from_utf8_lossy(&text).into_owned()))
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
        assert!(!cluster.is_stopped);
        assert_eq!((cluster.issuer, cluster.fqdn), (None, None));
    }

    #[test]
    fn an_issuer_that_is_being_switched_on_is_not_on() {
        let cluster = read(json!({"id": ID, "name": "aks", "properties": {
            "provisioningState": "Updating", "oidcIssuerProfile": {"enabled": true}}}))
        .unwrap();
        assert!(cluster.is_changing() && !cluster.issuer_enabled);
    }

    #[test]
    fn a_stopped_cluster_is_known() {
        let body = json!({"id": ID, "name": "aks", "properties": {"powerState": {"code": "Stopped"}}});
        assert!(read(body).unwrap().is_stopped);
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
