//! Vaults and secrets written through the resource manager, and secrets that are changed, deleted and brought back.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, OPERATOR, PRINCIPAL, READER, SECRETS_USER, Setup, VAULT_SCOPE};

const NEW: &str = "Microsoft.KeyVault/vaults/kv-new";

fn settings(setup: &Setup, more: &Value) -> Value {
    let mut properties = json!({"tenantId": setup.tenant, "sku": {"family": "A", "name": "standard"}});
    let more = more.as_object().unwrap().clone();
    properties.as_object_mut().unwrap().extend(more);
    json!({"location": "westeurope", "properties": properties})
}

async fn put(setup: &Setup, more: &Value) -> Answer {
    let body = settings(setup, more);
    setup.arm(Method::PUT, &setup.resource(NEW), Some(&body)).await
}

#[tokio::test]
async fn a_vault_is_made_and_serves_and_goes() {
    let setup = Setup::new();
    let made = put(&setup, &json!({"enableRbacAuthorization": true})).await;
    assert_eq!(made.status, 201, "{made:?}");
    let path = setup.resource(&format!("{NEW}/secrets/x"));
    let body = json!({"properties": {"value": "v"}});
    let secret = setup.arm(Method::PUT, &path, Some(&body)).await;
    assert_eq!(secret.status, 201, "{secret:?}");
    assert!(!secret.text.contains("\"v\""));
    let grant = Setup::grant(SECRETS_USER, PRINCIPAL);
    let assignment = Setup::assignment(&path, "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa");
    assert_eq!(
        setup.arm(Method::PUT, &assignment, Some(&grant)).await.status,
        201
    );
    let token = setup.exchange(&setup.issuer.token()).await.body["access_token"].clone();
    let url = format!(
        "{}secrets/x?api-version=7.5",
        made.body["properties"]["vaultUri"].as_str().unwrap()
    );
    let read = async || setup.send(Method::GET, &url, token.as_str(), None).await;
    assert_eq!(read().await.body["value"], "v");
    let again = setup
        .arm(Method::PATCH, &path, Some(&json!({"properties": {"value": "w"}})))
        .await;
    assert_eq!((again.status, &read().await.body["value"]), (200, &json!("w")));
    let (gone, nothing) = (
        setup.arm(Method::DELETE, &setup.resource(NEW), None).await.status,
        setup.arm(Method::DELETE, &setup.resource(NEW), None).await.status,
    );
    assert_eq!((gone, nothing), (200, 204));
    let nowhere = read().await;
    assert_eq!((nowhere.status, nowhere.code()), (404, "VaultNotFound"));
}

#[tokio::test]
async fn a_put_that_leaves_the_model_out_changes_it_and_a_patch_does_not() {
    let setup = Setup::new();
    put(&setup, &json!({"enableRbacAuthorization": true})).await;
    let roles = |answer: &Answer| answer.body["properties"]["enableRbacAuthorization"].clone();
    let path = setup.resource(NEW);
    let body = json!({"properties": {"publicNetworkAccess": "Disabled"}});
    let patched = setup.arm(Method::PATCH, &path, Some(&body)).await;
    assert_eq!((patched.status, roles(&patched)), (200, json!(true)));
    assert_eq!(patched.body["properties"]["publicNetworkAccess"], "Disabled");
    let put_again = put(&setup, &json!({})).await;
    assert_eq!((put_again.status, roles(&put_again)), (200, json!(false)));
    let newest = format!("{path}?api-version=2026-02-01");
    let put_newest = setup
        .arm(Method::PUT, &newest, Some(&settings(&setup, &json!({}))))
        .await;
    assert_eq!(roles(&put_newest), json!(true));
}

#[tokio::test]
async fn names_of_vaults_are_proper_and_taken_once() {
    let setup = Setup::new();
    let path = setup.resource("Microsoft.KeyVault/vaults/1-wrong");
    let refused = setup
        .arm(Method::PUT, &path, Some(&settings(&setup, &json!({}))))
        .await;
    assert_eq!((refused.status, refused.code()), (400, "VaultNameNotValid"));
    let group = format!("subscriptions/{}/resourceGroups/rg-2", setup.subscription);
    let body = json!({"location": "westeurope"});
    assert_eq!(setup.arm(Method::PUT, &group, Some(&body)).await.status, 201);
    let taken = format!("{group}/providers/Microsoft.KeyVault/vaults/KV-central");
    let refused = setup
        .arm(Method::PUT, &taken, Some(&settings(&setup, &json!({}))))
        .await;
    assert_eq!((refused.status, refused.code()), (409, "VaultAlreadyExists"));
    let path = format!(
        "subscriptions/{}/providers/Microsoft.KeyVault/checkNameAvailability",
        setup.subscription
    );
    for (name, reason) in [
        ("kv-central", json!("AlreadyExists")),
        ("1-wrong", json!("AccountNameInvalid")),
        ("kv-new", Value::Null),
    ] {
        let body = json!({"name": name, "type": "Microsoft.KeyVault/vaults"});
        let answer = setup.arm(Method::POST, &path, Some(&body)).await;
        assert_eq!(answer.body["nameAvailable"], reason.is_null(), "{name}");
        assert_eq!(answer.body["reason"], reason, "{name}");
    }
    let denied = setup
        .arm_as(
            READER,
            Method::PUT,
            &setup.resource(NEW),
            Some(&settings(&setup, &json!({}))),
        )
        .await;
    assert_eq!(denied.code(), "AuthorizationFailed");
}

#[tokio::test]
async fn a_secret_is_changed_deleted_and_brought_back() {
    let setup = Setup::with(|seed| {
        let policy =
            json!({"principal": "operator", "secrets": ["get", "set", "delete", "recover", "purge"]});
        seed.vaults[0].enable_rbac_authorization = false;
        seed.vaults[0]
            .access_policies
            .push(serde_json::from_value(policy).unwrap());
    });
    let token = setup.sign_in(OPERATOR, VAULT_SCOPE).await;
    let ask = async |method, path: &str, body: Option<Value>| {
        let path = format!("{path}?api-version=7.5");
        setup.ask_vault(method, &path, Some(&token), body.as_ref()).await
    };
    let body = json!({"attributes": {"enabled": false}, "tags": {"a": "b"}});
    let changed = ask(Method::PATCH, "secrets/db-password", Some(body)).await;
    assert_eq!((changed.status, &changed.body["tags"]), (200, &json!({"a": "b"})));
    assert_eq!(
        ask(Method::GET, "secrets/db-password", None).await.inner(),
        "SecretDisabled"
    );
    let deleted = ask(Method::DELETE, "secrets/off", None).await;
    assert!(
        deleted.body["recoveryId"]
            .as_str()
            .unwrap()
            .ends_with("deletedsecrets/off")
    );
    assert_eq!(
        ask(Method::GET, "secrets/off", None).await.code(),
        "SecretNotFound"
    );
    let refused = ask(Method::PUT, "secrets/off", Some(json!({"value": "x"}))).await;
    assert_eq!(
        (refused.status, refused.inner()),
        (409, "ObjectIsDeletedButRecoverable")
    );
    assert_eq!(
        ask(Method::POST, "deletedsecrets/off/recover", None).await.status,
        200
    );
    assert_eq!(
        ask(Method::GET, "secrets/off", None).await.inner(),
        "SecretDisabled"
    );
    ask(Method::DELETE, "secrets/off", None).await;
    assert_eq!(ask(Method::DELETE, "deletedsecrets/off", None).await.status, 204);
    assert_eq!(ask(Method::GET, "deletedsecrets/off", None).await.status, 404);
    let purged = ask(Method::PUT, "secrets/off", Some(json!({"value": "x"}))).await;
    assert_eq!(purged.status, 200);
}
