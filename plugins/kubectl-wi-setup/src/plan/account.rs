//! Who writes the service account, and what.

use super::{AccountSpec, Change, HelmOwner, NamespaceSpec};
use crate::pods::{self, PodUse};
use crate::{AccountOwner, Observed, ObservedAccount, Workload};

/// The parts of a plan that lie in the cluster.
pub(super) struct AccountPart {
    pub(super) namespace: Option<Change<NamespaceSpec>>,
    pub(super) account: Change<AccountSpec>,
    pub(super) restarts: Vec<String>,
}

pub(super) fn plan(
    workload: &Workload,
    observed: &Observed,
    client_id: Option<&str>,
    notes: &mut Vec<String>,
) -> AccountPart {
    let account = match &observed.account {
        Some(found) => existing(workload, observed, client_id, found, notes),
        None => absent(workload, client_id),
    };
    let creates = matches!(account, Change::Create { .. });
    let namespace = (creates && !observed.namespace_exists).then(|| Change::Create {
        wanted: NamespaceSpec {
            name: workload.account.namespace.clone(),
        },
    });
    let restarts = restarts(workload, observed, &account, notes);
    AccountPart {
        namespace,
        account,
        restarts,
    }
}

/// How the running pods see an account's change: they keep what they were started with.
fn restarts(
    workload: &Workload,
    observed: &Observed,
    account: &Change<AccountSpec>,
    notes: &mut Vec<String>,
) -> Vec<String> {
    let Change::Update { to, .. } = account else {
        return Vec::new();
    };
    let keep = "keep what they were started with; restart them";
    let Some(pods) = &observed.pods else {
        notes.push(format!(
            "pods of service account {} that run now {keep}",
            workload.account
        ));
        return Vec::new();
    };
    let outdated: Vec<&PodUse> = pods
        .iter()
        .filter(|pod| pod.client_id.is_none() || pod.client_id != to.client_id)
        .collect();
    if !outdated.is_empty() {
        let names: Vec<&str> = outdated.iter().map(|pod| pod.name.as_str()).collect();
        notes.push(format!("running pods {keep}: {}", names.join(", ")));
    }
    pods::restarts(
        &observed.cluster.context,
        &workload.account.namespace,
        outdated.into_iter(),
    )
}

fn absent(workload: &Workload, client_id: Option<&str>) -> Change<AccountSpec> {
    let helm = workload.helm_release.as_ref().map(|release| HelmOwner {
        release: release.clone(),
        namespace: workload.account.namespace.clone(),
    });
    let wanted = AccountSpec {
        account: workload.account.clone(),
        client_id: client_id.map(str::to_owned),
        tenant_id: None,
        managed_by_us: helm.is_none(),
        helm,
        force: false,
    };
    let chart_makes_it = match workload.account_owner {
        AccountOwner::Setup => false,
        AccountOwner::Chart => true,
        AccountOwner::Auto => workload.helm_release.is_none(),
    };
    if chart_makes_it {
        let why =
            "left to the chart; --helm-release NAME or --service-account-owner setup creates it".to_owned();
        return Change::Left {
            expected: wanted,
            why,
        };
    }
    Change::Create { wanted }
}

fn existing(
    workload: &Workload,
    observed: &Observed,
    client_id: Option<&str>,
    found: &ObservedAccount,
    notes: &mut Vec<String>,
) -> Change<AccountSpec> {
    let current = AccountSpec {
        account: workload.account.clone(),
        client_id: found.client_id.clone(),
        tenant_id: found.tenant_id.clone(),
        helm: found.helm_release.as_deref().and_then(helm_owner),
        managed_by_us: found.created_by_us,
        force: false,
    };
    let wanted = AccountSpec {
        client_id: client_id.map(str::to_owned),
        // The webhook's own tenant is right where none is named; a wrong one would win over it.
        tenant_id: found.tenant_id.as_ref().map(|_| observed.tenant_id.clone()),
        // Server-side apply takes away what we no longer send: what we wrote for Helm goes along with it.
        helm: if found.is_ours { current.helm.clone() } else { None },
        force: workload.replace_identity || found.is_ours,
        ..current.clone()
    };
    let same =
        client_id.is_some() && wanted.client_id == current.client_id && wanted.tenant_id == current.tenant_id;
    if same {
        return Change::InSync { current };
    }
    let other = found
        .client_id
        .as_deref()
        .filter(|other| client_id != Some(*other));
    if let Some(other) = other
        && !workload.replace_identity
        && !found.is_ours
        && workload.account_owner != AccountOwner::Chart
    {
        let why =
            format!("it is annotated for the identity with client id {other}; --replace-identity changes it");
        return Change::Conflict { wanted, why };
    }
    if workload.account_owner == AccountOwner::Chart {
        return Change::Left {
            expected: wanted,
            why: "left to the chart".to_owned(),
        };
    }
    let owner = match (&found.helm_release, found.is_flux) {
        _ if found.is_ours => None,
        (Some(release), _) => Some(format!("Helm release {release}")),
        (None, true) => Some("Flux".to_owned()),
        (None, false) => None,
    };
    match owner {
        // Asked for by name: left alone, its pods would stay with the other identity.
        Some(owner) if other.is_some() => notes.push(format!(
            "service account {} is owned by {owner}; set the new client id there too",
            workload.account
        )),
        Some(owner) if workload.account_owner == AccountOwner::Auto => {
            return Change::Left {
                expected: wanted,
                why: format!("left to {owner}"),
            };
        }
        Some(_) | None => {}
    }
    if workload.helm_release.is_some() && found.helm_release.is_none() {
        notes.push(format!(
            "service account {} exists and no release owns it; Helm will not adopt it",
            workload.account
        ));
    }
    Change::Update {
        from: current,
        to: wanted,
    }
}

fn helm_owner(release: &str) -> Option<HelmOwner> {
    let (namespace, name) = release.split_once('/')?;
    Some(HelmOwner {
        release: name.to_owned(),
        namespace: namespace.to_owned(),
    })
}
