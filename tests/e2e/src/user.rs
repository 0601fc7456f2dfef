//! Users of the clusters with rights of a test's choice: the administrator in the place of somebody else.

use crate::World;
use serde_json::{Value, json};
use std::fs;

/// A kubeconfig with the sandbox's contexts, whose user everywhere is somebody without a right.
///
/// # Panics
/// When it cannot be written.
pub fn kubeconfig_of(world: &World, user: &str) -> String {
    let mut config = world.run("kubectl config view --raw -o json").expect(0).json();
    for entry in config["users"].as_array_mut().expect("there are users") {
        entry["user"]["as"] = json!(user);
    }
    let file = world.folder().join(format!("{user}.kubeconfig"));
    fs::write(&file, config.to_string()).expect("the test's folder can be written to");
    file.display().to_string()
}

/// Gives a user rights on a cluster, in a namespace by a `Role` or everywhere by a `ClusterRole`.
///
/// # Panics
/// When they cannot be written.
pub fn allow(world: &World, context: &str, namespace: &str, user: &str, kind: &str, rules: &Value) {
    let api = "rbac.authorization.k8s.io";
    let role =
        json!({"apiVersion": format!("{api}/v1"), "kind": kind, "metadata": {"name": user}, "rules": rules});
    let binding = json!({"apiVersion": format!("{api}/v1"), "kind": format!("{kind}Binding"), "metadata": {"name": user},
        "roleRef": {"apiGroup": api, "kind": kind, "name": user},
        "subjects": [{"apiGroup": api, "kind": "User", "name": user}]});
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [role, binding]});
    world.apply(context, namespace, &list);
}
