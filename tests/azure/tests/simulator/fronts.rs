//! Weather over one place: who works beside it is not hit.

use std::time::{Duration, Instant};

use azure_sim::Front;
use reqwest::Method;
use serde_json::{Value, json};

use crate::issuer::AUDIENCE;
use crate::refusal::assert_refused;
use crate::support::{ARM_SCOPE, OPERATOR, PRINCIPAL, SECRETS_USER, Setup};

fn front(setup: &Setup, front: Value) {
    let front: Front = serde_json::from_value(front).unwrap();
    setup.sim.set_front("test", front);
}

#[tokio::test]
async fn a_credential_of_one_identity_is_known_late() {
    let setup = Setup::new();
    front(&setup, json!({"over": "id-late", "credentialDelayMs": 60_000}));
    let mut clients = Vec::new();
    for name in ["id-late", "id-quick"] {
        let path = setup.resource(&format!(
            "Microsoft.ManagedIdentity/userAssignedIdentities/{name}"
        ));
        let made = setup
            .arm(Method::PUT, &path, Some(&json!({"location": "westeurope"})))
            .await;
        let trust = json!({"properties": {"issuer": setup.issuer.url, "subject": "system:serviceaccount:shop:orders",
            "audiences": [AUDIENCE]}});
        let path = format!("{path}/federatedIdentityCredentials/one");
        assert_eq!(setup.arm(Method::PUT, &path, Some(&trust)).await.status, 201);
        clients.push(made.body["properties"]["clientId"].as_str().unwrap().to_owned());
    }
    let token = setup.issuer.token();
    assert_refused(
        &setup.exchange_as(&clients[0], &token).await,
        70_025,
        401,
        "invalid_client",
    );
    assert_eq!(setup.exchange_as(&clients[1], &token).await.status, 200);
    setup.sim.clock().advance(Duration::from_mins(1));
    assert_eq!(setup.exchange_as(&clients[0], &token).await.status, 200);
}

#[tokio::test]
async fn a_role_of_one_scope_counts_late() {
    let setup = Setup::new();
    front(
        &setup,
        json!({"over": "/secrets/db-password-2", "roleDelayMs": 60_000}),
    );
    for secret in ["db-password-2", "off"] {
        let scope = setup.resource(&format!("Microsoft.KeyVault/vaults/kv-central/secrets/{secret}"));
        let path = Setup::assignment(&scope, "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa");
        let grant = Setup::grant(SECRETS_USER, PRINCIPAL);
        assert_eq!(setup.arm(Method::PUT, &path, Some(&grant)).await.status, 201);
    }
    // The one that was written later counts already.
    assert_eq!(setup.read_secret("off").await.inner(), "SecretDisabled");
    assert_eq!(
        setup.read_secret("db-password-2").await.inner(),
        "ForbiddenByRbac"
    );
    setup.sim.clock().advance(Duration::from_mins(1));
    assert_eq!(setup.read_secret("db-password-2").await.status, 200);
}

#[tokio::test]
async fn a_fresh_identity_is_no_parent_yet() {
    let setup = Setup::new();
    front(&setup, json!({"over": "id-fresh", "identityDelayMs": 60_000}));
    let path = setup.resource("Microsoft.ManagedIdentity/userAssignedIdentities/id-fresh");
    let body = json!({"location": "westeurope"});
    assert_eq!(setup.arm(Method::PUT, &path, Some(&body)).await.status, 201);
    let credential = format!("{path}/federatedIdentityCredentials/one");
    let trust = json!({"properties": {"issuer": setup.issuer.url, "subject": "s", "audiences": [AUDIENCE]}});
    let early = setup.arm(Method::PUT, &credential, Some(&trust)).await;
    assert_eq!((early.status, early.code()), (404, "ParentResourceNotFound"));
    setup.sim.clock().advance(Duration::from_mins(1));
    assert_eq!(
        setup.arm(Method::PUT, &credential, Some(&trust)).await.status,
        201
    );
}

#[tokio::test]
async fn exchanges_of_one_subject_fail_for_no_reason() {
    let setup = Setup::new();
    front(
        &setup,
        json!({"over": "serviceaccount:shop:orders", "spurious700213": 1}),
    );
    let refused = setup.exchange(&setup.issuer.token()).await;
    assert_refused(&refused, 700_213, 401, "invalid_client");
    front(
        &setup,
        json!({"over": "serviceaccount:other", "spurious700213": 1}),
    );
    assert_eq!(setup.exchange(&setup.issuer.token()).await.status, 200);
}

#[tokio::test]
async fn faults_strike_one_vault_and_one_caller() {
    let setup = Setup::new();
    let fault = json!({"service": "vault", "status": 429, "retryAfter": 2, "code": "Throttled"});
    front(&setup, json!({"over": "vaults/kv-central", "faults": [fault]}));
    let struck = setup.read_secret("db-password").await;
    assert_eq!(
        (struck.status, struck.code(), struck.header("retry-after")),
        (429, "Throttled", "2")
    );
    front(
        &setup,
        json!({"over": OPERATOR, "faults": [{"service": "arm", "status": 503}]}),
    );
    assert_eq!(setup.read_secret("db-password").await.status, 200);
    assert_eq!(setup.arm(Method::GET, "subscriptions", None).await.status, 503);
    assert!(setup.sim.clear_front("test") && !setup.sim.clear_front("test"));
    assert_eq!(setup.arm(Method::GET, "subscriptions", None).await.status, 200);
}

#[tokio::test]
async fn a_slow_answer_comes_in_pieces_and_whole() {
    let setup = Setup::new();
    let url = setup.arm_url(&setup.identity());
    let token = setup.sign_in(OPERATOR, ARM_SCOPE).await;
    let quick = setup.send(Method::GET, &url, Some(&token), None).await;
    front(
        &setup,
        json!({"over": "id-orders", "faults": [{"service": "arm", "trickleMs": 5}]}),
    );
    let start = Instant::now();
    let slow = setup.send(Method::GET, &url, Some(&token), None).await;
    // Fifteen pauses at least, however fast the machine is.
    assert!(start.elapsed() >= Duration::from_millis(15 * 5));
    assert_eq!((slow.status, slow.text), (200, quick.text));
}

#[tokio::test]
async fn resource_graph_learns_late_what_changed_and_what_is_gone() {
    let setup = Setup::new();
    front(&setup, json!({"over": "/rg/", "graphDelayMs": 60_000}));
    let query = json!({"query": "Resources | where type =~ 'Microsoft.ManagedIdentity/userAssignedIdentities' \
                                 | project name, ring = tags.ring"});
    let ask = async || {
        let path = "providers/Microsoft.ResourceGraph/resources";
        setup.arm(Method::POST, path, Some(&query)).await.body["data"].clone()
    };
    let before = json!([{"name": "id-orders", "ring": null}]);
    let path = setup.identity();
    let tags = json!({"tags": {"ring": "1"}});
    assert_eq!(setup.arm(Method::PATCH, &path, Some(&tags)).await.status, 200);
    assert_eq!(ask().await, before);
    setup.sim.clock().advance(Duration::from_mins(1));
    let changed = json!([{"name": "id-orders", "ring": "1"}]);
    assert_eq!(ask().await, changed);
    assert_eq!(setup.arm(Method::DELETE, &path, None).await.status, 200);
    assert_eq!(ask().await, changed);
    setup.sim.clock().advance(Duration::from_mins(1));
    assert_eq!(ask().await, json!([]));
}
