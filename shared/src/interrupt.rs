//! SIGINT and SIGTERM as one cancellation that remembers which signal came.

use crate::exit::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use tokio_util::sync::CancellationToken;

/// A wish to stop, told to all parts of a command.
#[derive(Debug, Clone, Default)]
pub struct Interrupt {
    token: CancellationToken,
    signal: Arc<AtomicU8>,
}

impl Interrupt {
    /// An interrupt that only [`Self::raise`] sets.
    pub fn new() -> Self {
        Self::default()
    }

    /// Listens for SIGINT and SIGTERM from now on; the first one cancels, later ones change nothing here.
    pub fn listen() -> std::io::Result<Self> {
        let interrupt = Self::new();
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let mut int = signal(SignalKind::interrupt())?;
            let mut term = signal(SignalKind::terminate())?;
            let raised = interrupt.clone();
            tokio::spawn(async move {
                loop {
                    let status = tokio::select! {
                        _ = int.recv() => ExitStatus::Interrupted,
                        _ = term.recv() => ExitStatus::Terminated,
                    };
                    raised.raise(status);
                }
            });
        }
        #[cfg(not(unix))]
        {
            let raised = interrupt.clone();
            tokio::spawn(async move {
                while tokio::signal::ctrl_c().await.is_ok() {
                    raised.raise(ExitStatus::Interrupted);
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

    /// Whether the command was asked to stop.
    pub fn is_raised(&self) -> bool {
        self.token.is_cancelled()
    }
}
