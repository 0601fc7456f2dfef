//! `kubectl wi remove`: takes away exactly what is provably ours, in the reverse order of its making.

mod apply;
mod args;
mod found;
mod plan;

pub use args::RemoveArgs;

use crate::apply::Writer;
use crate::cluster_rights::{self, ClusterRight};
use crate::clusters::{AT_ONCE, Clusters, at_once};
use crate::file;
use crate::outcome::ChangeRecord;
use crate::rights::{self, Right};
use crate::run::{Told, before_any_write, finish, sign_in, status_of, tell_plan};
use crate::selection::{Selected, select};
use aks_shared::args::ConfirmArgs;
use aks_shared::azure::Azure;
use aks_shared::cluster::Cluster;
use aks_shared::kubeconfig::Kubeconfig;
use aks_shared::{ExitStatus, Failure, Session};
use plan::{Part, Removal};
use serde_json::{Value, json};

const DELETE_IDENTITY: &str = "Microsoft.ManagedIdentity/userAssignedIdentities/delete";
const DELETE_CREDENTIAL: &str =
    "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/delete";
const UNASSIGN_ROLE: &str = "Microsoft.Authorization/roleAssignments/delete";

/// A workload on a cluster that was looked at.
struct Planned {
    cluster: Cluster,
    removal: Removal,
}

type Looked = (Selected, Result<Planned, Failure>);

pub(super) async fn run(args: RemoveArgs, session: &Session) -> Result<ExitStatus, Failure> {
    let file = args
        .file()
        .map(|path| file::read(path, &[file::WORKLOADS]))
        .transpose()?;
    let kubeconfig = Kubeconfig::load(args.kube.kubeconfig.as_deref(), &session.env)?;
    let workload = |namespace: &str| args.workload(namespace);
    let selected = select(&args.asked(), file.as_ref(), &kubeconfig, workload)?;
    let azure = sign_in(&args.azure, session).await?;
    let clusters = Clusters::new(&kubeconfig, &args.kube, &azure, session);
    let mut looks = Vec::new();
    for one in selected {
        looks.push(async {
            let planned = look(&azure, &clusters, &one).await;
            (one, planned)
        });
    }
    let mut looked = before_any_write(session, at_once(AT_ONCE, looks)).await?;
    show(session, args.confirm.dry_run, &looked)?;
    let is_refused = |looked: &[Looked]| looked.iter().any(|(_, result)| result.is_err());
    if !is_refused(&looked) && !args.confirm.dry_run {
        looked = before_any_write(session, check_rights(&azure, looked)).await?;
    }
    if is_refused(&looked) || args.confirm.dry_run {
        return tell_plans(session, &azure, looked, &args.confirm);
    }
    let planned: Vec<(Selected, Planned)> = looked
        .into_iter()
        .filter_map(|(one, result)| Some((one, result.ok()?)))
        .collect();
    let removing = planned.iter().filter(|(_, one)| !one.removal.is_empty()).count();
    if removing > 0 {
        let question = match removing {
            1 => "Take this away?".to_owned(),
            many if planned.iter().any(|(one, _)| one.unit.label != one.unit.context) => {
                format!("Take these {many} away?")
            }
            many => format!("Take this away on {many} clusters?"),
        };
        before_any_write(session, session.ui.confirm(&question, &args.confirm)).await??;
    }
    let mut carried = Vec::new();
    for (one, planned) in &planned {
        carried.push(carry_out(&azure, one, planned, session));
    }
    let mut told = at_once(AT_ONCE, carried).await;
    let some_changed = told.iter().any(|one| one.content["changes"] != json!([]));
    for one in &mut told {
        let failure = one.failure.as_ref().map(|failure| failure.status);
        one.status = status_of(failure, some_changed);
    }
    finish(session, "WorkloadIdentityRemoval", &azure.principal, told)
}

/// Looks for what there is of a workload on a cluster, and plans.
async fn look(azure: &Azure, clusters: &Clusters<'_>, one: &Selected) -> Result<Planned, Failure> {
    let cluster = clusters.connect(&one.unit.context).await?;
    let found = found::find(azure, &cluster, &one.workload).await?;
    Ok(Planned {
        removal: plan::plan(&one.workload, &found),
        cluster,
    })
}

/// Shows what goes and what stays: as data with `--dry-run`, else as talk.
fn show(session: &Session, is_data: bool, looked: &[Looked]) -> Result<(), Failure> {
    for planned in looked.iter().filter_map(|(_, result)| result.as_ref().ok()) {
        let removal = &planned.removal;
        let head = format!(
            "{} ({}), service account {}",
            removal.cluster.context, removal.cluster.name, removal.account
        );
        let nothing = removal
            .is_empty()
            .then(|| "nothing of setup's is left here".to_owned());
        let body = nothing.into_iter().chain(removal.lines());
        let lines: Vec<String> = std::iter::once(head)
            .chain(body.map(|line| format!("  {line}")))
            .collect();
        let text = lines.join("\n") + "\n";
        tell_plan(session, is_data, &text)?;
    }
    Ok(())
}

/// Refuses where a right is certainly missing, in Azure or in the cluster.
async fn check_rights(azure: &Azure, looked: Vec<Looked>) -> Vec<Looked> {
    let mut checks = Vec::new();
    for (one, result) in looked {
        checks.push(async {
            let Ok(planned) = result else { return (one, result) };
            let (in_azure, in_cluster) = needed(&planned.removal);
            let (in_azure, in_cluster) = futures::join!(
                rights::check_all(azure, in_azure),
                cluster_rights::check_all(&planned.cluster, in_cluster)
            );
            (one, in_azure.and(in_cluster).map(|()| planned))
        });
    }
    at_once(AT_ONCE, checks).await
}

/// What carrying out a removal needs, in Azure and in the cluster.
fn needed(removal: &Removal) -> (Vec<Right>, Vec<ClusterRight>) {
    let (mut in_azure, mut in_cluster) = (Vec::new(), Vec::new());
    for part in &removal.removed {
        match part {
            Part::Account { .. } => {
                in_cluster.push(ClusterRight::on(&removal.account, "delete", "serviceaccounts"));
            }
            Part::Annotation { .. } => {
                in_cluster.push(ClusterRight::on(&removal.account, "patch", "serviceaccounts"));
            }
            Part::Assignment { scope, .. } => in_azure.push(Right::new(UNASSIGN_ROLE, scope)),
            Part::Credential { identity, .. } => {
                in_azure.push(Right::new(DELETE_CREDENTIAL, identity.as_str()));
            }
            Part::Identity { id } => in_azure.push(Right::new(DELETE_IDENTITY, id.as_str())),
        }
    }
    in_azure.sort();
    in_azure.dedup();
    (in_azure, in_cluster)
}

/// Takes away what one plan says. It is never dropped half-way: what was taken away is told.
async fn carry_out(azure: &Azure, one: &Selected, planned: &Planned, session: &Session) -> Told {
    let task = session.ui.task(one.unit.label.clone());
    let say = |text: &str| task.say(text);
    let mut writer = Writer::new("delete", azure, &session.interrupt, &say);
    let failure = apply::apply(&mut writer, &planned.cluster, &planned.removal)
        .await
        .err()
        .map(Failure::from);
    let done = match writer.changes.len() {
        0 => "nothing was taken away".to_owned(),
        1 => "1 thing taken away".to_owned(),
        many => format!("{many} things taken away"),
    };
    match &failure {
        Some(failure) => task.finish(&format!("{done}; {}", failure.message)),
        None => task.finish(&done),
    }
    Told {
        unit: one.unit.clone(),
        status: failure.as_ref().map_or(ExitStatus::Ok, |failure| failure.status),
        content: content(&planned.removal, Some(&writer.changes)),
        failure,
    }
}

/// Ends a run that takes nothing away: a dry run, or one in which a cluster is refused.
fn tell_plans(
    session: &Session,
    azure: &Azure,
    looked: Vec<Looked>,
    args: &ConfirmArgs,
) -> Result<ExitStatus, Failure> {
    let told: Vec<Told> = looked
        .into_iter()
        .map(|(one, result)| match result {
            Ok(planned) => Told {
                unit: one.unit,
                status: args.unchanged(!planned.removal.is_empty()),
                content: content(&planned.removal, None),
                failure: None,
            },
            Err(failure) => Told {
                unit: one.unit,
                status: failure.status,
                content: Value::Null,
                failure: Some(failure),
            },
        })
        .collect();
    if told.len() > 1 && told.iter().any(|one| one.failure.is_some()) {
        session.ui.status("nothing was changed on any cluster");
    }
    finish(session, "WorkloadIdentityRemovalPlan", &azure.principal, told)
}

fn content(removal: &Removal, changes: Option<&[ChangeRecord]>) -> Value {
    let mut content = json!({
        "cluster": removal.cluster, "kept": removal.kept, "pods": removal.pods, "notes": removal.notes,
    });
    if let Some(changes) = changes {
        content["changes"] = json!(changes);
    } else {
        content["removed"] = json!(removal.removed);
        content["empty"] = json!(removal.is_empty());
    }
    content
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::{everything, workload};

    #[test]
    fn a_removal_needs_the_right_to_end_each_part() {
        let observed = everything();
        let identity = observed.identity_id;
        let removal = Removal {
            cluster: plan::RemovalCluster {
                context: "weu-1".into(),
                name: "aks".into(),
                id: observed.cluster.id,
            },
            account: workload().account,
            removed: vec![
                Part::Account { uid: "u".into() },
                Part::Credential {
                    identity: identity.clone(),
                    name: "c".into(),
                    issuer: "https://issuer/".into(),
                },
                Part::Identity { id: identity.clone() },
            ],
            kept: Vec::new(),
            pods: Vec::new(),
            notes: Vec::new(),
        };
        let (in_azure, in_cluster) = needed(&removal);
        assert_eq!(
            in_azure,
            [
                Right::new(DELETE_IDENTITY, identity.as_str()),
                Right::new(DELETE_CREDENTIAL, identity.as_str())
            ]
        );
        let delete = ClusterRight::on(&workload().account, "delete", "serviceaccounts");
        assert_eq!(in_cluster, [delete]);
    }
}
