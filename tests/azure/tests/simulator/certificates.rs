//! Applications that sign their own assertions by the key of a certificate.

use std::time::Duration;

use jsonwebtoken::{Algorithm, Header};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::certificate::Certificate;
use crate::issuer::now;
use crate::refusal::{assert_refused, text};
use crate::support::{ARM_SCOPE, ASSERTION_TYPE, Answer, OPERATOR, Setup};

/// A simulator whose operator has this certificate.
fn setup(certificate: &Certificate) -> Setup {
    Setup::with(|seed| {
        seed.service_principals[0]
            .certificates
            .push(certificate.pem.clone());
    })
}

/// What the operator says about itself.
fn claims(setup: &Setup) -> Value {
    let audience = format!("{}{}/oauth2/v2.0/token", setup.sim.entra_url(), setup.tenant);
    json!({"aud": audience, "iss": OPERATOR, "sub": OPERATOR, "jti": Uuid::new_v4(),
           "iat": now(), "nbf": now(), "exp": now() + 600})
}

async fn sign_in(setup: &Setup, assertion: &str) -> Answer {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", OPERATOR),
        ("scope", ARM_SCOPE),
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", assertion),
    ];
    setup.token_of(&setup.tenant, &form).await
}

#[tokio::test]
async fn an_application_signs_in_by_its_certificate() {
    let certificate = Certificate::until(2099);
    let setup = setup(&certificate);
    for algorithm in [Algorithm::RS256, Algorithm::PS256] {
        let assertion = certificate.sign(&certificate.header(algorithm), &claims(&setup));
        let answer = sign_in(&setup, &assertion).await;
        assert_eq!(answer.status, 200, "{algorithm:?} {answer:?}");
    }
    // The other audiences that Entra takes: the issuer, and the older endpoint.
    for end in ["v2.0", "oauth2/token"] {
        let mut claims = claims(&setup);
        claims["aud"] = format!("{}{}/{end}", setup.sim.entra_url(), setup.tenant).into();
        let assertion = certificate.sign(&certificate.header(Algorithm::PS256), &claims);
        assert_eq!(sign_in(&setup, &assertion).await.status, 200, "{end}");
    }
}

#[tokio::test]
pub(crate) async fn aadsts700027_a_certificate_that_is_not_registered_or_has_ended_or_did_not_sign() {
    let (certificate, stranger) = (Certificate::until(2099), Certificate::until(2099));
    let setup = setup(&certificate);
    let header = certificate.header(Algorithm::PS256);
    let unknown = stranger.sign(&stranger.header(Algorithm::PS256), &claims(&setup));
    let answer = sign_in(&setup, &unknown).await;
    assert_refused(&answer, 700_027, 401, "invalid_client");
    assert!(text(&answer.body, "error_description").contains("The key was not found."));
    // The thumbprint of the registered one, and the signature of another.
    let answer = sign_in(&setup, &stranger.sign(&header, &claims(&setup))).await;
    assert_refused(&answer, 700_027, 401, "invalid_client");
    assert!(text(&answer.body, "error_description").contains("signature"));
    let ended = Certificate::until(2021);
    let setup = self::setup(&ended);
    let assertion = ended.sign(&ended.header(Algorithm::RS256), &claims(&setup));
    let answer = sign_in(&setup, &assertion).await;
    assert_refused(&answer, 700_027, 401, "invalid_client");
    assert!(text(&answer.body, "error_description").contains("End=2021-01-01"));
}

#[tokio::test]
pub(crate) async fn aadsts5002723_a_header_that_names_no_certificate() {
    let certificate = Certificate::until(2099);
    let setup = setup(&certificate);
    let assertion = certificate.sign(&Header::new(Algorithm::RS256), &claims(&setup));
    assert_refused(
        &sign_in(&setup, &assertion).await,
        5_002_723,
        401,
        "invalid_client",
    );
}

#[tokio::test]
pub(crate) async fn aadsts700023_an_assertion_for_another_endpoint() {
    let certificate = Certificate::until(2099);
    let setup = setup(&certificate);
    let mut claims = claims(&setup);
    claims["aud"] = json!("https://login.microsoftonline.com/common/oauth2/v2.0/token");
    let assertion = certificate.sign(&certificate.header(Algorithm::PS256), &claims);
    assert_refused(&sign_in(&setup, &assertion).await, 700_023, 401, "invalid_client");
}

#[tokio::test]
async fn an_assertion_by_a_certificate_has_its_time() {
    let certificate = Certificate::until(2099);
    let setup = setup(&certificate);
    let assertion = certificate.sign(&certificate.header(Algorithm::PS256), &claims(&setup));
    setup.sim.clock().advance(Duration::from_mins(16));
    assert_refused(&sign_in(&setup, &assertion).await, 700_024, 401, "invalid_client");
}
