//! The terminal under `helm fleet`: Ctrl-C must reach us, and not kill the helm that waits for us.
//!
//! The terminal sends Ctrl-C to its foreground group. Helm dies of it, the plugin lives on as an orphan, its exit
//! code is lost and a second Ctrl-C never arrives. So the plugin makes itself the foreground group for as long as
//! it runs, and helm, in the background, waits for its exit code. What helm is told directly (`kill`) never
//! reaches the plugin either: there its death is what is noticed.

use aks_shared::interrupt::Interrupt;

/// Set by helm for its plugins.
#[cfg(unix)]
const PLUGIN: &str = "HELM_PLUGIN_NAME";

/// The terminal, taken from the calling helm; given back when this is dropped.
#[derive(Debug)]
pub struct Foreground {
    #[cfg(unix)]
    before: rustix::process::Pid,
}

#[cfg(unix)]
impl Foreground {
    /// Takes the terminal, if a helm in the foreground has started us. Must come before any thread is started,
    /// because blocked signals are a matter of threads.
    pub fn take() -> Option<Self> {
        use nix::sys::signal::{SigSet, Signal};
        use rustix::process::{getpgrp, setpgid};
        use rustix::termios::{tcgetpgrp, tcsetpgrp};
        use std::io::{IsTerminal, stderr};

        std::env::var_os(PLUGIN)?;
        let terminal = stderr();
        let before = getpgrp();
        if !terminal.is_terminal() || tcgetpgrp(&terminal).ok()? != before {
            return None;
        }
        // Who is in the background is stopped by SIGTTOU when it claims the terminal, and here both happens: on
        // taking and on giving back. Ctrl-Z would stop us and leave helm waiting with nobody to continue us.
        let mut blocked = SigSet::empty();
        blocked.add(Signal::SIGTTOU);
        blocked.add(Signal::SIGTSTP);
        blocked.thread_block().ok()?;
        setpgid(None, None).ok()?;
        if tcsetpgrp(&terminal, getpgrp()).is_ok() {
            return Some(Self { before });
        }
        // Back where we were: a Ctrl-C that reaches helm and us is better than none.
        let _ = setpgid(None, Some(before));
        None
    }
}

#[cfg(unix)]
impl Drop for Foreground {
    fn drop(&mut self) {
        // The terminal may have gone; then nobody needs it back.
        let _ = rustix::termios::tcsetpgrp(std::io::stderr(), self.before);
    }
}

#[cfg(not(unix))]
impl Foreground {
    /// There are no process groups here.
    pub const fn take() -> Option<Self> {
        None
    }
}

/// Takes the death of the helm that started us as the wish to stop.
pub(crate) fn watch_parent(interrupt: &Interrupt) {
    #[cfg(unix)]
    if std::env::var_os(PLUGIN).is_some() {
        let interrupt = interrupt.clone();
        let parent = rustix::process::getppid();
        tokio::spawn(async move {
            while rustix::process::getppid() == parent {
                tokio::time::sleep(std::time::Duration::from_millis(500)).await;
            }
            interrupt.raise(aks_shared::ExitStatus::Terminated);
        });
    }
    #[cfg(not(unix))]
    let _ = interrupt;
}
