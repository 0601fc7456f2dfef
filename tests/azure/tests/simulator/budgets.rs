//! The documented budgets, when they are enforced.

use std::time::Duration;

use azure_sim::Weather;
use reqwest::Method;
use serde_json::json;

use crate::support::{CONTRIBUTOR, PRINCIPAL, Setup};

fn enforced() -> Setup {
    Setup::with(|seed| seed.weather.budgets = true)
}

/// A credential of the identity for this account.
fn credential(setup: &Setup, account: &str) -> (String, serde_json::Value) {
    let path = format!("{}/federatedIdentityCredentials/{account}", setup.identity());
    let body = json!({"properties": {
        "issuer": setup.issuer.url, "subject": format!("system:serviceaccount:shop:{account}"),
        "audiences": ["api://AzureADTokenExchange"],
    }});
    (path, body)
}

#[tokio::test]
async fn a_second_credential_within_four_seconds_has_to_wait() {
    let setup = enforced();
    let (first, body) = credential(&setup, "first");
    assert_eq!(setup.arm(Method::PUT, &first, Some(&body)).await.status, 201);
    let (second, body) = credential(&setup, "second");
    let refused = setup.arm(Method::PUT, &second, Some(&body)).await;
    assert_eq!((refused.status, refused.code()), (429, "TooManyRequests"));
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=4).contains(&wait), "{wait}");
    setup.sim.clock().advance(Duration::from_secs(wait));
    assert_eq!(setup.arm(Method::PUT, &second, Some(&body)).await.status, 201);
}

#[tokio::test]
async fn answers_say_how_much_is_left_by_kind() {
    let setup = enforced();
    let group = format!("subscriptions/{}/resourceGroups/rg", setup.subscription);
    let read = setup.arm(Method::GET, &group, None).await;
    let left: u32 = read
        .header("x-ms-ratelimit-remaining-subscription-reads")
        .parse()
        .unwrap();
    assert!((240..250).contains(&left), "{left}");
    let path = Setup::assignment(&group, "00000000-0000-4000-8000-000000000001");
    let grant = Setup::grant(CONTRIBUTOR, PRINCIPAL);
    let written = setup.arm(Method::PUT, &path, Some(&grant)).await;
    assert_eq!(written.status, 201, "{written:?}");
    let left = written.header("x-ms-ratelimit-remaining-subscription-writes");
    assert_eq!(left, "199");
    let all = setup.arm(Method::GET, "subscriptions", None).await;
    assert!(!all.header("x-ms-ratelimit-remaining-tenant-reads").is_empty());
}

#[tokio::test]
async fn queries_are_no_writes_and_have_fifteen_in_five_seconds() {
    let setup = enforced();
    let query = json!({"query": "Resources | take 1"});
    let path = "providers/Microsoft.ResourceGraph/resources";
    for left in (0..15).rev() {
        let answer = setup.arm(Method::POST, path, Some(&query)).await;
        assert_eq!(answer.header("x-ms-user-quota-remaining"), left.to_string());
        assert!(
            answer
                .header("x-ms-user-quota-resets-after")
                .starts_with("00:00:0")
        );
        assert!(answer.header("x-ms-ratelimit-remaining-tenant-writes").is_empty());
    }
    let refused = setup.arm(Method::POST, path, Some(&query)).await;
    assert_eq!(
        (refused.status, refused.code()),
        (429, "RateLimiting"),
        "{refused:?}"
    );
    setup.sim.clock().advance(Duration::from_secs(5));
    assert_eq!(setup.arm(Method::POST, path, Some(&query)).await.status, 200);
}

#[tokio::test]
async fn budgets_are_enforced_over_one_identity_alone() {
    let setup = Setup::new();
    let front = json!({"over": "id-orders", "budgets": true});
    setup
        .sim
        .set_front("test", serde_json::from_value(front).unwrap());
    let (first, body) = credential(&setup, "first");
    assert_eq!(setup.arm(Method::PUT, &first, Some(&body)).await.status, 201);
    let (second, body) = credential(&setup, "second");
    assert_eq!(setup.arm(Method::PUT, &second, Some(&body)).await.status, 429);
    let other = setup.resource("Microsoft.ManagedIdentity/userAssignedIdentities/id-other");
    let body = json!({"location": "westeurope"});
    for _ in 0..2 {
        assert!(setup.arm(Method::PUT, &other, Some(&body)).await.status < 300);
    }
}

#[tokio::test]
async fn what_is_not_enforced_is_still_told() {
    let setup = Setup::in_weather(Weather {
        credential_write_ms: 0,
        ..Weather::default()
    });
    for account in ["first", "second"] {
        let (path, body) = credential(&setup, account);
        let written = setup.arm(Method::PUT, &path, Some(&body)).await;
        assert_eq!(written.status, 201, "{written:?}");
        assert!(
            !written
                .header("x-ms-ratelimit-remaining-subscription-writes")
                .is_empty()
        );
        assert!(
            !written
                .header("x-ms-ratelimit-remaining-subscription-global-writes")
                .is_empty()
        );
    }
}
