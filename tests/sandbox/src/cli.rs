//! The command line: `cargo sandbox …`.

mod arguments;

use std::process::ExitCode;

use arguments::{AzureArgs, Command, FaultArgs, InternalPart, SandboxCli, StatusArgs};
use clap::Parser as _;

use crate::azure;
use crate::bench;
use crate::boot::{self, BootError};
use crate::cleanup::{self, CleanupError};
use crate::command::CommandError;
use crate::demo;
use crate::doctor::{self, Verdict};
use crate::environment::{self, pipeline::PipelineError};
use crate::fault::FaultError;
use crate::files::{self, FileError};
use crate::image::{self, ImageError};
use crate::namespace::{self, NamespaceError};
use crate::output::{self, Format};
use crate::programs::{self, ProgramsError};
use crate::spec::Spec;
use crate::state::{self, StateDir, StateError};
use crate::status::{self, Report};
use crate::test;
use crate::tools::{Toolbox, ToolsError};
use crate::up::{self, UpError, Wanted};

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
    Image(#[from] ImageError),
    #[error(transparent)]
    Programs(#[from] ProgramsError),
    #[error(transparent)]
    Tools(#[from] ToolsError),
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error(transparent)]
    Azure(#[from] azure::AzureError),
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    #[error("{error}")]
    Fault {
        name: String,
        #[source]
        error: FaultError,
    },
    #[error("sandbox `{0}` is not running")]
    NotRunning(String),
}

impl CliError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Up(error) => error.hint(),
            Self::Programs(error) => error.hint(),
            Self::Tools(error) => error.hint().map(str::to_owned),
            Self::Azure(error) => error.hint(),
            Self::Pipeline(error) => error.hint(),
            Self::Fault { name, error } => error.hint(name),
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
            let state = running(&arguments.name.name)?;
            let mut variables = if state.spec().exists() {
                environment::variables(&state, &files::read_json(&state.spec())?, arguments.helm)
            } else {
                let access = azure::Access::of(&state)?;
                let direct = access.arm.ip().to_string();
                environment::cloud_variables(&state, &access, &direct)
            };
            if let Some(pipeline) = arguments.pipeline {
                pipeline.apply(&mut variables, pipeline.job(&state)?);
            }
            output::data(&environment::exports(&variables));
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
        Command::Prune => prune()?,
        Command::Doctor => return Ok(show_findings()),
        Command::Azure(arguments) => ask_azure(&arguments)?,
        Command::Fault(arguments) => fault(&arguments)?,
        Command::Image(arguments) => {
            let program = programs::probe(&mut output::talk)?;
            let image = image::wi_probe(&program).named(&arguments.reference);
            let digest = image.write(&arguments.file)?;
            output::data(&format!("{}  {digest}\n", arguments.file.display()));
        }
        Command::Demo(arguments) => {
            return Ok(demo::run(&StateDir::new(&arguments.name.name)?, arguments.keep));
        }
        Command::Test => return Ok(test::run()),
        Command::Bench(arguments) => {
            let state = StateDir::new(&arguments.name)?;
            return Ok(bench::run(&state, &arguments.plan(), arguments.output.output));
        }
        Command::Measure(arguments) => {
            let cost = bench::measure::run(&arguments.words)?;
            output::data(&format!("{}\n", serde_json::json!(cost)));
        }
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

/// The folder of a sandbox that runs.
fn running(name: &str) -> Result<StateDir, CliError> {
    let state = StateDir::new(name)?;
    if state.is_alive() {
        Ok(state)
    } else {
        Err(CliError::NotRunning(name.to_owned()))
    }
}

fn prune() -> Result<(), CliError> {
    let live = state::all()?.into_iter().filter(StateDir::is_alive);
    let used: Vec<_> = live
        .filter_map(|state| files::read_json::<Spec>(&state.spec()).ok())
        .flat_map(|spec| spec.programs.tools())
        .collect();
    for folder in Toolbox::open()?.prune(&used, &mut output::talk)? {
        output::talk(&format!("removed {}", folder.display()));
    }
    Ok(())
}

fn ask_azure(arguments: &AzureArgs) -> Result<(), CliError> {
    let state = if arguments.command.serves() {
        StateDir::new(arguments.name())?
    } else {
        running(arguments.name())?
    };
    output::data(&arguments.command.run(&state)?);
    Ok(())
}

fn fault(arguments: &FaultArgs) -> Result<(), CliError> {
    let state = running(&arguments.name.name)?;
    let Some(command) = &arguments.command else {
        output::data(&status::faults(&state));
        return Ok(());
    };
    command.run(&state).map_err(|error| CliError::Fault {
        name: arguments.name.name.clone(),
        error,
    })
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
            output::data(&output::json(&documents.into()));
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
