//! Roles, as they are looked up: the built-in ones and those that somebody made.

use uuid::Uuid;

use super::build::dangling;
use super::{State, within};
use crate::arm::roles::{self, Custom, Role};
use crate::clock::Millis;
use crate::seed::{self, SeedError};

impl State {
    /// All roles, those that are built in first.
    pub(crate) fn roles(&self) -> impl Iterator<Item = &Role> {
        roles::all().iter().chain(self.roles.values())
    }

    /// The role with this id.
    pub(crate) fn role(&self, id: Uuid) -> Option<&Role> {
        roles::by_id(id).or_else(|| self.roles.get(&id))
    }

    /// The role with this name, in which case does not count, or id.
    pub(crate) fn role_named(&self, named: &str) -> Option<&Role> {
        match Uuid::parse_str(named) {
            Ok(id) => self.role(id),
            Err(_) => self.roles().find(|role| role.name.eq_ignore_ascii_case(named)),
        }
    }

    /// Adds a custom role, assignable in the first subscription if it does not say where.
    pub(crate) fn add_role(&mut self, given: &seed::CustomRole, now: Millis) -> Result<(), SeedError> {
        let what = || format!("the custom role {}", given.name);
        let known = given.id.and_then(|id| self.role(id));
        if known.or_else(|| self.role_named(&given.name)).is_some() {
            return Err(SeedError::Twice { what: what() });
        }
        let id = given
            .id
            .unwrap_or_else(|| self.ids.next(&format!("role/{}", given.name)));
        let assignable_scopes = if given.assignable_scopes.is_empty() {
            vec![format!("/subscriptions/{}", self.subscriptions[0].id)]
        } else {
            given.assignable_scopes.clone()
        };
        let is_known = |scope: &String| {
            let mut all = self.subscriptions.iter();
            all.any(|one| within(scope, &format!("/subscriptions/{}", one.id)))
        };
        if let Some(unknown) = assignable_scopes.iter().find(|scope| !is_known(scope)) {
            return Err(dangling(&what(), unknown));
        }
        let role = Role {
            id,
            name: given.name.clone(),
            description: given.description.clone(),
            actions: given.actions.clone(),
            not_actions: given.not_actions.clone(),
            data_actions: given.data_actions.clone(),
            not_data_actions: given.not_data_actions.clone(),
            may_assign: None,
            custom: Some(Custom {
                assignable_scopes,
                created: now,
                updated: now,
                created_by: None,
                updated_by: None,
            }),
        };
        self.roles.insert(id, role);
        Ok(())
    }

    /// Deletes the custom role whose definition has this id, from whatever scope it is seen.
    pub(super) fn delete_roles(&mut self, id: &str) {
        let (kind, name) = id.rsplit_once('/').unwrap_or_default();
        if kind
            .to_lowercase()
            .ends_with("/microsoft.authorization/roledefinitions")
            && let Ok(id) = Uuid::parse_str(name)
        {
            self.roles.remove(&id);
        }
    }
}
