//! Gates between stages: what has to pass before the next stage begins.

use crate::fleet::GateSpec;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// What has to pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate {
    /// The stage's clusters go on working for so long; they are verified again at the end.
    Bake(Duration),
    /// Somebody approves it by this name.
    Approval(String),
}

/// What became of a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GateAnswer {
    /// The rollout goes on.
    Passed,
    /// Nobody has approved it yet; the run ends here, healthy.
    Waiting,
}

impl Gate {
    /// The gate that a fleet file describes; a file that was checked describes one.
    pub fn of(spec: &GateSpec, stage: &str) -> Option<Self> {
        match (&spec.bake, &spec.approval) {
            (Some(duration), None) => Some(Self::Bake(*duration)),
            (None, Some(approval)) => Some(Self::Approval(approval.name(stage).to_owned())),
            _ => None,
        }
    }

    /// What it is called in events, reports and on the command line: an approval by its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Bake(_) => "bake",
            Self::Approval(name) => name,
        }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bake(duration) => {
                let duration = jiff::SignedDuration::try_from(*duration).unwrap_or(jiff::SignedDuration::MAX);
                write!(formatter, "bake {duration:#}")
            }
            Self::Approval(name) => write!(formatter, "approval {name}"),
        }
    }
}

/// How much of a bake is left when the stage's newest release was deployed `ago`.
pub const fn left_to_bake(bake: Duration, ago: Duration) -> Duration {
    bake.saturating_sub(ago)
}
