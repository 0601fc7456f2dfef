//! A cluster that was built anew: the same context and the same place in Azure, another API server and another issuer.

use crate::support::SECRET;
use e2e::World;
use e2e::application::add;
use e2e::azure::{changes, cluster_id, credentials, identity_id, issuer, text};
use serde_json::json;
use std::fs;

/// Makes Azure and the only context of a kubeconfig lead to the cluster behind a context of the sandbox; the kubeconfig.
fn build(world: &World, name: &str, context: &str) -> String {
    let line = format!("kubectl config view --raw --minify --context {context} -o json");
    let mut config = world.run(&line).expect(0).json();
    config["contexts"][0]["name"] = json!("prod");
    config["current-context"] = json!("prod");
    let file = world.folder().join("prod.kubeconfig");
    fs::write(&file, config.to_string()).expect("the test's folder can be written to");
    let more = json!({"clusters": [{
        "resourceGroup": "rg-fleet", "name": name, "location": "westeurope",
        "fqdn": format!("{name}.hcp.westeurope.azmk8s.io"), "issuerUrl": issuer(world, context),
    }]});
    add(world, &more);
    file.display().to_string()
}

#[test]
fn a_cluster_that_was_built_anew_is_pointed_to_and_the_stale_credential_is_told() {
    let world = World::join();
    let namespace = world.namespace("rebuilt");
    let id = cluster_id(&world, &namespace);
    let config = build(&world, &namespace, "aks-weu-1");
    let setup = format!(
        "kubectl wi setup --kubeconfig {config} --context prod --cluster-id {id} -n {namespace} \
         --service-account orders --secret {SECRET} --service-account-owner setup --yes -o json"
    );
    let made = world.run(&format!("{setup} --wait none")).expect(0).json();

    // The context leads to the new one, and Azure still tells of the old one.
    world.sandbox(&["azure", "remove", &id]).expect(0);
    build(&world, &namespace, "aks-neu-1");
    world
        .sandbox(&[
            "azure",
            "set",
            &id,
            &format!("issuerUrl={}", issuer(&world, "aks-weu-1")),
        ])
        .expect(0);
    world
        .run(&setup)
        .expect(8)
        .says("the context leads to the issuer");
    world
        .sandbox(&[
            "azure",
            "set",
            &id,
            &format!("issuerUrl={}", issuer(&world, "aks-neu-1")),
        ])
        .expect(0);

    let stale = text(&made, "federatedCredential");
    let pointed = world.run(&setup).expect(0).says(stale).says("--prune").json();
    assert_eq!(
        changes(&pointed),
        [
            "create federated credential",
            "create namespace",
            "create service account"
        ]
    );
    assert_eq!(pointed["clientId"], made["clientId"]);
    assert_eq!(pointed["exchange"]["state"], "stable");
    let identity = identity_id(&world, text(&made, "identityName"));
    assert_eq!(credentials(&world, &identity).len(), 2);

    // The old issuer is one of a cluster that lives, so its credential is told and kept.
    let again = world
        .run(&format!("{setup} --prune"))
        .expect(0)
        .says(stale)
        .json();
    assert_eq!(again["changes"], json!([]));
    assert_eq!(credentials(&world, &identity).len(), 2);
    world.sandbox(&["azure", "remove", &id]).expect(0);
}
