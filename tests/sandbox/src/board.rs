//! What everybody can see of a sandbox while it runs: the state of each process and cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::files;
use crate::state::StateDir;

/// How far a part is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "phase")]
pub enum Phase {
    /// On its way.
    Starting {
        /// What is awaited.
        step: String,
    },
    /// Answers.
    Ready,
    /// Will not come up.
    Failed {
        /// Why.
        reason: String,
        /// The processes to blame.
        units: Vec<String>,
    },
}

/// How a process does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum UnitState {
    /// It runs.
    Running {
        /// Its id inside the sandbox.
        pid: u32,
    },
    /// A tester froze it.
    Frozen {
        /// Its id inside the sandbox.
        pid: u32,
    },
    /// A tester keeps it away.
    Stopped,
    /// It died and is started again.
    Restarting {
        /// How it ended.
        exit: String,
    },
    /// It died too often.
    Dead {
        /// How it ended.
        exit: String,
    },
}

/// One process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UnitStatus {
    /// How it does.
    #[serde(flatten)]
    pub state: UnitState,
    /// How often it was started again.
    pub restarts: u32,
}

/// Everything.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Status {
    /// The sandbox's network and other common ground, the simulated Azure and each cluster.
    pub parts: BTreeMap<String, Phase>,
    /// Each process.
    pub units: BTreeMap<String, UnitStatus>,
    /// What a tester has changed besides processes, in the words of `cargo sandbox fault`.
    #[serde(default)]
    pub faults: BTreeSet<String>,
}

impl Status {
    /// True when every part answers.
    pub fn is_ready(&self) -> bool {
        !self.parts.is_empty() && self.parts.values().all(|phase| *phase == Phase::Ready)
    }

    /// The parts that will not come up.
    pub fn failures(&self) -> impl Iterator<Item = (&str, &str, &[String])> {
        self.parts.iter().filter_map(|(part, phase)| match phase {
            Phase::Failed { reason, units } => Some((part.as_str(), reason.as_str(), units.as_slice())),
            _ => None,
        })
    }
}

/// The status as the supervisor keeps it, written to the state folder on each change.
#[derive(Debug)]
pub struct Board {
    file: PathBuf,
    status: Mutex<Status>,
}

impl Board {
    /// A board with all parts starting.
    pub fn new(state: &StateDir, parts: impl IntoIterator<Item = String>) -> Self {
        let starting = |part| {
            (
                part,
                Phase::Starting {
                    step: "waiting".to_owned(),
                },
            )
        };
        let status = Status {
            parts: parts.into_iter().map(starting).collect(),
            ..Status::default()
        };
        let board = Self {
            file: state.status(),
            status: Mutex::new(status),
        };
        board.change(|_| ());
        board
    }

    /// Sets how far a part is.
    pub fn part(&self, part: &str, phase: Phase) {
        self.change(|status| {
            status.parts.insert(part.to_owned(), phase);
        });
    }

    /// Sets what a part waits for.
    pub fn step(&self, part: &str, step: impl Into<String>) {
        self.part(part, Phase::Starting { step: step.into() });
    }

    /// Sets how a process does.
    pub fn unit(&self, unit: &str, state: UnitState, restarts: u32) {
        self.change(|status| {
            status
                .units
                .insert(unit.to_owned(), UnitStatus { state, restarts });
        });
    }

    /// Changes how a known process does.
    pub fn redo(&self, unit: &str, change: impl FnOnce(&UnitState) -> UnitState) {
        self.change(|status| {
            if let Some(unit) = status.units.get_mut(unit) {
                unit.state = change(&unit.state);
            }
        });
    }

    /// Changes the tester's faults.
    pub fn faults(&self, change: impl FnOnce(&mut BTreeSet<String>)) {
        self.change(|status| change(&mut status.faults));
    }

    /// Everything as of now.
    pub fn status(&self) -> Status {
        self.lock().clone()
    }

    /// The processes among `units` that died for good.
    pub fn dead(&self, units: &[String]) -> Vec<String> {
        let status = self.lock();
        let is_dead = |unit: &&String| {
            status
                .units
                .get(*unit)
                .is_some_and(|unit| matches!(unit.state, UnitState::Dead { .. }))
        };
        units.iter().filter(is_dead).cloned().collect()
    }

    fn change(&self, change: impl FnOnce(&mut Status)) {
        let mut status = self.lock();
        change(&mut status);
        // A reader who misses this change sees it with the next one; the disk being full is seen elsewhere.
        let _ = files::write_json(&self.file, &*status);
    }

    fn lock(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
