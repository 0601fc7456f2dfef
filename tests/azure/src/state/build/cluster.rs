//! A cluster's document, from the little that a seed says of it.

use serde_json::{Map, Value, json};

use crate::seed;

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// Its top-level fields.
pub(super) fn extra() -> Map<String, Value> {
    object(json!({
        "sku": {"name": "Base", "tier": "Standard"},
        "identity": {"type": "SystemAssigned"},
    }))
}

/// Its properties.
pub(super) fn properties(given: &seed::Cluster) -> Map<String, Value> {
    let version = &given.kubernetes_version;
    let node_group = given
        .node_resource_group
        .clone()
        .unwrap_or_else(|| format!("MC_{}_{}_{}", given.resource_group, given.name, given.location));
    let mut properties = object(json!({
        "provisioningState": "Succeeded",
        "powerState": {"code": given.power_state},
        "kubernetesVersion": version,
        "currentKubernetesVersion": version,
        "dnsPrefix": format!("{}-{}", given.name, given.resource_group),
        "fqdn": given.fqdn,
        "agentPoolProfiles": [{
            "name": "nodepool1", "count": 1, "vmSize": "Standard_D4s_v5", "osType": "Linux", "mode": "System",
            "provisioningState": "Succeeded", "orchestratorVersion": version,
        }],
        "nodeResourceGroup": node_group,
        "enableRBAC": true,
        "networkProfile": {"networkPlugin": "azure", "networkPluginMode": "overlay", "podCidr": "10.244.0.0/16"},
        "disableLocalAccounts": false,
        "securityProfile": {},
        "oidcIssuerProfile": {"enabled": given.oidc_issuer_enabled},
    }));
    if given.oidc_issuer_enabled {
        properties["oidcIssuerProfile"]["issuerURL"] = given.issuer_url.clone().into();
    }
    if given.workload_identity_enabled {
        properties["securityProfile"]["workloadIdentity"] = json!({"enabled": true});
    }
    if let Some(host) = &given.private_fqdn {
        properties.insert("privateFQDN".to_owned(), host.clone().into());
        properties.insert(
            "apiServerAccessProfile".to_owned(),
            json!({"enablePrivateCluster": true}),
        );
    }
    properties
}
