//! Keeping processes running: each has a log, is started again when it dies, and is given up when it keeps dying.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::board::{Board, UnitState};
use crate::command;
use crate::state::StateDir;

/// A process to be kept running.
#[derive(Debug, Clone)]
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

/// Starts processes and keeps the board up to date about them.
#[derive(Debug, Clone)]
pub struct Supervisor {
    state: StateDir,
    board: Arc<Board>,
}

impl Supervisor {
    /// A supervisor that writes to this board.
    pub fn new(state: StateDir, board: Arc<Board>) -> Self {
        Self { state, board }
    }

    /// Its board.
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// Keeps a process running from now on; returns its name.
    pub fn keep(&self, unit: Unit) -> String {
        let supervisor = self.clone();
        let name = unit.name.clone();
        thread::spawn(move || supervisor.attend(&unit));
        name
    }

    fn attend(&self, unit: &Unit) {
        let mut restarts = 0;
        let mut deaths = 0;
        loop {
            let started = Instant::now();
            let end = self.run(unit, restarts);
            deaths = if started.elapsed() > SETTLED {
                1
            } else {
                deaths + 1
            };
            let exit = match end {
                Ok(status) => status.to_string(),
                Err(error) => format!("cannot be run: {error}"),
            };
            if deaths >= ATTEMPTS {
                self.board.unit(&unit.name, UnitState::Dead { exit }, restarts);
                return;
            }
            self.board
                .unit(&unit.name, UnitState::Restarting { exit }, restarts);
            thread::sleep(Duration::from_secs(1));
            restarts += 1;
        }
    }

    fn run(&self, unit: &Unit, restarts: u32) -> io::Result<ExitStatus> {
        let mut log = File::options()
            .create(true)
            .append(true)
            .open(self.state.log(&unit.name))?;
        if restarts > 0 {
            writeln!(log, "--- start {} ---", restarts + 1)?;
        }
        let copy = log.try_clone()?;
        let mut child = unit
            .command()
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(copy)
            .spawn()?;
        self.board
            .unit(&unit.name, UnitState::Running { pid: child.id() }, restarts);
        child.wait()
    }
}
