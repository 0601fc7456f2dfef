//! What one run of a program costs, by the system's own accounts.

use std::ffi::OsString;
use std::io;
use std::process::{Command, Stdio};
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use serde::{Deserialize, Serialize};

use crate::command::CommandError;

/// The cost of a program and of all the children that it waited for.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Cost {
    /// From its start to its end, in seconds.
    pub wall: f64,
    /// Processor time in user and system mode, in seconds.
    pub cpu: f64,
    /// The most memory that one of the processes had, in bytes; never less than what this program had when it started
    /// it, because the system counts a process from its fork.
    pub peak: u64,
}

/// Runs a program to its end, its data thrown away.
///
/// The system adds up all children of a process, so each run is measured by a process of its own:
/// `sandbox measure PROGRAM …`.
pub fn run(words: &[OsString]) -> Result<Cost, CommandError> {
    let shown = || {
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        words.join(" ")
    };
    let failed = |source: io::Error| CommandError::Start {
        command: shown(),
        source,
    };
    let (program, arguments) = words
        .split_first()
        .ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
    let started = Instant::now();
    let status = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .map_err(failed)?;
    let wall = started.elapsed().as_secs_f64();
    if !status.success() {
        return Err(CommandError::Failed {
            command: shown(),
            status,
            message: String::new(),
        });
    }
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(|errno| failed(errno.into()))?;
    Ok(Cost {
        wall,
        cpu: seconds(usage.user_time()) + seconds(usage.system_time()),
        // Linux tells it in kibibytes.
        peak: u64::try_from(usage.max_rss()).unwrap_or_default() * 1024,
    })
}

fn seconds(time: TimeVal) -> f64 {
    let whole = u32::try_from(time.tv_sec()).unwrap_or(u32::MAX);
    let micros = u32::try_from(time.tv_usec()).unwrap_or_default();
    f64::from(whole) + f64::from(micros) / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_costs_something_and_one_that_fails_is_no_sample() {
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        let cost = run(&words("true")).unwrap();
        assert!(cost.wall > 0.0 && cost.peak > 0, "{cost:?}");
        assert!(run(&words("false")).is_err());
        assert!(run(&[]).is_err());
    }
}
