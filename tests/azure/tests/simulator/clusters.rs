//! AKS clusters and their long-running updates.

use std::time::Duration;

use azure_sim::Weather;
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
    assert_eq!(
        started.body["properties"]["oidcIssuerProfile"]["issuerURL"],
        setup.issuer.url.as_str()
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
