//! Writes to the federated credentials of one identity: one at a time, and no faster than Azure allows.

use crate::azure::ArmId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use tokio::time::Instant;

/// Azure admits 0.25 writes per second under one identity and answers 409 to two at once
/// (workload-identity-federation-considerations).
const BETWEEN_WRITES: Duration = Duration::from_secs(4);

type Lane = Arc<AsyncMutex<Option<Instant>>>;

/// The lanes of all identities that this process writes to.
#[derive(Default)]
pub(super) struct Pace(Mutex<HashMap<ArmId, Lane>>);

/// The right to write under one identity; the pause to the next write starts when it is given back.
pub(super) struct Turn(OwnedMutexGuard<Option<Instant>>);

impl Pace {
    /// Waits for the turn of a write under `identity`.
    pub(super) async fn turn(&self, identity: &ArmId) -> Turn {
        let lane = {
            let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(lanes.entry(identity.clone()).or_default())
        };
        let last = lane.lock_owned().await;
        if let Some(at) = *last {
            tokio::time::sleep_until(at + BETWEEN_WRITES).await;
        }
        Turn(last)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *self.0 = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn identity(name: &str) -> ArmId {
        ArmId::resource("s", "g", "Microsoft.ManagedIdentity/userAssignedIdentities", name).unwrap()
    }

    #[tokio::test]
    async fn writes_under_one_identity_keep_their_distance_and_others_do_not_wait() {
        let pace = Pace::default();
        let turn = pace.turn(&identity("one")).now_or_never().unwrap();
        assert!(pace.turn(&identity("ONE")).now_or_never().is_none());
        assert!(pace.turn(&identity("two")).now_or_never().is_some());
        drop(turn);
        // The turn is free, and its pause has only begun.
        assert!(pace.turn(&identity("one")).now_or_never().is_none());
    }
}
