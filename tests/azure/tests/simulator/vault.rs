//! Key Vault: what it gives and each way in which it refuses.

use azure_sim::seed::AccessPolicy;
use reqwest::Method;
use serde_json::json;

use crate::support::{ARM_SCOPE, CLIENT, OPERATOR, PRINCIPAL, READER, SECRET_VALUE, Setup, VAULT_SCOPE};

#[tokio::test]
async fn a_secret_is_read_with_its_version() {
    let setup = Setup::new();
    let latest = setup.read_secret("db-password").await;
    assert_eq!(
        (latest.status, &latest.body["value"]),
        (200, &json!(SECRET_VALUE))
    );
    let id = latest.body["id"].as_str().unwrap();
    let uri = setup.sim.vault_url("kv-central").unwrap();
    let version = id.strip_prefix(&format!("{uri}secrets/db-password/")).unwrap();
    assert_eq!(version.len(), 32);
    assert_eq!(
        setup.read_secret(&format!("db-password/{version}")).await.body,
        latest.body
    );
    // As the SDK of this language writes it.
    assert_eq!(setup.read_secret("db-password/").await.body, latest.body);
    assert_eq!(
        setup
            .read_secret("db-password/00000000000000000000000000000000")
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn without_a_token_there_is_a_challenge() {
    let setup = Setup::new();
    let answer = setup
        .ask_vault(Method::GET, "secrets/db-password?api-version=7.5", None, None)
        .await;
    assert_eq!((answer.status, answer.code()), (401, "Unauthorized"));
    assert!(answer.message().starts_with("AKV10000"));
    let challenge = format!(
        "Bearer authorization=\"{}{}\", resource=\"https://vault.azure.net\"",
        setup.sim.entra_url(),
        setup.tenant
    );
    assert_eq!(answer.header("www-authenticate"), challenge);
}

#[tokio::test]
async fn tokens_for_others_and_forged_ones_are_refused() {
    let setup = Setup::new();
    let arm = setup.sign_in(OPERATOR, ARM_SCOPE).await;
    // The claims of one token under the signature of another.
    let (one, other) = (
        setup.sign_in(OPERATOR, VAULT_SCOPE).await,
        setup.sign_in(READER, VAULT_SCOPE).await,
    );
    let parts = |token: &str| token.split('.').map(str::to_owned).collect::<Vec<_>>();
    let forged = [&parts(&one)[0], &parts(&one)[1], &parts(&other)[2]]
        .map(String::as_str)
        .join(".");
    for (token, code) in [
        (forged, "AKV10001"),
        (arm, "AKV10022"),
        (setup.issuer.token(), "AKV10001"),
        ("x".to_owned(), "AKV10001"),
    ] {
        let path = "secrets/db-password?api-version=7.5";
        let answer = setup.ask_vault(Method::GET, path, Some(&token), None).await;
        assert_eq!((answer.status, answer.code()), (401, "Unauthorized"));
        assert!(answer.message().starts_with(code), "{answer:?}");
    }
}

#[tokio::test]
async fn forbidden_by_rbac_says_who_what_and_where() {
    let setup = Setup::new();
    let refused = setup.read_secret("db-password-2").await;
    assert_eq!(
        (refused.status, refused.code(), refused.inner()),
        (403, "Forbidden", "ForbiddenByRbac")
    );
    let resource = format!(
        "/subscriptions/{}/resourcegroups/rg/providers/microsoft.keyvault/vaults/kv-central/secrets/db-password-2",
        setup.subscription
    );
    let who = format!(
        "appid={CLIENT};oid={PRINCIPAL};iss=https://sts.windows.net/{}/",
        setup.tenant
    );
    for part in [
        resource.as_str(),
        who.as_str(),
        "getSecret/action",
        "Vault: kv-central;location=westeurope",
        "\r\n",
    ] {
        assert!(
            refused.message().contains(part),
            "{part} in {}",
            refused.message()
        );
    }
}

#[tokio::test]
async fn who_has_no_right_does_not_learn_what_exists() {
    let setup = Setup::new();
    let missing = setup.read_secret("no-such-secret").await;
    assert_eq!((missing.status, missing.inner()), (403, "ForbiddenByRbac"));
}

#[tokio::test]
async fn missing_and_disabled_secrets() {
    let setup = Setup::with(|seed| {
        let assignment = seed.role_assignments.last_mut().unwrap();
        assignment
            .scope
            .truncate(assignment.scope.find("/secrets/").unwrap());
    });
    let missing = setup.read_secret("no-such-secret").await;
    assert_eq!((missing.status, missing.code()), (404, "SecretNotFound"));
    let disabled = setup.read_secret("off").await;
    assert_eq!((disabled.status, disabled.inner()), (403, "SecretDisabled"));
}

#[tokio::test]
async fn a_vault_without_roles_goes_by_its_policies() {
    let setup = Setup::with(|seed| seed.vaults[0].enable_rbac_authorization = false);
    let refused = setup.read_secret("db-password").await;
    assert_eq!((refused.status, refused.inner()), (403, "AccessDenied"));
    assert!(
        refused.message().contains("does not have secrets get permission"),
        "{refused:?}"
    );
    let path = setup.resource("Microsoft.KeyVault/vaults/kv-central/accessPolicies/add");
    let policy = json!({"properties": {"accessPolicies": [
        {"tenantId": setup.tenant, "objectId": PRINCIPAL, "permissions": {"secrets": ["Get"]}},
    ]}});
    assert_eq!(setup.arm(Method::PUT, &path, Some(&policy)).await.status, 200);
    assert_eq!(setup.read_secret("db-password").await.status, 200);
    let vault = setup
        .arm(
            Method::GET,
            &setup.resource("Microsoft.KeyVault/vaults/kv-central"),
            None,
        )
        .await;
    assert_eq!(
        vault.body["properties"]["accessPolicies"][0]["objectId"],
        PRINCIPAL
    );
    let path = setup.resource("Microsoft.KeyVault/vaults/kv-central/accessPolicies/remove");
    assert_eq!(setup.arm(Method::PUT, &path, Some(&policy)).await.status, 200);
    assert_eq!(setup.read_secret("db-password").await.status, 403);
}

#[tokio::test]
async fn the_network_refuses_whatever_the_role() {
    let setup = Setup::with(|seed| seed.vaults[0].allowed_ips = Some(vec![[198, 18, 0, 1].into()]));
    let refused = setup.read_secret("db-password").await;
    assert_eq!((refused.status, refused.inner()), (403, "ForbiddenByFirewall"));
    assert!(
        refused.message().contains("Client address: 127.0.0.1"),
        "{refused:?}"
    );
    let setup = Setup::with(|seed| seed.vaults[0].allowed_ips = Some(vec![[127, 0, 0, 1].into()]));
    assert_eq!(setup.read_secret("db-password").await.status, 200);
    let setup = Setup::with(|seed| seed.vaults[0].public_network_access = "Disabled".to_owned());
    let refused = setup.read_secret("db-password").await;
    assert_eq!((refused.status, refused.inner()), (403, "ForbiddenByConnection"));
}

#[tokio::test]
async fn secrets_rotate_and_are_listed_without_values() {
    let setup = Setup::with(|seed| {
        seed.vaults[0].enable_rbac_authorization = false;
        let secrets = ["get", "list", "set"].map(str::to_owned).to_vec();
        seed.vaults[0].access_policies.push(AccessPolicy {
            principal: "operator".to_owned(),
            secrets,
        });
    });
    let token = setup.sign_in(OPERATOR, VAULT_SCOPE).await;
    let ask = async |method, path: &str, body| setup.ask_vault(method, path, Some(&token), body).await;
    let before = ask(Method::GET, "secrets/db-password?api-version=7.5", None)
        .await
        .body;
    let body = json!({"value": "rotated"});
    let set = ask(Method::PUT, "secrets/db-password?api-version=7.5", Some(&body)).await;
    assert_eq!(set.status, 200, "{set:?}");
    let after = ask(Method::GET, "secrets/db-password?api-version=7.5", None)
        .await
        .body;
    assert_eq!(
        (&after["value"], after["id"] == before["id"]),
        (&json!("rotated"), false)
    );
    let versions = ask(Method::GET, "secrets/db-password/versions?api-version=7.5", None).await;
    assert_eq!(versions.body["value"].as_array().unwrap().len(), 2);
    let first = ask(Method::GET, "secrets?api-version=7.5&maxresults=2", None).await;
    assert_eq!(first.body["value"].as_array().unwrap().len(), 2);
    assert!(!first.text.contains("rotated") && !first.text.contains(SECRET_VALUE));
    let next = first.body["nextLink"].as_str().unwrap();
    let second = setup.send(Method::GET, next, Some(&token), None).await;
    assert_eq!(
        (
            second.body["value"].as_array().unwrap().len(),
            &second.body["nextLink"]
        ),
        (1, &json!(null))
    );
}

#[tokio::test]
async fn the_resource_manager_shows_secrets_without_values() {
    let setup = Setup::new();
    let path = setup.resource("Microsoft.KeyVault/vaults/kv-central/secrets/db-password");
    let answer = setup.arm(Method::GET, &path, None).await;
    assert_eq!(
        (answer.status, &answer.body["properties"]["attributes"]["enabled"]),
        (200, &json!(true))
    );
    assert!(!answer.text.contains(SECRET_VALUE));
    let uri = setup.sim.vault_url("kv-central").unwrap();
    assert_eq!(
        answer.body["properties"]["secretUri"],
        format!("{uri}secrets/db-password")
    );
    let missing = setup.resource("Microsoft.KeyVault/vaults/kv-central/secrets/none");
    assert_eq!(setup.arm(Method::GET, &missing, None).await.status, 404);
}

#[tokio::test]
async fn versions_of_the_interface_are_required() {
    let setup = Setup::new();
    let token = setup.sign_in(OPERATOR, VAULT_SCOPE).await;
    let answer = setup
        .ask_vault(Method::GET, "secrets/db-password", Some(&token), None)
        .await;
    assert_eq!((answer.status, answer.code()), (400, "BadParameter"));
}
