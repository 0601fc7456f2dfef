//! Who asks for a token, and what proves it: each refusal by its own cause.

use azure_sim::Addition;
use azure_sim::seed::{Disabled, EndingSecret, Tenant};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::issuer::AUDIENCE;
use crate::refusal::{assert_refused, text};
use crate::support::{
    ARM_SCOPE, ASSERTION_TYPE, Answer, CLIENT, OPERATOR, OPERATOR_SECRET, PRINCIPAL, Setup, VAULT_SCOPE,
};

/// An application that trusts a managed identity of its own tenant.
const APPLICATION: &str = "88888888-8888-4888-8888-888888888888";

/// A token request of this client with these fields besides.
async fn ask(setup: &Setup, client: &str, more: &[(&str, &str)]) -> Answer {
    let mut form = vec![
        ("grant_type", "client_credentials"),
        ("client_id", client),
        ("scope", ARM_SCOPE),
    ];
    form.retain(|(name, _)| !more.iter().any(|(own, _)| own == name));
    form.extend_from_slice(more);
    setup.token_of(&setup.tenant, &form).await
}

async fn present(setup: &Setup, client: &str, assertion: &str) -> Answer {
    let proof = [
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", assertion),
    ];
    ask(setup, client, &proof).await
}

#[tokio::test]
pub(crate) async fn aadsts7000216_a_client_without_any_proof() {
    let setup = Setup::new();
    assert_refused(
        &ask(&setup, OPERATOR, &[]).await,
        7_000_216,
        401,
        "invalid_client",
    );
    // As a token file that is empty has it.
    assert_refused(
        &present(&setup, OPERATOR, "").await,
        7_000_216,
        401,
        "invalid_client",
    );
}

#[tokio::test]
pub(crate) async fn aadsts7000218_another_grant_without_any_proof() {
    let setup = Setup::new();
    let answer = ask(&setup, OPERATOR, &[("grant_type", "refresh_token")]).await;
    assert_refused(&answer, 7_000_218, 401, "invalid_client");
}

#[tokio::test]
pub(crate) async fn aadsts7000222_a_secret_that_ended() {
    let end = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    let setup = Setup::with(|seed| {
        let operator = &mut seed.service_principals[0];
        let value = operator.secrets.remove(0);
        operator.ending_secrets.push(EndingSecret { value, end });
    });
    let proof = [("client_secret", OPERATOR_SECRET)];
    assert_eq!(ask(&setup, OPERATOR, &proof).await.status, 200);
    setup.sim.clock().advance(std::time::Duration::from_hours(2));
    let answer = ask(&setup, OPERATOR, &proof).await;
    assert_refused(&answer, 7_000_222, 401, "invalid_client");
    assert!(!answer.text.contains(OPERATOR_SECRET));
}

#[tokio::test]
pub(crate) async fn aadsts7000116_a_client_that_the_tenant_disabled() {
    let setup = Setup::with(|seed| seed.service_principals[0].disabled = Some(Disabled::InTenant));
    let answer = ask(&setup, OPERATOR, &[("client_secret", OPERATOR_SECRET)]).await;
    assert_refused(&answer, 7_000_116, 400, "unauthorized_client");
    assert!(text(&answer.body, "error_description").contains(&setup.tenant));
}

#[tokio::test]
pub(crate) async fn aadsts53003_a_client_at_a_place_that_a_policy_does_not_allow() {
    let proof = [("client_secret", OPERATOR_SECRET)];
    for (place, allowed) in [("127.0.0.1", true), ("203.0.113.7", false)] {
        let setup = Setup::with(|seed| {
            seed.service_principals[0].allowed_ips = Some(vec![place.parse().unwrap()]);
        });
        let answer = ask(&setup, OPERATOR, &proof).await;
        if allowed {
            assert_eq!(answer.status, 200, "{answer:?}");
        } else {
            assert_refused(&answer, 53_003, 400, "access_denied");
        }
        // A wrong secret does not learn of the policy.
        let wrong = ask(&setup, OPERATOR, &[("client_secret", "wrong")]).await;
        assert_refused(&wrong, 7_000_215, 401, "invalid_client");
    }
}

#[tokio::test]
pub(crate) async fn aadsts900382_90038_a_tenant_of_another_cloud() {
    let elsewhere = Uuid::from_u128(9);
    let setup = Setup::with(|seed| {
        seed.other_tenants.push(Tenant {
            id: elsewhere,
            display_name: "Elsewhere".to_owned(),
            national_cloud: Some("AzureChinaCloud".to_owned()),
        });
    });
    let form = |more: &'static [(&str, &str)]| {
        let base = [
            ("grant_type", "client_credentials"),
            ("client_id", OPERATOR),
            ("scope", ARM_SCOPE),
        ];
        base.into_iter().chain(more.iter().copied()).collect::<Vec<_>>()
    };
    let tenant = elsewhere.to_string();
    let proven = setup
        .token_of(&tenant, &form(&[("client_secret", OPERATOR_SECRET)]))
        .await;
    assert_refused(&proven, 900_382, 400, "invalid_request");
    let bare = setup.token_of(&tenant, &form(&[])).await;
    assert_refused(&bare, 90_038, 400, "invalid_request");
    assert!(text(&bare.body, "error_description").contains("'AzureChinaCloud'"));
}

#[tokio::test]
pub(crate) async fn aadsts90014_an_assertion_without_a_field() {
    let setup = Setup::new();
    for field in ["iss", "sub", "exp"] {
        let mut claims = setup.issuer.claims();
        claims.as_object_mut().unwrap().remove(field);
        let answer = setup.exchange(&setup.issuer.key.sign(&claims)).await;
        assert_refused(&answer, 90_014, 400, "invalid_request");
        assert!(text(&answer.body, "error_description").contains(&format!("'{field}'")));
    }
}

#[tokio::test]
pub(crate) async fn aadsts90023_an_assertion_of_another_kind() {
    let setup = Setup::new();
    let token = setup.issuer.token();
    let proof = [
        (
            "client_assertion_type",
            "urn:ietf:params:oauth:client-assertion-type:saml2-bearer",
        ),
        ("client_assertion", token.as_str()),
    ];
    assert_refused(&ask(&setup, CLIENT, &proof).await, 90_023, 400, "invalid_request");
}

#[tokio::test]
pub(crate) async fn aadsts900561_50049_endpoints_that_are_asked_in_a_wrong_way() {
    let setup = Setup::new();
    let url = format!("{}{}/oauth2/v2.0/token", setup.sim.entra_url(), setup.tenant);
    let get = setup.send(Method::GET, &url, None, None).await;
    assert_refused(&get, 900_561, 400, "invalid_request");
    let url = format!(
        "{}common/discovery/instance?api-version=1.1&authorization_endpoint=https://login.example/x",
        setup.sim.entra_url()
    );
    let unknown = setup.send(Method::GET, &url, None, None).await;
    assert_refused(&unknown, 50_049, 400, "invalid_instance");
}

/// The usual simulator, with an application that trusts the identity, which is assigned to the machine.
fn with_trusted_identity() -> Setup {
    let setup = Setup::new();
    let issuer = format!("{}{}/v2.0", setup.sim.entra_url(), setup.tenant);
    let more = json!({
        "servicePrincipals": [{"displayName": "trusting", "clientId": APPLICATION, "federatedCredentials": [
            {"name": "identity", "issuer": issuer, "subject": PRINCIPAL, "audiences": [AUDIENCE]},
        ]}],
        "machineIdentities": ["id-orders"],
    });
    let more: Addition = serde_json::from_value(more).unwrap();
    setup.sim.add(&more).unwrap();
    setup
}

/// The identity's token for the exchange, as the machine gives it.
async fn of_machine(setup: &Setup) -> Value {
    let url = format!(
        "{}metadata/identity/oauth2/token?api-version=2018-02-01&resource={AUDIENCE}",
        setup.sim.machine_url()
    );
    let answer = setup
        .send_with(Method::GET, &url, None, None, &[("metadata", "true")])
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

#[tokio::test]
async fn a_managed_identity_of_a_machine_signs_in_as_the_application_that_trusts_it() {
    let setup = with_trusted_identity();
    let body = of_machine(&setup).await;
    let answer = present(&setup, APPLICATION, text(&body, "access_token")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
pub(crate) async fn aadsts700231_a_token_that_came_by_a_federated_credential_itself() {
    let setup = with_trusted_identity();
    let own = setup.issuer.token();
    let scope = format!("{AUDIENCE}/.default");
    let proof = [
        ("scope", scope.as_str()),
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", own.as_str()),
    ];
    let first = ask(&setup, CLIENT, &proof).await;
    assert_eq!(first.status, 200, "{first:?}");
    let second = present(&setup, APPLICATION, text(&first.body, "access_token")).await;
    assert_refused(&second, 700_231, 401, "invalid_client");
}

#[tokio::test]
pub(crate) async fn aadsts700236_a_token_of_another_tenants_identity() {
    let setup = with_trusted_identity();
    let claims = json!({
        "iss": format!("{}{}/v2.0", setup.sim.entra_url(), Uuid::from_u128(7)), "sub": PRINCIPAL,
        "aud": "fb60f99c-7a34-4190-8149-302f77469936",
    });
    let answer = present(&setup, APPLICATION, &setup.issuer.token_with(&claims)).await;
    assert_refused(&answer, 700_236, 401, "invalid_client");
}

#[tokio::test]
async fn a_token_for_the_exchange_opens_nothing_else() {
    let setup = with_trusted_identity();
    let body = of_machine(&setup).await;
    let token = text(&body, "access_token");
    let path = "secrets/db-password?api-version=7.5";
    assert_eq!(
        setup.ask_vault(Method::GET, path, Some(token), None).await.status,
        401
    );
    // And a token for vaults is no proof of another principal.
    let vault = setup.sign_in(OPERATOR, VAULT_SCOPE).await;
    assert_refused(
        &present(&setup, APPLICATION, &vault).await,
        700_222,
        401,
        "invalid_client",
    );
}

#[tokio::test]
async fn a_policy_sets_how_long_an_applications_tokens_live() {
    let setup = Setup::with(|seed| seed.service_principals[0].access_token_lifetime_s = Some(120));
    let answer = ask(&setup, OPERATOR, &[("client_secret", OPERATOR_SECRET)]).await;
    assert_eq!(answer.body["expires_in"], 119);
}

#[tokio::test]
async fn an_outage_of_entra_has_the_body_of_entra() {
    let setup = Setup::new();
    for (fault, status, code) in [
        (json!({"status": 503}), 503, 90_033),
        (json!({"status": 429, "retryAfter": 2}), 429, 90_055),
        (json!({"status": 503, "code": "AADSTS90024"}), 503, 90_024),
    ] {
        let mut fault = fault;
        fault["service"] = json!("entra");
        let weather = serde_json::from_value(json!({"faults": [fault]})).unwrap();
        setup.sim.set_weather(weather);
        let answer = setup.exchange(&setup.issuer.token()).await;
        assert_refused(&answer, code, status, "temporarily_unavailable");
    }
}
