//! What came of an identity and of a target, and why something failed.

use crate::rollout::Change;
use kubectl_wi_verify::Finding;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// One identity of one target.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IdentityResult {
    /// The identity's name in the fleet file.
    pub identity: String,
    /// Its client id; none when it was not made.
    pub client_id: Option<String>,
    /// How many writes it took; none when it was in order.
    pub changed: usize,
    /// What somebody should look at, and what this leaves as it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The whole outcome, as `kubectl wi setup` prints it.
    pub outcome: Value,
}

/// How a target ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetResult {
    /// In one word.
    pub status: TargetStatus,
    /// The revision before.
    pub revision_before: Option<u32>,
    /// The revision after; none when there is none, or when it is not known.
    pub revision_after: Option<u32>,
    /// What the run has changed about the release.
    pub change: Change,
    /// What verification found.
    pub findings: Vec<Finding>,
    /// The further checks that it passed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<String>,
    /// Why it failed.
    pub failure: Option<FailureReport>,
    /// How long it took.
    #[serde(with = "seconds")]
    pub took: Duration,
}

/// How a target ended, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetStatus {
    /// Its stage never started it.
    NotStarted,
    /// Nothing was to be done.
    Unchanged,
    /// The release was at target; its identity was repaired and proven.
    IdentityRepaired,
    /// First install, verified.
    Installed,
    /// New revision, verified.
    Upgraded,
    /// It was stopped in the middle.
    Interrupted,
    /// It could not be reached, and was left out for that.
    Unreachable,
    /// The release is again what it was before the run, or gone where there was none.
    RolledBack,
    /// The release is gone, as was asked for.
    Uninstalled,
    /// It failed.
    Failed,
    /// It could not be rolled back: a person has to look.
    RollbackFailed,
}

impl TargetStatus {
    /// The word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotStarted => "not started",
            Self::Unchanged => "unchanged",
            Self::IdentityRepaired => "identity repaired",
            Self::Installed => "installed",
            Self::Upgraded => "upgraded",
            Self::Interrupted => "interrupted",
            Self::Unreachable => "unreachable",
            Self::RolledBack => "rolled back",
            Self::Uninstalled => "uninstalled",
            Self::Failed => "failed",
            Self::RollbackFailed => "rollback failed",
        }
    }
}

/// Why something failed, fit for a report: no secrets, no types.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailureReport {
    /// Where in the chain.
    pub step: Step,
    /// What failed.
    pub message: String,
    /// Why, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// The last lines of a process, redacted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// What the pods of the release say, one line each, redacted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
}

/// A step of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The identity.
    Identity,
    /// `helm upgrade`.
    Helm,
    /// Reading or marking the release record.
    Release,
    /// Verification.
    Verify,
    /// `helm rollback` or `helm uninstall`.
    Rollback,
    /// Reaching the cluster.
    Reach,
    /// Looking at it before anything is touched.
    Preflight,
    /// Our own fault.
    Internal,
}

impl FailureReport {
    /// A failure without causes.
    pub fn new(step: Step, message: impl Into<String>) -> Self {
        Self {
            step,
            message: message.into(),
            causes: Vec::new(),
            output: None,
            evidence: Vec::new(),
        }
    }

    /// A failure by an error.
    pub fn of(step: Step, error: &dyn std::error::Error) -> Self {
        Self {
            causes: aks_shared::causes(error),
            ..Self::new(step, error.to_string())
        }
    }

    /// What was seen of it: helm's last lines, then what the pods say.
    pub fn details(&self) -> impl Iterator<Item = &str> {
        self.output
            .iter()
            .flat_map(|output| output.lines())
            .chain(self.evidence.iter().map(String::as_str))
    }

    /// Message and causes in one line.
    pub fn line(&self) -> String {
        std::iter::once(&self.message)
            .chain(&self.causes)
            .cloned()
            .collect::<Vec<_>>()
            .join(": ")
    }
}

/// Durations as seconds, to the millisecond.
mod seconds {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::time::Duration;

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64((duration.as_secs_f64() * 1000.0).round() / 1000.0)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
