//! Writes of identities: under one identity one at a time, and neither there nor in a subscription faster than Azure
//! allows.

use crate::azure::ArmId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use tokio::time::Instant;

/// Azure admits 0.25 writes per second under one identity and answers 409 to two at once
/// (workload-identity-federation-considerations).
const BETWEEN_WRITES: Duration = Duration::from_secs(4);

/// Azure admits two writes of identities and their credentials per second in one subscription (the same page). Asking
/// faster brings refusals, and among many that ask again some never get their turn. A little slower, because requests do
/// not travel equally fast.
const BETWEEN_IN_SUBSCRIPTION: Duration = Duration::from_millis(510);

type Lane = Arc<AsyncMutex<Option<Instant>>>;

/// The lanes of all identities that this process writes to, and when each subscription takes the next write.
#[derive(Default)]
pub(super) struct Pace {
    lanes: Mutex<HashMap<ArmId, Lane>>,
    /// When an identity itself was written: that counts against the same budget as its credentials.
    written: Mutex<HashMap<ArmId, Instant>>,
    next: Mutex<HashMap<String, Instant>>,
}

/// The right to write under one identity; the pause to the next write starts when it is given back.
pub(super) struct Turn(OwnedMutexGuard<Option<Instant>>);

impl Pace {
    /// Waits for the turn of a write under `identity`.
    pub(super) async fn turn(&self, identity: &ArmId) -> Turn {
        let lane = {
            let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(lanes.entry(identity.clone()).or_default())
        };
        let last = lane.lock_owned().await;
        if let Some(at) = *last {
            tokio::time::sleep_until(at + BETWEEN_WRITES).await;
        }
        // Alone, it is quicker to ask; among many, a refusal would take the place of somebody's write.
        if let Some(at) = self.written_at(identity).filter(|_| self.is_busy(identity)) {
            tokio::time::sleep_until(at + BETWEEN_WRITES).await;
        }
        self.place(identity).await;
        Turn(last)
    }

    /// Remembers that an identity itself was written just now.
    pub(super) fn wrote(&self, identity: &ArmId) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.insert(identity.clone(), Instant::now());
    }

    fn written_at(&self, identity: &ArmId) -> Option<Instant> {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.get(identity).copied()
    }

    /// Whether other writes wait for a place in the identity's subscription.
    fn is_busy(&self, identity: &ArmId) -> bool {
        let next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let next = next.get(&identity.subscription().to_ascii_lowercase());
        next.is_some_and(|place| *place > Instant::now() + BETWEEN_IN_SUBSCRIPTION)
    }

    /// Waits for a place among the writes in the identity's subscription. One write may follow another at once; Azure's
    /// budget holds two.
    pub(super) async fn place(&self, identity: &ArmId) {
        let place = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let place = next
                .entry(identity.subscription().to_ascii_lowercase())
                .or_insert(now);
            *place = (*place).max(now) + BETWEEN_IN_SUBSCRIPTION;
            *place - 2 * BETWEEN_IN_SUBSCRIPTION
        };
        if place > Instant::now() {
            tokio::time::sleep_until(place).await;
        }
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
        // The subscription has taken two writes, and the third waits although its identity is another one.
        assert!(pace.turn(&identity("three")).now_or_never().is_none());
        drop(turn);
        // The turn is free, and its pause has only begun.
        assert!(pace.turn(&identity("one")).now_or_never().is_none());
    }
}
