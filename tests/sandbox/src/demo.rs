//! `cargo sandbox demo`: the main job on three real clusters, step by step, each step checked.
//!
//! Every step is a command that a user could type after `eval "$(cargo sandbox env)"`; it is shown before it runs.

mod job;
mod shell;

use std::path::PathBuf;
use std::process::ExitCode;

use crate::cleanup;
use crate::files;
use crate::output::{self, talk};
use crate::programs;
use crate::spec::{Kind, Spec};
use crate::state::{self, StateDir};
use crate::up::{self, Wanted};

/// The demo's folder: `work` is what a user would have in git, the reports lie beside it.
pub fn folder() -> PathBuf {
    programs::workspace().join("target/demo")
}

/// Runs the demo; `keep` leaves the sandbox up. A failed demo leaves it up too, to be looked at.
pub fn run(state: &StateDir, keep: bool) -> ExitCode {
    let wanted = Wanted {
        kind: Kind::Nodes,
        clusters: 3,
    };
    if let Err(error) = programs::plugins(&mut output::talk) {
        output::failure(&error, error.hint().as_deref());
        return ExitCode::FAILURE;
    }
    let spec = match up::up(state, wanted, &mut output::talk) {
        Ok(spec) => spec,
        Err(error) => {
            output::failure(&error, error.hint().as_deref());
            return ExitCode::FAILURE;
        }
    };
    if let Err(error) = job::run(state, &spec) {
        let hint = format!("the sandbox is still up; {}", farewell(&spec));
        output::failure(&error, Some(&hint));
        return ExitCode::FAILURE;
    }
    if keep {
        talk(&format!("\nEverything stays up. {}", farewell(&spec)));
        return ExitCode::SUCCESS;
    }
    let removed = state.lock().map_err(|error| error.to_string());
    match removed.and_then(|_lock| cleanup::remove(state).map_err(|error| error.to_string())) {
        Ok(()) => {
            talk(&format!("sandbox `{}` is gone", spec.name));
            ExitCode::SUCCESS
        }
        Err(error) => {
            talk(&format!("error: the sandbox could not be removed: {error}"));
            ExitCode::FAILURE
        }
    }
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
