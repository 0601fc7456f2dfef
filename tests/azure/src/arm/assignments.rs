//! Role assignments, at any scope down to one secret.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::error::ArmError;
use super::{Ask, page, rights};
use crate::clock::rfc3339;
use crate::http::Reply;
use crate::state::{Assignment, State, join, key, within};

const KIND: &str = "Microsoft.Authorization/roleAssignments";

fn document(assignment: &Assignment) -> Value {
    json!({
        "properties": {
            "roleDefinitionId": assignment.role_definition_id,
            "principalId": assignment.principal_id,
            "principalType": assignment.principal_type,
            "scope": assignment.scope,
            "condition": assignment.condition,
            "conditionVersion": assignment.condition_version,
            "createdOn": rfc3339(assignment.created),
            "updatedOn": rfc3339(assignment.created),
            "createdBy": assignment.created_by,
            "updatedBy": assignment.created_by,
            "delegatedManagedIdentityResourceId": null,
            "description": assignment.description,
        },
        "id": assignment.id,
        "type": KIND,
        "name": assignment.name,
    })
}

/// What `$filter` asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Filter {
    /// Not below the scope.
    at_scope: bool,
    principal: Option<Uuid>,
}

/// `atScope()`, `principalId eq '…'`, `assignedTo('…')`, and these joined by `and`.
fn filter(text: &str) -> Option<Filter> {
    let mut filter = Filter::default();
    for term in text.split(" and ").map(str::trim).filter(|term| !term.is_empty()) {
        let lower = term.to_lowercase();
        if lower == "atscope()" {
            filter.at_scope = true;
            continue;
        }
        let quoted = lower
            .strip_prefix("assignedto(")
            .and_then(|rest| rest.strip_suffix(')'))
            .or_else(|| {
                lower
                    .strip_prefix("principalid")
                    .and_then(|rest| rest.trim().strip_prefix("eq"))
            })?;
        let id = quoted.trim().strip_prefix('\'')?.strip_suffix('\'')?;
        filter.principal = Some(Uuid::parse_str(id).ok()?);
    }
    Some(filter)
}

/// Those at, above and below a scope, as the filter says.
pub(super) fn list(ask: Ask<'_>, scope: &str) -> Result<Reply, ArmError> {
    let state = ask.world.state();
    ask.require(&state, &format!("{KIND}/read"), or_root(scope))?;
    check_scope(&state, scope)?;
    let text = ask.call.parameter("$filter").unwrap_or_default();
    let filter = filter(text).ok_or_else(|| {
        ArmError::bad_request("InvalidFilter", format!("The filter '{text}' is not supported."))
    })?;
    let items = state
        .assignments
        .values()
        .filter(|one| within(scope, &one.scope) || (!filter.at_scope && within(&one.scope, scope)))
        .filter(|one| {
            filter
                .principal
                .is_none_or(|principal| principal == one.principal_id)
        })
        .map(document)
        .collect();
    drop(state);
    page::reply(ask, items)
}

/// One assignment by its name.
pub(super) fn one(ask: Ask<'_>, scope: &str, name: &str) -> Result<Reply, ArmError> {
    let mut state = ask.world.state();
    let id = format!("{scope}/providers/{KIND}/{name}");
    match ask.call.method {
        Method::GET => {
            ask.require(&state, &format!("{KIND}/read"), or_root(scope))?;
            let found = state.assignments.get(&key(&id));
            found.map(|one| Reply::ok(document(one))).ok_or_else(|| {
                ArmError::not_found(
                    "RoleAssignmentNotFound",
                    format!("The role assignment '{name}' is not found."),
                )
            })
        }
        Method::PUT => put(ask, &mut state, scope, name, &id),
        Method::DELETE => {
            let action = format!("{KIND}/delete");
            let found = state.assignments.get(&key(&id)).cloned();
            let Some(found) = found else {
                ask.require(&state, &action, or_root(scope))?;
                return Ok(Reply::empty(StatusCode::NO_CONTENT));
            };
            if !rights::may_assign(
                &state,
                ask.now,
                ask.caller.object_id,
                &action,
                &found.scope,
                found.role,
            ) {
                return Err(ask.unauthorized(&state, &action, &id));
            }
            Ask::check_locks(&state, &action, &id)?;
            let delay = role_delay(ask, &found);
            state.assignments.remove(ask.now, delay, &key(&id));
            Ok(Reply::ok(document(&found)))
        }
        ref other => Err(ArmError::method(other.as_str())),
    }
}

fn put(ask: Ask<'_>, state: &mut State, scope: &str, name: &str, id: &str) -> Result<Reply, ArmError> {
    let action = format!("{KIND}/write");
    let body = ask.body()?;
    let properties = &body["properties"];
    let text = |field: &str| properties[field].as_str().map(str::to_owned);
    let invalid = |message: &str| ArmError::bad_request("InvalidRequestContent", message.to_owned());
    let role_definition_id =
        text("roleDefinitionId").ok_or_else(|| invalid("roleDefinitionId is required."))?;
    let role_name = role_definition_id
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .to_owned();
    let role = Uuid::parse_str(&role_name)
        .ok()
        .and_then(|id| state.role(id))
        .filter(|role| role.is_assignable(or_root(scope)))
        .map(|role| role.id);
    let allowed = role.unwrap_or_default();
    if !rights::may_assign(
        state,
        ask.now,
        ask.caller.object_id,
        &action,
        or_root(scope),
        allowed,
    ) {
        return Err(ask.unauthorized(state, &action, id));
    }
    Ask::check_locks(state, &action, id)?;
    check_scope(state, scope)?;
    if Uuid::parse_str(name).is_err() {
        let message =
            format!("The role assignment ID '{name}' is not valid. The role assignment ID must be a GUID.");
        return Err(ArmError::bad_request("InvalidRoleAssignmentId", message));
    }
    let role = role.ok_or_else(|| {
        let message = format!("The specified role definition with ID '{role_name}' does not exist.");
        ArmError::bad_request("RoleDefinitionDoesNotExist", message)
    })?;
    let principal_id = text("principalId")
        .and_then(|id| Uuid::parse_str(&id).ok())
        .ok_or_else(|| invalid("principalId must be a GUID."))?;
    let principal_type = principal_type(ask, state, principal_id, text("principalType"))?;
    let wanted = Assignment {
        name: name.to_owned(),
        scope: or_root(scope).to_owned(),
        role,
        role_definition_id,
        principal_id,
        principal_type,
        description: text("description"),
        condition: text("condition"),
        condition_version: text("conditionVersion"),
        created: ask.now,
        created_by: Some(ask.caller.object_id),
        id: id.to_owned(),
    };
    let known = &state.assignments;
    let same = |one: &Assignment| {
        one.principal_id == wanted.principal_id
            && one.role == wanted.role
            && key(&one.scope) == key(&wanted.scope)
    };
    match known.get(&key(id)) {
        Some(old) if !same(old) => {
            let message = "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.";
            return Err(ArmError::bad_request("RoleAssignmentUpdateNotPermitted", message));
        }
        Some(old) if old.condition == wanted.condition && old.description == wanted.description => {
            return Err(exists());
        }
        None if known.values().any(same) => return Err(exists()),
        None if state.assignments_left(scope) == Some(0) => {
            let message = "No more role assignments can be created in this subscription.";
            return Err(ArmError::conflict("RoleAssignmentLimitExceeded", message));
        }
        _ => {}
    }
    Ask::check_policies(state, KIND, id, &Value::Null)?;
    let status = if known.get(&key(id)).is_some() {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    let mut shown = document(&wanted);
    if status == StatusCode::CREATED {
        // The answer to the one who creates it does not say so yet.
        shown["properties"]["createdBy"] = Value::Null;
    }
    let reply = Reply::json(status, shown);
    let delay = role_delay(ask, &wanted);
    state.assignments.insert(ask.now, delay, key(id), wanted);
    Ok(reply)
}

/// Milliseconds until others know of a change of this assignment.
fn role_delay(ask: Ask<'_>, assignment: &Assignment) -> u64 {
    let principal = assignment.principal_id.to_string();
    let here = ask.world.weather().over(&[&assignment.id, &principal]);
    here.role_delay_ms
}

fn exists() -> ArmError {
    ArmError::conflict("RoleAssignmentExists", "The role assignment already exists.")
}

/// The principal's type. A principal that the directory has not replicated yet is taken only if its type is said.
fn principal_type(
    ask: Ask<'_>,
    state: &State,
    principal: Uuid,
    given: Option<String>,
) -> Result<String, ArmError> {
    let found = state.by_object_id(principal);
    let identity = found.as_ref().and_then(|one| one.managed_identity.clone());
    let marks = [principal.to_string(), identity.unwrap_or_default()];
    let here = ask.world.weather().over(&[&marks[0], &marks[1]]);
    let delay = here.principal_delay_ms;
    let replicated = found
        .as_ref()
        .is_some_and(|one| one.created.saturating_add_unsigned(delay) <= ask.now);
    match given {
        Some(kind) if kind == "ServicePrincipal" => Ok(kind),
        Some(kind) if found.is_some() => {
            let message = format!(
                "The principalType '{kind}' does not match the type 'ServicePrincipal' of the principal '{principal}'."
            );
            Err(ArmError::bad_request("UnmatchedPrincipalType", message))
        }
        Some(kind) => Ok(kind),
        None if replicated => Ok("ServicePrincipal".to_owned()),
        None => {
            let message = format!(
                "Principal {} does not exist in the directory {}. Check that you have the correct principal ID. If \
                 you are creating this principal and then immediately assigning a role, this error might be related \
                 to a replication delay. In this case, set the role assignment principalType property to a value, \
                 such as ServicePrincipal, User, or Group.  See https://aka.ms/docs-principaltype",
                principal.simple(),
                state.tenant().id
            );
            Err(ArmError::bad_request("PrincipalNotFound", message))
        }
    }
}

pub(super) fn or_root(scope: &str) -> &str {
    if scope.is_empty() { "/" } else { scope }
}

/// Groups and top-level resources must exist; what is within them, a secret for instance, is not looked at.
pub(super) fn check_scope(state: &State, scope: &str) -> Result<(), ArmError> {
    let segments: Vec<&str> = scope.split('/').filter(|segment| !segment.is_empty()).collect();
    let join = |count: usize| join(&segments[..count]);
    if segments.len() >= 4 && !state.groups.contains_key(&key(&join(4))) {
        return Err(ArmError::group(segments[3]));
    }
    if segments.len() >= 8 {
        let id = key(&join(8));
        let exists = state.vaults.contains_key(&id)
            || state.identities.contains_key(&id)
            || state.clusters.contains_key(&id);
        if !exists {
            let kind = format!("{}/{}", segments[5], segments[6]);
            return Err(ArmError::resource(&kind, segments[7], segments[3]));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_those_that_azure_documents() {
        let id = "11111111-1111-4111-8111-111111111111";
        let principal = Some(Uuid::parse_str(id).unwrap());
        assert_eq!(filter(""), Some(Filter::default()));
        assert_eq!(
            filter("atScope()"),
            Some(Filter {
                at_scope: true,
                principal: None
            })
        );
        assert_eq!(
            filter(&format!("principalId eq '{id}'")),
            Some(Filter {
                at_scope: false,
                principal
            })
        );
        assert_eq!(
            filter(&format!("atScope() and assignedTo('{id}')")),
            Some(Filter {
                at_scope: true,
                principal
            })
        );
        assert_eq!(filter("roleName eq 'x'"), None);
        assert_eq!(filter("principalId eq x"), None);
    }
}
