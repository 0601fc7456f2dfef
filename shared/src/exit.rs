//! The exit codes, written once: the enum, the numbers, the names and how several clusters' codes become one.

use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use std::process::ExitCode;

/// How a command ended, as its process exit code tells it.
///
/// kubectl on Windows flattens every non-zero code to 1, so documents carry code and name too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ExitStatus {
    /// Done, or nothing to do.
    Ok,
    /// The answer is no: a check failed, a write failed, a wait ran out.
    Failed,
    /// Changes are pending and nothing was changed; only with `--detailed-exitcode`.
    ChangesPending,
    /// The fleet finished and its failures stayed within the threshold.
    ToleratedFailures,
    /// The threshold was exceeded; the rollout stopped and nothing was rolled back.
    Stopped,
    /// The rollout failed and the configured rollback completed.
    RolledBack,
    /// A rollback failed somewhere: a person is needed.
    RollbackFailed,
    /// Stopped at a gate, healthy.
    Waiting,
    /// A precondition failed before anything was touched.
    Refused,
    /// Not at target, or unreachable; only with `status --exit-code`.
    Drift,
    /// Bad flag or file, empty selection, or declined at the prompt.
    Usage,
    /// Interrupted by SIGINT; the state is saved.
    Interrupted,
    /// Interrupted by SIGTERM; the state is saved.
    Terminated,
}

impl ExitStatus {
    /// Every status, in the order of the documentation.
    pub const ALL: [Self; 13] = [
        Self::Ok,
        Self::Failed,
        Self::ChangesPending,
        Self::ToleratedFailures,
        Self::Stopped,
        Self::RolledBack,
        Self::RollbackFailed,
        Self::Waiting,
        Self::Refused,
        Self::Drift,
        Self::Usage,
        Self::Interrupted,
        Self::Terminated,
    ];

    /// The order in which one cluster's code decides the code of a run over several clusters.
    const PRECEDENCE: [Self; 13] = [
        Self::Interrupted,
        Self::Terminated,
        Self::RollbackFailed,
        Self::Stopped,
        Self::RolledBack,
        Self::Usage,
        Self::Failed,
        Self::Refused,
        Self::ToleratedFailures,
        Self::Waiting,
        Self::Drift,
        Self::ChangesPending,
        Self::Ok,
    ];

    /// The number that the process exits with.
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::ChangesPending => 2,
            Self::ToleratedFailures => 3,
            Self::Stopped => 4,
            Self::RolledBack => 5,
            Self::RollbackFailed => 6,
            Self::Waiting => 7,
            Self::Refused => 8,
            Self::Drift => 9,
            Self::Usage => 64,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }

    /// The stable kebab-case name that documents carry.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::ChangesPending => "changes-pending",
            Self::ToleratedFailures => "tolerated-failures",
            Self::Stopped => "stopped",
            Self::RolledBack => "rolled-back",
            Self::RollbackFailed => "rollback-failed",
            Self::Waiting => "waiting",
            Self::Refused => "refused",
            Self::Drift => "drift",
            Self::Usage => "usage",
            Self::Interrupted => "interrupted",
            Self::Terminated => "terminated",
        }
    }

    /// A document of how a command ended: the head that every document has, and what `content` has besides.
    pub fn document(self, api_version: &str, kind: &str, content: Value) -> Value {
        let mut document = json!({
            "apiVersion": api_version,
            "kind": kind,
            "exitCode": self.code(),
            "exitName": self.name(),
        });
        if let (Value::Object(document), Value::Object(content)) = (&mut document, content) {
            document.extend(content);
        }
        document
    }

    /// Combines the statuses of several clusters into the run's own; no cluster at all is [`Self::Ok`].
    pub fn combine(statuses: impl IntoIterator<Item = Self>) -> Self {
        statuses
            .into_iter()
            .min_by_key(|status| Self::PRECEDENCE.iter().position(|other| other == status))
            .unwrap_or(Self::Ok)
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.code())
    }
}

impl Serialize for ExitStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_are_distinct() {
        for (index, status) in ExitStatus::ALL.iter().enumerate() {
            for other in &ExitStatus::ALL[index + 1..] {
                assert_ne!(status.code(), other.code());
                assert_ne!(status.name(), other.name());
            }
            assert!(ExitStatus::PRECEDENCE.contains(status));
        }
    }

    #[test]
    fn the_gravest_status_decides() {
        use ExitStatus::{ChangesPending, Failed, Interrupted, Ok, Refused, RollbackFailed};
        assert_eq!(ExitStatus::combine([]), Ok);
        assert_eq!(ExitStatus::combine([Ok, ChangesPending]), ChangesPending);
        assert_eq!(ExitStatus::combine([Failed, RollbackFailed, Ok]), RollbackFailed);
        assert_eq!(ExitStatus::combine([Refused, Failed]), Failed);
        assert_eq!(ExitStatus::combine([Failed, Interrupted]), Interrupted);
    }
}
