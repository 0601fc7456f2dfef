//! The part of the fleet file that says in which order clusters are upgraded, and when that stops.

use super::amount::Amount;
use super::selector::Selector;
use serde::Deserialize;

/// In which order clusters are upgraded.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RolloutSpec {
    /// What happens to clusters that no stage selects.
    pub unmatched: Unmatched,
    /// What happens to clusters that cannot be reached.
    pub unreachable: Unreachable,
    /// What happens when a stage has more failures than it may.
    pub on_failure: OnFailureSpec,
    /// The stages, one after the other.
    pub stages: Vec<StageSpec>,
}

/// What happens to clusters that no stage selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unmatched {
    /// The file is refused.
    #[default]
    Error,
    /// They follow in a stage of their own, `rest`.
    Last,
}

/// What happens to clusters that cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unreachable {
    /// The run is refused before anything is touched.
    #[default]
    Fail,
}

/// What happens when a stage has more failures than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct OnFailureSpec {
    /// What is done with the clusters.
    pub strategy: FailureStrategy,
}

/// What is done with the clusters of a failed rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureStrategy {
    /// Nothing more is started; every cluster stays as it is.
    #[default]
    Pause,
}

/// One stage.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StageSpec {
    /// Its name.
    pub name: String,
    /// Which clusters; without it all.
    #[serde(default)]
    pub selector: Selector,
    /// How many clusters at once.
    #[serde(default = "all")]
    pub max_concurrency: Amount,
    /// How many failures let the next stage start all the same.
    #[serde(default = "none")]
    pub max_failures: Amount,
}

const fn all() -> Amount {
    Amount::Percent(100)
}

const fn none() -> Amount {
    Amount::Count(0)
}
