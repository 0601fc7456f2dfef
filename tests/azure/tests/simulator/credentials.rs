//! Federated credentials: their rules and limits.

use azure_sim::Weather;
use reqwest::Method;
use serde_json::{Value, json};

use crate::issuer::AUDIENCE;
use crate::support::{ARM_SCOPE, Answer, OPERATOR, Setup};

fn body(subject: &str) -> Value {
    json!({"properties": {"issuer": "https://issuer.example/", "subject": subject, "audiences": [AUDIENCE]}})
}

async fn put(setup: &Setup, name: &str, body: &Value) -> Answer {
    let path = format!("{}/federatedIdentityCredentials/{name}", setup.identity());
    setup.arm(Method::PUT, &path, Some(body)).await
}

#[tokio::test]
async fn they_are_made_changed_listed_and_deleted() {
    let setup = Setup::new();
    let made = put(&setup, "new", &body("system:serviceaccount:a:b")).await;
    let changed = put(&setup, "new", &body("system:serviceaccount:a:c")).await;
    assert_eq!((made.status, changed.status), (201, 200));
    assert_eq!(changed.body["properties"]["subject"], "system:serviceaccount:a:c");
    assert!(changed.body["id"].as_str().unwrap().contains("/resourcegroups/"));
    let list = format!("{}/federatedIdentityCredentials", setup.identity());
    let names = async || {
        let answer = setup.arm(Method::GET, &list, None).await;
        let values = answer.body["value"].as_array().unwrap().clone();
        values
            .iter()
            .map(|value| value["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names().await, ["new", "orders"]);
    let deleted = setup
        .arm(Method::DELETE, &format!("{list}/NEW"), None)
        .await
        .status;
    let nothing = setup
        .arm(Method::DELETE, &format!("{list}/new"), None)
        .await
        .status;
    assert_eq!((deleted, nothing), (200, 204));
    let gone = setup.arm(Method::GET, &format!("{list}/new"), None).await;
    assert_eq!((gone.status, names().await), (404, vec!["orders".to_owned()]));
}

#[tokio::test]
async fn an_identity_has_twenty() {
    let setup = Setup::new();
    for number in 1..20 {
        let answer = put(
            &setup,
            &format!("number-{number}"),
            &body(&format!("subject-{number}")),
        )
        .await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    let refused = put(&setup, "one-more", &body("one-more")).await;
    assert_eq!((refused.status, refused.code()), (400, "BadRequest"));
    assert!(refused.message().contains("at most 20"));
    // Those that exist can still be changed.
    assert_eq!(put(&setup, "number-1", &body("other")).await.status, 200);
}

#[tokio::test]
async fn issuer_and_subject_are_there_once() {
    let setup = Setup::new();
    assert_eq!(put(&setup, "one", &body("same")).await.status, 201);
    let refused = put(&setup, "two", &body("same")).await;
    assert_eq!((refused.status, refused.code()), (400, "BadRequest"));
    assert_eq!(
        refused.message(),
        "Issuer and subject combination already exists for this Managed Identity."
    );
    assert_eq!(put(&setup, "one", &body("same")).await.status, 200);
}

#[tokio::test]
async fn there_is_one_audience() {
    let setup = Setup::new();
    for audiences in [json!([]), json!([AUDIENCE, "other"]), json!(null), json!([""])] {
        let mut body = body("s");
        body["properties"]["audiences"] = audiences.clone();
        let refused = put(&setup, "new", &body).await;
        assert_eq!(
            (refused.status, refused.code()),
            (400, "BadRequest"),
            "{audiences}"
        );
        assert!(refused.message().contains("exactly one audience"));
    }
}

#[tokio::test]
async fn names_issuers_and_subjects_have_their_form() {
    let setup = Setup::new();
    let long = "a".repeat(121);
    for name in ["ab", "-abc", "a.b.c", long.as_str()] {
        let refused = put(&setup, name, &body("s")).await;
        assert_eq!((refused.status, refused.code()), (400, "BadRequest"), "{name}");
        assert!(refused.message().contains("is not valid"));
    }
    assert_eq!(put(&setup, &"a".repeat(120), &body("s")).await.status, 201);
    for (field, value) in [
        ("issuer", String::new()),
        ("issuer", "http://issuer.example/".to_owned()),
        ("subject", String::new()),
        ("subject", "system:serviceaccount:shop:*".to_owned()),
        ("subject", "x".repeat(601)),
    ] {
        let mut body = body("s");
        body["properties"][field] = value.clone().into();
        let refused = put(&setup, "new", &body).await;
        assert_eq!(
            (refused.status, refused.code()),
            (400, "BadRequest"),
            "{field} {value}"
        );
    }
}

#[tokio::test]
async fn two_writes_at_once_to_one_identity_are_a_conflict() {
    let slow = Weather {
        credential_write_ms: 3_000,
        ..Weather::default()
    };
    let setup = Setup::in_weather(slow);
    let token = setup.sign_in(OPERATOR, ARM_SCOPE).await;
    let url = |name: &str| {
        setup.arm_url(&format!(
            "{}/federatedIdentityCredentials/{name}",
            setup.identity()
        ))
    };
    let (one, two) = (body("one"), body("two"));
    let (one_url, two_url) = (url("one"), url("two"));
    let first = setup.send(Method::PUT, &one_url, Some(&token), Some(&one));
    let second = setup.send(Method::PUT, &two_url, Some(&token), Some(&two));
    let (first, second) = tokio::join!(first, second);
    let (won, lost) = if first.status == 201 {
        (first, second)
    } else {
        (second, first)
    };
    assert_eq!((won.status, lost.status), (201, 409), "{lost:?}");
    assert_eq!(
        lost.code(),
        "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity"
    );
    // The mark is gone with the write.
    setup.sim.set_weather(Weather {
        credential_write_ms: 0,
        ..Weather::default()
    });
    assert_eq!(put(&setup, "three", &body("three")).await.status, 201);
}

#[tokio::test]
async fn without_the_identity_there_is_no_credential() {
    let setup = Setup::new();
    let path = setup
        .resource("Microsoft.ManagedIdentity/userAssignedIdentities/none/federatedIdentityCredentials/new");
    let refused = setup.arm(Method::PUT, &path, Some(&body("s"))).await;
    assert_eq!((refused.status, refused.code()), (404, "ParentResourceNotFound"));
}
