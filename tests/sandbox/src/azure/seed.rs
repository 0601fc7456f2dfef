//! What exists in the simulated Azure when it starts: the fleet and one central vault.

use serde_json::{Value, json};

use crate::environment;
use crate::spec::{self, Cluster, FLEET_GROUP, SHARED_GROUP, Spec, VAULT};

/// The operator's service principal.
const OPERATOR: &str = "sandbox-operator";
/// The region of what all clusters share.
const SHARED_REGION: &str = "westeurope";

/// The seed file's content.
pub fn seed(spec: &Spec) -> Value {
    let subscription = format!("/subscriptions/{}", spec.subscription_id());
    let shared = format!("{subscription}/resourceGroups/{SHARED_GROUP}");
    json!({
        "name": format!("sandbox-{}", spec.name),
        "tenant": {"id": spec.tenant_id(), "displayName": "Sandbox"},
        "subscriptions": [{"id": spec.subscription_id(), "displayName": format!("Sandbox {}", spec.name)}],
        "entra": {"address": https(spec.range.entra())},
        "arm": {"address": https(spec.range.arm())},
        "servicePrincipals": [{
            "displayName": OPERATOR,
            "clientId": spec.operator_client_id(),
            "objectId": spec.operator_object_id(),
            "secrets": [environment::operator_secret(spec)],
        }],
        "resourceGroups": [
            {"name": FLEET_GROUP, "location": SHARED_REGION},
            {"name": SHARED_GROUP, "location": SHARED_REGION},
        ],
        "clusters": spec.clusters.iter().map(cluster).collect::<Vec<_>>(),
        "vaults": [{
            "resourceGroup": SHARED_GROUP,
            "name": VAULT,
            "location": SHARED_REGION,
            "address": https(spec.range.vault(1)),
            "secrets": [
                {"name": "db-password", "value": spec::uuid(&spec.name, "db-password")},
                {"name": "api-key", "value": spec::uuid(&spec.name, "api-key")},
            ],
        }],
        // Enough for the whole job and no more: everything but rights on the subscription, and rights on the vault.
        "roleAssignments": [
            {"principal": OPERATOR, "role": "Contributor", "scope": subscription},
            {"principal": OPERATOR, "role": "Role Based Access Control Administrator", "scope": shared},
        ],
    })
}

fn cluster(cluster: &Cluster) -> Value {
    json!({
        "resourceGroup": FLEET_GROUP,
        "name": cluster.name,
        "location": cluster.region,
        "tags": {"fleet": "shop", "env": "prod"},
        "fqdn": cluster.address,
        "issuerUrl": cluster.issuer(),
        "nodeResourceGroup": cluster.node_group(),
    })
}

fn https(address: std::net::Ipv4Addr) -> String {
    format!("{address}:443")
}
