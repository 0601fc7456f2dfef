//! From what is wanted and what is there to what has to change. Pure: no function here does I/O.

mod account;
mod change;
mod credential;
mod grants;
mod spec;

pub(crate) use change::conflict;
pub use change::{Change, Row};
pub(crate) use grants::{compare_grant, compare_policy};
pub use spec::{AccountSpec, CredentialSpec, GrantSpec, HelmOwner, IdentitySpec, NamespaceSpec, PolicySpec};

use change::row;

use crate::observe::{AudienceSource, ObservedSecret, Proof};
use crate::outcome::{OutcomeSecret, OutcomeVault};
use crate::{Observed, Step, Workload};
use aks_shared::azure::ArmId;
use aks_shared::azure::arm::ManagedIdentity;
use aks_shared::identity::{Audience, Issuer, ServiceAccountRef};
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
    /// Stale credentials of ours, to be deleted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stale_credentials: Vec<CredentialSpec>,
    /// The role assignments: one for each secret, then what was asked for besides.
    pub grants: Vec<Change<GrantSpec>>,
    /// The access policies, one for each vault that is opened as a whole.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vault_policies: Vec<Change<PolicySpec>>,
    /// The namespace; only when the account is to be created in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Change<NamespaceSpec>>,
    /// The service account's annotation, or the account itself.
    pub service_account: Change<AccountSpec>,
    /// The vaults, by name.
    pub vaults: BTreeMap<String, OutcomeVault>,
    /// The secrets, in the order in which they were asked for.
    pub secrets: Vec<OutcomeSecret>,
    /// The commands that start the running pods anew which do not see the change else.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub restarts: Vec<String>,
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
            && self.stale_credentials.is_empty()
            && self.grants.iter().all(Change::is_settled)
            && self.vault_policies.iter().all(Change::is_settled)
            && self.namespace.as_ref().is_none_or(Change::is_settled)
            && self.service_account.is_settled()
    }

    /// Why the plan cannot be applied; nothing of it may be applied when this is not empty.
    pub fn conflicts(&self) -> Vec<String> {
        [conflict(&self.identity), conflict(&self.federated_credential)]
            .into_iter()
            .flatten()
            .chain(self.grants.iter().filter_map(conflict))
            .chain(self.vault_policies.iter().filter_map(conflict))
            .chain(self.namespace.as_ref().and_then(conflict))
            .chain(conflict(&self.service_account))
            .collect()
    }

    /// One row for every object, in the order in which they are written.
    pub fn rows(&self) -> Vec<Row> {
        let mut rows = vec![row(&self.identity)];
        rows.extend(self.stale_credentials.iter().map(change::deleted));
        rows.push(row(&self.federated_credential));
        rows.extend(self.grants.iter().map(row));
        rows.extend(self.vault_policies.iter().map(row));
        rows.extend(self.namespace.as_ref().map(row));
        rows.push(row(&self.service_account));
        rows
    }

    /// One line for every object, then the notes.
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.rows().iter().map(ToString::to_string).collect();
        lines.extend(self.notes.iter().map(|note| format!("* {note}")));
        lines.extend(self.restarts.iter().map(|command| format!("* then: {command}")));
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
    for vault in &observed.unseen_vaults {
        notes.push(format!(
            "vault {} cannot be read from here; whether the secrets are there shows when its owner makes the grants",
            vault.name()
        ));
    }
    let client_id = observed
        .identity
        .as_ref()
        .map(|identity| identity.client_id.clone());
    let account_part = account::plan(workload, observed, client_id.as_deref(), &mut notes);
    let grant_part = grants::plan(workload, observed, &mut notes);
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
        federated_credential: credential::plan(workload, observed, &mut notes),
        grants: grant_part.grants,
        vault_policies: grant_part.policies,
        stale_credentials: credential::stale(workload, observed),
        namespace: account_part.namespace,
        service_account: account_part.account,
        restarts: account_part.restarts,
        vaults: vaults(observed),
        secrets: observed.secrets.iter().map(secret).collect(),
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

fn secret(observed: &ObservedSecret) -> OutcomeSecret {
    OutcomeSecret {
        vault: observed.vault.name.clone(),
        name: observed.named.name.clone(),
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
            // Switched on before anything is planned, or not at all.
            Step::Cluster => {}
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
            Step::Federation => {
                plan.federated_credential.leave(skipped());
                plan.stale_credentials.clear();
            }
            Step::Grants => {
                plan.grants.iter_mut().for_each(|grant| grant.leave(skipped()));
                plan.vault_policies
                    .iter_mut()
                    .for_each(|policy| policy.leave(skipped()));
            }
            Step::ServiceAccount => {
                plan.namespace = None;
                plan.service_account.leave(skipped());
                plan.restarts.clear();
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
