//! What of all that was found is provably ours, and what stays. Pure.
//!
//! An identity is ours by its tags, a credential and a role assignment by their names, which only their own content
//! gives, and the account's fields by their field manager.

use super::found::Found;
use crate::observe::ObservedAccount;
use crate::plan::Row;
use crate::{Workload, names, pods};
use aks_shared::azure::arm::{FederatedCredential, ManagedIdentity, RoleAssignment};
use aks_shared::azure::{ArmId, Scope};
use aks_shared::identity::{Issuer, ServiceAccountRef};
use aks_shared::labels;
use serde::Serialize;

/// Everything that is taken away for one workload on one cluster, in the reverse order of its making.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Removal {
    pub(crate) cluster: RemovalCluster,
    pub(crate) account: ServiceAccountRef,
    /// What is taken away, in order.
    pub(crate) removed: Vec<Part>,
    /// What stays, and why.
    pub(crate) kept: Vec<Kept>,
    /// The running pods that use it: they lose it when their tokens end.
    pub(crate) pods: Vec<String>,
    /// What is worth knowing.
    pub(crate) notes: Vec<String>,
}

/// The cluster of a removal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RemovalCluster {
    pub(crate) context: String,
    pub(crate) name: String,
    pub(crate) id: ArmId,
}

/// One thing that is taken away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "object", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub(crate) enum Part {
    /// A service account that nobody but us has written to.
    Account { uid: String },
    /// Our fields of a service account that others have a part in.
    Annotation {
        client_id: String,
        /// What Helm knows its release by stays, though we wrote it.
        helm_release: Option<String>,
    },
    /// A role assignment.
    Assignment { id: String, scope: String },
    /// A federated credential.
    Credential {
        identity: ArmId,
        name: String,
        issuer: Issuer,
    },
    /// The managed identity.
    Identity { id: ArmId },
}

/// Something that stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Kept {
    pub(crate) object: String,
    pub(crate) why: String,
}

impl Removal {
    pub(crate) fn is_empty(&self) -> bool {
        self.removed.is_empty()
    }

    /// One line for everything that goes and stays, then what is worth knowing.
    pub(crate) fn lines(&self) -> Vec<String> {
        let row = |action: &'static str, object: &str, detail: &str| {
            Row {
                action,
                object: object.to_owned(),
                detail: detail.to_owned(),
            }
            .to_string()
        };
        let removed = self.removed.iter().map(|part| match part {
            Part::Account { .. } => row("delete", &format!("service account {}", self.account), ""),
            Part::Annotation { client_id, .. } => {
                let detail = format!("client id {client_id} → (none)");
                row("update", &format!("service account {}", self.account), &detail)
            }
            Part::Assignment { scope, .. } => row("delete", "role assignment", &format!("at {scope}")),
            Part::Credential { name, issuer, .. } => {
                let object = format!("federated credential {name}");
                row("delete", &object, &format!("issuer {issuer}"))
            }
            Part::Identity { id } => row("delete", &format!("managed identity {}", id.name()), id.as_str()),
        });
        let kept = self.kept.iter().map(|kept| row("left", &kept.object, &kept.why));
        let pods = self.pods.iter().map(|pod| format!("* running pod {pod} uses it"));
        let notes = self.notes.iter().map(|note| format!("* {note}"));
        removed.chain(kept).chain(pods).chain(notes).collect()
    }
}

/// Finds what is ours.
pub(super) fn plan(workload: &Workload, found: &Found) -> Removal {
    let mut removal = Removal {
        cluster: RemovalCluster {
            context: found.cluster.context.clone(),
            name: found.cluster.name.clone(),
            id: found.cluster.id.clone(),
        },
        account: workload.account.clone(),
        removed: Vec::new(),
        kept: Vec::new(),
        pods: Vec::new(),
        notes: Vec::new(),
    };
    account(workload, found, &mut removal);
    match &found.identity {
        Some(identity) => azure_side(workload, found, identity, &mut removal),
        None => removal.notes.push(format!(
            "there is no managed identity {}; one of another name is found by --identity-name or --identity-id",
            found.identity_id.name()
        )),
    }
    if !removal.is_empty() {
        match &found.pods {
            Some(pods) => removal.pods = pods.iter().map(pod_in_words).collect(),
            None => removal
                .notes
                .push("the pods of the service account may not be listed; some may use it".to_owned()),
        }
    }
    removal
}

fn pod_in_words(pod: &pods::PodUse) -> String {
    match &pod.owner {
        Some(owner) => format!("{} ({owner})", pod.name),
        None => pod.name.clone(),
    }
}

fn account(workload: &Workload, found: &Found, removal: &mut Removal) {
    let Some(account) = &found.account else { return };
    if let Some(part) = account_part(account) {
        if let Part::Annotation {
            helm_release: Some(release),
            ..
        } = &part
        {
            removal.notes.push(format!(
                "service account {} belongs to Helm release {release}; it annotates it anew when its values say so",
                workload.account
            ));
        }
        removal.removed.push(part);
    } else if let Some(client_id) = &account.client_id {
        removal.kept.push(Kept {
            object: format!("service account {}", workload.account),
            why: format!("others annotated it for the identity with client id {client_id}"),
        });
    }
}

fn account_part(account: &ObservedAccount) -> Option<Part> {
    if account.only_ours && (account.created_by_us || account.helm_release.is_some()) {
        let uid = account.uid.clone()?;
        return Some(Part::Account { uid });
    }
    let client_id = account.client_id.clone().filter(|_| account.is_ours)?;
    Some(Part::Annotation {
        client_id,
        helm_release: account.helm_release.clone(),
    })
}

fn azure_side(workload: &Workload, found: &Found, identity: &ManagedIdentity, removal: &mut Removal) {
    let whole = is_made_for(workload, &found.cluster.id, identity);
    let (ours, others): (Vec<_>, Vec<_>) = found
        .credentials
        .iter()
        .partition(|one| is_our_credential(workload, found, whole, one));
    let (granted, foreign): (Vec<_>, Vec<_>) =
        found.assignments.iter().partition(|one| is_our_assignment(one));
    if others.is_empty() {
        removal.removed.extend(granted.iter().map(|one| Part::Assignment {
            id: one.id.clone(),
            scope: one.scope.clone(),
        }));
    } else {
        // Another workload that shares the identity may need the same secret.
        let names: Vec<&str> = others.iter().map(|one| one.name.as_str()).collect();
        let why = format!(
            "the identity also trusts what others need it for: {}",
            names.join(", ")
        );
        removal.kept.extend(granted.iter().map(|one| Kept {
            object: format!("role assignment at {}", one.scope),
            why: why.clone(),
        }));
    }
    removal.removed.extend(ours.iter().map(|one| Part::Credential {
        identity: identity.id.clone(),
        name: one.name.clone(),
        issuer: one.issuer.clone(),
    }));
    let why = if !whole {
        Some("setup did not make it for this service account and cluster".to_owned())
    } else if let Some(other) = others.first() {
        Some(format!("others use it: federated credential {}", other.name))
    } else {
        foreign
            .first()
            .map(|one| format!("others gave it a role at {}", one.scope))
    };
    match why {
        None => removal.removed.push(Part::Identity {
            id: identity.id.clone(),
        }),
        Some(why) => removal.kept.push(Kept {
            object: format!("managed identity {}", identity.id.name()),
            why,
        }),
    }
    for subscription in &found.unread {
        removal.notes.push(format!(
            "the role assignments of subscription {subscription} may not be read; what the identity has there stays"
        ));
    }
}

/// Whether setup made the identity for this account on this cluster, and for nothing else.
fn is_made_for(workload: &Workload, cluster: &ArmId, identity: &ManagedIdentity) -> bool {
    let tag = |name: &str| identity.tags.get(name).map(String::as_str);
    tag(labels::MANAGED_BY_TAG) == Some(labels::FIELD_MANAGER)
        && tag(labels::SUBJECT_TAG) == Some(workload.account.subject().as_str())
        && tag(labels::CLUSTER_TAG) == Some(cluster.canonical().as_str())
}

/// Whether a credential is one that we made for the account: of this cluster, and on an identity that is wholly ours
/// also those of its earlier issuers.
fn is_our_credential(workload: &Workload, found: &Found, whole: bool, one: &FederatedCredential) -> bool {
    names::is_made_for(&workload.account, one) && (whole || one.issuer == found.cluster.issuer)
}

/// Whether a role assignment has the name that we give.
fn is_our_assignment(one: &RoleAssignment) -> bool {
    let Ok(scope) = one.scope.parse::<Scope>() else {
        return false;
    };
    let name = names::assignment_name(&scope, &one.principal_id, &one.role).to_string();
    one.id
        .rsplit('/')
        .next()
        .is_some_and(|last| last.eq_ignore_ascii_case(&name))
}

#[cfg(test)]
mod tests;
