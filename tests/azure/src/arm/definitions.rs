//! Role definitions, and what the caller may do at a scope.

use serde_json::{Value, json};
use uuid::Uuid;

use super::error::ArmError;
use super::roles::{self, Role};
use super::{Ask, page, rights};
use crate::http::Reply;

const READ: &str = "Microsoft.Authorization/roleDefinitions/read";

fn permission(role: &Role) -> Value {
    json!({
        "actions": role.actions,
        "notActions": role.not_actions,
        "dataActions": role.data_actions,
        "notDataActions": [],
    })
}

fn document(scope: &str, role: &Role) -> Value {
    json!({
        "properties": {
            "roleName": role.name,
            "type": "BuiltInRole",
            "description": role.description,
            "assignableScopes": ["/"],
            "permissions": [permission(role)],
            "createdOn": "2015-02-02T21:55:09.8806423Z",
            "updatedOn": "2021-11-11T20:13:47.8628684Z",
            "createdBy": null,
            "updatedBy": null,
        },
        "id": roles::definition_id(scope, role.id),
        "type": "Microsoft.Authorization/roleDefinitions",
        "name": role.id,
    })
}

/// All roles, or the one that the filter `roleName eq '…'` names.
pub(super) fn list(ask: Ask<'_>, scope: &str) -> Result<Reply, ArmError> {
    ask.require(
        &ask.world.state(),
        READ,
        if scope.is_empty() { "/" } else { scope },
    )?;
    let text = ask.call.parameter("$filter").unwrap_or_default();
    let named = match text.trim() {
        "" | "atScope()" | "type eq 'BuiltInRole'" => None,
        filter => {
            let quoted = filter
                .strip_prefix("roleName")
                .map(str::trim)
                .and_then(|rest| rest.strip_prefix("eq"));
            let quoted = quoted
                .map(str::trim)
                .and_then(|rest| rest.strip_prefix('\'')?.strip_suffix('\''));
            Some(quoted.ok_or_else(|| {
                ArmError::bad_request("InvalidFilter", format!("The filter '{text}' is not supported."))
            })?)
        }
    };
    let wanted = |role: &&Role| named.is_none_or(|name| role.name.eq_ignore_ascii_case(name));
    let items = roles::all()
        .iter()
        .filter(wanted)
        .map(|role| document(scope, role))
        .collect();
    page::reply(ask, items)
}

pub(super) fn one(ask: Ask<'_>, scope: &str, name: &str) -> Result<Reply, ArmError> {
    ask.require(
        &ask.world.state(),
        READ,
        if scope.is_empty() { "/" } else { scope },
    )?;
    let role = Uuid::parse_str(name).ok().and_then(roles::by_id);
    role.map(|role| Reply::ok(document(scope, role))).ok_or_else(|| {
        let message = format!("The specified role definition with ID '{name}' does not exist.");
        ArmError::not_found("RoleDefinitionDoesNotExist", message)
    })
}

/// One entry for each role that the caller has there. Everybody may ask.
pub(super) fn permissions(ask: Ask<'_>, scope: &str) -> Result<Reply, ArmError> {
    let state = ask.world.state();
    let items = rights::of_principal(&state, ask.now, ask.caller.object_id, scope)
        .filter_map(|assignment| {
            let mut permission = permission(roles::by_id(assignment.role)?);
            if let Some(condition) = &assignment.condition {
                permission["condition"] = condition.clone().into();
                permission["conditionVersion"] = json!(assignment.condition_version);
            }
            Some(permission)
        })
        .collect();
    drop(state);
    page::reply(ask, items)
}
