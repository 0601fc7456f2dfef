//! What stands above rights: locks, policies, deny assignments, limits.

use azure_sim::Addition;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    Answer, OPERATOR, OPERATOR_OBJECT, PRINCIPAL, READER, SECRETS_USER, Setup, VAULT_SCOPE,
};

const NAME: &str = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";

fn add(setup: &Setup, more: &Value) {
    let more: Addition = serde_json::from_value(more.clone()).unwrap();
    setup.sim.add(&more).unwrap();
}

fn group(setup: &Setup) -> String {
    format!("/subscriptions/{}/resourceGroups/rg", setup.subscription)
}

async fn put_identity(setup: &Setup, tags: Value) -> Answer {
    let path = setup.resource("Microsoft.ManagedIdentity/userAssignedIdentities/id-new");
    let body = json!({"location": "westeurope", "tags": tags});
    setup.arm(Method::PUT, &path, Some(&body)).await
}

async fn put_assignment(setup: &Setup, secret: &str) -> Answer {
    let scope = setup.resource(&format!("Microsoft.KeyVault/vaults/kv-central/secrets/{secret}"));
    let grant = Setup::grant(SECRETS_USER, PRINCIPAL);
    setup
        .arm(Method::PUT, &Setup::assignment(&scope, NAME), Some(&grant))
        .await
}

#[tokio::test]
async fn a_read_only_lock_refuses_writes_and_is_listed() {
    let setup = Setup::new();
    let lock = json!({"name": "frozen", "scope": group(&setup), "level": "ReadOnly", "notes": "audit"});
    add(&setup, &json!({"locks": [lock]}));
    for refused in [
        put_identity(&setup, json!({})).await,
        put_assignment(&setup, "db-password-2").await,
    ] {
        assert_eq!(
            (refused.status, refused.code()),
            (409, "ScopeLocked"),
            "{refused:?}"
        );
        let locked = format!("following scope(s) are locked: '{}'", group(&setup));
        assert!(refused.message().contains(&locked), "{refused:?}");
    }
    // Who has no right learns that, not the lock.
    let path = setup.resource("Microsoft.ManagedIdentity/userAssignedIdentities/id-new");
    let body = json!({"location": "westeurope"});
    let other = setup.arm_as(READER, Method::PUT, &path, Some(&body)).await;
    assert_eq!(other.code(), "AuthorizationFailed");
    assert_eq!(setup.arm(Method::GET, &setup.identity(), None).await.status, 200);
    let locks = format!("{}/providers/Microsoft.Authorization/locks", &group(&setup)[1..]);
    let listed = setup.arm(Method::GET, &locks, None).await;
    assert_eq!(listed.body["value"][0]["properties"]["level"], "ReadOnly");
    assert!(setup.sim.delete(listed.body["value"][0]["id"].as_str().unwrap()));
    assert_eq!(put_identity(&setup, json!({})).await.status, 201);
}

#[tokio::test]
async fn a_delete_lock_refuses_deleting_alone() {
    let setup = Setup::new();
    let lock = json!({"name": "keep", "scope": format!("/{}", setup.identity()), "level": "CanNotDelete"});
    add(&setup, &json!({"locks": [lock]}));
    let path = setup.identity();
    let credential = format!("{path}/federatedIdentityCredentials/orders");
    for path in [&path, &credential] {
        let refused = setup.arm(Method::DELETE, path, None).await;
        assert_eq!((refused.status, refused.code()), (409, "ScopeLocked"), "{path}");
    }
    let tagged = setup
        .arm(Method::PATCH, &path, Some(&json!({"tags": {"a": "b"}})))
        .await;
    assert_eq!(tagged.status, 200);
}

#[tokio::test]
async fn a_policy_denies_what_breaks_it_and_says_which() {
    let setup = Setup::new();
    let policy = json!({"name": "owners", "scope": group(&setup), "requireTag": "owner",
        "resourceType": "Microsoft.ManagedIdentity/userAssignedIdentities"});
    add(&setup, &json!({"policies": [policy]}));
    let refused = put_identity(&setup, json!({})).await;
    assert_eq!(
        (refused.status, refused.code()),
        (403, "RequestDisallowedByPolicy")
    );
    assert!(
        refused.message().contains("policyAssignments/owners"),
        "{refused:?}"
    );
    let info = &refused.body["error"]["additionalInfo"][0];
    assert_eq!(
        (&info["type"], &info["info"]["policyAssignmentName"]),
        (&json!("PolicyViolation"), &json!("owners"))
    );
    assert_eq!(put_identity(&setup, json!({"owner": "me"})).await.status, 201);
    assert_eq!(put_assignment(&setup, "db-password-2").await.status, 201);
}

#[tokio::test]
async fn a_deny_assignment_wins_over_every_role() {
    let setup = Setup::new();
    let denial = json!({"name": "blueprint", "scope": group(&setup), "actions": ["*"], "notActions": ["*/read"],
        "dataActions": ["*"], "excludePrincipals": ["reader"]});
    assert_eq!(setup.read_secret("db-password").await.status, 200);
    add(&setup, &json!({"denyAssignments": [denial]}));
    for refused in [
        put_identity(&setup, json!({})).await,
        put_assignment(&setup, "db-password-2").await,
    ] {
        assert_eq!(
            (refused.status, refused.code()),
            (403, "DenyAssignmentAuthorizationFailed")
        );
        assert!(
            refused
                .message()
                .contains("deny assignment with name 'blueprint'")
        );
    }
    let refused = setup.read_secret("db-password").await;
    assert_eq!((refused.status, refused.inner()), (403, "ForbiddenByRbac"));
    assert!(
        refused
            .message()
            .contains("DecisionReason: 'DeniedByDenyAssignment'")
    );
    assert_eq!(setup.arm(Method::GET, &setup.identity(), None).await.status, 200);
    let path = format!(
        "{}/providers/Microsoft.Authorization/denyAssignments",
        &group(&setup)[1..]
    );
    let listed = setup.arm(Method::GET, &path, None).await;
    assert_eq!(
        listed.body["value"][0]["properties"]["denyAssignmentName"],
        "blueprint"
    );
}

#[tokio::test]
async fn a_subscription_takes_so_many_role_assignments() {
    let setup = Setup::new();
    let id = "12121212-1212-4212-8212-121212121212";
    let scope = format!("/subscriptions/{id}");
    add(
        &setup,
        &json!({
            "subscriptions": [{"id": id, "roleAssignmentLimit": 4000, "otherRoleAssignments": 3998}],
            "roleAssignments": [{"principal": OPERATOR_OBJECT, "role": "Owner", "scope": scope}],
        }),
    );
    let put = async |name: &str, principal: &str| {
        let path = Setup::assignment(&scope[1..], name);
        setup
            .arm(Method::PUT, &path, Some(&Setup::grant(SECRETS_USER, principal)))
            .await
    };
    let last = put(NAME, PRINCIPAL).await;
    assert_eq!(last.status, 201, "{last:?}");
    let refused = put("bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb", OPERATOR_OBJECT).await;
    assert_eq!(
        (refused.status, refused.code()),
        (409, "RoleAssignmentLimitExceeded")
    );
    // What is there already is not one more.
    assert_eq!(put(NAME, PRINCIPAL).await.code(), "RoleAssignmentExists");
    assert_eq!(put_assignment(&setup, "db-password-2").await.status, 201);
}

#[tokio::test]
async fn lists_over_a_subscription_hold_what_one_may_read() {
    let setup = Setup::with(|seed| {
        seed.role_assignments
            .retain(|assignment| assignment.principal != "reader");
        seed.role_assignments.push(
            serde_json::from_value(json!({"principal": "reader", "role": "Reader",
                "scope": format!("/subscriptions/{}/resourceGroups/rg", seed.subscriptions[0].id)}))
            .unwrap(),
        );
    });
    add(
        &setup,
        &json!({
            "resourceGroups": [{"name": "rg-2", "location": "westeurope"}],
            "identities": [{"resourceGroup": "rg-2", "name": "id-hidden", "location": "westeurope"}],
            "servicePrincipals": [{"displayName": "nobody", "clientId": NAME,
                "secrets": [crate::support::OPERATOR_SECRET]}],
        }),
    );
    let kind = "providers/Microsoft.ManagedIdentity/userAssignedIdentities";
    let path = format!("subscriptions/{}/{kind}", setup.subscription);
    let names = async |client: &str| {
        let answer = setup.arm_as(client, Method::GET, &path, None).await;
        let list = answer.body["value"].as_array().cloned().unwrap_or_default();
        let names: Vec<String> = list
            .iter()
            .map(|one| one["name"].as_str().unwrap().to_owned())
            .collect();
        (answer.status, names)
    };
    assert_eq!(names(OPERATOR).await.1, ["id-hidden", "id-orders"]);
    assert_eq!(names(READER).await, (200, vec!["id-orders".to_owned()]));
    assert_eq!(names(NAME).await, (403, Vec::new()));
    let hidden = format!("subscriptions/{}/resourceGroups/rg-2/{kind}", setup.subscription);
    let refused = setup.arm_as(READER, Method::GET, &hidden, None).await;
    assert_eq!((refused.status, refused.code()), (403, "AuthorizationFailed"));
}

#[tokio::test]
async fn a_vault_of_another_tenant_takes_no_token_of_this_one() {
    let setup = Setup::new();
    let tenant = "abababab-abab-4bab-8bab-abababababab";
    let vault = json!({"resourceGroup": "rg", "name": "kv-foreign", "location": "westeurope", "tenant": tenant,
        "secrets": [{"name": "x", "value": "y"}]});
    add(&setup, &json!({"vaults": [vault]}));
    let path = setup.resource("Microsoft.KeyVault/vaults/kv-foreign");
    let shown = setup.arm(Method::GET, &path, None).await;
    assert_eq!(shown.body["properties"]["tenantId"], tenant);
    let token = setup.sign_in(OPERATOR, VAULT_SCOPE).await;
    let url = format!(
        "{}secrets/x?api-version=7.5",
        setup.sim.vault_url("kv-foreign").unwrap()
    );
    let refused = setup.send(Method::GET, &url, Some(&token), None).await;
    assert_eq!(refused.status, 401);
    assert!(refused.message().starts_with("AKV10032"), "{refused:?}");
    assert!(refused.header("www-authenticate").contains(tenant));
}
