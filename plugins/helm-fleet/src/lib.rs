//! `helm fleet`: a fleet file becomes targets, a plan, a rollout in stages, and reports.
//!
//! fleet file → targets → preflight → plan → executor ⇢ events → reporters. Writes go through the user's helm;
//! reads go straight to the API servers.

pub mod chart;
pub mod ci;
pub mod cli;
pub mod decision;
pub mod digest;
mod error;
pub mod event;
pub mod evidence;
pub mod executor;
pub mod fleet;
pub mod folder;
mod foreground;
pub mod helm;
pub mod identities;
pub mod identity;
pub mod manifest;
pub mod plan;
pub mod preflight;
pub mod release;
pub mod report;
pub mod reporter;
pub mod rollout;
pub mod target;
pub mod targets;
pub mod upgrade;
pub mod validate;
pub mod values;

pub use cli::{FleetCli, UpgradeArgs};
pub use foreground::Foreground;
