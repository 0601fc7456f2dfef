//! What can be said on the command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, value_parser};

use crate::azure;
use crate::bench;
use crate::environment::Helm;
use crate::environment::pipeline::Pipeline;
use crate::fault::FaultCommand;
use crate::image;
use crate::output::OutputArgs;
use crate::programs::Profile;
use crate::spec::Kind;
use crate::state;

/// A fleet on one machine: real Kubernetes clusters and a simulated Azure
#[derive(Debug, Parser)]
#[command(
    name = "sandbox",
    bin_name = "cargo sandbox",
    version,
    disable_help_subcommand = true
)]
pub(super) struct SandboxCli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Bring a sandbox up; repeating it is fine
    Up(UpArgs),
    /// Show what runs; exit code 1 unless all of it is ready
    Status(StatusArgs),
    /// Print the environment for a shell: eval "$(cargo sandbox env)"
    Env(EnvArgs),
    /// Take a sandbox away, also a crashed one
    Down(DownArgs),
    /// Look at this machine: what is missing, what was left behind
    Doctor,
    /// Remove programs of earlier versions from the cache
    Prune,
    /// Look into the simulated Azure, or disturb it
    Azure(AzureArgs),
    /// Show what goes wrong in the clusters, and make something go wrong
    Fault(FaultArgs),
    /// Write the image of wi-probe as an OCI archive, without a container engine
    Image(ImageArgs),
    /// Run the whole job on three clusters, and show it
    Demo(DemoArgs),
    /// Run every test of the workspace
    Test,
    /// Measure the plugins beside the tools that a user would take instead
    Bench(BenchArgs),
    #[command(hide = true)]
    Measure(MeasureArgs),
    #[command(hide = true)]
    Internal(InternalArgs),
}

#[derive(Debug, Args)]
pub(super) struct NameArgs {
    /// Name of the sandbox; several run side by side
    #[arg(long, default_value = state::DEFAULT)]
    pub(super) name: String,
}

#[derive(Debug, Args)]
pub(super) struct UpArgs {
    #[command(flatten)]
    pub(super) name: NameArgs,
    /// How many clusters
    #[arg(long, default_value_t = 3)]
    pub(super) clusters: u8,
    #[command(flatten)]
    pub(super) kind: KindArgs,
}

#[derive(Debug, Args)]
#[group(multiple = false)]
pub(super) struct KindArgs {
    /// Whole clusters: control plane, node with containerd, workload identity webhook (default)
    #[arg(long)]
    pub(super) nodes: bool,
    /// Light clusters whose pods become ready by kwok
    #[arg(long)]
    pub(super) workloads: bool,
    /// API servers alone
    #[arg(long)]
    pub(super) api_only: bool,
}

impl KindArgs {
    pub(super) fn kind(&self) -> Kind {
        match (self.workloads, self.api_only) {
            (true, _) => Kind::Workloads,
            (_, true) => Kind::ApiOnly,
            _ => Kind::Nodes,
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Name of the sandbox; all of them if absent
    #[arg(long)]
    pub(super) name: Option<String>,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

#[derive(Debug, Args)]
pub(super) struct EnvArgs {
    #[command(flatten)]
    pub(super) name: NameArgs,
    /// Which Helm `helm` is
    #[arg(long, value_enum, default_value = "3")]
    pub(super) helm: Helm,
    /// Sign in as a job of this platform does, instead of by the operator's secret
    #[arg(long, value_enum)]
    pub(super) pipeline: Option<Pipeline>,
}

#[derive(Debug, Args)]
pub(super) struct DownArgs {
    #[command(flatten)]
    pub(super) name: NameArgs,
    /// Every sandbox of this user
    #[arg(long, conflicts_with = "name")]
    pub(super) all: bool,
}

#[derive(Debug, Args)]
pub(super) struct AzureArgs {
    /// Name of the sandbox; `azure` for one that serves alone, `default` else
    #[arg(long)]
    pub(super) name: Option<String>,
    #[command(subcommand)]
    pub(super) command: azure::AzureCommand,
}

#[derive(Debug, Args)]
pub(super) struct FaultArgs {
    #[command(flatten)]
    pub(super) name: NameArgs,
    /// What goes wrong; absent: shows what does
    #[command(subcommand)]
    pub(super) command: Option<FaultCommand>,
}

#[derive(Debug, Args)]
pub(super) struct ImageArgs {
    /// Where the archive is written
    pub(super) file: PathBuf,
    /// Its name and tag, as registries and nodes will know it
    #[arg(long, default_value = image::WI_PROBE)]
    pub(super) reference: String,
}

impl AzureArgs {
    pub(super) fn name(&self) -> &str {
        let usual = if self.command.serves() {
            azure::PART
        } else {
            state::DEFAULT
        };
        self.name.as_deref().unwrap_or(usual)
    }
}

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    #[command(flatten)]
    pub(super) name: NameArgs,
    /// Leave the sandbox up
    #[arg(long)]
    pub(super) keep: bool,
}

#[derive(Debug, Args)]
pub(super) struct BenchArgs {
    /// Name of the sandbox that is brought up for it, and taken away
    #[arg(long, default_value = "bench")]
    pub(super) name: String,
    /// How many clusters
    #[arg(long, default_value_t = 12)]
    clusters: u8,
    /// How many clusters at once
    #[arg(long, default_value_t = 4, value_parser = value_parser!(u8).range(1..))]
    max_concurrency: u8,
    /// How many pairs are measured
    #[arg(long, default_value_t = 5, value_parser = value_parser!(u8).range(1..))]
    rounds: u8,
    /// With which Helm; repeat it for both
    #[arg(long, value_enum, default_value = "3")]
    helm: Vec<Helm>,
    /// Measure debug builds: quicker to have, and slower than what is shipped
    #[arg(long)]
    debug: bool,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

impl BenchArgs {
    pub(super) fn plan(&self) -> bench::Plan {
        bench::Plan {
            clusters: self.clusters,
            concurrency: self.max_concurrency,
            rounds: self.rounds,
            helms: self.helm.clone(),
            profile: if self.debug {
                Profile::Dev
            } else {
                Profile::Release
            },
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct MeasureArgs {
    /// The program and its arguments
    #[arg(last = true, required = true)]
    pub(super) words: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(super) struct InternalArgs {
    pub(super) part: InternalPart,
    pub(super) name: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum InternalPart {
    Enter,
    Init,
    Supervise,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        SandboxCli::command().debug_assert();
    }

    #[test]
    fn a_sandbox_is_of_one_kind() {
        let parse = |words: &str| SandboxCli::try_parse_from(words.split(' '));
        assert!(parse("sandbox up --api-only --workloads").is_err());
        let Command::Up(arguments) = parse("sandbox up --api-only").unwrap().command else {
            panic!("not up")
        };
        assert_eq!(arguments.kind.kind(), Kind::ApiOnly);
    }
}
