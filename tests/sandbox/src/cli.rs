//! The command line: `cargo sandbox …`.

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::azure;
use crate::boot::{self, BootError};
use crate::cleanup::{self, CleanupError};
use crate::demo;
use crate::doctor::{self, Verdict};
use crate::environment::{self, Helm};
use crate::files::{self, FileError};
use crate::namespace::{self, NamespaceError};
use crate::output;
use crate::spec::Kind;
use crate::state::{self, StateDir, StateError};
use crate::status::Report;
use crate::test;
use crate::up::{self, UpError, Wanted};

/// A fleet on one machine: real Kubernetes clusters and a simulated Azure
#[derive(Debug, Parser)]
#[command(
    name = "sandbox",
    bin_name = "cargo sandbox",
    version,
    disable_help_subcommand = true
)]
struct SandboxCli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
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
    /// Look into the simulated Azure, or disturb it
    Azure(AzureArgs),
    /// Run the whole job on three clusters, and show it
    Demo(DemoArgs),
    /// Run every test of the workspace
    Test,
    #[command(hide = true)]
    Internal(InternalArgs),
}

#[derive(Debug, Args)]
struct NameArgs {
    /// Name of the sandbox; several run side by side
    #[arg(long, default_value = state::DEFAULT)]
    name: String,
}

#[derive(Debug, Args)]
struct UpArgs {
    #[command(flatten)]
    name: NameArgs,
    /// How many clusters
    #[arg(long, default_value_t = 3)]
    clusters: u8,
    #[command(flatten)]
    kind: KindArgs,
}

#[derive(Debug, Args)]
#[group(multiple = false)]
struct KindArgs {
    /// Whole clusters: control plane, node with containerd, workload identity webhook (default)
    #[arg(long)]
    nodes: bool,
    /// Light clusters whose pods become ready by kwok
    #[arg(long)]
    workloads: bool,
    /// API servers alone
    #[arg(long)]
    api_only: bool,
}

impl KindArgs {
    fn kind(&self) -> Kind {
        match (self.workloads, self.api_only) {
            (true, _) => Kind::Workloads,
            (_, true) => Kind::ApiOnly,
            _ => Kind::Nodes,
        }
    }
}

#[derive(Debug, Args)]
struct StatusArgs {
    /// Name of the sandbox; all of them if absent
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
struct OutputArgs {
    /// Output format
    #[arg(long, short, value_enum, default_value_t = Format::Text)]
    output: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

#[derive(Debug, Args)]
struct EnvArgs {
    #[command(flatten)]
    name: NameArgs,
    /// Which Helm `helm` is
    #[arg(long, value_enum, default_value = "3")]
    helm: Helm,
}

#[derive(Debug, Args)]
struct DownArgs {
    #[command(flatten)]
    name: NameArgs,
    /// Every sandbox of this user
    #[arg(long, conflicts_with = "name")]
    all: bool,
}

#[derive(Debug, Args)]
struct AzureArgs {
    #[command(flatten)]
    name: NameArgs,
    #[command(subcommand)]
    command: azure::AzureCommand,
}

#[derive(Debug, Args)]
struct DemoArgs {
    #[command(flatten)]
    name: NameArgs,
    /// Leave the sandbox up
    #[arg(long)]
    keep: bool,
}

#[derive(Debug, Args)]
struct InternalArgs {
    part: InternalPart,
    name: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum InternalPart {
    Enter,
    Init,
    Supervise,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Up(#[from] UpError),
    #[error(transparent)]
    Cleanup(#[from] CleanupError),
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    #[error(transparent)]
    Boot(#[from] BootError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Azure(#[from] azure::AzureError),
    #[error("sandbox `{0}` is not running")]
    NotRunning(String),
}

impl CliError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Up(error) => error.hint(),
            Self::NotRunning(name) => Some(format!("cargo sandbox up --name {name}")),
            _ => None,
        }
    }
}

/// The exit code of a wrong command line.
const USAGE: u8 = 64;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let arguments = match SandboxCli::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version come this way too; a closed pipe is the reader's choice.
            let _ = error.print();
            return if error.use_stderr() {
                ExitCode::from(USAGE)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match run(arguments.command) {
        Ok(code) => code,
        Err(error) => {
            output::failure(&error, error.hint().as_deref());
            let usage = matches!(
                error,
                CliError::State(StateError::Name(_)) | CliError::Up(UpError::Count(_))
            );
            if usage {
                ExitCode::from(USAGE)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

fn run(command: Command) -> Result<ExitCode, CliError> {
    match command {
        Command::Up(arguments) => {
            let state = StateDir::new(&arguments.name.name)?;
            let wanted = Wanted {
                kind: arguments.kind.kind(),
                clusters: arguments.clusters,
            };
            let spec = up::up(&state, wanted, &mut output::talk)?;
            let option = if spec.name == state::DEFAULT {
                String::new()
            } else {
                format!(" --name {}", spec.name)
            };
            output::talk(&format!(
                "sandbox `{}` is up; look around: eval \"$(cargo sandbox env{option})\"",
                spec.name
            ));
        }
        Command::Status(arguments) => return status(&arguments),
        Command::Env(arguments) => {
            let state = StateDir::new(&arguments.name.name)?;
            if !state.is_alive() {
                return Err(CliError::NotRunning(arguments.name.name));
            }
            let spec = files::read_json(&state.spec())?;
            output::data(&environment::exports(&environment::variables(
                &state,
                &spec,
                arguments.helm,
            )));
        }
        Command::Down(arguments) => {
            let states = if arguments.all {
                state::all()?
            } else {
                vec![StateDir::new(&arguments.name.name)?]
            };
            for state in states {
                let _lock = state.lock()?;
                let traces = cleanup::traces(&state);
                cleanup::remove(&state)?;
                let what = if traces.is_empty() {
                    "was not there"
                } else {
                    "is gone"
                };
                output::talk(&format!("sandbox `{}` {what}", state.name()));
            }
        }
        Command::Doctor => return Ok(show_findings()),
        Command::Azure(arguments) => {
            let state = StateDir::new(&arguments.name.name)?;
            if !state.is_alive() {
                return Err(CliError::NotRunning(arguments.name.name));
            }
            let spec = files::read_json(&state.spec())?;
            output::data(&arguments.command.run(&state, &spec)?);
        }
        Command::Demo(arguments) => {
            return Ok(demo::run(&StateDir::new(&arguments.name.name)?, arguments.keep));
        }
        Command::Test => return Ok(test::run()),
        Command::Internal(arguments) => {
            let state = StateDir::new(&arguments.name)?;
            match arguments.part {
                InternalPart::Enter => namespace::enter(&state)?,
                InternalPart::Init => namespace::init(&state)?,
                InternalPart::Supervise => boot::supervise(&state)?,
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn status(arguments: &StatusArgs) -> Result<ExitCode, CliError> {
    let states = match &arguments.name {
        Some(name) => vec![StateDir::new(name)?],
        None => state::all()?,
    };
    let reports: Vec<Report> = states.iter().map(Report::new).collect();
    match arguments.output.output {
        Format::Text if reports.is_empty() => output::talk("no sandbox is there"),
        Format::Text => {
            output::data(&reports.iter().map(Report::text).collect::<Vec<_>>().join("\n"));
        }
        Format::Json => {
            let documents: Vec<_> = reports.iter().map(Report::json).collect();
            output::data(&format!("{:#}\n", serde_json::Value::from(documents)));
        }
    }
    let healthy = !reports.is_empty() && reports.iter().all(Report::is_healthy);
    Ok(if healthy {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn show_findings() -> ExitCode {
    let findings = doctor::examine();
    for finding in &findings {
        let mark = match finding.verdict {
            Verdict::Good => "ok  ",
            Verdict::Note => "note",
            Verdict::Bad => "BAD ",
        };
        let hint = finding
            .hint
            .as_ref()
            .map(|hint| format!("      hint: {hint}\n"))
            .unwrap_or_default();
        output::data(&format!("{mark}  {}\n{hint}", finding.text));
    }
    let is_bad = findings.iter().any(|finding| finding.verdict == Verdict::Bad);
    if is_bad {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
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
