//! The set of namespaces that is a sandbox, and the three processes that make it up.
//!
//! [`start`] runs `sandbox internal enter` and puts it into the sandbox's control groups before it lets it go on: at no
//! moment is there a process that [`crate::cleanup`] would not find. It becomes `unshare`, which makes the namespaces
//! and runs `sandbox internal init` as their first process; that prepares the mounts, starts
//! `sandbox internal supervise` and buries orphans. When any of the three dies, the kernel ends all the rest.

use std::env;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sys::wait::{WaitStatus, wait};
use nix::unistd::{Pid, sethostname, setsid};

use crate::cgroup;
use crate::command::{self, CommandError};
use crate::files::{self, FileError};
use crate::state::StateDir;

/// Why the namespaces could not be made.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// A process could not be started.
    #[error("cannot start {program}")]
    Start {
        /// Which.
        program: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Whoever started this went away.
    #[error("the command that starts the sandbox has ended")]
    Abandoned,
    /// Something could not be mounted.
    #[error("cannot mount {path}")]
    Mount {
        /// Where.
        path: &'static str,
        /// Why.
        #[source]
        source: nix::Error,
    },
    /// A command failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A file failed.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Starts a sandbox whose folder is complete; the returned process is the one whose end ends it.
pub fn start(state: &StateDir) -> Result<Child, NamespaceError> {
    files::create_folder(&state.logs())?;
    let log = state.log("supervisor");
    let file = File::create(&log).map_err(|source| FileError::new("create", &log, source))?;
    let copy = file
        .try_clone()
        .map_err(|source| FileError::new("open", &log, source))?;
    let failed = |source| NamespaceError::Start {
        program: "the sandbox",
        source,
    };
    let mut sandbox = internal(state, "enter")?
        .stdin(Stdio::piped())
        .stdout(file)
        .stderr(copy)
        .spawn()
        .map_err(failed)?;
    cgroup::place(state, sandbox.id())?;
    if let Some(mut door) = sandbox.stdin.take() {
        door.write_all(GO).map_err(failed)?;
    }
    Ok(sandbox)
}

/// What `enter` waits for; when its parent dies before, there is nothing to clean.
const GO: &[u8] = b"go";

/// `sandbox internal enter`: returns only if it fails.
pub fn enter(state: &StateDir) -> Result<(), NamespaceError> {
    let mut word = Vec::new();
    let heard = io::stdin().read_to_end(&mut word);
    if heard.is_err() || word != GO {
        return Err(NamespaceError::Abandoned);
    }
    // Already a leader where a shell made it one: then the terminal's signals pass it by anyway.
    let _ = setsid();
    let init = internal(state, "init")?;
    let source = command::plain("unshare")
        .args([
            "--pid",
            "--mount",
            "--net",
            "--uts",
            "--ipc",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ])
        .arg(init.get_program())
        .args(init.get_args())
        .envs(init.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .exec();
    Err(NamespaceError::Start {
        program: "unshare",
        source,
    })
}

/// `sandbox internal init`: the first process of the namespaces; returns when the supervisor has ended.
pub fn init(state: &StateDir) -> Result<(), NamespaceError> {
    // A name is for people who look around inside; nothing depends on it.
    let _ = sethostname(format!("sandbox-{}", state.name()));
    for path in ["/run", "/var/log", "/var/lib/cni"] {
        files::create_folder(Path::new(path))?;
        mount(
            Some("tmpfs"),
            path,
            Some("tmpfs"),
            MsFlags::empty(),
            Some("mode=0755"),
        )
        .map_err(|source| NamespaceError::Mount { path, source })?;
    }
    shield_kernel_settings()?;
    cgroup::become_root(state)?;
    command::ip("link set lo up")?;
    let supervisor = internal(state, "supervise")?
        .stdin(Stdio::null())
        .spawn()
        .map_err(|source| NamespaceError::Start {
            program: "the supervisor",
            source,
        })?;
    let supervisor = i32::try_from(supervisor.id()).unwrap_or_default();
    loop {
        match wait() {
            Ok(WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..))
                if pid == Pid::from_raw(supervisor) =>
            {
                return Ok(());
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return Ok(()),
        }
    }
}

/// A kubelet sets these for the whole machine, and the kernel has them once for all: it gets its own files, with the
/// values that it wants to see, and the machine keeps what it had.
fn shield_kernel_settings() -> Result<(), NamespaceError> {
    let wanted = [
        ("/proc/sys/vm/overcommit_memory", "1"),
        ("/proc/sys/vm/panic_on_oom", "0"),
        ("/proc/sys/kernel/panic", "10"),
        ("/proc/sys/kernel/panic_on_oops", "1"),
        ("/proc/sys/kernel/keys/root_maxkeys", "1000000"),
        ("/proc/sys/kernel/keys/root_maxbytes", "25000000"),
    ];
    let folder = Path::new("/run/kernel-settings");
    files::create_folder(folder)?;
    for (path, value) in wanted {
        if !Path::new(path).exists() {
            continue;
        }
        let file = folder.join(path.trim_start_matches("/proc/sys/").replace('/', "."));
        fs::write(&file, format!("{value}\n")).map_err(|source| FileError::new("write", &file, source))?;
        mount(Some(&file), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .map_err(|source| NamespaceError::Mount { path, source })?;
    }
    Ok(())
}

/// This program again, in another part.
fn internal(state: &StateDir, part: &str) -> Result<Command, NamespaceError> {
    let program = env::current_exe().map_err(|source| NamespaceError::Start {
        program: "this program",
        source,
    })?;
    let mut command = command::plain(program);
    command.args(["internal", part, state.name()]);
    if let Some(home) = state.path().ancestors().nth(2) {
        command.env("XDG_STATE_HOME", home);
    }
    Ok(command)
}
