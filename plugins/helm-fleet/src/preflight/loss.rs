//! Values that somebody else gave a release and that an upgrade would drop without a word.

use super::{Problem, Subject, Target};
use crate::event::Action;
use crate::fleet::ValuesPolicy;
use crate::helm::value_arguments;
use crate::release::Record;
use crate::values::{Values, ValuesFile};
use aks_shared::format;
use clap::ValueEnum;
use serde_json::{Map, Value};

/// What to do about values that an upgrade would drop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum OnValueLoss {
    /// Refuse the run
    #[default]
    Refuse,
    /// Drop them
    Drop,
}

/// Why a target's upgrade would lose values, if so. What this tool wrote is its own to take away.
pub(super) fn problem(subject: &Subject, target: &Target, values: &Values) -> Option<Problem> {
    let record = target.record.as_ref()?;
    let policy = subject.fleet.helm.values_policy;
    if target.action != Action::Upgrade || !is_guarded(record, policy, subject.on_value_loss) {
        return None;
    }
    let arguments = value_arguments(&subject.fleet.helm.args);
    let lost = lost_keys(&record.config, &known(values, &arguments), &set_by(&arguments));
    (!lost.is_empty()).then(|| Problem {
        hints: vec![
            "write these values into the fleet's files, or keep them by helm.valuesPolicy: reset-then-reuse, \
             or let them go: --on-value-loss drop"
                .to_owned(),
        ],
        ..Problem::new(
            &target.spec.name,
            format!(
                "revision {} has values that the fleet does not have and the upgrade would drop: {}",
                record.revision,
                lost.join(", ")
            ),
        )
    })
}

/// Whether the values of a record may be somebody else's and are not to be dropped.
fn is_guarded(record: &Record, policy: ValuesPolicy, choice: OnValueLoss) -> bool {
    policy == ValuesPolicy::Reset && choice == OnValueLoss::Refuse && !record.is_ours()
}

/// All values that are known here, merged.
fn known(values: &Values, arguments: &[(&str, &str)]) -> Value {
    let named = arguments.iter().filter(|(flag, _)| !flag.starts_with("--set"));
    let named = named
        .flat_map(|(_, files)| files.split(','))
        .filter_map(|path| std::fs::read_to_string(path).ok());
    let local = values.files.iter().filter_map(|file| match file {
        ValuesFile::Local { path, .. } => std::fs::read_to_string(path).ok(),
        ValuesFile::Remote(_) => None,
    });
    let mut merged = Value::Object(Map::new());
    for file in local
        .chain(named)
        .filter_map(|text| format::from_yaml(&text).ok())
    {
        merge(&mut merged, file);
    }
    merge(&mut merged, values.overrides.clone());
    merged
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, member) in from {
                merge(into.entry(name).or_insert(Value::Null), member);
            }
        }
        // A file without content changes nothing.
        (Value::Object(into), Value::Null) if into.is_empty() => {}
        (into, from) => *into = from,
    }
}

/// The keys that `--set` and its kin set.
fn set_by(arguments: &[(&str, &str)]) -> Vec<String> {
    arguments
        .iter()
        .filter(|(flag, _)| flag.starts_with("--set"))
        .flat_map(|(_, pairs)| pairs.split(','))
        .filter_map(|pair| pair.split_once('=')?.0.split('[').next())
        .map(str::to_owned)
        .collect()
}

/// The keys of `config` that nothing else has.
fn lost_keys(config: &Value, known: &Value, set: &[String]) -> Vec<String> {
    let mut lost = Vec::new();
    collect(config, known, "", &mut lost);
    lost.retain(|key| {
        let is_below = |set: &String| key == set || key.starts_with(&format!("{set}."));
        !set.iter().any(is_below)
    });
    lost
}

fn collect(config: &Value, known: &Value, prefix: &str, lost: &mut Vec<String>) {
    let (Value::Object(config), Value::Object(known)) = (config, known) else {
        return;
    };
    for (name, member) in config.iter().filter(|(_, member)| !member.is_null()) {
        let key = format!("{prefix}{name}");
        match known.get(name) {
            Some(other) => collect(member, other, &format!("{key}."), lost),
            None if member.as_object().is_some_and(|members| !members.is_empty()) => {
                collect(member, &Value::Object(Map::new()), &format!("{key}."), lost);
            }
            None => lost.push(key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::REVISION_LABEL;
    use serde_json::json;

    #[test]
    fn the_values_of_an_own_revision_may_go_and_those_of_a_later_one_may_not() {
        let record = |revision| {
            let label = (REVISION_LABEL.to_owned(), "3".to_owned());
            Record::sample(revision, "failed", Value::Null, [label])
        };
        let foreign = Record::sample(1, "deployed", Value::Null, []);
        let reset = |record: &Record| is_guarded(record, ValuesPolicy::Reset, OnValueLoss::Refuse);
        assert!(!reset(&record(3)));
        assert!(reset(&record(4)) && reset(&foreign));
        assert!(!is_guarded(&foreign, ValuesPolicy::Reset, OnValueLoss::Drop));
        assert!(!is_guarded(&foreign, ValuesPolicy::Reuse, OnValueLoss::Refuse));
    }

    #[test]
    fn only_keys_that_nothing_else_has_are_lost() {
        let mut known = json!({"image": {"tag": "1"}, "old": null});
        merge(&mut known, json!({"replicas": 2, "image": {"name": "x"}}));
        let config = json!({"image": {"tag": "0", "name": "y", "pullPolicy": "Always"}, "replicas": 9,
            "old": {"a": 1}, "gone": null, "db": {"password": "canary"}, "ingress": {"host": "h"}});
        assert_eq!(
            lost_keys(&config, &known, &[]),
            ["db.password", "image.pullPolicy", "ingress.host"]
        );
        let set = set_by(&[("--set", "a=1,ingress.host=h"), ("--values", "x=y")]);
        assert_eq!(set, ["a", "ingress.host"]);
        assert_eq!(
            lost_keys(&config, &known, &set),
            ["db.password", "image.pullPolicy"]
        );
    }
}
