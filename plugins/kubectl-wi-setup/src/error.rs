//! What can keep a setup from being planned or proven, and what the user can do about it.

use crate::apply::ApplyError;
use aks_shared::azure::{ArmError, ArmId, ArmIdError, Scope};
use aks_shared::cluster::ClusterError;
use aks_shared::identity::{Issuer, SecretRef};
use aks_shared::template::TemplateError;
use aks_shared::{ExitStatus, Failure};

/// A cluster cannot be set up, and nothing was changed on it.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Azure refused a read or could not be reached.
    #[error("cannot read {what} from Azure")]
    Azure {
        /// What was to be read.
        what: String,
        /// Why.
        source: ArmError,
    },
    /// The cluster refused a read or could not be reached.
    #[error("cannot read the cluster")]
    Cluster(#[from] ClusterError),
    /// The identity's name cannot be made.
    #[error("the name of the identity cannot be made")]
    Template(#[from] TemplateError),
    /// A name is not fit for an ARM id.
    #[error("a resource cannot be named")]
    Id(#[from] ArmIdError),
    /// The pinned cluster does not exist, or the principal may not read it.
    #[error("cluster {id} does not exist, or the signed-in principal may not read it")]
    ClusterMissing {
        /// The pinned id.
        id: ArmId,
    },
    /// No cluster that the principal may read is served at the context's server.
    #[error("no AKS cluster that the signed-in principal may read is served at {host}{}", match others.as_slice() {
        [] => String::new(),
        others => format!("; it may read {}", list(others)),
    })]
    NoCluster {
        /// The host of the context's server.
        host: String,
        /// The clusters that it may read.
        others: Vec<ArmId>,
    },
    /// The clusters may not be listed to find the one that the context leads to.
    #[error("the cluster that is served at {host} cannot be looked for")]
    ClustersHidden {
        /// The host of the context's server.
        host: String,
        /// Why.
        source: ArmError,
    },
    /// More than one cluster says that it is served there.
    #[error("{} AKS clusters say that they are served at {host}: {}", ids.len(), list(ids))]
    SeveralClusters {
        /// The host of the context's server.
        host: String,
        /// The clusters.
        ids: Vec<ArmId>,
    },
    /// The context leads to another cluster than ARM's.
    #[error("the context leads to the issuer {found}, and {id} has the issuer {expected}")]
    WrongCluster {
        /// The cluster in ARM.
        id: ArmId,
        /// Its issuer.
        expected: Issuer,
        /// The issuer of the cluster that the context leads to.
        found: Issuer,
    },
    /// The context leads to nodes that are machines of another cluster.
    #[error("the nodes of the context's cluster are machines of {found}, which is not the group of {id}")]
    WrongNodes {
        /// The cluster in ARM.
        id: ArmId,
        /// The group of the machines.
        found: String,
    },
    /// Nothing that the principal may read proves which cluster the context leads to.
    #[error("nothing proves that the context leads to {id}: {why}")]
    Unproven {
        /// The cluster in ARM.
        id: ArmId,
        /// Why each proof failed.
        why: String,
    },
    /// The cluster's OIDC issuer or its workload identity webhook is off.
    #[error("{id} has not enabled {}", missing.join(" and "))]
    NotEnabled {
        /// The cluster in ARM.
        id: ArmId,
        /// What is off.
        missing: Vec<&'static str>,
        /// Whether an update of the cluster goes on, which may switch it on.
        is_changing: bool,
    },
    /// The identity that was named does not exist, or the principal may not read it.
    #[error("managed identity {id} does not exist, or the signed-in principal may not read it")]
    IdentityMissing {
        /// The identity as it was named.
        id: ArmId,
    },
    /// A vault does not exist, or the principal may not read it.
    #[error("vault {name:?} does not exist, or the signed-in principal may not read it")]
    VaultMissing {
        /// The vault as it was named.
        name: String,
    },
    /// A secret does not exist.
    #[error("secret {secret} does not exist")]
    SecretMissing {
        /// The secret.
        secret: SecretRef,
    },
    /// A role does not exist where it shall be assigned.
    #[error("role {role:?} cannot be assigned at {scope}: no role there has that name or id")]
    RoleMissing {
        /// The role as it was named.
        role: String,
        /// Where.
        scope: Scope,
    },
    /// The exchange did not become stable in time, or cannot succeed.
    #[error("the token exchange does not work: {last}")]
    Exchange {
        /// What the last try answered.
        last: String,
        /// Whether it is of a kind that no further try changes.
        is_final: bool,
        /// The command that finds the cause.
        verify: String,
    },
    /// A secret could not be read in time.
    #[error("secret {secret} cannot be read from here: {last}")]
    Access {
        /// The secret.
        secret: String,
        /// What the last try answered.
        last: String,
        /// The command that finds the cause.
        verify: String,
    },
    /// The command was asked to stop while it waited.
    #[error("interrupted while waiting")]
    Interrupted {
        /// How the process ends.
        status: ExitStatus,
    },
}

/// The ids, as far as they can be read at a glance.
fn list(ids: &[ArmId]) -> String {
    const SHOWN: usize = 10;
    let mut shown: Vec<&str> = ids.iter().take(SHOWN).map(ArmId::as_str).collect();
    let rest = ids.len().saturating_sub(SHOWN);
    let more = format!("{rest} more");
    if rest > 0 {
        shown.push(&more);
    }
    shown.join(", ")
}

/// An error of a read of Azure.
pub(crate) fn reading(what: impl Into<String>) -> impl FnOnce(ArmError) -> SetupError {
    let what = what.into();
    move |source| SetupError::Azure { what, source }
}

impl From<SetupError> for Failure {
    fn from(error: SetupError) -> Self {
        let failure = Self::from_error(ExitStatus::Refused, &error);
        match error {
            SetupError::Azure { source, .. } => {
                // The ARM error knows its own hints.
                Self { hints: Self::from(source).hints, ..failure }
            }
            SetupError::Cluster(source) if source.is_forbidden() => {
                failure.hint("ask for the right on this namespace; see what you may do: kubectl auth can-i --list -n NAMESPACE")
            }
            SetupError::Cluster(_) => failure.hint("check that the cluster answers: kubectl cluster-info"),
            SetupError::Template(_) => Self { status: ExitStatus::Usage, ..failure }.hint("correct --identity-name"),
            SetupError::Id(_) => Self { status: ExitStatus::Usage, ..failure },
            SetupError::ClusterMissing { .. } => failure.hint("check --cluster-id: az aks list -o table"),
            SetupError::NoCluster { .. } => failure.hint(
                "name it with --cluster-id ARM-ID (az aks show -g GROUP -n CLUSTER --query id), or search more subscriptions with --subscription",
            ),
            SetupError::ClustersHidden { source, .. } => Self { hints: Self::from(source).hints, ..failure }
                .hint("or name the cluster: --cluster-id ARM-ID (az aks show -g GROUP -n CLUSTER --query id)"),
            SetupError::SeveralClusters { .. } => failure.hint("choose one with --cluster-id"),
            SetupError::WrongCluster { .. } | SetupError::WrongNodes { .. } => {
                failure.hint("choose the context of that cluster with --context, or correct --cluster-id")
            }
            SetupError::Unproven { .. } => failure.hint(
                "if you are sure, add --accept-unproven; to prove it, let the principal read /.well-known/openid-configuration (ClusterRole system:service-account-issuer-discovery) or list nodes",
            ),
            SetupError::NotEnabled { id, is_changing: true, .. } => failure.hint(format!(
                "an update of the cluster goes on; wait for it, then run the command again: az aks wait --ids {id} --updated"
            )),
            SetupError::NotEnabled { id, .. } => failure
                .hint(format!(
                    "az aks update --subscription {} -g {} -n {} --enable-oidc-issuer --enable-workload-identity",
                    id.subscription(),
                    id.resource_group(),
                    id.name()
                ))
                .hint("Bicep: oidcIssuerProfile: { enabled: true }, securityProfile: { workloadIdentity: { enabled: true } }")
                .hint("Terraform (azurerm_kubernetes_cluster): oidc_issuer_enabled = true, workload_identity_enabled = true")
                .hint("or let setup do it: --enable-oidc-issuer --enable-workload-identity; the issuer restarts the API server and cannot be switched off again"),
            SetupError::IdentityMissing { .. } => failure.hint(
                "check --identity-id: az identity list --query '[].id' -o tsv; without the flag an identity is created",
            ),
            SetupError::VaultMissing { .. } => failure
                .hint("see which there are: az keyvault list --query '[].id' -o tsv")
                .hint("name it by its ARM id as --secret ARM-ID/NAME, or search more subscriptions with --subscription"),
            SetupError::SecretMissing { secret } => failure.hint(format!(
                "create it first: az keyvault secret set --vault-name {} --name {} --file FILE",
                secret.vault.rsplit('/').next().unwrap_or_default(),
                secret.name
            )),
            SetupError::RoleMissing { scope, .. } => failure.hint(format!(
                "list the roles: az role definition list --scope {scope} --query '[].roleName' -o tsv"
            )),
            SetupError::Exchange { is_final, verify, .. } => {
                let failure = Self { status: ExitStatus::Failed, ..failure };
                let failure = failure.hint(format!("find the cause: {verify}"));
                if is_final { failure } else { failure.hint("propagation can take minutes: run the command again") }
            }
            SetupError::Access { verify, .. } => Self { status: ExitStatus::Failed, ..failure }
                .hint(format!("find the cause: {verify}"))
                .hint("a new role takes up to ten minutes: run the command again, or raise --timeout"),
            SetupError::Interrupted { status } => Self { status, ..failure }.hint("run the command again to continue"),
        }
    }
}

impl From<ApplyError> for Failure {
    fn from(error: ApplyError) -> Self {
        // A write that was tried and not answered may have been carried out.
        let is_unknown = matches!(&error, ApplyError::Stopped { last: Some(_), .. });
        let untouched = error.changes().is_empty() && !is_unknown;
        let forbidden = matches!(
            &error,
            ApplyError::Azure { source, .. } if source.is_forbidden() || source.is_blocked()
        );
        let conflicts = matches!(error, ApplyError::Conflicts { .. });
        // A missing right that shows at the very first write has left nothing behind.
        let refused = untouched && (forbidden || conflicts);
        let status = match &error {
            ApplyError::Interrupted { status, .. } | ApplyError::Stopped { status, .. } => *status,
            _ if refused => ExitStatus::Refused,
            _ => ExitStatus::Failed,
        };
        let mut failure = Self::from_error(status, &error);
        if let ApplyError::Azure { source, .. } = error {
            failure.hints = Self::from(source).hints;
        }
        failure.hint(if untouched {
            "nothing was changed: run the command again when this is solved"
        } else {
            "what was done stays and is valid: run the command again to continue"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ChangeRecord;

    fn status(error: ApplyError) -> (ExitStatus, bool) {
        let failure = Failure::from(error);
        let untouched = failure
            .hints
            .iter()
            .any(|hint| hint.contains("nothing was changed"));
        (failure.status, untouched)
    }

    #[test]
    fn a_write_that_may_have_been_carried_out_is_not_called_nothing() {
        let stopped = |last: Option<ArmError>, changes: Vec<ChangeRecord>| {
            status(ApplyError::Stopped {
                what: "write managed identity x".into(),
                status: ExitStatus::Interrupted,
                last: last.map(Box::new),
                changes,
            })
        };
        let lost = || ArmError::Unfinished {
            path: "/x".into(),
            last: "silence".into(),
        };
        assert_eq!(stopped(None, Vec::new()), (ExitStatus::Interrupted, true));
        assert_eq!(
            stopped(Some(lost()), Vec::new()),
            (ExitStatus::Interrupted, false)
        );
    }

    #[test]
    fn clusters_are_listed_as_far_as_they_can_be_read() {
        let id = |number: usize| -> ArmId {
            format!("/subscriptions/s/resourceGroups/g/providers/P/t/aks-{number}")
                .parse()
                .unwrap()
        };
        let none = |count: usize| {
            SetupError::NoCluster {
                host: "h".into(),
                others: (0..count).map(id).collect(),
            }
            .to_string()
        };
        assert!(none(0).ends_with("is served at h"), "{}", none(0));
        assert!(none(2).ends_with("t/aks-0, /subscriptions/s/resourceGroups/g/providers/P/t/aks-1"));
        assert!(none(12).ends_with("aks-9, 2 more"), "{}", none(12));
        let several = SetupError::SeveralClusters {
            host: "h".into(),
            ids: vec![id(1), id(2)],
        };
        assert!(several.to_string().contains("aks-1, ") && several.to_string().ends_with("aks-2"));
    }
}
