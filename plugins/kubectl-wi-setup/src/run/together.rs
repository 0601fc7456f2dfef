//! What plans that are fine one by one must not do together. Pure.

use super::Planned;
use crate::plan::{Change, Plan};
use aks_shared::Failure;
use aks_shared::azure::ArmId;
use aks_shared::azure::arm::FEDERATED_CREDENTIAL_LIMIT;
use std::collections::BTreeMap;

/// Refuses plans that would get in each other's way.
pub(super) fn check(planned: &[Planned]) -> Result<(), Failure> {
    let plans: Vec<&Plan> = planned.iter().map(|one| &one.plan).collect();
    refuse_twins(&plans)?;
    refuse_namesakes(&plans)?;
    refuse_overfull(planned)
}

/// Refuses two contexts of one cluster for one account: both would write the same objects at once.
fn refuse_twins(plans: &[&Plan]) -> Result<(), Failure> {
    for (index, one) in plans.iter().enumerate() {
        let is_twin = |other: &&&Plan| other.cluster.id == one.cluster.id && other.account == one.account;
        if let Some(twin) = plans[..index].iter().find(is_twin) {
            return Err(Failure::refused(format!(
                "contexts {:?} and {:?} lead to the same cluster {}; nothing was changed",
                twin.cluster.context, one.cluster.context, one.cluster.id
            ))
            .hint("select one of them with --context"));
        }
    }
    Ok(())
}

/// Refuses one new identity for two workloads: it would be tagged as made for each of them.
fn refuse_namesakes(plans: &[&Plan]) -> Result<(), Failure> {
    let mut made: BTreeMap<&ArmId, &Plan> = BTreeMap::new();
    for plan in plans {
        let Change::Create { wanted } = &plan.identity else {
            continue;
        };
        if let Some(other) = made.insert(&wanted.id, plan) {
            return Err(Failure::refused(format!(
                "identity {} would be made for {} on {} and for {} on {}; nothing was changed",
                wanted.id, other.account, other.cluster.context, plan.account, plan.cluster.context
            ))
            .hint("give each a name of its own: leave the template as it is, or use {{ cluster.name }} and {{ serviceAccount.name }} in it")
            .hint("to share one identity, make it first and name it by its id"));
        }
    }
    Ok(())
}

/// Refuses clusters that share an identity and together need more federated credentials than it can have.
fn refuse_overfull(planned: &[Planned]) -> Result<(), Failure> {
    let new = planned
        .iter()
        .filter(|one| matches!(one.plan.federated_credential, Change::Create { .. }));
    let Some((id, found)) = overfull(new.map(|one| (&one.plan.identity.target().id, one.credentials))) else {
        return Ok(());
    };
    Err(Failure::refused(format!(
        "identity {id} has {found} federated credentials, and with those of the selected clusters it would have more than the {FEDERATED_CREDENTIAL_LIMIT} that Azure allows; nothing was changed"
    ))
    .hint("remove stale ones, or use an identity for each cluster: leave out --identity-id"))
}

/// The first identity that would have too many credentials, with how many it has: each item is one more for an
/// identity that has so many already.
fn overfull<'a>(new: impl Iterator<Item = (&'a ArmId, usize)>) -> Option<(&'a ArmId, usize)> {
    let mut counts: BTreeMap<&ArmId, usize> = BTreeMap::new();
    for (id, found) in new {
        let count = counts.entry(id).or_insert(found);
        *count += 1;
        if *count > FEDERATED_CREDENTIAL_LIMIT {
            return Some((id, found));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_several_clusters_are_counted_together() {
        let id = |name: &str| -> ArmId {
            format!("/subscriptions/s/resourceGroups/g/providers/P/t/{name}")
                .parse()
                .unwrap()
        };
        let (shared, spelled, other) = (id("shared"), id("SHARED"), id("other"));
        assert_eq!(overfull([(&shared, 18), (&spelled, 18)].into_iter()), None);
        assert_eq!(overfull([(&shared, 19), (&other, 19)].into_iter()), None);
        assert_eq!(
            overfull([(&shared, 19), (&other, 19), (&spelled, 19)].into_iter()),
            Some((&spelled, 19))
        );
    }
}
