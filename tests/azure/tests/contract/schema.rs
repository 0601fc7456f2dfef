//! Whether a value is what a schema allows: a small walker over the part of JSON schema that the files use.

use serde_json::Value;
use uuid::Uuid;

use crate::specs::{Node, Specs};

/// Fields that services answer as null where they have nothing to say, as recordings and examples show.
const NULLS: [&str; 7] = [
    "condition",
    "conditionVersion",
    "createdBy",
    "delegatedManagedIdentityResourceId",
    "description",
    "nextLink",
    "updatedBy",
];
/// Bare objects that stand for anything: the rows of Resource Graph are a list or a table.
const ANYTHING: [&str; 1] = [".data"];

/// What is wrong with a value, each as `path: reason`.
pub(crate) fn check(specs: &Specs, schema: Node<'_>, value: &Value) -> Vec<String> {
    let mut findings = Vec::new();
    walk(specs, schema, value, "", &mut findings);
    findings
}

fn walk(specs: &Specs, schema: Node<'_>, value: &Value, path: &str, findings: &mut Vec<String>) {
    // A reference into a file that is not there: anything may stand here.
    let Some(schema) = specs.resolve(schema) else {
        return;
    };
    let wanted = schema.value;
    if value.is_null() {
        // Most fields are left out where there is nothing to say; `required` is judged by the caller.
        let field = path.rsplit('.').next().unwrap_or_default();
        if wanted["x-nullable"] != true && !NULLS.contains(&field) {
            findings.push(format!(
                "{path}: null, and neither the specification nor a recording has that"
            ));
        }
        return;
    }
    let mut wrong = |reason: String| findings.push(format!("{path}: {reason}"));
    let fits = match wanted["type"].as_str() {
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object() || ANYTHING.contains(&path),
        _ => true,
    };
    if !fits {
        wrong(format!("not a {}: {value}", wanted["type"]));
        return;
    }
    if let Some(text) = value.as_str() {
        if wanted["format"] == "uuid" && Uuid::parse_str(text).is_err() {
            wrong(format!("no uuid: {text}"));
        }
        let open = wanted["x-ms-enum"]["modelAsString"] == true;
        if let Some(allowed) = wanted["enum"].as_array()
            && !open
            && !allowed.contains(value)
        {
            wrong(format!("{text} is none of {allowed:?}"));
        }
    }
    if let (Some(items), Some(list)) = (wanted.get("items"), value.as_array()) {
        for (at, item) in list.iter().enumerate() {
            let node = Node {
                file: schema.file,
                value: items,
            };
            walk(specs, node, item, &format!("{path}[{at}]"), findings);
        }
    }
    if let Some(object) = value.as_object() {
        let mut shape = Shape::default();
        shape.collect(specs, schema);
        for name in shape
            .required
            .iter()
            .filter(|name| object.get(**name).is_none_or(Value::is_null))
        {
            findings.push(format!("{path}.{name}: required, but absent"));
        }
        for (name, inner) in object {
            let at = format!("{path}.{name}");
            match shape.properties.iter().find(|(known, _)| known == name) {
                Some((_, node)) => walk(specs, *node, inner, &at, findings),
                None if shape.open || shape.properties.is_empty() => {}
                None => findings.push(format!("{at}: not in the specification")),
            }
        }
    }
}

/// What an object may and must hold, over all that it inherits.
#[derive(Default)]
struct Shape<'a> {
    properties: Vec<(&'a str, Node<'a>)>,
    required: Vec<&'a str>,
    open: bool,
}

impl<'a> Shape<'a> {
    fn collect(&mut self, specs: &'a Specs, schema: Node<'a>) {
        let Some(schema) = specs.resolve(schema) else {
            self.open = true;
            return;
        };
        let at = |value: &'a Value| Node {
            file: schema.file,
            value,
        };
        for (name, value) in schema.value["properties"].as_object().into_iter().flatten() {
            self.properties.push((name, at(value)));
        }
        for name in schema.value["required"].as_array().into_iter().flatten() {
            self.required.extend(name.as_str());
        }
        let extra = &schema.value["additionalProperties"];
        self.open |= extra.is_object() || extra == true;
        for parent in schema.value["allOf"].as_array().into_iter().flatten() {
            self.collect(specs, at(parent));
        }
    }
}

/// Fields that the example's answer has and ours lacks, lists seen through their first element.
pub(crate) fn absent(example: &Value, ours: &Value, path: &str, out: &mut Vec<String>) {
    match (example, ours) {
        (Value::Object(wanted), Value::Object(have)) => {
            for (name, inner) in wanted.iter().filter(|(_, inner)| !inner.is_null()) {
                match have.get(name) {
                    Some(found) => absent(inner, found, &format!("{path}.{name}"), out),
                    None => out.push(format!("{path}.{name}")),
                }
            }
        }
        (Value::Array(wanted), Value::Array(have)) => {
            if let (Some(first), Some(found)) = (wanted.first(), have.first()) {
                absent(first, found, &format!("{path}[]"), out);
            }
        }
        _ => {}
    }
}
