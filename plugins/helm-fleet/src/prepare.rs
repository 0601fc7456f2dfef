//! From the flags to a plan that may be carried out: everything is loaded and looked at, nothing is touched.

use crate::again;
use crate::ci;
use crate::cli::{CommonArgs, UpgradeArgs};
use crate::event::RunPlan;
use crate::fleet::Fleet;
use crate::gate::Gate;
use crate::helm::process::{Helm, grace};
use crate::inputs::{self, Interest, Source, unkept};
use crate::lease::Place;
use crate::locks;
use crate::plan;
use crate::preflight::loss::OnValueLoss;
use crate::preflight::{self, Rights, Subject, Survey, Target, refusal};
use crate::proof::ProbeSettings;
use crate::report::API_VERSION;
use crate::reporter::lines::count;
use crate::reports::remove_reports;
use crate::resume::Start;
use crate::rollout::Policy;
use crate::targets::Stage;
use aks_shared::cluster::Cluster;
use aks_shared::env::{self, Env};
use aks_shared::{Failure, Session};
use futures::{StreamExt, stream};
use std::path::PathBuf;
use std::time::Duration;

/// How many clusters are connected to at once.
const CONCURRENCY: usize = 16;

/// A plan that was made and may be carried out.
pub(crate) struct Prepared {
    pub(crate) subject: Subject,
    pub(crate) targets: Vec<Target>,
    pub(crate) helm: Option<Helm>,
    pub(crate) plan: RunPlan,
    /// How much longer other runs are waited for.
    pub(crate) patience: Duration,
}

/// Loads the fleet and all that it names; looks at no cluster.
pub(crate) async fn load(
    args: &CommonArgs,
    session: &Session,
    on_value_loss: OnValueLoss,
) -> Result<Subject, Failure> {
    let inputs = args.fleet.read(&session.env);
    if !args.confirm.dry_run {
        let fleet = inputs.as_ref().ok().map(|inputs| &inputs.fleet);
        remove_reports(args, fleet, &args.fleet.folder())?;
    }
    let source = Source {
        interest: Interest::All,
        args: &args.fleet,
        kube: &args.kube,
        azure: &args.azure,
        helm_bin: args.tools.helm.helm_bin.as_ref(),
        on_value_loss,
        recover_pending: args.locks.recovery.recover_pending,
    };
    Box::pin(inputs::subject(inputs?, &source, session)).await
}

/// Refuses a run that is to verify identities and could not.
pub(crate) fn check_probe(args: &CommonArgs, session: &Session, subject: &Subject) -> Result<(), Failure> {
    match probe(args, session).obstacle(subject) {
        None => Ok(()),
        Some(why) => Err(Failure::refused(why).hint("name one with --image or AKS_WI_PROBE_IMAGE")),
    }
}

/// Loads and checks everything; touches nothing.
pub(crate) async fn prepare(
    args: &UpgradeArgs,
    session: &Session,
    start: &Start,
) -> Result<Prepared, Failure> {
    let ui = &session.ui;
    let mut subject = load(&args.common, session, args.run.loss.on_value_loss).await?;
    check_probe(&args.common, session, &subject)?;
    check_approvals(&args.run.approve, &subject.stages)?;
    ui.status(&format!(
        "preflight of {}",
        count(subject.clusters.len(), "cluster")
    ));
    let patience = wait_for_others(&args.common, session, &subject).await;
    let find = async || find_helm(args.common.tools.helm.helm_bin.as_ref(), session, &subject).await;
    let rights = if args.common.confirm.dry_run {
        Rights::Unchecked
    } else {
        Rights::Checked
    };
    let Survey {
        targets,
        helm,
        problems,
    } = Box::pin(preflight::survey(&subject, find, rights, &session.interrupt)).await?;
    if !problems.is_empty() {
        return Err(refusal(&problems, subject.clusters.len()));
    }
    subject.run = start.run(&targets, &again::upgrade(args, &subject.fleet.release.namespace))?;
    let plan = RunPlan {
        resumed: !matches!(start, Start::Fresh),
        ..plan_of(&subject, &targets, helm.as_ref(), session)
    };
    start.check(&plan, args)?;
    Ok(Prepared {
        subject,
        targets,
        helm,
        plan,
        patience,
    })
}

/// Waits, as long as the user wants to, until no other run holds any of the releases; what it leaves is looked at.
/// Returns what is left of that time.
pub(crate) async fn wait_for_others(args: &CommonArgs, session: &Session, subject: &Subject) -> Duration {
    let patience = args.locks.lock_timeout;
    if patience.is_zero() {
        return patience;
    }
    let connections: Vec<_> = subject
        .clusters
        .iter()
        .map(|spec| async move {
            let cluster = Cluster::connect(&subject.kubeconfig, &spec.context, &subject.connection).await;
            // Whoever cannot be reached is told of where everything is looked at.
            let place = Place::of(&cluster.ok()?, &subject.fleet.release);
            Some((spec.name.as_str(), place))
        })
        .collect();
    let places: Vec<_> = stream::iter(connections).buffered(CONCURRENCY).collect().await;
    let places: Vec<_> = places.into_iter().flatten().collect();
    locks::wait_for_others(&places, patience, |text| session.ui.status(text)).await
}

/// Who holds the locks of a run, in words.
pub(crate) fn holder(run: &str, env: &Env) -> String {
    let machine = env.get("HOSTNAME").or_else(|| env.get("COMPUTERNAME"));
    let machine = machine.or_else(|| {
        Some(
            std::fs::read_to_string("/proc/sys/kernel/hostname")
                .ok()?
                .trim()
                .to_owned(),
        )
    });
    let machine = machine
        .map(|machine| format!(" on {machine}"))
        .unwrap_or_default();
    let url = ci::pipeline_url(env)
        .map(|url| format!(" ({url})"))
        .unwrap_or_default();
    format!("run {run} of {}{machine}{url}", ci::actor(env))
}

/// The user's helm, reading the kubeconfig as it was when the run began.
pub(crate) async fn find_helm(
    explicit: Option<&PathBuf>,
    session: &Session,
    subject: &Subject,
) -> Result<Helm, Failure> {
    let kept = subject.folder.keep_kubeconfig(&subject.kubeconfig);
    let kubeconfig = kept.map_err(|error| unkept(&error))?;
    let helm = Helm::find(explicit, &session.env, kubeconfig, &session.interrupt).await?;
    let deadline = subject.fleet.helm.deadline();
    session.ui.detail(&format!(
        "helm {}: stopped after {} s without an end, killed {} s later",
        helm.version(),
        deadline.as_secs(),
        grace(deadline).as_secs()
    ));
    let at_once = subject
        .stages
        .iter()
        .map(|stage| stage.max_concurrency.min(stage.targets.len()));
    if let Some(room) = helm.memory().filter(|room| Some(room.helms) < at_once.max()) {
        let what = format!(
            "there is memory for {} at once; the others wait",
            count(room.helms, "helm")
        );
        session.ui.status(&what);
        session.ui.detail(&room.to_string());
    }
    Ok(helm)
}

/// What an upgrade of these targets sets out to do.
pub(crate) fn plan_of(
    subject: &Subject,
    targets: &[Target],
    helm: Option<&Helm>,
    session: &Session,
) -> RunPlan {
    let policy = policy(&subject.fleet);
    let (stages, planned) = plan::stages_and_targets(subject, targets);
    RunPlan {
        schema: API_VERSION,
        command: "upgrade",
        run: subject.run.clone(),
        release: subject.fleet.release.name.clone(),
        namespace: subject.fleet.release.namespace.clone(),
        chart: subject.chart.clone(),
        helm: helm.map(|helm| helm.version().to_string()),
        principal: subject
            .azure
            .as_ref()
            .and_then(|azure| serde_json::to_value(&azure.principal).ok()),
        commit: ci::commit(&session.env),
        pipeline_url: ci::pipeline_url(&session.env),
        resumed: false,
        on_failure: policy.strategy,
        first_install: policy.first_install,
        stages,
        targets: planned,
    }
}

/// An approval of what is no gate would leave the gate that was meant closed.
fn check_approvals(approved: &[String], stages: &[Stage]) -> Result<(), Failure> {
    let gates = stages.iter().flat_map(|stage| &stage.gates);
    let known: Vec<&str> = gates
        .filter(|gate| matches!(gate, Gate::Approval(_)))
        .map(Gate::name)
        .collect();
    match approved.iter().find(|gate| !known.contains(&gate.as_str())) {
        None => Ok(()),
        Some(gate) => Err(Failure::usage(format!("there is no gate {gate:?} to approve"))
            .hint(format!("gates that are approved: {}", known.join(", ")))),
    }
}

/// What the fleet file says of failures.
pub(crate) fn policy(fleet: &Fleet) -> Policy {
    let rollout = fleet.rollout.clone().unwrap_or_default();
    Policy {
        strategy: rollout.on_failure.strategy,
        first_install: rollout.on_failure.first_install,
        unreachable: rollout.unreachable,
    }
}

/// How the flags ask to verify.
pub(crate) fn probe(args: &CommonArgs, session: &Session) -> ProbeSettings {
    let image = args
        .tools
        .image
        .clone()
        .or_else(|| session.env.get(env::azure::PROBE_IMAGE));
    ProbeSettings {
        image,
        from: args.tools.verify_from,
    }
}
