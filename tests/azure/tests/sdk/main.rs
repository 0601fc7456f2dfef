//! Clients that are not ours, driven against the simulator: Azure's SDKs for Python, at pinned versions.

#![expect(
    clippy::unwrap_used,
    reason = "a panic is how a test fails, also in its helpers"
)]

#[expect(dead_code, reason = "the other tests break more of it")]
#[path = "../simulator/issuer.rs"]
mod issuer;

#[expect(dead_code, reason = "the SDK signs by the key itself")]
#[path = "../simulator/certificate.rs"]
mod certificate;

use std::env;
use std::path::PathBuf;
use std::process::Command;

use azure_sim::{Addition, Authority, AzureSim, Seed};
use serde_json::json;
use uuid::Uuid;

const OPERATOR: &str = "33333333-3333-4333-8333-333333333333";
const IDENTITY: &str = "66666666-6666-4666-8666-666666666666";
const CONNECTION: &str = "99999999-9999-4999-8999-999999999999";
const ACCESS_TOKEN: &str = "token-of-the-job";
const REQUIREMENTS: &str = include_str!("requirements.txt");
const SECRET: &str = "value-of-the-secret";

#[tokio::test(flavor = "multi_thread")]
async fn the_python_sdks_set_up_an_identity_and_read_a_secret() {
    let packages = packages();
    let authority = Authority::generate().unwrap();
    let issuer = issuer::Issuer::start(&authority);
    let mut seed = serde_json::to_value(Seed::on_loopback("sdk")).unwrap();
    let subscription = seed["subscriptions"][0]["id"].as_str().unwrap().to_owned();
    let tenant = seed["tenant"]["id"].as_str().unwrap().to_owned();
    let more = json!({
        "servicePrincipals": [{"displayName": "operator", "clientId": OPERATOR, "federatedCredentials": [
            {"name": "pipeline", "issuer": issuer.url, "subject": issuer::SUBJECT, "audiences": [issuer::AUDIENCE]},
        ]}],
        "resourceGroups": [{"name": "rg", "location": "westeurope"}],
        "clusters": [{"resourceGroup": "rg", "name": "aks-1", "location": "westeurope", "fqdn": "198.18.1.1",
                      "issuerUrl": issuer.url, "oidcIssuerEnabled": false, "workloadIdentityEnabled": false}],
        "vaults": [{"resourceGroup": "rg", "name": "kv", "location": "westeurope", "address": "127.0.0.1:0",
                    "secrets": [{"name": "db-password", "value": SECRET}]}],
        "roleAssignments": [{"principal": "operator", "role": "Owner",
                             "scope": format!("/subscriptions/{subscription}")}],
    });
    seed.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let seed = Seed::from_json(&seed.to_string()).unwrap();
    let sim = AzureSim::start_with(seed, authority, None).unwrap();

    let folder = tempfile::tempdir().unwrap();
    let (ca, token) = (folder.path().join("ca.pem"), folder.path().join("token"));
    std::fs::write(&ca, sim.ca_pem()).unwrap();
    std::fs::write(&token, issuer.token()).unwrap();
    let output = Command::new("python3")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/client.py"))
        .env("PYTHONPATH", packages)
        .env("REQUESTS_CA_BUNDLE", ca)
        .env("NO_PROXY", "127.0.0.1")
        .env("SIM_TOKEN_FILE", token)
        .envs([
            ("SIM_TENANT", tenant.as_str()),
            ("SIM_SUBSCRIPTION", subscription.as_str()),
            ("SIM_OPERATOR", OPERATOR),
            ("SIM_ISSUER", issuer.url.as_str()),
            ("SIM_SUBJECT", issuer::SUBJECT),
            ("SIM_ENTRA", sim.entra_url().trim_end_matches('/')),
            ("SIM_ARM", sim.arm_url().trim_end_matches('/')),
            ("SIM_VAULT", sim.vault_url("kv").unwrap().trim_end_matches('/')),
            ("SIM_SECRET", SECRET),
        ])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "done");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_sdks_sign_in_in_every_way_that_needs_no_secret() {
    let packages = packages();
    let certificate = certificate::Certificate::until(2099);
    let mut seed = serde_json::to_value(Seed::on_loopback("sdk-2")).unwrap();
    let subscription = seed["subscriptions"][0]["id"].as_str().unwrap().to_owned();
    let tenant = seed["tenant"]["id"].as_str().unwrap().to_owned();
    let more = json!({
        "resourceGroups": [{"name": "rg", "location": "westeurope"}],
        "identities": [{"resourceGroup": "rg", "name": "id-build", "location": "westeurope", "clientId": IDENTITY}],
        "vaults": [{"resourceGroup": "rg", "name": "kv", "location": "westeurope", "address": "127.0.0.1:0",
                    "secrets": [{"name": "db-password", "value": SECRET}]}],
    });
    seed.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let seed = Seed::from_json(&seed.to_string()).unwrap();
    let sim = AzureSim::start(seed).unwrap();
    let add = |more: serde_json::Value| {
        sim.add(&serde_json::from_value::<Addition>(more).unwrap())
            .unwrap();
    };
    add(json!({
        "machineIdentities": ["id-build"],
        "pipelineJobs": [{"name": "deploy", "organization": "contoso", "project": "shop", "accessToken": ACCESS_TOKEN,
                          "connections": [{"id": CONNECTION, "name": "azure"}]}],
    }));
    let job = sim.state()["pipelineJobs"][0].clone();
    let connection = &job["connections"][0];
    let reader = |name| json!({"principal": name, "role": "Key Vault Secrets User", "scope": format!("/subscriptions/{subscription}")});
    add(json!({
        "servicePrincipals": [{
            "displayName": "operator", "clientId": OPERATOR, "certificates": [certificate.pem],
            "federatedCredentials": [{"name": "pipeline", "issuer": connection["issuer"],
                                      "subject": connection["subject"], "audiences": [issuer::AUDIENCE]}],
        }],
        "roleAssignments": [reader("operator"), reader("id-build")],
    }));

    let folder = tempfile::tempdir().unwrap();
    let (ca, pem) = (
        folder.path().join("ca.pem"),
        folder.path().join("certificate.pem"),
    );
    std::fs::write(&ca, sim.ca_pem()).unwrap();
    std::fs::write(&pem, certificate.key_pem.clone() + &certificate.pem).unwrap();
    let output = Command::new("python3")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/sign_in.py"))
        .env("PYTHONPATH", packages)
        .env("REQUESTS_CA_BUNDLE", ca)
        .env("NO_PROXY", "127.0.0.1")
        .env("SIM_CERTIFICATE", pem)
        .env("SYSTEM_OIDCREQUESTURI", job["requestUrl"].as_str().unwrap())
        .env("IDENTITY_ENDPOINT", format!("{}msi/token", sim.machine_url()))
        .envs([
            ("IDENTITY_HEADER", "identity-header"),
            ("SYSTEM_ACCESSTOKEN", ACCESS_TOKEN),
            ("SIM_CONNECTION", CONNECTION),
            ("SIM_TENANT", tenant.as_str()),
            ("SIM_OPERATOR", OPERATOR),
            ("SIM_IDENTITY", IDENTITY),
            ("SIM_ENTRA", sim.entra_url().trim_end_matches('/')),
            ("SIM_VAULT", sim.vault_url("kv").unwrap().trim_end_matches('/')),
            ("SIM_SECRET", SECRET),
        ])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let signed_in = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        signed_in.lines().collect::<Vec<_>>(),
        ["certificate", "azure pipelines", "managed identity"]
    );
}

/// The folder with the pinned packages, filled once.
fn packages() -> PathBuf {
    let set = |name: &str| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let cache = set("AKS_SANDBOX_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|folder| folder.join("aks-sandbox")))
        .unwrap_or_else(|| set("HOME").unwrap().join(".cache/aks-sandbox"));
    let key = Uuid::new_v5(&Uuid::NAMESPACE_URL, REQUIREMENTS.as_bytes());
    let folder = cache.join(format!("python-sdk-{key}"));
    if folder.exists() {
        return folder;
    }
    std::fs::create_dir_all(&cache).unwrap();
    // Filled beside its place and moved there, so that it is never seen half full.
    let filling = tempfile::tempdir_in(&cache).unwrap();
    let target = filling.path().join("packages");
    let output = Command::new("python3")
        .args(["-m", "pip", "install", "--quiet", "--no-deps", "--requirement"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/requirements.txt"))
        .arg("--target")
        .arg(&target)
        .output();
    match output {
        Ok(output) if output.status.success() => {}
        Ok(output) => panic!(
            "cannot install the SDKs; if pip is missing: apt-get install -y python3-pip\n{}",
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) => panic!("no python3 ({error}): apt-get install -y python3 python3-pip"),
    }
    let moved = std::fs::rename(&target, &folder);
    assert!(moved.is_ok() || folder.exists(), "{moved:?}");
    folder
}
