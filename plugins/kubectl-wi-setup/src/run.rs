//! The command: observe and plan every cluster, show, confirm, apply, wait, tell.

mod tell;

pub(crate) use tell::Told;

use crate::args::{SetupArgs, WaitFor};
use crate::plan::{Change, Plan};
use crate::{ExchangeWait, Outcome, Right, SetupError, Workload, apply, observe, plan, render, rights, wait};
use aks_shared::azure::arm::FEDERATED_CREDENTIAL_LIMIT;
use aks_shared::azure::{ArmId, Azure};
use aks_shared::cluster::{Cluster, Connection};
use aks_shared::format::OutputFormat;
use aks_shared::kubeconfig::Kubeconfig;
use aks_shared::{ExitStatus, Failure, Session};
use futures::{FutureExt, StreamExt, stream};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// How many clusters are worked on at once.
const AT_ONCE: usize = 16;

/// A cluster that was looked at.
struct Planned {
    cluster: Cluster,
    plan: Plan,
    /// How many federated credentials the identity has.
    credentials: usize,
}

pub(crate) async fn run(args: SetupArgs, session: &Session) -> Result<ExitStatus, Failure> {
    let (kubeconfig, contexts) = Kubeconfig::load_selected(&args.kube, &session.env)?;
    if contexts.len() > 1 && args.workload.names_one_cluster() {
        return Err(Failure::usage(
            "--cluster-id names one cluster, and several contexts are selected",
        ));
    }
    // Bad names are told before anything is asked.
    let mut work = Vec::new();
    for context in contexts {
        let namespace = args
            .workload
            .namespace
            .as_deref()
            .or_else(|| kubeconfig.namespace_of(&context));
        let workload = args.workload.workload(namespace.unwrap_or("default"))?;
        work.push((context, workload));
    }
    let azure = tokio::select! {
        azure = Azure::connect(&args.azure, &session.env) => azure?,
        () = session.interrupt.cancelled() => return Err(interrupted(session)),
    };
    session.ui.status(&format!("signed in as {}", azure.principal));
    let connection = Connection::new(&args.kube, azure.roots.clone(), &session.env);

    let mut looks = Vec::new();
    for (context, workload) in &work {
        let look = look(&azure, &kubeconfig, context, &connection, workload);
        looks.push(look.map(|result| (context.clone(), result)));
    }
    let looked: Vec<(String, Result<Planned, Failure>)> = tokio::select! {
        looked = stream::iter(looks).buffered(AT_ONCE).collect() => looked,
        () = session.interrupt.cancelled() => return Err(interrupted(session)),
    };
    show(session, &args, &looked)?;
    let (mut planned, mut refused) = split(looked);
    if refused.is_empty() {
        refuse_twins(&planned)?;
        refuse_overfull(&planned)?;
    }
    if refused.is_empty() && !args.confirm.dry_run {
        // A dry run may be made by who only reads.
        (planned, refused) = tokio::select! {
            checked = check_rights(&azure, planned) => checked,
            () = session.interrupt.cancelled() => return Err(interrupted(session)),
        };
    }
    if !refused.is_empty() || args.confirm.dry_run {
        return tell::plans(session, &args.confirm, &azure.principal, planned, refused);
    }
    let changing = planned.iter().filter(|one| !one.plan.is_empty()).count();
    if changing > 0 {
        let question = match changing {
            1 => "Apply this plan?".to_owned(),
            many => format!("Apply these plans to {many} clusters?"),
        };
        tokio::select! {
            answer = session.ui.confirm(&question, &args.confirm) => answer?,
            () = session.interrupt.cancelled() => return Err(interrupted(session)),
        }
    }
    // Several clusters write to different identities; under one identity the ARM client queues them.
    let mut applied = Vec::new();
    for one in &planned {
        applied.push(carry_out(&azure, one, &args, session));
    }
    let carried: Vec<Carried> = stream::iter(applied).buffered(AT_ONCE).collect().await;
    tell::outcomes(session, &azure.principal, carried)
}

/// Connects to a cluster, observes it and plans.
async fn look(
    azure: &Azure,
    kubeconfig: &Kubeconfig,
    context: &str,
    connection: &Connection,
    workload: &Workload,
) -> Result<Planned, Failure> {
    let cluster = Cluster::connect(kubeconfig, context, connection)
        .await
        .map_err(SetupError::from)?;
    let observed = observe(azure, &cluster, workload).await?;
    Ok(Planned {
        plan: plan(workload, &observed),
        credentials: observed.credentials.len(),
        cluster,
    })
}

/// Shows every plan to people: as data with `--dry-run`, else as talk.
fn show(
    session: &Session,
    args: &SetupArgs,
    looked: &[(String, Result<Planned, Failure>)],
) -> Result<(), Failure> {
    for planned in looked.iter().filter_map(|(_, result)| result.as_ref().ok()) {
        let text = render::plan(&planned.plan);
        if args.confirm.dry_run && matches!(session.ui.format(), OutputFormat::Table | OutputFormat::Wide) {
            session
                .ui
                .data(&text)
                .map_err(|error| Failure::from_error(ExitStatus::Failed, &error))?;
        } else {
            session.ui.status(text.trim_end());
        }
    }
    Ok(())
}

type Refused = Vec<(String, Option<Plan>, Failure)>;

/// Separates what can be applied from what cannot; a plan with conflicts cannot.
fn split(looked: Vec<(String, Result<Planned, Failure>)>) -> (Vec<Planned>, Refused) {
    let (mut planned, mut refused) = (Vec::new(), Vec::new());
    for (context, result) in looked {
        match result {
            Ok(one) => match one.plan.conflicts() {
                conflicts if conflicts.is_empty() => planned.push(one),
                conflicts => {
                    let failure = Failure::refused(conflicts.join("; "));
                    refused.push((context, Some(one.plan), failure));
                }
            },
            Err(failure) => refused.push((context, None, failure)),
        }
    }
    (planned, refused)
}

/// Refuses two contexts of one cluster: both would write the same objects at once.
fn refuse_twins(planned: &[Planned]) -> Result<(), Failure> {
    for (index, one) in planned.iter().enumerate() {
        let (mine, others) = (
            &one.plan.cluster,
            planned[..index].iter().map(|other| &other.plan.cluster),
        );
        if let Some(twin) = others.into_iter().find(|other| other.id == mine.id) {
            return Err(Failure::refused(format!(
                "contexts {:?} and {:?} lead to the same cluster {}; nothing was changed",
                twin.context, mine.context, mine.id
            ))
            .hint("select one of them with --context"));
        }
    }
    Ok(())
}

/// Refuses clusters that share an identity and together need more federated credentials than it can have.
fn refuse_overfull(planned: &[Planned]) -> Result<(), Failure> {
    let new = planned
        .iter()
        .filter(|one| matches!(one.plan.federated_credential, Change::Create { .. }));
    let Some((id, found)) = overfull(new.map(|one| (&one.plan.identity.target().id, one.credentials))) else {
        return Ok(());
    };
    Err(Failure::refused(format!(
        "identity {id} has {found} federated credentials, and with those of the selected clusters it would have more than the {FEDERATED_CREDENTIAL_LIMIT} that Azure allows; nothing was changed"
    ))
    .hint("remove stale ones, or use an identity for each cluster: leave out --identity-id"))
}

/// The first identity that would have too many credentials, with how many it has: each item is one more for an
/// identity that has so many already.
fn overfull<'a>(new: impl Iterator<Item = (&'a ArmId, usize)>) -> Option<(&'a ArmId, usize)> {
    let mut counts: BTreeMap<&ArmId, usize> = BTreeMap::new();
    for (id, found) in new {
        let count = counts.entry(id).or_insert(found);
        *count += 1;
        if *count > FEDERATED_CREDENTIAL_LIMIT {
            return Some((id, found));
        }
    }
    None
}

/// Separates the plans that the principal may carry out from those that it certainly may not; an empty one needs
/// nothing.
async fn check_rights(azure: &Azure, planned: Vec<Planned>) -> (Vec<Planned>, Refused) {
    let mut checks = Vec::new();
    for one in planned {
        checks.push(async {
            let missing = rights::missing(azure, &one.plan).await;
            (one, missing)
        });
    }
    let checked: Vec<(Planned, Vec<Right>)> = stream::iter(checks).buffered(AT_ONCE).collect().await;
    let (mut allowed, mut refused) = (Vec::new(), Vec::new());
    for (one, missing) in checked {
        if missing.is_empty() {
            allowed.push(one);
        } else {
            let failure = rights::refusal(&missing, &azure.principal);
            refused.push((one.cluster.context, Some(one.plan), failure));
        }
    }
    (allowed, refused)
}

/// What became of one cluster.
struct Carried {
    context: String,
    outcome: Option<Outcome>,
    waited: Option<ExchangeWait>,
    changes: Value,
    failure: Option<Failure>,
}

/// Applies one plan and waits for its proof. It is never dropped half-way: a write that was sent is recorded.
async fn carry_out(azure: &Azure, one: &Planned, args: &SetupArgs, session: &Session) -> Carried {
    let context = one.cluster.context.clone();
    let task = session.ui.task(context.clone());
    let say = |text: &str| task.say(text);
    let mut carried = Carried {
        context,
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
    let changed = match outcome.changes.len() {
        0 => "nothing to change".to_owned(),
        1 => "1 change".to_owned(),
        many => format!("{many} changes"),
    };
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
    match wanted {
        _ if matches!(plan.federated_credential, Change::Left { .. }) => WaitFor::None,
        WaitFor::Access if plan.grants.iter().any(is_left) => WaitFor::Exchange,
        wanted => wanted,
    }
}

fn interrupted(session: &Session) -> Failure {
    let status = session.interrupt.status().unwrap_or(ExitStatus::Interrupted);
    Failure::new(status, "interrupted; nothing was changed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_several_clusters_are_counted_together() {
        let id = |name: &str| -> ArmId {
            format!("/subscriptions/s/resourceGroups/g/providers/P/t/{name}")
                .parse()
                .unwrap()
        };
        let (shared, spelled, other) = (id("shared"), id("SHARED"), id("other"));
        assert_eq!(overfull([(&shared, 18), (&spelled, 18)].into_iter()), None);
        assert_eq!(overfull([(&shared, 19), (&other, 19)].into_iter()), None);
        assert_eq!(
            overfull([(&shared, 19), (&other, 19), (&spelled, 19)].into_iter()),
            Some((&spelled, 19))
        );
    }
}
