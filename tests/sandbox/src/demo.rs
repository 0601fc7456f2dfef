//! `cargo sandbox demo`: the main job on three real clusters, step by step, each step checked.
//!
//! Every step is a command that a user could type after `eval "$(cargo sandbox env)"`; it is shown before it runs.

mod job;
mod shell;

use std::path::PathBuf;
use std::process::ExitCode;

use crate::cleanup::{self, CleanupError};
use crate::files;
use crate::interrupt::Interrupt;
use crate::output::{self, talk};
use crate::programs::{self, Profile, ProgramsError};
use crate::spec::{Kind, Spec};
use crate::state::{self, StateDir, StateError};
use crate::up::{self, UpError, Wanted};

/// The demo's folder: `work` is what a user would have in git, the reports lie beside it.
pub fn folder() -> PathBuf {
    programs::workspace().join("target/demo")
}

/// Why there is no demo to see.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    /// The signals cannot be caught.
    #[error("cannot watch for Ctrl-C")]
    Signals(#[from] std::io::Error),
    /// The plugins.
    #[error(transparent)]
    Programs(#[from] ProgramsError),
    /// The sandbox.
    #[error(transparent)]
    Up(#[from] UpError),
    /// Its state folder.
    #[error(transparent)]
    State(#[from] StateError),
    /// Its removal.
    #[error(transparent)]
    Cleanup(#[from] CleanupError),
    /// A step.
    #[error(transparent)]
    Job(#[from] job::JobError),
}

impl DemoError {
    fn hint(&self, spec: Option<&Spec>) -> Option<String> {
        match self {
            Self::Programs(error) => error.hint(),
            Self::Up(error) => error.hint(),
            Self::Job(_) => spec.map(|spec| format!("the sandbox is still up; {}", farewell(spec))),
            _ => None,
        }
    }
}

/// Runs the demo from nothing; `keep` leaves the sandbox up. One that failed is left up too, to be looked at.
pub fn run(state: &StateDir, keep: bool) -> ExitCode {
    let mut spec = None;
    let interrupt = match Interrupt::watch() {
        Ok(interrupt) => interrupt,
        Err(error) => return failed(&error.into(), None),
    };
    let result = steps(state, &mut spec);
    if interrupt.is_raised() {
        talk("interrupted; taking the sandbox away");
        return cleanup::take_down(state)
            .map_or_else(|error| failed(&error.into(), None), |()| Interrupt::exit_code());
    }
    match (result, spec) {
        (Err(error), spec) => failed(&error, spec.as_ref()),
        (Ok(()), Some(spec)) if keep => {
            talk(&format!("\nEverything stays up; {}", farewell(&spec)));
            ExitCode::SUCCESS
        }
        (Ok(()), _) => match cleanup::take_down(state) {
            Ok(()) => {
                talk(&format!("sandbox `{}` is gone", state.name()));
                ExitCode::SUCCESS
            }
            Err(error) => failed(&error.into(), None),
        },
    }
}

fn steps(state: &StateDir, spec: &mut Option<Spec>) -> Result<(), DemoError> {
    up::require_root()?;
    programs::plugins(Profile::Dev, &mut output::talk)?;
    if !cleanup::traces(state).is_empty() {
        talk(&format!(
            "taking the earlier sandbox `{}` away: the demo starts from nothing",
            state.name()
        ));
        cleanup::take_down(state)?;
    }
    let up = up::up(
        state,
        Wanted {
            kind: Kind::Nodes,
            clusters: 3,
        },
        &mut output::talk,
    )?;
    Ok(job::run(state, spec.insert(up))?)
}

fn failed(error: &DemoError, spec: Option<&Spec>) -> ExitCode {
    output::failure(error, error.hint(spec).as_deref());
    ExitCode::FAILURE
}

/// How to look around in a sandbox that is up.
fn farewell(spec: &Spec) -> String {
    let context = &spec.clusters[0].name;
    let name = if spec.name == state::DEFAULT {
        String::new()
    } else {
        format!(" --name {}", spec.name)
    };
    format!(
        "look around:\n  \
         eval \"$(cargo sandbox env{name})\"\n  \
         helm --kube-context {context} list -A\n  \
         kubectl --context {context} get sa,pods -A\n  \
         cargo sandbox azure{name} show\n  \
         cargo sandbox azure{name} log\n  \
         cargo sandbox down{name}\n\
         The fleet file, the chart and the reports are in {}.",
        files::shown(&folder())
    )
}
