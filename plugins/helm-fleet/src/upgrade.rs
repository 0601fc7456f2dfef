//! `helm fleet upgrade`: from the flags to the exit code. What is decided is decided in the modules that this
//! one calls, one after the other.

use crate::chart::Chart;
use crate::ci;
use crate::cli::UpgradeArgs;
use crate::event::{Event, EventKind, Events, RunPlan};
use crate::executor::{self, Summary};
use crate::fleet::{Fleet, ReportSpec};
use crate::helm::process::Helm;
use crate::identities;
use crate::plan::{self, FleetPlan};
use crate::preflight::{self, Problem, Subject, Target, refusal, render};
use crate::report::{API_VERSION, FleetReport};
use crate::reporter::lines::count;
use crate::reporter::run_file::RunFile;
use crate::reporter::{Reporters, table, write_files};
use crate::rollout::{End, Rollout};
use crate::target::{ProbeSettings, Run};
use crate::targets::{self, Selection};
use crate::validate::{check_templates, folder_of};
use aks_shared::azure::Azure;
use aks_shared::cluster::Connection;
use aks_shared::env;
use aks_shared::kubeconfig::Kubeconfig;
use aks_shared::trust::TrustedRoots;
use aks_shared::{ExitStatus, Failure, Session};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where run files are kept, below the working directory.
const RUN_FILES: &str = ".helm-fleet/runs";

/// A plan that was made and may be carried out.
struct Prepared {
    subject: Subject,
    targets: Vec<Target>,
    helm: Option<Helm>,
    plan: RunPlan,
}

/// Runs the command.
pub async fn run(args: &UpgradeArgs, session: &Session) -> Result<ExitStatus, Failure> {
    let interrupt = &session.interrupt;
    let interrupted = || {
        let status = interrupt.status().unwrap_or(ExitStatus::Interrupted);
        Failure::new(status, "interrupted before anything was touched")
    };
    let prepared = tokio::select! {
        prepared = prepare(args, session) => prepared?,
        () = interrupt.cancelled() => return Err(interrupted()),
    };
    session.ui.status(&plan::render(&prepared.plan));
    let empty = plan::is_empty(&prepared.plan);
    if args.confirm.dry_run {
        let pending = args.confirm.detailed_exitcode && !empty;
        let status = if pending {
            ExitStatus::ChangesPending
        } else {
            ExitStatus::Ok
        };
        session
            .ui
            .document(&FleetPlan::new(&prepared.plan, &prepared.targets, status))?;
        return Ok(status);
    }
    if !empty {
        let question = format!("Upgrade {}?", count(prepared.plan.targets.len(), "cluster"));
        tokio::select! {
            answer = session.ui.confirm(&question, &args.confirm) => answer?,
            () = interrupt.cancelled() => return Err(interrupted()),
        }
    }
    let directory = report_directory(args, &prepared.subject);
    let spec = prepared.subject.fleet.report.clone();
    // Nothing can be lost where nothing is done, so only a run that changes something keeps a run file.
    let run_file = if empty {
        None
    } else {
        Some(create_run_file(&prepared.plan.run)?)
    };
    let (report, status) = execute(args, session, prepared, run_file).await;
    finish(session, report.as_ref(), &spec, directory.as_deref())?;
    Ok(status)
}

/// Loads and checks everything; touches nothing.
async fn prepare(args: &UpgradeArgs, session: &Session) -> Result<Prepared, Failure> {
    let (ui, env) = (&session.ui, &session.env);
    let fleet = Fleet::load(&args.fleet.file)?;
    let base = folder_of(&args.fleet.file);
    let chart = Chart::load(&fleet.chart.reference, &base)?;
    let kubeconfig = Kubeconfig::load(args.kube.kubeconfig.as_deref(), env)?;
    let selection = selection(args)?;
    let clusters = targets::clusters(&fleet, &selection, &kubeconfig.contexts())?;
    let (clusters, stages) = targets::select(clusters, fleet.rollout.as_ref(), &selection)?;
    check_templates(&fleet, &base, &clusters)?;

    let azure = if fleet.identities.is_empty() {
        None
    } else {
        Some(Azure::connect(&args.azure, env).await?)
    };
    let connection = Connection {
        request_timeout: (!args.kube.request_timeout.is_zero()).then_some(args.kube.request_timeout),
        roots: roots(args, session, azure.as_ref())?,
        env: env.clone(),
    };
    if let Some(azure) = &azure {
        ui.detail(&format!(
            "signed in to {} as {}",
            azure.cloud.name, azure.principal
        ));
    }
    let subject = Subject {
        fleet,
        base,
        chart,
        clusters,
        stages,
        kubeconfig,
        connection,
        azure,
    };
    if let Some(why) = probe(args, session).obstacle(&subject) {
        return Err(Failure::refused(why).hint("name one with --image or AKS_WI_PROBE_IMAGE"));
    }
    ui.status(&format!(
        "preflight of {}",
        count(subject.clusters.len(), "cluster")
    ));
    let targets = preflight::observe(&subject)
        .await
        .map_err(|problems| refusal(&problems, subject.clusters.len()))?;
    // A run that has nothing to do starts no helm at all.
    let helm = if targets.iter().any(render::needs_helm) {
        let helm = Helm::find(
            args.run.helm_bin.as_ref(),
            env,
            &subject.kubeconfig,
            &session.interrupt,
        )
        .await?;
        ui.detail(&format!("helm {}", helm.version()));
        let problems: Vec<Problem> = render::check(&subject, &targets, &helm, &session.interrupt).await;
        if !problems.is_empty() {
            return Err(refusal(&problems, subject.clusters.len()));
        }
        Some(helm)
    } else {
        None
    };
    let (stages, planned) = plan::stages_and_targets(&subject, &targets);
    let plan = RunPlan {
        schema: API_VERSION,
        run: run_id(),
        release: subject.fleet.release.name.clone(),
        namespace: subject.fleet.release.namespace.clone(),
        chart: subject.chart.clone(),
        helm: helm.as_ref().map(|helm| helm.version().to_string()),
        principal: subject
            .azure
            .as_ref()
            .and_then(|azure| serde_json::to_value(&azure.principal).ok()),
        commit: ci::commit(env),
        pipeline_url: ci::pipeline_url(env),
        stages,
        targets: planned,
    };
    Ok(Prepared {
        subject,
        targets,
        helm,
        plan,
    })
}

/// Carries the plan out. From the first event on, the run ends with its last event and a report.
async fn execute(
    args: &UpgradeArgs,
    session: &Session,
    prepared: Prepared,
    run_file: Option<RunFile>,
) -> (Option<FleetReport>, ExitStatus) {
    let mut reporters = Reporters::new(session.ui.clone(), run_file);
    let mut events = Events::new(|event: &Event| reporters.on_event(event));
    let interrupt = &session.interrupt;
    let Prepared {
        subject,
        targets,
        helm,
        plan,
    } = prepared;
    let planned = plan.targets.clone();
    let rollout = Rollout::new(subject.stages.clone());
    let result = async {
        events.emit(EventKind::RunStarted(Box::new(plan.clone())))?;
        let ready = identities::establish(subject.azure.as_ref(), &targets, interrupt, &mut events).await?;
        let run = Arc::new(Run {
            subject,
            targets,
            ready,
            helm,
            probe: probe(args, session),
            id: plan.run.clone(),
            interrupt: interrupt.clone(),
        });
        let work = |index, progress| {
            let run = Arc::clone(&run);
            async move { run.target(index, progress).await }
        };
        std::io::Result::Ok(executor::run(rollout, &planned, work, interrupt, &mut events).await)
    }
    .await;
    let (status, reason) = match result {
        Ok(summary) => {
            let status = summary.status(interrupt.status());
            let status = if status == ExitStatus::ToleratedFailures && args.run.failures_ok {
                ExitStatus::Ok
            } else {
                status
            };
            (status, reason(&plan, summary, status))
        }
        Err(error) => (
            ExitStatus::Failed,
            format!("the run file cannot be written: {error}"),
        ),
    };
    // The sinks have failed already if this one does, and the report says so.
    let _ = events.finish(status, reason);
    (reporters.into_report(), status)
}

/// Prints the summary and writes the report files.
fn finish(
    session: &Session,
    report: Option<&FleetReport>,
    spec: &ReportSpec,
    directory: Option<&Path>,
) -> Result<(), Failure> {
    let Some(report) = report else { return Ok(()) };
    let failed = |error: &dyn std::error::Error| Failure::from_error(ExitStatus::Failed, error);
    if session.ui.format().is_document() {
        session.ui.document(report)?;
    } else {
        session
            .ui
            .data(&table::render(report))
            .map_err(|error| failed(&error))?;
    }
    if let Some(directory) = directory {
        match write_files(report, spec, directory) {
            Ok(files) => files
                .iter()
                .for_each(|file| session.ui.status(&format!("wrote {}", file.display()))),
            // The clusters are what they are: a report that cannot be written must not hide how the run ended.
            Err(error) => session.ui.warning(&format!(
                "cannot write reports to {}: {error}",
                directory.display()
            )),
        }
    }
    Ok(())
}

fn reason(plan: &RunPlan, summary: Summary, status: ExitStatus) -> String {
    match (summary.end, status) {
        (_, ExitStatus::Interrupted | ExitStatus::Terminated) => {
            "interrupted; run the command again to go on".to_owned()
        }
        (End::Exceeded { stage }, _) => {
            let stage = &plan.stages[stage];
            format!(
                "stopped in stage {}: more than {} allowed; nothing was rolled back",
                stage.name,
                count(stage.max_failures, "failure")
            )
        }
        (End::Completed, _) if summary.failures > 0 => {
            format!(
                "finished with {} within the limits",
                count(summary.failures, "failure")
            )
        }
        (End::Completed, _) if plan::is_empty(plan) => "nothing to do: every cluster is at target".to_owned(),
        (End::Completed, _) => "every cluster is at target".to_owned(),
        (End::Cancelled, _) => "the run file could not be written, so nothing more was started".to_owned(),
    }
}

fn selection(args: &UpgradeArgs) -> Result<Selection, Failure> {
    let selector = args.fleet.selector.as_deref().unwrap_or_default().parse();
    let selector = selector.map_err(|error: crate::fleet::selector::SelectorError| {
        Failure::from_error(ExitStatus::Usage, &error)
    })?;
    Ok(Selection {
        clusters: args.fleet.cluster.clone(),
        contexts: args.kube.context.clone(),
        selector,
    })
}

fn roots(args: &UpgradeArgs, session: &Session, azure: Option<&Azure>) -> Result<TrustedRoots, Failure> {
    if let Some(azure) = azure {
        return Ok(azure.roots.clone());
    }
    let file = args
        .azure
        .ca_file
        .clone()
        .or_else(|| session.env.path(env::azure::CA_FILE));
    TrustedRoots::load(file.as_deref()).map_err(|error| Failure::from_error(ExitStatus::Usage, &error))
}

fn probe(args: &UpgradeArgs, session: &Session) -> ProbeSettings {
    let image = args
        .run
        .image
        .clone()
        .or_else(|| session.env.get(env::azure::PROBE_IMAGE));
    ProbeSettings {
        image,
        from: args.run.verify_from,
    }
}

fn report_directory(args: &UpgradeArgs, subject: &Subject) -> Option<PathBuf> {
    let configured = || {
        subject
            .fleet
            .report
            .dir
            .as_ref()
            .map(|dir| subject.base.join(dir))
    };
    args.run.report_dir.clone().or_else(configured)
}

fn create_run_file(run: &str) -> Result<RunFile, Failure> {
    RunFile::create(Path::new(RUN_FILES), run).map_err(|error| {
        Failure::refused(format!(
            "the run file cannot be written below {RUN_FILES}; nothing was touched"
        ))
        .caused_by(&error)
        .hint("run the command in a folder that can be written to")
    })
}

/// Sorts by time and is unique: a UUID's tail behind the second.
fn run_id() -> String {
    let now = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string();
    let unique = uuid::Uuid::new_v4().simple().to_string();
    format!("{now}-{}", &unique[..6])
}
