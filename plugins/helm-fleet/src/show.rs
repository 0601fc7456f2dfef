//! `helm fleet report`: the report of a run once more, in any form, from what the run left.

use crate::cli::ReportArgs;
use crate::conduct::RUN_FILES;
use crate::fleet::ReportSpec;
use crate::report::read::{self, ReadError};
use crate::reporter::{render, run_file, write_files};
use crate::reports::print_summary;
use aks_shared::{ExitStatus, Failure, Session};
use std::path::{Path, PathBuf};

/// Runs the command.
pub(crate) fn run(args: &ReportArgs, session: &Session) -> Result<ExitStatus, Failure> {
    let report = read::report(&source(args.run.as_deref()))?;
    let failed = |error: std::io::Error| Failure::from_error(ExitStatus::Failed, &error);
    if let Some(directory) = &args.report_dir {
        let spec = ReportSpec {
            dir: None,
            formats: args.format.clone(),
        };
        let files = write_files(&report, &spec, directory).map_err(|error| {
            let what = format!("cannot write reports to {}", directory.display());
            Failure::new(ExitStatus::Failed, what).caused_by(&error)
        })?;
        for file in files {
            session.ui.status(&format!("wrote {}", file.display()));
        }
        return Ok(ExitStatus::Ok);
    }
    match args.format.as_slice() {
        [] => print_summary(session, &report)?,
        [format] => {
            let text = render(&report, *format).map_err(failed)?;
            session.ui.data(&text)?;
        }
        [_, _, ..] => {
            return Err(Failure::usage("only one form of a report can be printed")
                .hint("write several to a folder with --report-dir DIR"));
        }
    }
    Ok(ExitStatus::Ok)
}

/// What was named: a file or folder, else a run of this folder; without a name its newest run.
fn source(named: Option<&Path>) -> PathBuf {
    let runs = Path::new(RUN_FILES);
    match named {
        None => runs.to_owned(),
        Some(path) if path.exists() => path.to_owned(),
        Some(run) => {
            let of_run = run_file::path(runs, &run.to_string_lossy());
            if of_run.exists() { of_run } else { run.to_owned() }
        }
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        let failure = Self::from_error(ExitStatus::Usage, &error);
        match error {
            ReadError::File { .. } | ReadError::Nothing { .. } => failure
                .hint("name a run, its file below .helm-fleet/runs, a report.json, or the folder of one"),
            ReadError::Content { .. } | ReadError::Empty { .. } => failure,
        }
    }
}
