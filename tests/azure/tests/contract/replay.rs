//! Replays one example against a simulator that holds what the example speaks of.

use azure_sim::{Authority, AzureSim, Seed};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::schema;
use crate::specs::{Example, Node, Specs};

const OPERATOR: &str = "33333333-3333-4333-8333-333333333333";
const SECRET: &str = "operators-client-secret";
/// Stands for subscriptions that the examples do not name by an id.
const SUBSCRIPTION: &str = "11111111-1111-4111-8111-111111111111";
const PRINCIPAL: &str = "77777777-7777-4777-8777-777777777777";
/// Reader: stands for roles that exist only in the examples.
const ROLE: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
/// The simulator answers every version of the clusters' API in the form of the newest.
const NEWER: &str = ".eTag: not in the specification";
const ROLES: &str = "/providers/Microsoft.Authorization/roleDefinitions/";

/// How it went.
pub(crate) enum Outcome {
    /// As the specification says; the notes name what was put in place of the example's and what the answer lacks.
    Pass(Vec<String>),
    /// Not served, for this reason.
    Gap(String),
    /// Not as the specification says.
    Fail(Vec<String>),
}

/// Replays it; an example with two statuses is sent twice, as a create and a repetition.
pub(crate) async fn replay(specs: &Specs, example: &Example<'_>) -> Outcome {
    let content = example.content.as_ref().unwrap();
    let (given, notes) = adapt(&content["parameters"]);
    let request = Request::of(specs, example, &given);
    let world = World::start(example, &given).await;
    let mut wanted: Vec<&String> = content["responses"].as_object().unwrap().keys().collect();
    // What creates answers 201 first; what deletes answers 204 last. One that updates what exists answers 200.
    if example.method == "put" {
        wanted.sort_by(|a, b| b.cmp(a));
    }
    if example.operation == "Vaults_UpdateAccessPolicy" {
        // The vault is there: nothing is created.
        wanted.retain(|status| *status == "200");
    }
    let assigns = example.operation.starts_with("RoleAssignments_Create");
    if assigns {
        // The specification says 200 for a repetition; the service answers 409 (azure-cli#8599).
        wanted.retain(|status| *status == "201");
    }
    world.prepare(example, &request.target).await;
    let mut notes = notes;
    let mut findings = request.findings;
    for status in wanted {
        let url = format!("{}{}", world.base(example), request.target);
        let (found, body) = world.send(&example.method, &url, request.body.as_ref()).await;
        if found != *status {
            findings.push(format!("status {found} instead of {status}: {body}"));
            break;
        }
        let response = &example.definition.value["responses"][status];
        if let Some(schema) = response.get("schema") {
            let node = Node {
                file: example.definition.file,
                value: schema,
            };
            let (newer, wrong): (Vec<_>, Vec<_>) = schema::check(specs, node, &body)
                .into_iter()
                .partition(|finding| finding.ends_with(NEWER));
            if !newer.is_empty() {
                notes.push("has eTag, which only later versions have".to_owned());
            }
            findings.extend(wrong);
            let mut absent = Vec::new();
            schema::absent(&content["responses"][status]["body"], &body, "", &mut absent);
            if !absent.is_empty() {
                notes.push(format!("{status} lacks {}", absent.join(" ")));
            }
        }
    }
    if assigns && findings.is_empty() {
        let url = format!("{}{}", world.base(example), request.target);
        let (status, body) = world.send(&example.method, &url, request.body.as_ref()).await;
        if status == "409" && body["error"]["code"] == "RoleAssignmentExists" {
            notes.push("a repetition answers 409 as the service does, not 200".to_owned());
        } else {
            findings.push(format!("a repetition answers {status}: {body}"));
        }
    }
    // Whoever is not signed in gets an error of the form that the specification gives for all errors.
    let url = format!("{}{}", world.base(example), request.target);
    let (status, body) = world
        .send_as(None, &example.method, &url, request.body.as_ref())
        .await;
    if status != "401" {
        findings.push(format!("status {status} without a token"));
    } else if let Some(schema) = example.definition.value["responses"]["default"].get("schema") {
        let node = Node {
            file: example.definition.file,
            value: schema,
        };
        findings.extend(
            schema::check(specs, node, &body)
                .into_iter()
                .map(|finding| format!("error body {finding}")),
        );
    }
    if findings.is_empty() {
        Outcome::Pass(notes)
    } else {
        Outcome::Fail(findings)
    }
}

/// The example's parameters with ids that can exist, and what was replaced.
fn adapt(parameters: &Value) -> (Value, Vec<String>) {
    let mut given = parameters.clone();
    let mut notes = Vec::new();
    if let Some(id) = given["subscriptionId"].as_str()
        && Uuid::parse_str(id).is_err()
    {
        notes.push(format!("subscription {id} replaced"));
        given["subscriptionId"] = json!(SUBSCRIPTION);
    }
    if given["secret-version"].is_string() {
        notes.push("version replaced by the current one".to_owned());
        given["secret-version"] = json!("");
    }
    if let Some(properties) = given.pointer_mut("/parameters/properties")
        && let Some((scope, _)) = properties["roleDefinitionId"]
            .as_str()
            .and_then(|id| id.split_once(ROLES))
    {
        let role = format!("{scope}{ROLES}{ROLE}");
        notes.push("role replaced".to_owned());
        properties["roleDefinitionId"] = json!(role);
        if properties["principalType"] == "User" {
            notes.push("principal type User replaced, there are no users".to_owned());
            properties["principalType"] = json!("ServicePrincipal");
        }
    }
    let text = |value: &Value| value.as_str().map(str::to_owned);
    // There are no resources of other providers and no scope of this name.
    let other = "Microsoft.DocumentDb/databaseAccounts/test-db-account";
    if let Some(scope) = text(&given["scope"]) {
        let replaced = match scope.as_str() {
            "scope" => format!("subscriptions/{SUBSCRIPTION}"),
            scope => scope.replace(other, "Microsoft.KeyVault/vaults/kv"),
        };
        if replaced != scope {
            notes.push("scope replaced".to_owned());
            given["scope"] = json!(replaced);
        }
    }
    if given["resourceType"] == "databaseAccounts" {
        notes.push("resource replaced".to_owned());
        given["resourceProviderNamespace"] = json!("Microsoft.KeyVault");
        given["resourceType"] = json!("vaults");
        given["resourceName"] = json!("kv");
    }
    for (name, value) in [
        ("roleDefinitionId", ROLE.to_owned()),
        ("roleId", format!("subscriptions/{SUBSCRIPTION}{ROLES}{ROLE}")),
    ] {
        if given[name].is_string() {
            notes.push("role replaced".to_owned());
            given[name] = json!(value);
        }
    }
    let policies = given
        .pointer_mut("/parameters/properties/accessPolicies")
        .and_then(Value::as_array_mut);
    for policy in policies.into_iter().flatten() {
        notes.push("tenant replaced".to_owned());
        policy["tenantId"] = json!(Seed::on_loopback("contract").tenant.id);
    }
    (given, notes)
}

/// What is sent.
struct Request {
    /// Path and query, without a leading slash.
    target: String,
    body: Option<Value>,
    findings: Vec<String>,
}

impl Request {
    fn of(specs: &Specs, example: &Example<'_>, given: &Value) -> Self {
        let mut path = example
            .path
            .split('?')
            .next()
            .unwrap()
            .trim_start_matches('/')
            .to_owned();
        let version = given["api-version"].as_str().unwrap_or_default();
        let mut query = vec![format!("api-version={version}")];
        let (mut body, mut findings) = (None, Vec::new());
        for value in example.definition.value["parameters"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let node = Node {
                file: example.definition.file,
                value,
            };
            let Some(parameter) = specs.resolve(node) else {
                continue;
            };
            let name = parameter.value["name"].as_str().unwrap();
            let sent = &given[name];
            let text = sent.as_str().map_or_else(|| sent.to_string(), str::to_owned);
            match parameter.value["in"].as_str() {
                Some("query") if !sent.is_null() && name != "api-version" => {
                    query.push(format!(
                        "{name}={}",
                        text.replace(' ', "%20").replace('\'', "%27")
                    ));
                }
                Some("body") if !sent.is_null() => {
                    let schema = Node {
                        file: parameter.file,
                        value: &parameter.value["schema"],
                    };
                    let wrong = schema::check(specs, schema, sent);
                    findings.extend(wrong.into_iter().map(|finding| format!("request {finding}")));
                    body = Some(sent.clone());
                }
                _ => {}
            }
        }
        for (name, value) in given.as_object().unwrap() {
            if let Some(text) = value.as_str() {
                path = path.replace(&format!("{{{name}}}"), text.trim_start_matches('/'));
            }
        }
        Self {
            target: format!("{}?{}", path.trim_end_matches('/'), query.join("&")),
            body,
            findings,
        }
    }
}

/// A simulator with what one example needs.
struct World {
    sim: AzureSim,
    http: reqwest::Client,
    vault: String,
    token: String,
}

impl World {
    async fn start(example: &Example<'_>, given: &Value) -> Self {
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

    fn base(&self, example: &Example<'_>) -> String {
        let content = example.content.as_ref().unwrap();
        if content["parameters"]["vaultBaseUrl"].is_string() {
            return self.sim.vault_url(&self.vault).unwrap();
        }
        self.sim.arm_url().to_owned()
    }

    /// Makes the role assignment that the example reads or deletes: the seed cannot name one.
    async fn prepare(&self, example: &Example<'_>, target: &str) {
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

    async fn send(&self, method: &str, url: &str, body: Option<&Value>) -> (String, Value) {
        self.send_as(Some(&self.token), method, url, body).await
    }

    async fn send_as(
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
    let secret = text("secret-name", &text("secretName", "a-secret"));
    let name = text("resourceName", "thing");
    let credentials = if makes("FederatedIdentityCredentials") {
        json!([])
    } else {
        let credential = text("federatedIdentityCredentialResourceName", "one");
        json!([{"name": credential, "issuer": "https://198.18.0.1/", "subject": "system:serviceaccount:a:b"}])
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
