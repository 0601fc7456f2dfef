//! A value that others see a while after it was written.

use crate::clock::Millis;

/// A value with the states that still matter to somebody.
#[derive(Debug, Clone)]
pub(crate) struct Replicated<T> {
    /// What was written, and from when on it is seen, oldest first. Never empty.
    history: Vec<(Millis, T)>,
}

impl<T: Clone> Replicated<T> {
    /// Seen by everybody from the start.
    pub(crate) fn new(value: T) -> Self {
        Self {
            history: vec![(Millis::MIN, value)],
        }
    }

    /// What was written last.
    pub(crate) fn current(&self) -> &T {
        &self.history[self.history.len() - 1].1
    }

    /// What is seen now.
    pub(crate) fn seen(&self, now: Millis) -> &T {
        let seen = self.history.iter().rev().find(|(from, _)| *from <= now);
        &seen.unwrap_or(&self.history[0]).1
    }

    /// Whether something was written that is not seen yet.
    pub(crate) fn lags(&self, now: Millis) -> bool {
        self.history[self.history.len() - 1].0 > now
    }

    /// Writes; seen after `delay`.
    pub(crate) fn write(&mut self, now: Millis, delay: u64, change: impl FnOnce(&mut T)) {
        let mut value = self.current().clone();
        change(&mut value);
        let old = self
            .history
            .iter()
            .rposition(|(from, _)| *from <= now)
            .unwrap_or(0);
        self.history.drain(..old);
        self.history.push((now.saturating_add_unsigned(delay), value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_are_seen_in_their_order_after_the_delay() {
        let mut value = Replicated::new(0);
        value.write(1000, 500, |value| *value = 1);
        value.write(1200, 500, |value| *value = 2);
        assert_eq!(
            (*value.current(), *value.seen(1499), *value.seen(1500)),
            (2, 0, 1)
        );
        assert!(value.lags(1500));
        assert_eq!(*value.seen(1700), 2);
        value.write(2000, 0, |value| *value = 3);
        assert_eq!(
            (*value.seen(2000), value.lags(2000), value.history.len()),
            (3, false, 2)
        );
    }
}
