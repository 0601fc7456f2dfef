//! The two ways of the command that help a person: questions in place of flags, and what to ask an administrator for.

use super::{before_any_write, run_selected, sign_in};
use crate::args::SetupArgs;
use crate::delegation::Delegation;
use crate::interactive;
use crate::observe::find_vault;
use crate::outputs::Outputs;
use crate::selection::select;
use aks_shared::format::OutputFormat;
use aks_shared::kubeconfig::Kubeconfig;
use aks_shared::{ExitStatus, Failure, Session};

/// Asks for what is missing, does it, and tells the command that would not have asked, however it went.
pub(super) async fn interactive(
    args: SetupArgs,
    session: &Session,
    outputs: &Outputs,
) -> Result<ExitStatus, Failure> {
    if !session.ui.is_interactive() {
        return Err(Failure::usage("--interactive needs a terminal and a person at it")
            .hint("name everything: kubectl wi setup -n NAMESPACE --service-account NAME --secret VAULT/NAME --yes"));
    }
    let kubeconfig = Kubeconfig::load(args.kube.kubeconfig.as_deref(), &session.env)?;
    let azure = sign_in(&args.azure, session).await?;
    let questions = interactive::complete(args, &azure, &kubeconfig, session);
    let answered = before_any_write(session, questions).await??;
    let workload = |namespace: &str| answered.args.workload.workload(namespace);
    let result = match select(&answered.args.asked(), None, &kubeconfig, workload) {
        Ok(selected) => run_selected(&answered.args, session, &kubeconfig, &selected, &azure, outputs).await,
        Err(failure) => Err(failure),
    };
    let given = std::env::args().skip(1);
    let command = answered.command(given);
    session
        .ui
        .status(&format!("\nthe same without a question:\n  {command}"));
    result
}

/// Prints what lets the signed-in principal grant the secrets that the flags name.
pub(super) async fn delegation(args: &SetupArgs, session: &Session) -> Result<ExitStatus, Failure> {
    let azure = sign_in(&args.azure, session).await?;
    let mut named: Vec<&str> = args
        .workload
        .secret
        .iter()
        .map(|secret| secret.vault.as_str())
        .collect();
    named.sort_unstable();
    named.dedup();
    let vaults = named.into_iter().map(|name| find_vault(&azure, name));
    let vaults = before_any_write(session, futures::future::try_join_all(vaults)).await??;
    let ids = vaults.into_iter().map(|observed| observed.vault.id);
    let delegation = Delegation::new(&azure.principal, ids.collect());
    if matches!(session.ui.format(), OutputFormat::Json | OutputFormat::Yaml) {
        session.ui.document(&delegation.document())?;
    } else {
        session.ui.data(&delegation.text())?;
    }
    Ok(ExitStatus::Ok)
}
