//! The simulator on which an example is replayed: it holds what the example speaks of.

use azure_sim::{Authority, AzureSim, Seed};
use reqwest::Method;
use serde_json::{Value, json};

use crate::replay::{CUSTOM_ROLE, ROLE, ROLES, SUBSCRIPTION};
use crate::specs::Example;

const OPERATOR: &str = "33333333-3333-4333-8333-333333333333";
const SECRET: &str = "operators-client-secret";
const PRINCIPAL: &str = "77777777-7777-4777-8777-777777777777";

/// A simulator with what one example needs.
pub(crate) struct World {
    pub(crate) sim: AzureSim,
    http: reqwest::Client,
    vault: String,
    token: String,
}

impl World {
    pub(crate) async fn start(example: &Example<'_>, given: &Value) -> Self {
        let authority = Authority::generate().unwrap();
        let http = reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(authority.pem().as_bytes()).unwrap()])
            .no_proxy()
            .build()
            .unwrap();
        let seed = seed(example, given);
        let tenant = seed.tenant.id;
        let data_plane = given["vaultBaseUrl"].is_string();
        let audience = if data_plane {
            &seed.vault_audience
        } else {
            &seed.arm_audience
        };
        let scope = format!("{audience}/.default");
        let vault = seed.vaults[0].name.clone();
        let sim = AzureSim::start_with(seed, authority, None).unwrap();
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", OPERATOR),
            ("client_secret", SECRET),
            ("scope", &scope),
        ];
        let url = format!("{}{tenant}/oauth2/v2.0/token", sim.entra_url());
        let answer = http.post(url).form(&form).send().await.unwrap();
        let body: Value = answer.json().await.unwrap();
        let token = body["access_token"].as_str().unwrap().to_owned();
        Self {
            sim,
            http,
            vault,
            token,
        }
    }

    pub(crate) fn base(&self, example: &Example<'_>) -> String {
        let content = example.content.as_ref().unwrap();
        if content["parameters"]["vaultBaseUrl"].is_string() {
            return self.sim.vault_url(&self.vault).unwrap();
        }
        self.sim.arm_url().to_owned()
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
        let url = format!("{}{target}", self.sim.arm_url());
        let (status, answer) = self.send("put", &url, Some(&body)).await;
        assert_eq!(status, "201", "{answer}");
    }

    pub(crate) async fn send(&self, method: &str, url: &str, body: Option<&Value>) -> (String, Value) {
        self.send_as(Some(&self.token), method, url, body).await
    }

    pub(crate) async fn send_as(
        &self,
        token: Option<&str>,
        method: &str,
        url: &str,
        body: Option<&Value>,
    ) -> (String, Value) {
        let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
        let mut request = self.http.request(method, url);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16().to_string();
        (status, answer.json().await.unwrap_or_default())
    }
}

/// The subscription, group and resources that the example names; what it makes is left out.
fn seed(example: &Example<'_>, given: &Value) -> Seed {
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
    let mut principals = vec![json!({
        "displayName": "operator", "clientId": OPERATOR, "secrets": [SECRET],
    })];
    let principal = given["parameters"]["properties"]["principalId"]
        .as_str()
        .unwrap_or(PRINCIPAL);
    principals.push(json!({"displayName": "principal", "objectId": principal}));
    let all = format!("/subscriptions/{subscription}");
    let mut document = serde_json::to_value(Seed::on_loopback("contract")).unwrap();
    let more = json!({
        "subscriptions": [{"id": subscription}],
        "servicePrincipals": principals,
        "resourceGroups": [{"name": group, "location": "eastus"}],
        "clusters": [{"resourceGroup": group, "name": name, "location": "location1", "fqdn": "198.18.1.1",
                      "issuerUrl": "https://198.18.1.1/", "tags": {"a": "b"}}],
        "vaults": [{"resourceGroup": group, "name": vault, "location": "westus", "address": "127.0.0.1:0",
                    "enableRbacAuthorization": !operation.ends_with("AccessPolicy"),
                    "secrets": [{"name": secret, "value": "value-of-the-secret"}]}],
        "identities": identities,
        "customRoles": custom_roles,
        "roleAssignments": [
            {"principal": "operator", "role": "Owner", "scope": all},
            {"principal": "operator", "role": "Key Vault Administrator", "scope": all},
        ],
        "weather": {"clusterUpdateMs": 0, "credentialWriteMs": 0},
    });
    document
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    Seed::from_json(&document.to_string()).unwrap()
}
