//! Looks at clusters: what the release, the identities and Azure are there. Nothing is judged but what is to be done.

use super::{
    CONCURRENCY, Problem, Subject, Target, TargetIdentity, loss, place, problem, problems_of, render,
};
use crate::decision::{Desired, IdentityState, decide};
use crate::event::{Action, FailureReport, Step};
use crate::fleet::{ClusterSpec, Unreachable};
use crate::helm::process::Helm;
use crate::identity;
use crate::lease::Place;
use crate::recover;
use crate::release::{Record, ReleaseError};
use crate::values::{Values, ValuesError};
use aks_shared::cluster::{Cluster, ClusterError};
use aks_shared::interrupt::Interrupt;
use aks_shared::{ExitStatus, Failure};
use futures::future::try_join_all;
use futures::{StreamExt, stream};
use jiff::Timestamp;
use serde_json::{Map, Value};

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
        Self::Refused(Box::new(Failure::from_error(ExitStatus::Refused, error)))
    }

    fn cluster(error: &ClusterError) -> Self {
        let failure = Box::new(Failure::from_error(ExitStatus::Refused, error));
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
    let cluster =
        cluster.map_err(|error| Problem::of(&spec.name, Failure::from_error(ExitStatus::Refused, &error)))?;
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
        values: None,
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
        let servers = render::servers(std::slice::from_ref(&target)).await;
        problems = render::check(subject, servers, helm, interrupt).await;
    }
    if problems.is_empty() {
        return Ok(target);
    }
    let what: Vec<String> = problems.into_iter().map(|problem| problem.what).collect();
    Err(FailureReport::new(Step::Preflight, what.join("; ")))
}

async fn observe_one(subject: &Subject, spec: &ClusterSpec, cluster: Cluster) -> Result<Target, Unseen> {
    let release = &subject.fleet.release;
    let (uid, record, identities) = futures::join!(
        cluster.uid(),
        Record::latest(&cluster, &release.namespace, &release.name),
        observe_identities(subject, spec, &cluster)
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
    let identities = identities?;
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
    let values = values_for_rendering(subject, spec, record.as_ref(), &identities)
        .map_err(|error| Unseen::refused(&error))?;
    Ok(Target {
        spec: spec.clone(),
        cluster,
        uid,
        record,
        pending,
        identities,
        values: Some(values),
        action,
        reason,
    })
}

/// Looks at the identities of a cluster, all at once.
async fn observe_identities(
    subject: &Subject,
    spec: &ClusterSpec,
    cluster: &Cluster,
) -> Result<Vec<TargetIdentity>, Unseen> {
    let Some(azure) = &subject.azure else {
        return Ok(Vec::new());
    };
    let observations = subject.fleet.identities.iter().map(|(name, wanted)| {
        let workload = identity::workload(&subject.fleet, spec, wanted);
        async move {
            let workload = workload.map_err(|error| Unseen::refused(&error))?;
            let observed = kubectl_wi_setup::observe(azure, cluster, &workload)
                .await
                .map_err(|error| Unseen::Refused(Box::new(Failure::from(error))))?;
            let plan = kubectl_wi_setup::plan(&workload, &observed);
            Ok(TargetIdentity {
                name: name.clone(),
                workload,
                observed,
                plan,
            })
        }
    });
    // Each of these is large, and every future that waits for them would be too.
    let mut identities = try_join_all(observations.map(Box::pin)).await?;
    note_shared(&mut identities);
    Ok(identities)
}

/// Notes which entries of the fleet file are one and the same managed identity: whoever reads what each may do must
/// know that it may do what the other may.
fn note_shared(identities: &mut [TargetIdentity]) {
    for index in 1..identities.len() {
        let (before, [identity, ..]) = identities.split_at_mut(index) else {
            continue;
        };
        let id = &identity.observed.identity_id;
        let Some(other) = before
            .iter()
            .find(|other| other.observed.identity_id.canonical() == id.canonical())
        else {
            continue;
        };
        identity.plan.notes.push(format!(
            "managed identity {} is that of {} as well: each may do what the other may",
            id.name(),
            other.name
        ));
    }
}

/// The values of a target with placeholders for the ids that are not known yet.
fn values_for_rendering(
    subject: &Subject,
    spec: &ClusterSpec,
    record: Option<&Record>,
    identities: &[TargetIdentity],
) -> Result<Values, ValuesError> {
    let identities: Map<String, Value> = identities
        .iter()
        .map(|identity| (identity.name.clone(), identity::for_rendering(&identity.observed)))
        .collect();
    loss::values_of(subject, spec, record, &Value::Object(identities))
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
