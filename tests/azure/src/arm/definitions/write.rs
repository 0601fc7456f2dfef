//! Custom roles are made, changed and deleted by those who may do so wherever the role can be assigned.
//!
//! <https://learn.microsoft.com/azure/role-based-access-control/custom-roles>; what is refused follows
//! <https://learn.microsoft.com/azure/role-based-access-control/troubleshooting#custom-roles>.

use axum::http::StatusCode;
use serde_json::Value;
use uuid::Uuid;

use super::super::assignments::{check_scope, or_root};
use super::super::error::ArmError;
use super::super::roles::{Custom, Role};
use super::super::{Ask, Kind, allowed};
use super::{CUSTOM, KIND, document};
use crate::http::Reply;
use crate::state::State;

/// Makes or changes a role; 201 either way.
pub(super) fn put(ask: Ask<'_>, state: &mut State, scope: &str, name: &str) -> Result<Reply, ArmError> {
    let action = format!("{KIND}/write");
    let body = ask.body()?;
    ask.require(state, &action, or_root(scope))?;
    check_scope(state, scope)?;
    let wanted = wanted(ask, name, &body["properties"])?;
    let custom = wanted.custom.iter();
    for (at, linked) in custom.flat_map(|custom| &custom.assignable_scopes).enumerate() {
        if !linked.to_lowercase().starts_with("/subscriptions/") {
            let message = format!(
                "Property id '{linked}' at path 'properties.assignableScopes[{at}]' is invalid. Expect fully qualified \
                 resource Id that start with '/subscriptions/{{subscriptionId}}' or \
                 '/providers/{{resourceProviderNamespace}}/'."
            );
            return Err(ArmError::bad_request("LinkedInvalidPropertyId", message));
        }
        require_linked(ask, state, &action, scope, linked)?;
    }
    let known = state.role(wanted.id);
    if known.is_some_and(|known| known.custom.is_none()) {
        let message = format!("A built-in role has the ID '{name}'.");
        return Err(ArmError::conflict("RoleDefinitionExists", message));
    }
    let same_name = state.role_named(&wanted.name);
    if same_name.is_some_and(|same| same.id != wanted.id) {
        let message =
            "A custom role with the same name already exists in this directory. Use a different name.";
        return Err(ArmError::conflict("RoleDefinitionWithSameNameExists", message));
    }
    let first = known.and_then(|known| known.custom.clone());
    let role = Role {
        custom: wanted.custom.clone().map(|custom| match first {
            Some(first) => Custom {
                created: first.created,
                created_by: first.created_by,
                ..custom
            },
            None => custom,
        }),
        ..wanted
    };
    let reply = Reply::json(StatusCode::CREATED, document(scope, &role));
    state.roles.insert(role.id, role);
    Ok(reply)
}

/// Deletes a role that nobody has.
pub(super) fn delete(ask: Ask<'_>, state: &mut State, scope: &str, name: &str) -> Result<Reply, ArmError> {
    let action = format!("{KIND}/delete");
    ask.require(state, &action, or_root(scope))?;
    let known = Uuid::parse_str(name).ok().and_then(|id| state.role(id));
    let Some(role) = known.filter(|role| role.is_assignable(or_root(scope))).cloned() else {
        return Ok(Reply::empty(StatusCode::NO_CONTENT));
    };
    let Some(custom) = &role.custom else {
        let message = format!("The role definition '{name}' is built in and cannot be deleted.");
        return Err(ArmError::bad_request("InvalidRoleDefinitionType", message));
    };
    for linked in &custom.assignable_scopes {
        require_linked(ask, state, &action, scope, linked)?;
    }
    if state.assignments.values().any(|one| one.role == role.id) {
        let message = "There are existing role assignments referencing role.";
        return Err(ArmError::bad_request("RoleDefinitionHasAssignments", message));
    }
    state.roles.remove(&role.id);
    Ok(Reply::ok(document(scope, &role)))
}

/// The role that a request describes.
fn wanted(ask: Ask<'_>, name: &str, properties: &Value) -> Result<Role, ArmError> {
    let refuse = |code: &'static str, message: String| Err(ArmError::bad_request(code, message));
    let Ok(id) = Uuid::parse_str(name) else {
        let message = format!("The role definition ID '{name}' is not valid. It must be a GUID.");
        return refuse("InvalidRoleDefinitionId", message);
    };
    let text = |field: &str| properties[field].as_str().unwrap_or_default();
    let kind = properties["type"].as_str();
    if let Some(other) = kind.filter(|kind| !kind.is_empty() && !kind.eq_ignore_ascii_case(CUSTOM)) {
        let message = format!("The role definition type '{other}' is not valid; it must be '{CUSTOM}'.");
        return refuse("InvalidRoleDefinitionType", message);
    }
    if text("roleName").is_empty() {
        let message = "The role definition name must not be null or empty.".to_owned();
        return refuse("RoleDefinitionNameNullOrEmpty", message);
    }
    let assignable_scopes = texts(&properties["assignableScopes"]);
    if assignable_scopes.is_empty() {
        let message = "The role definition must have assignable scopes.".to_owned();
        return refuse("MissingAssignableScopes", message);
    }
    let patterns = |field: &str| -> Vec<String> {
        let permissions = properties["permissions"].as_array().into_iter().flatten();
        permissions.flat_map(|one| texts(&one[field])).collect()
    };
    let role = Role {
        id,
        name: text("roleName").to_owned(),
        description: text("description").to_owned(),
        actions: patterns("actions"),
        not_actions: patterns("notActions"),
        data_actions: patterns("dataActions"),
        not_data_actions: patterns("notDataActions"),
        may_assign: None,
        custom: Some(Custom {
            assignable_scopes,
            created: ask.now,
            updated: ask.now,
            created_by: Some(ask.caller.object_id),
            updated_by: Some(ask.caller.object_id),
        }),
    };
    let lists = [
        &role.actions,
        &role.not_actions,
        &role.data_actions,
        &role.not_data_actions,
    ];
    if let Some(unknown) = lists.into_iter().flatten().find(|pattern| !is_action(pattern)) {
        let message = format!("'{unknown}' does not match any of the actions supported by the providers.");
        return refuse("InvalidActionOrNotAction", message);
    }
    Ok(role)
}

/// Whether a pattern may cover an action: `*`, or a provider and what it has. Which providers there are is not known.
fn is_action(pattern: &str) -> bool {
    pattern == "*"
        || pattern
            .split_once('/')
            .is_some_and(|(provider, rest)| (provider == "*" || provider.contains('.')) && !rest.is_empty())
}

fn texts(values: &Value) -> Vec<String> {
    let values = values.as_array().into_iter().flatten();
    values.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Refuses unless the caller may do this also where the role can be assigned.
fn require_linked(
    ask: Ask<'_>,
    state: &State,
    action: &str,
    scope: &str,
    linked: &str,
) -> Result<(), ArmError> {
    let caller = ask.caller;
    match allowed(state, ask.now, caller.object_id, Kind::Action, action, linked) {
        Some(_) => Ok(()),
        None => Err(ArmError::linked(caller, action, or_root(scope), linked)),
    }
}
