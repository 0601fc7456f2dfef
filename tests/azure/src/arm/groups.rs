//! Subscriptions, tenants and resource groups.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::error::ArmError;
use super::{Ask, Kind, allowed, page};
use crate::http::Reply;
use crate::seed::Subscription;
use crate::state::{Group, State, Tags, key, within};

/// The kind of groups, as actions and Resource Graph name it.
pub(super) const KIND: &str = "Microsoft.Resources/subscriptions/resourceGroups";
const READ: &str = "Microsoft.Resources/subscriptions/resourceGroups/read";
const WRITE: &str = "Microsoft.Resources/subscriptions/resourceGroups/write";

fn subscription_document(state: &State, subscription: &Subscription) -> Value {
    json!({
        "id": format!("/subscriptions/{}", subscription.id),
        "authorizationSource": "RoleBased",
        "subscriptionId": subscription.id,
        "tenantId": state.tenant().id,
        "displayName": subscription.display_name,
        "state": "Enabled",
        "subscriptionPolicies": {
            "locationPlacementId": "Public_2014-09-01", "quotaId": "PayAsYouGo_2014-09-01", "spendingLimit": "Off",
        },
        "managedByTenants": [],
    })
}

/// A group as the resource manager shows it.
pub(super) fn document(group: &Group) -> Value {
    json!({
        "id": group.id,
        "name": group.name,
        "type": "Microsoft.Resources/resourceGroups",
        "location": group.location,
        "tags": group.tags,
        "properties": {"provisioningState": "Succeeded"},
    })
}

/// Those in which the caller has any role, however deep.
pub(super) fn subscriptions(ask: Ask<'_>) -> Result<Reply, ArmError> {
    let state = ask.world.state();
    let visible = |subscription: &&Subscription| {
        let scope = format!("/subscriptions/{}", subscription.id);
        state.assignments.seen(ask.now).any(|assignment| {
            assignment.principal_id == ask.caller.object_id
                && (within(&assignment.scope, &scope) || within(&scope, &assignment.scope))
        })
    };
    let items = state
        .subscriptions
        .iter()
        .filter(visible)
        .map(|one| subscription_document(&state, one))
        .collect();
    drop(state);
    page::reply(ask, items)
}

pub(super) fn subscription(ask: Ask<'_>, given: &str) -> Result<Reply, ArmError> {
    let state = ask.world.state();
    ask.require(
        &state,
        "Microsoft.Resources/subscriptions/read",
        &format!("/subscriptions/{given}"),
    )?;
    state
        .subscription(given)
        .map(|one| Reply::ok(subscription_document(&state, one)))
        .ok_or_else(|| ArmError::subscription(given))
}

pub(super) fn tenants(ask: Ask<'_>) -> Result<Reply, ArmError> {
    let (id, name) = {
        let state = ask.world.state();
        (state.tenant().id, state.tenant().display_name.clone())
    };
    page::reply(
        ask,
        vec![json!({"id": format!("/tenants/{id}"), "tenantId": id, "displayName": name})],
    )
}

/// The groups that the caller may read.
pub(super) fn list(ask: Ask<'_>, subscription: &str) -> Result<Reply, ArmError> {
    let state = ask.world.state();
    let scope = format!("/subscriptions/{subscription}");
    let readable = |group: &&Group| {
        within(&group.id, &scope)
            && allowed(
                &state,
                ask.now,
                ask.caller.object_id,
                Kind::Action,
                READ,
                &group.id,
            )
            .is_some()
    };
    let items = state.groups.values().filter(readable).map(document).collect();
    drop(state);
    page::reply(ask, items)
}

/// One group: read or made.
pub(super) fn one(ask: Ask<'_>, subscription: &str, name: &str) -> Result<Reply, ArmError> {
    let mut state = ask.world.state();
    let id = format!("/subscriptions/{subscription}/resourceGroups/{name}");
    match ask.call.method {
        Method::GET | Method::HEAD => {
            ask.require(&state, READ, &id)?;
            let group = state.groups.get(&key(&id)).ok_or_else(|| ArmError::group(name))?;
            Ok(Reply::ok(document(group)))
        }
        Method::PUT => {
            ask.require(&state, WRITE, &id)?;
            let body = ask.body()?;
            let location = location(&body)?.to_owned();
            let tags = tags(&body)?;
            Ask::check_policies(&state, KIND, &id, &body)?;
            let group = Group {
                id: id.clone(),
                name: name.to_owned(),
                location,
                tags,
            };
            let reply = document(&group);
            let status = match state.groups.insert(key(&id), group) {
                None => StatusCode::CREATED,
                Some(_) => StatusCode::OK,
            };
            Ok(Reply::json(status, reply))
        }
        ref other => Err(ArmError::method(other.as_str())),
    }
}

/// The location of a body: every resource needs one.
pub(super) fn location(body: &Value) -> Result<&str, ArmError> {
    body["location"].as_str().ok_or_else(|| {
        let message = "The location property is required for this definition.";
        ArmError::bad_request("LocationRequired", message)
    })
}

/// Resources stay where they are.
pub(super) fn check_location(name: &str, group: &str, known: &str, wanted: &str) -> Result<(), ArmError> {
    if known.eq_ignore_ascii_case(wanted) {
        return Ok(());
    }
    let message = format!(
        "The resource '{name}' already exists in location '{known}' in resource group '{group}'. A resource with the \
         same name cannot be created in location '{wanted}'. Please select a new resource name."
    );
    Err(ArmError::conflict("InvalidResourceLocation", message))
}

/// The tags of a body: none if absent.
pub(super) fn tags(body: &Value) -> Result<Tags, ArmError> {
    match body.get("tags") {
        None | Some(Value::Null) => Ok(Tags::new()),
        Some(tags) => serde_json::from_value(tags.clone())
            .map_err(|_| ArmError::bad_request("InvalidTags", "Tags must be an object of strings.")),
    }
}
