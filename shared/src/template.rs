//! Templates of names and values: `{{ }}` only, unknown variables are errors that list the known ones.

use minijinja::{Environment, UndefinedBehavior, value::Serde};
use serde_json::Value;

/// A template could not be rendered.
#[derive(Debug, thiserror::Error)]
#[error("template {template:?} cannot be rendered: {why}; known: {known}")]
pub struct TemplateError {
    /// The template as written.
    pub template: String,
    /// What is wrong with it.
    pub why: String,
    /// The variables that exist, dotted, comma-separated.
    pub known: String,
}

/// Renders a template against variables, a JSON object.
pub fn render(template: &str, variables: &Value) -> Result<String, TemplateError> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment
        .render_str(template, Serde(variables))
        .map_err(|error| TemplateError {
            template: template.to_owned(),
            why: error
                .detail()
                .map_or_else(|| error.kind().to_string(), str::to_owned),
            known: known_variables(variables).join(", "),
        })
}

/// Whether a text holds a template expression.
pub fn is_template(text: &str) -> bool {
    text.contains("{{")
}

/// The dotted names of all scalars in `variables`.
pub(crate) fn known_variables(variables: &Value) -> Vec<String> {
    let mut names = Vec::new();
    collect("", variables, &mut names);
    names
}

fn collect(prefix: &str, value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let path = if prefix.is_empty() {
                    name.clone()
                } else {
                    format!("{prefix}.{name}")
                };
                collect(&path, member, names);
            }
        }
        _ => names.push(prefix.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn variables_are_filled_in() {
        let variables = json!({"cluster": {"name": "weu-1", "labels": {"env": "prod"}}});
        assert_eq!(
            render("id-{{ cluster.name }}-{{ cluster.labels.env }}", &variables).unwrap(),
            "id-weu-1-prod"
        );
        assert_eq!(render("{{ cluster.labels['env'] }}", &variables).unwrap(), "prod");
    }

    #[test]
    fn an_unknown_variable_lists_the_known_ones() {
        let error = render("{{ cluster.nam }}", &json!({"cluster": {"name": "x"}})).unwrap_err();
        assert!(error.to_string().contains("cluster.name"), "{error}");
    }
}
