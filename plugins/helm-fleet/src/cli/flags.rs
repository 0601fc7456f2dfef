//! The flags of every command, in groups that commands share.

use super::FLEET_FILE;
use crate::fleet::ReportFormat;
use crate::preflight::loss::OnValueLoss;
use crate::reach::KubeAuth;
use aks_shared::args::{AzureArgs, ConfirmArgs, KubeArgs, OutputArgs, parse_duration};
use aks_shared::format::OutputFormat;
use clap::Args;
use kubectl_wi_verify::Vantage;
use std::path::PathBuf;
use std::time::Duration;

/// Which fleet and which part of it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Fleet")]
pub struct FleetArgs {
    /// The fleet file
    #[arg(short, long, value_name = "FILE", default_value = FLEET_FILE, conflicts_with = "release")]
    pub file: PathBuf,
    #[command(flatten)]
    pub(crate) inline: InlineArgs,
    #[command(flatten)]
    pub(crate) part: PartArgs,
    /// How to sign in to API servers
    #[arg(long, value_enum, default_value_t)]
    pub kube_auth: KubeAuth,
}

/// Which part of a fleet.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Fleet")]
pub struct PartArgs {
    /// Only clusters with this name; repeat it or use globs
    #[arg(long, value_name = "GLOB")]
    pub cluster: Vec<String>,
    /// Only clusters with these labels (`env=prod,ring!=0`)
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// Only this stage; what approves it is left to whoever runs the next one
    #[arg(long, value_name = "NAME")]
    pub stage: Option<String>,
    /// Leave out clusters with this name; repeat it or use globs
    #[arg(long, value_name = "GLOB")]
    pub skip: Vec<String>,
}

/// A fleet without a file: one release, on the contexts that --context selects.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Without a fleet file")]
pub struct InlineArgs {
    /// Name of the release
    #[arg(value_name = "RELEASE", requires = "context")]
    pub release: Option<String>,
    /// The chart: a path, REPOSITORY/CHART, oci://…, or a chart of --repo
    #[arg(value_name = "CHART")]
    pub chart: Option<String>,
    /// Namespace of the release; without it `$HELM_NAMESPACE`, then `default`
    #[arg(short, long, value_name = "NAME", requires = "release")]
    pub namespace: Option<String>,
    /// Create a missing namespace
    #[arg(long, requires = "release")]
    pub create_namespace: bool,
    /// Values file; repeat it, later ones win
    #[arg(long, value_name = "FILE", requires = "release")]
    pub values: Vec<String>,
    /// Value, as `helm --set` takes it; repeat it, later ones win
    #[arg(long, value_name = "KEY=VALUE", requires = "release")]
    pub set: Vec<String>,
    /// URL of the repository of the chart
    #[arg(long, value_name = "URL", requires = "release")]
    pub repo: Option<String>,
    /// Version of the chart; without it the newest
    #[arg(long, value_name = "VERSION", requires = "release")]
    pub chart_version: Option<String>,
    /// How many clusters at once, a number or a share (`25%`); without it all
    #[arg(long, value_name = "NUMBER", requires = "release")]
    pub max_concurrency: Option<String>,
}

/// What all commands have that change releases.
#[derive(Debug, Clone, Args)]
#[command(mut_arg("output", |output| output.value_parser(OutputFormat::of_commands_with_events())))]
pub struct CommonArgs {
    #[command(flatten)]
    pub(crate) fleet: FleetArgs,
    #[command(flatten)]
    pub(crate) tools: ToolArgs,
    #[command(flatten)]
    pub(crate) locks: LockArgs,
    #[command(flatten)]
    pub(crate) confirm: ConfirmArgs,
    #[command(flatten)]
    pub(crate) kube: KubeArgs,
    #[command(flatten)]
    pub(crate) azure: AzureArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// How a run deals with others.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Locks")]
pub struct LockArgs {
    /// Wait so long for another run on the same release; it is refused at once by default
    #[arg(long, value_name = "DURATION", default_value = "0", value_parser = parse_duration)]
    pub lock_timeout: Duration,
    #[command(flatten)]
    pub(crate) recovery: RecoveryArgs,
}

/// What becomes of a release that is pending.
#[derive(Debug, Clone, Args)]
pub struct RecoveryArgs {
    /// Recover a pending release that a dead run of this tool left so long ago
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = parse_duration, help_heading = "Locks")]
    pub recover_pending: Duration,
}

/// Flags of `helm fleet unlock`.
#[derive(Debug, Clone, Args)]
pub struct UnlockArgs {
    /// Also where the Lease is still renewed
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

/// What a run works with.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Run")]
pub struct ToolArgs {
    #[command(flatten)]
    pub(crate) helm: HelmArgs,
    /// Folder for the reports, instead of the fleet file's report.dir
    #[arg(long, value_name = "DIR")]
    pub report_dir: Option<PathBuf>,
    /// Image of the probe that verifies identities; without it $AKS_WI_PROBE_IMAGE
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// Where identities are verified
    #[arg(long, value_enum, default_value_t)]
    pub verify_from: Vantage,
}

/// Which helm writes.
#[derive(Debug, Clone, Args)]
pub struct HelmArgs {
    /// The helm to run; without it $HELM_BIN, then the one on the path
    #[arg(long, value_name = "FILE", help_heading = "Run")]
    pub helm_bin: Option<PathBuf>,
}

/// Flags of `helm fleet upgrade`.
#[derive(Debug, Clone, Args)]
pub struct UpgradeArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

/// Flags of `helm fleet rollback`.
#[derive(Debug, Clone, Args)]
pub struct RollbackArgs {
    /// Revision to go back to; without it, on each cluster, the newest good one before the last run
    #[arg(long, value_name = "NUMBER")]
    pub revision: Option<u32>,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

/// Flags of `helm fleet uninstall`.
#[derive(Debug, Clone, Args)]
pub struct UninstallArgs {
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

/// Flags of `helm fleet resume`.
#[derive(Debug, Clone, Args)]
pub struct ResumeArgs {
    /// The run; without it the newest one of this release
    #[arg(value_name = "RUN")]
    pub run_id: Option<String>,
    #[command(flatten)]
    pub(crate) upgrade: UpgradeArgs,
}

/// How the run is carried out.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Run")]
pub struct RunArgs {
    #[command(flatten)]
    pub(crate) loss: LossArgs,
    /// Exit 0 when failures stayed within the limits of their stages
    #[arg(long)]
    pub failures_ok: bool,
    /// Approve a gate; repeat it for several
    #[arg(long, value_name = "GATE")]
    pub approve: Vec<String>,
}

/// What becomes of values that an upgrade would drop.
#[derive(Debug, Clone, Args)]
pub struct LossArgs {
    /// What to do about values of a release that the fleet does not have
    #[arg(long, value_enum, value_name = "WHAT", default_value_t, help_heading = "Run")]
    pub on_value_loss: OnValueLoss,
}

/// Flags of `helm fleet preflight`.
#[derive(Debug, Clone, Args)]
pub struct PreflightArgs {
    #[command(flatten)]
    pub(crate) fleet: FleetArgs,
    #[command(flatten)]
    pub(crate) loss: LossArgs,
    #[command(flatten)]
    pub(crate) helm: HelmArgs,
    #[command(flatten)]
    pub(crate) recovery: RecoveryArgs,
    #[command(flatten)]
    pub(crate) kube: KubeArgs,
    #[command(flatten)]
    pub(crate) azure: AzureArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Flags of `helm fleet init`.
#[derive(Debug, Clone, Args)]
pub struct InitArgs {
    /// Name of the release
    #[arg(value_name = "RELEASE")]
    pub release: String,
    /// The chart: a path, REPOSITORY/CHART or oci://…
    #[arg(value_name = "CHART")]
    pub chart: String,
    /// The file to write; one that exists is left alone
    #[arg(short, long, value_name = "FILE", default_value = FLEET_FILE)]
    pub file: PathBuf,
    /// Namespace of the release; without it `$HELM_NAMESPACE`, then `default`
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
    #[command(flatten)]
    pub(crate) kube: KubeArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// What commands have that only read releases.
#[derive(Debug, Clone, Args)]
pub struct ReadArgs {
    #[command(flatten)]
    pub(crate) fleet: FleetArgs,
    /// The helm that pulls the chart; without it $HELM_BIN, then the one on the path
    #[arg(long, value_name = "FILE", help_heading = "Fleet")]
    pub helm_bin: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) kube: KubeArgs,
    #[command(flatten)]
    pub(crate) azure: AzureArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Flags of `helm fleet status`.
#[derive(Debug, Clone, Args)]
pub struct StatusArgs {
    /// Exit 9 when a cluster is not at target or cannot be reached
    #[arg(long)]
    pub exit_code: bool,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
}

/// Flags of `helm fleet history`.
#[derive(Debug, Clone, Args)]
pub struct HistoryArgs {
    /// How many runs, and revisions of each cluster, at most
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    pub max: usize,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
}

/// Flags of `helm fleet report`.
#[derive(Debug, Clone, Args)]
pub struct ReportArgs {
    /// A run's id, its run file, a report.json, or a folder that holds one; without it the newest run of this folder
    #[arg(value_name = "RUN")]
    pub run: Option<PathBuf>,
    /// Form of the report; repeat it for several files
    #[arg(long, value_name = "FORM", value_enum)]
    pub format: Vec<ReportFormat>,
    /// Write report files to this folder instead of printing; without --format in all forms
    #[arg(long, value_name = "DIR")]
    pub report_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Flags of `helm fleet validate`.
#[derive(Debug, Clone, Args)]
pub struct ValidateArgs {
    /// The fleet file
    #[arg(short, long, value_name = "FILE", default_value = FLEET_FILE)]
    pub file: PathBuf,
    /// Print the JSON schema of fleet files and stop
    #[arg(long)]
    pub print_schema: bool,
    #[command(flatten)]
    pub(crate) kube: KubeArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}
