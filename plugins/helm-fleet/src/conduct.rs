//! What every run has around it: the plan is shown and confirmed, events go to the reporters, the last event comes
//! whatever happens, and reports are left behind.

use crate::again;
use crate::cli::CommonArgs;
use crate::event::{Event, Events, RunPlan};
use crate::fleet::ReportSpec;
use crate::plan::{self, FleetPlan};
use crate::preflight::{Subject, Target};
use crate::report::FleetReport;
use crate::reporter::run_file::RunFile;
use crate::reporter::{Reporters, pipeline};
use crate::reports::{data, names, print_summary, report_directory, status_after, write_reports};
use crate::resume::Start;
use aks_shared::format::OutputFormat;
use aks_shared::{ExitStatus, Failure, Session};
use futures::FutureExt;
use std::io;
use std::ops::ControlFlow;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Where run files are kept, below the working directory.
pub(crate) const RUN_FILES: &str = ".helm-fleet/runs";

/// Takes events in.
pub(crate) type Sink = Box<dyn FnMut(&Event) -> io::Result<()> + Send>;

/// How a run ended: its status, and why in one sentence.
pub(crate) type Ending = (ExitStatus, String);

/// Waits for something that may be given up at any time, because it touches nothing.
pub(crate) async fn untouched<T>(
    session: &Session,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let interrupt = &session.interrupt;
    tokio::select! {
        result = work => result,
        () = interrupt.cancelled() => Err(interrupt.failure("interrupted before anything was touched")),
    }
}

/// Shows a plan and has it confirmed, unless it is empty; breaks when showing it was all.
pub(crate) async fn confirm(
    args: &CommonArgs,
    session: &Session,
    plan: &RunPlan,
    targets: &[Target],
    question: &str,
) -> Result<ControlFlow<ExitStatus>, Failure> {
    let shown = plan::render(plan);
    let empty = plan::is_empty(plan);
    if args.confirm.dry_run {
        let status = args.confirm.unchanged(!empty);
        // Here the plan is what was asked for, and so it is data.
        let text = match session.ui.format() {
            OutputFormat::Json | OutputFormat::Yaml | OutputFormat::Ndjson => {
                session.ui.status(&shown);
                session.ui.document(&FleetPlan::new(plan, targets, status))?;
                return Ok(ControlFlow::Break(status));
            }
            OutputFormat::Name => names(plan.targets.iter().map(|target| &target.cluster)),
            OutputFormat::Table | OutputFormat::Wide | OutputFormat::Values => shown,
        };
        data(session, &text)?;
        return Ok(ControlFlow::Break(status));
    }
    if args.output.quiet && !args.confirm.yes && !empty {
        // Nobody is asked to confirm what was not shown.
        session.ui.warning(&format!("this is to be confirmed:\n{shown}"));
    } else {
        session.ui.status(&shown);
    }
    if !empty {
        untouched(session, session.ui.confirm(question, &args.confirm)).await?;
    }
    Ok(ControlFlow::Continue(()))
}

/// A run that has begun to be told of.
pub(crate) struct Conduct<'a> {
    session: &'a Session,
    reporters: Arc<Mutex<Option<Reporters>>>,
    directory: Option<PathBuf>,
    spec: ReportSpec,
    /// The command that goes on with the run.
    go_on: String,
}

impl<'a> Conduct<'a> {
    /// Opens all that a run is written to. A run that changes nothing keeps no run file: nothing can be lost.
    pub(crate) fn begin(
        args: &CommonArgs,
        session: &'a Session,
        subject: &Subject,
        plan: &RunPlan,
        start: &Start,
    ) -> Result<(Self, Events<Sink>), Failure> {
        let run_file = if plan::is_empty(plan) {
            None
        } else {
            Some(open_run_file(&plan.run, start)?)
        };
        let reporters = Reporters::new(session.ui.clone(), run_file);
        let (sink, reporters) = shared(reporters);
        let conduct = Self {
            session,
            reporters,
            directory: report_directory(args, Some(&subject.fleet), &subject.base),
            spec: subject.fleet.report.clone(),
            go_on: again::go_on(args, plan),
        };
        Ok((conduct, Events::after(start.seq(), sink)))
    }

    /// Carries the run out, and tells of its end whatever that is.
    pub(crate) async fn carry_out(self, mut events: Events<Sink>, work: impl AsyncWork) -> ExitStatus {
        let result = AssertUnwindSafe(work.run(&mut events)).catch_unwind().await;
        let (status, reason) = match result {
            Ok(Ok(ending)) => ending,
            Ok(Err(error)) => (
                ExitStatus::Failed,
                format!("the run file cannot be written: {error}"),
            ),
            Err(_) => (
                ExitStatus::Failed,
                format!("the run ended in a panic; go on with: {}", self.go_on),
            ),
        };
        // The sinks have failed already if this one does, and the report says so.
        let _ = events.finish(status, reason);
        let mut reporters = self.reporters.lock().unwrap_or_else(PoisonError::into_inner);
        let report = reporters.take().and_then(Reporters::into_report);
        match report {
            Some(report) => self.leave(&report, status),
            None => status,
        }
    }

    fn leave(&self, report: &FleetReport, status: ExitStatus) -> ExitStatus {
        let files = self.directory.as_ref().map_or_else(Vec::new, |directory| {
            write_reports(self.session, report, &self.spec, directory)
        });
        pipeline::leave(self.session, report, &files);
        let printed = print_summary(self.session, report);
        status_after(status, printed, self.session)
    }
}

/// The work of a run: emits every event but the last one.
pub(crate) trait AsyncWork {
    /// Does it.
    fn run(self, events: &mut Events<Sink>) -> impl Future<Output = io::Result<Ending>> + Send;
}

/// Consumers of events, and by whom they are told.
fn shared(reporters: Reporters) -> (Sink, Arc<Mutex<Option<Reporters>>>) {
    let reporters = Arc::new(Mutex::new(Some(reporters)));
    let consumers = Arc::clone(&reporters);
    let sink: Sink = Box::new(move |event| {
        let mut reporters = consumers.lock().unwrap_or_else(PoisonError::into_inner);
        reporters
            .as_mut()
            .map_or(Ok(()), |reporters| reporters.on_event(event))
    });
    (sink, reporters)
}

fn open_run_file(run: &str, start: &Start) -> Result<RunFile, Failure> {
    let directory = Path::new(RUN_FILES);
    let opened = match start {
        Start::Fresh => RunFile::create(directory, run),
        Start::Logged(_) | Start::Newest => RunFile::resume(directory, run),
    };
    opened.map_err(|error| {
        Failure::refused(format!(
            "the run file cannot be written below {RUN_FILES}; nothing was touched"
        ))
        .caused_by(&error)
        .hint("run the command in a folder that can be written to")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventKind, TargetResult};
    use crate::executor::{self, Crew, Operation, Progress};
    use crate::report::sample;
    use crate::rollout::{Policy, Rollout};
    use crate::targets::Stage;
    use aks_shared::args::OutputArgs;
    use aks_shared::env::Env;
    use aks_shared::interrupt::Interrupt;
    use aks_shared::ui::Ui;
    use futures::future::BoxFuture;
    use std::time::Duration;

    /// Where a run panics.
    #[derive(Clone, Copy)]
    enum Panics {
        /// In the task of a target.
        Task,
        /// Where it is carried out itself.
        Work,
    }

    impl Crew for Panics {
        #[expect(clippy::manual_async_fn, reason = "the trait wants a future that is Send")]
        fn perform(
            &self,
            _: Operation,
            _: usize,
            _: Progress,
        ) -> impl Future<Output = TargetResult> + Send + 'static {
            async { panic!("this is meant to panic") }
        }

        fn left_to_bake(&self, _: &Stage, bake: Duration) -> Duration {
            bake
        }

        fn approval(&self, _: &str) -> BoxFuture<'static, Option<String>> {
            Box::pin(std::future::ready(None))
        }
    }

    impl AsyncWork for Panics {
        async fn run(self, events: &mut Events<Sink>) -> io::Result<Ending> {
            let EventKind::RunStarted(plan) = sample::events().swap_remove(0).kind else {
                panic!("a run starts first")
            };
            events.emit(EventKind::RunStarted(plan.clone()))?;
            let stages = plan.stages.iter().enumerate().map(|(index, stage)| Stage {
                name: stage.name.clone(),
                max_concurrency: 1,
                targets: vec![index],
                ..Stage::default()
            });
            let rollout = Rollout::new(stages.collect(), Policy::default(), plan::work(&plan).collect());
            if let Self::Work = self {
                panic!("this is meant to panic");
            }
            let summary = executor::run(rollout, &plan.targets, &self, &Interrupt::new(), events).await;
            Ok((summary.status(None), "it has ended".to_owned()))
        }
    }

    #[tokio::test]
    async fn the_last_event_comes_once_wherever_a_run_panics() {
        for (panics, status, reason) in [
            (Panics::Task, ExitStatus::Stopped, "it has ended"),
            (
                Panics::Work,
                ExitStatus::Failed,
                "the run ended in a panic; go on with: helm fleet resume r",
            ),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let env = Env::of::<&str, &str>([]);
            let session = Session {
                ui: Ui::new(&OutputArgs::default(), &env),
                env,
                interrupt: Interrupt::new(),
            };
            let file = RunFile::create(folder.path(), "r").unwrap();
            let path = file.path().to_owned();
            let (sink, reporters) = shared(Reporters::new(session.ui.clone(), Some(file)));
            let conduct = Conduct {
                session: &session,
                reporters,
                directory: Some(folder.path().to_owned()),
                spec: ReportSpec::default(),
                go_on: "helm fleet resume r".to_owned(),
            };
            assert_eq!(conduct.carry_out(Events::new(sink), panics).await, status);
            let text = std::fs::read_to_string(path).unwrap();
            let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
            let events: Vec<serde_json::Value> = lines.collect();
            let last: Vec<usize> = (0..events.len())
                .filter(|index| events[*index]["type"] == "run-finished")
                .collect();
            assert_eq!(last, [events.len() - 1]);
            let report = std::fs::read_to_string(folder.path().join("report.json")).unwrap();
            let report: serde_json::Value = serde_json::from_str(&report).unwrap();
            for told in [&events[last[0]], &report] {
                assert_eq!(
                    (told["exitCode"].as_u64(), told["reason"].as_str()),
                    (Some(status.code().into()), Some(reason))
                );
            }
        }
    }
}
