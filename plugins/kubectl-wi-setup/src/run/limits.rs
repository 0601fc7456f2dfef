//! The limit of a subscription's role assignments: counted before the first write, for all plans together.

use super::Planned;
use aks_shared::azure::Azure;
use aks_shared::azure::arm::ROLE_ASSIGNMENT_LIMIT;
use aks_shared::{Failure, Session};
use std::collections::BTreeMap;

/// How many are left when a warning is due.
const NEARLY_FULL: usize = ROLE_ASSIGNMENT_LIMIT / 10;

/// Refuses plans that need more role assignments than a subscription can have, and warns when few are left.
///
/// Nothing is asked when no grant is new; who may not list assignments learns of a full subscription from the write.
pub(super) async fn check(azure: &Azure, planned: &[Planned], session: &Session) -> Result<(), Failure> {
    let mut new: BTreeMap<String, usize> = BTreeMap::new();
    let grants = planned.iter().flat_map(|one| &one.plan.grants);
    for grant in grants.filter_map(|grant| grant.written()) {
        let subscription = grant.scope.subscription().map(str::to_ascii_lowercase);
        if let Some(subscription) = subscription {
            *new.entry(subscription).or_default() += 1;
        }
    }
    for (subscription, new) in new {
        let Ok(used) = azure.arm.role_assignments_used(&subscription).await else {
            continue;
        };
        if let Some(warning) = judge(&subscription, used, new)? {
            session.ui.warning(&warning);
        }
    }
    Ok(())
}

/// What is to be said of a subscription: a refusal, a warning, or nothing.
fn judge(subscription: &str, used: usize, new: usize) -> Result<Option<String>, Failure> {
    let after = used + new;
    if after > ROLE_ASSIGNMENT_LIMIT {
        return Err(Failure::refused(format!(
            "subscription {subscription} has {used} role assignments, and with {new} more it would have more than the {ROLE_ASSIGNMENT_LIMIT} that Azure allows; nothing was changed"
        ))
        .hint(format!("find those of principals that are gone: az role assignment list --all --subscription {subscription} --query \"[?principalName=='']\""))
        .hint("one grant for many identities: assign the role to a group, or let workloads share an identity with --identity-id"));
    }
    let is_near = after > ROLE_ASSIGNMENT_LIMIT - NEARLY_FULL;
    Ok(is_near.then(|| {
        format!(
            "subscription {subscription} will have {after} of the {ROLE_ASSIGNMENT_LIMIT} role assignments that Azure allows"
        )
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aks_shared::ExitStatus;

    #[test]
    fn a_full_subscription_is_refused_and_a_nearly_full_one_is_told() {
        assert_eq!(judge("s", 3599, 1).unwrap(), None);
        let near = judge("s", 3599, 2).unwrap().unwrap();
        assert!(near.contains("3601 of the 4000"), "{near}");
        assert!(judge("s", 3998, 2).unwrap().is_some());
        let full = judge("s", 3998, 3).unwrap_err();
        assert_eq!(full.status, ExitStatus::Refused);
        assert!(
            full.message.contains("has 3998") && full.message.contains("3 more"),
            "{}",
            full.message
        );
    }
}
