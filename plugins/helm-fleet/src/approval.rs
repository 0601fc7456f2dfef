//! Who lets a run pass a gate: the command line, an earlier part of the run, or a person at the terminal.

use aks_shared::args::ConfirmArgs;
use aks_shared::ui::Ui;
use futures::future::BoxFuture;
use std::collections::BTreeMap;

/// Answers for gates.
#[derive(Debug, Clone)]
pub struct Approver {
    /// Gates that are approved already, each with who did it.
    pub approved: BTreeMap<String, String>,
    /// Who runs this, as far as the machine or the pipeline tells.
    pub actor: String,
    /// The user.
    pub ui: Ui,
}

impl Approver {
    /// Who approves a gate; none when nobody has and nobody can be asked. `--yes` is no approval: it confirms what
    /// was shown before the run, and a gate asks for a look at what came of it.
    pub fn ask(&self, gate: &str) -> BoxFuture<'static, Option<String>> {
        let known = self.approved.get(gate).cloned();
        if known.is_some() || !self.ui.is_interactive() {
            return Box::pin(std::future::ready(known));
        }
        let (ui, actor, question) = (
            self.ui.clone(),
            self.actor.clone(),
            format!("Approve gate {gate}?"),
        );
        Box::pin(async move {
            let answer = ui.confirm(&question, &ConfirmArgs::default()).await;
            answer.is_ok().then_some(actor)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aks_shared::args::OutputArgs;
    use aks_shared::env::Env;

    #[tokio::test]
    async fn without_a_terminal_only_what_was_approved_passes() {
        let env = Env::of([("CI", "true")]);
        let approver = Approver {
            approved: [("canary".to_owned(), "kim".to_owned())].into(),
            actor: "build".to_owned(),
            ui: Ui::new(&OutputArgs::default(), &env),
        };
        assert_eq!(approver.ask("canary").await.as_deref(), Some("kim"));
        assert_eq!(approver.ask("prod").await, None);
    }
}
