//! The simulator as a library: what a test of somebody else needs to have an Azure of its own.

use azure_sim::{AzureSim, Seed};

#[tokio::test]
async fn a_test_has_an_azure_of_its_own_in_three_lines() {
    let seed = Seed::on_loopback("my-test");
    let url = |sim: &AzureSim| {
        format!(
            "{}{}/v2.0/.well-known/openid-configuration",
            sim.entra_url(),
            seed.tenant.id
        )
    };
    // The three: they must stay as few as the documentation of the library says.
    let sim = AzureSim::start(seed.clone()).unwrap();
    let root = reqwest::Certificate::from_pem(sim.ca_pem().as_bytes()).unwrap();
    let http = reqwest::Client::builder()
        .tls_certs_only([root])
        .no_proxy()
        .build()
        .unwrap();

    let document: serde_json::Value = http.get(url(&sim)).send().await.unwrap().json().await.unwrap();
    let endpoint = document["token_endpoint"].as_str().unwrap();
    assert!(endpoint.starts_with(sim.entra_url()), "{document}");
}
