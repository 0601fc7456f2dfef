//! The end of a run: documents, tables and failures, and the exit status that they come to.

use super::{Carried, Planned, Refused};
use crate::enable::{Before, with_change};
use crate::outputs::{Ended, Outputs};
use crate::plan::Plan;
use crate::selection::{Selected, Unit};
use crate::{document, render};
use aks_shared::args::ConfirmArgs;
use aks_shared::azure::{Azure, Principal};
use aks_shared::format::OutputFormat;
use aks_shared::{ExitStatus, Failure, Session};
use serde::Serialize;
use serde_json::{Value, json};

/// Shows a plan to people: as data when it is what was asked for, else as talk.
pub(crate) fn plan(session: &Session, is_asked_for: bool, text: &str) -> Result<(), Failure> {
    if is_asked_for && matches!(session.ui.format(), OutputFormat::Table | OutputFormat::Wide) {
        return session.ui.data(text);
    }
    session.ui.status(text.trim_end());
    Ok(())
}

/// What one cluster's part of the document says.
pub(crate) struct Told {
    pub(crate) unit: Unit,
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
    before: Before,
    outputs: &Outputs,
) -> Result<ExitStatus, Failure> {
    let sound = planned.iter().map(|one| (&one.unit, Some(&one.plan), None));
    let unsound = refused
        .iter()
        .map(|(unit, plan, failure)| (unit, plan.as_ref(), Some(failure)));
    outputs.plans(session, sound.chain(unsound))?;
    let enabled = &before.enabled;
    let mut told = Vec::new();
    for one in planned {
        told.push(Told {
            status: args.unchanged(!one.plan.is_empty()),
            content: plan_content(&one.plan)?,
            unit: one.unit,
            failure: None,
        });
    }
    for (unit, plan, failure) in refused {
        let mut content = plan.as_ref().map(plan_content).transpose()?.unwrap_or_default();
        if let Some(record) = enabled.get(&unit.context) {
            with_change(&mut content, record);
        }
        let failure = before.taint(failure);
        told.push(Told {
            unit,
            status: failure.status,
            content,
            failure: Some(failure),
        });
    }
    if told.len() > 1 && enabled.is_empty() && told.iter().any(|one| one.failure.is_some()) {
        session.ui.status("nothing was changed on any cluster");
    }
    told.extend(before.pending);
    finish(session, "WorkloadIdentityPlan", principal, told)
}

/// Ends a run that was about the clusters' features alone.
pub(super) fn features(
    session: &Session,
    principal: &Principal,
    selected: &[Selected],
    before: Before,
) -> Result<ExitStatus, Failure> {
    let mut told = before.pending;
    let kind = if told.is_empty() {
        "WorkloadIdentity"
    } else {
        "WorkloadIdentityPlan"
    };
    for Selected { unit, .. } in selected {
        if told.iter().any(|other| other.unit.context == unit.context) {
            continue;
        }
        let mut content = json!({"changes": []});
        let record = before.enabled.get(&unit.context);
        if let Some(record) = record {
            with_change(&mut content, record);
        }
        session.ui.status(&format!(
            "{}: {}",
            unit.context,
            if record.is_some() {
                "switched on"
            } else {
                "nothing to change"
            }
        ));
        told.push(Told {
            unit: unit.clone(),
            status: ExitStatus::Ok,
            content,
            failure: None,
        });
    }
    finish(session, kind, principal, told)
}

/// Ends a run that applied its plans.
pub(super) fn outcomes(
    session: &Session,
    azure: &Azure,
    carried: Vec<Carried>,
    before: &Before,
    outputs: &Outputs,
) -> Result<ExitStatus, Failure> {
    let ended: Vec<Ended<'_>> = carried
        .iter()
        .map(|one| (&one.unit, one.outcome.as_ref(), one.failure.as_ref()))
        .collect();
    // What the results lack must not hide what the run did.
    let written = outputs.outcomes(session, &azure.cloud.name, &ended);
    let mut told = Vec::new();
    let mut done = Vec::new();
    let is_changed = |one: &Carried| match &one.outcome {
        Some(outcome) => !outcome.changes.is_empty(),
        None => one.changes != json!([]),
    };
    let some_changed = !before.enabled.is_empty() || carried.iter().any(is_changed);
    for one in carried {
        let mut content = match &one.outcome {
            Some(outcome) => value(outcome)?,
            None => json!({"changes": one.changes}),
        };
        if let Some(record) = before.enabled.get(&one.unit.context) {
            with_change(&mut content, record);
        }
        content["exchange"] = json!(one.waited);
        let status = status_of(one.failure.as_ref().map(|failure| failure.status), some_changed);
        if let Some(outcome) = one.outcome {
            done.push((outcome, one.waited));
        }
        told.push(Told {
            unit: one.unit,
            status,
            content,
            failure: one.failure,
        });
    }
    let text = match session.ui.format() {
        OutputFormat::Table if !done.is_empty() => render::outcomes(&done, false),
        OutputFormat::Wide if !done.is_empty() => render::outcomes(&done, true),
        OutputFormat::Name => done.iter().map(|(outcome, _)| render::names(outcome)).collect(),
        OutputFormat::Table
        | OutputFormat::Wide
        | OutputFormat::Json
        | OutputFormat::Yaml
        | OutputFormat::Ndjson
        | OutputFormat::Values => String::new(),
    };
    session.ui.data(&text)?;
    let finished = finish(session, "WorkloadIdentity", &azure.principal, told)?;
    written.map(|()| finished)
}

/// A cluster's status within the run: "refused" promises that the run touched nothing.
pub(crate) fn status_of(failure: Option<ExitStatus>, some_changed: bool) -> ExitStatus {
    match failure {
        None => ExitStatus::Ok,
        Some(ExitStatus::Refused) if some_changed => ExitStatus::Failed,
        Some(status) => status,
    }
}

/// Prints the document and the failures. The only cluster's failure is the command's own.
pub(crate) fn finish(
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
            .warning(&format!("{}: {}", one.unit.label, failure.message));
        for text in failure.causes.iter().chain(&failure.hints) {
            session.ui.status(&format!("  {text}"));
        }
    }
    Ok(status)
}

fn plan_content(plan: &Plan) -> Result<Value, Failure> {
    let mut content = value(plan)?;
    content["empty"] = json!(plan.is_empty());
    if plan.identity.target().principal_id.is_none() {
        // Null in the objects above, wherever they name it.
        content["knownAfterApply"] = json!(["clientId", "principalId"]);
    }
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
