//! Ctrl-C during a command that brings a sandbox up for itself: what is up is taken away first.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// The exit code of what was interrupted.
const INTERRUPTED: u8 = 130;

/// Whether there was a signal.
#[derive(Debug)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From now on the first signal only raises the flag: the running command gets it too and ends in its own way. The
    /// second one ends this program at once.
    pub(crate) fn watch() -> io::Result<Self> {
        let raised = Arc::default();
        for signal in [SIGINT, SIGTERM] {
            flag::register_conditional_shutdown(signal, INTERRUPTED.into(), Arc::clone(&raised))?;
            flag::register(signal, Arc::clone(&raised))?;
        }
        Ok(Self(raised))
    }

    /// Whether there was one.
    pub(crate) fn is_raised(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// How a command ends that was interrupted.
    pub(crate) fn exit_code() -> ExitCode {
        ExitCode::from(INTERRUPTED)
    }
}
