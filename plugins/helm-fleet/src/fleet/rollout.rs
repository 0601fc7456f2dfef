//! The part of the fleet file that says in which order clusters are upgraded, and when that stops.

use super::amount::Amount;
use super::selector::Selector;
use super::some_duration;
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// In which order clusters are upgraded.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Unreachable {
    /// The run is refused before anything is touched; one that goes away later counts as a failure.
    #[default]
    Fail,
    /// They are left out, told apart from failures.
    Skip,
    /// They are tried once more when the rest of their stage has ended, then left out.
    Defer,
}

/// What happens when a stage has more failures than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct OnFailureSpec {
    /// What is done with the clusters.
    pub strategy: FailureStrategy,
    /// What a rollback does where there was no release before the run.
    pub first_install: FirstInstall,
}

/// What is done with the clusters of a failed rollout. A rollback goes to the revision that each cluster had before
/// the run; identities stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum FailureStrategy {
    /// Nothing more is started; every cluster stays as it is.
    #[default]
    Pause,
    /// Clusters that failed are rolled back, also those whose failure their stage tolerates.
    RollbackFailed,
    /// All clusters of the failed stage are rolled back.
    RollbackStage,
    /// All clusters that the run changed are rolled back.
    RollbackAll,
}

impl FailureStrategy {
    /// Whether anything is rolled back.
    pub const fn rolls_back(self) -> bool {
        match self {
            Self::Pause => false,
            Self::RollbackFailed | Self::RollbackStage | Self::RollbackAll => true,
        }
    }
}

/// What a rollback does where there was no release before the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum FirstInstall {
    /// The release stays as it is.
    #[default]
    Keep,
    /// The release is uninstalled.
    Uninstall,
}

/// One stage.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
    /// How many clusters at once that have the same value of a label, by the label's name.
    #[serde(default)]
    pub max_per_label: BTreeMap<String, Amount>,
    /// What has to pass before the next stage begins, one after the other.
    #[serde(default)]
    pub gates: Vec<GateSpec>,
}

/// What has to pass before the next stage begins: exactly one of these.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GateSpec {
    /// So long the stage's clusters have to go on working; they are verified again at the end.
    #[serde(default, deserialize_with = "some_duration")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub bake: Option<Duration>,
    /// Somebody has to approve.
    #[serde(default)]
    pub approval: Option<Approval>,
}

/// The name by which a gate is approved: `true` takes the stage's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approval {
    /// The name of the stage.
    Stage,
    /// A name of its own.
    Named(String),
}

impl RolloutSpec {
    /// What contradicts itself, each with its key.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let (mut stages, mut approvals) = (BTreeSet::new(), BTreeSet::new());
        for (index, stage) in self.stages.iter().enumerate() {
            let key = format!("rollout.stages[{index}]");
            if !stages.insert(&stage.name) {
                problems.push(format!("{key}.name: {:?} is there twice", stage.name));
            }
            for (label, amount) in &stage.max_per_label {
                if *amount == Amount::Count(0) {
                    problems.push(format!("{key}.maxPerLabel.{label}: 0 would let no cluster start"));
                }
            }
            for (gate, spec) in stage.gates.iter().enumerate() {
                let approval = match (&spec.bake, &spec.approval) {
                    (Some(_), None) => continue,
                    (None, Some(approval)) => approval.name(&stage.name),
                    _ => {
                        problems.push(format!("{key}.gates[{gate}]: give either bake or approval"));
                        continue;
                    }
                };
                if !approvals.insert(approval) {
                    problems.push(format!(
                        "{key}.gates[{gate}].approval: {approval:?} names another gate already"
                    ));
                }
            }
        }
        problems
    }
}

impl Approval {
    /// The name of the gate in a stage.
    pub fn name<'a>(&'a self, stage: &'a str) -> &'a str {
        match self {
            Self::Stage => stage,
            Self::Named(name) => name,
        }
    }
}

#[cfg(test)]
impl schemars::JsonSchema for Approval {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Approval".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "The name by which a gate is approved: `true` takes the stage's.",
            "oneOf": [{"const": true}, {"type": "string", "minLength": 1}],
        })
    }
}

impl<'de> Deserialize<'de> for Approval {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ApprovalVisitor;
        impl Visitor<'_> for ApprovalVisitor {
            type Value = Approval;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("true, or the name by which the gate is approved")
            }

            fn visit_bool<E: de::Error>(self, wanted: bool) -> Result<Approval, E> {
                if wanted {
                    Ok(Approval::Stage)
                } else {
                    Err(E::invalid_value(de::Unexpected::Bool(false), &self))
                }
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Approval, E> {
                if name.is_empty() {
                    return Err(E::invalid_value(de::Unexpected::Str(name), &self));
                }
                Ok(Approval::Named(name.to_owned()))
            }
        }
        deserializer.deserialize_any(ApprovalVisitor)
    }
}

const fn all() -> Amount {
    Amount::Percent(100)
}

const fn none() -> Amount {
    Amount::Count(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rollout(stages: &serde_json::Value) -> RolloutSpec {
        serde_json::from_value(json!({"stages": stages})).unwrap()
    }

    #[test]
    fn gates_are_read() {
        let spec = rollout(&json!([{"name": "canary", "maxPerLabel": {"region": 1},
            "gates": [{"bake": "10m"}, {"approval": true}, {"approval": "release-managers"}]}]));
        assert_eq!(spec.problems(), Vec::<String>::new());
        let gates = &spec.stages[0].gates;
        assert_eq!(gates[0].bake, Some(Duration::from_mins(10)));
        let names: Vec<&str> = gates[1..]
            .iter()
            .filter_map(|gate| Some(gate.approval.as_ref()?.name("canary")))
            .collect();
        assert_eq!(names, ["canary", "release-managers"]);
    }

    #[test]
    fn contradictions_are_listed_with_their_keys() {
        let spec = rollout(&json!([
            {"name": "a", "maxPerLabel": {"region": 0}, "gates": [{}, {"approval": true}]},
            {"name": "a", "gates": [{"bake": "1m", "approval": true}, {"approval": "a"}]},
        ]));
        assert_eq!(
            spec.problems(),
            [
                "rollout.stages[0].maxPerLabel.region: 0 would let no cluster start",
                "rollout.stages[0].gates[0]: give either bake or approval",
                "rollout.stages[1].name: \"a\" is there twice",
                "rollout.stages[1].gates[0]: give either bake or approval",
                "rollout.stages[1].gates[1].approval: \"a\" names another gate already",
            ]
        );
        assert!(serde_json::from_value::<GateSpec>(json!({"approval": false})).is_err());
    }
}
