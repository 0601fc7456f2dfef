//! Requests about identities: writes under one identity one at a time, and nothing in a subscription faster than Azure
//! allows.
//!
//! Who asks faster is refused, and among many that ask again some never get their turn.

use crate::azure::ArmId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use tokio::time::Instant;

/// Azure admits 0.25 writes per second under one identity and answers 409 to two at once
/// (workload-identity-federation-considerations).
const BETWEEN_WRITES: Duration = Duration::from_secs(4);

/// What Azure counts apart in a subscription (the same page).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Budget {
    /// Writes of identities and their credentials, two per second.
    Writes,
    /// Reads of one identity, ten per second.
    Reads,
    /// Lists of credentials, five per second.
    Lists,
}

impl Budget {
    /// The time from one request to the next in the long run, a little longer than it need be because requests do not
    /// travel equally fast; and how many may come at once after a rest.
    const fn rate(self) -> (Duration, u32) {
        match self {
            Self::Writes => (Duration::from_millis(510), 2),
            Self::Reads => (Duration::from_millis(102), 10),
            Self::Lists => (Duration::from_millis(204), 5),
        }
    }
}

type Lane = Arc<AsyncMutex<Option<Instant>>>;

/// The lanes of all identities that this process writes to, and when each subscription takes the next request.
#[derive(Default)]
pub(super) struct Pace {
    lanes: Mutex<HashMap<ArmId, Lane>>,
    /// When something of an identity was written: the identity and its credentials share a budget.
    written: Mutex<HashMap<ArmId, Instant>>,
    next: Mutex<HashMap<(Budget, String), Instant>>,
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
        self.write(identity).await;
        Turn(last)
    }

    /// Waits for a place among the writes in the identity's subscription.
    pub(super) async fn write(&self, identity: &ArmId) {
        // Alone, it is quicker to ask; among many, a refusal would take the place of somebody's write.
        if let Some(at) = self.written_at(identity).filter(|_| self.is_busy(identity)) {
            tokio::time::sleep_until(at + BETWEEN_WRITES).await;
        }
        self.place(Budget::Writes, identity).await;
    }

    /// Remembers that something of an identity was written just now.
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
        let next = next.get(&key(Budget::Writes, identity));
        next.is_some_and(|place| *place > Instant::now() + Budget::Writes.rate().0)
    }

    /// Waits for a place among the requests that count against a budget of the identity's subscription. As many as the
    /// budget holds follow each other at once.
    pub(super) async fn place(&self, budget: Budget, identity: &ArmId) {
        let (interval, at_once) = budget.rate();
        let place = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let place = next.entry(key(budget, identity)).or_insert(now);
            *place = (*place).max(now) + interval;
            *place - at_once * interval
        };
        if place > Instant::now() {
            tokio::time::sleep_until(place).await;
        }
    }
}

fn key(budget: Budget, identity: &ArmId) -> (Budget, String) {
    (budget, identity.subscription().to_ascii_lowercase())
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

    #[tokio::test]
    async fn each_budget_is_one_of_its_own_and_takes_what_it_holds_at_once() {
        let pace = Pace::default();
        for (budget, at_once) in [(Budget::Reads, 10), (Budget::Lists, 5), (Budget::Writes, 2)] {
            let asked = || pace.place(budget, &identity("one")).now_or_never();
            let admitted = std::iter::repeat_with(asked).take(at_once + 1).flatten().count();
            assert_eq!(admitted, at_once, "{budget:?}");
        }
    }
}
