//! What `-v` tells: how long each step took.

use aks_shared::Session;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Tells with `-v` how long each step of one cluster's verification took.
pub(super) struct Steps<'a> {
    session: &'a Session,
    context: &'a str,
    current: Mutex<Option<(String, Instant)>>,
    begun: Mutex<BTreeSet<String>>,
}

impl<'a> Steps<'a> {
    pub(super) const fn new(session: &'a Session, context: &'a str) -> Self {
        Self {
            session,
            context,
            current: Mutex::new(None),
            begun: Mutex::new(BTreeSet::new()),
        }
    }

    /// Begins a step, which ends the one before. Answers whether it is the first time: rounds that repeat each other
    /// are no news.
    pub(super) fn begin(&self, step: &str) -> bool {
        self.turn(Some((step.to_owned(), Instant::now())));
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.insert(step.to_owned())
    }

    /// Ends the last step.
    pub(super) fn end(&self) {
        self.turn(None);
    }

    fn turn(&self, next: Option<(String, Instant)>) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((step, since)) = std::mem::replace(&mut *current, next) {
            took(self.session, &format!("{}: {step}", self.context), since);
        }
    }
}

/// Tells with `-v` how long something took.
pub(super) fn took(session: &Session, what: &str, since: Instant) {
    let seconds = since.elapsed().as_secs_f64();
    session.ui.detail(&format!("{what} took {seconds:.2} s"));
}
