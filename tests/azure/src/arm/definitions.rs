//! Role definitions, and what the caller may do at a scope.

mod write;

use axum::http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::assignments::or_root;
use super::error::ArmError;
use super::roles::{self, Role};
use super::{Ask, page, rights};
use crate::clock::rfc3339;
use crate::http::Reply;
use crate::state::within;

const KIND: &str = "Microsoft.Authorization/roleDefinitions";
const CUSTOM: &str = "CustomRole";

fn permission(role: &Role) -> Value {
    json!({
        "actions": role.actions,
        "notActions": role.not_actions,
        "dataActions": role.data_actions,
        "notDataActions": role.not_data_actions,
    })
}

fn document(scope: &str, role: &Role) -> Value {
    let mut properties = json!({
        "roleName": role.name,
        "type": "BuiltInRole",
        "description": role.description,
        "assignableScopes": ["/"],
        "permissions": [permission(role)],
        "createdOn": "2015-02-02T21:55:09.8806423Z",
        "updatedOn": "2021-11-11T20:13:47.8628684Z",
        "createdBy": null,
        "updatedBy": null,
    });
    if let Some(custom) = &role.custom {
        properties["type"] = CUSTOM.into();
        properties["assignableScopes"] = json!(custom.assignable_scopes);
        properties["createdOn"] = rfc3339(custom.created).into();
        properties["updatedOn"] = rfc3339(custom.updated).into();
        properties["createdBy"] = json!(custom.created_by);
        properties["updatedBy"] = json!(custom.updated_by);
    }
    json!({
        "properties": properties,
        "id": roles::definition_id(scope, role.id),
        "type": KIND,
        "name": role.id,
    })
}

/// What `$filter` asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Filter<'a> {
    /// Those that can be assigned below the scope only, too.
    below: bool,
    /// `BuiltInRole` or `CustomRole`.
    kind: Option<&'a str>,
    name: Option<&'a str>,
}

/// `atScope()`, `atScopeAndBelow()`, `roleName eq '…'`, `type eq '…'`, and these joined by `and`.
fn filter(text: &str) -> Option<Filter<'_>> {
    let mut filter = Filter::default();
    for term in text.split(" and ").map(str::trim).filter(|term| !term.is_empty()) {
        if term.eq_ignore_ascii_case("atScope()") {
            continue;
        }
        if term.eq_ignore_ascii_case("atScopeAndBelow()") {
            filter.below = true;
            continue;
        }
        let (field, value) = term.split_once(" eq ")?;
        let value = value.trim().strip_prefix('\'')?.strip_suffix('\'')?;
        match field.trim() {
            "roleName" => filter.name = Some(value),
            "type" => filter.kind = Some(value),
            _ => return None,
        }
    }
    Some(filter)
}

/// The roles that can be assigned at a scope, as the filter says.
pub(super) fn list(ask: Ask<'_>, scope: &str) -> Result<Reply, ArmError> {
    let state = ask.world.state();
    let place = or_root(scope);
    ask.require(&state, &format!("{KIND}/read"), place)?;
    let text = ask.call.parameter("$filter").unwrap_or_default();
    let filter = filter(text).ok_or_else(|| {
        ArmError::bad_request("InvalidFilter", format!("The filter '{text}' is not supported."))
    })?;
    let below = |role: &Role| {
        role.custom.as_ref().is_some_and(|custom| {
            let mut scopes = custom.assignable_scopes.iter();
            scopes.any(|inner| within(inner, place))
        })
    };
    let kind = |role: &Role| {
        if role.custom.is_some() {
            CUSTOM
        } else {
            "BuiltInRole"
        }
    };
    let items = state
        .roles()
        .filter(|role| role.is_assignable(place) || (filter.below && below(role)))
        .filter(|role| filter.kind.is_none_or(|wanted| wanted == kind(role)))
        .filter(|role| {
            filter
                .name
                .is_none_or(|name| role.name.eq_ignore_ascii_case(name))
        })
        .map(|role| document(scope, role))
        .collect();
    drop(state);
    page::reply(ask, items)
}

/// One definition by its name.
pub(super) fn one(ask: Ask<'_>, scope: &str, name: &str) -> Result<Reply, ArmError> {
    let mut state = ask.world.state();
    match ask.call.method {
        Method::GET => {
            ask.require(&state, &format!("{KIND}/read"), or_root(scope))?;
            let role = Uuid::parse_str(name).ok().and_then(|id| state.role(id));
            role.filter(|role| role.is_assignable(or_root(scope)))
                .map(|role| Reply::ok(document(scope, role)))
                .ok_or_else(|| {
                    let message = format!("The specified role definition with ID '{name}' does not exist.");
                    ArmError::not_found("RoleDefinitionDoesNotExist", message)
                })
        }
        Method::PUT => write::put(ask, &mut state, scope, name),
        Method::DELETE => write::delete(ask, &mut state, scope, name),
        ref other => Err(ArmError::method(other.as_str())),
    }
}

/// One entry for each role that the caller has there. Everybody may ask.
pub(super) fn permissions(ask: Ask<'_>, scope: &str) -> Result<Reply, ArmError> {
    let state = ask.world.state();
    let items = rights::of_principal(&state, ask.now, ask.caller.object_id, scope)
        .filter_map(|assignment| {
            let mut permission = permission(state.role(assignment.role)?);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_those_that_azure_documents() {
        let custom = Filter {
            below: true,
            kind: Some("CustomRole"),
            name: None,
        };
        assert_eq!(filter("atScopeAndBelow() and type eq 'CustomRole'"), Some(custom));
        assert_eq!(filter("roleName eq 'x'").unwrap().name, Some("x"));
        assert_eq!(filter("atScope()"), Some(Filter::default()));
        assert_eq!(filter("roleName eq x"), None);
        assert_eq!(filter("principalId eq 'x'"), None);
    }
}
