//! Who may do what: role assignments, evaluated as they are known at the moment.

use uuid::Uuid;

use super::roles::Role;
use crate::clock::Millis;
use crate::state::{Assignment, Denial, State, within};

/// Whether an action manages a resource or reads what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Action,
    DataAction,
}

/// The assignment by which a principal may do this there, if there is one and nothing denies it.
pub(crate) fn allowed<'a>(
    state: &'a State,
    now: Millis,
    principal: Uuid,
    kind: Kind,
    action: &'a str,
    scope: &'a str,
) -> Option<&'a Assignment> {
    if denial(state, principal, kind, action, scope).is_some() {
        return None;
    }
    granting(state, now, principal, kind, action, scope).next()
}

/// The deny assignment that forbids a principal to do this there, whatever its roles.
pub(crate) fn denial<'a>(
    state: &'a State,
    principal: Uuid,
    kind: Kind,
    action: &str,
    scope: &str,
) -> Option<&'a Denial> {
    let any = |patterns: &[String]| patterns.iter().any(|pattern| covers(pattern, action));
    state.rules.denials.iter().find(|one| {
        let meant = one.principals.is_empty() || one.principals.contains(&principal);
        let denied = match kind {
            Kind::Action => any(&one.actions) && !any(&one.not_actions),
            Kind::DataAction => any(&one.data_actions),
        };
        meant && !one.excluded.contains(&principal) && denied && within(scope, &one.scope)
    })
}

fn granting<'a>(
    state: &'a State,
    now: Millis,
    principal: Uuid,
    kind: Kind,
    action: &'a str,
    scope: &'a str,
) -> impl Iterator<Item = &'a Assignment> {
    of_principal(state, now, principal, scope).filter(move |assignment| {
        state
            .role(assignment.role)
            .is_some_and(|role| grants(role, kind, action))
    })
}

/// A principal's assignments that count at a scope.
pub(crate) fn of_principal<'a>(
    state: &'a State,
    now: Millis,
    principal: Uuid,
    scope: &'a str,
) -> impl Iterator<Item = &'a Assignment> {
    state
        .assignments
        .seen(now)
        .filter(move |assignment| assignment.principal_id == principal && within(scope, &assignment.scope))
}

/// Whether a principal may hand out a role there: by a role without a limit, or by one whose limit it keeps.
pub(crate) fn may_assign(
    state: &State,
    now: Millis,
    principal: Uuid,
    action: &str,
    scope: &str,
    role: Uuid,
) -> bool {
    if denial(state, principal, Kind::Action, action, scope).is_some() {
        return false;
    }
    granting(state, now, principal, Kind::Action, action, scope).any(|assignment| {
        let of_role = state
            .role(assignment.role)
            .and_then(|role| role.may_assign.as_ref());
        of_role.is_none_or(|ids| ids.contains(&role))
            && assignment
                .condition
                .as_deref()
                .and_then(limit)
                .is_none_or(|ids| ids.contains(&role))
    })
}

/// The roles that a condition allows to hand out. Only this form of condition is understood:
/// `…RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {GUID, …}`; others do not limit.
fn limit(condition: &str) -> Option<Vec<Uuid>> {
    let (_, rest) = condition.split_once("RoleDefinitionId]")?;
    let (_, rest) = rest.split_once("GuidEquals")?;
    let (_, rest) = rest.split_once('{')?;
    let (list, _) = rest.split_once('}')?;
    Some(
        list.split(',')
            .filter_map(|id| Uuid::parse_str(id.trim()).ok())
            .collect(),
    )
}

fn grants(role: &Role, kind: Kind, action: &str) -> bool {
    let any = |patterns: &[String]| patterns.iter().any(|pattern| covers(pattern, action));
    match kind {
        Kind::Action => any(&role.actions) && !any(&role.not_actions),
        Kind::DataAction => any(&role.data_actions) && !any(&role.not_data_actions),
    }
}

/// Whether a pattern covers an action: no case, `*` is any text. Between slashes it may stand for nothing:
/// `userAssignedIdentities/*/read` covers `userAssignedIdentities/read`.
fn covers(pattern: &str, action: &str) -> bool {
    let (pattern, action) = (pattern.to_lowercase(), action.to_lowercase());
    glob(&pattern, &action) || (pattern.contains("/*/") && glob(&pattern.replace("/*/", "/"), &action))
}

fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            (0..=rest.len()).any(|skip| rest.is_char_boundary(skip) && glob(after, &rest[skip..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::roles;
    use super::*;

    fn role(name: &str) -> &'static Role {
        roles::all().iter().find(|role| role.name == name).unwrap()
    }

    #[test]
    fn patterns_have_no_case_and_cover_any_text() {
        assert!(covers("*", "Microsoft.KeyVault/vaults/read"));
        assert!(covers("*/read", "microsoft.keyvault/vaults/READ"));
        assert!(covers(
            "Microsoft.Authorization/*/Write",
            "Microsoft.Authorization/roleAssignments/write"
        ));
        assert!(covers(
            "A/userAssignedIdentities/*/read",
            "A/userAssignedIdentities/read"
        ));
        assert!(!covers("*/read", "Microsoft.KeyVault/vaults/write"));
        assert!(!covers(
            "Microsoft.KeyVault/vaults/secrets/getSecret/action",
            "Microsoft.KeyVault/vaults/secrets"
        ));
    }

    #[test]
    fn contributors_do_everything_but_assign_roles() {
        let role = role("Contributor");
        assert!(grants(
            role,
            Kind::Action,
            "Microsoft.ManagedIdentity/userAssignedIdentities/write"
        ));
        assert!(grants(
            role,
            Kind::Action,
            "Microsoft.Authorization/roleAssignments/read"
        ));
        assert!(!grants(
            role,
            Kind::Action,
            "Microsoft.Authorization/roleAssignments/write"
        ));
        assert!(!grants(
            role,
            Kind::DataAction,
            "Microsoft.KeyVault/vaults/secrets/getSecret/action"
        ));
    }

    #[test]
    fn owners_do_not_read_secrets() {
        let action = "Microsoft.KeyVault/vaults/secrets/getSecret/action";
        assert!(!grants(role("Owner"), Kind::DataAction, action));
        assert!(grants(role("Key Vault Secrets User"), Kind::DataAction, action));
    }

    #[test]
    fn a_condition_limits_the_roles() {
        let id = "4633458b-17de-408a-b874-0445c86b69e6";
        let condition = format!(
            "((!(ActionMatches{{'Microsoft.Authorization/roleAssignments/write'}})) OR (@Request[Microsoft\
             .Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {{{id}}}))"
        );
        assert_eq!(limit(&condition), Some(vec![Uuid::parse_str(id).unwrap()]));
        assert_eq!(limit("@Resource[x] StringEquals 'y'"), None);
    }
}
