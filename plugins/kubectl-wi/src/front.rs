//! The flags of the front: one subcommand per command.

use aks_shared::args::OutputArgs;
use aks_shared::{Command, ExitStatus, Failure, Session};
use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use kubectl_wi_setup::{RemoveArgs, SetupArgs};
use kubectl_wi_verify::{ImageArgs, VerifyArgs};

/// Set up and verify Azure Workload Identity for service accounts on AKS
#[derive(Debug, Parser)]
#[command(name = "kubectl-wi", bin_name = "kubectl wi", version)]
pub(crate) struct Front {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Setup(Box<SetupArgs>),
    Verify(VerifyArgs),
    Image(ImageArgs),
    Remove(RemoveArgs),
    Completion(CompletionArgs),
}

/// Print the completion script of a shell
#[derive(Debug, Args)]
struct CompletionArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
    #[command(flatten)]
    output: OutputArgs,
}

impl Command for Front {
    fn output(&self) -> &OutputArgs {
        match &self.action {
            Action::Setup(args) => args.output(),
            Action::Verify(args) => args.output(),
            Action::Image(args) => args.output(),
            Action::Remove(args) => args.output(),
            Action::Completion(args) => &args.output,
        }
    }

    async fn run(self, session: &Session) -> Result<ExitStatus, Failure> {
        match self.action {
            Action::Setup(args) => (*args).run(session).await,
            Action::Verify(args) => args.run(session).await,
            Action::Image(args) => args.run(session).await,
            Action::Remove(args) => args.run(session).await,
            Action::Completion(args) => completion(&args, session),
        }
    }
}

fn completion(args: &CompletionArgs, session: &Session) -> Result<ExitStatus, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Front::command(), "kubectl-wi", &mut script);
    session.ui.data(&String::from_utf8_lossy(&script))?;
    Ok(ExitStatus::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_fit_together() {
        Front::command().debug_assert();
    }
}
