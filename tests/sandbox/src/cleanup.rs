//! Taking a sandbox away, whole or in pieces: running, half started, or killed at any point.

use std::fs::{self, File};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, umount2};

use crate::cgroup;
use crate::files::{self, FileError};
use crate::network::{self, NetworkError};
use crate::state::{StateDir, StateError};

/// Why something was left.
#[derive(Debug, thiserror::Error)]
pub enum CleanupError {
    /// A control group or file stayed.
    #[error(transparent)]
    File(#[from] FileError),
    /// A process stayed.
    #[error("what holds its lock has not ended within {0:?}")]
    Alive(Duration),
    /// The link stayed.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The sandbox cannot be had alone.
    #[error(transparent)]
    State(#[from] StateError),
}

/// How long a process may take to see that its sandbox has gone.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(20);

/// Removes the sandbox while nobody else works on it.
pub fn take_down(state: &StateDir) -> Result<(), CleanupError> {
    let _lock = state.lock()?;
    remove(state)
}

/// Ends every process of the sandbox and removes its groups, link, mounts and files. Doing it twice is fine.
pub fn remove(state: &StateDir) -> Result<(), CleanupError> {
    // One that serves without control groups ends because its folder goes.
    let server = File::open(state.alive_lock());
    cgroup::remove(state)?;
    network::unlink_host(state)?;
    unmount_below(state.path());
    files::remove_folder(state.path())?;
    if let Ok(server) = server {
        let deadline = Instant::now() + PATIENCE;
        while server.try_lock_shared().is_err() {
            if Instant::now() > deadline {
                return Err(CleanupError::Alive(PATIENCE));
            }
            thread::sleep(PAUSE);
        }
    }
    Ok(())
}

/// What a sandbox has on this machine right now, in words; empty when nothing.
pub fn traces(state: &StateDir) -> Vec<String> {
    let mut traces = Vec::new();
    if state.is_alive() {
        traces.push("processes".to_owned());
    }
    if cgroup::exists(state) {
        traces.push("control groups".to_owned());
    }
    if Path::new("/sys/class/net").join(state.link()).exists() {
        traces.push(format!("link {}", state.link()));
    }
    if state.path().exists() {
        traces.push(format!("folder {}", state.path().display()));
    }
    traces
}

/// Mounts of a sandbox are its own and go with it; this is for what a changed machine may have kept.
fn unmount_below(folder: &Path) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let below = mounts
        .lines()
        .filter_map(|line| line.split_whitespace().nth(4))
        .map(Path::new);
    for mount in below.filter(|mount| mount.starts_with(folder)) {
        // Removing the folder says so if it is still busy.
        let _ = umount2(mount, MntFlags::MNT_DETACH);
    }
}
