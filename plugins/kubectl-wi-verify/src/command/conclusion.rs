//! What is printed and written of a run, and how it ends.

use crate::args::VerifyArgs;
use crate::finding::{FindingCode, Verdict};
use crate::render::checklist::{Detail, checklist, names};
use crate::render::{junit, markdown};
use crate::report::{ClusterResult, Document, Report};
use aks_shared::{ExitStatus, Failure, OutputFormat, Session};
use std::path::Path;

/// A context, and what came of it.
pub(super) type Outcome = (String, Result<Report, Failure>);

/// Concludes a run. One cluster that cannot be asked is the failure of the whole command.
pub(super) fn conclude(
    args: &VerifyArgs,
    session: &Session,
    outcomes: Vec<Outcome>,
) -> Result<ExitStatus, Failure> {
    let only = match outcomes.as_slice() {
        [(_, Err(failure))] => Some(failure.clone()),
        _ => None,
    };
    let (results, status) = results(args, outcomes);
    write_files(args, &results)?;
    match only {
        Some(failure) => Err(failure),
        None => print(session, &results, status),
    }
}

/// Concludes one of several rounds.
pub(super) fn conclude_round(
    args: &VerifyArgs,
    session: &Session,
    outcomes: Vec<Outcome>,
) -> Result<ExitStatus, Failure> {
    let (results, status) = results(args, outcomes);
    write_files(args, &results)?;
    print(session, &results, status)
}

/// What has to change for a round of a watch to be worth printing.
pub(super) fn signature(outcomes: &[Outcome]) -> Vec<(String, Vec<(FindingCode, Verdict)>)> {
    let codes = |outcome: &Result<Report, Failure>| match outcome {
        Ok(report) => report
            .findings
            .iter()
            .map(|finding| (finding.code, finding.verdict))
            .collect(),
        Err(_) => Vec::new(),
    };
    outcomes
        .iter()
        .map(|(context, outcome)| (context.clone(), codes(outcome)))
        .collect()
}

fn results(args: &VerifyArgs, outcomes: Vec<Outcome>) -> (Vec<ClusterResult>, ExitStatus) {
    let mut results = Vec::with_capacity(outcomes.len());
    let mut statuses = Vec::with_capacity(outcomes.len());
    for (context, outcome) in outcomes {
        let status = match &outcome {
            Ok(report) => report.status(args.fail_on.into()),
            Err(failure) => failure.status,
        };
        statuses.push(status);
        results.push(ClusterResult::new(context, status, outcome));
    }
    (results, ExitStatus::combine(statuses))
}

/// Writes the files that were asked for, also of a run that could not ask a cluster: a pipeline publishes them then too.
fn write_files(args: &VerifyArgs, results: &[ClusterResult]) -> Result<(), Failure> {
    if let Some(path) = &args.junit {
        write(path, &junit::junit(results, args.fail_on.into())?)?;
    }
    if let Some(path) = &args.markdown {
        write(path, &markdown::markdown(results))?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| {
        Failure::new(ExitStatus::Failed, format!("cannot write {}", path.display())).caused_by(&error)
    })
}

fn print(session: &Session, results: &[ClusterResult], status: ExitStatus) -> Result<ExitStatus, Failure> {
    let ui = &session.ui;
    let text = match ui.format() {
        OutputFormat::Table | OutputFormat::Values => checklist(results, Detail::Faults),
        OutputFormat::Wide => checklist(results, Detail::Everything),
        OutputFormat::Name => names(results),
        OutputFormat::Json | OutputFormat::Yaml | OutputFormat::Ndjson => {
            ui.document(&Document::new(status, results))?;
            return Ok(status);
        }
    };
    ui.data(&text)?;
    Ok(status)
}
