//! The flags of `helm fleet`.

use crate::preflight::loss::OnValueLoss;
use aks_shared::args::{AzureArgs, ConfirmArgs, KubeArgs, OutputArgs};
use aks_shared::{Command, ExitStatus, Failure, Session};
use clap::{Args, Parser, Subcommand};
use kubectl_wi_verify::Vantage;
use std::path::PathBuf;

/// Upgrade one Helm release on many clusters: identity, rollout in stages, proof, report
#[derive(Debug, Parser)]
#[command(
    name = "helm fleet",
    bin_name = "helm fleet",
    version,
    propagate_version = true
)]
pub struct FleetCli {
    #[command(subcommand)]
    command: FleetCommand,
}

#[derive(Debug, Subcommand)]
enum FleetCommand {
    /// Bring the release and its identities on all clusters to what the fleet file says
    Upgrade(Box<UpgradeArgs>),
    /// Check the fleet file and its templates; reads no cluster
    Validate(ValidateArgs),
}

/// Which fleet and which part of it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Fleet")]
pub struct FleetArgs {
    /// The fleet file
    #[arg(short, long, value_name = "FILE", default_value = "helm-fleet.yaml")]
    pub file: PathBuf,
    /// Only clusters with this name; repeat it or use globs
    #[arg(long, value_name = "GLOB")]
    pub cluster: Vec<String>,
    /// Only clusters with these labels (`env=prod,ring!=0`)
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub selector: Option<String>,
}

/// Flags of `helm fleet upgrade`.
#[derive(Debug, Clone, Args)]
pub struct UpgradeArgs {
    #[command(flatten)]
    pub(crate) fleet: FleetArgs,
    #[command(flatten)]
    pub(crate) run: RunArgs,
    #[command(flatten)]
    pub(crate) confirm: ConfirmArgs,
    #[command(flatten)]
    pub(crate) kube: KubeArgs,
    #[command(flatten)]
    pub(crate) azure: AzureArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// How the run is carried out.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Run")]
pub struct RunArgs {
    /// The helm to run; without it $HELM_BIN, then the one on the path
    #[arg(long, value_name = "FILE")]
    pub helm_bin: Option<PathBuf>,
    /// Folder for the reports, instead of the fleet file's report.dir
    #[arg(long, value_name = "DIR")]
    pub report_dir: Option<PathBuf>,
    /// What to do about values of a release that the fleet does not have
    #[arg(long, value_enum, value_name = "WHAT", default_value_t)]
    pub on_value_loss: OnValueLoss,
    /// Exit 0 when failures stayed within the limits of their stages
    #[arg(long)]
    pub failures_ok: bool,
    /// Image of the probe that verifies identities; without it $AKS_WI_PROBE_IMAGE
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// Where identities are verified
    #[arg(long, value_enum, default_value_t)]
    pub verify_from: Vantage,
}

/// Flags of `helm fleet validate`.
#[derive(Debug, Clone, Args)]
pub struct ValidateArgs {
    /// The fleet file
    #[arg(short, long, value_name = "FILE", default_value = "helm-fleet.yaml")]
    pub file: PathBuf,
    #[command(flatten)]
    pub(crate) kube: KubeArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

impl Command for FleetCli {
    const API_VERSION: &'static str = crate::report::API_VERSION;

    fn output(&self) -> &OutputArgs {
        match &self.command {
            FleetCommand::Upgrade(args) => &args.output,
            FleetCommand::Validate(args) => &args.output,
        }
    }

    async fn run(self, session: &Session) -> Result<ExitStatus, Failure> {
        crate::foreground::watch_parent(&session.interrupt);
        match self.command {
            FleetCommand::Upgrade(args) => crate::upgrade::run(&args, session).await,
            FleetCommand::Validate(args) => crate::validate::run(&args, session),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_flags_do_not_contradict_each_other() {
        FleetCli::command().debug_assert();
    }
}
