//! The commands of `helm fleet`.

mod flags;

pub use flags::{
    CommonArgs, FleetArgs, HelmArgs, HistoryArgs, InitArgs, InlineArgs, LockArgs, LossArgs, PartArgs,
    PreflightArgs, ReadArgs, RecoveryArgs, ReportArgs, ResumeArgs, RollbackArgs, RunArgs, StatusArgs,
    ToolArgs, UninstallArgs, UnlockArgs, UpgradeArgs, ValidateArgs,
};

use aks_shared::args::OutputArgs;
use aks_shared::ci::CiChoice;
use aks_shared::{Command, ExitStatus, Failure, Session};
use clap::{Parser, Subcommand};

/// The fleet file of a command that names none.
pub(crate) const FLEET_FILE: &str = "helm-fleet.yaml";

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
    /// CI system that is told of the run: groups, messages, outputs of the step, summary
    #[arg(
        long,
        value_name = "SYSTEM",
        value_enum,
        default_value_t,
        global = true,
        help_heading = "Output"
    )]
    ci: CiChoice,
}

#[derive(Debug, Subcommand)]
enum FleetCommand {
    /// Bring the release and its identities on all clusters to what the fleet file says
    Upgrade(Box<UpgradeArgs>),
    /// Go on with a run that waits at a gate, was interrupted or has failed; works on another machine as well
    Resume(Box<ResumeArgs>),
    /// Roll the release back on all clusters, the stages in reverse order; identities stay
    Rollback(Box<RollbackArgs>),
    /// Take the release from all clusters, the stages in reverse order; identities stay
    Uninstall(Box<UninstallArgs>),
    /// Take away what a dead run left behind: its lock, and revisions that are pending since
    Unlock(Box<UnlockArgs>),
    /// Look at all clusters and list everything that forbids an upgrade; touches nothing
    Preflight(Box<PreflightArgs>),
    /// Show where every cluster stands; one request to each, none to Azure
    Status(Box<StatusArgs>),
    /// Show the runs and the revisions of the release; with -o wide those of every cluster
    History(Box<HistoryArgs>),
    /// Show the report of a run once more, in any form
    Report(ReportArgs),
    /// Write a fleet file to start from, with the clusters of the kubeconfig
    Init(InitArgs),
    /// Check the fleet file and its templates; reads no cluster
    Validate(ValidateArgs),
}

impl Command for FleetCli {
    const API_VERSION: &'static str = crate::report::API_VERSION;

    fn output(&self) -> &OutputArgs {
        match &self.command {
            FleetCommand::Upgrade(args) => &args.common.output,
            FleetCommand::Resume(args) => &args.upgrade.common.output,
            FleetCommand::Rollback(args) => &args.common.output,
            FleetCommand::Uninstall(args) => &args.common.output,
            FleetCommand::Unlock(args) => &args.common.output,
            FleetCommand::Preflight(args) => &args.output,
            FleetCommand::Status(args) => &args.read.output,
            FleetCommand::History(args) => &args.read.output,
            FleetCommand::Report(args) => &args.output,
            FleetCommand::Init(args) => &args.output,
            FleetCommand::Validate(args) => &args.output,
        }
    }

    fn ci(&self) -> CiChoice {
        self.ci
    }

    async fn run(self, session: &Session) -> Result<ExitStatus, Failure> {
        crate::foreground::watch_parent(&session.interrupt);
        let result = self.command.run(session).await;
        crate::reporter::pipeline::ended(session, &result);
        result
    }
}

impl FleetCommand {
    async fn run(self, session: &Session) -> Result<ExitStatus, Failure> {
        match self {
            FleetCommand::Upgrade(args) => crate::upgrade::run(&args, session).await,
            FleetCommand::Resume(args) => crate::resume::run(&args, session).await,
            FleetCommand::Rollback(args) => Box::pin(crate::undo::run(&args, session)).await,
            FleetCommand::Uninstall(args) => crate::uninstall::run(&args, session).await,
            FleetCommand::Unlock(args) => crate::unlock::run(&args, session).await,
            FleetCommand::Preflight(args) => crate::inspect::run(&args, session).await,
            FleetCommand::Status(args) => crate::status::run(&args, session).await,
            FleetCommand::History(args) => crate::history::run(&args, session).await,
            FleetCommand::Report(args) => crate::show::run(&args, session),
            FleetCommand::Init(args) => crate::init::run(&args, session),
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
