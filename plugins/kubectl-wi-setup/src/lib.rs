//! `kubectl wi setup`: from nothing to a proven workload identity, on one cluster or many.
//!
//! [`observe()`] reads, [`plan()`] compares without touching anything, [`apply()`] writes what the plan says and
//! nothing else, [`wait_for_exchange()`] proves it. Other plugins use these four; [`SetupArgs`] is the command.

mod apply;
mod args;
mod cluster_rights;
mod clusters;
mod delegation;
mod document;
mod enable;
mod error;
mod file;
mod grants;
mod interactive;
mod names;
mod observe;
mod outcome;
mod outputs;
mod plan;
mod pods;
mod remove;
mod render;
mod rights;
mod roles;
mod run;
mod selection;
mod values;
mod wait;
mod workload;

pub use apply::{ApplyError, apply};
pub use args::{SetupArgs, SetupCli};
pub use cluster_rights::check as check_cluster_rights;
pub use error::SetupError;
pub use observe::{
    AudienceSource, Observed, ObservedAccount, ObservedCluster, ObservedGrant, ObservedSecret, ObservedVault,
    Proof, check_cluster, check_identity_name, observe,
};
pub use outcome::{AccountState, ChangeRecord, Grant, Outcome, OutcomeCluster, OutcomeSecret, OutcomeVault};
pub use plan::{
    AccountSpec, Change, CredentialSpec, GrantSpec, HelmOwner, IdentitySpec, NamespaceSpec, Plan,
    PlanCluster, PolicySpec, Row, plan,
};
pub use pods::PodUse;
pub use remove::RemoveArgs;
pub use rights::check as check_rights;
pub use wait::{ExchangeWait, wait_for_access, wait_for_exchange};
pub use workload::{AccountOwner, DEFAULT_IDENTITY_NAME, GrantRequest, GrantRequestError, Step, Workload};
