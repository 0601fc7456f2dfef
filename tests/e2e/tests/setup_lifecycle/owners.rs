//! Accounts and pods of others: left to who owns them, and named to who must act.

use crate::support::{CLIENT_ID, CONTEXT, account, kubectl, setup};
use e2e::World;
use e2e::azure::{changes, text};
use serde_json::{Value, json};
use std::fs;

#[test]
fn an_account_of_a_release_or_of_flux_is_left_to_it() {
    let world = World::join();
    for (purpose, owner, manager, metadata) in [
        (
            "flux",
            "left to Flux",
            "kustomize-controller",
            json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"}}),
        ),
        (
            "helm",
            "left to Helm release shop/orders",
            "helm",
            json!({"labels": {"app.kubernetes.io/managed-by": "Helm"}, "annotations":
                {"meta.helm.sh/release-name": "orders", "meta.helm.sh/release-namespace": "shop"}}),
        ),
    ] {
        let namespace = world.namespace(purpose);
        kubectl(&world, &namespace, &format!("create namespace {namespace}")).expect(0);
        // As its owner writes it, with this identity or without one.
        let write = |client_id: Option<&str>| {
            let mut metadata = metadata.clone();
            metadata["name"] = json!("orders");
            if let Some(client_id) = client_id {
                metadata["annotations"][CLIENT_ID] = json!(client_id);
            }
            let manifest = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata});
            let file = world.folder().join("account.json");
            fs::write(&file, manifest.to_string()).expect("the test's folder can be written to");
            let line = format!(
                "apply --server-side --field-manager {manager} -f {}",
                file.display()
            );
            kubectl(&world, &namespace, &line).expect(0);
            account(&world, &namespace)
        };
        let setup = setup(&namespace).replace("--service-account-owner setup ", "") + " -o json";

        let bare = write(None);
        let made = world.run(&setup).expect(0).says(owner).json();
        assert_eq!(
            changes(&made),
            [
                "create managed identity",
                "create federated credential",
                "create role assignment"
            ]
        );
        assert_eq!(account(&world, &namespace), bare);

        let other = write(Some("another"));
        world.run(&setup).expect(8).says("--replace-identity");
        assert_eq!(account(&world, &namespace), other);

        write(Some(text(&made, "clientId")));
        let settled = world.run(&setup).expect(0).json();
        assert_eq!(settled["changes"], json!([]), "{purpose}");
    }
}

/// A workload of the account whose pods fit no node: they exist, and nothing has to run them.
fn workload(kind: &str, name: &str) -> Value {
    let labels = json!({"app": name, "azure.workload.identity/use": "true"});
    json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": {
        "replicas": 1, "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": labels}, "spec": {"serviceAccountName": "orders",
            "nodeSelector": {"e2e": "nowhere"}, "containers": [{"name": "app", "image": "app"}]}}}})
}

#[test]
fn pods_that_must_restart_are_told_by_the_command_that_restarts_them() {
    let world = World::join();
    let namespace = world.namespace("restart");
    let setup = format!("{} --replace-identity -o json", setup(&namespace));
    world.run(&setup).expect(0);
    let annotate = format!("annotate serviceaccount orders --overwrite {CLIENT_ID}=another");
    kubectl(&world, &namespace, &annotate).expect(0);
    // Their pods are made while the account is another identity's.
    let workloads = [("Deployment", "orders"), ("StatefulSet", "queue")];
    for (kind, name) in workloads {
        world.apply(CONTEXT, &namespace, &workload(kind, name));
    }
    for (kind, name) in workloads {
        let made = format!("wait {kind}/{name} --for=jsonpath={{.status.replicas}}=1 --timeout=60s");
        kubectl(&world, &namespace, &made).expect(0);
    }
    let done = world.run(&setup).expect(0).json();
    assert_eq!(changes(&done), ["update service account"]);
    let restarts = ["deployment/orders", "statefulset/queue"]
        .map(|workload| format!("kubectl rollout restart --context {CONTEXT} -n {namespace} {workload}"));
    assert_eq!(done["restarts"], json!(restarts));
    for line in &restarts {
        world.run(line).expect(0);
    }
}
