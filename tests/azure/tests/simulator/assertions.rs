//! Federated assertions: each refusal by its own cause.

use std::time::Duration;

use azure_sim::{Authority, Weather};
use reqwest::Method;
use serde_json::json;

use crate::issuer::{Issuer, Key, SUBJECT, now};
use crate::refusal::{assert_refused, text};
use crate::support::{OPERATOR, Setup, VAULT_SCOPE};

#[tokio::test]
pub(crate) async fn aadsts700211_another_issuer_by_a_slash() {
    let setup = Setup::new();
    let other = setup.issuer.url.trim_end_matches('/');
    let answer = setup
        .exchange(&setup.issuer.token_with(&json!({"iss": other})))
        .await;
    assert_refused(&answer, 700_211, 401, "invalid_client");
    assert!(text(&answer.body, "error_description").contains(&format!("issuer '{other}'.")));
}

#[tokio::test]
pub(crate) async fn aadsts700212_another_audience() {
    let setup = Setup::new();
    let answer = setup
        .exchange(
            &setup
                .issuer
                .token_with(&json!({"aud": ["https://kubernetes.default.svc"]})),
        )
        .await;
    assert_refused(&answer, 700_212, 401, "invalid_client");
}

#[tokio::test]
pub(crate) async fn aadsts700213_another_subject() {
    let setup = Setup::new();
    let other = "system:serviceaccount:shop:payments";
    let answer = setup
        .exchange(&setup.issuer.token_with(&json!({"sub": other})))
        .await;
    assert_refused(&answer, 700_213, 401, "invalid_client");
    assert!(text(&answer.body, "error_description").contains(other));
}

#[tokio::test]
pub(crate) async fn aadsts7002138_a_subject_that_differs_by_case() {
    let setup = Setup::new();
    let answer = setup
        .exchange(&setup.issuer.token_with(&json!({"sub": SUBJECT.to_uppercase()})))
        .await;
    assert_refused(&answer, 7_002_138, 401, "invalid_client");
}

#[tokio::test]
pub(crate) async fn aadsts70025_an_identity_without_credentials() {
    let setup = Setup::with(|seed| seed.identities[0].federated_credentials.clear());
    assert_refused(
        &setup.exchange(&setup.issuer.token()).await,
        70_025,
        401,
        "invalid_client",
    );
}

#[tokio::test]
pub(crate) async fn aadsts700024_outside_its_time() {
    let setup = Setup::new();
    let past = json!({"iat": now() - 7200, "nbf": now() - 7200, "exp": now() - 3600});
    assert_refused(
        &setup.exchange(&setup.issuer.token_with(&past)).await,
        700_024,
        401,
        "invalid_client",
    );
    let future = json!({"iat": now() + 3600, "nbf": now() + 3600, "exp": now() + 7200});
    assert_refused(
        &setup.exchange(&setup.issuer.token_with(&future)).await,
        700_024,
        401,
        "invalid_client",
    );
    // A token that was good becomes too old.
    let token = setup.issuer.token();
    assert_eq!(setup.exchange(&token).await.status, 200);
    setup.sim.clock().advance(Duration::from_hours(2));
    assert_refused(&setup.exchange(&token).await, 700_024, 401, "invalid_client");
}

#[tokio::test]
pub(crate) async fn aadsts70023_a_lifetime_above_a_day() {
    let setup = Setup::new();
    let long = json!({"exp": now() + 3 * 86_400});
    assert_refused(
        &setup.exchange(&setup.issuer.token_with(&long)).await,
        70_023,
        401,
        "invalid_client",
    );
}

#[tokio::test]
pub(crate) async fn aadsts7000272_a_key_that_is_not_published_any_more() {
    let mut setup = Setup::new();
    assert_eq!(setup.exchange(&setup.issuer.token()).await.status, 200);
    let old = setup.issuer.rotate("key-2");
    // The new key is found at once although the old set is remembered.
    assert_eq!(setup.exchange(&setup.issuer.token()).await.status, 200);
    let answer = setup.exchange(&old.sign(&setup.issuer.claims())).await;
    assert_refused(&answer, 7_000_272, 401, "invalid_client");
    assert!(text(&answer.body, "error_description").contains("key-1"));
}

#[tokio::test]
async fn keys_are_remembered() {
    let setup = Setup::new();
    for _ in 0..3 {
        assert_eq!(setup.exchange(&setup.issuer.token()).await.status, 200);
    }
    assert_eq!(setup.issuer.requests(), 1);
    setup.sim.forget_issuers().await;
    assert_eq!(setup.exchange(&setup.issuer.token()).await.status, 200);
    assert_eq!(setup.issuer.requests(), 2);
}

#[tokio::test]
async fn what_is_remembered_of_an_issuer_ends() {
    let mut setup = Setup::new();
    assert_eq!(setup.exchange(&setup.issuer.token()).await.status, 200);
    // The key is withdrawn and the issuer gone, and nobody has noticed yet.
    let old = setup.issuer.rotate("key-2");
    setup.issuer.answer(503, "gone");
    let claims = setup.issuer.claims();
    assert_eq!(setup.exchange(&old.sign(&claims)).await.status, 200);
    setup.sim.clock().advance(Duration::from_mins(6));
    let answer = setup.exchange(&old.sign(&claims)).await;
    assert_refused(&answer, 50_166, 400, "invalid_request");
    setup.issuer.recover();
    let answer = setup.exchange(&old.sign(&claims)).await;
    assert_refused(&answer, 7_000_272, 401, "invalid_client");
}

#[tokio::test]
async fn clocks_may_differ_by_five_minutes() {
    let setup = Setup::new();
    for (ahead, valid) in [(-6, false), (-4, true), (4, true), (6, false)] {
        // A token of this minute, by a clock that goes wrong.
        let start = now() + ahead * 60;
        let token = setup
            .issuer
            .token_with(&json!({"iat": start, "nbf": start, "exp": start + 3600}));
        // And one that ended then.
        let ended = setup
            .issuer
            .token_with(&json!({"iat": start - 3600, "nbf": start - 3600, "exp": start}));
        let (token, ended) = (setup.exchange(&token).await, setup.exchange(&ended).await);
        assert_eq!(token.status == 200, valid || ahead < 0, "{ahead} {token:?}");
        assert_eq!(ended.status == 200, valid || ahead > 0, "{ahead} {ended:?}");
    }
    // The same by the simulator's own clock.
    let token = setup.issuer.token();
    setup.sim.clock().set_offset(-6 * 60_000);
    assert_refused(&setup.exchange(&token).await, 700_024, 401, "invalid_client");
    setup.sim.clock().set_offset(-4 * 60_000);
    assert_eq!(setup.exchange(&token).await.status, 200);
}

#[tokio::test]
pub(crate) async fn aadsts700027_a_forged_signature() {
    let setup = Setup::new();
    let forged = Key::new("key-1").sign(&setup.issuer.claims());
    assert_refused(&setup.exchange(&forged).await, 700_027, 401, "invalid_client");
}

#[tokio::test]
pub(crate) async fn aadsts700221_a_document_that_names_another_issuer() {
    let setup = Setup::new();
    setup.issuer.publish_as(setup.issuer.url.trim_end_matches('/'));
    assert_refused(
        &setup.exchange(&setup.issuer.token()).await,
        700_221,
        401,
        "invalid_client",
    );
}

#[tokio::test]
pub(crate) async fn aadsts90061_an_issuer_that_does_not_answer_or_cannot_be_trusted() {
    // One that nobody listens at, and one whose certificate is by somebody else.
    let stranger = Issuer::start(&Authority::generate().unwrap());
    for url in ["https://127.0.0.1:1/".to_owned(), stranger.url.clone()] {
        let setup = Setup::with(|seed| {
            seed.identities[0].federated_credentials[0]
                .issuer
                .clone_from(&url);
        });
        let answer = setup
            .exchange(&setup.issuer.token_with(&json!({"iss": url})))
            .await;
        assert_refused(&answer, 90_061, 400, "invalid_request");
        assert!(answer.body.get("error_uri").is_none());
    }
}

#[tokio::test]
pub(crate) async fn aadsts50166_501661_an_issuer_that_answers_something_else() {
    let setup = Setup::new();
    for (status, body, wanted) in [
        (503, "busy", 50_166),
        (404, "{}", 50_166),
        (200, "<html>", 501_661),
    ] {
        setup.issuer.answer(status, body);
        let answer = setup.exchange(&setup.issuer.token()).await;
        assert_refused(&answer, wanted, 400, "invalid_request");
        assert!(answer.body.get("error_uri").is_none());
    }
}

#[tokio::test]
pub(crate) async fn aadsts70022_a_loopback_issuer() {
    let setup = Setup::with(|seed| seed.entra.allow_loopback_issuers = false);
    assert_refused(
        &setup.exchange(&setup.issuer.token()).await,
        70_022,
        400,
        "invalid_request",
    );
}

#[tokio::test]
pub(crate) async fn aadsts700222_a_token_of_entra_itself() {
    let setup = Setup::new();
    let own = setup.sign_in(OPERATOR, VAULT_SCOPE).await;
    assert_refused(&setup.exchange(&own).await, 700_222, 401, "invalid_client");
}

#[tokio::test]
pub(crate) async fn aadsts50027_what_is_no_token() {
    let setup = Setup::new();
    let token = setup.issuer.token();
    for bad in ["abc", &token[..token.len() / 2]] {
        assert_refused(&setup.exchange(bad).await, 50_027, 400, "invalid_request");
    }
}

#[tokio::test]
async fn credentials_are_known_after_their_delay_and_forgotten_after_it() {
    let setup = Setup::in_weather(Weather {
        credential_delay_ms: 60_000,
        credential_write_ms: 0,
        ..Weather::default()
    });
    let path = format!("{}/federatedIdentityCredentials/payments", setup.identity());
    let subject = "system:serviceaccount:shop:payments";
    let body = json!({"properties": {
        "issuer": setup.issuer.url, "subject": subject, "audiences": ["api://AzureADTokenExchange"],
    }});
    assert_eq!(setup.arm(Method::PUT, &path, Some(&body)).await.status, 201);
    let token = setup.issuer.token_with(&json!({"sub": subject}));
    assert_refused(&setup.exchange(&token).await, 700_213, 401, "invalid_client");
    setup.sim.clock().advance(Duration::from_mins(1));
    assert_eq!(setup.exchange(&token).await.status, 200);
    assert_eq!(setup.arm(Method::DELETE, &path, None).await.status, 200);
    assert_eq!(setup.exchange(&token).await.status, 200);
    setup.sim.clock().advance(Duration::from_mins(1));
    assert_refused(&setup.exchange(&token).await, 700_213, 401, "invalid_client");
}

#[tokio::test]
async fn a_share_of_exchanges_fails_although_all_is_well() {
    let setup = Setup::in_weather(Weather {
        spurious_700213: 0.5,
        ..Weather::default()
    });
    let (token, mut refused) = (setup.issuer.token(), 0);
    for _ in 0..40 {
        let answer = setup.exchange(&token).await;
        if answer.status != 200 {
            assert_refused(&answer, 700_213, 401, "invalid_client");
            refused += 1;
        }
    }
    assert!((5..35).contains(&refused), "{refused} of 40");
}
