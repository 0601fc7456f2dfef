//! The federated credential: matched by its content, never taken over by its name.

use super::{Change, CredentialSpec, is_ours};
use crate::{Observed, Workload, names, observe};
use aks_shared::azure::arm::{FEDERATED_CREDENTIAL_LIMIT, FederatedCredential};
use aks_shared::identity::{Audience, Trust};

pub(super) fn plan(
    workload: &Workload,
    observed: &Observed,
    notes: &mut Vec<String>,
) -> Change<CredentialSpec> {
    let trust = Trust {
        issuer: observed.cluster.issuer.clone(),
        subject: workload.account.subject(),
        audience: observed.audience.clone(),
    };
    let name = names::credential_name(&workload.account, &trust);
    let kept = |one: &&FederatedCredential| !observed.gone_issuers.contains(&one.issuer);
    for stale in observe::stale(workload, &trust.issuer, &observed.credentials).filter(kept) {
        let advice = if workload.prune {
            "which may still be one of a cluster"
        } else {
            "which is not this cluster's; --prune deletes it when no cluster has that issuer"
        };
        notes.push(format!(
            "federated credential {} trusts the issuer {}, {advice}",
            stale.name, stale.issuer
        ));
    }
    // Equal content under any name is in sync: the name says nothing.
    if let Some(equal) = observed.credentials.iter().find(|one| one.trusts(&trust)) {
        return Change::InSync {
            current: CredentialSpec::of(equal),
        };
    }
    let wanted = CredentialSpec {
        name: name.clone(),
        issuer: trust.issuer.clone(),
        subject: trust.subject.clone(),
        audiences: vec![trust.audience.clone()],
    };
    if let Some(rival) = observed
        .credentials
        .iter()
        .find(|one| one.name != name && one.issuer == trust.issuer && one.subject == trust.subject)
    {
        let audiences: Vec<&str> = rival.audiences.iter().map(Audience::as_str).collect();
        let why = format!(
            "credential {} trusts the same issuer and subject for the audience {}, and Azure allows one such credential; change or remove it, or set --audience",
            rival.name,
            audiences.join(", ")
        );
        return Change::Conflict { wanted, why };
    }
    if let Some(mine) = observed
        .credentials
        .iter()
        .find(|one| one.name.eq_ignore_ascii_case(&name))
    {
        // On an identity of others a credential with another subject is theirs, whatever it is called.
        let is_theirs = !observed.identity.as_ref().is_some_and(is_ours);
        if is_theirs && mine.subject != trust.subject {
            let identity = &observed.identity_id;
            let why = format!(
                "a credential of that name trusts {} at {}, which setup did not write; see it, and remove it or use another identity: az identity federated-credential show -g {} --identity-name {} --name {}",
                mine.subject,
                mine.issuer,
                identity.resource_group(),
                identity.name(),
                mine.name
            );
            return Change::Conflict { wanted, why };
        }
        return Change::Update {
            from: CredentialSpec::of(mine),
            to: wanted,
        };
    }
    let staying = observed.credentials.len() - stale(workload, observed).len();
    if staying >= FEDERATED_CREDENTIAL_LIMIT {
        let why = format!(
            "the identity has {} federated credentials, and Azure allows {FEDERATED_CREDENTIAL_LIMIT}; remove stale ones or choose another identity",
            observed.credentials.len()
        );
        return Change::Conflict { wanted, why };
    }
    Change::Create { wanted }
}

/// What `--prune` deletes.
pub(super) fn stale(workload: &Workload, observed: &Observed) -> Vec<CredentialSpec> {
    observe::stale(workload, &observed.cluster.issuer, &observed.credentials)
        .filter(|one| observed.gone_issuers.contains(&one.issuer))
        .map(CredentialSpec::of)
        .collect()
}
