//! The Leases of a run, one per target that it may change.

use crate::event::{FailureReport, Step};
use crate::lease::{LeaseError, Lock, Place};
use crate::preflight::{Problem, Subject, Target};
use crate::reporter::lines::count;
use aks_shared::interrupt::Interrupt;
use aks_shared::{ExitStatus, Failure, Session, causes};
use futures::{StreamExt, stream};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long an end is held up by giving Leases back.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many clusters at once.
const CONCURRENCY: usize = 16;

/// Leases that are held.
#[derive(Debug, Default)]
pub struct Locks(Mutex<BTreeMap<usize, Lock>>);

impl Locks {
    /// Takes the Leases of some targets, all of them or none.
    pub async fn take(
        subject: &Subject,
        targets: &[&Target],
        who: &str,
        timeout: Duration,
        session: &Session,
    ) -> Result<Self, Failure> {
        let takings: Vec<_> = targets
            .iter()
            .map(|target| async move {
                let place = Place::of(&target.cluster, &subject.fleet.release);
                let taken = tokio::select! {
                    taken = place.take(who, timeout) => Some(taken),
                    () = session.interrupt.cancelled() => None,
                };
                (*target, taken)
            })
            .collect();
        let taken: Vec<_> = stream::iter(takings).buffered(CONCURRENCY).collect().await;
        let (locks, mut problems, mut open) = (Self::default(), Vec::new(), Vec::new());
        for (target, taken) in taken {
            let index = subject
                .clusters
                .iter()
                .position(|spec| spec.name == target.spec.name);
            match (taken, index) {
                (Some(Ok(Some(lock))), Some(index)) => locks.insert(index, lock),
                (Some(Ok(_)), _) => open.push(target.spec.name.as_str()),
                (Some(Err(error)), _) => problems.push(problem(&target.spec.name, &error)),
                (None, _) => {}
            }
        }
        let failure = if let Some(status) = session.interrupt.status() {
            Failure::new(status, "interrupted before anything was touched")
        } else if problems.is_empty() {
            if !open.is_empty() {
                let what = "Leases may not be written there, so another run could work on the same release";
                session.ui.warning(&format!("{}: {what}", open.join(", ")));
            }
            return Ok(locks);
        } else {
            held(&problems, targets.len())
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

fn problem(cluster: &str, error: &LeaseError) -> Problem {
    let why: Vec<String> = std::iter::once(error.to_string()).chain(causes(error)).collect();
    Problem::new(cluster, why.join(": "))
}

fn held(problems: &[Problem], clusters: usize) -> Failure {
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
        .hint("take away what a dead run left: helm fleet unlock")
}
