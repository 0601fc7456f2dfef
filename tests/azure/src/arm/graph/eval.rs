//! Runs a query over rows.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::parse::{How, Operand, Query, Stage, Test};

type Row = Map<String, Value>;

/// The rows that a query answers.
pub(super) fn run(query: &Query, mut rows: Vec<Row>) -> Vec<Row> {
    for stage in &query.stages {
        match stage {
            Stage::Where(test) => rows.retain(|row| holds(test, row)),
            Stage::Take(count) => rows.truncate(*count),
            Stage::Order { by, descending } => {
                rows.sort_by_key(|row| text(&value(by, row)).to_lowercase());
                if *descending {
                    rows.reverse();
                }
            }
            Stage::Project(columns) => {
                let project = |row: &Row| {
                    columns
                        .iter()
                        .map(|(name, operand)| (name.clone(), value(operand, row).into_owned()))
                        .collect()
                };
                rows = rows.iter().map(project).collect();
            }
            Stage::Extend(columns) => {
                for row in &mut rows {
                    for (name, operand) in columns {
                        let value = value(operand, row).into_owned();
                        row.insert(name.clone(), value);
                    }
                }
            }
        }
    }
    rows
}

fn holds(test: &Test, row: &Row) -> bool {
    match test {
        Test::All(tests) => tests.iter().all(|test| holds(test, row)),
        Test::Any(tests) => tests.iter().any(|test| holds(test, row)),
        Test::Not(test) => !holds(test, row),
        Test::Empty(operand) => text(&value(operand, row)).is_empty(),
        Test::Compare {
            left,
            how,
            right,
            negated,
        } => {
            let left = text(&value(left, row));
            right
                .iter()
                .any(|right| compare(&left, *how, &text(&value(right, row))))
                != *negated
        }
    }
}

fn compare(left: &str, how: How, right: &str) -> bool {
    let (left_lower, right_lower) = (left.to_lowercase(), right.to_lowercase());
    match how {
        How::Equal => left == right,
        How::Alike => left_lower == right_lower,
        How::Contains => left_lower.contains(&right_lower),
        How::StartsWith => left_lower.starts_with(&right_lower),
        How::EndsWith => left_lower.ends_with(&right_lower),
    }
}

/// Field names have no case at the top, where they are columns.
fn value<'a>(operand: &'a Operand, row: &'a Row) -> Cow<'a, Value> {
    match operand {
        Operand::Text(text) => Cow::Owned(Value::from(text.as_str())),
        Operand::Bool(flag) => Cow::Owned(Value::from(*flag)),
        Operand::Number(number) => Cow::Owned(Value::from(*number)),
        Operand::Lower(inner) => Cow::Owned(Value::from(text(&value(inner, row)).to_lowercase())),
        Operand::AsText(inner) => Cow::Owned(Value::from(text(&value(inner, row)))),
        Operand::Field(path) => {
            let column = row
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(&path[0]))
                .map(|(_, value)| value);
            let found = path[1..]
                .iter()
                .try_fold(column, |value, name| value.map(|value| value.get(name)));
            found.flatten().map_or(Cow::Owned(Value::Null), Cow::Borrowed)
        }
    }
}

/// As queries compare it; nothing is the empty text.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::parse::query;
    use super::*;

    fn names(text: &str) -> Vec<String> {
        let row = |name: &str, kind: &str, fqdn: &str, env: &str| {
            let row = json!({
                "name": name, "type": kind, "tags": {"env": env},
                "properties": {"fqdn": fqdn, "oidcIssuerProfile": {"enabled": true}},
            });
            row.as_object().unwrap().clone()
        };
        let kind = "microsoft.containerservice/managedclusters";
        let rows = vec![
            row("a", kind, "10.0.0.1", "prod"),
            row("b", kind, "10.0.0.2", "test"),
            row("v", "microsoft.keyvault/vaults", "", "prod"),
        ];
        let rows = run(&query(text).unwrap(), rows);
        rows.iter()
            .map(|row| row["name"].as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn rows_are_found_as_tools_ask_for_them() {
        let host = "Resources | where type =~ 'Microsoft.ContainerService/managedClusters' \
                    | where properties.fqdn =~ '10.0.0.2' or properties.privateFQDN =~ '10.0.0.2' \
                    | project id, name, location, tenantId";
        assert_eq!(names(host), ["b"]);
        assert_eq!(
            names("resources | where tags['env'] == 'prod' | project name | order by name desc"),
            ["v", "a"]
        );
        assert_eq!(
            names("resources | where name in~ ('A', 'v') and type !contains 'vault'"),
            ["a"]
        );
        assert_eq!(
            names("resources | where isnotempty(properties.fqdn) | take 1"),
            ["a"]
        );
        assert_eq!(
            names("resources | where tolower(tags.env) == 'test' | project name"),
            ["b"]
        );
        assert_eq!(
            names("resources | where properties.oidcIssuerProfile.enabled == true | take 9").len(),
            3
        );
        assert_eq!(
            names("resources | where name == 'v' | extend x = tostring(tags.env) | project name, x"),
            ["v"]
        );
    }
}
