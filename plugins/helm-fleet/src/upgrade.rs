//! `helm fleet upgrade`: from the flags to the exit code. What is decided is decided in the modules that this
//! one calls, one after the other.

mod reports;

use crate::chart::Chart;
use crate::ci;
use crate::cli::UpgradeArgs;
use crate::event::{Event, EventKind, Events, RunPlan};
use crate::executor::{self, Summary};
use crate::fleet::{ClusterSpec, Fleet};
use crate::folder::RunFolder;
use crate::helm::process::Helm;
use crate::identities;
use crate::plan::{self, FleetPlan};
use crate::preflight::{self, Problem, Subject, Target, refusal, render};
use crate::report::{API_VERSION, FleetReport};
use crate::reporter::Reporters;
use crate::reporter::lines::count;
use crate::reporter::run_file::RunFile;
use crate::rollout::{End, Rollout};
use crate::target::{ProbeSettings, Run};
use crate::targets::{self, Selection};
use crate::validate::{check_templates, folder_of};
use crate::values::files::ValuesFiles;
use aks_shared::azure::Azure;
use aks_shared::cluster::Connection;
use aks_shared::env::{self, Env};
use aks_shared::format::OutputFormat;
use aks_shared::kubeconfig::Kubeconfig;
use aks_shared::trust::TrustedRoots;
use aks_shared::{ExitStatus, Failure, Session};
use reports::{names, print_summary, remove_reports, report_directory, status_after, write_reports};
use std::path::Path;
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
    let shown = plan::render(&prepared.plan);
    let empty = plan::is_empty(&prepared.plan);
    if args.confirm.dry_run {
        let pending = args.confirm.detailed_exitcode && !empty;
        let status = if pending {
            ExitStatus::ChangesPending
        } else {
            ExitStatus::Ok
        };
        // Here the plan is what was asked for, and so it is data.
        let text = match session.ui.format() {
            OutputFormat::Json | OutputFormat::Yaml => {
                session.ui.status(&shown);
                session
                    .ui
                    .document(&FleetPlan::new(&prepared.plan, &prepared.targets, status))?;
                return Ok(status);
            }
            OutputFormat::Name => names(prepared.plan.targets.iter().map(|target| &target.cluster)),
            OutputFormat::Table | OutputFormat::Wide => shown,
        };
        let failed = |error| Failure::from_error(ExitStatus::Failed, &error);
        session.ui.data(&text).map_err(failed)?;
        return Ok(status);
    }
    if args.output.quiet && !args.confirm.yes && !empty {
        // Nobody is asked to confirm what was not shown.
        session.ui.warning(&format!("this is to be confirmed:\n{shown}"));
    } else {
        session.ui.status(&shown);
    }
    if !empty {
        let question = format!("Upgrade {}?", count(prepared.plan.targets.len(), "cluster"));
        tokio::select! {
            answer = session.ui.confirm(&question, &args.confirm) => answer?,
            () = interrupt.cancelled() => return Err(interrupted()),
        }
    }
    let directory = report_directory(args, Some(&prepared.subject.fleet), &prepared.subject.base);
    let spec = prepared.subject.fleet.report.clone();
    // Nothing can be lost where nothing is done, so only a run that changes something keeps a run file.
    let run_file = if empty {
        None
    } else {
        Some(create_run_file(&prepared.plan.run)?)
    };
    let (report, status) = execute(args, session, prepared, run_file).await;
    let Some(report) = report else { return Ok(status) };
    if let Some(directory) = directory {
        write_reports(session, &report, &spec, &directory);
    }
    let printed = print_summary(session, &report);
    Ok(status_after(status, printed, session))
}

/// Loads and checks everything; touches nothing.
async fn prepare(args: &UpgradeArgs, session: &Session) -> Result<Prepared, Failure> {
    let (ui, env) = (&session.ui, &session.env);
    let loaded = Fleet::load(&args.fleet.file);
    let base = folder_of(&args.fleet.file);
    if !args.confirm.dry_run {
        remove_reports(args, loaded.as_ref().ok(), &base)?;
    }
    let fleet = loaded?;
    check_driver(env)?;
    let chart = Chart::load(&fleet.chart.reference, &base)?;
    let kubeconfig = Kubeconfig::load(args.kube.kubeconfig.as_deref(), env)?;
    let selection = selection(args)?;
    let clusters = targets::clusters(&fleet, &selection, &kubeconfig.contexts())?;
    let (clusters, stages) = targets::select(clusters, fleet.rollout.as_ref(), &selection)?;
    check_ids(&fleet, &clusters)?;
    let folder = Arc::new(RunFolder::create().map_err(|error| unkept(&error))?);
    let files = Arc::new(ValuesFiles::kept_in(&base, Arc::clone(&folder)));
    check_templates(&fleet, &files, &clusters)?;
    let chart = chart.kept_in(&folder)?;

    let azure = if fleet.identities.is_empty() {
        None
    } else {
        Some(Azure::connect(&args.azure, env).await?)
    };
    let connection = Connection::new(&args.kube, roots(args, session, azure.as_ref())?, env);
    if let Some(azure) = &azure {
        ui.detail(&format!(
            "signed in to {} as {}",
            azure.cloud.name, azure.principal
        ));
    }
    let subject = Subject {
        fleet,
        base,
        files,
        chart,
        clusters,
        stages,
        kubeconfig,
        folder,
        connection,
        on_value_loss: args.run.on_value_loss,
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
        let kubeconfig = subject
            .folder
            .keep_kubeconfig(&subject.kubeconfig)
            .map_err(|error| unkept(&error))?;
        let helm = Helm::find(args.run.helm_bin.as_ref(), env, kubeconfig, &session.interrupt).await?;
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
    TrustedRoots::configured(&args.azure, &session.env)
        .map_err(|error| Failure::from_error(ExitStatus::Usage, &error))
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

/// Releases are read from Secrets, so helm must write them there.
fn check_driver(env: &Env) -> Result<(), Failure> {
    let driver = env.get("HELM_DRIVER").unwrap_or_default();
    if matches!(driver.as_str(), "" | "secret" | "secrets") {
        return Ok(());
    }
    Err(Failure::refused(format!(
        "HELM_DRIVER is {driver:?}; only releases in Secrets are supported"
    ))
    .hint("unset HELM_DRIVER"))
}

/// Without identities nobody signs in to Azure, and nobody can say which cluster a context leads to.
fn check_ids(fleet: &Fleet, clusters: &[ClusterSpec]) -> Result<(), Failure> {
    let named: Vec<String> = clusters
        .iter()
        .filter(|cluster| fleet.identities.is_empty() && cluster.id.is_some())
        .map(|cluster| cluster.name.clone())
        .collect();
    if named.is_empty() {
        return Ok(());
    }
    let why = "a cluster's id is proven together with its identities, and the fleet has none";
    Err(Failure::refused(why)
        .with_causes(named)
        .hint("take clusters[].id out, or add identities"))
}

fn unkept(error: &std::io::Error) -> Failure {
    Failure::refused("what helm is to read cannot be kept in a temporary folder; nothing was touched")
        .caused_by(error)
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_id_that_nobody_would_prove_is_refused() {
        let fleet = |identities: serde_json::Value| -> Fleet {
            serde_json::from_value(json!({"apiVersion": "helmfleet/v1alpha1", "kind": "Fleet",
                "release": {"name": "orders", "namespace": "shop"}, "chart": {"ref": "x"}, "identities": identities,
                "clusters": [{"name": "a", "context": "a", "id": "/subscriptions/s"}, {"name": "b", "context": "b"}]}))
            .unwrap()
        };
        let without = fleet(json!({}));
        let failure = check_ids(&without, &without.clusters).unwrap_err();
        assert_eq!(
            (failure.status, failure.causes),
            (ExitStatus::Refused, vec!["a".to_owned()])
        );
        assert!(check_ids(&without, &without.clusters[1..]).is_ok());
        let with = fleet(json!({"orders": {"serviceAccount": "orders"}}));
        assert!(check_ids(&with, &with.clusters).is_ok());
    }
}
