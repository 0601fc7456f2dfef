//! Letting only so many through at once: API servers that all start together on few cores starve one another.

use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

/// How many may start at once on each core.
const PER_CORE: usize = 3;

/// Counts those who are inside.
#[derive(Debug)]
pub struct Turnstile {
    free: Mutex<usize>,
    left: Condvar,
}

/// Being inside, until it is dropped.
#[derive(Debug)]
pub struct Turn<'a>(&'a Turnstile);

impl Turnstile {
    /// One that fits this machine.
    pub fn new() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self::with(cores * PER_CORE)
    }

    fn with(free: usize) -> Self {
        Self {
            free: Mutex::new(free),
            left: Condvar::new(),
        }
    }

    /// Waits for a turn.
    pub fn enter(&self) -> Turn<'_> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = self
            .left
            .wait_while(free, |free| *free == 0)
            .unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        Turn(self)
    }
}

impl Default for Turnstile {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn never_more_than_allowed_are_inside_and_all_get_their_turn() {
        let turnstile = Turnstile::with(2);
        let (inside, most, done) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    let _turn = turnstile.enter();
                    most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    thread::yield_now();
                    inside.fetch_sub(1, Ordering::SeqCst);
                    done.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        assert!(most.into_inner() <= 2);
        assert_eq!(done.into_inner(), 16);
    }
}
