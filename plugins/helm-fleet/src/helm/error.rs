//! Why helm could not be run, or what it said no to.

use super::version::VersionError;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

/// Helm cannot be run, or says no.
#[derive(Debug, thiserror::Error)]
pub enum HelmError {
    /// There is no helm.
    #[error("helm was not found")]
    Missing(#[from] which::Error),
    /// The process cannot be started or watched.
    #[error("cannot run {}", binary.display())]
    Run {
        /// The binary.
        binary: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// This helm cannot be used.
    #[error("{} cannot be used", binary.display())]
    Version {
        /// The binary.
        binary: PathBuf,
        /// Why.
        source: VersionError,
    },
    /// Helm ran and failed.
    #[error("helm {command} failed ({status})")]
    Failed {
        /// Its first argument.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// Its last lines, redacted.
        output: String,
    },
    /// Helm ran too long and was stopped.
    #[error("helm {command} was {how} after {} s without an end", deadline.as_secs())]
    Deadline {
        /// Its first argument.
        command: String,
        /// `stopped`, so that it could record its end, or `killed`, so that it could not.
        how: &'static str,
        /// The bound.
        deadline: Duration,
        /// Its last lines, redacted.
        output: String,
    },
    /// Helm was stopped because we were.
    #[error("helm {command} was stopped by the interruption")]
    Interrupted {
        /// Its first argument.
        command: String,
    },
    /// Helm did not stop in time, or the user did not want to wait for that.
    #[error("helm {command} was killed before it could record its end")]
    Killed {
        /// Its first argument.
        command: String,
    },
}

impl HelmError {
    /// Helm's own last lines, when it had any.
    pub fn output(&self) -> Option<&str> {
        match self {
            Self::Failed { output, .. } | Self::Deadline { output, .. } => Some(output),
            Self::Missing(_)
            | Self::Run { .. }
            | Self::Version { .. }
            | Self::Interrupted { .. }
            | Self::Killed { .. } => None,
        }
    }
}
