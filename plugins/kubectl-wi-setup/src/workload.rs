//! What the user wants for one workload, before any cluster is looked at.

use aks_shared::azure::arm::ManagedIdentity;
use aks_shared::azure::{ArmId, Scope, ScopeError};
use aks_shared::identity::{Audience, SecretRef, ServiceAccountRef};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

/// The template of identity names when none is given.
pub const DEFAULT_IDENTITY_NAME: &str =
    "id-{{ cluster.name }}-{{ namespace }}-{{ serviceAccount.name }}-{{ cluster.hash }}";

/// One service account that shall become a managed identity, and what that identity may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// The service account.
    pub account: ServiceAccountRef,
    /// The secrets that its pods may read.
    pub secrets: Vec<SecretRef>,
    /// The roles that the identity gets besides those for its secrets.
    pub grants: Vec<GrantRequest>,
    /// Whether a vault that access policies rule may be opened as a whole.
    pub allow_vault_wide: bool,
    /// The cluster that the context must lead to; without it the context's server decides.
    pub cluster_id: Option<ArmId>,
    /// An identity that exists, e.g. one that Terraform made: used as it is, never renamed or tagged.
    pub identity_id: Option<ArmId>,
    /// Template of the identity's name; without meaning when `identity_id` is given.
    pub identity_name: String,
    /// Resource group of the identity; without it the cluster's.
    pub identity_group: Option<String>,
    /// Audience of the federated credential; without it what the webhook projects.
    pub audience: Option<Audience>,
    /// Who writes the service account.
    pub account_owner: AccountOwner,
    /// The release that shall own an account that is created here.
    pub helm_release: Option<String>,
    /// Tags of an identity that is created here.
    pub tags: BTreeMap<String, String>,
    /// Whether an account that is annotated for another identity may be changed.
    pub replace_identity: bool,
    /// Whether stale federated credentials of ours are deleted.
    pub prune: bool,
    /// Whether to go on when nothing proves that the context leads to the cluster.
    pub accept_unproven: bool,
    /// The steps that somebody else does.
    pub skip: BTreeSet<Step>,
}

/// A role at a scope, `ROLE@SCOPE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantRequest {
    /// The role's name, or the last part of its id.
    pub role: String,
    /// Where it shall hold.
    pub scope: Scope,
}

/// A text that is no `ROLE@SCOPE`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrantRequestError {
    /// One of the parts is missing.
    #[error("{given:?} must be ROLE@SCOPE, e.g. \"Storage Blob Data Reader@/subscriptions/…\"")]
    Parts {
        /// The text.
        given: String,
    },
    /// The scope is none.
    #[error(transparent)]
    Scope(#[from] ScopeError),
}

impl FromStr for GrantRequest {
    type Err = GrantRequestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // A scope has no '@'; a role's name may have one.
        match text.rsplit_once('@') {
            Some((role, scope)) if !role.trim().is_empty() => Ok(Self {
                role: role.trim().to_owned(),
                scope: scope.parse()?,
            }),
            _ => Err(GrantRequestError::Parts {
                given: text.to_owned(),
            }),
        }
    }
}

/// Who writes the service account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum AccountOwner {
    /// Setup, unless Helm or Flux owns it; an absent one is left to the chart unless --helm-release is given
    #[default]
    Auto,
    /// Setup, always
    Setup,
    /// The chart, always
    Chart,
}

/// A part of the setup that can be left to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Step {
    /// The cluster's OIDC issuer and workload identity, with --enable-oidc-issuer and --enable-workload-identity
    Cluster,
    /// The managed identity
    Identity,
    /// Its federated credential
    Federation,
    /// Its role assignments
    Grants,
    /// The annotated service account
    ServiceAccount,
}

impl Step {
    /// Every step, in the order in which they are done.
    pub const ALL: [Self; 5] = [
        Self::Cluster,
        Self::Identity,
        Self::Federation,
        Self::Grants,
        Self::ServiceAccount,
    ];
}

impl Workload {
    /// A workload with the defaults of the command line and no secrets.
    pub fn new(account: ServiceAccountRef) -> Self {
        Self {
            account,
            secrets: Vec::new(),
            grants: Vec::new(),
            allow_vault_wide: false,
            cluster_id: None,
            identity_id: None,
            identity_name: DEFAULT_IDENTITY_NAME.to_owned(),
            identity_group: None,
            audience: None,
            account_owner: AccountOwner::default(),
            helm_release: None,
            tags: BTreeMap::new(),
            replace_identity: false,
            prune: false,
            accept_unproven: false,
            skip: BTreeSet::new(),
        }
    }
}

/// Says why an id is none of a managed identity.
pub(crate) fn check_identity_id(id: &ArmId) -> Result<(), String> {
    if ManagedIdentity::is_id(id) {
        Ok(())
    } else {
        Err(format!(
            "it must be the id of a user-assigned identity, and this is one of {}",
            id.resource_type()
        ))
    }
}
