//! What stands above rights: locks, policies and deny assignments, and the limit of role assignments.

use serde_json::Value;
use uuid::Uuid;

use super::{State, key, within};
use crate::seed::{Lock, LockLevel, Policy};

/// A deny assignment with the object ids that it is about.
#[derive(Debug, Clone)]
pub(crate) struct Denial {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) scope: String,
    pub(crate) actions: Vec<String>,
    pub(crate) not_actions: Vec<String>,
    pub(crate) data_actions: Vec<String>,
    /// Empty: everybody.
    pub(crate) principals: Vec<Uuid>,
    pub(crate) excluded: Vec<Uuid>,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    pub(crate) locks: Vec<Lock>,
    pub(crate) policies: Vec<Policy>,
    pub(crate) denials: Vec<Denial>,
}

/// The ids that rules have in Azure, by which they are deleted.
pub(crate) fn rule_id(scope: &str, kind: &str, name: &str) -> String {
    format!(
        "{}/providers/Microsoft.Authorization/{kind}/{name}",
        scope.trim_end_matches('/')
    )
}

impl Rules {
    /// Deletes what has this id or belongs to what has it.
    pub(super) fn delete(&mut self, id: &str) {
        let stays = |scope: &str, kind: &str, name: &str| !within(&rule_id(scope, kind, name), id);
        self.locks.retain(|one| stays(&one.scope, "locks", &one.name));
        self.policies
            .retain(|one| stays(&one.scope, "policyAssignments", &one.name));
        self.denials
            .retain(|one| stays(&one.scope, "denyAssignments", &one.id.to_string()));
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.locks.len() + self.policies.len() + self.denials.len()
    }

    /// Scopes of the locks that forbid to do this there; reading and asking are never forbidden.
    pub(crate) fn locked(&self, verb: &str, scope: &str) -> Vec<String> {
        let forbids = |level| match verb {
            "delete" => true,
            "write" => level == LockLevel::ReadOnly,
            _ => false,
        };
        let locks = self.locks.iter().filter(|one| within(scope, &one.scope));
        locks
            .filter(|one| forbids(one.level))
            .map(|one| one.scope.clone())
            .collect()
    }

    /// The policy that denies to write this resource, if one does.
    pub(crate) fn denied_by_policy(&self, kind: &str, id: &str, resource: &Value) -> Option<&Policy> {
        self.policies.iter().find(|policy| {
            let meant = policy
                .resource_type
                .as_ref()
                .is_none_or(|meant| meant.eq_ignore_ascii_case(kind));
            let location = resource["location"].as_str().unwrap_or_default();
            let broken = [
                policy
                    .require_tag
                    .as_ref()
                    .map(|tag| resource["tags"][tag].is_null()),
                policy
                    .allowed_locations
                    .as_ref()
                    .map(|allowed| !allowed.iter().any(|one| one.eq_ignore_ascii_case(location))),
            ];
            let denies = broken.contains(&Some(true)) || broken == [None, None];
            meant && within(id, &policy.scope) && denies
        })
    }
}

impl State {
    /// Role assignments that count against the limit of a subscription.
    pub(crate) fn assignments_in(&self, subscription: Uuid) -> u32 {
        let scope = format!("/subscriptions/{subscription}");
        let own = self.assignments.values().filter(|one| within(&one.scope, &scope));
        u32::try_from(own.count()).unwrap_or(u32::MAX)
    }

    /// How many more role assignments a scope's subscription takes; no limit above subscriptions.
    pub(crate) fn assignments_left(&self, scope: &str) -> Option<u32> {
        let scope = key(scope);
        let id = scope.strip_prefix("/subscriptions/")?.split('/').next()?;
        let known = self.subscription(id)?;
        Some(
            known
                .role_assignment_limit
                .saturating_sub(self.assignments_in(known.id)),
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const GROUP: &str = "/subscriptions/s/resourceGroups/rg";

    fn rules(value: &str) -> Rules {
        let lock = |level| Lock {
            name: "l".to_owned(),
            scope: GROUP.to_owned(),
            level,
            notes: None,
        };
        Rules {
            locks: match value {
                "ReadOnly" => vec![lock(LockLevel::ReadOnly)],
                "CanNotDelete" => vec![lock(LockLevel::CanNotDelete)],
                _ => Vec::new(),
            },
            ..Rules::default()
        }
    }

    #[test]
    fn locks_forbid_by_level_and_only_below_their_scope() {
        let inside = format!("{GROUP}/providers/x/y/z");
        let locked = |level: &str, verb: &str, scope: &str| !rules(level).locked(verb, scope).is_empty();
        assert!(locked("ReadOnly", "write", &inside) && locked("ReadOnly", "delete", &inside));
        assert!(!locked("CanNotDelete", "write", &inside) && locked("CanNotDelete", "delete", &inside));
        assert!(!locked("ReadOnly", "read", &inside));
        assert!(!locked(
            "ReadOnly",
            "write",
            "/subscriptions/s/resourceGroups/other"
        ));
    }

    #[test]
    fn policies_deny_what_breaks_them() {
        let policy = |more: Value| -> Rules {
            let mut policy = json!({"name": "p", "scope": GROUP});
            policy
                .as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            Rules {
                policies: vec![serde_json::from_value(policy).unwrap()],
                ..Rules::default()
            }
        };
        let inside = format!("{GROUP}/providers/x/y/z");
        let denied =
            |rules: &Rules, resource: Value| rules.denied_by_policy("x/y", &inside, &resource).is_some();
        let tagged = policy(json!({"requireTag": "owner"}));
        assert!(denied(&tagged, json!({"tags": {}})) && !denied(&tagged, json!({"tags": {"owner": "me"}})));
        let regions = policy(json!({"allowedLocations": ["westeurope"]}));
        assert!(denied(&regions, json!({"location": "eastus"})));
        assert!(!denied(&regions, json!({"location": "WestEurope"})));
        assert!(denied(&policy(json!({})), json!({})));
        assert!(!denied(&policy(json!({"resourceType": "other/kind"})), json!({})));
    }
}
