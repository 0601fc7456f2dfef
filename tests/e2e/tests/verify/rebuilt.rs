//! A cluster that was built anew: the same context, name and place in Azure, another API server and another issuer.

use crate::case::{CONTEXT, Case, Mend, Row, fails};
use e2e::World;
use e2e::azure::issuer;
use serde_json::{Value, json};

/// The cluster that takes the place of the other one.
const NEW: &str = "aks-neu-1";

/// What Azure tells of two clusters is exchanged while this lives.
struct Exchanged {
    world: World,
    /// Of each of them, before: its name, where its API server is, its issuer.
    before: [(&'static str, String, String); 2],
}

impl Exchanged {
    fn new() -> Self {
        let world = World::join();
        let before = [CONTEXT, NEW].map(|name| {
            let server = minified(&world, name)["clusters"][0]["cluster"]["server"].clone();
            let server = server.as_str().and_then(|server| server.strip_prefix("https://"));
            let host = server.and_then(|server| server.split([':', '/']).next());
            let host = host.expect("a kubeconfig names a server").to_owned();
            (name, host, issuer(&world, name))
        });
        let exchanged = Self { world, before };
        let [(old, ..), (new, ..)] = &exchanged.before;
        exchanged.set(old, 1).expect(0);
        exchanged.set(new, 0).expect(0);
        exchanged
    }

    /// Makes Azure tell of a cluster what was true of one of the two.
    fn set(&self, name: &str, of: usize) -> e2e::Finished {
        let (_, host, issuer) = &self.before[of];
        let (fqdn, issuer) = (format!("fqdn={host}"), format!("issuerUrl={issuer}"));
        self.world
            .sandbox(&["azure", "set", &format!("cluster/{name}"), &fqdn, &issuer])
    }
}

impl Drop for Exchanged {
    fn drop(&mut self) {
        // Also after a failed assertion: the next test finds the clusters as they were.
        for (index, (name, ..)) in self.before.iter().enumerate() {
            let _ = self.set(name, index);
        }
    }
}

/// What of the kubeconfig one context needs.
fn minified(world: &World, context: &str) -> Value {
    let line = format!("kubectl config view --raw --minify --context {context} -o json");
    world.run(&line).expect(0).json()
}

#[test]
fn a_credential_of_the_cluster_before_is_the_first_finding_and_setup_mends_it() {
    let mut case = Case::new("rebuilt");
    let account: Value = serde_json::from_str(&case.kubectl("get serviceaccount orders -o json"))
        .expect("kubectl prints JSON");
    let mut config = minified(&case.world, NEW);
    config["contexts"][0]["name"] = json!(CONTEXT);
    config["current-context"] = json!(CONTEXT);
    let file = case.world.folder().join("rebuilt.kubeconfig");
    std::fs::write(&file, config.to_string()).expect("the file can be written");

    let _exchanged = Exchanged::new();
    case.world.set("KUBECONFIG", &file.display().to_string());
    // What a repository or a backup brings back.
    let metadata = &account["metadata"];
    case.kubectl(&format!("create namespace {}", case.namespace));
    case.apply(&json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "orders", "labels": metadata["labels"], "annotations": metadata["annotations"]},
    }));
    for row in rows() {
        case.try_it(&row);
    }
}

pub(crate) fn rows() -> Vec<Row> {
    // What breaks it is done before, to the cluster.
    vec![fails(
        |_| (),
        "issuer-mismatch",
        "kubectl wi setup",
        Mend::Printed,
    )]
}
