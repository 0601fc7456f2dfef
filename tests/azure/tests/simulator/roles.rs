//! Role assignments and definitions.

use std::time::Duration;

use azure_sim::Weather;
use azure_sim::seed::RoleAssignment;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{CONTRIBUTOR, OPERATOR, OPERATOR_OBJECT, PRINCIPAL, READER, SECRETS_USER, Setup};

const NAME: &str = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
const OTHER_NAME: &str = "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb";

fn secret(setup: &Setup, name: &str) -> String {
    setup.resource(&format!("Microsoft.KeyVault/vaults/kv-central/secrets/{name}"))
}

#[tokio::test]
async fn a_role_on_one_secret_reads_that_secret_alone() {
    let setup = Setup::new();
    assert_eq!(setup.read_secret("db-password").await.status, 200);
    let refused = setup.read_secret("db-password-2").await;
    assert_eq!((refused.status, refused.inner()), (403, "ForbiddenByRbac"));
    let path = Setup::assignment(&secret(&setup, "db-password-2"), NAME);
    let made = setup
        .arm(Method::PUT, &path, Some(&Setup::grant(SECRETS_USER, PRINCIPAL)))
        .await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(
        made.body["properties"]["scope"],
        format!("/{}", secret(&setup, "db-password-2"))
    );
    assert_eq!(setup.read_secret("db-password-2").await.status, 200);
    assert_eq!(setup.arm(Method::DELETE, &path, None).await.status, 200);
    assert_eq!(setup.arm(Method::DELETE, &path, None).await.status, 204);
    assert_eq!(setup.read_secret("db-password-2").await.status, 403);
}

#[tokio::test]
async fn the_same_assignment_under_another_name_exists() {
    let setup = Setup::new();
    let scope = secret(&setup, "db-password-2");
    let grant = Setup::grant(SECRETS_USER, PRINCIPAL);
    assert_eq!(
        setup
            .arm(Method::PUT, &Setup::assignment(&scope, NAME), Some(&grant))
            .await
            .status,
        201
    );
    for name in [NAME, OTHER_NAME] {
        let refused = setup
            .arm(Method::PUT, &Setup::assignment(&scope, name), Some(&grant))
            .await;
        assert_eq!(
            (refused.status, refused.code()),
            (409, "RoleAssignmentExists"),
            "{name}"
        );
    }
}

#[tokio::test]
async fn an_assignments_principal_cannot_be_changed() {
    let setup = Setup::new();
    let path = Setup::assignment(&secret(&setup, "db-password-2"), NAME);
    assert_eq!(
        setup
            .arm(Method::PUT, &path, Some(&Setup::grant(SECRETS_USER, PRINCIPAL)))
            .await
            .status,
        201
    );
    let refused = setup
        .arm(
            Method::PUT,
            &path,
            Some(&Setup::grant(SECRETS_USER, OPERATOR_OBJECT)),
        )
        .await;
    assert_eq!(
        (refused.status, refused.code()),
        (400, "RoleAssignmentUpdateNotPermitted")
    );
}

#[tokio::test]
async fn bad_assignments_are_refused_by_what_is_bad() {
    let setup = Setup::new();
    let scope = secret(&setup, "db-password-2");
    let grant = Setup::grant(SECRETS_USER, PRINCIPAL);
    let put = async |path: String, body: Value| {
        let answer = setup.arm(Method::PUT, &path, Some(&body)).await;
        (answer.status, answer.code().to_owned())
    };
    let refused = |status: u16, code: &str| (status, code.to_owned());
    assert_eq!(
        put(Setup::assignment(&scope, "no-guid"), grant.clone()).await,
        refused(400, "InvalidRoleAssignmentId")
    );
    let unknown_role = Setup::grant("99999999-9999-4999-8999-999999999999", PRINCIPAL);
    assert_eq!(
        put(Setup::assignment(&scope, NAME), unknown_role).await,
        refused(400, "RoleDefinitionDoesNotExist")
    );
    let no_vault = setup.resource("Microsoft.KeyVault/vaults/none/secrets/x");
    assert_eq!(
        put(Setup::assignment(&no_vault, NAME), grant.clone()).await,
        refused(404, "ResourceNotFound")
    );
    let mut user = grant;
    user["properties"]["principalType"] = "User".into();
    assert_eq!(
        put(Setup::assignment(&scope, NAME), user).await,
        refused(400, "UnmatchedPrincipalType")
    );
}

#[tokio::test]
async fn a_fresh_principal_is_found_late_unless_its_type_is_said() {
    let setup = Setup::in_weather(Weather {
        principal_delay_ms: 30_000,
        ..Weather::default()
    });
    let identity = setup.resource("Microsoft.ManagedIdentity/userAssignedIdentities/id-fresh");
    let made = setup
        .arm(Method::PUT, &identity, Some(&json!({"location": "westeurope"})))
        .await;
    let principal = made.body["properties"]["principalId"].as_str().unwrap();
    let mut untyped = Setup::grant(SECRETS_USER, principal);
    untyped["properties"]
        .as_object_mut()
        .unwrap()
        .remove("principalType");
    let path = Setup::assignment(&secret(&setup, "db-password"), NAME);
    let refused = setup.arm(Method::PUT, &path, Some(&untyped)).await;
    assert_eq!((refused.status, refused.code()), (400, "PrincipalNotFound"));
    let typed = Setup::grant(SECRETS_USER, principal);
    assert_eq!(setup.arm(Method::PUT, &path, Some(&typed)).await.status, 201);
    assert_eq!(setup.arm(Method::DELETE, &path, None).await.status, 200);
    setup.sim.clock().advance(Duration::from_secs(30));
    assert_eq!(setup.arm(Method::PUT, &path, Some(&untyped)).await.status, 201);
}

#[tokio::test]
async fn assignments_count_after_their_delay() {
    let setup = Setup::in_weather(Weather {
        role_delay_ms: 120_000,
        ..Weather::default()
    });
    let path = Setup::assignment(&secret(&setup, "db-password-2"), NAME);
    assert_eq!(
        setup
            .arm(Method::PUT, &path, Some(&Setup::grant(SECRETS_USER, PRINCIPAL)))
            .await
            .status,
        201
    );
    // The resource manager shows it at once, the vault knows it later.
    assert_eq!(setup.arm(Method::GET, &path, None).await.status, 200);
    assert_eq!(setup.read_secret("db-password-2").await.status, 403);
    setup.sim.clock().advance(Duration::from_mins(2));
    assert_eq!(setup.read_secret("db-password-2").await.status, 200);
}

/// The reader with another role at the resource group.
fn with_role(role: &str, condition: Option<String>) -> Setup {
    Setup::with(|seed| {
        seed.role_assignments.push(RoleAssignment {
            principal: "reader".to_owned(),
            role: role.to_owned(),
            scope: format!("/subscriptions/{}/resourceGroups/rg", seed.subscriptions[0].id),
            condition,
        });
    })
}

async fn try_grant(setup: &Setup, role: &str) -> (u16, String) {
    let path = Setup::assignment(&secret(setup, "db-password-2"), NAME);
    let answer = setup
        .arm_as(READER, Method::PUT, &path, Some(&Setup::grant(role, PRINCIPAL)))
        .await;
    (answer.status, answer.code().to_owned())
}

#[tokio::test]
async fn roles_are_handed_out_by_those_who_may() {
    let denied = (403, "AuthorizationFailed".to_owned());
    for role in [
        "Contributor",
        "Key Vault Contributor",
        "Managed Identity Contributor",
    ] {
        assert_eq!(
            try_grant(&with_role(role, None), SECRETS_USER).await,
            denied,
            "{role}"
        );
    }
    let setup = with_role("Key Vault Data Access Administrator", None);
    assert_eq!(try_grant(&setup, CONTRIBUTOR).await, denied);
    assert_eq!(try_grant(&setup, SECRETS_USER).await, (201, String::new()));
}

#[tokio::test]
async fn a_condition_limits_the_roles_that_are_handed_out() {
    let condition = format!(
        "((!(ActionMatches{{'Microsoft.Authorization/roleAssignments/write'}})) OR (@Request[Microsoft.Authorization\
         /roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {{{SECRETS_USER}}}))"
    );
    let setup = with_role("Role Based Access Control Administrator", Some(condition.clone()));
    assert_eq!(
        try_grant(&setup, CONTRIBUTOR).await,
        (403, "AuthorizationFailed".to_owned())
    );
    assert_eq!(try_grant(&setup, SECRETS_USER).await, (201, String::new()));
    let scope = format!("subscriptions/{}/resourceGroups/rg", setup.subscription);
    let path = format!("{scope}/providers/Microsoft.Authorization/permissions");
    let permissions = setup.arm_as(READER, Method::GET, &path, None).await;
    let entries = permissions.body["value"].as_array().unwrap();
    assert_eq!(entries.len(), 2);
    assert!(
        entries
            .iter()
            .any(|entry| entry["condition"] == condition.as_str()),
        "{entries:?}"
    );
}

#[tokio::test]
async fn lists_know_the_documented_filters() {
    let setup = Setup::new();
    let principals = async |scope: &str, filter: &str| {
        let path = format!("{scope}/providers/Microsoft.Authorization/roleAssignments?$filter={filter}");
        let answer = setup.arm(Method::GET, &path, None).await;
        let values = answer.body["value"]
            .as_array()
            .unwrap_or_else(|| panic!("{answer:?}"))
            .clone();
        let mut ids: Vec<String> = values
            .iter()
            .map(|value| value["properties"]["principalId"].as_str().unwrap().to_owned())
            .collect();
        ids.sort();
        ids
    };
    let vault = setup.resource("Microsoft.KeyVault/vaults/kv-central");
    // Below the vault, above it, and both.
    assert_eq!(principals(&vault, "").await.len(), 3);
    assert_eq!(principals(&vault, "atScope()").await.len(), 2);
    assert_eq!(
        principals(&vault, &format!("principalId eq '{PRINCIPAL}'")).await,
        [PRINCIPAL]
    );
    assert_eq!(
        principals(&vault, &format!("atScope() and assignedTo('{PRINCIPAL}')")).await,
        [""; 0]
    );
    let scope = secret(&setup, "db-password");
    assert_eq!(
        principals(&scope, &format!("atScope() and assignedTo('{PRINCIPAL}')")).await,
        [PRINCIPAL]
    );
    let path = format!("{vault}/providers/Microsoft.Authorization/roleAssignments?$filter=x eq 'y'");
    let refused = setup.arm(Method::GET, &path, None).await;
    assert_eq!((refused.status, refused.code()), (400, "InvalidFilter"));
}

#[tokio::test]
async fn roles_are_found_by_name_and_id() {
    let setup = Setup::new();
    let base = format!(
        "subscriptions/{}/providers/Microsoft.Authorization/roleDefinitions",
        setup.subscription
    );
    let by_name = setup
        .arm(
            Method::GET,
            &format!("{base}?$filter=roleName eq 'key vault secrets user'"),
            None,
        )
        .await;
    assert_eq!(by_name.body["value"].as_array().unwrap().len(), 1);
    let role = &by_name.body["value"][0];
    assert_eq!(
        (role["name"].as_str(), role["id"].as_str().unwrap()),
        (Some(SECRETS_USER), format!("/{base}/{SECRETS_USER}").as_str())
    );
    let by_id = setup
        .arm(Method::GET, &format!("{base}/{SECRETS_USER}"), None)
        .await;
    assert_eq!(&by_id.body, role);
    let data_actions = &role["properties"]["permissions"][0]["dataActions"];
    assert!(
        data_actions
            .to_string()
            .contains("Microsoft.KeyVault/vaults/secrets/getSecret/action")
    );
    let unknown = setup.arm(Method::GET, &format!("{base}/{NAME}"), None).await;
    assert_eq!(
        (unknown.status, unknown.code()),
        (404, "RoleDefinitionDoesNotExist")
    );
}

#[tokio::test]
async fn the_operator_owns_and_does_not_read_secrets() {
    let setup = Setup::new();
    let token = setup.sign_in(OPERATOR, crate::support::VAULT_SCOPE).await;
    let refused = setup
        .ask_vault(
            Method::GET,
            "secrets/db-password?api-version=7.5",
            Some(&token),
            None,
        )
        .await;
    assert_eq!((refused.status, refused.inner()), (403, "ForbiddenByRbac"));
}
