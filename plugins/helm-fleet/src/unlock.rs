//! `helm fleet unlock`: takes away what a dead run left behind, its Lease and its pending revision.

use crate::cli::UnlockArgs;
use crate::conduct::untouched;
use crate::error::line;
use crate::lease::{Place, State};
use crate::preflight::loss::OnValueLoss;
use crate::preflight::{self, Problem, Subject, Target, refusal};
use crate::prepare::load;
use crate::recover::mark_failed;
use crate::reporter::lines::count;
use aks_shared::{ExitStatus, Failure, Session};
use k8s_openapi::api::coordination::v1::Lease;
use serde::Serialize;
use std::fmt::Write;

/// What is left behind on one cluster.
struct Leftover<'a> {
    target: &'a Target,
    place: Place,
    lease: Option<Lease>,
    told: Told,
}

/// What is told of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    cluster: String,
    /// Whose Lease is taken away.
    lease: Option<String>,
    /// Which revision is marked as failed.
    revision: Option<u32>,
}

/// The `FleetUnlock` document.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FleetUnlock {
    api_version: &'static str,
    kind: &'static str,
    exit_code: u8,
    exit_name: &'static str,
    clusters: Vec<Told>,
}

/// Runs the command.
pub async fn run(args: &UnlockArgs, session: &Session) -> Result<ExitStatus, Failure> {
    let (subject, targets) = untouched(session, look(args, session)).await?;
    let leftovers = untouched(session, leftovers(args, &subject, &targets)).await?;
    let told: Vec<Told> = leftovers.iter().map(|leftover| leftover.told.clone()).collect();
    let document = |status: ExitStatus| {
        session.ui.document(&FleetUnlock {
            api_version: crate::report::API_VERSION,
            kind: "FleetUnlock",
            exit_code: status.code(),
            exit_name: status.name(),
            clusters: told.clone(),
        })
    };
    if leftovers.is_empty() {
        session.ui.status("nothing is locked and nothing is pending");
        document(ExitStatus::Ok)?;
        return Ok(ExitStatus::Ok);
    }
    session.ui.status(&shown(&told));
    if args.common.confirm.dry_run {
        let status = args.common.confirm.unchanged(true);
        document(status)?;
        return Ok(status);
    }
    let question = format!("Unlock {}?", count(leftovers.len(), "cluster"));
    untouched(session, session.ui.confirm(&question, &args.common.confirm)).await?;
    let mut causes = Vec::new();
    for leftover in &leftovers {
        if let Err(why) = clear(leftover, &subject).await {
            causes.push(format!("{}: {why}", leftover.target.spec.name));
        }
    }
    if !causes.is_empty() {
        let failed = format!("{} could not be unlocked", count(causes.len(), "cluster"));
        return Err(Failure::new(ExitStatus::Failed, failed).with_causes(causes));
    }
    document(ExitStatus::Ok)?;
    session
        .ui
        .status(&format!("unlocked {}", count(leftovers.len(), "cluster")));
    Ok(ExitStatus::Ok)
}

async fn look(args: &UnlockArgs, session: &Session) -> Result<(Subject, Vec<Target>), Failure> {
    let subject = load(&args.common, session, OnValueLoss::Drop).await?;
    let (targets, problems) = preflight::look(&subject).await;
    if problems.is_empty() {
        Ok((subject, targets))
    } else {
        Err(refusal(&problems, subject.clusters.len()))
    }
}

/// What is left behind; a Lease that is still renewed is refused unless the user insists.
async fn leftovers<'a>(
    args: &UnlockArgs,
    subject: &Subject,
    targets: &'a [Target],
) -> Result<Vec<Leftover<'a>>, Failure> {
    let (mut leftovers, mut problems) = (Vec::new(), Vec::new());
    for target in targets {
        let place = Place::of(&target.cluster, &subject.fleet.release);
        let (state, lease) = match place.state().await {
            Ok(state) => state,
            Err(error) => {
                problems.push(Problem::new(&target.spec.name, line(&error)));
                continue;
            }
        };
        let pending = target.record.as_ref().filter(|record| record.is_pending());
        let told = Told {
            cluster: target.spec.name.clone(),
            lease: match state {
                State::Free => None,
                State::Held(holder) if !args.force => {
                    problems.push(Problem::new(
                        &target.spec.name,
                        format!("{holder} is at work on it"),
                    ));
                    continue;
                }
                State::Held(holder) | State::Dead(holder) => Some(holder.to_string()),
            },
            revision: pending.map(|record| record.revision),
        };
        if told.lease.is_some() || told.revision.is_some() {
            leftovers.push(Leftover {
                target,
                place,
                lease,
                told,
            });
        }
    }
    if problems.is_empty() {
        Ok(leftovers)
    } else {
        let hint = format!("if you know that it is dead: {} --force", subject.unlock);
        Err(refusal(&problems, targets.len()).hint(hint))
    }
}

async fn clear(leftover: &Leftover<'_>, subject: &Subject) -> Result<(), String> {
    let target = leftover.target;
    let pending = target.record.as_ref().filter(|record| record.is_pending());
    if let Some(record) = pending {
        let namespace = &subject.fleet.release.namespace;
        mark_failed(record, &target.cluster, namespace)
            .await
            .map_err(|error| line(&error))?;
    }
    if let Some(lease) = &leftover.lease {
        leftover.place.remove(lease).await.map_err(|error| line(&error))?;
    }
    Ok(())
}

fn shown(told: &[Told]) -> String {
    told.iter().fold(String::new(), |mut text, told| {
        // Writing to a String cannot fail.
        if let Some(lease) = &told.lease {
            let _ = writeln!(text, "~ {}: take away the Lease of {lease}", told.cluster);
        }
        if let Some(revision) = told.revision {
            let _ = writeln!(
                text,
                "~ {}: mark pending revision {revision} as failed",
                told.cluster
            );
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_will_be_taken_away_is_shown() {
        let told = [Told {
            cluster: "weu-1".to_owned(),
            lease: Some("run 7 of kim".to_owned()),
            revision: Some(4),
        }];
        assert_eq!(
            shown(&told),
            "~ weu-1: take away the Lease of run 7 of kim\n~ weu-1: mark pending revision 4 as failed\n"
        );
    }
}
