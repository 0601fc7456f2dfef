//! Reads a report back: from `report.json`, from a run file, or from a folder that holds one of them.

use super::FleetReport;
use crate::event::Event;
use crate::reporter::run_file;
use serde::Deserialize;
use serde_json::Value;
use std::io;
use std::path::{Path, PathBuf};

/// The name of the report that can be read back.
pub(crate) const REPORT: &str = "report.json";

/// A report cannot be read back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A folder holds neither a report nor a run file.
    #[error("{} holds neither {REPORT} nor a run file", path.display())]
    Nothing {
        /// The folder.
        path: PathBuf,
    },
    /// The file is something else.
    #[error("{} is no report and no run file of this version", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A run file was cut off before its first event.
    #[error("{} tells of no run", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// Reads a file, or of a folder the report, else the newest run file.
pub(crate) fn report(path: &Path) -> Result<FleetReport, ReadError> {
    let failed = |source| ReadError::File {
        path: path.to_owned(),
        source,
    };
    let path = if path.is_dir() {
        in_folder(path)
            .map_err(failed)?
            .ok_or_else(|| ReadError::Nothing {
                path: path.to_owned(),
            })?
    } else {
        path.to_owned()
    };
    // A run file may have been cut off in the middle of a character.
    let content = std::fs::read(&path).map_err(failed)?;
    parse(&String::from_utf8_lossy(&content), &path)
}

fn in_folder(folder: &Path) -> io::Result<Option<PathBuf>> {
    let report = folder.join(REPORT);
    if report.is_file() {
        return Ok(Some(report));
    }
    let newest = run_file::runs(folder)?.pop();
    Ok(newest.map(|run| run_file::path(folder, &run)))
}

fn parse(text: &str, path: &Path) -> Result<FleetReport, ReadError> {
    let failed = |source| ReadError::Content {
        path: path.to_owned(),
        source,
    };
    // A run file is lines of documents, and so it is no document itself unless it has one line.
    if let Ok(document) = serde_json::from_str::<Value>(text)
        && document.get("type").is_none()
    {
        return FleetReport::deserialize(document).map_err(failed);
    }
    let mut report = None;
    for line in text.lines().filter(|line| !line.is_empty()) {
        match serde_json::from_str::<Value>(line).and_then(Event::deserialize) {
            Ok(event) => FleetReport::fold(&mut report, &event),
            // A line that was cut off when the run was killed: the last one, or the one before it went on.
            Err(error) if error.is_eof() => {}
            Err(error) => return Err(failed(error)),
        }
    }
    report.ok_or_else(|| ReadError::Empty {
        path: path.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;
    use aks_shared::format;

    fn run_file(events: &[Event]) -> String {
        events
            .iter()
            .map(|event| serde_json::to_string(event).unwrap() + "\n")
            .collect()
    }

    fn text(report: &FleetReport) -> String {
        format::to_json(report).unwrap()
    }

    #[test]
    fn a_report_and_a_run_file_say_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let expected = text(&sample::report());
        let file = folder.path().join("20261121-1.ndjson");
        std::fs::write(&file, run_file(&sample::events())).unwrap();
        std::fs::write(folder.path().join("20261120-1.ndjson"), "older").unwrap();
        assert_eq!(text(&report(&file).unwrap()), expected);
        assert_eq!(text(&report(folder.path()).unwrap()), expected);
        std::fs::write(folder.path().join(REPORT), &expected).unwrap();
        std::fs::remove_file(&file).unwrap();
        assert_eq!(text(&report(folder.path()).unwrap()), expected);
    }

    #[test]
    fn a_run_that_was_killed_is_told_as_far_as_it_came() {
        let events = sample::events();
        let mut cut = run_file(&events[..6]);
        cut.truncate(cut.len() - 30);
        let killed = parse(&cut, Path::new("x")).unwrap();
        assert_eq!(
            (killed.exit_code, killed.reason.as_str()),
            (1, "the run has not ended")
        );
        assert_eq!(killed.access.len(), 1);
        // It went on elsewhere, and what was written before is kept.
        let resumed = parse(&format!("{cut}\n{}", run_file(&events[..1])), Path::new("x")).unwrap();
        assert_eq!(resumed.targets[0].writes().len(), 1);
        assert_eq!(resumed.run.started_at, killed.run.started_at);
    }

    #[test]
    fn anything_else_is_refused() {
        for (content, expected) in [
            (
                "{\"apiVersion\": \"other/v1\", \"kind\": \"FleetReport\"}",
                "is no report",
            ),
            ("a: yaml\n", "is no report"),
            ("", "tells of no run"),
        ] {
            let error = parse(content, Path::new("x")).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
        assert!(matches!(
            report(tempfile::tempdir().unwrap().path()),
            Err(ReadError::Nothing { .. })
        ));
    }
}
