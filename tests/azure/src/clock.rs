//! The simulator's time: the machine's clock plus an offset that tests move.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

/// Milliseconds since the Unix epoch on the simulator's clock.
pub(crate) type Millis = i64;

/// A clock that can be moved.
#[derive(Debug, Default)]
pub struct Clock {
    offset: AtomicI64,
}

impl Clock {
    /// Now, in milliseconds since the Unix epoch.
    pub(crate) fn now(&self) -> Millis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis())
            .unwrap_or(i64::MAX)
            .saturating_add(self.offset.load(Ordering::SeqCst))
    }

    /// Lets time pass: what is delayed becomes due, tokens expire.
    pub fn advance(&self, by: Duration) {
        self.offset.fetch_add(
            i64::try_from(by.as_millis()).unwrap_or(i64::MAX),
            Ordering::SeqCst,
        );
    }

    /// Puts the clock this far before (negative) or after the machine's, in milliseconds.
    pub fn set_offset(&self, milliseconds: i64) {
        self.offset.store(milliseconds, Ordering::SeqCst);
    }
}

/// `2026-11-21T12:00:00.123Z`.
pub(crate) fn rfc3339(at: Millis) -> String {
    Timestamp::from_millisecond(at).unwrap_or_default().to_string()
}

/// `2026-11-21 12:00:00Z`, as Entra writes it.
pub(crate) fn entra_time(at: Millis) -> String {
    Timestamp::from_millisecond(at)
        .unwrap_or_default()
        .strftime("%Y-%m-%d %H:%M:%SZ")
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_azure_writes_them() {
        assert_eq!(entra_time(1_760_645_276_123), "2025-10-16 20:07:56Z");
        assert_eq!(rfc3339(1_760_645_276_123), "2025-10-16T20:07:56.123Z");
    }

    #[test]
    fn time_passes_when_told() {
        let clock = Clock::default();
        let before = clock.now();
        clock.advance(Duration::from_hours(1));
        assert!(clock.now() >= before + 3_600_000);
    }
}
