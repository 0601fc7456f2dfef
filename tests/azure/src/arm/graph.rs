//! Resource Graph: the queries that tools of this kind ask, over what the caller may read.

mod eval;
mod parse;
mod query;
mod tokens;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::error::ArmError;
use super::{Ask, Kind, allowed, clusters, groups, identities, vaults};
use crate::clock::Millis;
use crate::http::Reply;
use crate::state::{State, key};
use crate::world::World;

/// Rows on one page, unless the request asks for fewer.
const PAGE: usize = 1000;
/// Rows look as in the newest version of each resource's interface.
const NEWEST: &str = "9999-12-31";
/// The one kind of resource that is in the table of containers.
const GROUPS: &str = groups::KIND;

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
    index(ask.world, ask.now);
    let rows: Vec<Map<String, Value>> = {
        let state = ask.world.state();
        rows(ask, &state, &query.table)
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
    Ok(Reply::ok(reply))
}

/// The rows of a table that the caller may read; what it may not read is not there.
fn rows(ask: Ask<'_>, state: &State, table: &str) -> Vec<Map<String, Value>> {
    let readable = |document: &Value| {
        let kind = document["type"].as_str().unwrap_or_default();
        let is_group = kind.eq_ignore_ascii_case(GROUPS);
        let id = document["id"].as_str().unwrap_or_default();
        if is_group != (table == "resourcecontainers") {
            return None;
        }
        let action = format!("{kind}/read");
        allowed(state, ask.now, ask.caller.object_id, Kind::Action, &action, id)?;
        row(state, id, document.clone())
    };
    state.index.seen(ask.now).filter_map(readable).collect()
}

/// Brings the index up to date: what has changed since is seen after its delay.
pub(crate) fn index(world: &World, now: Millis) {
    let mut state = world.state();
    state.settle(now);
    let documents: BTreeMap<String, Value> = documents(&state)
        .into_iter()
        .map(|document| (key(document["id"].as_str().unwrap_or_default()), document))
        .collect();
    let gone: Vec<String> = state
        .index
        .iter()
        .filter(|(id, _)| !documents.contains_key(*id))
        .map(|(id, _)| id.to_owned())
        .collect();
    let delay = |id: &str| world.weather().over(&[id]).graph_delay_ms;
    for id in gone {
        state.index.remove(now, delay(&id), &id);
    }
    for (id, document) in documents {
        if state.index.get(&id) != Some(&document) {
            let delay = delay(&id);
            state.index.insert(now, delay, id, document);
        }
    }
}

/// Everything that is indexed.
fn documents(state: &State) -> Vec<Value> {
    let clusters = state.clusters.values().map(|one| clusters::document(one, NEWEST));
    let identities = state
        .identities
        .values()
        .map(|one| identities::document(state, one));
    let vaults = state.vaults.values().map(|one| vaults::document(state, one));
    let groups = state.groups.values().map(|one| {
        let mut document = groups::document(one);
        document["type"] = GROUPS.into();
        document
    });
    clusters.chain(identities).chain(vaults).chain(groups).collect()
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
