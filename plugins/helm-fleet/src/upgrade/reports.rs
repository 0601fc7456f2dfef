//! What a run leaves for others: the report files and the summary.

use crate::cli::UpgradeArgs;
use crate::fleet::{Fleet, ReportSpec};
use crate::report::FleetReport;
use crate::reporter::{remove_files, table, write_files};
use aks_shared::format::OutputFormat;
use aks_shared::{ExitStatus, Failure, Session};
use std::path::{Path, PathBuf};

/// The folder of the reports, if any are wanted.
pub(super) fn report_directory(args: &UpgradeArgs, fleet: Option<&Fleet>, base: &Path) -> Option<PathBuf> {
    let configured = || fleet?.report.dir.as_ref().map(|dir| base.join(dir));
    args.run.report_dir.clone().or_else(configured)
}

/// Takes the reports of an earlier run away before anything can go wrong with this one.
pub(super) fn remove_reports(args: &UpgradeArgs, fleet: Option<&Fleet>, base: &Path) -> Result<(), Failure> {
    let Some(directory) = report_directory(args, fleet, base) else {
        return Ok(());
    };
    let spec = fleet.map(|fleet| fleet.report.clone()).unwrap_or_default();
    remove_files(&spec, &directory).map_err(|error| {
        let what = "reports of an earlier run cannot be removed from";
        Failure::refused(format!("{what} {}; nothing was touched", directory.display())).caused_by(&error)
    })
}

/// Writes the report files. The clusters are what they are: a report that cannot be written must not hide how the
/// run ended.
pub(super) fn write_reports(session: &Session, report: &FleetReport, spec: &ReportSpec, directory: &Path) {
    match write_files(report, spec, directory) {
        Ok(files) => files
            .iter()
            .for_each(|file| session.ui.status(&format!("wrote {}", file.display()))),
        Err(error) => session.ui.warning(&format!(
            "cannot write reports to {}: {error}",
            directory.display()
        )),
    }
}

/// Prints what became of the targets.
pub(super) fn print_summary(session: &Session, report: &FleetReport) -> Result<(), Failure> {
    let text = match session.ui.format() {
        OutputFormat::Json | OutputFormat::Yaml => return session.ui.document(report),
        OutputFormat::Name => names(report.targets.iter().map(|target| &target.cluster)),
        OutputFormat::Table | OutputFormat::Wide => table::render(report),
    };
    let failed = |error| Failure::from_error(ExitStatus::Failed, &error);
    session.ui.data(&text).map_err(failed)
}

/// A summary that could not be printed fails a good run, and says nothing about any other.
pub(super) fn status_after(
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
pub(super) fn names<'a>(clusters: impl Iterator<Item = &'a String>) -> String {
    clusters.fold(String::new(), |mut text, cluster| {
        text.extend(["target/", cluster, "\n"]);
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
