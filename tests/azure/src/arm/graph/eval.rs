//! Runs a query over rows.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::query::{How, Operand, Query, Stage, Test};

type Row = Map<String, Value>;

/// The rows that a query answers.
pub(super) fn run(query: &Query, mut rows: Vec<Row>) -> Vec<Row> {
    for stage in &query.stages {
        match stage {
            Stage::Where(test) => rows.retain(|row| holds(test, row)),
            Stage::Take(count) => rows.truncate(*count),
            Stage::Order { by, descending } => {
                rows.sort_by(|a, b| order(&value(by, a), &value(by, b)));
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
            Stage::Summarize { count, by } => rows = summarize(count.as_deref(), by, &rows),
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

/// Numbers by their size, everything else as text.
fn order(left: &Value, right: &Value) -> Ordering {
    match (left.as_i64(), right.as_i64()) {
        (Some(left), Some(right)) => left.cmp(&right),
        _ => text(left).to_lowercase().cmp(&text(right).to_lowercase()),
    }
}

/// One row for each combination of these columns, in the order in which they come, with the number of its rows.
fn summarize(count: Option<&str>, by: &[(String, Operand)], rows: &[Row]) -> Vec<Row> {
    let mut groups: Vec<(Row, u64)> = Vec::new();
    if by.is_empty() {
        // Also no rows are counted.
        groups.push((Row::new(), 0));
    }
    for row in rows {
        let columns = by
            .iter()
            .map(|(name, operand)| (name.clone(), value(operand, row).into_owned()));
        let columns: Row = columns.collect();
        match groups.iter_mut().find(|(known, _)| *known == columns) {
            Some((_, number)) => *number += 1,
            None => groups.push((columns, 1)),
        }
    }
    let named = |(mut row, number): (Row, u64)| {
        if let Some(count) = count {
            row.insert(count.to_owned(), number.into());
        }
        row
    };
    groups.into_iter().map(named).collect()
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

    fn rows(text: &str) -> Vec<Row> {
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
        run(&query(text).unwrap(), rows)
    }

    fn names(text: &str) -> Vec<String> {
        rows(text)
            .iter()
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

    #[test]
    fn rows_are_counted_by_what_is_the_same() {
        let all = |text: &str| serde_json::to_value(rows(text)).unwrap();
        assert_eq!(
            all("resources | summarize count() by type | top 1 by count_"),
            json!([{"type": "microsoft.containerservice/managedclusters", "count_": 2}])
        );
        assert_eq!(
            all("resources | summarize n = count() by tostring(tags.env) | order by n asc"),
            json!([{"tags_env": "test", "n": 1}, {"tags_env": "prod", "n": 2}])
        );
        assert_eq!(
            all("resources | where name == 'v' | summarize by location"),
            json!([{"location": null}])
        );
        assert_eq!(
            all("resources | where name == 'x' | summarize count()"),
            json!([{"count_": 0}])
        );
    }
}
