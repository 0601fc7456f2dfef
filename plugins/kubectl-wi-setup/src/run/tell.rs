//! The end of a run: documents, tables and failures, and the exit status that they come to.

use super::{Carried, Planned, Refused};
use crate::plan::Plan;
use crate::{document, render};
use aks_shared::args::ConfirmArgs;
use aks_shared::azure::Principal;
use aks_shared::format::OutputFormat;
use aks_shared::{ExitStatus, Failure, Session};
use serde::Serialize;
use serde_json::{Value, json};

/// What one cluster's part of the document says.
pub(crate) struct Told {
    pub(crate) context: String,
    pub(crate) status: ExitStatus,
    pub(crate) content: Value,
    pub(crate) failure: Option<Failure>,
}

/// Ends a run that writes nothing: a dry run, or one in which a cluster is refused. One refused cluster keeps all
/// others untouched, so that the code 8 is true.
pub(super) fn plans(
    session: &Session,
    args: &ConfirmArgs,
    principal: &Principal,
    planned: Vec<Planned>,
    refused: Refused,
) -> Result<ExitStatus, Failure> {
    let mut told = Vec::new();
    for one in planned {
        let pending = args.detailed_exitcode && !one.plan.is_empty();
        let status = if pending {
            ExitStatus::ChangesPending
        } else {
            ExitStatus::Ok
        };
        let content = plan_content(&one.plan)?;
        told.push(Told {
            context: one.cluster.context,
            status,
            content,
            failure: None,
        });
    }
    for (context, plan, failure) in refused {
        let content = plan.as_ref().map(plan_content).transpose()?.unwrap_or_default();
        told.push(Told {
            context,
            status: failure.status,
            content,
            failure: Some(failure),
        });
    }
    if told.len() > 1 && told.iter().any(|one| one.failure.is_some()) {
        session.ui.status("nothing was changed on any cluster");
    }
    finish(session, "WorkloadIdentityPlan", principal, told)
}

/// Ends a run that applied its plans.
pub(super) fn outcomes(
    session: &Session,
    principal: &Principal,
    carried: Vec<Carried>,
) -> Result<ExitStatus, Failure> {
    let mut told = Vec::new();
    let mut done = Vec::new();
    let is_changed = |one: &Carried| match &one.outcome {
        Some(outcome) => !outcome.changes.is_empty(),
        None => one.changes != json!([]),
    };
    let some_changed = carried.iter().any(is_changed);
    for one in carried {
        let mut content = match &one.outcome {
            Some(outcome) => value(outcome)?,
            None => json!({"changes": one.changes}),
        };
        content["exchange"] = json!(one.waited);
        let status = status_of(one.failure.as_ref().map(|failure| failure.status), some_changed);
        if let Some(outcome) = one.outcome {
            done.push((outcome, one.waited));
        }
        told.push(Told {
            context: one.context,
            status,
            content,
            failure: one.failure,
        });
    }
    let text = match session.ui.format() {
        OutputFormat::Table if !done.is_empty() => render::outcomes(&done, false),
        OutputFormat::Wide if !done.is_empty() => render::outcomes(&done, true),
        OutputFormat::Name => done.iter().map(|(outcome, _)| render::names(outcome)).collect(),
        OutputFormat::Table | OutputFormat::Wide | OutputFormat::Json | OutputFormat::Yaml => String::new(),
    };
    session
        .ui
        .data(&text)
        .map_err(|error| Failure::from_error(ExitStatus::Failed, &error))?;
    finish(session, "WorkloadIdentity", principal, told)
}

/// A cluster's status within the run: "refused" promises that the run touched nothing.
fn status_of(failure: Option<ExitStatus>, some_changed: bool) -> ExitStatus {
    match failure {
        None => ExitStatus::Ok,
        Some(ExitStatus::Refused) if some_changed => ExitStatus::Failed,
        Some(status) => status,
    }
}

/// Prints the document and the failures. The only cluster's failure is the command's own.
fn finish(
    session: &Session,
    kind: &str,
    principal: &Principal,
    mut told: Vec<Told>,
) -> Result<ExitStatus, Failure> {
    let status = ExitStatus::combine(told.iter().map(|one| one.status));
    session
        .ui
        .document(&document::of_run(kind, principal, status, &told))?;
    if told.len() == 1 {
        return told.pop().and_then(|only| only.failure).map_or(Ok(status), Err);
    }
    for one in &told {
        let Some(failure) = &one.failure else { continue };
        session
            .ui
            .warning(&format!("{}: {}", one.context, failure.message));
        for text in failure.causes.iter().chain(&failure.hints) {
            session.ui.status(&format!("  {text}"));
        }
    }
    Ok(status)
}

fn plan_content(plan: &Plan) -> Result<Value, Failure> {
    let mut content = value(plan)?;
    content["empty"] = json!(plan.is_empty());
    Ok(content)
}

fn value<T: Serialize>(content: &T) -> Result<Value, Failure> {
    serde_json::to_value(content).map_err(|error| Failure::from_error(ExitStatus::Failed, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_called_refused_once_something_was_changed() {
        assert_eq!(status_of(Some(ExitStatus::Refused), true), ExitStatus::Failed);
        assert_eq!(status_of(Some(ExitStatus::Refused), false), ExitStatus::Refused);
        assert_eq!(
            status_of(Some(ExitStatus::Interrupted), true),
            ExitStatus::Interrupted
        );
        assert_eq!(status_of(None, true), ExitStatus::Ok);
    }
}
