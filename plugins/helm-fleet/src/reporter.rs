//! Consumers of a run's events. They count nothing and decide nothing.

pub mod html;
pub mod junit;
pub mod lines;
pub mod markdown;
pub(crate) mod pipeline;
pub mod run_file;
pub mod table;
mod words;

use crate::event::{Event, EventKind};
use crate::fleet::{ReportFormat, ReportSpec};
use crate::report::{FleetReport, read};
use aks_shared::format::{self, OutputFormat};
use aks_shared::ui::Ui;
use run_file::RunFile;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// All consumers of a run.
#[derive(Debug)]
pub struct Reporters {
    lines: lines::Lines,
    pipeline: Option<pipeline::Pipeline>,
    stream: Option<Ui>,
    run_file: Option<RunFile>,
    report: Option<FleetReport>,
}

impl Reporters {
    /// Consumers that talk through `ui` and keep the run in `run_file`, if there is one.
    pub fn new(ui: Ui, run_file: Option<RunFile>) -> Self {
        Self {
            pipeline: pipeline::Pipeline::of(&ui),
            stream: (ui.format() == OutputFormat::Ndjson).then(|| ui.clone()),
            lines: lines::Lines::new(ui),
            // A run that is resumed has a past; a file of a new one tells of nothing yet.
            report: run_file.as_ref().and_then(|file| read::report(file.path()).ok()),
            run_file,
        }
    }

    /// Takes an event in; fails only when the run file cannot be written.
    pub fn on_event(&mut self, event: &Event) -> io::Result<()> {
        // Progress is for eyes only.
        let kept = match &mut self.run_file {
            Some(file) if !matches!(event.kind, EventKind::TargetProgress { .. }) => file.on_event(event),
            _ => Ok(()),
        };
        FleetReport::fold(&mut self.report, event);
        self.stream(event);
        if let Some(pipeline) = &mut self.pipeline {
            pipeline.before(event);
        }
        self.lines.on_event(event);
        if let Some(pipeline) = &mut self.pipeline {
            pipeline.after(event);
        }
        kept
    }

    /// Hands the event on as it is. A reader that cannot be written to any more must not stop a rollout.
    fn stream(&mut self, event: &Event) {
        let Some(ui) = &self.stream else { return };
        if let Err(failure) = ui.document(event) {
            ui.warning(&format!("the events are streamed no longer: {}", failure.message));
            self.stream = None;
        }
    }

    /// The report, once the run has begun.
    pub fn into_report(self) -> Option<FleetReport> {
        self.report
    }
}

/// Every report with the name of its file.
const FILES: [(ReportFormat, &str); 4] = [
    (ReportFormat::Json, read::REPORT),
    (ReportFormat::Junit, "TEST-fleet.xml"),
    (ReportFormat::Markdown, "report.md"),
    (ReportFormat::Html, "report.html"),
];

/// Removes the reports of an earlier run, which whoever publishes them would take for this one's.
pub fn remove_files(spec: &ReportSpec, directory: &Path) -> io::Result<()> {
    for (_, name) in FILES.iter().filter(|(format, _)| spec.wants(*format)) {
        match std::fs::remove_file(directory.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Writes the report files, each whole or not at all, and returns their paths.
pub fn write_files(report: &FleetReport, spec: &ReportSpec, directory: &Path) -> io::Result<Vec<PathBuf>> {
    std::fs::create_dir_all(directory)?;
    let mut written = Vec::new();
    for (format, name) in FILES.into_iter().filter(|(format, _)| spec.wants(*format)) {
        let text = render(report, format)?;
        let path = directory.join(name);
        replace(&path, directory, &text)?;
        written.push(path);
    }
    Ok(written)
}

/// A report in one of its forms.
pub fn render(report: &FleetReport, format: ReportFormat) -> io::Result<String> {
    match format {
        ReportFormat::Json => format::to_json(report).map_err(io::Error::other),
        ReportFormat::Junit => junit::render(report).map_err(io::Error::other),
        ReportFormat::Markdown => Ok(markdown::render(report)),
        ReportFormat::Html => html::render(report).map_err(io::Error::other),
    }
}

/// Puts a new file in the place of an old one, without a moment in which it is half written.
fn replace(path: &Path, directory: &Path, text: &str) -> io::Result<()> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".helm-fleet-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Reports are for others too, as far as the umask lets them.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(directory)?;
    file.write_all(text.as_bytes())?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn names(directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn reports_are_replaced_whole_and_removed_as_far_as_they_are_ours() {
        let directory = tempfile::tempdir().unwrap();
        let all = ReportSpec::default();
        std::fs::write(directory.path().join("report.md"), "old").unwrap();
        write_files(&sample::report(), &all, directory.path()).unwrap();
        assert_eq!(
            names(directory.path()),
            ["TEST-fleet.xml", "report.html", "report.json", "report.md"]
        );
        let text = std::fs::read_to_string(directory.path().join("report.md")).unwrap();
        assert_eq!(text, markdown::render(&sample::report()));

        let junit = ReportSpec {
            formats: vec![ReportFormat::Junit],
            ..ReportSpec::default()
        };
        remove_files(&junit, directory.path()).unwrap();
        assert_eq!(
            names(directory.path()),
            ["report.html", "report.json", "report.md"]
        );
        remove_files(&all, &directory.path().join("absent")).unwrap();
    }
}
