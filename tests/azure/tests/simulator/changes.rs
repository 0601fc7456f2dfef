//! What other parties change while the simulator runs.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{SECRET_VALUE, Setup};

const VAULT: &str = "Microsoft.KeyVault/vaults/kv-central";

fn change(setup: &Setup, rest: &str, fields: &Value) {
    let id = format!("/{}", setup.resource(rest));
    setup.sim.change(&id, fields).unwrap();
}

#[tokio::test]
async fn a_vault_closes_and_opens_its_network() {
    let setup = Setup::new();
    let inner = async || setup.read_secret("db-password").await.inner().to_owned();
    change(&setup, VAULT, &json!({"publicNetworkAccess": "Disabled"}));
    assert_eq!(inner().await, "ForbiddenByConnection");
    change(
        &setup,
        VAULT,
        &json!({"publicNetworkAccess": "Enabled", "allowedIps": ["198.18.0.1"]}),
    );
    assert_eq!(inner().await, "ForbiddenByFirewall");
    change(&setup, VAULT, &json!({"allowedIps": null}));
    assert_eq!(inner().await, "");
    change(&setup, VAULT, &json!({"enableRbacAuthorization": false}));
    assert_eq!(inner().await, "AccessDenied");
    change(
        &setup,
        VAULT,
        &json!({"accessPolicies": [{"principal": "id-orders", "secrets": ["Get"]}]}),
    );
    assert_eq!(inner().await, "");
}

#[tokio::test]
async fn a_secret_is_disabled_dated_and_rotated() {
    let setup = Setup::new();
    let secret = format!("{VAULT}/secrets/db-password");
    change(&setup, &secret, &json!({"enabled": false}));
    assert_eq!(setup.read_secret("db-password").await.inner(), "SecretDisabled");
    // Past and future ones can be read: the dates are only told.
    change(
        &setup,
        &secret,
        &json!({"enabled": true, "notBefore": 1, "expires": 2}),
    );
    let old = setup.read_secret("db-password").await;
    assert_eq!((old.status, &old.body["value"]), (200, &json!(SECRET_VALUE)));
    let attributes = &old.body["attributes"];
    assert_eq!((&attributes["nbf"], &attributes["exp"]), (&json!(1), &json!(2)));
    change(&setup, &secret, &json!({"value": "rotated", "expires": null}));
    let new = setup.read_secret("db-password").await;
    assert_eq!(
        (&new.body["value"], &new.body["attributes"]["exp"]),
        (&json!("rotated"), &Value::Null)
    );
    assert_ne!(new.body["id"], old.body["id"]);
    change(
        &setup,
        VAULT,
        &json!({"secrets": [{"name": "db-password", "value": "again"}]}),
    );
    assert_eq!(setup.read_secret("db-password").await.body["value"], "again");
}

#[tokio::test]
async fn a_cluster_loses_its_issuer_and_its_name_is_taken() {
    let setup = Setup::new();
    let path = "Microsoft.ContainerService/managedClusters/aks-weu-1";
    change(
        &setup,
        path,
        &json!({"oidcIssuerEnabled": true, "workloadIdentityEnabled": true}),
    );
    let properties = async || {
        let answer = setup.arm(Method::GET, &setup.resource(path), None).await;
        answer.body["properties"].clone()
    };
    let on = properties().await;
    assert_eq!(on["oidcIssuerProfile"]["issuerURL"], setup.issuer.url.as_str());
    assert_eq!(on["securityProfile"]["workloadIdentity"]["enabled"], true);
    change(
        &setup,
        path,
        &json!({"oidcIssuerEnabled": false, "powerState": "Stopped"}),
    );
    let off = properties().await;
    assert_eq!(off["oidcIssuerProfile"], json!({"enabled": false}));
    assert_eq!(off["powerState"]["code"], "Stopped");
    assert_eq!(off["fqdn"], on["fqdn"]);
}

#[tokio::test]
async fn fields_that_do_not_fit_and_ids_of_nothing_are_refused() {
    let setup = Setup::new();
    let id = format!("/{}", setup.resource(VAULT));
    assert!(setup.sim.change(&id, &json!({"fqdn": "x"})).is_err());
    assert!(
        setup
            .sim
            .change(&format!("{id}/secrets/none"), &json!({"enabled": true}))
            .is_err()
    );
    assert!(setup.sim.change("/nothing", &json!({})).is_err());
}
