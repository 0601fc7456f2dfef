//! The file form of `kubectl wi setup`: many workloads, each on many clusters, in one run.
//!
//! Only what the file says, and which workload that makes on which context; nothing here reads a cluster.

mod args;
mod document;

pub(crate) use args::FileArgs;
pub(crate) use document::{FileText, Parsed, read};

use crate::workload::check_identity_id;
use crate::{AccountOwner, DEFAULT_IDENTITY_NAME, GrantRequest, Step, Workload};
use aks_shared::azure::ArmId;
use aks_shared::identity::{Audience, NameError, SecretRef, ServiceAccountRef};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// The JSON schema of the files that `-f` takes, as `--print-schema` prints it.
pub(crate) const SCHEMA: &str = include_str!("file/schema.json");

/// The kind of a file of workloads.
pub(crate) const WORKLOADS: &str = "WorkloadIdentities";

/// The content of a file of workloads.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct WorkloadFile {
    /// The version of the file's grammar.
    #[serde(rename = "apiVersion")]
    _api_version: ApiVersion,
    /// What the file describes.
    #[serde(rename = "kind")]
    _kind: WorkloadsKind,
    /// Kubeconfig contexts, or globs of them, for workloads that name none; without them --context, then the current
    /// one.
    #[serde(default)]
    contexts: Vec<String>,
    /// The workloads.
    workloads: Vec<WorkloadSpec>,
}

/// The version of the grammar.
#[derive(Debug, Clone, Copy, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) enum ApiVersion {
    /// The only one yet.
    #[serde(rename = "kubectl-wi/v1alpha1")]
    V1Alpha1,
}

/// The kind of a file of workloads.
#[derive(Debug, Clone, Copy, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
enum WorkloadsKind {
    /// Workloads and their identities.
    WorkloadIdentities,
}

/// One service account that becomes a managed identity on each of its clusters.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WorkloadSpec {
    /// Kubeconfig contexts, or globs of them; without them those of the file.
    #[serde(default)]
    contexts: Vec<String>,
    /// ARM id of the cluster that the only context must lead to.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    cluster_id: Option<ArmId>,
    /// Namespace of the service account; without it -n, then the context's.
    namespace: Option<String>,
    /// Service account whose pods become the identity.
    service_account: String,
    /// Secrets that they may read, VAULT/NAME or ARM-ID/NAME.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    secrets: Vec<Parsed<SecretRef>>,
    /// Roles that the identity gets besides, ROLE@SCOPE.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    grants: Vec<Parsed<GrantRequest>>,
    /// Accept that a vault with access policies lets the identity read every secret of it.
    #[serde(default)]
    allow_vault_wide: bool,
    /// The managed identity.
    #[serde(default)]
    identity: IdentityFileSpec,
    /// Audience of the federated credential; without it what the webhook projects.
    audience: Option<String>,
    /// Who writes the service account.
    #[serde(default)]
    service_account_owner: AccountOwner,
    /// Create a missing service account so that this Helm release can adopt it.
    helm_release: Option<String>,
    /// Change a service account that is annotated for another identity.
    #[serde(default)]
    replace_identity: bool,
    /// Go on when nothing proves that the context leads to the cluster.
    #[serde(default)]
    accept_unproven: bool,
}

/// The managed identity of a workload: one that exists, or how it is made.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct IdentityFileSpec {
    /// ARM id of an identity that exists, e.g. Terraform's; nothing else may be said then.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    id: Option<ArmId>,
    /// Template of its name.
    name: Option<String>,
    /// Its resource group; without it the cluster's.
    group: Option<String>,
    /// Its tags.
    tags: BTreeMap<String, String>,
}

/// What the command line says of every workload of a file.
#[derive(Debug, Clone, Default)]
pub(crate) struct FileContext {
    /// The contexts of the kubeconfig that each workload may be set up on, with their own namespaces.
    pub(crate) namespaces: BTreeMap<String, String>,
    /// The namespace of `-n`.
    pub(crate) namespace: Option<String>,
    /// The steps that somebody else does.
    pub(crate) skip: BTreeSet<Step>,
    /// Whether stale credentials of ours are deleted.
    pub(crate) prune: bool,
}

/// A file contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("workloads[{index}].{key}: {why}")]
pub(crate) struct WorkloadProblem {
    index: usize,
    key: &'static str,
    why: String,
}

impl WorkloadFile {
    /// The globs of contexts of each workload, in the order of the file; none means what the command line says.
    pub(crate) fn contexts(&self) -> impl Iterator<Item = &[String]> {
        self.workloads.iter().map(|workload| {
            if workload.contexts.is_empty() {
                self.contexts.as_slice()
            } else {
                workload.contexts.as_slice()
            }
        })
    }

    /// The workload at `index` on a context.
    pub(crate) fn workload(
        &self,
        index: usize,
        context: &str,
        outside: &FileContext,
    ) -> Result<Workload, WorkloadProblem> {
        let spec = &self.workloads[index];
        let problem = |key: &'static str, why: String| WorkloadProblem { index, key, why };
        let namespace = spec
            .namespace
            .as_ref()
            .or(outside.namespace.as_ref())
            .or_else(|| outside.namespaces.get(context));
        let account = ServiceAccountRef::new(
            namespace.map_or("default", String::as_str),
            spec.service_account.as_str(),
        )
        .map_err(|error: NameError| {
            let key = if error.what == "namespace" {
                "namespace"
            } else {
                "serviceAccount"
            };
            problem(key, error.to_string())
        })?;
        let identity = &spec.identity;
        if let Some(id) = &identity.id {
            check_identity_id(id).map_err(|why| problem("identity.id", why))?;
            if identity.name.is_some() || identity.group.is_some() || !identity.tags.is_empty() {
                let why =
                    "an identity that exists is neither named, moved nor tagged; leave out the other keys";
                return Err(problem("identity.id", why.to_owned()));
            }
        }
        Ok(Workload {
            secrets: unique(spec.secrets.iter().map(|secret| secret.0.clone())),
            grants: unique(spec.grants.iter().map(|grant| grant.0.clone())),
            allow_vault_wide: spec.allow_vault_wide,
            cluster_id: spec.cluster_id.clone(),
            identity_id: identity.id.clone(),
            identity_name: identity
                .name
                .clone()
                .unwrap_or_else(|| DEFAULT_IDENTITY_NAME.to_owned()),
            identity_group: identity.group.clone(),
            audience: spec.audience.as_deref().map(Audience::from),
            account_owner: spec.service_account_owner,
            helm_release: spec.helm_release.clone(),
            tags: identity.tags.clone(),
            replace_identity: spec.replace_identity,
            accept_unproven: spec.accept_unproven,
            skip: outside.skip.clone(),
            prune: outside.prune,
            ..Workload::new(account)
        })
    }
}

/// The items, each once, in their order.
pub(crate) fn unique<T: PartialEq>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut once: Vec<T> = Vec::new();
    for item in items {
        if !once.contains(&item) {
            once.push(item);
        }
    }
    once
}

#[cfg(test)]
mod tests;
