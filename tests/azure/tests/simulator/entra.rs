//! The token endpoint: tokens, and refusals by what stands in the form.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use reqwest::Method;
use serde_json::Value;

use crate::refusal::{assert_refused, text};
use crate::support::{
    ARM_SCOPE, ASSERTION_TYPE, CLIENT, OPERATOR, OPERATOR_SECRET, PRINCIPAL, Setup, VAULT_SCOPE,
};

#[tokio::test]
async fn a_service_account_token_becomes_an_identitys_token() {
    let setup = Setup::new();
    let answer = setup.exchange(&setup.issuer.token()).await;
    assert_eq!(
        (answer.status, answer.body["token_type"].as_str()),
        (200, Some("Bearer"))
    );
    assert_eq!(answer.body["expires_in"], 86_399);
    let url = format!(
        "{}{}/v2.0/.well-known/openid-configuration",
        setup.sim.entra_url(),
        setup.tenant
    );
    let discovery = setup.send(Method::GET, &url, None, None).await.body;
    assert!(text(&discovery, "token_endpoint").starts_with(setup.sim.entra_url()));
    let keys = setup
        .send(Method::GET, text(&discovery, "jwks_uri"), None, None)
        .await;
    let keys: JwkSet = serde_json::from_str(&keys.text).unwrap();
    let token = text(&answer.body, "access_token");
    let kid = jsonwebtoken::decode_header(token).unwrap().kid.unwrap();
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_audience(&["https://vault.azure.net"]);
    let key = DecodingKey::from_jwk(keys.find(&kid).unwrap()).unwrap();
    let claims = jsonwebtoken::decode::<Value>(token, &key, &validation)
        .unwrap()
        .claims;
    assert_eq!(
        (text(&claims, "appid"), text(&claims, "oid")),
        (CLIENT, PRINCIPAL)
    );
    assert_eq!(text(&claims, "tid"), setup.tenant);
    assert_eq!(
        text(&claims, "iss"),
        format!("https://sts.windows.net/{}/", setup.tenant)
    );
    assert_eq!(
        text(&claims, "xms_mirid").to_lowercase(),
        format!("/{}", setup.identity()).to_lowercase()
    );
    let lifetime = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert_eq!(lifetime, 86_400);
}

#[tokio::test]
async fn applications_get_tokens_for_an_hour() {
    let setup = Setup::new();
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", OPERATOR),
        ("scope", ARM_SCOPE),
        ("client_secret", OPERATOR_SECRET),
    ];
    let answer = setup.token_of(&setup.tenant, &form).await;
    assert_eq!(
        (answer.status, answer.body["expires_in"].as_i64()),
        (200, Some(3_599))
    );
}

#[tokio::test]
pub(crate) async fn aadsts700016_no_such_client_or_another_tenant() {
    let other = uuid::Uuid::from_u128(7);
    let setup = Setup::with(|seed| {
        let tenant = azure_sim::seed::Tenant {
            id: other,
            display_name: "Other".to_owned(),
            national_cloud: None,
        };
        seed.other_tenants.push(tenant);
    });
    let token = setup.issuer.token();
    // The principal id where the client id belongs.
    assert_refused(
        &setup.exchange_as(PRINCIPAL, &token).await,
        700_016,
        400,
        "unauthorized_client",
    );
    assert_refused(
        &setup.exchange_as("id-orders", &token).await,
        700_016,
        400,
        "unauthorized_client",
    );
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", OPERATOR),
        ("scope", ARM_SCOPE),
        ("client_secret", OPERATOR_SECRET),
    ];
    let answer = setup.token_of(&other.to_string(), &form).await;
    assert_refused(&answer, 700_016, 400, "unauthorized_client");
    assert!(text(&answer.body, "error_description").contains("'Other'"));
}

#[tokio::test]
pub(crate) async fn aadsts90002_900021_900023_no_such_tenant() {
    let setup = Setup::new();
    let form = [("grant_type", "client_credentials")];
    let unknown = "99999999-9999-4999-8999-999999999999";
    let empty = "00000000-0000-0000-0000-000000000000";
    for (tenant, wanted) in [
        (unknown, 90_002),
        ("contoso.example", 90_002),
        (empty, 900_021),
        ("x", 900_023),
    ] {
        assert_refused(
            &setup.token_of(tenant, &form).await,
            wanted,
            400,
            "invalid_request",
        );
    }
}

#[tokio::test]
pub(crate) async fn aadsts900144_each_missing_parameter() {
    let setup = Setup::new();
    let token = setup.issuer.token();
    let full = [
        ("grant_type", "client_credentials"),
        ("client_id", CLIENT),
        ("scope", VAULT_SCOPE),
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", token.as_str()),
    ];
    assert_eq!(setup.token_of(&setup.tenant, &full).await.status, 200);
    for missing in ["grant_type", "client_id", "scope", "client_assertion_type"] {
        let form: Vec<_> = full
            .iter()
            .copied()
            .filter(|(name, _)| *name != missing)
            .collect();
        let answer = setup.token_of(&setup.tenant, &form).await;
        assert_refused(&answer, 900_144, 400, "invalid_request");
        assert!(text(&answer.body, "error_description").contains(&format!("'{missing}'")));
    }
}

#[tokio::test]
pub(crate) async fn aadsts500011_1002012_a_scope_of_another_cloud_and_one_that_is_none() {
    let setup = Setup::new();
    let form = |scope| {
        [
            ("grant_type", "client_credentials"),
            ("client_id", OPERATOR),
            ("client_secret", OPERATOR_SECRET),
            ("scope", scope),
        ]
    };
    let other_cloud = setup
        .token_of(&setup.tenant, &form("https://vault.azure.cn/.default"))
        .await;
    assert_refused(&other_cloud, 500_011, 400, "invalid_resource");
    for bad in [
        "https://vault.azure.net",
        "/.default",
        "https://vault.azure.net/.default https://graph.microsoft.com/.default",
    ] {
        let answer = setup.token_of(&setup.tenant, &form(bad)).await;
        assert_refused(&answer, 1_002_012, 400, "invalid_scope");
    }
}

#[tokio::test]
pub(crate) async fn aadsts7000215_70003_7000112_bad_clients() {
    let setup = Setup::with(|seed| {
        let mut disabled = seed.service_principals[0].clone();
        (disabled.client_id, disabled.object_id, disabled.disabled) = (
            Some(uuid::Uuid::from_u128(8)),
            None,
            Some(azure_sim::seed::Disabled::Everywhere),
        );
        disabled.display_name = "disabled".to_owned();
        seed.service_principals.push(disabled);
    });
    let base = [
        ("grant_type", "client_credentials"),
        ("client_id", OPERATOR),
        ("scope", ARM_SCOPE),
    ];
    let with = |more: &[(&'static str, &'static str)]| base.iter().chain(more).copied().collect::<Vec<_>>();
    let wrong = setup
        .token_of(&setup.tenant, &with(&[("client_secret", "wrong")]))
        .await;
    assert_refused(&wrong, 7_000_215, 401, "invalid_client");
    assert!(!wrong.text.contains(OPERATOR_SECRET));
    let device = [
        ("grant_type", "device_code"),
        ("client_id", OPERATOR),
        ("scope", ARM_SCOPE),
    ];
    assert_refused(
        &setup.token_of(&setup.tenant, &device).await,
        70_003,
        400,
        "unsupported_grant_type",
    );
    let id = uuid::Uuid::from_u128(8).to_string();
    let disabled = [
        ("grant_type", "client_credentials"),
        ("client_id", id.as_str()),
        ("scope", ARM_SCOPE),
        ("client_secret", OPERATOR_SECRET),
    ];
    assert_refused(
        &setup.token_of(&setup.tenant, &disabled).await,
        7_000_112,
        400,
        "unauthorized_client",
    );
}

#[tokio::test]
async fn scopes_of_openid_are_taken_beside_a_resource() {
    let setup = Setup::new();
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", OPERATOR),
        ("client_secret", OPERATOR_SECRET),
        (
            "scope",
            "https://vault.azure.net/.default openid offline_access profile",
        ),
    ];
    let answer = setup.token_of(&setup.tenant, &form).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let path = "secrets/db-password?api-version=7.5";
    let token = text(&answer.body, "access_token");
    let refused = setup.ask_vault(Method::GET, path, Some(token), None).await;
    assert_eq!(
        refused.inner(),
        "ForbiddenByRbac",
        "the token is for vaults: {refused:?}"
    );
}
