//! Values by key that others see a while after they were written.

use std::collections::BTreeMap;

use crate::clock::Millis;

/// What was written under one key, and from when on it is seen, oldest first; none where it was removed. Never empty.
type History<T> = Vec<(Millis, Option<T>)>;

/// A map whose entries are seen late, each by itself: a slow write does not wait for a quick one, nor the other way
/// round.
#[derive(Debug, Clone)]
pub(crate) struct Replicated<T> {
    entries: BTreeMap<String, History<T>>,
}

impl<T> Default for Replicated<T> {
    fn default() -> Self {
        Self::new([])
    }
}

impl<T> Replicated<T> {
    /// Seen by everybody from the start.
    pub(crate) fn new(values: impl IntoIterator<Item = (String, T)>) -> Self {
        let seen = |(key, value)| (key, vec![(Millis::MIN, Some(value))]);
        Self {
            entries: values.into_iter().map(seen).collect(),
        }
    }

    /// What was written last under this key.
    pub(crate) fn get(&self, key: &str) -> Option<&T> {
        self.entries.get(key)?.last()?.1.as_ref()
    }

    /// Everything as it was written last, by key.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.entries
            .iter()
            .filter_map(|(key, history)| Some((key.as_str(), history.last()?.1.as_ref()?)))
    }

    /// Everything as it was written last.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.iter().map(|(_, value)| value)
    }

    /// How much there is.
    pub(crate) fn len(&self) -> usize {
        self.values().count()
    }

    /// What is seen now.
    pub(crate) fn seen(&self, now: Millis) -> impl Iterator<Item = &T> {
        self.entries.values().filter_map(move |history| {
            let (_, value) = history.iter().rev().find(|(from, _)| *from <= now)?;
            value.as_ref()
        })
    }

    /// Whether something was written that is not seen yet.
    pub(crate) fn lags(&self, now: Millis) -> bool {
        self.entries
            .values()
            .any(|history| history.last().is_some_and(|(from, _)| *from > now))
    }

    /// Writes one entry; seen after `delay` milliseconds.
    pub(crate) fn insert(&mut self, now: Millis, delay: u64, key: String, value: T) {
        write(self.entries.entry(key).or_default(), now, delay, Some(value));
    }

    /// Removes one entry, if it is there; seen after `delay` milliseconds.
    pub(crate) fn remove(&mut self, now: Millis, delay: u64, key: &str) -> bool {
        let known = self.get(key).is_some();
        if known && let Some(history) = self.entries.get_mut(key) {
            write(history, now, delay, None);
        }
        known
    }

    /// Removes at once what is not to stay.
    pub(crate) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.entries.retain(|key, _| keep(key));
    }
}

fn write<T>(history: &mut History<T>, now: Millis, delay: u64, value: Option<T>) {
    // What was seen before the value of now matters to nobody any more.
    let old = history.iter().rposition(|(from, _)| *from <= now).unwrap_or(0);
    history.drain(..old);
    history.push((now.saturating_add_unsigned(delay), value));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(values: &Replicated<i32>, now: Millis) -> Vec<i32> {
        values.seen(now).copied().collect()
    }

    #[test]
    fn writes_are_seen_in_their_order_after_the_delay() {
        let mut values = Replicated::new([("a".to_owned(), 0)]);
        values.insert(1000, 500, "a".to_owned(), 1);
        values.insert(1200, 500, "a".to_owned(), 2);
        assert_eq!(values.get("a"), Some(&2));
        assert_eq!((seen(&values, 1499), seen(&values, 1500)), (vec![0], vec![1]));
        assert!(values.lags(1500));
        assert_eq!(seen(&values, 1700), [2]);
        assert!(values.remove(2000, 100, "a") && !values.remove(2000, 0, "b"));
        assert_eq!(
            (values.len(), seen(&values, 2099), seen(&values, 2100)),
            (0, vec![2], vec![])
        );
    }

    #[test]
    fn a_quick_write_beside_a_slow_one_does_not_carry_it_along() {
        let mut values = Replicated::default();
        values.insert(0, 1000, "slow".to_owned(), 1);
        values.insert(10, 0, "quick".to_owned(), 2);
        assert_eq!((seen(&values, 10), seen(&values, 1000)), (vec![2], vec![2, 1]));
    }

    #[test]
    fn what_was_removed_before_it_was_seen_is_never_seen() {
        let mut values = Replicated::default();
        values.insert(0, 1000, "a".to_owned(), 1);
        values.remove(10, 0, "a");
        assert!(seen(&values, 2000).is_empty());
    }
}
