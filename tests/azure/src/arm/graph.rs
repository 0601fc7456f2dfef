//! Resource Graph: the queries that tools of this kind ask, over what the caller may read.

mod eval;
mod parse;

use serde_json::{Map, Value, json};

use super::error::ArmError;
use super::{Ask, Kind, allowed, clusters, identities, vaults};
use crate::http::Reply;
use crate::state::{Identity, State, key};

/// Rows on one page, unless the request asks for fewer.
const PAGE: usize = 1000;

/// Answers a query.
pub(super) fn answer(ask: Ask<'_>) -> Result<Reply, ArmError> {
    let body = ask.body()?;
    let text = body["query"].as_str().unwrap_or_default();
    let invalid =
        |message: String| ArmError::bad_request("BadRequest", format!("Query is invalid. {message}"));
    let query = parse::query(text).map_err(|error| invalid(error.to_string()))?;
    let subscriptions: Option<Vec<String>> = body["subscriptions"].as_array().map(|list| {
        list.iter()
            .filter_map(Value::as_str)
            .map(str::to_lowercase)
            .collect()
    });
    let delay = ask.world.weather().weather.graph_delay_ms;
    let rows: Vec<Map<String, Value>> = {
        let mut state = ask.world.state();
        state.settle(ask.now);
        rows(ask, &state, &query.table, delay)
            .into_iter()
            .filter(|row| {
                let subscription = row
                    .get("subscriptionId")
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                subscriptions
                    .as_ref()
                    .is_none_or(|wanted| wanted.contains(&subscription.to_lowercase()))
            })
            .collect()
    };
    let rows = eval::run(&query, rows);
    let total = rows.len();
    let options = &body["options"];
    let number = |name: &str| {
        options[name]
            .as_u64()
            .and_then(|number| usize::try_from(number).ok())
    };
    let from = match options["$skipToken"].as_str() {
        None => number("$skip").unwrap_or(0),
        Some(token) => token
            .parse()
            .map_err(|_| invalid("The skip token is not valid.".to_owned()))?,
    };
    let size = number("$top").unwrap_or(PAGE).clamp(1, PAGE);
    let data: Vec<Value> = rows
        .into_iter()
        .skip(from)
        .take(size)
        .map(Value::Object)
        .collect();
    let mut reply = json!({
        "totalRecords": total,
        "count": data.len(),
        "data": data,
        "facets": [],
        "resultTruncated": "false",
    });
    if from + size < total {
        reply["$skipToken"] = (from + size).to_string().into();
    }
    Ok(Reply::ok(reply)
        .with_header("x-ms-user-quota-remaining", "14")
        .with_header("x-ms-user-quota-resets-after", "00:00:05"))
}

/// The rows of a table that the caller may read; what it may not read is not there, nor an identity younger than the
/// delay.
fn rows(ask: Ask<'_>, state: &State, table: &str, delay: u64) -> Vec<Map<String, Value>> {
    let documents: Vec<(&str, Value)> = if table == "resources" {
        let clusters = state.clusters.values().map(|one| {
            (
                "Microsoft.ContainerService/managedClusters/read",
                clusters::document(one),
            )
        });
        let known = |one: &&Identity| one.created.saturating_add_unsigned(delay) <= ask.now;
        let identities = state.identities.values().filter(known).map(|one| {
            (
                "Microsoft.ManagedIdentity/userAssignedIdentities/read",
                identities::document(state, one),
            )
        });
        let vaults = state
            .vaults
            .values()
            .map(|one| ("Microsoft.KeyVault/vaults/read", vaults::document(state, one)));
        clusters.chain(identities).chain(vaults).collect()
    } else {
        let groups = state.groups.values().map(|group| {
            let document = json!({
                "id": group.id, "name": group.name, "location": group.location, "tags": group.tags,
                "type": "microsoft.resources/subscriptions/resourcegroups",
                "properties": {"provisioningState": "Succeeded"},
            });
            ("Microsoft.Resources/subscriptions/resourceGroups/read", document)
        });
        groups.collect()
    };
    let readable = |(action, document): (&str, Value)| {
        let id = document["id"].as_str().unwrap_or_default().to_owned();
        allowed(state, ask.now, ask.caller.object_id, Kind::Action, action, &id)?;
        row(state, &id, document)
    };
    documents.into_iter().filter_map(readable).collect()
}

/// A document as a row: with its ids taken apart, and its kind in lower case.
fn row(state: &State, id: &str, document: Value) -> Option<Map<String, Value>> {
    let Value::Object(mut row) = document else {
        return None;
    };
    let segments: Vec<&str> = id.split('/').collect();
    let kind = key(row.get("type").and_then(Value::as_str).unwrap_or_default());
    row.insert("type".to_owned(), kind.into());
    row.insert(
        "subscriptionId".to_owned(),
        segments.get(2).copied().unwrap_or_default().into(),
    );
    row.insert(
        "resourceGroup".to_owned(),
        segments.get(4).copied().unwrap_or_default().to_lowercase().into(),
    );
    row.insert("tenantId".to_owned(), state.tenant().id.to_string().into());
    Some(row)
}
