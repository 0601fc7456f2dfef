//! Switching the OIDC issuer and workload identity of clusters on: a step of its own, confirmed before all others,
//! and only on request. It restarts the API server, the issuer cannot be switched off again
//! (<https://learn.microsoft.com/azure/aks/use-oidc-issuer>), and a cluster that code describes is better changed there.

use crate::args::SetupArgs;
use crate::clusters::{AT_ONCE, Clusters, at_once};
use crate::observe::context;
use crate::outcome::ChangeRecord;
use crate::rights::{self, Right};
use crate::run::{Told, before_any_write};
use crate::selection::{Selected, Unit};
use aks_shared::args::ConfirmArgs;
use aks_shared::azure::arm::{ArmError, Features};
use aks_shared::azure::{ArmId, Azure};
use aks_shared::cluster::{Cluster, ClusterError};
use aks_shared::{ExitStatus, Failure, Session};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

const WRITE_CLUSTER: &str = "Microsoft.ContainerService/managedClusters/write";
/// The pause between two looks at an API server that restarts.
const PAUSE: Duration = Duration::from_secs(2);

/// What was done about the clusters' features before anything else.
#[derive(Default)]
pub(crate) struct Before {
    /// What a dry run says of clusters that cannot be looked at further: they have no issuer yet.
    pub(crate) pending: Vec<Told>,
    /// The clusters that were changed, by context.
    pub(crate) enabled: BTreeMap<String, ChangeRecord>,
}

impl Before {
    /// A failure after this step: once a cluster was changed, nothing is "refused" or "declined" any more.
    pub(crate) fn taint(&self, mut failure: Failure) -> Failure {
        if !self.enabled.is_empty() && matches!(failure.status, ExitStatus::Refused | ExitStatus::Usage) {
            failure.status = ExitStatus::Failed;
            let names: Vec<&str> = self.enabled.values().map(|one| one.name.as_str()).collect();
            failure = failure.hint(format!(
                "the features of {} were switched on before; run the command again when this is solved",
                names.join(", ")
            ));
        }
        failure
    }
}

/// A cluster that lacks a feature which was asked for.
struct Lacking {
    unit: Unit,
    cluster: Cluster,
    id: ArmId,
    features: Features,
}

/// Looks for clusters that lack the features, shows and asks, and switches them on; a dry run only shows.
///
/// # Errors
/// When a cluster cannot be looked at or proven, when a right is missing, when the answer is no, and when a cluster
/// could not be changed.
pub(crate) async fn first(
    args: &SetupArgs,
    session: &Session,
    clusters: &Clusters<'_>,
    selected: &[Selected],
    azure: &Azure,
) -> Result<Before, Failure> {
    let wanted = args.features.wanted();
    let mut before = Before::default();
    if wanted.is_empty() {
        return Ok(before);
    }
    let contexts: BTreeMap<&str, &Selected> = selected
        .iter()
        .map(|one| (one.unit.context.as_str(), one))
        .collect();
    let mut looks = Vec::new();
    for one in contexts.into_values() {
        looks.push(look(azure, clusters, one, wanted));
    }
    let looked = before_any_write(session, at_once(AT_ONCE, looks)).await?;
    let looked: Result<Vec<Option<Lacking>>, Failure> = looked.into_iter().collect();
    let lacking: Vec<Lacking> = looked?.into_iter().flatten().collect();
    for one in &lacking {
        session.ui.status(&format!(
            "{}\n  ~ update cluster {}: {}",
            one.unit.context,
            one.id.name(),
            in_words(one.features).join(", ")
        ));
    }
    if lacking.is_empty() {
        return Ok(before);
    }
    if args.confirm.dry_run {
        before.pending = lacking
            .into_iter()
            .map(|one| pending(one, &args.confirm))
            .collect();
        return Ok(before);
    }
    before_any_write(session, check_rights(azure, &lacking)).await??;
    let question = question(&lacking);
    before_any_write(session, session.ui.confirm(&question, &args.confirm)).await??;
    let mut switched = Vec::new();
    for one in &lacking {
        switched.push(switch_on(azure, one, args.waiting.timeout, session));
    }
    let switched = at_once(AT_ONCE, switched).await;
    let mut failed = None;
    for (one, result) in lacking.iter().zip(switched) {
        match result {
            Ok(record) => {
                let context = one.unit.context.clone();
                before.enabled.extend(record.map(|record| (context, record)));
            }
            Err(failure) => failed = failed.or(Some(failure)),
        }
    }
    match failed {
        Some(failure) => Err(before.taint(failure)),
        None => Ok(before),
    }
}

async fn look(
    azure: &Azure,
    clusters: &Clusters<'_>,
    one: &Selected,
    wanted: Features,
) -> Result<Option<Lacking>, Failure> {
    let cluster = clusters.connect(&one.unit.context).await?;
    let managed = context::resolve(azure, &cluster, &one.workload).await?;
    let features = wanted.lacking(&managed);
    if features.is_empty() {
        return Ok(None);
    }
    if !managed.issuer_enabled && !wanted.issuer {
        let what = format!(
            "workload identity of {} needs the OIDC issuer, which is off",
            managed.id
        );
        return Err(Failure::refused(what).hint("add --enable-oidc-issuer"));
    }
    context::prove_place(&cluster, &managed, &one.workload).await?;
    Ok(Some(Lacking {
        unit: one.unit.clone(),
        cluster,
        id: managed.id,
        features,
    }))
}

async fn check_rights(azure: &Azure, lacking: &[Lacking]) -> Result<(), Failure> {
    let needed = lacking
        .iter()
        .map(|one| Right::new(WRITE_CLUSTER, one.id.as_str()));
    rights::check_all(azure, needed.collect()).await
}

fn question(lacking: &[Lacking]) -> String {
    let clusters = match lacking {
        [only] => only.id.name().to_owned(),
        many => format!("{} clusters", many.len()),
    };
    if lacking.iter().any(|one| one.features.issuer) {
        format!("Switch this on for {clusters}? It restarts the API server and cannot be undone.")
    } else {
        format!("Switch this on for {clusters}?")
    }
}

/// Changes one cluster and waits until its API server answers again; none when somebody else's update has done it.
async fn switch_on(
    azure: &Azure,
    one: &Lacking,
    timeout: Duration,
    session: &Session,
) -> Result<Option<ChangeRecord>, Failure> {
    let task = session.ui.task(one.unit.context.clone());
    let say = |text: &str| task.say(text);
    say(&format!("cluster {}", one.id.name()));
    let deadline = Instant::now() + timeout;
    let arm = azure.arm.stopped_by(&session.interrupt);
    let switched = arm.enable_features(&one.id, one.features, timeout, &say).await;
    let (_, request_id) = switched.map_err(|error| {
        task.finish(match &error {
            ArmError::Unfinished { .. } => "its update goes on",
            _ => "its features were not switched on",
        });
        failure(error, &one.id, session)
    })?;
    while let Err(ClusterError::Request { source, .. }) = one.cluster.discovery().await
        && !matches!(*source, kube::Error::Api(_))
        && Instant::now() + PAUSE < deadline
        && !session.interrupt.is_raised()
    {
        say("waiting for the API server");
        tokio::time::sleep(PAUSE).await;
    }
    task.finish(&format!("switched on: {}", names(one.features).join(", ")));
    Ok(request_id.map(|id| ChangeRecord {
        object: "cluster",
        action: "update",
        name: one.id.name().to_owned(),
        request_id: Some(id),
    }))
}

fn failure(error: ArmError, id: &ArmId, session: &Session) -> Failure {
    let before_any = error.is_forbidden() || error.is_blocked();
    let interrupted = session.interrupt.status();
    let last = match &error {
        ArmError::Unfinished { last, .. } => Some(last.clone()),
        _ => None,
    };
    let mut failure = Failure::from(error);
    failure.message = match (&last, interrupted) {
        (Some(last), Some(_)) => format!("interrupted while cluster {} is updated: {last}", id.name()),
        (Some(last), None) => format!("cluster {} is not updated yet: {last}", id.name()),
        (None, _) => format!("cannot update cluster {}: {}", id.name(), failure.message),
    };
    if before_any {
        failure.status = ExitStatus::Refused;
    }
    if let Some(status) = interrupted {
        failure.status = status;
    }
    if last.is_some() {
        failure = failure.hint(format!(
            "what Azure has begun goes on; see it, then run the command again: az aks show --ids {id} --query provisioningState"
        ));
    }
    failure
}

fn pending(one: Lacking, args: &ConfirmArgs) -> Told {
    Told {
        status: args.unchanged(true),
        content: json!({
            "cluster": {"context": one.unit.context, "name": one.id.name(), "id": one.id},
            "enable": names(one.features),
            "empty": false,
        }),
        unit: one.unit,
        failure: None,
    }
}

fn names(features: Features) -> Vec<&'static str> {
    let issuer = features.issuer.then_some("oidc-issuer");
    let webhook = features.workload_identity.then_some("workload-identity");
    issuer.into_iter().chain(webhook).collect()
}

fn in_words(features: Features) -> Vec<&'static str> {
    let issuer = features
        .issuer
        .then_some("OIDC issuer off → on (restarts the API server, cannot be undone)");
    let webhook = features.workload_identity.then_some("workload identity off → on");
    issuer.into_iter().chain(webhook).collect()
}

/// Puts the change of a cluster before the changes that follow it.
pub(crate) fn with_change(content: &mut Value, record: &ChangeRecord) {
    let mut changes = vec![json!(record)];
    changes.extend(content["changes"].as_array().into_iter().flatten().cloned());
    content["changes"] = json!(changes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enabled() -> Before {
        let record = ChangeRecord {
            object: "cluster",
            action: "update",
            name: "aks".into(),
            request_id: None,
        };
        Before {
            enabled: BTreeMap::from([("weu-1".to_owned(), record)]),
            ..Before::default()
        }
    }

    #[test]
    fn nothing_is_refused_once_a_cluster_was_changed() {
        let after = enabled().taint(Failure::refused("no"));
        assert_eq!(after.status, ExitStatus::Failed);
        assert!(after.hints[0].contains("aks"), "{:?}", after.hints);
        let none = Before::default().taint(Failure::refused("no"));
        assert_eq!((none.status, none.hints.len()), (ExitStatus::Refused, 0));
    }

    #[test]
    fn the_change_of_the_cluster_comes_first() {
        let mut content = json!({"changes": [{"object": "namespace"}]});
        with_change(&mut content, &enabled().enabled["weu-1"]);
        assert_eq!(content["changes"][0]["object"], "cluster");
        assert_eq!(content["changes"][1]["object"], "namespace");
    }
}
