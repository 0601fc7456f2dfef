//! The run file: every event but progress, one JSON document per line. What a target is about to do is on disk
//! before it is done.

use crate::event::{Event, EventKind};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// How the names of run files end.
const SUFFIX: &str = ".ndjson";

/// The file of a run.
pub fn path(directory: &Path, run: &str) -> PathBuf {
    directory.join(format!("{run}{SUFFIX}"))
}

/// The ids of the runs that have a file, the oldest first: the ids sort by time.
pub fn runs(directory: &Path) -> io::Result<Vec<String>> {
    let mut runs = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        runs.extend(
            name.to_str()
                .and_then(|name| name.strip_suffix(SUFFIX))
                .map(str::to_owned),
        );
    }
    runs.sort();
    Ok(runs)
}

/// A run file that is written to.
#[derive(Debug)]
pub struct RunFile {
    file: File,
    path: PathBuf,
}

impl RunFile {
    /// Creates `DIRECTORY/RUN.ndjson`, readable by its owner alone.
    pub fn create(directory: &Path, run: &str) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.create_new(true).append(true);
        Self::open(options, directory, run)
    }

    /// Goes on with the file of a run, or begins one where there is none.
    pub fn resume(directory: &Path, run: &str) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        let mut file = Self::open(options, directory, run)?;
        // The last line may have been cut off; what follows must not be glued to it.
        if !std::fs::read(&file.path)?.ends_with(b"\n") {
            file.file.write_all(b"\n")?;
        }
        Ok(file)
    }

    fn open(mut options: OpenOptions, directory: &Path, run: &str) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let path = path(directory, run);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(0o600);
        }
        Ok(Self {
            file: options.open(&path)?,
            path,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends an event; the ones that announce a change are on disk when this returns.
    pub fn on_event(&mut self, event: &Event) -> io::Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        match event.kind {
            EventKind::RunStarted(_)
            | EventKind::TargetStarted { .. }
            | EventKind::GateAnswered { .. }
            | EventKind::RollbackStarted { .. }
            | EventKind::RunFinished { .. } => self.file.sync_data(),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn a_run_file_is_one_document_per_line_and_never_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = RunFile::create(directory.path(), "r").unwrap();
        for event in sample::events() {
            file.on_event(&event).unwrap();
        }
        let text = std::fs::read_to_string(file.path()).unwrap();
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), sample::events().len());
        assert_eq!(
            (lines[0]["seq"].as_u64(), lines[0]["type"].as_str()),
            (Some(1), Some("run-started"))
        );
        assert_eq!(lines[4]["revisionBefore"], 3);
        assert!(RunFile::create(directory.path(), "r").is_err());
    }
}
