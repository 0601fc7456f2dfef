//! Label selectors, with the grammar and meaning of Kubernetes: `env=prod,ring!=0`, `ring in (0, 1)`, `!canary`.

use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::fmt;

/// Which clusters, by their labels; the empty selector means all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selector {
    text: String,
    requirements: Vec<Requirement>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Requirement {
    In { key: String, values: Vec<String> },
    NotIn { key: String, values: Vec<String> },
    Exists { key: String },
    Absent { key: String },
}

/// A text that is no selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{selector:?} is no label selector: {why}")]
pub struct SelectorError {
    selector: String,
    why: String,
}

impl Selector {
    /// Whether a cluster with these labels is selected.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.requirements.iter().all(|requirement| match requirement {
            Requirement::In { key, values } => labels.get(key).is_some_and(|value| values.contains(value)),
            // As in Kubernetes, a cluster without the label is not unequal to nothing: it matches.
            Requirement::NotIn { key, values } => labels.get(key).is_none_or(|value| !values.contains(value)),
            Requirement::Exists { key } => labels.contains_key(key),
            Requirement::Absent { key } => !labels.contains_key(key),
        })
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl std::str::FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let requirements = split(text)
            .into_iter()
            .map(parse_requirement)
            .collect::<Result<_, _>>()
            .map_err(|why| SelectorError {
                selector: text.to_owned(),
                why,
            })?;
        Ok(Self {
            text: text.trim().to_owned(),
            requirements,
        })
    }
}

#[cfg(test)]
impl schemars::JsonSchema for Selector {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Selector".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "Which clusters, by their labels: `env=prod,ring!=0`, `ring in (0, 1)`, `!canary`; empty means all.",
            "type": "string",
        })
    }
}

impl<'de> Deserialize<'de> for Selector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        aks_shared::format::parsed(deserializer, str::parse)
    }
}

/// Splits at the commas outside parentheses; nothing at all is no requirement.
fn split(text: &str) -> Vec<&str> {
    if text.trim().is_empty() {
        return Vec::new();
    }
    let mut depth = 0_i32;
    text.split(|character| {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        character == ',' && depth <= 0
    })
    .collect()
}

fn parse_requirement(text: &str) -> Result<Requirement, String> {
    let text = text.trim();
    if let Some(key) = text.strip_prefix('!') {
        return Ok(Requirement::Absent { key: check_key(key)? });
    }
    if let Some((key, value)) = text.split_once("!=") {
        return Ok(Requirement::NotIn {
            key: check_key(key)?,
            values: vec![check_value(value)?],
        });
    }
    if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return Ok(Requirement::In {
            key: check_key(key)?,
            values: vec![check_value(value)?],
        });
    }
    let Some((head, list)) = text.split_once('(') else {
        return Ok(Requirement::Exists {
            key: check_key(text)?,
        });
    };
    let list = list
        .strip_suffix(')')
        .ok_or_else(|| format!("{text:?} has no closing parenthesis"))?;
    let values = list.split(',').map(check_value).collect::<Result<Vec<_>, _>>()?;
    let mut words = head.split_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some(key), Some("in"), None) => Ok(Requirement::In {
            key: check_key(key)?,
            values,
        }),
        (Some(key), Some("notin"), None) => Ok(Requirement::NotIn {
            key: check_key(key)?,
            values,
        }),
        _ => Err(format!("{text:?} is neither KEY in (…) nor KEY notin (…)")),
    }
}

fn check_key(text: &str) -> Result<String, String> {
    let key = text.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    if key.is_empty() || !key.chars().all(plain) {
        return Err(format!("{key:?} is no label name"));
    }
    Ok(key.to_owned())
}

fn check_value(text: &str) -> Result<String, String> {
    let value = text.trim();
    if value
        .chars()
        .any(|c| c.is_whitespace() || matches!(c, '=' | '!' | '(' | ')'))
    {
        return Err(format!("{value:?} is no label value"));
    }
    Ok(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn requirements_mean_what_kubernetes_means() {
        let prod = labels(&[("env", "prod"), ("ring", "1")]);
        for (selector, expected) in [
            ("", true),
            ("env=prod", true),
            ("env==prod,ring!=0", true),
            ("env=prod,ring!=1", false),
            ("absent!=x", true),
            ("ring in (0, 1)", true),
            ("ring notin (0,1),env", false),
            ("env", true),
            ("!env", false),
            ("!absent", true),
            ("absent=", false),
        ] {
            assert_eq!(
                selector.parse::<Selector>().unwrap().matches(&prod),
                expected,
                "{selector}"
            );
        }
    }

    #[test]
    fn malformed_selectors_are_refused() {
        for bad in ["=x", "a,,b", "a in 0", "a in (0", "a within (0)", "a=b c", "a b"] {
            assert!(bad.parse::<Selector>().is_err(), "{bad}");
        }
    }
}
