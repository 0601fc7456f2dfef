use super::*;
use crate::fleet::ReportFormat;
use crate::fleet::amount::Amount;
use std::time::Duration;

const SMALL: &str = r#"apiVersion: helmfleet/v1alpha1
kind: Fleet
release: {name: orders, namespace: shop, createNamespace: true}
chart: {ref: ./charts/orders}
helm: {timeout: 10m}
values: [a.yaml, {file: "values/{{ cluster.labels.env }}.yaml", optional: true}]
identities:
  orders: {serviceAccount: orders, secrets: [kv-central/db-password]}
overrides: {serviceAccount: {name: orders}}
clusters:
  - {name: weu-1, context: aks-weu-1, labels: {ring: "0"}}
discover: {contexts: ["aks-*"], exclude: ["*-admin"], azure: {tags: {fleet: shop}}, labelsFrom: {tags: true}}
rollout:
  stages:
    - {name: canary, selector: "ring=0", maxConcurrency: 1, gates: [{bake: 10m}, {approval: true}]}
    - {name: prod, selector: "ring!=0", maxConcurrency: 25%, maxFailures: 1, maxPerLabel: {region: 1}}
report: {dir: out, formats: [json, junit]}
"#;

fn load(text: &str) -> Result<Fleet, FleetError> {
    let path = PathBuf::from("fleet.yaml");
    let text = text.to_owned();
    FleetText { path, text }.fleet()
}

#[test]
fn a_fleet_is_read() {
    let fleet = load(SMALL).unwrap();
    assert_eq!(fleet.helm.timeout, Duration::from_mins(10));
    assert!(fleet.helm.wait);
    assert!(!fleet.values[0].optional && fleet.values[1].optional);
    let stages = &fleet.rollout.as_ref().unwrap().stages;
    assert_eq!(stages[1].max_concurrency, Amount::Percent(25));
    assert_eq!(stages[0].max_failures, Amount::Count(0));
    assert!(fleet.report.wants(ReportFormat::Junit) && !fleet.report.wants(ReportFormat::Markdown));
    assert!(fleet.discover.labels_from.tags);
}

#[test]
fn what_is_no_fleet_is_told_by_line_column_and_key() {
    let mut wrong = Vec::new();
    for (from, to, expected) in [
        (
            "maxFailures",
            "maxFailurs",
            "fleet.yaml:16:62: rollout.stages[1]: unknown field `maxFailurs`, expected one of `name`",
        ),
        ("maxFailures", "maxFailurs", "did you mean `maxFailures`?"),
        (
            "10m}\nvalues",
            "soon}\nvalues",
            "fleet.yaml:5:17: helm.timeout: \"soon\" is no duration",
        ),
        (
            "\"ring=0\"",
            "\"ring=\\\"0\\\" x\"",
            "fleet.yaml:15:32: rollout.stages[0].selector: ",
        ),
        (
            "bake: 10m",
            "bake: 10x",
            "fleet.yaml:15:76: rollout.stages[0].gates[0].bake: \"10x\" is no duration",
        ),
        (
            "25%",
            "125%",
            "fleet.yaml:16:57: rollout.stages[1].maxConcurrency: ",
        ),
        (
            "name: orders, names",
            "nam: orders, names",
            "fleet.yaml:3:11: release: unknown field `nam`",
        ),
        (
            "formats: [json",
            "formats: [jason",
            "fleet.yaml:17:30: report.formats[0]: unknown variant `jason`",
        ),
        (
            "optional: true",
            "optionl: true",
            "fleet.yaml:6:65: values[1]: unknown field `optionl`",
        ),
    ] {
        let told = load(&SMALL.replacen(from, to, 1)).unwrap_err().to_string();
        if !told.contains(expected) {
            wrong.push(format!("{expected}\n{told}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_contradiction_is_listed_with_its_place() {
    let text = SMALL
        .replace("name: orders, namespace: shop", "name: Orders, namespace: shop")
        .replace("kv-central/db-password", "db-password")
        .replace("name: prod", "name: canary")
        .replace("context: aks-weu-1, ", "")
        .replace(
            "{ref: ./charts/orders}",
            "{ref: ./charts/orders, digest: sha256:12}",
        );
    let Err(FleetError::Invalid { problems, .. }) = load(&text) else {
        panic!("it was accepted")
    };
    let places: Vec<&str> = problems
        .iter()
        .map(|problem| problem.split(": ").next().unwrap())
        .collect();
    assert_eq!(
        places,
        [
            "fleet.yaml:3:17",
            "fleet.yaml:8:46",
            "fleet.yaml:4:39",
            "fleet.yaml:11:5",
            "fleet.yaml:16:14"
        ],
        "{problems:#?}"
    );
    assert!(problems[3].contains("clusters[0]: give its context, its id, or both"));
}

#[test]
fn a_helm_has_four_timeouts_and_a_minute_unless_the_file_says_otherwise() {
    let fleet = |helm: &str| load(&SMALL.replace("timeout: 10m", helm));
    let deadline = |helm| fleet(helm).unwrap().helm.deadline();
    assert_eq!(deadline("timeout: 10m"), Duration::from_mins(41));
    assert_eq!(deadline("timeout: 10m, deadline: 45s"), Duration::from_secs(45));
    let Err(FleetError::Invalid { problems, .. }) = fleet("deadline: 0s") else {
        panic!("it was accepted")
    };
    assert!(problems[0].contains("helm.deadline: "), "{problems:?}");
}

#[test]
fn identities_have_one_account_each_and_names_of_what_is_known() {
    let text = SMALL.replace(
        "overrides:",
        "  reports: {serviceAccount: orders, name: \"id-{{ cluster.region }}\"}\noverrides:",
    );
    let Err(FleetError::Invalid { problems, .. }) = load(&text) else {
        panic!("it was accepted")
    };
    assert!(
        problems[0].starts_with("fleet.yaml:9:29: identities.reports.serviceAccount: "),
        "{problems:#?}"
    );
    assert!(
        problems[1].starts_with("fleet.yaml:9:43: identities.reports.name: "),
        "{problems:#?}"
    );
    assert!(problems[1].contains("cluster.location"), "{problems:#?}");
}

#[test]
fn the_schema_is_the_one_of_the_types() {
    let mut schema = schemars::schema_for!(Fleet);
    schema.insert("title".to_owned(), "Fleet files of helm fleet".into());
    let text = format::to_json(&schema).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/fleet/schema.json");
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(path).unwrap(),
        text,
        "write it anew: UPDATE_SCHEMA=1 cargo test -p helm-fleet the_schema"
    );
}

/// What of a document the schema does not allow; enough of JSON Schema for what the types above come to.
fn violations(
    schema: &serde_json::Value,
    root: &serde_json::Value,
    document: &serde_json::Value,
) -> Vec<String> {
    use serde_json::Value;
    if let Some(name) = schema["$ref"].as_str() {
        let found = root
            .pointer(name.trim_start_matches('#'))
            .expect("a reference leads somewhere");
        return violations(found, root, document);
    }
    if let Some(choices) = schema
        .get("oneOf")
        .or_else(|| schema.get("anyOf"))
        .and_then(Value::as_array)
    {
        let fits = choices
            .iter()
            .any(|choice| violations(choice, root, document).is_empty());
        return if fits {
            Vec::new()
        } else {
            vec![format!("{document} is none of the choices")]
        };
    }
    if let Some(only) = schema.get("const") {
        return if only == document {
            Vec::new()
        } else {
            vec![format!("{document} is not {only}")]
        };
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => return Vec::new(),
    };
    let is = match document {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if !types.contains(&is) {
        return vec![format!("{document} is not of type {types:?}")];
    }
    let mut found = Vec::new();
    for item in document.as_array().into_iter().flatten() {
        found.extend(violations(&schema["items"], root, item));
    }
    for (name, member) in document.as_object().into_iter().flatten() {
        match schema["properties"].get(name) {
            Some(schema) => found.extend(violations(schema, root, member)),
            None if schema["additionalProperties"] == false => found.push(format!("{name} is not known")),
            None => found.extend(violations(&schema["additionalProperties"], root, member)),
        }
    }
    let required = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    found.extend(
        required
            .filter(|name| document.get(name).is_none())
            .map(|name| format!("{name} is missing")),
    );
    found
}

#[test]
fn the_schema_allows_a_fleet_and_no_misspelling_of_it() {
    let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
    let check = |text: &str| violations(&schema, &schema, &format::from_yaml(text).unwrap());
    assert_eq!(check(SMALL), Vec::<String>::new());
    for (from, to) in [
        ("maxFailures", "maxFailurs"),
        ("[json,", "[jason,"),
        ("createNamespace", "createNamspace"),
        ("chart:", "chrt:"),
        ("bake", "bak"),
        ("name: weu-1, ", ""),
    ] {
        assert!(!check(&SMALL.replacen(from, to, 1)).is_empty(), "{to}");
    }
}
