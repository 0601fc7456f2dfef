//! What exists in the simulated Azure when it starts: the fleet and one central vault.

use serde_json::{Value, json};

use crate::environment::{self, pipeline};
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
        "platform": platform(spec),
        "servicePrincipals": [{
            "displayName": OPERATOR,
            "clientId": spec.operator_client_id(),
            "objectId": spec.operator_object_id(),
            "secrets": [environment::operator_secret(spec)],
            "federatedCredentials": trusted(spec),
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

/// One job of each platform, and a machine to which no identity is assigned yet.
fn platform(spec: &Spec) -> Value {
    json!({
        "address": https(spec.range.platform()),
        "metadataAddress": format!("{}:80", spec.range.platform()),
        "identityHeader": spec::uuid(&spec.name, "identity-header"),
        "githubJobs": [{
            "name": pipeline::JOB,
            "repository": format!("{}/{}", pipeline::OWNER, pipeline::PROJECT),
            "requestToken": pipeline::github_token(spec),
        }],
        "pipelineJobs": [{
            "name": pipeline::JOB,
            "organization": pipeline::OWNER,
            "organizationId": pipeline::organization_id(spec),
            "project": pipeline::PROJECT,
            "accessToken": pipeline::access_token(spec),
            "connections": [{"id": pipeline::connection_id(spec), "name": pipeline::CONNECTION}],
        }],
    })
}

/// The pipelines that sign in as the operator, without its secret.
fn trusted(spec: &Spec) -> Value {
    let (owner, project) = (pipeline::OWNER, pipeline::PROJECT);
    let credential = |name: &str, issuer: String, subject: String| json!({"name": name, "issuer": issuer, "subject": subject, "audiences": ["api://AzureADTokenExchange"]});
    json!([
        credential(
            "github",
            pipeline::github(spec),
            format!("repo:{owner}/{project}:ref:refs/heads/main"),
        ),
        credential(
            "azure-pipelines",
            format!(
                "{}/{}",
                pipeline::azure_pipelines(spec),
                pipeline::organization_id(spec)
            ),
            format!("sc://{owner}/{project}/{}", pipeline::CONNECTION),
        ),
    ])
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
