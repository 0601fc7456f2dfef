//! The admin interface, the log, and the program itself.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use azure_sim::{AdminListener, AzureSim, Seed};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{CLIENT, OPERATOR_SECRET, SECRET_VALUE, Setup};

/// A client of a Unix socket.
fn client(socket: &std::path::Path) -> reqwest::Client {
    reqwest::Client::builder()
        .unix_socket(socket)
        .no_proxy()
        .build()
        .unwrap()
}

async fn ask(client: &reqwest::Client, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
    let mut request = client.request(method, format!("http://admin{path}"));
    if let Some(body) = body {
        request = request.json(&body);
    }
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (
        status,
        serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default(),
    )
}

#[tokio::test]
async fn state_weather_and_resources_are_seen_and_changed() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("admin.sock");
    let mut seed = Seed::on_loopback("admin");
    seed.resource_groups.push(azure_sim::seed::ResourceGroup {
        subscription: None,
        name: "rg".to_owned(),
        location: "westeurope".to_owned(),
        tags: std::collections::BTreeMap::new(),
    });
    let sim = Arc::new(AzureSim::start(seed).unwrap());
    let server = tokio::spawn(AdminListener::socket(&socket).unwrap().serve(Arc::clone(&sim)));
    let client = client(&socket);
    let cluster = json!({"resourceGroup": "rg", "name": "aks-1", "location": "westeurope", "fqdn": "198.18.1.1",
        "issuerUrl": "https://198.18.1.1/"});
    let vault =
        json!({"resourceGroup": "rg", "name": "kv-2", "location": "westeurope", "address": "127.0.0.1:0"});
    let more = json!({"clusters": [cluster], "vaults": [vault]});
    let (status, state) = ask(&client, Method::POST, "/resources", Some(more.clone())).await;
    assert_eq!((status, &state["clusters"][0]["name"]), (200, &json!("aks-1")));
    assert!(sim.vault_url("kv-2").is_some());
    assert_eq!(ask(&client, Method::POST, "/resources", Some(more)).await.0, 400);
    let id = state["clusters"][0]["id"].as_str().unwrap();
    assert_eq!(
        ask(&client, Method::DELETE, &format!("/resources?id={id}"), None)
            .await
            .0,
        200
    );
    assert_eq!(
        ask(&client, Method::DELETE, &format!("/resources?id={id}"), None)
            .await
            .0,
        404
    );
    assert_eq!(
        ask(&client, Method::GET, "/state", None).await.1["clusters"],
        json!([])
    );
    let (status, weather) = ask(&client, Method::POST, "/faults", Some(json!({"roleDelayMs": 7}))).await;
    assert_eq!(
        (status, &weather["roleDelayMs"], &weather["pageSize"]),
        (200, &json!(7), &json!(100))
    );
    assert_eq!(
        ask(&client, Method::POST, "/faults", Some(json!({"roleDelay": 7})))
            .await
            .0,
        400
    );
    assert_eq!(
        ask(&client, Method::DELETE, "/faults", None).await.1["roleDelayMs"],
        0
    );
    let vault = state["vaults"][0]["id"].as_str().unwrap();
    let path = format!("/resources?id={vault}");
    let closed =
        json!({"publicNetworkAccess": "Disabled", "secrets": [{"name": "x", "value": SECRET_VALUE}]});
    assert_eq!(ask(&client, Method::PATCH, &path, Some(closed)).await.0, 200);
    let (status, refused) = ask(&client, Method::PATCH, &path, Some(json!({"fqdn": "x"}))).await;
    assert_eq!(status, 400);
    assert!(refused["error"].as_str().unwrap().contains("fqdn"), "{refused}");
    let changed = ask(&client, Method::GET, "/state", None).await.1["vaults"][0].clone();
    assert_eq!(
        (&changed["publicNetworkAccess"], &changed["secrets"][0]["name"]),
        (&json!("Disabled"), &json!("x"))
    );
    let lock = json!({"locks": [{"name": "l", "scope": vault, "level": "ReadOnly"}]});
    let locked = ask(&client, Method::POST, "/resources", Some(lock)).await.1;
    assert_eq!(locked["locks"][0]["level"], "ReadOnly");
    let front = json!({"over": "kv-2", "faults": [{"status": 429}]});
    let (status, weather) = ask(&client, Method::PUT, "/faults/mine", Some(front)).await;
    assert_eq!(
        (status, &weather["fronts"]["mine"]["over"]),
        (200, &json!("kv-2"))
    );
    assert_eq!(ask(&client, Method::DELETE, "/faults/mine", None).await.0, 200);
    assert_eq!(ask(&client, Method::DELETE, "/faults/mine", None).await.0, 404);
    server.abort();
}

#[tokio::test]
async fn the_log_tells_everything_but_secrets() {
    let setup = Setup::new();
    assert_eq!(setup.read_secret("db-password").await.status, 200);
    assert_eq!(setup.read_secret("db-password-2").await.status, 403);
    let path = setup.resource("Microsoft.KeyVault/vaults/none");
    assert_eq!(setup.arm(Method::GET, &path, None).await.status, 404);
    let log = setup.sim.log_after(0);
    let seen: Vec<_> = log
        .iter()
        .map(|entry| (entry.service.name(), entry.status, entry.code.as_deref()))
        .collect();
    assert_eq!(
        seen,
        [
            ("entra", 200, None),
            ("vault", 200, None),
            ("entra", 200, None),
            ("vault", 403, Some("ForbiddenByRbac")),
            ("entra", 200, None),
            ("arm", 404, Some("ResourceNotFound")),
        ]
    );
    assert_eq!(
        (log[1].caller.as_deref(), log[1].vault.as_deref()),
        (Some(CLIENT), Some("kv-central"))
    );
    let everything = format!("{}{}", serde_json::to_string(&log).unwrap(), setup.sim.state());
    for hidden in [SECRET_VALUE, OPERATOR_SECRET, "eyJ"] {
        assert!(!everything.contains(hidden), "{hidden}");
    }
    assert_eq!(setup.sim.log_after(5).len(), 1);
}

struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn the_program_serves_a_seed_and_says_when_it_is_ready() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    std::fs::write(file("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(file("ca.key"), key.serialize_pem()).unwrap();
    let seed = serde_json::to_string(&Seed::on_loopback("program")).unwrap();
    std::fs::write(file("seed.json"), seed).unwrap();
    let start = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_azure-sim"));
        command.arg("serve").current_dir(directory.path());
        command.args([
            "--seed",
            "seed.json",
            "--ca-cert",
            "ca.pem",
            "--ca-key",
            "ca.key",
            "--log",
            "requests.log",
        ]);
        command
            .args(["--admin-socket", "admin.sock"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Program(command.spawn().unwrap())
    };
    let first_line = |program: &mut Program| {
        let mut line = String::new();
        BufReader::new(program.0.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        line
    };
    let mut program = start();
    assert_eq!(first_line(&mut program), "ready\n");
    let (status, state) = ask(&client(&file("admin.sock")), Method::GET, "/state", None).await;
    assert_eq!(
        (status, &state["tenant"]["displayName"]),
        (200, &json!("Sandbox"))
    );
    // A second one does not take the socket away.
    let mut second = start();
    assert_eq!(first_line(&mut second), "");
    assert!(!second.0.wait().unwrap().success());
    // One that was killed leaves a socket that the next one replaces.
    drop(program);
    assert!(file("admin.sock").exists());
    assert_eq!(first_line(&mut start()), "ready\n");
}
