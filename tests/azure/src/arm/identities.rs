//! User-assigned managed identities.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::error::ArmError;
use super::groups::{check_location, location, tags};
use super::router::Place;
use super::{Ask, page};
use crate::http::Reply;
use crate::state::{Identity, Replicated, State, key, within};

pub(super) const KIND: &str = "Microsoft.ManagedIdentity/userAssignedIdentities";

/// An identity as the resource provider shows it.
pub(super) fn document(state: &State, identity: &Identity) -> Value {
    json!({
        "id": identity.id,
        "name": identity.name,
        "type": KIND,
        "location": identity.location,
        "tags": identity.tags,
        "properties": {
            "tenantId": state.tenant().id,
            "principalId": identity.principal_id,
            "clientId": identity.client_id,
        },
    })
}

pub(super) fn list(ask: Ask<'_>, scope: &str) -> Result<Reply, ArmError> {
    let state = ask.world.state();
    let action = format!("{KIND}/read");
    let readable = ask.readable(&state, &action, scope)?;
    let items = state
        .identities
        .values()
        .filter(|one| within(&one.id, scope) && readable(&one.id));
    let items = items.map(|one| document(&state, one)).collect();
    drop(readable);
    drop(state);
    page::reply(ask, items)
}

/// One identity.
pub(super) fn one(ask: Ask<'_>, place: Place<'_>) -> Result<Reply, ArmError> {
    let mut state = ask.world.state();
    let id = place.id(KIND);
    let verb = match ask.call.method {
        Method::GET => "read",
        Method::PUT | Method::PATCH => "write",
        Method::DELETE => "delete",
        ref other => return Err(ArmError::method(other.as_str())),
    };
    ask.require(&state, &format!("{KIND}/{verb}"), &id)?;
    place.require_group(&state)?;
    match ask.call.method {
        Method::PUT => put(ask, &mut state, place),
        Method::DELETE => Ok(Reply::empty(delete(ask, &mut state, &id))),
        Method::PATCH => patch(ask, &mut state, place),
        _ => {
            let found = state.identities.get(&key(&id));
            let identity = found.ok_or_else(|| ArmError::resource(KIND, place.name, place.group))?;
            Ok(Reply::ok(document(&state, identity)))
        }
    }
}

/// Roles stay behind, as in Azure: they then belong to nobody.
fn delete(ask: Ask<'_>, state: &mut State, id: &str) -> StatusCode {
    tracing::debug!(id, caller = %ask.caller.client_id, "identity deleted");
    match state.identities.remove(&key(id)) {
        Some(_) => StatusCode::OK,
        None => StatusCode::NO_CONTENT,
    }
}

fn patch(ask: Ask<'_>, state: &mut State, place: Place<'_>) -> Result<Reply, ArmError> {
    let tags = tags(&ask.body()?)?;
    let found = state.identities.get_mut(&key(&place.id(KIND)));
    let identity = found.ok_or_else(|| ArmError::resource(KIND, place.name, place.group))?;
    identity.tags = tags;
    let identity = identity.clone();
    Ok(Reply::ok(document(state, &identity)))
}

fn put(ask: Ask<'_>, state: &mut State, place: Place<'_>) -> Result<Reply, ArmError> {
    check_name(place.name)?;
    let body = ask.body()?;
    let location = location(&body)?.to_owned();
    let tags = tags(&body)?;
    Ask::check_policies(state, KIND, &place.id(KIND), &body)?;
    // The resource provider answers the group's segment in lower case.
    let id = place.id(KIND).replace("/resourceGroups/", "/resourcegroups/");
    let known = state.identities.get(&key(&id)).cloned();
    let status = if known.is_some() {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    let identity = match known {
        Some(known) => {
            check_location(&known.name, place.group, &known.location, &location)?;
            Identity { tags, ..known }
        }
        None => Identity {
            name: place.name.to_owned(),
            location,
            tags,
            client_id: state.ids.next(&format!("client/{id}")),
            principal_id: state.ids.next(&format!("object/{id}")),
            created: ask.now,
            credentials: Replicated::default(),
            writing: false,
            id: id.clone(),
        },
    };
    let mut reply = Reply::json(status, document(state, &identity));
    if status == StatusCode::CREATED {
        reply = reply.with_header("location", id.clone());
    }
    state.identities.insert(key(&id), identity);
    Ok(reply)
}

fn check_name(name: &str) -> Result<(), ArmError> {
    let proper = (3..=128).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if proper {
        return Ok(());
    }
    let message = format!(
        "The name '{name}' is not valid: 3 to 128 letters, digits, hyphens and underscores, a letter or digit first."
    );
    Err(ArmError::bad_request("InvalidResourceName", message))
}
