//! What a tester may do to a running process: kill it, keep it down, freeze it, let it run again.

use std::io;
use std::process::{Child, ExitStatus};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

/// What is done to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// End it by SIGKILL; it is started again
    Kill,
    /// End it by SIGKILL; it stays away
    Stop,
    /// Freeze it: connections are taken and never answered
    Pause,
    /// Let it run again
    Start,
}

/// How long a killed process may take to be gone.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, Default)]
struct Hold {
    /// The process, as long as its id is nobody else's.
    pid: Option<Pid>,
    /// It shall stay away.
    halted: bool,
    /// It is frozen.
    frozen: bool,
    /// Its next end was asked for, and says nothing about its health.
    ordered: bool,
}

/// One process, between the thread that keeps it and those who disturb it.
#[derive(Debug, Default)]
pub(super) struct Leash {
    hold: Mutex<Hold>,
    changed: Condvar,
}

impl Leash {
    fn lock(&self) -> MutexGuard<'_, Hold> {
        self.hold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it shall stay away just now.
    pub(super) fn is_halted(&self) -> bool {
        self.lock().halted
    }

    /// Returns when it may run.
    pub(super) fn wait_for_start(&self) {
        let hold = self.lock();
        drop(self.changed.wait_while(hold, |hold| hold.halted));
    }

    /// Whether the end that was just seen had been ordered; asking takes the order away.
    pub(super) fn was_ordered(&self) -> bool {
        std::mem::take(&mut self.lock().ordered)
    }

    /// Waits for the end of a process that was just started.
    pub(super) fn follow(&self, mut child: Child) -> io::Result<ExitStatus> {
        let pid = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
        {
            let mut hold = self.lock();
            hold.pid = Some(pid);
            // Told to stay away between the decision to start and the start.
            if hold.halted {
                kill(pid, Signal::SIGKILL)?;
            }
        }
        self.changed.notify_all();
        // The id stays the process's until it is reaped, which must not happen while somebody may signal it.
        while let Err(error) = waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
            if error != Errno::EINTR {
                return Err(error.into());
            }
        }
        {
            let mut hold = self.lock();
            hold.pid = None;
            hold.frozen = false;
        }
        self.changed.notify_all();
        child.wait()
    }

    /// Does it; false where nothing had to be done. A killed process has ended when this returns.
    pub(super) fn pull(&self, act: Act) -> io::Result<bool> {
        let mut hold = self.lock();
        let signal = |hold: &Hold, signal| hold.pid.map_or(Ok(()), |pid| kill(pid, signal));
        match act {
            Act::Kill | Act::Stop => {
                let before = hold.pid;
                let changes = before.is_some() || !hold.halted;
                hold.halted |= act == Act::Stop;
                hold.ordered |= before.is_some();
                signal(&hold, Signal::SIGKILL)?;
                let lives = |hold: &mut Hold| hold.pid.is_some() && hold.pid == before;
                let (hold, waited) = self
                    .changed
                    .wait_timeout_while(hold, PATIENCE, lives)
                    .unwrap_or_else(PoisonError::into_inner);
                drop(hold);
                if waited.timed_out() {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                Ok(changes)
            }
            Act::Pause => {
                let changes = !hold.frozen;
                hold.frozen = hold.pid.is_some();
                signal(&hold, Signal::SIGSTOP)?;
                Ok(changes)
            }
            Act::Start => {
                let changes = hold.halted || hold.frozen;
                hold.halted = false;
                hold.frozen = false;
                signal(&hold, Signal::SIGCONT)?;
                self.changed.notify_all();
                Ok(changes)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::sync::Arc;
    use std::thread;

    use super::*;

    fn wait_for(leash: &Leash, condition: impl Fn(&Hold) -> bool) {
        let hold = leash.lock();
        let (_hold, waited) = leash
            .changed
            .wait_timeout_while(hold, PATIENCE, |hold| !condition(hold))
            .unwrap();
        assert!(!waited.timed_out());
    }

    fn sleeper(leash: &Arc<Leash>) -> thread::JoinHandle<io::Result<ExitStatus>> {
        let child = Command::new("sleep").arg("600").spawn().unwrap();
        let follower = Arc::clone(leash);
        let thread = thread::spawn(move || follower.follow(child));
        wait_for(leash, |hold| hold.pid.is_some());
        thread
    }

    #[test]
    fn a_killed_process_has_ended_by_order_when_the_kill_returns() {
        let leash = Arc::new(Leash::default());
        let thread = sleeper(&leash);
        assert!(leash.pull(Act::Kill).unwrap());
        assert_eq!(leash.lock().pid, None);
        assert!(leash.was_ordered() && !leash.was_ordered());
        assert!(!thread.join().unwrap().unwrap().success());
        assert!(!leash.is_halted());
    }

    #[test]
    fn a_stopped_process_stays_away_until_it_is_started() {
        let leash = Arc::new(Leash::default());
        let thread = sleeper(&leash);
        assert!(leash.pull(Act::Stop).unwrap());
        assert!(!leash.pull(Act::Stop).unwrap(), "it is stopped already");
        thread.join().unwrap().unwrap();
        let waiter = Arc::clone(&leash);
        let waiting = thread::spawn(move || waiter.wait_for_start());
        assert!(leash.pull(Act::Start).unwrap());
        waiting.join().unwrap();
    }

    #[test]
    fn a_frozen_process_can_be_thawed_and_killed() {
        let leash = Arc::new(Leash::default());
        let thread = sleeper(&leash);
        let pid = leash.lock().pid.unwrap();
        let state = || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
            stat.rsplit_once(") ").unwrap().1.chars().next()
        };
        assert!(leash.pull(Act::Pause).unwrap());
        while state() != Some('T') {
            thread::yield_now();
        }
        assert!(leash.pull(Act::Start).unwrap());
        while state() == Some('T') {
            thread::yield_now();
        }
        leash.pull(Act::Pause).unwrap();
        leash.pull(Act::Kill).unwrap();
        thread.join().unwrap().unwrap();
    }
}
