//! Keeping processes running: each has a log, is started again when it dies, and is given up when it keeps dying.
//! A tester may disturb one by its name ([`Supervisor::disturb`]).

mod leash;

pub use leash::Act;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::board::{Board, UnitState};
use crate::command;
use crate::state::StateDir;
use leash::Leash;

/// A process to be kept running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    name: String,
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(String, OsString)>,
    network: Option<String>,
}

impl Unit {
    /// A process named `name`, as in its log.
    pub fn new(name: impl Into<String>, program: &Path) -> Self {
        Self {
            name: name.into(),
            program: program.to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            network: None,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// One more argument.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// One more `--name=value`.
    #[must_use]
    pub fn flag(self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        let mut argument = OsString::from(format!("--{name}="));
        argument.push(value.as_ref());
        self.argument(argument)
    }

    /// One more environment variable.
    #[must_use]
    pub fn variable(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Runs it in the network namespace of a node.
    #[must_use]
    pub fn in_network(mut self, network: &str) -> Self {
        self.network = Some(network.to_owned());
        self
    }

    fn command(&self) -> Command {
        let mut command = if let Some(network) = &self.network {
            // Not `ip netns exec`: that remounts /sys, and the kubelet then finds no control groups.
            let mut command = command::plain("nsenter");
            command
                .arg(format!("--net=/run/netns/{network}"))
                .arg(&self.program);
            command
        } else {
            command::plain(&self.program)
        };
        command
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// How often a process may die in a row.
const ATTEMPTS: u32 = 5;
/// A process that lived this long has come up; its next death is the first again.
const SETTLED: Duration = Duration::from_mins(1);

/// Why a process cannot be disturbed.
#[derive(Debug, thiserror::Error)]
pub enum DisturbError {
    /// There is none of this name.
    #[error("there is no process {0} here")]
    Unknown(String),
    /// The system refused.
    #[error("cannot do that to {unit}")]
    Refused {
        /// Which.
        unit: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A process that is kept: what it is started as, and who holds it.
#[derive(Debug)]
struct Kept {
    unit: Mutex<Unit>,
    leash: Leash,
}

impl Kept {
    fn unit(&self) -> MutexGuard<'_, Unit> {
        self.unit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts processes and keeps the board up to date about them.
#[derive(Debug, Clone)]
pub struct Supervisor {
    state: StateDir,
    board: Arc<Board>,
    kept: Arc<Mutex<BTreeMap<String, Arc<Kept>>>>,
}

impl Supervisor {
    /// A supervisor that writes to this board.
    pub fn new(state: StateDir, board: Arc<Board>) -> Self {
        Self {
            state,
            board,
            kept: Arc::default(),
        }
    }

    /// Its board.
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// Keeps a process running from now on; returns its name.
    pub fn keep(&self, unit: Unit) -> String {
        let supervisor = self.clone();
        let name = unit.name.clone();
        let kept = Arc::new(Kept {
            unit: Mutex::new(unit),
            leash: Leash::default(),
        });
        self.all().insert(name.clone(), Arc::clone(&kept));
        thread::spawn(move || supervisor.attend(&kept));
        name
    }

    /// Makes the process of this name one with other arguments from its next start on; false where it is so already.
    pub fn redefine(&self, unit: Unit) -> Result<bool, DisturbError> {
        let kept = self.find(&unit.name)?;
        let mut known = kept.unit();
        let changes = *known != unit;
        *known = unit;
        Ok(changes)
    }

    /// Kills, stops, freezes or starts a process; false where it was so already.
    pub fn disturb(&self, unit: &str, act: Act) -> Result<bool, DisturbError> {
        let changed = self
            .find(unit)?
            .leash
            .pull(act)
            .map_err(|source| DisturbError::Refused {
                unit: unit.to_owned(),
                source,
            })?;
        self.board.redo(unit, |state| match (act, state) {
            (Act::Stop, _) => UnitState::Stopped,
            (Act::Pause, UnitState::Running { pid }) => UnitState::Frozen { pid: *pid },
            (Act::Start, UnitState::Frozen { pid }) => UnitState::Running { pid: *pid },
            (_, other) => other.clone(),
        });
        Ok(changed)
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Kept>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, unit: &str) -> Result<Arc<Kept>, DisturbError> {
        let kept = self.all().get(unit).cloned();
        kept.ok_or_else(|| DisturbError::Unknown(unit.to_owned()))
    }

    fn attend(&self, kept: &Kept) {
        let leash = &kept.leash;
        let name = kept.unit().name.clone();
        let mut restarts = 0;
        let mut deaths = 0;
        loop {
            if leash.is_halted() {
                self.board.unit(&name, UnitState::Stopped, restarts);
                leash.wait_for_start();
            }
            let started = Instant::now();
            let unit = kept.unit().clone();
            let end = self.run(&unit, leash, restarts);
            let ordered = leash.was_ordered();
            deaths = if ordered {
                0
            } else if started.elapsed() > SETTLED {
                1
            } else {
                deaths + 1
            };
            let exit = match end {
                Ok(status) => status.to_string(),
                Err(error) => format!("cannot be run: {error}"),
            };
            if deaths >= ATTEMPTS {
                self.board.unit(&name, UnitState::Dead { exit }, restarts);
                return;
            }
            restarts += 1;
            if leash.is_halted() {
                continue;
            }
            self.board
                .unit(&name, UnitState::Restarting { exit }, restarts - 1);
            thread::sleep(Duration::from_secs(1));
        }
    }

    fn run(&self, unit: &Unit, leash: &Leash, restarts: u32) -> io::Result<ExitStatus> {
        let mut log = File::options()
            .create(true)
            .append(true)
            .open(self.state.log(&unit.name))?;
        if restarts > 0 {
            writeln!(log, "--- start {} ---", restarts + 1)?;
        }
        let copy = log.try_clone()?;
        let child = unit
            .command()
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(copy)
            .spawn()?;
        self.board
            .unit(&unit.name, UnitState::Running { pid: child.id() }, restarts);
        leash.follow(child)
    }
}
