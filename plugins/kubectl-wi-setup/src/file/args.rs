//! The flags that name a file.

use clap::Args;
use std::path::PathBuf;

/// Where the workloads are described, when there are many.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "File")]
pub(crate) struct FileArgs {
    /// File of many workloads, or of exported grants, in place of the flags for one; `-` is standard input
    #[arg(short, long, value_name = "FILE", conflicts_with_all = OF_ONE_WORKLOAD)]
    pub(crate) file: Option<PathBuf>,
    /// Print the JSON schema of these files and stop
    #[arg(long)]
    pub(crate) print_schema: bool,
}

/// The flags that say what a file says for each of its workloads.
const OF_ONE_WORKLOAD: [&str; 14] = [
    "service_account",
    "secret",
    "grant",
    "allow_vault_wide",
    "cluster_id",
    "identity_id",
    "identity_name",
    "identity_group",
    "tag",
    "audience",
    "service_account_owner",
    "helm_release",
    "replace_identity",
    "accept_unproven",
];
