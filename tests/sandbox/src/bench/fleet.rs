//! The rollout that is timed, by `helm-fleet` and by what a user would write instead: `xargs -P` over helm.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::BenchError;
use super::measure::Cost;
use crate::command;
use crate::environment::{self, Helm};
use crate::files::{self, FileError};
use crate::programs;
use crate::spec::Spec;
use crate::state::StateDir;

/// One chart on all clusters, as two releases: each side its own.
pub(super) struct Fleet {
    folder: PathBuf,
    variables: Vec<(&'static str, String)>,
    plugin: PathBuf,
    helm: PathBuf,
    concurrency: u8,
}

const OURS: &str = "ours";
const OTHER: &str = "other";
const VALUES: &str = "values.yaml";
const CONTEXTS: &str = "contexts.txt";
const STARTS: &str = "starts.txt";

impl Fleet {
    /// Lays out chart, values and contexts in a folder of the sandbox.
    pub(super) fn lay_out(
        state: &StateDir,
        spec: &Spec,
        helm: Helm,
        plugin: &Path,
        concurrency: u8,
    ) -> Result<Self, FileError> {
        let folder = state.file("bench");
        files::remove_folder(&folder)?;
        files::copy_folder(
            &programs::workspace().join("tests/sandbox/bench/chart"),
            &folder.join("chart"),
        )?;
        let contexts: String = spec
            .clusters
            .iter()
            .map(|cluster| cluster.name.clone() + "\n")
            .collect();
        files::write(&folder.join(CONTEXTS), &contexts)?;
        let variables = environment::variables(state, spec, helm);
        Ok(Self {
            folder,
            plugin: plugin.to_owned(),
            helm: environment::find(&variables, "helm"),
            variables,
            concurrency,
        })
    }

    /// From now on a rollout has something to do.
    pub(super) fn change(&self, text: &str) -> Result<(), FileError> {
        files::write(&self.folder.join(VALUES), &format!("text: {text}\n"))
    }

    /// `helm-fleet upgrade`.
    pub(super) fn upgrade(&self) -> Result<Cost, BenchError> {
        let concurrency = self.concurrency.to_string();
        self.ours(
            &self.helm,
            "upgrade",
            &["--yes", "--create-namespace", "--max-concurrency", &concurrency],
        )
    }

    /// The same by helm itself, on as many clusters at once.
    pub(super) fn xargs_upgrade(&self) -> Result<Cost, BenchError> {
        let line = [
            "upgrade",
            "--install",
            OTHER,
            "chart",
            "--values",
            VALUES,
            "--create-namespace",
            "--wait",
        ];
        self.xargs(&line)
    }

    /// `helm-fleet status`.
    pub(super) fn status(&self) -> Result<Cost, BenchError> {
        self.ours(&self.helm, "status", &[])
    }

    /// `helm status` for each cluster.
    pub(super) fn xargs_status(&self) -> Result<Cost, BenchError> {
        self.xargs(&["status", OTHER])
    }

    /// How often `helm-fleet upgrade` starts helm.
    pub(super) fn starts_of_helm(&self) -> Result<u32, BenchError> {
        let script = self.folder.join("counted-helm");
        let text = format!(
            "#!/bin/sh\necho \"$*\" >> {STARTS}\nexec {} \"$@\"\n",
            self.helm.display()
        );
        files::write(&script, &text)?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o700))
            .map_err(|source| FileError::new("change", &script, source))?;
        let starts = self.folder.join(STARTS);
        files::write(&starts, "")?;
        self.ours(&script, "upgrade", &["--yes"])?;
        let lines = files::read(&starts)?.lines().count();
        Ok(u32::try_from(lines).unwrap_or(u32::MAX))
    }

    fn ours(&self, helm: &Path, verb: &str, more: &[&str]) -> Result<Cost, BenchError> {
        let mut words: Vec<&OsStr> = vec![self.plugin.as_os_str()];
        let line = [
            verb,
            OURS,
            "./chart",
            "--context",
            "*",
            "--namespace",
            OURS,
            "--values",
            VALUES,
            "--helm-bin",
        ];
        words.extend(line.map(OsStr::new));
        words.push(helm.as_os_str());
        words.extend(more.iter().map(OsStr::new));
        self.measure(&words)
    }

    fn xargs(&self, line: &[&str]) -> Result<Cost, BenchError> {
        let concurrency = self.concurrency.to_string();
        let mut words: Vec<&OsStr> = ["xargs", "-a", CONTEXTS, "-P", &concurrency, "-I", "{}"]
            .map(OsStr::new)
            .to_vec();
        words.push(self.helm.as_os_str());
        words.extend(["--kube-context", "{}", "--namespace", OTHER].map(OsStr::new));
        words.extend(line.iter().map(OsStr::new));
        self.measure(&words)
    }

    fn measure(&self, words: &[&OsStr]) -> Result<Cost, BenchError> {
        measured(words, |command| {
            command
                .current_dir(&self.folder)
                .envs(self.variables.iter().map(|(name, value)| (name, value)));
        })
    }
}

/// What a program costs, measured in a process of its own.
pub(super) fn measured(words: &[&OsStr], place: impl FnOnce(&mut Command)) -> Result<Cost, BenchError> {
    let own = std::env::current_exe().map_err(BenchError::Own)?;
    let mut command = Command::new(own);
    command.args([OsString::from("measure"), "--".into()]).args(words);
    place(&mut command);
    let said = command::run(&mut command)?;
    serde_json::from_str(&said).map_err(|error| BenchError::Own(error.into()))
}
