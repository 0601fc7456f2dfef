//! What Azure says of the fleet's resources, asked as the operator; and weather over one place of it.

use crate::World;
use serde_json::{Value, json};

/// Of managed identities and their federated credentials.
pub const IDENTITY_API: &str = "api-version=2024-11-30";
/// Of managed clusters.
pub const CLUSTER_API: &str = "api-version=2025-10-01";
/// Of role assignments.
pub const ROLE_API: &str = "api-version=2022-04-01";

/// The sandbox's subscription.
pub fn subscription(world: &World) -> String {
    format!("/subscriptions/{}", world.variable("AZURE_SUBSCRIPTION_ID"))
}

/// The resource group of the fleet's clusters.
pub fn fleet_group(world: &World) -> String {
    format!("{}/resourceGroups/rg-fleet", subscription(world))
}

/// The id that a cluster of that name has or would have in the fleet's group.
pub fn cluster_id(world: &World, name: &str) -> String {
    let group = fleet_group(world);
    format!("{group}/providers/Microsoft.ContainerService/managedClusters/{name}")
}

/// The id that an identity of that name has or would have in the fleet's group.
pub fn identity_id(world: &World, name: &str) -> String {
    let group = fleet_group(world);
    format!("{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}")
}

/// The id of the central vault.
pub fn vault_id(world: &World) -> String {
    format!(
        "{}/resourceGroups/rg-shared/providers/Microsoft.KeyVault/vaults/kv-central",
        subscription(world)
    )
}

/// Makes an identity as another tool does; what Azure says of it.
pub fn foreign_identity(world: &World, name: &str) -> Value {
    let body = json!({"location": "westeurope", "tags": {"made-by": "terraform"}});
    let path = format!("{}?{IDENTITY_API}", identity_id(world, name));
    world.rest("PUT", &path, Some(&body))
}

/// The names of the identities in a group that hold a text.
pub fn identities(world: &World, group: &str, text: &str) -> Vec<String> {
    let path = format!("{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities?{IDENTITY_API}");
    list(world, &path)
        .iter()
        .filter_map(|identity| identity["name"].as_str())
        .filter(|name| name.contains(text))
        .map(str::to_owned)
        .collect()
}

/// The federated credentials of an identity.
pub fn credentials(world: &World, identity: &str) -> Vec<Value> {
    list(
        world,
        &format!("{identity}/federatedIdentityCredentials?{IDENTITY_API}"),
    )
}

/// The role assignments of a principal at a scope.
///
/// # Panics
/// When the principal is no text.
pub fn assignments(world: &World, scope: &str, principal: &Value) -> Vec<Value> {
    let principal = principal.as_str().expect("an outcome has ids");
    let path = format!(
        "{scope}/providers/Microsoft.Authorization/roleAssignments?{ROLE_API}&$filter=principalId%20eq%20'{principal}'"
    );
    list(world, &path)
}

/// Takes away every federated credential of an identity, as somebody tidying up would.
///
/// # Panics
/// When it has none.
pub fn delete_credentials(world: &World, identity: &str) {
    let all = credentials(world, identity);
    assert!(!all.is_empty(), "{identity} has no credential to delete");
    for credential in all {
        let path = format!("{}?{IDENTITY_API}", text(&credential, "id"));
        world.rest("DELETE", &path, None);
    }
}

/// Every request that Azure has answered.
///
/// # Panics
/// When the log is no list.
pub fn log(world: &World) -> Vec<Value> {
    let log = world.sandbox(&["azure", "log", "-o", "json"]).expect(0).json();
    log.as_array().expect("the log is a list").clone()
}

/// An endpoint of the cloud, by its name in the cloud's description, without a slash at its end.
///
/// # Panics
/// When the description does not have it.
pub fn endpoint(world: &World, name: &str) -> String {
    let cloud = std::fs::read(world.variable("AZURE_ENVIRONMENT_FILEPATH")).expect("the cloud is described");
    let cloud: Value = serde_json::from_slice(&cloud).expect("the description is JSON");
    text(&cloud, name).trim_end_matches('/').to_owned()
}

fn list(world: &World, path: &str) -> Vec<Value> {
    let answer = world.rest("GET", path, None);
    answer["value"].as_array().cloned().unwrap_or_default()
}

/// The issuer that a context's cluster itself names.
///
/// # Panics
/// When it names none.
pub fn issuer(world: &World, context: &str) -> String {
    let line = format!("kubectl --context {context} get --raw /.well-known/openid-configuration");
    text(&world.run(&line).expect(0).json(), "issuer").to_owned()
}

/// A field of a document.
///
/// # Panics
/// When it is no text.
pub fn text<'a>(document: &'a Value, field: &str) -> &'a str {
    document[field]
        .as_str()
        .unwrap_or_else(|| panic!("no {field} in {document:#}"))
}

/// What an outcome says was done: `create role assignment`, in order.
///
/// # Panics
/// When it says nothing.
pub fn changes(outcome: &Value) -> Vec<String> {
    let changes = outcome["changes"].as_array();
    changes
        .unwrap_or_else(|| panic!("no changes in {outcome:#}"))
        .iter()
        .map(|change| format!("{} {}", text(change, "action"), text(change, "object")))
        .collect()
}

/// Weather over one place, until it is taken back.
pub fn front(world: &World, name: &str, over: &str, weather: &Value) {
    let weather = weather.to_string();
    world
        .sandbox(&["azure", "fault", &weather, "--over", over, "--as", name])
        .expect(0);
}

/// Takes weather back.
pub fn calm(world: &World, name: &str) {
    world.sandbox(&["azure", "fault", "--end", name]).expect(0);
}
