//! The resource manager in general: sign-in, versions, missing things, pages, groups, identities.

use azure_sim::Weather;
use reqwest::Method;
use serde_json::json;

use crate::support::{ARM_SCOPE, OPERATOR, READER, Setup, VAULT_SCOPE};

#[tokio::test]
async fn callers_must_be_signed_in_for_the_resource_manager() {
    let setup = Setup::new();
    let url = setup.arm_url("subscriptions");
    let none = setup.send(Method::GET, &url, None, None).await;
    assert_eq!((none.status, none.code()), (401, "AuthenticationFailed"));
    let authority = format!("authorization_uri=\"{}{}\"", setup.sim.entra_url(), setup.tenant);
    assert!(none.header("www-authenticate").contains(&authority), "{none:?}");
    let vault = setup.sign_in(OPERATOR, VAULT_SCOPE).await;
    let other = setup.send(Method::GET, &url, Some(&vault), None).await;
    assert_eq!(
        (other.status, other.code()),
        (401, "InvalidAuthenticationTokenAudience")
    );
    let forged = crate::issuer::Key::new("x").sign(&json!({"aud": "https://management.azure.com"}));
    let forged = setup.send(Method::GET, &url, Some(&forged), None).await;
    assert_eq!(
        (forged.status, forged.code()),
        (401, "InvalidAuthenticationToken")
    );
    let good = setup.sign_in(OPERATOR, ARM_SCOPE).await;
    assert_eq!(setup.send(Method::GET, &url, Some(&good), None).await.status, 200);
    setup.sim.clock().advance(std::time::Duration::from_hours(1));
    let expired = setup.send(Method::GET, &url, Some(&good), None).await;
    assert_eq!(
        (expired.status, expired.code()),
        (401, "ExpiredAuthenticationToken")
    );
}

#[tokio::test]
async fn every_answer_has_request_ids() {
    let setup = Setup::new();
    let token = setup.sign_in(OPERATOR, ARM_SCOPE).await;
    let headers = [(
        "x-ms-correlation-request-id",
        "11111111-2222-4333-8444-555555555555",
    )];
    let url = setup.arm_url("subscriptions");
    let answer = setup
        .send_with(Method::GET, &url, Some(&token), None, &headers)
        .await;
    assert_eq!(answer.header("x-ms-correlation-request-id"), headers[0].1);
    assert_eq!(answer.header("x-ms-request-id").len(), 36);
    let logged = setup.sim.log_after(0);
    assert_eq!(
        logged.last().unwrap().request_id,
        answer.header("x-ms-request-id")
    );
}

#[tokio::test]
async fn versions_are_required_and_known() {
    let setup = Setup::new();
    let token = setup.sign_in(OPERATOR, ARM_SCOPE).await;
    let url = format!("{}{}", setup.sim.arm_url(), setup.identity());
    let none = setup.send(Method::GET, &url, Some(&token), None).await;
    assert_eq!((none.status, none.code()), (400, "MissingApiVersionParameter"));
    for version in ["2017-01-01", "2031-01-01", "latest"] {
        let answer = setup
            .send(
                Method::GET,
                &format!("{url}?api-version={version}"),
                Some(&token),
                None,
            )
            .await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, "InvalidApiVersionParameter"),
            "{version}"
        );
    }
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let setup = Setup::new();
    let unknown = "99999999-9999-4999-8999-999999999999";
    let answer = setup
        .arm(
            Method::GET,
            &format!("subscriptions/{unknown}/resourceGroups"),
            None,
        )
        .await;
    assert_eq!((answer.status, answer.code()), (404, "SubscriptionNotFound"));
    let group = format!("subscriptions/{}/resourceGroups/none", setup.subscription);
    let answer = setup.arm(Method::GET, &group, None).await;
    assert_eq!((answer.status, answer.code()), (404, "ResourceGroupNotFound"));
    let identity = format!("{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/one");
    let answer = setup
        .arm(Method::PUT, &identity, Some(&json!({"location": "westeurope"})))
        .await;
    assert_eq!((answer.status, answer.code()), (404, "ResourceGroupNotFound"));
    for kind in [
        "Microsoft.KeyVault/vaults",
        "Microsoft.ContainerService/managedClusters",
    ] {
        let answer = setup
            .arm(Method::GET, &setup.resource(&format!("{kind}/none")), None)
            .await;
        assert_eq!(
            (answer.status, answer.code()),
            (404, "ResourceNotFound"),
            "{kind}"
        );
        assert_eq!(answer.header("x-ms-failure-cause"), "gateway");
    }
}

#[tokio::test]
async fn identities_keep_their_ids_until_they_are_made_again() {
    let setup = Setup::new();
    let path = setup.resource("Microsoft.ManagedIdentity/userAssignedIdentities/id-New");
    let body = json!({"location": "westeurope", "tags": {"by": "test"}});
    let first = setup.arm(Method::PUT, &path, Some(&body)).await;
    let again = setup.arm(Method::PUT, &path, Some(&body)).await;
    assert_eq!((first.status, again.status), (201, 200));
    assert_eq!(first.body, again.body);
    let id = first.body["id"].as_str().unwrap();
    assert!(
        id.contains("/resourcegroups/rg/") && id.ends_with("/id-New"),
        "{id}"
    );
    let found = setup
        .arm(Method::GET, &path.to_uppercase().replace("API-", "api-"), None)
        .await;
    assert_eq!((found.status, &found.body), (200, &first.body));
    let moved = setup
        .arm(Method::PUT, &path, Some(&json!({"location": "eastus"})))
        .await;
    assert_eq!((moved.status, moved.code()), (409, "InvalidResourceLocation"));
    let deleted = setup.arm(Method::DELETE, &path, None).await.status;
    let nothing = setup.arm(Method::DELETE, &path, None).await.status;
    assert_eq!((deleted, nothing), (200, 204));
    let made = setup.arm(Method::PUT, &path, Some(&body)).await;
    assert_ne!(
        made.body["properties"]["clientId"],
        first.body["properties"]["clientId"]
    );
    assert_ne!(
        made.body["properties"]["principalId"],
        first.body["properties"]["principalId"]
    );
}

#[tokio::test]
async fn identities_have_proper_names_and_a_location() {
    let setup = Setup::new();
    let put = async |name: &str, body: serde_json::Value| {
        let path = setup.resource(&format!(
            "Microsoft.ManagedIdentity/userAssignedIdentities/{name}"
        ));
        setup.arm(Method::PUT, &path, Some(&body)).await
    };
    let answer = put("-x-", json!({"location": "westeurope"})).await;
    assert_eq!((answer.status, answer.code()), (400, "InvalidResourceName"));
    let answer = put("id-new", json!({})).await;
    assert_eq!((answer.status, answer.code()), (400, "LocationRequired"));
}

#[tokio::test]
async fn requests_that_are_wrong_in_themselves_are_refused_by_what_is_wrong() {
    let setup = Setup::new();
    let identities = setup.resource("Microsoft.ManagedIdentity/userAssignedIdentities");
    let cluster = setup.resource("Microsoft.ContainerService/managedClusters/aks-none");
    let credential = format!("{}/federatedIdentityCredentials/none", setup.identity());
    let assignment = Setup::assignment(&identities, "99999999-9999-4999-8999-999999999999");
    let unknown = setup.resource("Microsoft.Compute/virtualMachines/vm");
    let tags = json!({"location": "westeurope", "tags": {"a": 1}});
    let location = json!({"location": "westeurope"});
    let cases = [
        (
            Method::GET,
            format!("{identities}?$skiptoken=x"),
            None,
            400,
            "InvalidSkipToken",
        ),
        (
            Method::GET,
            format!("{identities}?$top=no"),
            None,
            400,
            "InvalidParameter",
        ),
        (Method::PUT, setup.identity(), Some(tags), 400, "InvalidTags"),
        (Method::PUT, setup.identity(), None, 400, "InvalidRequestContent"),
        (
            Method::POST,
            setup.identity(),
            None,
            405,
            "HttpMethodNotSupported",
        ),
        (Method::GET, unknown, None, 404, "InvalidResourceType"),
        (Method::GET, credential, None, 404, "NotFound"),
        (Method::GET, assignment, None, 404, "RoleAssignmentNotFound"),
        // Nobody would bring a cluster up that is only a document.
        (
            Method::PUT,
            cluster,
            Some(location),
            501,
            "SimulatorMakesNoClusters",
        ),
    ];
    for (method, path, body, status, code) in cases {
        let answer = setup.arm(method, &path, body.as_ref()).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{path}");
    }
}

#[tokio::test]
async fn providers_must_be_registered_and_regions_have_credentials() {
    let setup = Setup::with(|seed| {
        seed.subscriptions[0]
            .unregistered_providers
            .push("Microsoft.ManagedIdentity".to_owned());
        seed.identities[0].location = "malaysiasouth".to_owned();
    });
    let path = setup.resource("Microsoft.ManagedIdentity/userAssignedIdentities/id-new");
    let body = json!({"location": "westeurope"});
    let refused = setup.arm(Method::PUT, &path, Some(&body)).await;
    assert_eq!(
        (refused.status, refused.code()),
        (409, "MissingSubscriptionRegistration")
    );
    assert!(
        refused
            .message()
            .contains("namespace 'Microsoft.ManagedIdentity'")
    );
    let credential = format!("{}/federatedIdentityCredentials/one", setup.identity());
    let body = json!({"properties": {"issuer": "https://198.18.9.9/", "subject": "s", "audiences": ["a"]}});
    let setup = Setup::with(|seed| seed.identities[0].location = "malaysiasouth".to_owned());
    let refused = setup.arm(Method::PUT, &credential, Some(&body)).await;
    assert_eq!((refused.status, refused.code()), (405, "MethodNotAllowed"));
}

#[tokio::test]
async fn ids_follow_from_the_seed() {
    let ids = async || {
        let setup = Setup::with(|seed| seed.identities[0].client_id = None);
        let path = setup.resource("Microsoft.ManagedIdentity/userAssignedIdentities/id-new");
        let made = setup
            .arm(Method::PUT, &path, Some(&json!({"location": "westeurope"})))
            .await;
        let seeded = setup.arm(Method::GET, &setup.identity(), None).await;
        (
            made.body["properties"]["clientId"].clone(),
            seeded.body["properties"]["clientId"].clone(),
        )
    };
    assert_eq!(ids().await, ids().await);
}

#[tokio::test]
async fn lists_have_pages() {
    let setup = Setup::in_weather(Weather {
        page_size: 2,
        ..Weather::default()
    });
    for number in 0..4 {
        let path = setup.resource(&format!(
            "Microsoft.ManagedIdentity/userAssignedIdentities/id-{number}"
        ));
        assert_eq!(
            setup
                .arm(Method::PUT, &path, Some(&json!({"location": "westeurope"})))
                .await
                .status,
            201
        );
    }
    let token = setup.sign_in(OPERATOR, ARM_SCOPE).await;
    let mut url = setup.arm_url(&setup.resource("Microsoft.ManagedIdentity/userAssignedIdentities"));
    let (mut names, mut pages) = (Vec::new(), 0);
    loop {
        let page = setup.send(Method::GET, &url, Some(&token), None).await;
        let values = page.body["value"].as_array().unwrap().clone();
        assert!(values.len() <= 2);
        names.extend(
            values
                .iter()
                .map(|value| value["name"].as_str().unwrap().to_owned()),
        );
        pages += 1;
        match page.body["nextLink"].as_str() {
            Some(next) => next.clone_into(&mut url),
            None => break,
        }
    }
    assert_eq!(
        (pages, names),
        (
            3,
            ["id-0", "id-1", "id-2", "id-3", "id-orders"]
                .map(str::to_owned)
                .to_vec()
        )
    );
}

#[tokio::test]
async fn without_the_right_nothing_is_written() {
    let setup = Setup::new();
    let path = setup.resource("Microsoft.ManagedIdentity/userAssignedIdentities/id-new");
    let body = json!({"location": "westeurope"});
    let refused = setup.arm_as(READER, Method::PUT, &path, Some(&body)).await;
    assert_eq!((refused.status, refused.code()), (403, "AuthorizationFailed"));
    let message = refused.message();
    for part in [
        READER,
        "'Microsoft.ManagedIdentity/userAssignedIdentities/write'",
        &path,
    ] {
        assert!(message.contains(part), "{part} in {message}");
    }
    assert_eq!(setup.arm_as(READER, Method::GET, &path, None).await.status, 404);
    assert_eq!(
        setup
            .arm_as(READER, Method::GET, &setup.identity(), None)
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn subscriptions_and_groups_are_those_that_one_may_see() {
    let setup = Setup::with(|seed| {
        seed.role_assignments
            .retain(|assignment| assignment.principal != "reader");
        let group = azure_sim::seed::ResourceGroup {
            subscription: None,
            name: "rg-hidden".to_owned(),
            location: "westeurope".to_owned(),
            tags: std::collections::BTreeMap::new(),
        };
        seed.resource_groups.push(group);
        seed.role_assignments.push(azure_sim::seed::RoleAssignment {
            principal: "reader".to_owned(),
            role: "Reader".to_owned(),
            scope: format!("/subscriptions/{}/resourceGroups/rg", seed.subscriptions[0].id),
            condition: None,
        });
    });
    let names = async |client| {
        let path = format!("subscriptions/{}/resourceGroups", setup.subscription);
        let answer = setup.arm_as(client, Method::GET, &path, None).await;
        let values = answer.body["value"].as_array().unwrap().clone();
        values
            .iter()
            .map(|value| value["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(OPERATOR).await, ["rg", "rg-hidden"]);
    assert_eq!(names(READER).await, ["rg"]);
    let seen = setup.arm_as(READER, Method::GET, "subscriptions", None).await;
    assert_eq!(
        seen.body["value"][0]["subscriptionId"],
        setup.subscription.as_str()
    );
    let denied = setup
        .arm_as(
            READER,
            Method::GET,
            &format!("subscriptions/{}", setup.subscription),
            None,
        )
        .await;
    assert_eq!((denied.status, denied.code()), (403, "AuthorizationFailed"));
}
