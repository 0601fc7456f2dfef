//! From `main` to an exit code: parse the flags, start the runtime, run the command, tell its failure.

use crate::args::OutputArgs;
use crate::ci::CiChoice;
use crate::env::Env;
use crate::exit::ExitStatus;
use crate::failure::{API_VERSION, Failure};
use crate::format::OutputFormat;
use crate::interrupt::Interrupt;
use crate::ui::Ui;
use clap::{Parser, ValueEnum};
use std::ffi::OsString;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// What every command is given besides its flags.
#[derive(Debug, Clone)]
pub struct Session {
    /// The environment variables.
    pub env: Env,
    /// The user.
    pub ui: Ui,
    /// The wish to stop.
    pub interrupt: Interrupt,
}

/// A set of flags that can be run.
pub trait Command {
    /// The API version of the documents that it prints.
    const API_VERSION: &'static str = API_VERSION;

    /// The flags that decide what is printed.
    fn output(&self) -> &OutputArgs;

    /// Which CI system is told of what happens.
    fn ci(&self) -> CiChoice {
        CiChoice::Auto
    }

    /// Does what the flags say.
    fn run(self, session: &Session) -> impl Future<Output = Result<ExitStatus, Failure>> + Send;
}

/// Runs the command that the process arguments name. The body of every binary's `main`.
pub fn main<C: Parser + Command>() -> ExitCode {
    match C::try_parse() {
        Ok(command) => run(command),
        // Help and version go to standard output and are no failure; clap decides by kind.
        Err(error) if !error.use_stderr() => {
            let _ = error.print();
            ExitStatus::Ok.into()
        }
        Err(error) => {
            let _ = error.print();
            let output = OutputArgs {
                output: asked_format(std::env::args_os().skip(1)),
                ..OutputArgs::default()
            };
            // A failure while telling of a failure has nobody left to tell.
            let _ = Ui::new(&output, &Env::Process).document(&usage(&error).document(C::API_VERSION));
            ExitStatus::Usage.into()
        }
    }
}

/// What clap has to say about the flags, without its layout.
fn usage(error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    let mut parts = text.split("\n\n").map(str::trim);
    let message = parts.next().unwrap_or_default();
    let failure = Failure::usage(message.strip_prefix("error: ").unwrap_or(message));
    parts
        .filter_map(|part| part.strip_prefix("tip: "))
        .fold(failure, Failure::hint)
}

/// The output format that arguments ask for which clap could not read as a whole; the last one counts.
fn asked_format(arguments: impl Iterator<Item = OsString>) -> OutputFormat {
    let mut format = OutputFormat::default();
    let mut arguments = arguments.map(|argument| argument.to_string_lossy().into_owned());
    while let Some(argument) = arguments.next().filter(|argument| argument != "--") {
        let value = match argument.strip_prefix("--output") {
            Some(rest) => rest.strip_prefix('=').or_else(|| rest.is_empty().then_some("")),
            // `-o json`, `-ojson`, `-o=json`, also behind the flags that take no value: `-qojson`.
            None => argument
                .strip_prefix('-')
                .map(|flags| flags.trim_start_matches(['q', 'v', 'y']))
                .and_then(|flags| flags.strip_prefix('o'))
                .map(|value| value.strip_prefix('=').unwrap_or(value)),
        };
        let value = match value {
            Some("") => arguments.next(),
            value => value.map(str::to_owned),
        };
        if let Some(asked) = value.and_then(|value| OutputFormat::from_str(&value, false).ok()) {
            format = asked;
        }
    }
    format
}

/// Runs a parsed command to its exit code.
pub fn run<C: Command>(command: C) -> ExitCode {
    let env = Env::Process;
    let ui = Ui::new(command.output(), &env).telling(command.ci(), &env);
    trace_to_stderr(ui.verbosity());
    // The first provider that is installed wins; azure_core, kube and reqwest all bring the same one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail::<C>(&ui, &Failure::from_error(ExitStatus::Failed, &error)),
    };
    let result = runtime.block_on(async {
        let interrupt =
            Interrupt::listen().map_err(|error| Failure::from_error(ExitStatus::Failed, &error))?;
        let session = Session {
            env,
            ui: ui.clone(),
            interrupt,
        };
        command.run(&session).await
    });
    // A prompt or a name lookup may still sit on a blocking thread; nothing of it matters any more.
    runtime.shutdown_background();
    match result {
        Ok(status) => status.into(),
        Err(failure) => fail::<C>(&ui, &failure),
    }
}

fn fail<C: Command>(ui: &Ui, failure: &Failure) -> ExitCode {
    ui.failure(failure, C::API_VERSION);
    failure.status.into()
}

/// Sends the libraries' own messages to standard error with `-vv`. Their bodies may hold tokens, so the HTTP
/// libraries stay silent at every level.
fn trace_to_stderr(verbosity: u8) {
    if verbosity < 2 {
        return;
    }
    let level = if verbosity == 2 { "info" } else { "debug" };
    let filter = EnvFilter::new(format!(
        "{level},hyper=off,hyper_util=off,reqwest=off,rustls=off,azure_core=off,azure_identity=off,typespec_client_core=off,kube_client=info,tower=off,h2=off"
    ));
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .try_init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_found_among_arguments_that_make_no_sense() {
        let asked = |line: &str| asked_format(line.split(' ').map(OsString::from));
        for line in [
            "-o json --nonsense",
            "--nonsense -ojson",
            "-o=json",
            "-qo json",
            "--output json",
            "--output=json",
            "-o yaml --output json",
        ] {
            assert_eq!(asked(line), OutputFormat::Json, "{line}");
        }
        for line in [
            "",
            "--nonsense json",
            "-- -o json",
            "--outputs json",
            "-o",
            "-n o",
        ] {
            assert_eq!(asked(line), OutputFormat::Table, "{line}");
        }
    }
}
