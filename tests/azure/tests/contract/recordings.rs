//! What real services were recorded to answer, held against the simulator: status, headers, the shape of the body, and
//! the words of errors.

use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use crate::session::{Answer, PRINCIPAL, Service, Session};
use crate::specs::Specs;

const SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000000";
const MANAGER: &str = "https://management.azure.com/";

/// A simulator with the subscription and group that a recording names, one vault and its secret.
struct Replica(Session);

impl Replica {
    async fn start(group: &str) -> Self {
        let more = json!({
            "resourceGroups": [{"name": group, "location": "eastus2euap"}],
            "clusters": [{"resourceGroup": group, "name": "aks", "location": "westus2", "fqdn": "198.18.1.1",
                          "issuerUrl": "https://198.18.1.1/"}],
            "vaults": [{"resourceGroup": group, "name": "kv", "location": "westus2", "address": "127.0.0.1:0",
                        "secrets": [{"name": "a-secret", "value": "v", "contentType": "", "expires": 1}]}],
            "weather": {"clusterUpdateMs": 60_000, "credentialWriteMs": 0},
        });
        Self(Session::start("recordings", SUBSCRIPTION, PRINCIPAL, &more).await)
    }

    /// Sends what was recorded to where the simulator has it.
    async fn send(&self, method: &str, uri: &str, body: &Value, signed_in: bool) -> Answer {
        let (url, service) = if let Some(rest) = uri.strip_prefix(MANAGER) {
            (format!("{}{rest}", self.0.sim.arm_url()), Service::Manager)
        } else {
            let rest = uri.splitn(4, '/').nth(3).unwrap();
            let vault = self.0.sim.vault_url("kv").unwrap();
            (format!("{vault}{rest}"), Service::Vault)
        };
        let body = Some(body).filter(|body| !body.is_null());
        self.0
            .send(signed_in.then_some(service), method, &url, body)
            .await
    }

    async fn arm(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.send(method, &format!("{MANAGER}{path}"), body, true).await
    }
}

/// Headers that were recorded and are not there, or are otherwise: of some, only that they are there counts.
fn check_headers(recorded: &Value, found: &HeaderMap, what: &str) {
    for (name, value) in recorded.as_object().into_iter().flatten() {
        let value = value.as_str().or_else(|| value[0].as_str()).unwrap();
        let Some(ours) = found.get(name.as_str()) else {
            panic!("{what}: no header {name}");
        };
        let ours = ours.to_str().unwrap();
        let same = [
            "content-type",
            "location",
            "x-ms-user-quota-resets-after",
            "www-authenticate",
        ];
        match name.to_lowercase().as_str() {
            "content-type" => assert!(
                value.starts_with(ours.split(';').next().unwrap()),
                "{what}: {ours}"
            ),
            "www-authenticate" => assert_eq!(words(value), words(ours), "{what}"),
            name if same.contains(&name) => assert_eq!(value, ours, "{what}: {name}"),
            _ => {}
        }
    }
}

/// Where the shapes of two documents differ: fields that only one has, values of another kind.
fn differences(recorded: &Value, ours: &Value, path: &str, out: &mut Vec<String>) {
    match (recorded, ours) {
        (Value::Object(recorded), Value::Object(ours)) => {
            for name in recorded
                .keys()
                .chain(ours.keys().filter(|name| !recorded.contains_key(*name)))
            {
                let at = format!("{path}.{name}");
                match (recorded.get(name), ours.get(name)) {
                    (Some(recorded), Some(ours)) => differences(recorded, ours, &at, out),
                    (Some(_), None) => out.push(format!("{at} is missing")),
                    _ => out.push(format!("{at} was not recorded")),
                }
            }
        }
        (Value::Array(recorded), Value::Array(ours)) => {
            if let (Some(recorded), Some(ours)) = (recorded.first(), ours.first()) {
                differences(recorded, ours, &format!("{path}[]"), out);
            }
        }
        _ => {
            let kind = |value: &Value| std::mem::discriminant(value);
            if kind(recorded) != kind(ours) {
                out.push(format!("{path}: {recorded} was recorded, not {ours}"));
            }
        }
    }
}

#[track_caller]
fn assert_same_shape(recorded: &Value, ours: &Value, known: &[&str]) {
    let mut found = Vec::new();
    differences(recorded, ours, "", &mut found);
    found.retain(|difference| !known.iter().any(|known| difference.contains(known)));
    assert!(found.is_empty(), "{found:#?}");
}

/// A message without what differs each time: quoted texts, ids, and everything after a name and an equals sign.
fn words(text: &str) -> String {
    let mut out = String::new();
    for word in text.split_whitespace() {
        let bare = word.trim_matches(|c: char| ".,".contains(c));
        let hex = bare.len() >= 16 && bare.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
        match word.find(['\'', '"', '=', ';']) {
            Some(at) => out += &word[..at],
            None if hex => {}
            None => out += word,
        }
        out.push(' ');
    }
    out
}

fn segment(uri: &str, after: &str) -> String {
    let rest = uri.split_once(after).unwrap().1;
    rest.split(['/', '?']).next().unwrap().to_owned()
}

/// Replays recorded steps one after the other.
pub(crate) async fn replays(specs: &Specs) -> usize {
    let mut steps = 0;
    for file in [
        "recordings/msi-fic-2022-01-31-preview.azure-cli-2023-02-07.json",
        "recordings/roleassignment-2022-04-01.azure-cli-2023-08-23.json",
    ] {
        let recording = specs.file(file);
        let interactions = recording["interactions"].as_array().unwrap();
        let group = segment(interactions[0]["uri"].as_str().unwrap(), "/resourceGroups/");
        let world = Replica::start(&group).await;
        for step in interactions {
            let (method, uri) = (step["method"].as_str().unwrap(), step["uri"].as_str().unwrap());
            let what = format!("{method} {uri}");
            let answer = world.send(method, uri, &step["request"], true).await;
            assert_eq!(
                u64::from(answer.status),
                step["status"].as_u64().unwrap(),
                "{what}"
            );
            check_headers(&step["headers"], &answer.headers, &what);
            let body = Some(&step["response"]).filter(|body| *body != "");
            // Whoever made an assignment of the recording's seed is not known.
            assert_same_shape(
                body.unwrap_or(&Value::Null),
                &answer.body,
                &["createdBy", "updatedBy"],
            );
            steps += 1;
        }
    }
    steps
}

/// The vault's side: the challenge, the list, a secret written and read, as the SDK writes it.
pub(crate) async fn replays_vault(specs: &Specs) -> usize {
    let world = Replica::start("rg").await;
    let recording = specs.file("recordings/keyvault-secret-2025-07-01.rust-sdk-2025-10-16.json");
    let entries = recording["Entries"].as_array().unwrap();
    for step in entries {
        let (method, uri) = (
            step["RequestMethod"].as_str().unwrap(),
            step["RequestUri"].as_str().unwrap(),
        );
        let answer = world.send(method, uri, &step["RequestBody"], true).await;
        assert_eq!(
            u64::from(answer.status),
            step["StatusCode"].as_u64().unwrap(),
            "{uri}"
        );
        check_headers(&step["ResponseHeaders"], &answer.headers, uri);
        assert_same_shape(&step["ResponseBody"], &answer.body, &[]);
    }
    let cassette = specs.file("recordings/c7n.KeyVaultSecretsTest.test_key_vault_secrets_keyvault.json");
    let mut asked = 0;
    for step in cassette["interactions"].as_array().unwrap() {
        let uri = step["request"]["uri"].as_str().unwrap();
        let recorded = &step["response"];
        if uri.starts_with(MANAGER) {
            // The manager's list had a link to a next page that was empty; the simulator links only to pages with content.
            continue;
        }
        let signed_in = recorded["status"]["code"] != 401;
        let answer = world.send("GET", uri, &Value::Null, signed_in).await;
        assert_eq!(
            u64::from(answer.status),
            recorded["status"]["code"].as_u64().unwrap(),
            "{uri}"
        );
        check_headers(&recorded["headers"]["www-authenticate"], &answer.headers, uri);
        // The recorded vault keeps deleted secrets for a number of days that this version did not tell.
        assert_same_shape(
            &recorded["body"]["data"],
            &answer.body,
            &["recoverableDays", ".tags"],
        );
        asked += 1;
    }
    entries.len() + asked
}

/// The quirks of clusters and of Resource Graph, whose recordings are older than what is served.
pub(crate) async fn keeps_quirks(specs: &Specs) -> usize {
    let world = Replica::start("rg").await;
    let cassette = specs.file("recordings/c7n.AksTest.test_find_aks_by_name.json");
    let recorded = &cassette["interactions"][0]["response"]["body"]["data"]["value"][0];
    let path = format!(
        "subscriptions/{SUBSCRIPTION}/providers/Microsoft.ContainerService/managedClusters?api-version=2024-02-01"
    );
    let ours = world.arm("GET", &path, &Value::Null).await.body["value"][0].clone();
    assert_eq!(recorded["type"], ours["type"]);
    let kind = |id: &Value| {
        let id = id.as_str().unwrap();
        let segments: Vec<&str> = id.split('/').collect();
        [segments[1], segments[3], segments[5], segments[6], segments[7]]
            .map(str::to_owned)
            .to_vec()
    };
    assert_eq!(kind(&recorded["id"]), kind(&ours["id"]));

    let file =
        "recordings/c7n.ResourceGraphSource.test_resource_graph_and_arm_sources_vm_are_equivalent.json";
    let interactions = specs.file(file)["interactions"].as_array().unwrap();
    let recorded = interactions
        .iter()
        .find(|step| step["request"]["method"] == "POST")
        .unwrap();
    let path = "providers/Microsoft.ResourceGraph/resources?api-version=2022-10-01";
    let answer = world
        .arm("POST", path, &json!({"query": "Resources | take 1"}))
        .await;
    for name in ["x-ms-user-quota-remaining", "x-ms-user-quota-resets-after"] {
        let ours = answer.headers.get(name).unwrap().to_str().unwrap();
        assert_eq!(recorded["response"]["headers"][name][0], ours, "{name}");
    }
    check_headers(
        &recorded["response"]["headers"],
        &without_length(answer.headers),
        "Resource Graph",
    );
    2
}

/// As long as HTTP/2 has its own way to tell lengths, that header is there or not.
fn without_length(mut headers: HeaderMap) -> HeaderMap {
    headers.entry("content-length").or_insert("0".parse().unwrap());
    headers
}

/// Errors in the words of the real services, each by its cause.
pub(crate) async fn errors_have_the_same_words(specs: &Specs) -> usize {
    let observed = specs.file("recordings/errors-observed.json");
    let body_of = |code: &str| {
        let all = observed["arm"].as_array().unwrap().iter();
        let mut bodies = all.map(|one| (&one["http"], &one["body"]));
        let has = |body: &Value| body["error"]["code"] == code || body["code"] == code;
        bodies
            .find(|(_, body)| has(body))
            .unwrap_or_else(|| panic!("no {code}"))
    };
    let world = Replica::start("rg").await;
    let group = format!("subscriptions/{SUBSCRIPTION}/resourceGroups/rg");
    let role = format!(
        "/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/\
         acdd72a7-3385-48ef-bd42-f606fba81ae7"
    );
    let assignment = |name: &str| {
        format!("{group}/providers/Microsoft.Authorization/roleAssignments/{name}?api-version=2022-04-01")
    };
    let grant = json!({"properties": {"roleDefinitionId": role, "principalId": PRINCIPAL}});
    let (first, second) = (
        assignment("11111111-1111-4111-8111-111111111111"),
        assignment("22222222-2222-4222-8222-222222222222"),
    );
    assert_eq!(world.arm("PUT", &first, &grant).await.status, 201);
    let exists = world.arm("PUT", &second, &grant).await;
    let nobody = json!({"properties": {"roleDefinitionId": role, "principalId": SUBSCRIPTION}});
    let missing = world.arm("PUT", &second, &nobody).await;
    let cluster =
        format!("{group}/providers/Microsoft.ContainerService/managedClusters/aks?api-version=2026-04-01");
    let document = world.arm("GET", &cluster, &Value::Null).await.body;
    assert_eq!(world.arm("PUT", &cluster, &document).await.status, 200);
    let busy = world.arm("PUT", &cluster, &document).await;
    for (code, ours, known) in [
        ("RoleAssignmentExists", exists, &[][..]),
        ("PrincipalNotFound", missing, &[]),
        // Fields that only some versions were recorded with.
        ("OperationNotAllowed", busy, &["details", "subcode"]),
    ] {
        let (status, recorded) = body_of(code);
        assert_eq!(*status, ours.status, "{code}");
        assert_same_shape(recorded, &ours.body, known);
        let message = |body: &Value| {
            let text = body["error"]["message"].as_str().or(body["message"].as_str());
            words(text.unwrap()).replace("nodepool1", "").replace("aks ", "")
        };
        assert_eq!(
            without_brackets(&message(recorded)),
            without_brackets(&message(&ours.body)),
            "{code}"
        );
    }
    let keyvault = observed["keyvault"].as_array().unwrap();
    let unsigned = world
        .send(
            "GET",
            "https://kv/secrets/secret?api-version=7.5",
            &Value::Null,
            false,
        )
        .await;
    let recorded = keyvault.iter().find(|one| one["http"] == 401).unwrap();
    assert_eq!(recorded["body"], unsigned.body);
    4
}

/// The name of what is being updated stands in brackets.
fn without_brackets(text: &str) -> String {
    match (text.find('('), text.find(')')) {
        (Some(from), Some(to)) if from < to => format!("{}{}", &text[..from], &text[to..]),
        _ => text.to_owned(),
    }
}
