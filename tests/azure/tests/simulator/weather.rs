//! Faults that are switched on.

use azure_sim::Weather;
use reqwest::Method;
use serde_json::json;

use crate::support::Setup;

fn fault(fault: &serde_json::Value) -> Weather {
    serde_json::from_value(json!({"faults": [fault]})).unwrap()
}

#[tokio::test]
async fn too_many_requests_say_when_to_come_back() {
    let setup = Setup::new();
    let fault = json!({"service": "arm", "path": "/vaults/", "status": 429, "retryAfter": 3, "times": 1});
    setup.sim.set_weather(self::fault(&fault));
    let path = setup.resource("Microsoft.KeyVault/vaults/kv-central");
    let struck = setup.arm(Method::GET, &path, None).await;
    assert_eq!(
        (struck.status, struck.code(), struck.header("retry-after")),
        (429, "TooManyRequests", "3")
    );
    assert_eq!(setup.arm(Method::GET, &path, None).await.status, 200);
}

#[tokio::test]
async fn proxies_answer_html() {
    let setup = Setup::new();
    setup
        .sim
        .set_weather(fault(&json!({"service": "entra", "status": 502, "html": true})));
    let struck = setup.exchange(&setup.issuer.token()).await;
    assert_eq!((struck.status, struck.header("content-type")), (502, "text/html"));
    assert!(struck.text.starts_with("<html>"));
    setup.sim.reset_weather();
    assert_eq!(setup.exchange(&setup.issuer.token()).await.status, 200);
}
