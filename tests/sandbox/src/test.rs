//! `cargo sandbox test`: every test of the workspace, from formatting to the end-to-end tests on a fleet of its own.
//!
//! What a step needs is installed or built by it. The run ends with the summary of the test runner.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::cleanup::{self, CleanupError};
use crate::environment::{self, Helm};
use crate::inventory;
use crate::output::{self, talk};
use crate::packages::{self, PackagesError};
use crate::programs::{self, Profile, ProgramsError};
use crate::spec::{Kind, Spec};
use crate::state::{self, StateDir, StateError};
use crate::tools::{self, Tool, Toolbox, ToolsError};
use crate::up::{self, UpError, Wanted};

/// The sandbox of the tests, beside the user's own.
const SANDBOX: &str = "test";
/// What the names of sandboxes begin with that the tests bring up themselves.
const TESTS_PREFIX: &str = "e2e-";
/// The test runner, pinned: its summary is what the run ends with.
pub(crate) const NEXTEST: &str = "0.9.151";
/// The demo's application is tested by its own language's means.
const GO_TESTS: &str = "tests/sandbox/go/demo-app";

/// Why not everything passed.
#[derive(Debug, thiserror::Error)]
enum TestError {
    /// A program could not be started.
    #[error("cannot run `{command}`")]
    Start {
        /// The command line.
        command: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A step failed and said why.
    #[error("`{0}` failed")]
    Step(String),
    /// Something is on this machine that was not there before.
    #[error("the tests left behind: {}", .0.join(", "))]
    Left(Vec<String>),
    /// A Debian package.
    #[error(transparent)]
    Packages(#[from] PackagesError),
    /// The tool cache.
    #[error(transparent)]
    Tools(#[from] ToolsError),
    /// Programs.
    #[error(transparent)]
    Programs(#[from] ProgramsError),
    /// The state folder.
    #[error(transparent)]
    State(#[from] StateError),
    /// The sandbox.
    #[error(transparent)]
    Up(#[from] UpError),
    /// Its removal.
    #[error(transparent)]
    Cleanup(#[from] CleanupError),
}

impl TestError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Tools(error) => error.hint().map(str::to_owned),
            Self::Packages(error) => error.hint(),
            Self::Programs(error) => error.hint(),
            Self::Up(error) => error.hint(),
            Self::Step(command) if command.starts_with("cargo fmt") => Some("cargo fmt --all".to_owned()),
            _ => None,
        }
    }
}

/// Runs all tests.
pub fn run() -> ExitCode {
    match run_all() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::failure(&error, error.hint().as_deref());
            ExitCode::FAILURE
        }
    }
}

fn run_all() -> Result<(), TestError> {
    up::require_root()?;
    // Whatever a crashed run has left must not make this one look guilty.
    let state = StateDir::new(SANDBOX)?;
    cleanup::take_down(&state)?;
    timed("formatting", || step(cargo(&["fmt", "--all", "--check"])))?;
    timed("lints", || {
        step(cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--all-features",
            "--quiet",
            "--",
            "-D",
            "warnings",
        ]))
    })?;
    let nextest = timed("test runner", nextest)?;
    timed("the application's own tests", || {
        let mut go = Command::new("go");
        go.args(["test", "./..."])
            .current_dir(programs::workspace().join(GO_TESTS));
        step(go)
    })?;
    timed("examples in the documentation", || {
        step(cargo(&[
            "test",
            "--doc",
            "--workspace",
            "--all-features",
            "--quiet",
        ]))
    })?;
    timed("python", python)?;
    timed("packages", || {
        packages::ensure(packages::NODE_PACKAGES, &mut talk)?;
        Ok(packages::ensure(packages::REGISTRY_PACKAGES, &mut talk)?)
    })?;
    // Some packages start a service when they are installed, which is here to stay.
    let before = inventory::take(&others()?);
    timed("programs", || {
        programs::plugins(Profile::Dev, &mut talk).map_err(TestError::from)
    })?;
    let spec = timed("fleet", || {
        Ok(up::up(
            &state,
            Wanted {
                kind: Kind::Nodes,
                clusters: 3,
            },
            &mut talk,
        )?)
    })?;
    let passed = tests(&nextest, &state, &spec);
    if passed.is_err() {
        talk(&format!("logs of the fleet: {}", state.logs().display()));
        let kept = state.path().with_extension("failed-logs");
        // The logs are for whoever reads the failure; the run is as failed without them.
        let _ =
            crate::files::remove_folder(&kept).and_then(|()| crate::files::copy_folder(&state.logs(), &kept));
        talk(&format!("a copy that stays: {}", kept.display()));
    }
    cleanup::take_down(&state)?;
    passed?;
    // What was killed needs a moment to end: the kernel empties a process namespace in its own time.
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let left: Vec<String> = inventory::take(&others()?).difference(&before).cloned().collect();
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(TestError::Left(left));
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// The user's own sandboxes: they may come and go while the tests run.
fn others() -> Result<Vec<StateDir>, TestError> {
    let ours = |state: &StateDir| state.name() == SANDBOX || state.name().starts_with(TESTS_PREFIX);
    Ok(state::all()?
        .into_iter()
        .filter(|state| state.is_alive() && !ours(state))
        .collect())
}

/// Every test of the workspace, in the environment of the fleet.
fn tests(nextest: &Path, state: &StateDir, spec: &Spec) -> Result<(), TestError> {
    let toolbox = Toolbox::open()?;
    toolbox.ensure(&[Tool::Krew], &mut talk)?;
    let mut command = Command::new(nextest);
    command
        .args([
            "nextest",
            "run",
            "--workspace",
            "--all-features",
            "--run-ignored",
            "all",
        ])
        .current_dir(programs::workspace())
        .envs(environment::variables(state, spec, Helm::Three))
        .env("AKS_SANDBOX_KREW", toolbox.path(Tool::Krew));
    step(command)
}

/// Python with pip: a user's own, or Debian's.
fn python() -> Result<(), TestError> {
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "--version"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if pip.status().is_ok_and(|status| status.success()) {
        return Ok(());
    }
    Ok(packages::ensure(packages::PYTHON_PACKAGES, &mut talk)?)
}

/// The test runner, from the tool cache or built into it.
fn nextest() -> Result<PathBuf, TestError> {
    let root = tools::cache()?.join(format!("tools/cargo-nextest-{NEXTEST}"));
    let program = root.join("bin/cargo-nextest");
    if !program.is_file() {
        talk("building cargo-nextest (once, two minutes)");
        let mut install = cargo(&[
            "install",
            "cargo-nextest",
            "--locked",
            "--debug",
            "--version",
            NEXTEST,
            "--root",
        ]);
        install
            .arg(&root)
            .env("CARGO_TARGET_DIR", root.join("build"))
            .stdout(Stdio::null());
        step(install)?;
        // Half a gigabyte that nothing needs any more.
        let _ = crate::files::remove_folder(&root.join("build"));
    }
    Ok(program)
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = programs::cargo();
    command.args(arguments);
    command
}

fn step(mut command: Command) -> Result<(), TestError> {
    let shown = shown(&command);
    let status = command
        .stdin(Stdio::null())
        .status()
        .map_err(|source| TestError::Start {
            command: shown.clone(),
            source,
        })?;
    if status.success() {
        Ok(())
    } else {
        Err(TestError::Step(shown))
    }
}

fn shown(command: &Command) -> String {
    let program = PathBuf::from(command.get_program());
    let name = program
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let arguments: Vec<_> = command
        .get_args()
        .map(|argument| argument.to_string_lossy())
        .collect();
    format!("{name} {}", arguments.join(" "))
}

fn timed<T>(what: &str, work: impl FnOnce() -> Result<T, TestError>) -> Result<T, TestError> {
    talk(&format!("== {what}"));
    let started = Instant::now();
    let result = work()?;
    talk(&format!("   {what}: {:.0} s", started.elapsed().as_secs_f64()));
    Ok(result)
}
