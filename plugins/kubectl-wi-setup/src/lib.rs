//! `kubectl wi setup`: from nothing to a proven workload identity, on one cluster or many.
//!
//! [`observe()`] reads, [`plan()`] compares without touching anything, [`apply()`] writes what the plan says and
//! nothing else, [`wait_for_exchange()`] proves it. Other plugins use these four; [`SetupArgs`] is the command.

mod apply;
mod args;
mod document;
mod error;
mod names;
mod observe;
mod outcome;
mod plan;
mod render;
mod rights;
mod run;
mod wait;
mod workload;

pub use apply::{ApplyError, apply};
pub use args::{SetupArgs, SetupCli};
pub use error::SetupError;
pub use observe::{
    AudienceSource, Observed, ObservedAccount, ObservedCluster, ObservedSecret, ObservedVault, Proof, observe,
};
pub use outcome::{AccountState, ChangeRecord, Grant, Outcome, OutcomeCluster, OutcomeSecret, OutcomeVault};
pub use plan::{
    AccountSpec, Change, CredentialSpec, GrantSpec, HelmOwner, IdentitySpec, NamespaceSpec, Plan,
    PlanCluster, plan,
};
pub use rights::{Right, missing as missing_rights, needed as needed_rights};
pub use wait::{ExchangeWait, wait_for_access, wait_for_exchange};
pub use workload::{AccountOwner, DEFAULT_IDENTITY_NAME, Step, Workload};
