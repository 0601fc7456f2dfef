//! SIGINT and SIGTERM as one cancellation that remembers which signal came and how often.
//!
//! The first signal asks a command to stop, the second one no longer waits for what it has started, the third one
//! leaves everything where it is.

use crate::exit::ExitStatus;
use crate::failure::Failure;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
#[cfg(unix)]
use std::time::Instant;
use tokio_util::sync::CancellationToken;

/// What follows this fast is the same wish: `timeout` signals a process and its group, Ctrl-C all of a group.
const SAME_WISH: Duration = Duration::from_millis(300);

/// A wish to stop, told to all parts of a command.
#[derive(Debug, Clone, Default)]
pub struct Interrupt {
    token: CancellationToken,
    forced: CancellationToken,
    abandoned: CancellationToken,
    signal: Arc<AtomicU8>,
}

impl Interrupt {
    /// An interrupt that only [`Self::raise`] sets.
    pub fn new() -> Self {
        Self::default()
    }

    /// Listens for SIGINT and SIGTERM from now on.
    pub fn listen() -> std::io::Result<Self> {
        let interrupt = Self::new();
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let mut int = signal(SignalKind::interrupt())?;
            let mut term = signal(SignalKind::terminate())?;
            let raised = interrupt.clone();
            tokio::spawn(async move {
                let mut last: Option<Instant> = None;
                loop {
                    let status = tokio::select! {
                        _ = int.recv() => ExitStatus::Interrupted,
                        _ = term.recv() => ExitStatus::Terminated,
                    };
                    if last.is_none_or(|last| last.elapsed() > SAME_WISH) {
                        raised.insist(status);
                    }
                    last = Some(Instant::now());
                }
            });
        }
        #[cfg(not(unix))]
        {
            let raised = interrupt.clone();
            tokio::spawn(async move {
                while tokio::signal::ctrl_c().await.is_ok() {
                    raised.insist(ExitStatus::Interrupted);
                }
            });
        }
        Ok(interrupt)
    }

    /// Cancels with the given status; the first status stays.
    pub fn raise(&self, status: ExitStatus) {
        let _ = self
            .signal
            .compare_exchange(0, status.code(), Ordering::SeqCst, Ordering::SeqCst);
        self.token.cancel();
    }

    /// One more signal: the first cancels, the second forces, the third abandons.
    pub fn insist(&self, status: ExitStatus) {
        if self.forced.is_cancelled() {
            self.abandoned.cancel();
        } else if self.token.is_cancelled() {
            self.forced.cancel();
        }
        self.raise(status);
    }

    /// Waits until the user does not want to wait for what was started.
    pub async fn forced(&self) {
        self.forced.cancelled().await;
    }

    /// Waits until the user wants the command to leave everything where it is.
    pub async fn abandoned(&self) {
        self.abandoned.cancelled().await;
    }

    /// Waits until the command is asked to stop.
    pub async fn cancelled(&self) {
        self.token.cancelled().await;
    }

    /// The status to exit with when the command was asked to stop.
    pub fn status(&self) -> Option<ExitStatus> {
        let code = self.signal.load(Ordering::SeqCst);
        ExitStatus::ALL
            .into_iter()
            .find(|status| code != 0 && status.code() == code)
    }

    /// The failure of a command that was asked to stop.
    pub fn failure(&self, message: &str) -> Failure {
        Failure::new(self.status().unwrap_or(ExitStatus::Interrupted), message)
    }

    /// Whether the command was asked to stop.
    pub fn is_raised(&self) -> bool {
        self.token.is_cancelled()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_further_signal_asks_for_more() {
        let interrupt = Interrupt::new();
        interrupt.raise(ExitStatus::Terminated);
        interrupt.raise(ExitStatus::Interrupted);
        interrupt.cancelled().await;
        assert!(!interrupt.forced.is_cancelled());
        interrupt.insist(ExitStatus::Interrupted);
        interrupt.forced().await;
        assert!(!interrupt.abandoned.is_cancelled());
        interrupt.insist(ExitStatus::Interrupted);
        interrupt.abandoned().await;
        assert_eq!(interrupt.status(), Some(ExitStatus::Terminated));
    }
}
