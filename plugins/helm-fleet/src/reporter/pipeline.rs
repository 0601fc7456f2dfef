//! The run for the CI system that it is part of: a group per stage, a message beside the run for what failed, outputs
//! of the step and the summary on its page.

use super::lines::count;
use crate::event::{Event, EventKind, FailureReport, TargetResult, TargetStatus};
use crate::report::{FleetReport, StageStatus};
use aks_shared::ci::{CiSystem, Gravity, StepOutputs, add_summary};
use aks_shared::env::{Env, place};
use aks_shared::ui::Ui;
use aks_shared::{ExitStatus, Failure, Session};
use std::io;
use std::path::PathBuf;

/// Tells the CI system.
#[derive(Debug)]
pub(crate) struct Pipeline {
    system: CiSystem,
    ui: Ui,
    in_group: bool,
}

impl Pipeline {
    /// For the system that is to be told, if any.
    pub(crate) fn of(ui: &Ui) -> Option<Self> {
        let told = ui.told_system();
        told.map(|system| Self {
            system,
            ui: ui.clone(),
            in_group: false,
        })
    }

    /// What goes before the lines of an event.
    pub(crate) fn before(&mut self, event: &Event) {
        match &event.kind {
            EventKind::IdentityStarted { .. } if !self.in_group => self.open("Identities"),
            EventKind::StageStarted { stage, targets, .. } => {
                self.open(&format!("Stage {stage}: {}", count(*targets, "cluster")));
            }
            EventKind::GateReached { .. } | EventKind::RunFinished { .. } => self.close(),
            EventKind::RollbackStarted { .. } if !self.in_group => self.open("Rollback"),
            _ => {}
        }
    }

    /// What goes after the lines of an event.
    pub(crate) fn after(&mut self, event: &Event) {
        if matches!(event.kind, EventKind::StageFinished { .. }) {
            self.close();
        }
        if let Some((gravity, title, text)) = message(&event.kind) {
            self.ui
                .ci_command(&self.system.annotation(gravity, &title, &text));
        }
    }

    fn open(&mut self, title: &str) {
        self.close();
        self.ui.ci_command(&self.system.group(title));
        self.in_group = true;
    }

    fn close(&mut self) {
        if self.in_group {
            self.ui.ci_command(self.system.group_end());
            self.in_group = false;
        }
    }
}

/// What is to be shown beside the run.
fn message(kind: &EventKind) -> Option<(Gravity, String, String)> {
    let of_target = |cluster: &str, result: &TargetResult| {
        let gravity = match result.status {
            TargetStatus::Failed | TargetStatus::RollbackFailed | TargetStatus::Interrupted => Gravity::Error,
            TargetStatus::Unreachable | TargetStatus::RolledBack => Gravity::Warning,
            TargetStatus::NotStarted
            | TargetStatus::Unchanged
            | TargetStatus::IdentityRepaired
            | TargetStatus::Installed
            | TargetStatus::Upgraded
            | TargetStatus::Uninstalled => return None,
        };
        let title = format!("{cluster}: {}", result.status.name());
        let failure = result.failure.as_ref().map(FailureReport::line);
        Some((gravity, title, failure.unwrap_or_default()))
    };
    match kind {
        EventKind::TargetFinished { cluster, result, .. }
        | EventKind::TargetRechecked { cluster, result, .. }
        | EventKind::RollbackFinished { cluster, result, .. } => of_target(cluster, result),
        EventKind::RunFinished {
            exit_code,
            exit_name,
            reason,
        } => {
            let gravity = gravity_of(*exit_code)?;
            Some((gravity, format!("helm fleet: {exit_name}"), reason.clone()))
        }
        _ => None,
    }
}

/// How grave an exit code is: failures that are tolerated and gates that wait are no errors.
fn gravity_of(code: u8) -> Option<Gravity> {
    let is = |status: ExitStatus| status.code() == code;
    if is(ExitStatus::Ok) {
        None
    } else if [
        ExitStatus::ChangesPending,
        ExitStatus::ToleratedFailures,
        ExitStatus::Waiting,
        ExitStatus::Drift,
    ]
    .into_iter()
    .any(is)
    {
        Some(Gravity::Warning)
    } else {
        Some(Gravity::Error)
    }
}

/// Gives the step the outputs of a run, and its page the report.
pub(crate) fn leave(session: &Session, report: &FleetReport, files: &[PathBuf]) {
    let Some(system) = session.ui.told_system() else {
        return;
    };
    let waiting = report
        .stages
        .iter()
        .filter(|stage| stage.status == StageStatus::Waiting)
        .find_map(|stage| stage.gates.last());
    let directory = files.first().and_then(|file| file.parent());
    let outputs = [
        ("run", Some(report.run.id.clone())),
        (
            "failed",
            Some((report.summary.failed + report.summary.rollback_failed).to_string()),
        ),
        ("gate", waiting.map(|gate| gate.name.clone())),
        (
            "report",
            directory.map(|directory| directory.display().to_string()),
        ),
    ];
    let outputs: Vec<(String, String)> = outputs
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect();
    set(session, system, &outputs);
    if let Err(error) = summarize(session, system, report, files) {
        session
            .ui
            .warning(&format!("the summary of the step cannot be written: {error}"));
    }
}

fn summarize(session: &Session, system: CiSystem, report: &FleetReport, files: &[PathBuf]) -> io::Result<()> {
    let text = super::markdown::render(report);
    let written = files
        .iter()
        .find(|file| file.extension().is_some_and(|ending| ending == "md"));
    let file = match (system, written) {
        (CiSystem::Github, _) => PathBuf::new(),
        (CiSystem::Azure, Some(file)) => std::path::absolute(file)?,
        (CiSystem::Azure, None) => match keep(&session.env, report, &text)? {
            Some(file) => file,
            None => return Ok(()),
        },
    };
    if let Some(line) = add_summary(system, &session.env, &file, &text)? {
        session.ui.ci_command(&line);
    }
    Ok(())
}

/// Writes the summary to where the agent finds it after this process has ended.
fn keep(env: &Env, report: &FleetReport, text: &str) -> io::Result<Option<PathBuf>> {
    let Some(folder) = env.path(place::AGENT_TEMPDIRECTORY) else {
        return Ok(None);
    };
    let file = folder.join(format!("helm fleet {}.md", report.run.id));
    std::fs::write(&file, text)?;
    Ok(Some(file))
}

/// Gives the step the outputs that every command has, and shows why one was refused.
pub(crate) fn ended(session: &Session, result: &Result<ExitStatus, Failure>) {
    let Some(system) = session.ui.told_system() else {
        return;
    };
    let status = match result {
        Ok(status) => *status,
        Err(failure) => {
            let text: Vec<&str> = std::iter::once(&failure.message)
                .chain(&failure.causes)
                .map(String::as_str)
                .collect();
            let title = format!("helm fleet: {}", failure.status.name());
            let line = system.annotation(Gravity::Error, &title, &text.join("\n"));
            session.ui.ci_command(&line);
            failure.status
        }
    };
    let outputs = [
        ("exitCode".to_owned(), status.code().to_string()),
        ("exitName".to_owned(), status.name().to_owned()),
    ];
    set(session, system, &outputs);
}

fn set(session: &Session, system: CiSystem, outputs: &[(String, String)]) {
    // Without a file for them a step has no outputs, and nobody asked for them by name.
    let Ok(step) = StepOutputs::of(system, &session.env) else {
        return;
    };
    match step.set(outputs) {
        Ok(lines) => lines.iter().for_each(|line| session.ui.ci_command(line)),
        Err(error) => session
            .ui
            .warning(&format!("the outputs of the step cannot be set: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn what_failed_is_shown_beside_the_run() {
        let shown: Vec<_> = sample::events()
            .iter()
            .filter_map(|event| message(&event.kind))
            .collect();
        assert_eq!(
            shown,
            [
                (
                    Gravity::Error,
                    "neu-1: failed".to_owned(),
                    "helm upgrade failed (exit status: 1)".to_owned()
                ),
                (
                    Gravity::Error,
                    "helm fleet: stopped".to_owned(),
                    "stage prod: 1 failure, 0 allowed".to_owned()
                ),
            ]
        );
    }

    #[test]
    fn a_gate_that_waits_is_no_error() {
        assert_eq!(gravity_of(ExitStatus::Ok.code()), None);
        for status in [ExitStatus::Waiting, ExitStatus::ToleratedFailures] {
            assert_eq!(gravity_of(status.code()), Some(Gravity::Warning));
        }
        assert_eq!(gravity_of(ExitStatus::Refused.code()), Some(Gravity::Error));
    }

    #[test]
    fn a_summary_is_kept_where_the_agent_finds_it() {
        let folder = tempfile::tempdir().unwrap();
        let env = Env::of([(place::AGENT_TEMPDIRECTORY, folder.path().to_string_lossy())]);
        let kept = keep(&env, &sample::report(), "text").unwrap().unwrap();
        assert_eq!(std::fs::read_to_string(kept).unwrap(), "text");
        let nowhere = Env::of::<&str, &str>([]);
        assert_eq!(keep(&nowhere, &sample::report(), "text").unwrap(), None);
    }
}
