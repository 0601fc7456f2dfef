//! From `main` to an exit code: parse the flags, start the runtime, run the command, tell its failure.

use crate::args::OutputArgs;
use crate::env::Env;
use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::ui::Ui;
use clap::Parser;
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
    /// The flags that decide what is printed.
    fn output(&self) -> &OutputArgs;

    /// Does what the flags say.
    fn run(self, session: &Session) -> impl Future<Output = Result<ExitStatus, Failure>> + Send;
}

/// Runs the command that the process arguments name. The body of every binary's `main`.
pub fn main<C: Parser + Command>() -> ExitCode {
    match C::try_parse() {
        Ok(command) => run(command),
        Err(error) => {
            // Help and version go to standard output and are no failure; clap decides by kind.
            let status = if error.use_stderr() {
                ExitStatus::Usage
            } else {
                ExitStatus::Ok
            };
            let _ = error.print();
            status.into()
        }
    }
}

/// Runs a parsed command to its exit code.
pub fn run<C: Command>(command: C) -> ExitCode {
    let env = Env::Process;
    let ui = Ui::new(command.output(), &env);
    trace_to_stderr(ui.verbosity());
    // The first provider that is installed wins; azure_core, kube and reqwest all bring the same one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&ui, &Failure::from_error(ExitStatus::Failed, &error)),
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
        Err(failure) => fail(&ui, &failure),
    }
}

fn fail(ui: &Ui, failure: &Failure) -> ExitCode {
    ui.failure(failure);
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
