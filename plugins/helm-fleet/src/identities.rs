//! Sets up the identities of all targets before any release is touched: what is added here takes nothing away.

use crate::event::{Event, EventKind, Events, FailureReport, IdentityResult, Step};
use crate::identity;
use crate::preflight::{Target, TargetIdentity};
use aks_shared::azure::Azure;
use aks_shared::interrupt::Interrupt;
use futures::future::join_all;
use futures::{StreamExt, stream};
use kubectl_wi_setup::{Outcome, SetupError, wait_for_access};
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

/// Sets up the identities of one target; what happens is told through `sender`. They are written one after the other,
/// because they may share what is written, and proven together: each may take minutes until it works.
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
    let cluster = &target.spec.name;
    let setup = Setup {
        azure,
        target,
        interrupt,
        sender,
    };
    let mut written = Vec::new();
    for identity in &target.identities {
        setup.tell(EventKind::IdentityStarted {
            cluster: cluster.clone(),
            identity: identity.name.clone(),
        });
        let result = setup.write(identity).await;
        let is_failure = result.is_err();
        written.push(result);
        if is_failure {
            break;
        }
    }
    let proofs = target
        .identities
        .iter()
        .zip(written)
        .map(|(identity, written)| setup.prove(identity, written));
    let mut failed = None;
    for (identity, result) in target.identities.iter().zip(join_all(proofs).await) {
        match result {
            Ok((variables, result)) => {
                ready.changed |= result.changed > 0;
                ready.variables.insert(identity.name.clone(), variables);
                setup.tell(EventKind::IdentityFinished {
                    cluster: cluster.clone(),
                    result,
                });
            }
            Err(Unready { failure, written }) => {
                setup.tell(EventKind::IdentityFailed {
                    cluster: cluster.clone(),
                    identity: identity.name.clone(),
                    failure: failure.clone(),
                    written,
                });
                failed.get_or_insert(failure);
            }
        }
    }
    failed.map_or(Ok(ready), Err)
}

/// The setup of one target's identities.
struct Setup<'a> {
    azure: &'a Azure,
    target: &'a Target,
    interrupt: &'a Interrupt,
    sender: &'a UnboundedSender<EventKind>,
}

/// Why an identity was not set up, and what was written nevertheless.
struct Unready {
    failure: FailureReport,
    written: Option<IdentityResult>,
}

impl Setup<'_> {
    fn tell(&self, kind: EventKind) {
        // The receiver lives as long as this runs.
        drop(self.sender.send(kind));
    }

    fn say(&self, message: &str) {
        self.tell(EventKind::TargetProgress {
            cluster: self.target.spec.name.clone(),
            message: message.to_owned(),
        });
    }

    async fn write(&self, identity: &TargetIdentity) -> Result<Outcome, Unready> {
        if self.interrupt.is_raised() {
            return Err(Unready {
                failure: FailureReport::new(Step::Identity, "interrupted before it was set up"),
                written: None,
            });
        }
        let (cluster, interrupt) = (&self.target.cluster, self.interrupt);
        let say = |message: &str| self.say(message);
        let applied = kubectl_wi_setup::apply(self.azure, cluster, &identity.plan, interrupt, &say).await;
        applied.map_err(|error| {
            let known = identity.observed.identity.as_ref();
            let written = IdentityResult {
                identity: identity.name.clone(),
                client_id: known.map(|identity| identity.client_id.clone()),
                changed: error.changes().len(),
                notes: identity.plan.notes.clone(),
                outcome: json!({"changes": error.changes()}),
            };
            Unready {
                failure: FailureReport::of(Step::Identity, &error),
                written: Some(written),
            }
        })
    }

    /// Waits until what was written works.
    async fn prove(
        &self,
        identity: &TargetIdentity,
        written: Result<Outcome, Unready>,
    ) -> Result<(Value, IdentityResult), Unready> {
        let outcome = written?;
        let result = IdentityResult {
            identity: identity.name.clone(),
            client_id: Some(outcome.client_id.clone()),
            changed: outcome.changes.len(),
            notes: identity.plan.notes.clone(),
            outcome: serde_json::to_value(&outcome).unwrap_or_default(),
        };
        if !identity.plan.is_empty() {
            let (cluster, interrupt) = (&self.target.cluster, self.interrupt);
            let say = |message: &str| self.say(message);
            // A grant that does not hold yet would eat up helm's timeout.
            match wait_for_access(self.azure, cluster, &outcome, TIMEOUT, interrupt, &say).await {
                Ok(_) => {}
                // From here it may never be seen to hold, where a firewall admits the cluster alone: then the pod's
                // own verification decides.
                Err(error @ SetupError::Access { .. }) => say(&format!("not seen from here: {error}")),
                Err(error) => {
                    return Err(Unready {
                        failure: FailureReport::of(Step::Identity, &error),
                        written: Some(result),
                    });
                }
            }
        }
        Ok((identity::established(&identity.observed, &outcome), result))
    }
}
