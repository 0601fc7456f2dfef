//! From what is wanted and what is there to what has to change. Pure: no function here does I/O.

mod account;
mod change;
mod spec;

pub use change::Change;
pub use spec::{AccountSpec, CredentialSpec, GrantSpec, HelmOwner, IdentitySpec, NamespaceSpec};

use change::conflict;

use crate::observe::{AudienceSource, ObservedSecret, Proof};
use crate::outcome::OutcomeVault;
use crate::{Observed, Step, Workload, names};
use aks_shared::azure::ArmId;
use aks_shared::azure::arm::{FEDERATED_CREDENTIAL_LIMIT, ManagedIdentity, roles};
use aks_shared::identity::{Audience, Issuer, ServiceAccountRef, Trust};
use aks_shared::labels;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// Everything that has to change for one workload on one cluster, in the order in which it is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The cluster.
    pub cluster: PlanCluster,
    /// The service account.
    pub account: ServiceAccountRef,
    /// The tenant of the identity.
    pub tenant_id: String,
    /// The managed identity.
    pub identity: Change<IdentitySpec>,
    /// The federated credential.
    pub federated_credential: Change<CredentialSpec>,
    /// The role assignments, one for each secret.
    pub grants: Vec<Change<GrantSpec>>,
    /// The namespace; only when the account is to be created in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Change<NamespaceSpec>>,
    /// The service account's annotation, or the account itself.
    pub service_account: Change<AccountSpec>,
    /// The vaults, by name.
    pub vaults: BTreeMap<String, OutcomeVault>,
    /// What is worth knowing and changes nothing.
    pub notes: Vec<String>,
}

/// The cluster of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanCluster {
    /// The kubeconfig context.
    pub context: String,
    /// Its name in ARM.
    pub name: String,
    /// Its ARM id.
    pub id: ArmId,
    /// The issuer of its tokens.
    pub issuer: Issuer,
    /// How it is known that the context leads to it.
    pub proof: Proof,
    /// The audience of the federated credential.
    pub audience: Audience,
    /// Where that audience is known from.
    pub audience_source: AudienceSource,
}

impl Plan {
    /// Whether nothing has to change; conflicts count as something.
    pub fn is_empty(&self) -> bool {
        self.identity.is_settled()
            && self.federated_credential.is_settled()
            && self.grants.iter().all(Change::is_settled)
            && self.namespace.as_ref().is_none_or(Change::is_settled)
            && self.service_account.is_settled()
    }

    /// Why the plan cannot be applied; nothing of it may be applied when this is not empty.
    pub fn conflicts(&self) -> Vec<String> {
        [conflict(&self.identity), conflict(&self.federated_credential)]
            .into_iter()
            .flatten()
            .chain(self.grants.iter().filter_map(conflict))
            .chain(self.namespace.as_ref().and_then(conflict))
            .chain(conflict(&self.service_account))
            .collect()
    }

    /// One line for every object, then the notes.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.identity.to_string(), self.federated_credential.to_string()];
        lines.extend(self.grants.iter().map(ToString::to_string));
        lines.extend(self.namespace.as_ref().map(ToString::to_string));
        lines.push(self.service_account.to_string());
        lines.extend(self.notes.iter().map(|note| format!("* {note}")));
        lines
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.lines() {
            writeln!(formatter, "{line}")?;
        }
        Ok(())
    }
}

/// Compares what is wanted with what is there.
pub fn plan(workload: &Workload, observed: &Observed) -> Plan {
    let mut notes = Vec::new();
    if observed.audience_source == AudienceSource::Default {
        notes.push(format!(
            "the webhook could not be asked for its audience; {} is taken (--audience overrides)",
            observed.audience
        ));
    }
    if observed.cluster.proof == Proof::Accepted {
        notes.push(
            "nothing proves that the context leads to this cluster; accepted by --accept-unproven".to_owned(),
        );
    }
    let client_id = observed
        .identity
        .as_ref()
        .map(|identity| identity.client_id.clone());
    let account_part = account::plan(workload, observed, client_id.as_deref(), &mut notes);
    let mut plan = Plan {
        cluster: PlanCluster {
            context: observed.cluster.context.clone(),
            name: observed.cluster.name.clone(),
            id: observed.cluster.id.clone(),
            issuer: observed.cluster.issuer.clone(),
            proof: observed.cluster.proof,
            audience: observed.audience.clone(),
            audience_source: observed.audience_source,
        },
        account: workload.account.clone(),
        tenant_id: observed.tenant_id.clone(),
        identity: identity(workload, observed),
        federated_credential: credential(workload, observed, &mut notes),
        grants: observed
            .secrets
            .iter()
            .map(|secret| grant(observed, secret, &mut notes))
            .collect(),
        namespace: account_part.namespace,
        service_account: account_part.account,
        vaults: vaults(observed),
        notes,
    };
    leave_to_others(&workload.skip, &mut plan);
    plan
}

fn identity(workload: &Workload, observed: &Observed) -> Change<IdentitySpec> {
    let subject = workload.account.subject();
    let ours = BTreeMap::from([
        (
            labels::MANAGED_BY_TAG.to_owned(),
            labels::FIELD_MANAGER.to_owned(),
        ),
        (labels::CLUSTER_TAG.to_owned(), observed.cluster.id.canonical()),
        (labels::SUBJECT_TAG.to_owned(), subject.to_string()),
    ]);
    let Some(found) = &observed.identity else {
        let mut tags = workload.tags.clone();
        tags.extend(ours);
        return Change::Create {
            wanted: IdentitySpec {
                id: observed.identity_id.clone(),
                location: observed.cluster.location.clone(),
                tags,
                client_id: None,
                principal_id: None,
            },
        };
    };
    let spec = |tags: BTreeMap<String, String>| IdentitySpec {
        id: found.id.clone(),
        location: found.location.clone(),
        tags,
        client_id: Some(found.client_id.clone()),
        principal_id: Some(found.principal_id.clone()),
    };
    let current = spec(found.tags.clone());
    if workload.identity_id.is_some() || !is_ours(found) {
        // Named by its id, or made by others, e.g. Terraform: used as it is, its tags are theirs.
        return Change::InSync { current };
    }
    let made_for = found.tags.get(labels::SUBJECT_TAG);
    if workload.identity_name == crate::DEFAULT_IDENTITY_NAME
        && made_for.is_some_and(|other| *other != subject.0)
    {
        // "a-b" and "c" give the same name as "a" and "b-c".
        let why = format!(
            "it was made for {}; choose another name with --identity-name",
            made_for.map_or("another account", String::as_str)
        );
        return Change::Conflict { wanted: current, why };
    }
    let mut tags = found.tags.clone();
    tags.extend(workload.tags.clone());
    if tags == found.tags {
        Change::InSync { current }
    } else {
        Change::Update {
            from: current,
            to: spec(tags),
        }
    }
}

fn is_ours(identity: &ManagedIdentity) -> bool {
    identity
        .tags
        .get(labels::MANAGED_BY_TAG)
        .is_some_and(|by| by == labels::FIELD_MANAGER)
}

fn credential(workload: &Workload, observed: &Observed, notes: &mut Vec<String>) -> Change<CredentialSpec> {
    let trust = Trust {
        issuer: observed.cluster.issuer.clone(),
        subject: workload.account.subject(),
        audience: observed.audience.clone(),
    };
    let name = names::credential_name(&workload.account, &trust);
    for stale in observed.credentials.iter().filter(|one| {
        one.name != name
            && names::is_our_credential(&one.name)
            && one.subject == trust.subject
            && one.issuer != trust.issuer
    }) {
        notes.push(format!(
            "federated credential {} trusts the issuer {}, which is not this cluster's; remove it when no cluster has that issuer",
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
        return Change::Update {
            from: CredentialSpec::of(mine),
            to: wanted,
        };
    }
    if observed.credentials.len() >= FEDERATED_CREDENTIAL_LIMIT {
        let why = format!(
            "the identity has {} federated credentials, and Azure allows {FEDERATED_CREDENTIAL_LIMIT}; remove stale ones or choose another identity",
            observed.credentials.len()
        );
        return Change::Conflict { wanted, why };
    }
    Change::Create { wanted }
}

fn grant(observed: &Observed, secret: &ObservedSecret, notes: &mut Vec<String>) -> Change<GrantSpec> {
    let spec = GrantSpec {
        secret: secret.named.clone(),
        vault: secret.vault.name.clone(),
        scope: secret.scope.clone(),
        role: roles::KEY_VAULT_SECRETS_USER.to_owned(),
        principal_id: observed
            .identity
            .as_ref()
            .map(|identity| identity.principal_id.clone()),
    };
    if !secret.vault.uses_roles {
        let why = "its vault uses access policies, which cannot be limited to a named secret; use a vault with Azure RBAC".to_owned();
        return Change::Conflict { wanted: spec, why };
    }
    if !secret.vault.tenant_id.eq_ignore_ascii_case(&observed.tenant_id) {
        let why = format!(
            "its vault accepts tokens of tenant {}, and the identity is of tenant {}",
            secret.vault.tenant_id, observed.tenant_id
        );
        return Change::Conflict { wanted: spec, why };
    }
    let scope = secret.scope.as_str();
    for wide in secret.grants.iter().filter(|one| !one.is_at(scope)) {
        notes.push(format!(
            "the identity may read secret {} by a grant that is wider than asked: {}",
            secret.named, wide.scope
        ));
    }
    if let Some(narrowed) = secret
        .grants
        .iter()
        .find(|one| one.is_at(scope) && one.condition.is_some())
    {
        notes.push(format!(
            "the grant at secret {} has a condition, which is not judged: {}",
            secret.named, narrowed.id
        ));
    }
    if secret.grants.is_empty() {
        Change::Create { wanted: spec }
    } else {
        Change::InSync { current: spec }
    }
}

fn vaults(observed: &Observed) -> BTreeMap<String, OutcomeVault> {
    let described = observed.vaults.iter().map(|named| &named.vault).map(|vault| {
        let facts = OutcomeVault {
            name: vault.name.clone(),
            id: vault.id.clone(),
            uri: vault.uri.clone(),
            tenant_id: vault.tenant_id.clone(),
        };
        (vault.name.clone(), facts)
    });
    described.collect()
}

/// Marks the parts of skipped steps as somebody else's. A part that another one hangs on must then exist.
fn leave_to_others(skip: &std::collections::BTreeSet<Step>, plan: &mut Plan) {
    let skipped = || "skipped".to_owned();
    for step in skip {
        match step {
            Step::Identity => match &plan.identity {
                Change::Create { wanted } => {
                    let why = "it does not exist, and making it is skipped".to_owned();
                    plan.identity = Change::Conflict {
                        wanted: wanted.clone(),
                        why,
                    };
                }
                Change::Update { from, .. } => {
                    plan.identity = Change::InSync {
                        current: from.clone(),
                    }
                }
                Change::InSync { .. } | Change::Conflict { .. } | Change::Left { .. } => {}
            },
            Step::Federation => plan.federated_credential.leave(skipped()),
            Step::Grants => plan.grants.iter_mut().for_each(|grant| grant.leave(skipped())),
            Step::ServiceAccount => {
                plan.namespace = None;
                plan.service_account.leave(skipped());
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
