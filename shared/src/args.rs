//! Flags that several commands have, each written once; commands flatten these groups.
//!
//! A flag that is missing falls back to the environment in the settings of the command, not here, so that the
//! help stays the same on every machine.

use crate::exit::ExitStatus;
use crate::format::OutputFormat;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// Which clusters, through which kubeconfig.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Clusters")]
pub struct KubeArgs {
    /// Kubeconfig file; without it $KUBECONFIG, then ~/.kube/config
    #[arg(long, value_name = "FILE", global = true)]
    pub kubeconfig: Option<PathBuf>,
    /// Kubeconfig context; repeat it or use globs (`aks-prod-*`) for several clusters
    #[arg(long, value_name = "CONTEXT", global = true)]
    pub context: Vec<String>,
    /// Give up on one API request after this long (`30s`, `2m`; a bare number is seconds, 0 never)
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration, global = true)]
    pub request_timeout: Duration,
}

/// How to reach Azure and as whom.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Azure")]
pub struct AzureArgs {
    /// How to sign in
    #[arg(long, value_enum, default_value_t, global = true)]
    pub auth: AuthMethod,
    /// Tenant to sign in to; without it $AZURE_TENANT_ID
    #[arg(long, value_name = "ID", global = true)]
    pub tenant: Option<String>,
    /// Subscription to look for clusters and vaults in; without it every readable one ($AZURE_SUBSCRIPTION_ID
    /// narrows the search for clusters)
    #[arg(long, value_name = "ID", global = true)]
    pub subscription: Vec<String>,
    /// Cloud: public, usgov, china, or a JSON file that describes one; without it $AZURE_ENVIRONMENT
    #[arg(long, value_name = "NAME|FILE", global = true)]
    pub cloud: Option<String>,
    /// Trust the certificate authorities in this PEM file besides the system's; without it $AKS_WI_CA_FILE
    #[arg(long, value_name = "FILE", global = true)]
    pub ca_file: Option<PathBuf>,
}

/// A link of the sign-in chain, in the order in which `auto` tries them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum AuthMethod {
    /// The first of the others that is configured; in CI they must not be two principals
    #[default]
    Auto,
    /// Client of AZURE_CLIENT_ID with `AZURE_CLIENT_SECRET`, or with `AZURE_CLIENT_CERTIFICATE_PATH` (PEM)
    Environment,
    /// Federated token in the file that AZURE_FEDERATED_TOKEN_FILE names
    FederatedFile,
    /// Service connection of the Azure Pipelines job (`SYSTEM_ACCESSTOKEN` must be handed to it)
    AzurePipelines,
    /// OIDC token of the GitHub Actions job (`id-token: write`)
    Github,
    /// Token that the workload identity webhook gave to this pod
    WorkloadIdentity,
    /// Managed identity of this machine or app; AZURE_CLIENT_ID chooses a user-assigned one
    ManagedIdentity,
    /// Whoever is signed in to the Azure CLI
    AzureCli,
    /// Whoever is signed in to the Azure Developer CLI
    Azd,
}

/// Whether and how a command that writes asks first.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Confirmation")]
pub struct ConfirmArgs {
    /// Apply the plan without asking
    #[arg(short, long)]
    pub yes: bool,
    /// Print the plan and stop; nothing that persists is sent
    #[arg(long)]
    pub dry_run: bool,
    /// Exit 2 when the plan is not empty and nothing was changed
    #[arg(long)]
    pub detailed_exitcode: bool,
}

impl ConfirmArgs {
    /// How a run ends that changes nothing, by whether a change is due.
    pub const fn unchanged(&self, is_due: bool) -> ExitStatus {
        if self.detailed_exitcode && is_due {
            ExitStatus::ChangesPending
        } else {
            ExitStatus::Ok
        }
    }
}

/// What is printed, where and how much.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Format of the result on standard output
    #[arg(short, long, value_parser = OutputFormat::of_every_command(), default_value = "table", global = true)]
    pub output: OutputFormat,
    /// Print nothing but the result, warnings and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Print more detail; twice for the libraries' own messages
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    /// Colours and bars on standard error
    #[arg(long, value_enum, default_value_t, global = true)]
    pub color: ColorChoice,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set or TERM is dumb
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Reads a duration as kubectl does: `90s`, `2m`, `1h30m`, a bare number of seconds.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    let signed: jiff::SignedDuration = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    Duration::try_from(signed).map_err(|_| "a duration cannot be negative".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_kubectl_does() {
        assert_eq!(parse_duration("90").unwrap(), Duration::from_secs(90));
        assert_eq!(parse_duration("1h30m").unwrap(), Duration::from_mins(90));
        assert_eq!(parse_duration("500ms").unwrap(), Duration::from_millis(500));
        assert!(parse_duration("-5s").is_err());
        assert!(parse_duration("soon").is_err());
    }
}
