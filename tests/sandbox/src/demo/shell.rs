//! A user's shell in the demo's folder: commands are shown, run, and must end as the step says.

use std::io::{self, BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::environment::{self, Helm};
use crate::output::talk;
use crate::spec::Spec;
use crate::state::StateDir;

/// Why a step is no success.
#[derive(Debug, thiserror::Error)]
pub(super) enum ShellError {
    /// The command could not be started or read.
    #[error("cannot run `{command}`")]
    Start {
        /// The command line.
        command: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The command ended otherwise than it should.
    #[error("`{command}` ended with {found}, expected exit status {expected}")]
    Exit {
        /// The command line.
        command: String,
        /// How it ended.
        found: String,
        /// The exit code that the step expects.
        expected: i32,
    },
}

/// Where commands run.
pub(super) struct Shell<'a> {
    /// The sandbox.
    pub(super) state: &'a StateDir,
    /// What it consists of.
    pub(super) spec: &'a Spec,
    /// The working directory.
    pub(super) folder: PathBuf,
}

impl Shell<'_> {
    /// Shows a command line, runs it, passes on what it says as it says it, and demands its exit code.
    pub(super) fn run(&self, line: &str, expected: i32) -> Result<String, ShellError> {
        talk(&format!("$ {line}"));
        let failed = |source| ShellError::Start {
            command: line.to_owned(),
            source,
        };
        // One pipe for both streams keeps their lines in order.
        let (reader, writer) = io::pipe().map_err(failed)?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let variables = environment::variables(self.state, self.spec, Helm::Three);
        let mut child = Command::new(environment::find(&variables, words[0]))
            .args(&words[1..])
            .current_dir(&self.folder)
            .envs(variables)
            .stdin(Stdio::null())
            .stdout(writer.try_clone().map_err(failed)?)
            .stderr(writer)
            .spawn()
            .map_err(failed)?;
        let mut said = String::new();
        for line in BufReader::new(reader).lines() {
            let line = line.map_err(failed)?;
            talk(&format!("  {line}"));
            said.push_str(&line);
            said.push('\n');
        }
        let status = child.wait().map_err(failed)?;
        if status.code() == Some(expected) {
            return Ok(said);
        }
        Err(ShellError::Exit {
            command: line.to_owned(),
            found: status.to_string(),
            expected,
        })
    }
}
