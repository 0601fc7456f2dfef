//! AKS clusters and their long-running updates.

use std::time::Duration;

use azure_sim::Weather;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{ARM_SCOPE, OPERATOR, READER, Setup};

fn path(setup: &Setup) -> String {
    setup.resource("Microsoft.ContainerService/managedClusters/aks-weu-1")
}

async fn get(setup: &Setup) -> Value {
    let answer = setup.arm(Method::GET, &path(setup), None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

fn enabled(mut cluster: Value) -> Value {
    cluster["properties"]["oidcIssuerProfile"] = json!({"enabled": true});
    cluster["properties"]["securityProfile"]["workloadIdentity"] = json!({"enabled": true});
    cluster
}

fn slow() -> Setup {
    Setup::in_weather(Weather {
        cluster_update_ms: 60_000,
        ..Weather::default()
    })
}

#[tokio::test]
async fn an_issuer_is_switched_on_by_a_long_running_update() {
    let setup = slow();
    let before = get(&setup).await;
    assert_eq!(
        before["properties"]["oidcIssuerProfile"],
        json!({"enabled": false})
    );
    assert_eq!(before["type"], "Microsoft.ContainerService/ManagedClusters");
    assert!(before["id"].as_str().unwrap().contains("/resourcegroups/rg/"));
    let started = setup
        .arm(Method::PUT, &path(&setup), Some(&enabled(before.clone())))
        .await;
    assert_eq!(
        (started.status, &started.body["properties"]["provisioningState"]),
        (200, &json!("Updating"))
    );
    // Nobody knows it before the API server has been started again with it.
    assert_eq!(
        started.body["properties"]["oidcIssuerProfile"],
        json!({"enabled": true})
    );
    assert!(started.headers.get("retry-after").is_none());
    let poll = started.header("azure-asyncoperation").to_owned();
    assert!(
        poll.starts_with(setup.sim.arm_url()) && poll.len() > 2_000,
        "{poll}"
    );
    let token = setup.sign_in(OPERATOR, ARM_SCOPE).await;
    let status = async || setup.send(Method::GET, &poll, Some(&token), None).await.body["status"].clone();
    assert_eq!(status().await, "InProgress");
    setup.sim.clock().advance(Duration::from_mins(1));
    let token = setup.sign_in(OPERATOR, ARM_SCOPE).await;
    let done = setup.send(Method::GET, &poll, Some(&token), None).await.body;
    assert_eq!(done["status"], "Succeeded");
    assert!(done["endTime"].is_string());
    let after = get(&setup).await;
    assert_eq!(after["properties"]["provisioningState"], "Succeeded");
    assert_eq!(
        after["properties"]["oidcIssuerProfile"]["issuerURL"],
        setup.issuer.url.as_str()
    );
    assert_eq!(
        after["properties"]["securityProfile"]["workloadIdentity"]["enabled"],
        true
    );
    // Nothing else was lost.
    assert_eq!(
        after["properties"]["agentPoolProfiles"],
        before["properties"]["agentPoolProfiles"]
    );
    assert_eq!(after["properties"]["fqdn"], before["properties"]["fqdn"]);
    assert_ne!(after["eTag"], before["eTag"]);
}

#[tokio::test]
async fn an_update_that_fails_leaves_the_cluster_as_it_was() {
    let setup = slow();
    let front = json!({"over": "aks-weu-1", "clusterUpdateFails": true});
    setup
        .sim
        .set_front("test", serde_json::from_value(front).unwrap());
    let before = get(&setup).await;
    let started = setup
        .arm(Method::PUT, &path(&setup), Some(&enabled(before.clone())))
        .await;
    let poll = started.header("azure-asyncoperation");
    setup.sim.clock().advance(Duration::from_mins(1));
    let token = setup.sign_in(OPERATOR, ARM_SCOPE).await;
    let failed = setup.send(Method::GET, poll, Some(&token), None).await.body;
    assert_eq!(
        (&failed["status"], &failed["error"]["code"]),
        (&json!("Failed"), &json!("InternalOperationError"))
    );
    let after = get(&setup).await;
    assert_eq!(after["properties"]["provisioningState"], "Failed");
    assert_eq!(
        after["properties"]["oidcIssuerProfile"],
        before["properties"]["oidcIssuerProfile"]
    );
    // It can be tried again.
    setup.sim.clear_front("test");
    let again = setup.arm(Method::PUT, &path(&setup), Some(&enabled(after))).await;
    assert_eq!(again.status, 200);
}

#[tokio::test]
async fn versions_before_tags_have_none() {
    let setup = Setup::new();
    let path = format!("{}?api-version=2024-02-01", path(&setup));
    let old = setup.arm(Method::GET, &path, None).await;
    assert_eq!((old.status, old.body.get("eTag")), (200, None));
    assert!(get(&setup).await["eTag"].is_string());
}

#[tokio::test]
async fn poll_urls_work_whole_only() {
    let setup = slow();
    let started = setup
        .arm(Method::PUT, &path(&setup), Some(&enabled(get(&setup).await)))
        .await;
    let poll = started.header("azure-asyncoperation");
    let token = setup.sign_in(OPERATOR, ARM_SCOPE).await;
    let (whole, _) = poll.split_once("&h=").unwrap();
    let cut = setup.send(Method::GET, whole, Some(&token), None).await;
    assert_eq!((cut.status, cut.code()), (403, "InvalidOperationSignature"));
}

#[tokio::test]
async fn one_update_at_a_time() {
    let setup = slow();
    let body = enabled(get(&setup).await);
    assert_eq!(
        setup.arm(Method::PUT, &path(&setup), Some(&body)).await.status,
        200
    );
    let refused = setup.arm(Method::PUT, &path(&setup), Some(&body)).await;
    assert_eq!((refused.status, refused.code()), (409, "OperationNotAllowed"));
    assert!(
        refused.body.get("error").is_none(),
        "this one comes without the wrapper: {refused:?}"
    );
    setup.sim.clock().advance(Duration::from_mins(1));
    assert_eq!(
        setup.arm(Method::PUT, &path(&setup), Some(&body)).await.status,
        200
    );
}

#[tokio::test]
async fn a_stale_tag_is_refused() {
    let setup = Setup::new();
    let cluster = get(&setup).await;
    let (body, etag) = (enabled(cluster.clone()), cluster["eTag"].as_str().unwrap());
    let token = setup.sign_in(OPERATOR, ARM_SCOPE).await;
    let url = setup.arm_url(&path(&setup));
    let put = async || {
        setup
            .send_with(
                Method::PUT,
                &url,
                Some(&token),
                Some(&body),
                &[("if-match", etag)],
            )
            .await
    };
    assert_eq!(put().await.status, 200);
    let stale = put().await;
    assert_eq!((stale.status, stale.code()), (409, "EtagMismatch"));
}

#[tokio::test]
async fn an_issuer_stays_on_and_workload_identity_needs_it() {
    let setup = Setup::new();
    let cluster = get(&setup).await;
    let mut without = cluster.clone();
    without["properties"]["securityProfile"]["workloadIdentity"] = json!({"enabled": true});
    let refused = setup.arm(Method::PUT, &path(&setup), Some(&without)).await;
    assert_eq!((refused.status, refused.code()), (400, "BadRequest"));
    assert_eq!(
        setup
            .arm(Method::PUT, &path(&setup), Some(&enabled(cluster.clone())))
            .await
            .status,
        200
    );
    let off = setup.arm(Method::PUT, &path(&setup), Some(&cluster)).await;
    assert_eq!((off.status, off.code()), (400, "PropertyChangeNotAllowed"));
    assert_eq!(
        get(&setup).await["properties"]["oidcIssuerProfile"]["enabled"],
        true
    );
}

#[tokio::test]
async fn a_user_is_led_to_the_api_server_and_signs_in_by_a_plugin() {
    let setup = Setup::new();
    let path = format!("{}/listClusterUserCredential", path(&setup));
    let answer = setup.arm(Method::POST, &path, Some(&json!({}))).await;
    let value = answer.body["kubeconfigs"][0]["value"]
        .as_str()
        .unwrap_or_default();
    let text = STANDARD.decode(value).expect("it is base64");
    let kubeconfig: Value = serde_json::from_slice(&text).expect("the simulator writes JSON");
    assert_eq!(kubeconfig["current-context"], "aks-weu-1");
    let host = get(&setup).await["properties"]["fqdn"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert_eq!(
        kubeconfig["clusters"][0]["cluster"]["server"],
        format!("https://{host}:443")
    );
    assert_eq!(kubeconfig["users"][0]["user"]["exec"]["command"], "kubelogin");
    let refused = setup.arm_as(READER, Method::POST, &path, Some(&json!({}))).await;
    assert_eq!((refused.status, refused.code()), (403, "AuthorizationFailed"));
}

#[tokio::test]
async fn patch_changes_tags_alone() {
    let setup = Setup::new();
    let patch = async |body: Value| setup.arm(Method::PATCH, &path(&setup), Some(&body)).await;
    let refused = patch(json!({"properties": {"oidcIssuerProfile": {"enabled": true}}})).await;
    assert_eq!((refused.status, refused.code()), (400, "BadRequest"));
    let tagged = patch(json!({"tags": {"ring": "1"}})).await;
    assert_eq!(
        (tagged.status, &tagged.body["tags"]),
        (200, &json!({"ring": "1"}))
    );
}

#[tokio::test]
async fn clusters_are_listed_where_one_may_read() {
    let setup = Setup::new();
    let all = format!(
        "subscriptions/{}/providers/Microsoft.ContainerService/managedClusters",
        setup.subscription
    );
    let group = setup.resource("Microsoft.ContainerService/managedClusters");
    for path in [all, group] {
        let answer = setup.arm_as(READER, Method::GET, &path, None).await;
        assert_eq!(answer.body["value"][0]["name"], "aks-weu-1", "{answer:?}");
    }
    let write = setup
        .arm_as(
            READER,
            Method::PUT,
            &path(&setup),
            Some(&enabled(get(&setup).await)),
        )
        .await;
    assert_eq!((write.status, write.code()), (403, "AuthorizationFailed"));
}
