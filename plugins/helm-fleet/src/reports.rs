//! What a run leaves for others: the report files and the summary.

use crate::cli::CommonArgs;
use crate::fleet::{Fleet, ReleaseSpec, ReportSpec};
use crate::report::{API_VERSION, FleetReport};
use crate::reporter::{remove_files, table, write_files};
use aks_shared::format::OutputFormat;
use aks_shared::{ExitStatus, Failure, Session};
use jiff::Timestamp;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// The folder of the reports, if any are wanted.
pub(crate) fn report_directory(args: &CommonArgs, fleet: Option<&Fleet>, base: &Path) -> Option<PathBuf> {
    let configured = || fleet?.report.dir.as_ref().map(|dir| base.join(dir));
    args.tools.report_dir.clone().or_else(configured)
}

/// Takes the reports of an earlier run away before anything can go wrong with this one.
pub(crate) fn remove_reports(args: &CommonArgs, fleet: Option<&Fleet>, base: &Path) -> Result<(), Failure> {
    let Some(directory) = report_directory(args, fleet, base) else {
        return Ok(());
    };
    let spec = fleet.map(|fleet| fleet.report.clone()).unwrap_or_default();
    remove_files(&spec, &directory).map_err(|error| {
        let what = "reports of an earlier run cannot be removed from";
        Failure::refused(format!("{what} {}; nothing was touched", directory.display())).caused_by(&error)
    })
}

/// Writes the report files and returns their paths. The clusters are what they are: a report that cannot be written must not hide how the
/// run ended.
pub(crate) fn write_reports(
    session: &Session,
    report: &FleetReport,
    spec: &ReportSpec,
    directory: &Path,
) -> Vec<PathBuf> {
    let files = write_files(report, spec, directory).unwrap_or_else(|error| {
        session.ui.warning(&format!(
            "cannot write reports to {}: {error}",
            directory.display()
        ));
        Vec::new()
    });
    for file in &files {
        session.ui.status(&format!("wrote {}", file.display()));
    }
    files
}

/// Prints what became of the targets.
pub(crate) fn print_summary(session: &Session, report: &FleetReport) -> Result<(), Failure> {
    let text = match session.ui.format() {
        OutputFormat::Json | OutputFormat::Yaml => return session.ui.document(report),
        // Its events have told all of it.
        OutputFormat::Ndjson => return Ok(()),
        OutputFormat::Name => names(report.targets.iter().map(|target| &target.cluster)),
        OutputFormat::Table | OutputFormat::Wide | OutputFormat::Values => table::render(report),
    };
    data(session, &text)
}

/// What the documents of commands that only look begin with.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Head<'a> {
    api_version: &'static str,
    kind: &'static str,
    exit_code: u8,
    exit_name: &'static str,
    release: &'a str,
    namespace: &'a str,
}

impl<'a> Head<'a> {
    /// The head of a document about a release.
    pub(crate) fn new(kind: &'static str, status: ExitStatus, release: &'a ReleaseSpec) -> Self {
        Self {
            api_version: API_VERSION,
            kind,
            exit_code: status.code(),
            exit_name: status.name(),
            release: &release.name,
            namespace: &release.namespace,
        }
    }
}

/// Prints the document of a command that only looks: as data, as names, or as a table, which may be a wide one.
pub(crate) fn print<'a>(
    session: &Session,
    document: &impl Serialize,
    clusters: impl Iterator<Item = &'a str>,
    listed: impl FnOnce(bool) -> String,
) -> Result<(), Failure> {
    let format = session.ui.format();
    let text = match format {
        OutputFormat::Json | OutputFormat::Yaml | OutputFormat::Ndjson => {
            return session.ui.document(document);
        }
        OutputFormat::Name => names(clusters),
        OutputFormat::Table | OutputFormat::Wide | OutputFormat::Values => {
            listed(matches!(format, OutputFormat::Wide))
        }
    };
    data(session, &text)
}

/// Prints data, which fails a run when it cannot be.
pub(crate) fn data(session: &Session, text: &str) -> Result<(), Failure> {
    session.ui.data(text)
}

/// A time to the minute, for a table.
pub(crate) fn minute(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "-".to_owned(), |at| at.strftime("%Y-%m-%d %H:%MZ").to_string())
}

/// The beginning of a digest, for a table.
pub(crate) fn short(digest: Option<&str>) -> String {
    digest.map_or_else(|| "-".to_owned(), |digest| digest.chars().take(12).collect())
}

/// A summary that could not be printed fails a good run, and says nothing about any other.
pub(crate) fn status_after(
    status: ExitStatus,
    printed: Result<(), Failure>,
    session: &Session,
) -> ExitStatus {
    let Err(failure) = printed else { return status };
    let why: Vec<String> = std::iter::once(failure.message).chain(failure.causes).collect();
    session
        .ui
        .warning(&format!("cannot print the summary: {}", why.join(": ")));
    if status == ExitStatus::Ok {
        failure.status
    } else {
        status
    }
}

/// One `target/NAME` per line.
pub(crate) fn names<T: AsRef<str>>(clusters: impl Iterator<Item = T>) -> String {
    clusters.fold(String::new(), |mut text, cluster| {
        text.extend(["target/", cluster.as_ref(), "\n"]);
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_per_line() {
        let clusters = ["weu-1".to_owned(), "neu-1".to_owned()];
        assert_eq!(names(clusters.iter()), "target/weu-1\ntarget/neu-1\n");
    }
}
