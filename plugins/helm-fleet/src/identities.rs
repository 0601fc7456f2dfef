//! Sets up the identities of all targets before any release is touched: what is added here takes nothing away.

use crate::event::{Event, EventKind, Events, FailureReport, IdentityResult, Step};
use crate::identity;
use crate::preflight::{Target, TargetIdentity};
use aks_shared::azure::Azure;
use aks_shared::interrupt::Interrupt;
use futures::{StreamExt, stream};
use kubectl_wi_setup::{SetupError, wait_for_access, wait_for_exchange};
use serde_json::{Map, Value, json};
use std::io;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// How many targets at once; ARM and Entra throttle by tenant and subscription.
const CONCURRENCY: usize = 8;
/// How long an identity may take until it works: Entra needs seconds to minutes, role assignments up to ten minutes
/// (<https://learn.microsoft.com/azure/role-based-access-control/troubleshooting>).
const TIMEOUT: Duration = Duration::from_mins(15);

/// The identities of a target, as templates see them.
#[derive(Debug, Clone)]
pub struct Ready {
    /// Variables by identity.
    pub variables: Map<String, Value>,
    /// Whether anything was changed.
    pub changed: bool,
}

/// Sets up the identities of all targets; the results come in their order. What fails here fails its target when
/// the target's stage comes.
pub async fn establish<S: FnMut(&Event) -> io::Result<()>>(
    azure: Option<&Azure>,
    targets: &[Target],
    interrupt: &Interrupt,
    events: &mut Events<S>,
) -> io::Result<Vec<Result<Ready, FailureReport>>> {
    let (sender, mut receiver) = unbounded_channel();
    let mut results: Vec<Option<Result<Ready, FailureReport>>> = vec![None; targets.len()];
    let work: Vec<_> = targets
        .iter()
        .enumerate()
        .map(|(index, target)| {
            let sender = sender.clone();
            async move { (index, establish_one(azure, target, interrupt, &sender).await) }
        })
        .collect();
    let mut running = stream::iter(work).buffer_unordered(CONCURRENCY);
    loop {
        tokio::select! {
            biased;
            Some(kind) = receiver.recv() => events.emit(kind)?,
            next = running.next() => match next {
                Some((index, result)) => results[index] = Some(result),
                None => break,
            },
        }
    }
    while let Ok(kind) = receiver.try_recv() {
        events.emit(kind)?;
    }
    let missing = || Err(FailureReport::new(Step::Internal, "the identity was not set up"));
    Ok(results
        .into_iter()
        .map(|result| result.unwrap_or_else(missing))
        .collect())
}

/// Sets up the identities of one target; what happens is told through `sender`.
pub(crate) async fn establish_one(
    azure: Option<&Azure>,
    target: &Target,
    interrupt: &Interrupt,
    sender: &UnboundedSender<EventKind>,
) -> Result<Ready, FailureReport> {
    let mut ready = Ready {
        variables: Map::new(),
        changed: false,
    };
    let Some(azure) = azure else { return Ok(ready) };
    let cluster = target.spec.name.clone();
    // The receiver lives as long as this runs.
    let tell = |kind| drop(sender.send(kind));
    for identity in &target.identities {
        tell(EventKind::IdentityStarted {
            cluster: cluster.clone(),
            identity: identity.name.clone(),
        });
        let say = |message: &str| {
            tell(EventKind::TargetProgress {
                cluster: cluster.clone(),
                message: message.to_owned(),
            });
        };
        let mut written = None;
        match apply(azure, target, identity, interrupt, &say, &mut written).await {
            Ok((variables, result)) => {
                ready.changed |= result.changed > 0;
                ready.variables.insert(identity.name.clone(), variables);
                tell(EventKind::IdentityFinished {
                    cluster: cluster.clone(),
                    result,
                });
            }
            Err(failure) => {
                tell(EventKind::IdentityFailed {
                    cluster,
                    identity: identity.name.clone(),
                    failure: failure.clone(),
                    written,
                });
                return Err(failure);
            }
        }
    }
    Ok(ready)
}

/// Writes and proves one identity. `written` tells what was written, whatever comes of it.
async fn apply(
    azure: &Azure,
    target: &Target,
    identity: &TargetIdentity,
    interrupt: &Interrupt,
    say: &(dyn Fn(&str) + Sync),
    written: &mut Option<IdentityResult>,
) -> Result<(Value, IdentityResult), FailureReport> {
    if interrupt.is_raised() {
        return Err(FailureReport::new(
            Step::Identity,
            "interrupted before it was set up",
        ));
    }
    let failed = |error: &dyn std::error::Error| FailureReport::of(Step::Identity, error);
    let name = &identity.name;
    let outcome = match kubectl_wi_setup::apply(azure, &target.cluster, &identity.plan, interrupt, say).await
    {
        Ok(outcome) => outcome,
        Err(error) => {
            let client_id = identity
                .observed
                .identity
                .as_ref()
                .map(|identity| identity.client_id.clone());
            let outcome = json!({"changes": error.changes()});
            let changed = error.changes().len();
            *written = Some(IdentityResult {
                identity: name.clone(),
                client_id,
                changed,
                notes: identity.plan.notes.clone(),
                outcome,
            });
            return Err(failed(&error));
        }
    };
    let result = IdentityResult {
        identity: name.clone(),
        client_id: Some(outcome.client_id.clone()),
        changed: outcome.changes.len(),
        notes: identity.plan.notes.clone(),
        outcome: serde_json::to_value(&outcome).unwrap_or_default(),
    };
    if !identity.plan.is_empty() {
        *written = Some(result.clone());
        wait_for_exchange(azure, &target.cluster, &outcome, TIMEOUT, interrupt, say)
            .await
            .map_err(|error| failed(&error))?;
        // A grant that does not hold yet would eat up helm's timeout. From here it may never be seen to hold,
        // where a firewall admits the cluster alone: then the pod's own verification decides.
        match wait_for_access(azure, &target.cluster, &outcome, TIMEOUT, interrupt, say).await {
            Ok(_) => {}
            Err(SetupError::Interrupted { status }) => {
                return Err(failed(&SetupError::Interrupted { status }));
            }
            Err(error) => say(&format!("not seen from here: {error}")),
        }
    }
    Ok((identity::established(&identity.observed, &outcome), result))
}
