//! Running a program to its end, with what it said in the error.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::process::{Command, Stdio};

/// A program that could not be started, or said no.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It is not there, or may not be run.
    #[error("cannot run `{command}`")]
    Start {
        /// The command line.
        command: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It ended with an error.
    #[error("`{command}` failed ({status}){}", Said(message))]
    Failed {
        /// The command line.
        command: String,
        /// Its exit status.
        status: std::process::ExitStatus,
        /// What it wrote to stderr.
        message: String,
    },
}

/// What a program said, as the end of a sentence; nothing where it said it to the terminal.
struct Said<'a>(&'a str);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            Ok(())
        } else {
            write!(f, ": {}", self.0)
        }
    }
}

/// A command whose environment is that of a plain login: no proxy, no cargo, no library path.
pub fn plain(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().stdin(Stdio::null());
    command.env(
        "PATH",
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    );
    command.env("HOME", "/root").env("LC_ALL", "C.UTF-8");
    command
}

/// Runs it to the end; its stdout.
pub fn run(command: &mut Command) -> Result<String, CommandError> {
    let shown = show(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| CommandError::Start {
            command: shown.clone(),
            source,
        })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(CommandError::Failed {
        command: shown,
        status: output.status,
        message,
    })
}

/// Runs `ip` with words separated by blanks.
pub fn ip(words: &str) -> Result<String, CommandError> {
    run(plain("ip").args(words.split_whitespace()))
}

fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
