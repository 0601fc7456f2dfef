//! Roles that somebody makes: what they allow counts, and where they can be assigned.

use azure_sim::Addition;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, CLIENT, PRINCIPAL, READER, SECRETS_USER, Setup};

const ROLE: &str = "cccccccc-cccc-4ccc-8ccc-cccccccccccc";
const OTHER_ROLE: &str = "dddddddd-dddd-4ddd-8ddd-dddddddddddd";
const ASSIGNMENT: &str = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
const GET_SECRET: &str = "Microsoft.KeyVault/vaults/secrets/getSecret/action";

fn group(setup: &Setup) -> String {
    format!("subscriptions/{}/resourceGroups/rg", setup.subscription)
}

fn definition(setup: &Setup, name: &str) -> String {
    format!(
        "{}/providers/Microsoft.Authorization/roleDefinitions/{name}",
        group(setup)
    )
}

/// A role that reads secrets and can be assigned in the group.
fn role(setup: &Setup, name: &str) -> Value {
    json!({"properties": {
        "roleName": name, "description": "reads secrets", "type": "CustomRole",
        "permissions": [{"actions": ["Microsoft.KeyVault/vaults/read"], "notActions": [],
                         "dataActions": ["Microsoft.KeyVault/vaults/secrets/*"], "notDataActions": []}],
        "assignableScopes": [format!("/{}", group(setup))],
    }})
}

async fn put(setup: &Setup, name: &str, body: &Value) -> Answer {
    setup.arm(Method::PUT, &definition(setup, name), Some(body)).await
}

fn assignment(setup: &Setup) -> String {
    let secret = setup.resource("Microsoft.KeyVault/vaults/kv-central/secrets/db-password-2");
    Setup::assignment(&secret, ASSIGNMENT)
}

#[tokio::test]
async fn what_a_custom_role_allows_counts_as_long_as_it_does() {
    let setup = Setup::new();
    assert_eq!(setup.read_secret("db-password-2").await.status, 403);
    let mut body = role(&setup, "Secret Watcher");
    let made = put(&setup, ROLE, &body).await;
    assert_eq!(
        (made.status, made.body["properties"]["type"].as_str()),
        (201, Some("CustomRole")),
        "{made:?}"
    );
    let grant = Setup::grant(ROLE, PRINCIPAL);
    let granted = setup.arm(Method::PUT, &assignment(&setup), Some(&grant)).await;
    assert_eq!(granted.status, 201, "{granted:?}");
    assert_eq!(setup.read_secret("db-password-2").await.status, 200);
    // What is taken out of the role is taken from all who have it.
    body["properties"]["permissions"][0]["notDataActions"] = json!([GET_SECRET]);
    let changed = put(&setup, ROLE, &body).await;
    assert_eq!(
        (changed.status, &changed.body["properties"]["createdOn"]),
        (201, &made.body["properties"]["createdOn"])
    );
    let refused = setup.read_secret("db-password-2").await;
    assert_eq!((refused.status, refused.inner()), (403, "ForbiddenByRbac"));
}

#[tokio::test]
async fn a_role_that_somebody_has_stays_and_goes_afterwards() {
    let setup = Setup::new();
    assert_eq!(
        put(&setup, ROLE, &role(&setup, "Secret Watcher")).await.status,
        201
    );
    let grant = Setup::grant(ROLE, PRINCIPAL);
    assert_eq!(
        setup
            .arm(Method::PUT, &assignment(&setup), Some(&grant))
            .await
            .status,
        201
    );
    let path = definition(&setup, ROLE);
    let refused = setup.arm(Method::DELETE, &path, None).await;
    assert_eq!(
        (refused.status, refused.code()),
        (400, "RoleDefinitionHasAssignments")
    );
    assert_eq!(
        setup.arm(Method::DELETE, &assignment(&setup), None).await.status,
        200
    );
    let deleted = setup.arm(Method::DELETE, &path, None).await;
    assert_eq!((deleted.status, deleted.body["name"].as_str()), (200, Some(ROLE)));
    assert_eq!(setup.arm(Method::DELETE, &path, None).await.status, 204);
    let gone = setup.arm(Method::GET, &path, None).await;
    assert_eq!((gone.status, gone.code()), (404, "RoleDefinitionDoesNotExist"));
    let built_in = setup
        .arm(Method::DELETE, &definition(&setup, SECRETS_USER), None)
        .await;
    assert_eq!(
        (built_in.status, built_in.code()),
        (400, "InvalidRoleDefinitionType")
    );
}

#[tokio::test]
async fn a_role_is_there_where_it_can_be_assigned() {
    let setup = Setup::new();
    assert_eq!(
        put(&setup, ROLE, &role(&setup, "Secret Watcher")).await.status,
        201
    );
    let subscription = format!("subscriptions/{}", setup.subscription);
    let names = async |scope: &str, filter: &str| -> Vec<String> {
        let filter = filter.replace(' ', "%20");
        let path = format!("{scope}/providers/Microsoft.Authorization/roleDefinitions?$filter={filter}");
        let answer = setup.arm(Method::GET, &path, None).await;
        let values = answer.body["value"]
            .as_array()
            .unwrap_or_else(|| panic!("{answer:?}"));
        let name = |value: &Value| value["properties"]["roleName"].as_str().unwrap().to_owned();
        values.iter().map(name).collect()
    };
    assert_eq!(
        names(&group(&setup), "type eq 'CustomRole'").await,
        ["Secret Watcher"]
    );
    assert_eq!(names(&subscription, "type eq 'CustomRole'").await, [""; 0]);
    let below = "atScopeAndBelow() and type eq 'CustomRole'";
    assert_eq!(names(&subscription, below).await, ["Secret Watcher"]);
    assert_eq!(
        names(&group(&setup), "roleName eq 'secret watcher'").await,
        ["Secret Watcher"]
    );
    assert!(
        !names(&group(&setup), "type eq 'BuiltInRole'")
            .await
            .contains(&"Secret Watcher".to_owned())
    );
    // Above the group the role is none.
    let path = Setup::assignment(&subscription, ASSIGNMENT);
    let refused = setup
        .arm(Method::PUT, &path, Some(&Setup::grant(ROLE, PRINCIPAL)))
        .await;
    assert_eq!(
        (refused.status, refused.code()),
        (400, "RoleDefinitionDoesNotExist")
    );
}

#[tokio::test]
async fn definitions_are_refused_by_what_is_wrong() {
    let setup = Setup::new();
    let good = role(&setup, "Secret Watcher");
    assert_eq!(put(&setup, ROLE, &good).await.status, 201);
    let changed = |pointer: &str, value: Value| {
        let mut body = role(&setup, "Another");
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    let cases = [
        (OTHER_ROLE, good.clone(), 409, "RoleDefinitionWithSameNameExists"),
        (
            OTHER_ROLE,
            changed("/properties/roleName", json!("Reader")),
            409,
            "RoleDefinitionWithSameNameExists",
        ),
        (
            SECRETS_USER,
            changed("/properties/roleName", json!("Mine")),
            409,
            "RoleDefinitionExists",
        ),
        (
            "no-guid",
            changed("/properties/roleName", json!("Mine")),
            400,
            "InvalidRoleDefinitionId",
        ),
        (
            OTHER_ROLE,
            changed("/properties/type", json!("BuiltInRole")),
            400,
            "InvalidRoleDefinitionType",
        ),
        (
            OTHER_ROLE,
            changed("/properties/roleName", json!("")),
            400,
            "RoleDefinitionNameNullOrEmpty",
        ),
        (
            OTHER_ROLE,
            changed("/properties/assignableScopes", json!([])),
            400,
            "MissingAssignableScopes",
        ),
        (
            OTHER_ROLE,
            changed("/properties/assignableScopes", json!(["here"])),
            400,
            "LinkedInvalidPropertyId",
        ),
        (
            OTHER_ROLE,
            changed("/properties/permissions/0/actions", json!(["read"])),
            400,
            "InvalidActionOrNotAction",
        ),
    ];
    for (name, body, status, code) in cases {
        let refused = put(&setup, name, &body).await;
        assert_eq!((refused.status, refused.code()), (status, code), "{refused:?}");
    }
}

#[tokio::test]
async fn roles_are_made_by_those_who_may_at_every_scope_of_theirs() {
    let setup = Setup::new();
    let body = role(&setup, "Secret Watcher");
    let path = definition(&setup, ROLE);
    let refused = setup.arm_as(READER, Method::PUT, &path, Some(&body)).await;
    assert_eq!((refused.status, refused.code()), (403, "AuthorizationFailed"));
    assert!(
        refused
            .message()
            .contains("Microsoft.Authorization/roleDefinitions/write")
    );
    // Who owns one group does not say what may be assigned in the whole subscription.
    let more: Addition = serde_json::from_value(json!({"roleAssignments": [
        {"principal": "reader", "role": "Owner", "scope": format!("/{}", group(&setup))},
    ]}))
    .unwrap();
    setup.sim.add(&more).unwrap();
    let mut wide = body.clone();
    wide["properties"]["assignableScopes"] = json!([format!("/subscriptions/{}", setup.subscription)]);
    let refused = setup.arm_as(READER, Method::PUT, &path, Some(&wide)).await;
    assert_eq!(
        (refused.status, refused.code()),
        (403, "LinkedAuthorizationFailed")
    );
    assert_eq!(
        setup.arm_as(READER, Method::PUT, &path, Some(&body)).await.status,
        201
    );
}

#[tokio::test]
async fn a_seed_has_custom_roles_and_gives_them_by_name() {
    let setup = Setup::new();
    let more = |role: Value| -> Addition {
        let scope = format!("/{}", setup.resource("Microsoft.KeyVault/vaults/kv-central"));
        let assignment = json!({"principal": "id-orders", "role": "Watcher", "scope": scope});
        serde_json::from_value(json!({"customRoles": [role], "roleAssignments": [assignment]})).unwrap()
    };
    let watcher = json!({"name": "Watcher", "id": ROLE, "dataActions": [GET_SECRET]});
    setup.sim.add(&more(watcher.clone())).unwrap();
    assert_eq!(setup.read_secret("db-password-2").await.status, 200);
    assert!(setup.sim.add(&more(watcher)).is_err());
    let elsewhere = json!({"name": "Other", "assignableScopes": [format!("/subscriptions/{CLIENT}")]});
    assert!(setup.sim.add(&more(elsewhere)).is_err());
    let id = setup.sim.state()["customRoles"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(setup.sim.delete(&id) && !setup.sim.delete(&id));
    assert_eq!(setup.read_secret("db-password-2").await.status, 403);
}
