//! The Leases of a run, one per target that it may change.

use crate::error::line;
use crate::event::{FailureReport, Step};
use crate::lease::{LOOK, Lock, Place, State};
use crate::preflight::{Problem, Subject, Target};
use crate::reporter::lines::count;
use aks_shared::interrupt::Interrupt;
use aks_shared::{ExitStatus, Failure, Session};
use futures::{StreamExt, stream};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long an end is held up by giving Leases back.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many clusters at once.
const CONCURRENCY: usize = 16;

/// Leases that are held.
#[derive(Debug, Default)]
pub struct Locks(Mutex<BTreeMap<usize, Lock>>);

impl Locks {
    /// Takes the Leases of some targets, each with its place among all of them: all of the Leases or none.
    pub(crate) async fn take(
        subject: &Subject,
        targets: &[(usize, &Target)],
        who: &str,
        patience: Duration,
        session: &Session,
    ) -> Result<Self, Failure> {
        let takings: Vec<_> = targets
            .iter()
            .map(|(index, target)| async move {
                let place = Place::of(&target.cluster, &subject.fleet.release);
                let taken = tokio::select! {
                    taken = place.take(who, patience) => Some(taken),
                    () = session.interrupt.cancelled() => None,
                };
                (*index, target.spec.name.as_str(), taken)
            })
            .collect();
        let taken: Vec<_> = stream::iter(takings).buffered(CONCURRENCY).collect().await;
        let (locks, mut problems, mut open) = (Self::default(), Vec::new(), Vec::new());
        for (index, cluster, taken) in taken {
            match taken {
                Some(Ok(Some(lock))) => locks.insert(index, lock),
                Some(Ok(None)) => open.push(cluster),
                Some(Err(error)) => problems.push(Problem::new(cluster, line(&error))),
                None => {}
            }
        }
        let failure = if session.interrupt.is_raised() {
            session
                .interrupt
                .failure("interrupted before anything was touched")
        } else if problems.is_empty() {
            if !open.is_empty() {
                let what = "Leases may not be written there, so another run could work on the same release";
                session.ui.warning(&format!("{}: {what}", open.join(", ")));
            }
            return Ok(locks);
        } else {
            held(&problems, targets.len(), &subject.unlock)
        };
        locks.release(&session.interrupt).await;
        Err(failure)
    }

    /// Takes the Lease of a target that was found late.
    pub async fn add(
        &self,
        subject: &Subject,
        index: usize,
        target: &Target,
        who: &str,
    ) -> Result<(), FailureReport> {
        let place = Place::of(&target.cluster, &subject.fleet.release);
        match place.take(who, Duration::ZERO).await {
            Ok(Some(lock)) => self.insert(index, lock),
            Ok(None) => {}
            Err(error) => return Err(FailureReport::of(Step::Preflight, &error)),
        }
        Ok(())
    }

    /// Whether a target may still be worked on: nobody else may have taken its Lease.
    pub fn check(&self, index: usize) -> Result<(), FailureReport> {
        let locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if locks.get(&index).is_some_and(Lock::is_lost) {
            let what = "the Lease that keeps other runs away was lost; it was not touched any more";
            return Err(FailureReport::new(Step::Release, what));
        }
        Ok(())
    }

    /// Gives all back. What an API server does not take back in time, or the user does not want to wait for, dies by
    /// itself.
    pub async fn release(&self, interrupt: &Interrupt) {
        let held = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let releasing = stream::iter(held.into_values().map(Lock::release))
            .buffer_unordered(CONCURRENCY)
            .collect::<()>();
        tokio::select! {
            () = releasing => {}
            () = tokio::time::sleep(PATIENCE) => {}
            () = interrupt.abandoned() => {}
        }
    }

    fn insert(&self, index: usize, lock: Lock) {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        locks.insert(index, lock);
    }
}

/// Waits until nobody holds any of these Leases, and says on which cluster it waits for whom. Returns what is left of
/// the patience: a run waits before it looks and when it takes the Leases, and no longer for both than the user wants.
pub(crate) async fn wait_for_others(
    places: &[(&str, Place)],
    patience: Duration,
    say: impl Fn(&str) + Sync,
) -> Duration {
    let began = Instant::now();
    let left = || patience.saturating_sub(began.elapsed());
    let (left, say) = (&left, &say);
    let waits: Vec<_> = places
        .iter()
        .map(|(cluster, place)| async move {
            let mut after = patience;
            // Whoever cannot be asked is not waited for.
            while !after.is_zero()
                && let Ok((State::Held(holder), _)) = place.state().await
            {
                say(&format!("{cluster}: waiting for {holder}"));
                tokio::time::sleep(LOOK.min(left())).await;
                after = left();
            }
            after
        })
        .collect();
    let after: Vec<Duration> = stream::iter(waits).buffered(CONCURRENCY).collect().await;
    after.into_iter().min().unwrap_or(patience)
}

fn held(problems: &[Problem], clusters: usize, unlock: &str) -> Failure {
    let what = format!(
        "{} of {} cannot be had for this run alone; nothing was touched",
        problems.len(),
        count(clusters, "cluster")
    );
    let causes = problems
        .iter()
        .map(|problem| format!("{}: {}", problem.cluster, problem.what));
    Failure::new(ExitStatus::Refused, what)
        .with_causes(causes.collect())
        .hint("wait for the other run: --lock-timeout 10m")
        .hint(format!("take away what a dead run left: {unlock}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::ReleaseSpec;
    use crate::lease::LeaseError;
    use aks_shared::cluster::Cluster;
    use jiff::Timestamp;
    use kube::client::Body;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A cluster on which another run holds the Lease and lives; counts how often it is asked.
    fn held_by_another(asked: &Arc<AtomicUsize>) -> Place {
        let asked = Arc::clone(asked);
        let answer = tower::service_fn(move |_: http::Request<Body>| {
            asked.fetch_add(1, Ordering::SeqCst);
            let lease = serde_json::json!({
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"},
                "spec": {"renewTime": Timestamp::now().to_string(), "leaseDurationSeconds": 30},
            });
            let answer = http::Response::new(Body::from(lease.to_string().into_bytes()));
            std::future::ready(Ok::<_, std::convert::Infallible>(answer))
        });
        let cluster = Cluster {
            context: "aks-weu-1".to_owned(),
            server: "https://127.0.0.1".parse().unwrap(),
            client: kube::Client::new(answer, "default"),
            namespace: "default".to_owned(),
        };
        let release = ReleaseSpec {
            name: "orders".to_owned(),
            namespace: "shop".to_owned(),
            create_namespace: false,
        };
        Place::of(&cluster, &release)
    }

    #[tokio::test]
    async fn a_run_that_has_waited_as_long_as_it_may_does_not_wait_again() {
        let asked = Arc::default();
        let place = held_by_another(&asked);
        let told = Mutex::new(Vec::new());
        let places = [("weu-1", place.clone()), ("neu-1", place.clone())];
        let left = wait_for_others(&places, Duration::from_millis(50), |text| {
            told.lock().unwrap().push(text.to_owned());
        })
        .await;
        assert_eq!(left, Duration::ZERO);
        let told = told.into_inner().unwrap();
        assert!(
            told[0].starts_with("weu-1: waiting for somebody, last seen"),
            "{told:?}"
        );
        let before = asked.load(Ordering::SeqCst);
        let refused = place.take("us", left).await;
        assert!(matches!(refused, Err(LeaseError::Held(_))));
        assert_eq!(asked.load(Ordering::SeqCst), before + 1);
    }

    #[tokio::test]
    async fn who_waits_for_nobody_keeps_all_patience() {
        let patience = Duration::from_mins(1);
        assert_eq!(wait_for_others(&[], patience, |_| {}).await, patience);
    }
}
