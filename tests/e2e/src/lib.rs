//! What the end-to-end tests share: the sandbox's environment, and commands whose outcome must be looked at.
//!
//! The tests run the built binaries as a user would, found on the `PATH` that `cargo sandbox env` gives.

pub mod application;
pub mod azure;
pub mod fleet;
pub mod helm;
pub mod own;
pub mod plain;
pub mod registry;
pub mod running;
pub mod terminal;
pub mod user;

pub use running::{act_at, send, signal_at};

use serde_json::Value;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The seed of the simulated Azure in a sandbox's folder.
const SEED: &str = "azure-seed.json";

/// The environment of the running sandbox and a folder of the test's own.
#[derive(Debug)]
pub struct World {
    env: BTreeMap<String, String>,
    folder: tempfile::TempDir,
}

/// A finished command.
#[derive(Debug)]
pub struct Finished {
    line: String,
    /// The exit code; a signal is a failure of the test.
    pub code: i32,
    /// What it printed on standard output.
    pub stdout: String,
    /// What it printed on standard error.
    pub stderr: String,
}

impl World {
    /// Joins the sandbox whose environment this process was started in.
    ///
    /// # Panics
    /// When no sandbox is there: these tests prove nothing without one.
    pub fn join() -> Self {
        let name = std::env::var("AKS_SANDBOX").expect(
            "these tests need a sandbox: run `cargo sandbox test`, or `eval \"$(cargo sandbox env)\"` first",
        );
        assert!(!name.is_empty(), "AKS_SANDBOX names no sandbox");
        let env = std::env::vars().filter(|(name, _)| is_wanted(name)).collect();
        Self {
            env,
            folder: tempfile::tempdir().expect("a temporary folder can be made"),
        }
    }

    /// Joins it with `helm3` or `helm4` as the helm on the path.
    ///
    /// # Panics
    /// When no sandbox is there.
    pub fn with_helm(helm: &str) -> Self {
        let mut world = Self::join();
        let binaries = world.state().join(helm).join("bin");
        let path = format!("{}:{}", binaries.display(), world.variable("PATH"));
        world.set("PATH", &path);
        world
    }

    /// The test's own folder, the working directory of its commands.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The sandbox's own folder.
    ///
    /// # Panics
    /// When the environment names no kubeconfig in it.
    pub fn state(&self) -> &Path {
        Path::new(self.variable("KUBECONFIG"))
            .parent()
            .expect("the kubeconfig is in a folder")
    }

    /// A variable of the sandbox's environment.
    ///
    /// # Panics
    /// When it is not set.
    pub fn variable(&self, name: &str) -> &str {
        self.env
            .get(name)
            .unwrap_or_else(|| panic!("the sandbox sets no {name}"))
    }

    /// A namespace that no other test and no earlier run has.
    ///
    /// # Panics
    /// When the clock is before 1970.
    pub fn namespace(&self, purpose: &str) -> String {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("the clock is set");
        format!(
            "e2e-{purpose}-{:x}-{:x}",
            now.as_secs() & 0xff_ffff,
            std::process::id()
        )
    }

    /// Where a program is on the sandbox's PATH.
    ///
    /// # Panics
    /// When it is not there.
    pub fn find(&self, program: &str) -> PathBuf {
        std::env::split_paths(self.variable("PATH"))
            .map(|folder| folder.join(program))
            .find(|candidate| candidate.is_file())
            .unwrap_or_else(|| panic!("{program} is not on the PATH"))
    }

    /// What the simulated Azure began with.
    ///
    /// # Panics
    /// When it cannot be read.
    pub fn seed(&self) -> Value {
        let seed = std::fs::read(self.state().join(SEED)).expect("the sandbox keeps its seed");
        serde_json::from_slice(&seed).expect("the seed is JSON")
    }

    /// Every secret of the sandbox by what it is: what no output, report or log may hold.
    ///
    /// # Panics
    /// When the sandbox's seed cannot be read.
    pub fn secrets(&self) -> Vec<(String, String)> {
        let seed = self.seed();
        let mut secrets = vec![(
            "operator's secret".to_owned(),
            self.variable("AZURE_CLIENT_SECRET").to_owned(),
        )];
        for vault in seed["vaults"].as_array().into_iter().flatten() {
            for secret in vault["secrets"].as_array().into_iter().flatten() {
                let text = |field: &str| secret[field].as_str().unwrap_or_default().to_owned();
                secrets.push((format!("value of secret {}", text("name")), text("value")));
            }
        }
        for (list, field) in [("githubJobs", "requestToken"), ("pipelineJobs", "accessToken")] {
            for job in seed["platform"][list].as_array().into_iter().flatten() {
                let value = job[field].as_str().unwrap_or_default();
                secrets.push((format!("{field} of a job"), value.to_owned()));
            }
        }
        assert!(secrets.len() > 1, "the seed holds no secrets");
        secrets
    }

    /// The environment of the commands to come.
    pub const fn variables(&self) -> &BTreeMap<String, String> {
        &self.env
    }

    /// Sets a variable for the commands to come.
    pub fn set(&mut self, name: &str, value: &str) {
        self.env.insert(name.to_owned(), value.to_owned());
    }

    /// Takes a variable away from the commands to come.
    pub fn unset(&mut self, name: &str) {
        self.env.remove(name);
    }

    /// Runs a command line, split at spaces, in the test's folder.
    #[must_use = "look at the exit code"]
    pub fn run(&self, line: &str) -> Finished {
        let words: Vec<&str> = line.split_whitespace().collect();
        self.run_words(&words)
    }

    /// Runs a command given word by word in the test's folder.
    ///
    /// # Panics
    /// When the program cannot be started or is ended by a signal.
    #[must_use = "look at the exit code"]
    pub fn run_words(&self, words: &[&str]) -> Finished {
        let line = words.join(" ");
        let output = Command::new(words[0])
            .args(&words[1..])
            .current_dir(self.folder())
            .env_clear()
            .envs(&self.env)
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("{line}: {error}"));
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Finished {
            code: output
                .status
                .code()
                .unwrap_or_else(|| panic!("{line}: ended by a signal")),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
            line,
        }
    }

    /// Runs `cargo sandbox …` on the sandbox that was joined, given word by word.
    ///
    /// # Panics
    /// When the environment names no program.
    #[must_use = "look at the exit code"]
    pub fn sandbox(&self, words: &[&str]) -> Finished {
        let program = self
            .env
            .get("AKS_SANDBOX_PROGRAM")
            .expect("`cargo sandbox env` names the program");
        let name = &self.env["AKS_SANDBOX"];
        let mut line = vec![program.as_str(), words[0], "--name", name.as_str()];
        line.extend(&words[1..]);
        self.run_words(&line)
    }

    /// Stops the API server of a cluster; it answers again when what this gives back is dropped.
    ///
    /// # Panics
    /// When it cannot be stopped.
    pub fn without_api<'a>(&'a self, cluster: &'a str) -> Away<'a> {
        self.sandbox(&["fault", "api", cluster, "stop"]).expect(0);
        Away { world: self, cluster }
    }

    /// Has the API server of a cluster accept connections and say nothing, as long as what this gives back is kept.
    ///
    /// # Panics
    /// When it cannot be paused.
    pub fn with_hung_api<'a>(&'a self, cluster: &'a str) -> Away<'a> {
        self.sandbox(&["fault", "api", cluster, "pause"]).expect(0);
        Away { world: self, cluster }
    }

    /// Calls the resource manager as the operator; the answer.
    ///
    /// # Panics
    /// When it refuses.
    pub fn rest(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let body = body.map(Value::to_string);
        let mut words = vec!["azure", "rest", method, path];
        words.extend(body.as_deref());
        self.sandbox(&words).expect(0).json()
    }

    /// Applies a manifest with plain kubectl.
    ///
    /// # Panics
    /// When it is refused.
    pub fn apply(&self, context: &str, namespace: &str, manifest: &Value) {
        let file = self.folder().join("manifest.json");
        std::fs::write(&file, manifest.to_string()).expect("the test's folder can be written to");
        let line = format!(
            "kubectl --context {context} -n {namespace} apply -f {}",
            file.display()
        );
        self.run(&line).expect(0);
    }

    /// A copy of a folder of the sandbox's own material below the test's folder.
    ///
    /// # Panics
    /// When it cannot be copied.
    pub fn copy_in(&self, from: &Path, to: &str) -> PathBuf {
        let target = self.folder().join(to);
        copy_tree(from, &target).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        target
    }
}

/// An API server that does not answer.
#[derive(Debug)]
pub struct Away<'a> {
    world: &'a World,
    cluster: &'a str,
}

impl Drop for Away<'_> {
    fn drop(&mut self) {
        // A test that has failed already must not panic once more.
        let _ = self.world.sandbox(&["fault", "api", self.cluster, "start"]);
    }
}

impl Finished {
    /// Demands an exit code and gives the outcome back.
    ///
    /// # Panics
    /// When the code is another one; both outputs are shown.
    #[expect(
        clippy::return_self_not_must_use,
        reason = "the demand is the point; the outcome may be done with"
    )]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(
            self.code, code,
            "`{}` ended with {}\n--- stdout\n{}\n--- stderr\n{}",
            self.line, self.code, self.stdout, self.stderr
        );
        self
    }

    /// Standard output as JSON.
    ///
    /// # Panics
    /// When it is not one valid document.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| {
            panic!(
                "`{}` printed no JSON: {error}\n{}\n{}",
                self.line, self.stdout, self.stderr
            )
        })
    }

    /// Demands that a text stands in one of the outputs.
    ///
    /// # Panics
    /// When it does not.
    #[expect(
        clippy::return_self_not_must_use,
        reason = "the demand is the point; the outcome may be done with"
    )]
    pub fn says(self, text: &str) -> Self {
        assert!(
            self.stdout.contains(text) || self.stderr.contains(text),
            "`{}` did not say {text:?}\n--- stdout\n{}\n--- stderr\n{}",
            self.line,
            self.stdout,
            self.stderr
        );
        self
    }
}

/// Waits until something is so.
///
/// # Panics
/// When it does not come to that for too long.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..600 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("it never came to {what}");
}

/// Writes a program for the shell.
///
/// # Panics
/// When it cannot be written.
pub fn script(path: &Path, text: &str) {
    std::fs::write(path, format!("#!/bin/sh\n{text}\n")).expect("the folder can be written to");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
}

/// The root of the work tree.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .map(Path::to_owned)
        .unwrap_or_default()
}

/// What cargo and the CI system that runs the tests leak into the environment changes how child processes behave.
fn is_wanted(name: &str) -> bool {
    const FOREIGN: [&str; 3] = ["LD_LIBRARY_PATH", "CI", "TF_BUILD"];
    const PREFIXES: [&str; 7] = [
        "CARGO", "NEXTEST", "RUST", "GITHUB_", "ACTIONS_", "SYSTEM_", "BUILD_",
    ];
    !FOREIGN.contains(&name) && !PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
