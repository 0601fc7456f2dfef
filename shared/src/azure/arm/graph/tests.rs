//! What is remembered between two questions and what is not, against a resource manager of a few lines.

use super::*;
use crate::azure::Cloud;
use crate::azure::credential::Tokens;
use crate::env::Env;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

const VAULT: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/kv";
const MOVED: &str = "/subscriptions/s/resourceGroups/h/providers/Microsoft.KeyVault/vaults/kv";
const VAULTS: &str = "/subscriptions/s/providers/Microsoft.KeyVault/vaults";
const CLUSTER: &str =
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/aks";
const CLUSTERS: &str = "/subscriptions/s/providers/Microsoft.ContainerService/managedClusters";
const HOST: &str = "a.hcp.weu.azmk8s.io";

/// Answers by path, which a test may change; what has none is not found.
#[derive(Clone, Default)]
struct Azure {
    answers: Arc<Mutex<BTreeMap<String, Value>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Azure {
    fn set(&self, path: &str, answer: Value) {
        self.answers.lock().unwrap().insert(path.to_owned(), answer);
    }

    fn remove(&self, path: &str) {
        self.answers.lock().unwrap().remove(path);
    }

    fn times(&self, path: &str) -> usize {
        self.asked
            .lock()
            .unwrap()
            .iter()
            .filter(|asked| *asked == path)
            .count()
    }

    /// Begins to answer, to somebody who is signed in.
    fn arm(&self) -> Arm {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut cloud = Cloud::resolve(Some("public"), &Env::of::<&str, &str>([])).unwrap();
        cloud.arm = format!("http://{}", listener.local_addr().unwrap())
            .parse()
            .unwrap();
        let azure = self.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                azure.answer(stream.unwrap());
            }
        });
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Arm::new(&cloud, http, Arc::new(Tokens::fixed(&cloud.arm_scope)))
    }

    fn answer(&self, mut stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let head: Vec<String> = reader
            .by_ref()
            .lines()
            .map(Result::unwrap)
            .take_while(|line| !line.is_empty())
            .collect();
        let length = head.iter().find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix("content-length: ")?
                .parse()
                .ok()
        });
        reader
            .take(length.unwrap_or(0))
            .read_to_end(&mut Vec::new())
            .unwrap();
        let path = head[0].split([' ', '?']).nth(1).unwrap().to_owned();
        let found = self.answers.lock().unwrap().get(&path).cloned();
        self.asked.lock().unwrap().push(path);
        let (status, body) = match found {
            Some(body) => (200, body),
            None => (
                404,
                json!({"error": {"code": "ResourceNotFound", "message": "no"}}),
            ),
        };
        let body = body.to_string();
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 {status} -\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .unwrap();
    }
}

fn vault(id: &str, roles: bool) -> Value {
    json!({"id": id, "name": "kv", "properties": {
        "vaultUri": "https://kv.vault.azure.net/", "tenantId": "t", "enableRbacAuthorization": roles}})
}

fn cluster(enabled: bool) -> Value {
    json!({"id": CLUSTER, "name": "aks", "properties": {
        "fqdn": HOST, "oidcIssuerProfile": {"enabled": enabled, "issuerURL": "https://i/"}}})
}

/// What Resource Graph answers to every query.
fn rows(ids: &[&str]) -> Value {
    let rows: Vec<Value> = ids.iter().map(|id| json!({"id": id, "fqdn": HOST})).collect();
    json!({"data": rows})
}

#[tokio::test]
async fn a_vault_that_is_mended_meanwhile_is_seen_and_searched_for_once() {
    let (azure, subscriptions) = (Azure::default(), ["s".to_owned()]);
    azure.set(PATH, rows(&[VAULT]));
    let arm = azure.arm();
    for roles in [false, true] {
        azure.set(VAULT, vault(VAULT, roles));
        let found = arm.vaults_named("kv", &subscriptions).await.unwrap();
        assert_eq!((found.len(), found[0].uses_roles), (1, roles));
    }
    assert_eq!((azure.times(PATH), azure.times(VAULT)), (1, 2));

    // Made anew elsewhere, before Resource Graph knows.
    azure.remove(VAULT);
    azure.set(VAULTS, json!({"value": [vault(MOVED, true)]}));
    let found = arm.vaults_named("kv", &subscriptions).await.unwrap();
    assert_eq!((found.len(), found[0].id.as_str()), (1, MOVED));
}

#[tokio::test]
async fn a_cluster_that_is_mended_meanwhile_is_seen_where_resource_graph_is_closed() {
    let (azure, subscriptions) = (Azure::default(), ["s".to_owned()]);
    azure.set(CLUSTERS, json!({"value": [cluster(false)]}));
    let arm = azure.arm();
    for enabled in [false, true] {
        azure.set(CLUSTER, cluster(enabled));
        let found = arm.clusters_served_at(HOST, &subscriptions).await.unwrap();
        assert_eq!((found.len(), found[0].issuer_enabled), (1, enabled));
    }
    assert_eq!((azure.times(CLUSTERS), azure.times(CLUSTER)), (1, 2));
}

#[tokio::test]
async fn an_identity_is_found_by_either_of_its_ids_also_where_resource_graph_is_closed() {
    const IDENTITY: &str =
        "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id";
    const IDENTITIES: &str = "/subscriptions/s/providers/Microsoft.ManagedIdentity/userAssignedIdentities";
    let (azure, subscriptions) = (Azure::default(), ["s".to_owned()]);
    let identity =
        json!({"id": IDENTITY, "properties": {"clientId": "c-1", "principalId": "p-1", "tenantId": "t"}});
    azure.set(IDENTITIES, json!({"value": [&identity]}));
    let arm = azure.arm();
    for (id, count) in [("C-1", 1), ("p-1", 1), ("x", 0)] {
        let found = arm.identities_with(id, &subscriptions).await.unwrap();
        assert_eq!(found.len(), count, "{id}");
    }
    azure.set(PATH, rows(&[IDENTITY]));
    azure.set(IDENTITY, identity);
    azure.remove(IDENTITIES);
    assert_eq!(arm.identities_with("c-1", &subscriptions).await.unwrap().len(), 1);
}

#[test]
fn a_name_cannot_leave_its_literal() {
    assert_eq!(literal("a.b' or 1 == 1 | x"), "a.bor11x");
    assert_eq!(literal("kv-central"), "kv-central");
}

#[test]
fn rows_tell_where_a_cluster_is_served() {
    let row: ClusterRow = serde_json::from_value(json!({
        "id": CLUSTER, "fqdn": HOST, "privateFqdn": null,
    }))
    .unwrap();
    assert!(row.is_served_at("A.hcp.weu.azmk8s.io") && !row.is_served_at(""));
}
