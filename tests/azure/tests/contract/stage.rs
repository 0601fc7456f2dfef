//! The simulator on which an example is replayed: it holds what the example speaks of.

use serde_json::{Value, json};

use crate::replay::{CUSTOM_ROLE, ROLE, ROLES, SUBSCRIPTION};
use crate::session::{Answer, PRINCIPAL, Service, Session};
use crate::specs::Example;

/// A simulator with what one example needs.
pub(crate) struct Stage {
    session: Session,
    /// The service that the example asks.
    service: Service,
    base: String,
}

impl Stage {
    pub(crate) async fn start(example: &Example<'_>, given: &Value) -> Self {
        let (subscription, more) = seed(example, given);
        let principal = given["parameters"]["properties"]["principalId"].as_str();
        let principal = principal.unwrap_or(PRINCIPAL);
        let session = Session::start("contract", &subscription, principal, &more).await;
        let (service, base) = if given["vaultBaseUrl"].is_string() {
            let vault = more["vaults"][0]["name"].as_str().unwrap();
            (Service::Vault, session.sim.vault_url(vault).unwrap())
        } else {
            (Service::Manager, session.sim.arm_url().to_owned())
        };
        Self {
            session,
            service,
            base,
        }
    }

    /// Makes the role assignment that the example reads or deletes: the seed cannot name one.
    pub(crate) async fn prepare(&self, example: &Example<'_>, target: &str) {
        let reads = ["_Get", "_GetById", "_Delete", "_DeleteById"];
        let kind = example.operation.strip_prefix("RoleAssignments");
        if !kind.is_some_and(|kind| reads.contains(&kind)) {
            return;
        }
        let body = json!({"properties": {
            "roleDefinitionId": format!("{ROLES}{ROLE}"), "principalId": PRINCIPAL,
            "principalType": "ServicePrincipal",
        }});
        let answer = self.send("put", target, Some(&body)).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
    }

    /// Sends a request to the service that the example asks.
    pub(crate) async fn send(&self, method: &str, target: &str, body: Option<&Value>) -> Answer {
        let url = format!("{}{target}", self.base);
        self.session.send(Some(self.service), method, &url, body).await
    }

    /// The same without a token.
    pub(crate) async fn send_unsigned(&self, method: &str, target: &str, body: Option<&Value>) -> Answer {
        let url = format!("{}{target}", self.base);
        self.session.send(None, method, &url, body).await
    }
}

/// The subscription that the example names, and a seed's group and resources; what it makes is left out.
fn seed(example: &Example<'_>, given: &Value) -> (String, Value) {
    let text = |name: &str, otherwise: &str| given[name].as_str().unwrap_or(otherwise).to_owned();
    let scope = given["scope"]
        .as_str()
        .or(given["roleAssignmentId"].as_str())
        .unwrap_or_default();
    let segments: Vec<&str> = scope.trim_start_matches('/').split('/').collect();
    let subscription = match segments.as_slice() {
        ["subscriptions", id, ..] => (*id).to_owned(),
        _ => text("subscriptionId", SUBSCRIPTION),
    };
    let group = match segments.as_slice() {
        [_, _, "resourceGroups", name, ..] => (*name).to_owned(),
        _ => text("resourceGroupName", "rg"),
    };
    let operation = example.operation.as_str();
    let makes = |what: &str| operation == format!("{what}_CreateOrUpdate");
    let vault = if given["vaultBaseUrl"].is_string() {
        "myvault".to_owned()
    } else {
        text("vaultName", "kv")
    };
    // What is made must not be there.
    let vault = if makes("Vaults") {
        "kv-other".to_owned()
    } else {
        vault
    };
    let secret = text("secret-name", &text("secretName", "a-secret"));
    let secret = if makes("Secrets") {
        "another".to_owned()
    } else {
        secret
    };
    let name = text("resourceName", "thing");
    let credentials = if makes("FederatedIdentityCredentials") {
        json!([])
    } else {
        let credential = text("federatedIdentityCredentialResourceName", "one");
        json!([{"name": credential, "issuer": "https://198.18.0.1/", "subject": "system:serviceaccount:a:b"}])
    };
    let custom_roles = if operation == "RoleDefinitions_Delete" {
        json!([{"id": CUSTOM_ROLE, "name": "Role name", "actions": ["*/read"]}])
    } else {
        json!([])
    };
    let identities = if makes("UserAssignedIdentities") {
        json!([])
    } else {
        json!([{"resourceGroup": group, "name": name, "location": "eastus", "tags": {"a": "b"},
                "federatedCredentials": credentials}])
    };
    let more = json!({
        "resourceGroups": [{"name": group, "location": "eastus"}],
        "clusters": [{"resourceGroup": group, "name": name, "location": "location1", "fqdn": "198.18.1.1",
                      "issuerUrl": "https://198.18.1.1/", "tags": {"a": "b"}}],
        "vaults": [{"resourceGroup": group, "name": vault, "location": "westus", "address": "127.0.0.1:0",
                    "enableRbacAuthorization": !operation.ends_with("AccessPolicy"),
                    "secrets": [{"name": secret, "value": "value-of-the-secret"}]}],
        "identities": identities,
        "customRoles": custom_roles,
        "weather": {"clusterUpdateMs": 0, "credentialWriteMs": 0},
    });
    (subscription, more)
}
