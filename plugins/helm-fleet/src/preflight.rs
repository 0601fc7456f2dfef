//! Looks at every cluster before any is touched. Nothing here writes; all that is wrong is listed.

use crate::chart::Chart;
use crate::decision::{Desired, IdentityState, decide};
use crate::event::{Action, FailureReport, Step};
use crate::fleet::{ClusterSpec, Fleet, ServiceAccountOwner, Unreachable};
use crate::folder::RunFolder;
use crate::helm::process::Helm;
use crate::identity;
use crate::lease::Place;
use crate::reach::TokenFile;
use crate::recover;
use crate::release::{Record, ReleaseError};
use crate::targets::Stage;
use crate::values::ValuesError;
use crate::values::files::ValuesFiles;
use crate::values::keys::KeyPath;
use aks_shared::Failure;
use aks_shared::azure::Azure;
use aks_shared::cluster::{Cluster, ClusterError, Connection};
use aks_shared::interrupt::Interrupt;
use aks_shared::kubeconfig::Kubeconfig;
use futures::{StreamExt, stream};
use jiff::Timestamp;
use kubectl_wi_setup::{Observed, Plan, Workload};
use loss::OnValueLoss;
use serde_json::{Map, Value};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

mod adoption;
pub mod loss;
mod owner;
mod place;
mod problem;
pub mod render;
pub mod rights;
mod survey;

pub use problem::{Problem, refusal};
pub(crate) use survey::{Rights, Survey, survey};

/// How many clusters are looked at at once.
const CONCURRENCY: usize = 16;

/// What a run is about, the same for all targets.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The run's id.
    pub run: String,
    /// The fleet file.
    pub fleet: Fleet,
    /// The folder that its paths start from.
    pub base: PathBuf,
    /// The values files.
    pub files: Arc<ValuesFiles>,
    /// The chart.
    pub chart: Chart,
    /// The clusters of this run.
    pub clusters: Vec<ClusterSpec>,
    /// Its stages.
    pub stages: Vec<Stage>,
    /// The user's kubeconfig.
    pub kubeconfig: Kubeconfig,
    /// Where everything is kept that helm reads.
    pub folder: Arc<RunFolder>,
    /// How clusters are reached.
    pub connection: Connection,
    /// What to do about values that an upgrade would drop.
    pub on_value_loss: OnValueLoss,
    /// How old a pending revision must be to be recovered.
    pub recover_pending: Duration,
    /// Azure, when the fleet has identities or clusters that are known there.
    pub azure: Option<Azure>,
    /// The token by which clusters of Azure are reached, kept valid while the run lasts.
    #[expect(dead_code, reason = "its end is the end of what it keeps valid")]
    pub(crate) token: Option<Arc<TokenFile>>,
}

impl Subject {
    /// The name of the stage in which a cluster is, by its place in [`Self::clusters`].
    pub(crate) fn stage_of(&self, index: usize) -> &str {
        let stage = self.stages.iter().find(|stage| stage.targets.contains(&index));
        stage.map_or("", |stage| &stage.name)
    }
}

/// A target that was looked at.
#[derive(Debug, Clone)]
pub struct Target {
    /// The cluster in the fleet file.
    pub spec: ClusterSpec,
    /// The cluster.
    pub cluster: Cluster,
    /// The UID of its `kube-system`.
    pub uid: String,
    /// The newest revision.
    pub record: Option<Record>,
    /// Why the newest revision is pending and must be left to others, if so.
    pub pending: Option<String>,
    /// Its identities.
    pub identities: Vec<TargetIdentity>,
    /// The keys of values that it has, the fleet has not, and that are kept.
    pub kept: Vec<KeyPath>,
    /// What is expected to be done.
    pub action: Action,
    /// Why.
    pub reason: String,
}

/// An identity of a target.
#[derive(Debug, Clone)]
pub struct TargetIdentity {
    /// Its name in the fleet file.
    pub name: String,
    /// What it shall be.
    pub workload: Workload,
    /// Who makes its service account.
    pub account_owner: ServiceAccountOwner,
    /// What is there.
    pub observed: Observed,
    /// What is missing.
    pub plan: Plan,
}

/// Looks at all clusters without judging what is found there: the targets, and why others cannot be looked at.
pub(crate) async fn look(subject: &Subject) -> (Vec<Target>, Vec<Problem>) {
    // Futures are made before they are streamed: a closure inside the stream would keep it from being `Send`.
    let observations: Vec<_> = subject
        .clusters
        .iter()
        .map(|spec| observe_or_refuse(subject, spec))
        .collect();
    let results: Vec<Result<Target, Problem>> =
        stream::iter(observations).buffered(CONCURRENCY).collect().await;
    let (mut targets, mut problems) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(target) => targets.push(target),
            Err(problem) => problems.push(problem),
        }
    }
    problems.extend(problem::twins(&targets));
    (targets, problems)
}

/// Why a target could not be looked at.
enum Unseen {
    /// Its API server does not answer.
    Unreachable(Box<Failure>),
    /// Anything else.
    Refused(Box<Failure>),
}

impl Unseen {
    fn refused(error: &dyn std::error::Error) -> Self {
        Self::Refused(Box::new(Failure::from_error(
            aks_shared::ExitStatus::Refused,
            error,
        )))
    }

    fn cluster(error: &ClusterError) -> Self {
        let failure = Box::new(Failure::from_error(aks_shared::ExitStatus::Refused, error));
        if error.is_unreachable() {
            Self::Unreachable(failure)
        } else {
            Self::Refused(failure)
        }
    }

    fn release(error: &ReleaseError) -> Self {
        match error {
            ReleaseError::Cluster(error) => Self::cluster(error),
            ReleaseError::Decode { .. } => Self::refused(error),
        }
    }
}

async fn observe_or_refuse(subject: &Subject, spec: &ClusterSpec) -> Result<Target, Problem> {
    let cluster = Cluster::connect(&subject.kubeconfig, &spec.context, &subject.connection).await;
    let cluster = cluster.map_err(|error| {
        Problem::of(
            &spec.name,
            Failure::from_error(aks_shared::ExitStatus::Refused, &error),
        )
    })?;
    let unseen = match observe_one(subject, spec, cluster.clone()).await {
        Ok(target) => return Ok(target),
        Err(unseen) => unseen,
    };
    let rollout = subject.fleet.rollout.as_ref();
    let unreachable = rollout.map(|rollout| rollout.unreachable).unwrap_or_default();
    let unseen = match unseen {
        Unseen::Unreachable(silence) => Unseen::Unreachable(Box::new(
            place::why_silent(subject, spec, &cluster, *silence).await,
        )),
        refused @ Unseen::Refused(_) => refused,
    };
    let (action, failure) = match (unseen, unreachable) {
        (Unseen::Unreachable(failure), Unreachable::Skip) => (Action::LeaveOut, failure),
        (Unseen::Unreachable(failure), Unreachable::Defer) => (Action::TryLater, failure),
        (Unseen::Unreachable(failure) | Unseen::Refused(failure), _) => {
            return Err(Problem::of(&spec.name, *failure));
        }
    };
    Ok(Target {
        spec: spec.clone(),
        cluster,
        uid: String::new(),
        record: None,
        pending: None,
        identities: Vec::new(),
        kept: Vec::new(),
        action,
        reason: Problem::of(&spec.name, *failure).what,
    })
}

/// Looks once more at a target that could not be reached. All that is wrong comes as one failure.
pub(crate) async fn look_again(
    subject: &Subject,
    target: &Target,
    helm: Option<&Helm>,
    interrupt: &Interrupt,
) -> Result<Target, FailureReport> {
    let failed = |step, failure: Failure| FailureReport {
        causes: failure.causes,
        ..FailureReport::new(step, failure.message)
    };
    let target = match observe_one(subject, &target.spec, target.cluster.clone()).await {
        Ok(target) => target,
        Err(Unseen::Unreachable(failure)) => return Err(failed(Step::Reach, *failure)),
        Err(Unseen::Refused(failure)) => return Err(failed(Step::Preflight, *failure)),
    };
    let mut problems = problems_of(subject, &target);
    if let Some(helm) = helm.filter(|_| problems.is_empty()) {
        problems = render::check(subject, std::slice::from_ref(&target), helm, interrupt).await;
    }
    if problems.is_empty() {
        return Ok(target);
    }
    let what: Vec<String> = problems.into_iter().map(|problem| problem.what).collect();
    Err(FailureReport::new(Step::Preflight, what.join("; ")))
}

async fn observe_one(subject: &Subject, spec: &ClusterSpec, cluster: Cluster) -> Result<Target, Unseen> {
    let release = &subject.fleet.release;
    let (uid, record) = futures::join!(
        cluster.uid(),
        Record::latest(&cluster, &release.namespace, &release.name)
    );
    let uid = uid.map_err(|error| Unseen::cluster(&error))?;
    let record = record.map_err(|error| Unseen::release(&error))?;
    place::check_pin(subject, spec, &cluster)
        .await
        .map_err(|failure| Unseen::Refused(Box::new(failure)))?;
    if record.is_none() && !release.create_namespace {
        let exists = cluster
            .has_namespace(&release.namespace)
            .await
            .map_err(|error| Unseen::cluster(&error))?;
        if !exists {
            let what = format!("namespace {} does not exist", release.namespace);
            return Err(Unseen::Refused(Box::new(
                Failure::refused(what).hint("set release.createNamespace: true, or create it"),
            )));
        }
    }
    let pending = match record.as_ref().filter(|record| record.is_pending()) {
        None => None,
        Some(record) => {
            let (lease, _) = Place::of(&cluster, release)
                .state()
                .await
                .map_err(|error| Unseen::refused(&error))?;
            recover::obstacle(record, &lease, subject.recover_pending, Timestamp::now())
        }
    };
    let mut identities = Vec::new();
    for (name, identity_spec) in &subject.fleet.identities {
        let Some(azure) = &subject.azure else { continue };
        let workload = identity::workload(&subject.fleet, spec, identity_spec)
            .map_err(|error| Unseen::refused(&error))?;
        let observed = kubectl_wi_setup::observe(azure, &cluster, &workload)
            .await
            .map_err(|error| Unseen::Refused(Box::new(Failure::from(error))))?;
        let plan = kubectl_wi_setup::plan(&workload, &observed);
        let account_owner = identity_spec.service_account_owner;
        identities.push(TargetIdentity {
            name: name.clone(),
            workload,
            account_owner,
            observed,
            plan,
        });
    }
    let (action, reason) =
        expectation(subject, spec, record.as_ref(), &identities).map_err(|error| Unseen::refused(&error))?;
    let reason = match record
        .as_ref()
        .filter(|record| record.is_pending() && pending.is_none())
    {
        Some(record) => format!(
            "revision {} was left pending by a run that died, and is marked as failed first",
            record.revision
        ),
        None => reason,
    };
    let mut target = Target {
        spec: spec.clone(),
        cluster,
        uid,
        record,
        pending,
        identities,
        kept: Vec::new(),
        action,
        reason,
    };
    // Its keys are the same whatever the ids of its identities.
    target.kept =
        render::values_for_rendering(subject, &target).map_or_else(|_| Vec::new(), |values| values.kept);
    Ok(target)
}

/// What is expected to be done to a target, as far as its ids are known.
fn expectation(
    subject: &Subject,
    spec: &ClusterSpec,
    record: Option<&Record>,
    identities: &[TargetIdentity],
) -> Result<(Action, String), ValuesError> {
    let known: Option<Map<String, Value>> = identities
        .iter()
        .map(|identity| Some((identity.name.clone(), identity::known(&identity.observed)?)))
        .collect();
    let Some(known) = known else {
        let action = if record.is_some() {
            Action::Upgrade
        } else {
            Action::Install
        };
        return Ok((action, "its identity is new".to_owned()));
    };
    let values = loss::values_of(subject, spec, record, &Value::Object(known))?;
    let desired = Desired::new(&subject.fleet, &subject.chart, values);
    let in_order = identities.iter().all(|identity| identity.plan.is_empty());
    let state = if in_order {
        IdentityState::InOrder
    } else {
        IdentityState::Changed
    };
    Ok(decide(record, &desired, &subject.chart, state))
}

fn problems_of(subject: &Subject, target: &Target) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Some(what) = &target.pending {
        problems.push(Problem {
            hints: vec![
                "wait for whoever is at work: --lock-timeout 10m; if nobody is: helm fleet unlock".to_owned(),
            ],
            ..Problem::new(&target.spec.name, what)
        });
    }
    let record = target
        .record
        .as_ref()
        .filter(|_| target.action == Action::Upgrade);
    if let Some(controller) = record.and_then(owner::of_release) {
        problems.push(Problem {
            hints: vec!["change it there, or take it out of the fleet: clusters, or --skip".to_owned()],
            ..Problem::new(
                &target.spec.name,
                format!("the release is rolled out by {controller}"),
            )
        });
    }
    // What fails here fails in the rendering, which tells of it.
    if let Ok(values) = render::values_for_rendering(subject, target) {
        problems.extend(loss::problem(subject, target, &values));
    }
    for identity in &target.identities {
        for conflict in identity.plan.conflicts() {
            problems.push(Problem::new(
                &target.spec.name,
                format!("identity {}: {conflict}", identity.name),
            ));
        }
    }
    problems
}
