//! Consumers of a run's events. They count nothing and decide nothing.

pub mod junit;
pub mod lines;
pub mod markdown;
pub mod run_file;
pub mod table;

use crate::event::{Event, EventKind};
use crate::fleet::{ReportFormat, ReportSpec};
use crate::report::FleetReport;
use aks_shared::format;
use aks_shared::ui::Ui;
use run_file::RunFile;
use std::io;
use std::path::{Path, PathBuf};

/// All consumers of a run.
#[derive(Debug)]
pub struct Reporters {
    lines: lines::Lines,
    run_file: Option<RunFile>,
    report: Option<FleetReport>,
}

impl Reporters {
    /// Consumers that talk through `ui` and keep the run in `run_file`, if there is one.
    pub fn new(ui: Ui, run_file: Option<RunFile>) -> Self {
        Self {
            lines: lines::Lines::new(ui),
            run_file,
            report: None,
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
        self.lines.on_event(event);
        kept
    }

    /// The report, once the run has begun.
    pub fn into_report(self) -> Option<FleetReport> {
        self.report
    }
}

/// Writes the report files and returns their paths.
pub fn write_files(report: &FleetReport, spec: &ReportSpec, directory: &Path) -> io::Result<Vec<PathBuf>> {
    std::fs::create_dir_all(directory)?;
    let mut written = Vec::new();
    let mut write = |format: ReportFormat, name: &str, text: &dyn Fn() -> io::Result<String>| {
        if spec.wants(format) {
            let path = directory.join(name);
            std::fs::write(&path, text()?)?;
            written.push(path);
        }
        io::Result::Ok(())
    };
    write(ReportFormat::Json, "report.json", &|| {
        format::to_json(report).map_err(io::Error::other)
    })?;
    write(ReportFormat::Junit, "TEST-fleet.xml", &|| {
        junit::render(report).map_err(io::Error::other)
    })?;
    write(ReportFormat::Markdown, "report.md", &|| {
        Ok(markdown::render(report))
    })?;
    Ok(written)
}
