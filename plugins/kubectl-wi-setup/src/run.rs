//! The command: observe and plan every cluster, show, confirm, apply, wait, tell.

mod guided;
mod limits;
mod tell;
mod together;

pub(crate) use tell::{Told, finish, plan as tell_plan, status_of};

use crate::args::{SetupArgs, WaitFor};
use crate::clusters::{AT_ONCE, Clusters, PLANS_AT_ONCE, at_once};
use crate::outcome::counted;
use crate::outputs::Outputs;
use crate::plan::{Change, Plan};
use crate::selection::{Selected, Unit, select};
use crate::{
    ExchangeWait, Outcome, Step, apply, cluster_rights, enable, file, grants, observe, plan, render, rights,
    wait,
};
use aks_shared::args::AzureArgs;
use aks_shared::azure::Azure;
use aks_shared::cluster::Cluster;
use aks_shared::kubeconfig::Kubeconfig;
use aks_shared::{ExitStatus, Failure, Session};
use futures::FutureExt;
use serde_json::{Value, json};

/// A workload on a cluster that was looked at.
struct Planned {
    unit: Unit,
    cluster: Cluster,
    plan: Plan,
    /// How many federated credentials the identity has.
    credentials: usize,
}

pub(crate) async fn run(args: SetupArgs, session: &Session) -> Result<ExitStatus, Failure> {
    let outputs = Outputs::prepare(&args, session)?;
    let result = run_command(args, session, &outputs).await;
    let status = match &result {
        Ok(status) => *status,
        Err(failure) => failure.status,
    };
    outputs.status(session, status)?;
    result
}

async fn run_command(args: SetupArgs, session: &Session, outputs: &Outputs) -> Result<ExitStatus, Failure> {
    if args.file.print_schema {
        session.ui.data(file::SCHEMA)?;
        return Ok(ExitStatus::Ok);
    }
    if args.guidance.print_delegation {
        return guided::delegation(&args, session).await;
    }
    if args.guidance.interactive {
        return guided::interactive(args, session, outputs).await;
    }
    let kinds = [file::WORKLOADS, grants::GRANTS];
    let file = args
        .file
        .file
        .as_ref()
        .map(|path| file::read(path, &kinds))
        .transpose()?;
    if let Some(file) = file.as_ref().filter(|file| file.kind == grants::GRANTS) {
        grants::check_flags(&args)?;
        let azure = sign_in(&args.azure, session).await?;
        return grants::run(file, &args, &azure, session).await;
    }
    let kubeconfig = Kubeconfig::load(args.kube.kubeconfig.as_deref(), &session.env)?;
    let workload = |namespace: &str| args.workload.workload(namespace);
    let selected = select(&args.asked(), file.as_ref(), &kubeconfig, workload)?;
    let azure = sign_in(&args.azure, session).await?;
    run_selected(&args, session, &kubeconfig, &selected, &azure, outputs).await
}

/// Refuses steps and flags that ask for opposite things.
fn check_steps(args: &SetupArgs) -> Result<(), Failure> {
    let wants_features = !args.features.wanted().is_empty();
    if wants_features && args.workload.skipped().contains(&Step::Cluster) {
        return Err(Failure::usage(
            "--enable-oidc-issuer and --enable-workload-identity are the step cluster, which --only or --skip leaves out",
        )
        .hint("leave out these flags, or add cluster to --only"));
    }
    if !wants_features && args.workload.only_the_cluster() {
        return Err(Failure::usage(
            "--only cluster does what --enable-oidc-issuer and --enable-workload-identity ask for",
        )
        .hint("add the flags of what is to be switched on"));
    }
    Ok(())
}

/// Signs in and says as whom.
pub(crate) async fn sign_in(args: &AzureArgs, session: &Session) -> Result<Azure, Failure> {
    let azure = before_any_write(session, Azure::connect(args, &session.env)).await??;
    session.ui.status(&format!("signed in as {}", azure.principal));
    Ok(azure)
}

/// Does what was selected.
async fn run_selected(
    args: &SetupArgs,
    session: &Session,
    kubeconfig: &Kubeconfig,
    selected: &[Selected],
    azure: &Azure,
    outputs: &Outputs,
) -> Result<ExitStatus, Failure> {
    check_steps(args)?;
    let clusters = Clusters::new(kubeconfig, &args.kube, azure, session);
    let before = enable::first(args, session, &clusters, selected, azure).await?;
    if args.workload.only_the_cluster() {
        return tell::features(session, &azure.principal, selected, before);
    }
    let is_pending = |one: &&Selected| {
        before
            .pending
            .iter()
            .any(|told| told.unit.context == one.unit.context)
    };
    let mut looks = Vec::new();
    for one in selected.iter().filter(|one| !is_pending(one)) {
        looks.push(look(azure, &clusters, one).map(|result| (one.unit.clone(), result)));
    }
    let looked = before_any_write(session, at_once(AT_ONCE, looks)).await?;
    show(session, args, &looked)?;
    let (mut planned, mut refused) = split(looked);
    if refused.is_empty() {
        together::check(&planned).map_err(|failure| before.taint(failure))?;
        let counted = before_any_write(session, limits::check(azure, &planned, session)).await?;
        counted.map_err(|failure| before.taint(failure))?;
    }
    if refused.is_empty() && !args.confirm.dry_run {
        // A dry run may be made by who only reads.
        let checked = check_rights(azure, planned, args.waiting.wait);
        (planned, refused) = before_any_write(session, checked).await?;
    }
    if !refused.is_empty() || args.confirm.dry_run {
        return tell::plans(
            session,
            &args.confirm,
            &azure.principal,
            planned,
            refused,
            before,
            outputs,
        );
    }
    let changing = planned.iter().filter(|one| !one.plan.is_empty()).count();
    let many_workloads = planned.iter().any(|one| one.unit.label != one.unit.context);
    if changing > 0 {
        let question = match changing {
            1 => "Apply this plan?".to_owned(),
            many if many_workloads => format!("Apply these {many} plans?"),
            many => format!("Apply these plans to {many} clusters?"),
        };
        let answer = before_any_write(session, session.ui.confirm(&question, &args.confirm)).await?;
        answer.map_err(|failure| before.taint(failure))?;
    }
    // Several clusters write to different identities; under one identity the ARM client queues them.
    let mut applied = Vec::new();
    for one in &planned {
        applied.push(carry_out(azure, one, args, session));
    }
    let carried = at_once(PLANS_AT_ONCE, applied).await;
    tell::outcomes(session, azure, carried, &before, outputs)
}

/// Observes a workload on a cluster and plans.
async fn look(azure: &Azure, clusters: &Clusters<'_>, one: &Selected) -> Result<Planned, Failure> {
    let cluster = clusters.connect(&one.unit.context).await?;
    let observed = observe(azure, &cluster, &one.workload).await?;
    Ok(Planned {
        unit: one.unit.clone(),
        plan: plan(&one.workload, &observed),
        credentials: observed.credentials.len(),
        cluster,
    })
}

/// What became of looking at one workload.
type Looked = (Unit, Result<Planned, Failure>);

/// Shows every plan to people: as data with `--dry-run`, else as talk.
fn show(session: &Session, args: &SetupArgs, looked: &[Looked]) -> Result<(), Failure> {
    for planned in looked.iter().filter_map(|(_, result)| result.as_ref().ok()) {
        tell::plan(session, args.confirm.dry_run, &render::plan(&planned.plan))?;
    }
    Ok(())
}

type Refused = Vec<(Unit, Option<Plan>, Failure)>;

/// Separates what can be applied from what cannot; a plan with conflicts cannot.
fn split(looked: Vec<Looked>) -> (Vec<Planned>, Refused) {
    let (mut planned, mut refused) = (Vec::new(), Vec::new());
    for (unit, result) in looked {
        match result {
            Ok(one) => match one.plan.conflicts() {
                conflicts if conflicts.is_empty() => planned.push(one),
                conflicts => {
                    let failure = Failure::refused(conflicts.join("; "));
                    refused.push((unit, Some(one.plan), failure));
                }
            },
            Err(failure) => refused.push((unit, None, failure)),
        }
    }
    (planned, refused)
}

/// Separates the plans that the principal may carry out from those that it certainly may not; an empty one needs
/// nothing.
async fn check_rights(azure: &Azure, planned: Vec<Planned>, wanted: WaitFor) -> (Vec<Planned>, Refused) {
    let needed = planned.iter().flat_map(|one| rights::needed(&one.plan));
    let known = &rights::known(azure, needed).await;
    let mut checks = Vec::new();
    for one in planned {
        checks.push(async move {
            let waits = provable(&one.plan, wanted) != WaitFor::None;
            let (in_azure, in_cluster) = futures::join!(
                rights::check_known(azure, rights::needed(&one.plan), known),
                cluster_rights::check(&one.cluster, &one.plan, waits)
            );
            (one, in_azure.and(in_cluster))
        });
    }
    let (mut allowed, mut refused) = (Vec::new(), Vec::new());
    for (one, checked) in at_once(AT_ONCE, checks).await {
        match checked {
            Ok(()) => allowed.push(one),
            Err(failure) => refused.push((one.unit, Some(one.plan), failure)),
        }
    }
    (allowed, refused)
}

/// What became of one cluster.
struct Carried {
    unit: Unit,
    outcome: Option<Outcome>,
    waited: Option<ExchangeWait>,
    changes: Value,
    failure: Option<Failure>,
}

/// Applies one plan and waits for its proof. It is never dropped half-way: a write that was sent is recorded.
async fn carry_out(azure: &Azure, one: &Planned, args: &SetupArgs, session: &Session) -> Carried {
    let task = session.ui.task(one.unit.label.clone());
    let say = |text: &str| task.say(text);
    let mut carried = Carried {
        unit: one.unit.clone(),
        outcome: None,
        waited: None,
        changes: json!([]),
        failure: None,
    };
    if session.interrupt.is_raised() {
        carried.failure = Some(interrupted(session));
        return carried;
    }
    let outcome = match apply(azure, &one.cluster, &one.plan, &session.interrupt, &say).await {
        Ok(outcome) => outcome,
        Err(error) => {
            carried.changes = json!(error.changes());
            let failure = Failure::from(error);
            task.finish(&failure.message);
            carried.failure = Some(failure);
            return carried;
        }
    };
    let timeout = args.waiting.timeout;
    let waited = match provable(&one.plan, args.waiting.wait) {
        WaitFor::None => Ok(None),
        WaitFor::Exchange => {
            wait::wait_for_exchange(azure, &one.cluster, &outcome, timeout, &session.interrupt, &say)
                .await
                .map(Some)
        }
        WaitFor::Access => {
            wait::wait_for_access(azure, &one.cluster, &outcome, timeout, &session.interrupt, &say)
                .await
                .map(Some)
        }
    };
    let changed = counted(&outcome.changes);
    carried.outcome = Some(outcome);
    match waited {
        Ok(waited) => {
            carried.waited = waited;
            task.finish(&changed);
        }
        Err(error) => {
            let mut failure = Failure::from(error);
            if failure.status == ExitStatus::Refused {
                // A refusal means that nothing was touched; here the plan has been applied.
                failure.status = ExitStatus::Failed;
            }
            task.finish(&format!("{changed}; {}", failure.message));
            carried.failure = Some(failure);
        }
    }
    carried
}

/// What can be waited for: what others are to do (`--only`, `--skip`) may come any day.
pub(crate) fn provable(plan: &Plan, wanted: WaitFor) -> WaitFor {
    let is_left = |change: &Change<_>| matches!(change, Change::Left { .. });
    let is_left_policy = |change: &Change<_>| matches!(change, Change::Left { .. });
    match wanted {
        _ if matches!(plan.federated_credential, Change::Left { .. }) => WaitFor::None,
        WaitFor::Access
            if plan.grants.iter().any(is_left) || plan.vault_policies.iter().any(is_left_policy) =>
        {
            WaitFor::Exchange
        }
        wanted => wanted,
    }
}

/// Waits for something that may be given up when the command is asked to stop, because it changes nothing.
pub(crate) async fn before_any_write<T>(
    session: &Session,
    work: impl Future<Output = T>,
) -> Result<T, Failure> {
    tokio::select! {
        done = work => Ok(done),
        () = session.interrupt.cancelled() => Err(interrupted(session)),
    }
}

fn interrupted(session: &Session) -> Failure {
    session.interrupt.failure("interrupted; nothing was changed")
}
