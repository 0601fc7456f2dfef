//! Locks and deny assignments, as far as they can be looked at: both come from the seed or the admin interface.

use serde_json::{Value, json};

use super::error::ArmError;
use super::{Ask, page};
use crate::http::Reply;
use crate::state::{rule_id, within};

/// The locks at, above and below a scope.
pub(super) fn locks(ask: Ask<'_>, scope: &str) -> Result<Reply, ArmError> {
    let state = ask.world.state();
    ask.require(&state, "Microsoft.Authorization/locks/read", scope)?;
    let there = |other: &str| within(scope, other) || within(other, scope);
    let locks = state.rules.locks.iter().filter(|lock| there(&lock.scope));
    let items: Vec<Value> = locks
        .map(|lock| {
            json!({
                "id": rule_id(&lock.scope, "locks", &lock.name),
                "name": lock.name,
                "type": "Microsoft.Authorization/locks",
                "properties": {"level": lock.level, "notes": lock.notes},
            })
        })
        .collect();
    drop(state);
    page::reply(ask, items)
}

/// The deny assignments at, above and below a scope.
pub(super) fn denials(ask: Ask<'_>, scope: &str) -> Result<Reply, ArmError> {
    let state = ask.world.state();
    ask.require(&state, "Microsoft.Authorization/denyAssignments/read", scope)?;
    let principals = |ids: &[uuid::Uuid]| -> Vec<Value> {
        ids.iter()
            .map(|id| json!({"id": id, "type": "ServicePrincipal"}))
            .collect()
    };
    let there = |other: &str| within(scope, other) || within(other, scope);
    let denials = state.rules.denials.iter().filter(|denial| there(&denial.scope));
    let items: Vec<Value> = denials
        .map(|denial| {
            let everybody = vec![json!({"id": uuid::Uuid::nil(), "type": "SystemDefined"})];
            let whom = match denial.principals.as_slice() {
                [] => everybody,
                some => principals(some),
            };
            json!({
                "id": rule_id(&denial.scope, "denyAssignments", &denial.id.to_string()),
                "name": denial.id,
                "type": "Microsoft.Authorization/denyAssignments",
                "properties": {
                    "denyAssignmentName": denial.name,
                    "scope": denial.scope,
                    "permissions": [{
                        "actions": denial.actions, "notActions": denial.not_actions,
                        "dataActions": denial.data_actions, "notDataActions": [],
                    }],
                    "principals": whom,
                    "excludePrincipals": principals(&denial.excluded),
                    "isSystemProtected": true,
                },
            })
        })
        .collect();
    drop(state);
    page::reply(ask, items)
}
