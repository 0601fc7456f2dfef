//! Connections that end without an answer, an index that lags, and what issuers do wrong.

use std::time::Duration;

use azure_sim::Weather;
use reqwest::Method;
use serde_json::json;

use crate::refusal::{assert_refused, text};
use crate::support::{ARM_SCOPE, CLIENT, OPERATOR, Setup};

#[tokio::test]
async fn a_dropped_connection_has_no_answer_and_the_next_one_has() {
    let setup = Setup::new();
    let token = setup.sign_in(OPERATOR, ARM_SCOPE).await;
    let url = setup.arm_url(&setup.resource("Microsoft.KeyVault/vaults/kv-central"));
    let weather: Weather =
        serde_json::from_value(json!({"faults": [{"service": "arm", "drop": true}]})).unwrap();
    setup.sim.set_weather(weather);
    assert!(setup.is_unanswered(&url).await);
    setup.sim.reset_weather();
    let answer = setup.send(Method::GET, &url, Some(&token), None).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn resource_graph_lists_a_fresh_identity_after_its_delay() {
    let setup = Setup::with(|seed| seed.weather.graph_delay_ms = 60_000);
    setup.sim.clock().advance(Duration::from_mins(1));
    let path = setup.resource("Microsoft.ManagedIdentity/userAssignedIdentities/id-fresh");
    let made = setup
        .arm(Method::PUT, &path, Some(&json!({"location": "westeurope"})))
        .await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(setup.arm(Method::GET, &path, None).await.status, 200);
    let query = json!({"query": "Resources | where type =~ 'Microsoft.ManagedIdentity/userAssignedIdentities' \
                                 | project name | order by name asc"});
    let resources = "providers/Microsoft.ResourceGraph/resources";
    let listed = setup.arm(Method::POST, resources, Some(&query)).await;
    assert_eq!(listed.body["data"], json!([{"name": "id-orders"}]), "{listed:?}");
    setup.sim.clock().advance(Duration::from_mins(1));
    let listed = setup.arm(Method::POST, resources, Some(&query)).await;
    let both = json!([{"name": "id-fresh"}, {"name": "id-orders"}]);
    assert_eq!(listed.body["data"], both);
}

#[tokio::test]
async fn keys_are_fetched_again_when_they_are_old() {
    let setup = Setup::new();
    for (minutes, requests) in [(0, 1), (4, 1), (2, 2)] {
        setup.sim.clock().advance(Duration::from_mins(minutes));
        assert_eq!(setup.exchange(&setup.issuer.token()).await.status, 200);
        assert_eq!(setup.issuer.requests(), requests, "{minutes} minutes later");
    }
}

#[tokio::test]
pub(crate) async fn aadsts70024_a_document_without_the_address_of_its_keys() {
    let setup = Setup::new();
    setup.issuer.publish_without("jwks_uri");
    let answer = setup.exchange(&setup.issuer.token()).await;
    assert_refused(&answer, 70_024, 400, "invalid_request");
    assert!(text(&answer.body, "error_description").contains("'jwks_uri'"));
}

#[tokio::test]
pub(crate) async fn aadsts700021_an_assertion_that_the_client_made_for_somebody_else() {
    let setup = Setup::new();
    let own = setup.issuer.token_with(&json!({"iss": CLIENT, "sub": OPERATOR}));
    assert_refused(&setup.exchange(&own).await, 700_021, 401, "invalid_client");
}
