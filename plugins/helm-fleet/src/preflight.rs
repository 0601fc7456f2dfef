//! Looks at every cluster before any is touched. Nothing here writes; all that is wrong is listed.

use crate::chart::Chart;
use crate::decision::{Desired, IdentityState, decide};
use crate::event::Action;
use crate::fleet::{ClusterSpec, Fleet, ServiceAccountOwner};
use crate::folder::RunFolder;
use crate::identity;
use crate::release::Record;
use crate::targets::Stage;
use crate::values::Values;
use crate::values::files::ValuesFiles;
use aks_shared::Failure;
use aks_shared::azure::Azure;
use aks_shared::cluster::{Cluster, Connection};
use aks_shared::kubeconfig::Kubeconfig;
use futures::{StreamExt, stream};
use kubectl_wi_setup::{Observed, Plan, Workload};
use loss::OnValueLoss;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

pub mod loss;
pub mod render;

/// How many clusters are looked at at once.
const CONCURRENCY: usize = 16;

/// What a run is about, the same for all targets.
#[derive(Debug, Clone)]
pub struct Subject {
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
    /// Azure, when the fleet has identities.
    pub azure: Option<Azure>,
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
    /// Its identities.
    pub identities: Vec<TargetIdentity>,
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

/// Something that forbids the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The cluster.
    pub cluster: String,
    /// What is wrong, in one line.
    pub what: String,
    /// What to do about it.
    pub hints: Vec<String>,
}

impl Problem {
    /// A problem without a hint.
    pub fn new(cluster: &str, what: impl Into<String>) -> Self {
        Self {
            cluster: cluster.to_owned(),
            what: what.into(),
            hints: Vec::new(),
        }
    }

    fn of(cluster: &str, failure: Failure) -> Self {
        let what = std::iter::once(failure.message)
            .chain(failure.causes)
            .collect::<Vec<_>>()
            .join(": ");
        Self {
            cluster: cluster.to_owned(),
            what,
            hints: failure.hints,
        }
    }
}

/// Looks at all clusters. The targets come in the order of the file.
pub async fn observe(subject: &Subject) -> Result<Vec<Target>, Vec<Problem>> {
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
            Ok(target) => {
                problems.extend(problems_of(subject, &target));
                targets.push(target);
            }
            Err(problem) => problems.push(problem),
        }
    }
    problems.extend(twins(&targets));
    if problems.is_empty() {
        Ok(targets)
    } else {
        Err(problems)
    }
}

async fn observe_or_refuse(subject: &Subject, spec: &ClusterSpec) -> Result<Target, Problem> {
    observe_one(subject, spec)
        .await
        .map_err(|failure| Problem::of(&spec.name, *failure))
}

async fn observe_one(subject: &Subject, spec: &ClusterSpec) -> Result<Target, Box<Failure>> {
    let boxed =
        |error: &dyn std::error::Error| Box::new(Failure::from_error(aks_shared::ExitStatus::Refused, error));
    let release = &subject.fleet.release;
    let cluster = Cluster::connect(&subject.kubeconfig, &spec.context, &subject.connection)
        .await
        .map_err(|error| boxed(&error))?;
    let (uid, record) = futures::join!(
        cluster.uid(),
        Record::latest(&cluster, &release.namespace, &release.name)
    );
    let uid = uid.map_err(|error| boxed(&error))?;
    let record = record.map_err(|error| boxed(&error))?;
    if record.is_none() && !release.create_namespace {
        let exists = cluster
            .has_namespace(&release.namespace)
            .await
            .map_err(|error| boxed(&error))?;
        if !exists {
            let what = format!("namespace {} does not exist", release.namespace);
            return Err(Box::new(
                Failure::refused(what).hint("set release.createNamespace: true, or create it"),
            ));
        }
    }
    let mut identities = Vec::new();
    for (name, identity_spec) in &subject.fleet.identities {
        let Some(azure) = &subject.azure else { continue };
        let workload =
            identity::workload(&subject.fleet, spec, identity_spec).map_err(|error| boxed(&error))?;
        let observed = kubectl_wi_setup::observe(azure, &cluster, &workload)
            .await
            .map_err(|error| Box::new(Failure::from(error)))?;
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
        expectation(subject, spec, record.as_ref(), &identities).map_err(|error| boxed(&error))?;
    Ok(Target {
        spec: spec.clone(),
        cluster,
        uid,
        record,
        identities,
        action,
        reason,
    })
}

/// What is expected to be done to a target, as far as its ids are known.
fn expectation(
    subject: &Subject,
    spec: &ClusterSpec,
    record: Option<&Record>,
    identities: &[TargetIdentity],
) -> Result<(Action, String), crate::values::ValuesError> {
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
    let values = Values::of(&subject.fleet, &subject.files, spec, &Value::Object(known))?;
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
    let release = &subject.fleet.release;
    let mut problems = Vec::new();
    if let Some(record) = target.record.as_ref().filter(|record| record.is_pending()) {
        let what = format!("revision {} of the release is {}", record.revision, record.status);
        let context = &target.spec.context;
        let hint = format!(
            "wait for whoever upgrades it; if nobody does: helm rollback {} --kube-context {context} -n {}",
            release.name, release.namespace
        );
        problems.push(Problem {
            hints: vec![hint],
            ..Problem::new(&target.spec.name, what)
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

/// Contexts that lead to one and the same cluster.
fn twins(targets: &[Target]) -> Vec<Problem> {
    let mut by_uid: BTreeMap<&str, Vec<&Target>> = BTreeMap::new();
    for target in targets.iter().filter(|target| !target.uid.is_empty()) {
        by_uid.entry(&target.uid).or_default().push(target);
    }
    let mut problems = Vec::new();
    for twins in by_uid.values().filter(|twins| twins.len() > 1) {
        let all: Vec<String> = twins
            .iter()
            .map(|twin| format!("{} (context {})", twin.spec.name, twin.spec.context))
            .collect();
        let what = format!("{} are one and the same cluster", all.join(" and "));
        problems.push(Problem::new(&twins[0].spec.name, what));
    }
    problems
}

/// All problems as the failure that ends the command.
pub fn refusal(problems: &[Problem], clusters: usize) -> Failure {
    let mut named: Vec<&str> = problems.iter().map(|problem| problem.cluster.as_str()).collect();
    named.sort_unstable();
    named.dedup();
    let mut failure = Failure::refused(format!(
        "preflight refuses {} of {clusters} clusters; nothing was touched",
        named.len()
    ));
    failure.causes = problems
        .iter()
        .map(|problem| format!("{}: {}", problem.cluster, problem.what))
        .collect();
    for hint in problems.iter().flat_map(|problem| &problem.hints) {
        if !failure.hints.contains(hint) {
            failure.hints.push(hint.clone());
        }
    }
    failure
}
