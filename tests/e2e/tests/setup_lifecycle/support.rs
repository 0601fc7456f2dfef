//! What the tests of a workload's life share: command lines, and what is read back.

use e2e::World;
use e2e::azure::{self, vault_id};
use serde_json::{Value, json};

pub(crate) const CONTEXT: &str = "aks-weu-1";
pub(crate) const SECRET: &str = "kv-central/db-password";
pub(crate) const CLIENT_ID: &str = "azure.workload.identity/client-id";

/// The role assignments of a principal at the secret.
pub(crate) fn assignments(world: &World, principal: &Value) -> Vec<Value> {
    azure::assignments(
        world,
        &format!("{}/secrets/db-password", vault_id(world)),
        principal,
    )
}

/// The setup of one account in a namespace, with everything that it makes; others wait for the exchange.
pub(crate) fn setup(namespace: &str) -> String {
    format!(
        "kubectl wi setup --context {CONTEXT} -n {namespace} --service-account orders --secret {SECRET} \
         --service-account-owner setup --yes --wait none"
    )
}

pub(crate) fn remove(namespace: &str) -> String {
    format!("kubectl wi remove --context {CONTEXT} -n {namespace} --service-account orders")
}

pub(crate) fn kubectl(world: &World, namespace: &str, rest: &str) -> e2e::Finished {
    world.run(&format!("kubectl --context {CONTEXT} -n {namespace} {rest}"))
}

pub(crate) fn account(world: &World, namespace: &str) -> Value {
    kubectl(world, namespace, "get serviceaccount orders -o json")
        .expect(0)
        .json()
}

/// A pod of the account, as the webhook leaves it; nothing has to run it.
pub(crate) fn pod(name: &str, client_id: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": {"azure.workload.identity/use": "true"}},
        "spec": {"serviceAccountName": "orders", "automountServiceAccountToken": false,
            "nodeSelector": {"e2e": "nowhere"},
            "containers": [{"name": "app", "image": "app", "env": [{"name": "AZURE_CLIENT_ID", "value": client_id}]}]}})
}
