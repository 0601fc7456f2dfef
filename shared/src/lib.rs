//! What at least two of the plugins use: cluster and Azure access, the identity vocabulary, output, failures
//! and exit codes.
//!
//! A module lives here only if two binaries use it. Nothing in this crate knows of a command's flow.

pub mod args;
pub mod azure;
pub mod ci;
pub mod cluster;
pub mod entry;
pub mod env;
pub mod exec_plugin;
pub mod exit;
pub mod failure;
pub mod format;
pub mod identity;
pub mod injection;
pub mod interrupt;
pub mod kubeconfig;
pub mod labels;
pub mod markdown;
pub mod requests;
pub mod shell;
pub mod template;
pub mod trust;
pub mod ui;

pub use entry::{Command, Session};
pub use exit::ExitStatus;
pub use failure::{Failure, causes};
pub use format::OutputFormat;
