//! Replays one example against a simulator that holds what the example speaks of.

use azure_sim::Seed;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::schema;
use crate::specs::{Example, Node, Specs};
use crate::stage::Stage;

/// Stands for subscriptions that the examples do not name by an id.
pub(crate) const SUBSCRIPTION: &str = "11111111-1111-4111-8111-111111111111";
/// Reader: stands for roles that exist only in the examples.
pub(crate) const ROLE: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
/// Stands for roles that examples make or delete.
pub(crate) const CUSTOM_ROLE: &str = "cccccccc-cccc-4ccc-8ccc-cccccccccccc";
pub(crate) const ROLES: &str = "/providers/Microsoft.Authorization/roleDefinitions/";

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
    let (given, notes) = adapt(example, &content["parameters"]);
    let request = Request::of(specs, example, &given);
    let stage = Stage::start(example, &given).await;
    let mut notes = notes;
    let mut wanted: Vec<&String> = content["responses"].as_object().unwrap().keys().collect();
    // What creates answers 201 first; what deletes answers 204 last. One that updates what exists answers 200.
    if example.method == "put" {
        wanted.sort_by(|a, b| b.cmp(a));
    }
    if example.operation == "Vaults_UpdateAccessPolicy" {
        // The vault is there: nothing is created.
        wanted.retain(|status| *status == "200");
    }
    if example.operation == "ManagedClusters_CreateOrUpdate" {
        notes.push("updates: clusters come from the seed".to_owned());
        wanted.retain(|status| *status == "200");
    }
    if example.method == "patch" {
        wanted.retain(|status| *status == "200");
    }
    let assigns = example.operation.starts_with("RoleAssignments_Create");
    if assigns {
        // The specification says 200 for a repetition; the service answers 409 (azure-cli#8599).
        wanted.retain(|status| *status == "201");
    }
    stage.prepare(example, &request.target).await;
    let mut findings = request.findings;
    for status in wanted {
        let answer = stage
            .send(&example.method, &request.target, request.body.as_ref())
            .await;
        let (found, body) = (answer.status, answer.body);
        if found.to_string() != *status {
            findings.push(format!("status {found} instead of {status}: {body}"));
            break;
        }
        let response = &example.definition.value["responses"][status];
        if let Some(schema) = response.get("schema") {
            let node = Node {
                file: example.definition.file,
                value: schema,
            };
            findings.extend(schema::check(specs, node, &body));
            let mut absent = Vec::new();
            schema::absent(&content["responses"][status]["body"], &body, "", &mut absent);
            if !absent.is_empty() {
                notes.push(format!("{status} lacks {}", absent.join(" ")));
            }
        }
    }
    if assigns && findings.is_empty() {
        let answer = stage
            .send(&example.method, &request.target, request.body.as_ref())
            .await;
        let (status, body) = (answer.status, answer.body);
        if status == 409 && body["error"]["code"] == "RoleAssignmentExists" {
            notes.push("a repetition answers 409 as the service does, not 200".to_owned());
        } else {
            findings.push(format!("a repetition answers {status}: {body}"));
        }
    }
    // Whoever is not signed in gets an error of the form that the specification gives for all errors.
    let answer = stage
        .send_unsigned(&example.method, &request.target, request.body.as_ref())
        .await;
    let (status, body) = (answer.status, answer.body);
    if status != 401 {
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
fn adapt(example: &Example<'_>, parameters: &Value) -> (Value, Vec<String>) {
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
    let makes_role = example.operation.starts_with("RoleDefinitions_") && example.method != "get";
    let definition = &given["body"]["roleDefinition"];
    if definition.is_object() {
        // The example has the definition beside the body, without its wrapper, of an action and a scope that are none.
        notes.push("definition put into the body, its actions and scope replaced".to_owned());
        let properties = json!({
            "roleName": definition["roleName"], "description": definition["description"],
            "assignableScopes": [format!("/subscriptions/{SUBSCRIPTION}")],
            "permissions": [{"actions": ["Microsoft.KeyVault/vaults/read"]}],
        });
        given["roleDefinition"] = json!({"properties": properties});
    }
    let role = if makes_role { CUSTOM_ROLE } else { ROLE };
    for (name, value) in [
        ("roleDefinitionId", role.to_owned()),
        ("roleId", format!("subscriptions/{SUBSCRIPTION}{ROLES}{ROLE}")),
    ] {
        if given[name].is_string() {
            notes.push("role replaced".to_owned());
            given[name] = json!(value);
        }
    }
    if let Some(properties) = given.pointer_mut("/parameters/properties")
        && properties["dnsPrefix"].is_string()
    {
        notes.push("dnsPrefix, which never changes, replaced".to_owned());
        properties.as_object_mut().unwrap().remove("dnsPrefix");
    }
    if given["parameters"]["properties"]["tenantId"].is_string() {
        given["parameters"]["properties"]["tenantId"] = json!(Seed::on_loopback("contract").tenant.id);
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
