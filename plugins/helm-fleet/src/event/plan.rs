//! What a run sets out to do, as its first event tells it.

use crate::chart::Chart;
use crate::fleet::{FailureStrategy, FirstInstall};
use crate::report::known::{self, Word};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// What a run sets out to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunPlan {
    /// The version of this stream.
    #[serde(deserialize_with = "known::version")]
    pub schema: Word,
    /// The command, `upgrade` or `rollback`.
    #[serde(deserialize_with = "known::command")]
    pub command: Word,
    /// The run's id.
    pub run: String,
    /// The release.
    pub release: String,
    /// Its namespace.
    pub namespace: String,
    /// The chart.
    pub chart: Chart,
    /// The version of helm; none when no target needs it.
    pub helm: Option<String>,
    /// Who is signed in to Azure.
    pub principal: Option<Value>,
    /// The commit that the run is of, where CI tells it.
    pub commit: Option<String>,
    /// The page of the pipeline run, where CI tells it.
    pub pipeline_url: Option<String>,
    /// Whether an earlier part of the run came before.
    pub resumed: bool,
    /// What is done when a stage has more failures than it may.
    pub on_failure: FailureStrategy,
    /// What a rollback does where there was no release before the run.
    pub first_install: FirstInstall,
    /// The stages in order.
    pub stages: Vec<StagePlan>,
    /// The targets in the order of the file.
    pub targets: Vec<TargetPlan>,
}

/// A stage as planned.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StagePlan {
    /// Its name.
    pub name: String,
    /// How many at once.
    pub max_concurrency: usize,
    /// How many may fail.
    pub max_failures: usize,
    /// How many at once that share the value of a label, by label.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub max_per_label: BTreeMap<String, usize>,
    /// Its gates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<String>,
    /// The names of its targets.
    pub targets: Vec<String>,
}

/// A target as planned.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetPlan {
    /// The cluster's name.
    pub cluster: String,
    /// Its kubeconfig context.
    pub context: String,
    /// Its stage.
    pub stage: String,
    /// The UID of its `kube-system`.
    pub uid: String,
    /// The newest revision.
    pub revision: Option<u32>,
    /// The revision that a rollback goes back to: the newest good one; none before the first install.
    pub restore: Option<u32>,
    /// What is expected to be done.
    pub action: Action,
    /// Why.
    pub reason: String,
    /// Digest of what it is to become, but for the ids of identities: a run is resumed with the same only.
    pub inputs: String,
    /// The changes to its identities, one line each.
    pub identity_changes: Vec<String>,
    /// The keys of values that the cluster has, the fleet has not, and that are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept_values: Vec<String>,
}

/// What is done to a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// First install.
    Install,
    /// A new revision.
    Upgrade,
    /// No helm: the release is at target and only its identity was not.
    RepairIdentity,
    /// Back to an earlier revision.
    Rollback,
    /// The release is taken away.
    Uninstall,
    /// It cannot be reached: once more when its turn comes.
    TryLater,
    /// It cannot be reached, and is left out.
    LeaveOut,
    /// Nothing at all.
    Nothing,
}
