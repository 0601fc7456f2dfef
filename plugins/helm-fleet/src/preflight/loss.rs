//! Values that somebody else gave a release and that an upgrade would drop without a word: refused, kept or dropped.
//!
//! Somebody else's is what the newest revision has and the last one that this tool wrote has not, or has otherwise. What
//! is kept becomes a part of a revision of this tool, so that revision tells by its labels which keys those are.

use super::{Problem, Subject, Target};
use crate::event::Action;
use crate::fleet::{ClusterSpec, Fleet, ValuesPolicy};
use crate::helm::value_arguments;
use crate::release::Record;
use crate::values::keys::{self, KeyPath, merge};
use crate::values::{Values, ValuesFile, is_part_of};
use aks_shared::format;
use clap::ValueEnum;
use serde_json::{Map, Value};

/// What to do about values that an upgrade would drop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum OnValueLoss {
    /// Refuse the run
    #[default]
    Refuse,
    /// Keep them, in this run and in later ones
    Keep,
    /// Drop them, and what was kept before
    Drop,
}

/// Why a target's upgrade would lose values, if so. What this tool wrote is its own to take away.
pub(super) fn problem(subject: &Subject, target: &Target, values: &Values) -> Option<Problem> {
    let record = target.record.as_ref()?;
    let policy = subject.fleet.helm.values_policy;
    if target.action != Action::Upgrade || !is_guarded(record, policy, subject.on_value_loss) {
        return None;
    }
    let lost = lost_keys(&subject.fleet, record, values);
    let lost = lost.iter().filter(|key| is_foreign(key, record));
    let lost: Vec<String> = lost.map(ToString::to_string).collect();
    (!lost.is_empty()).then(|| Problem {
        hints: vec![
            "keep these values on their clusters: --on-value-loss keep; or let them go: --on-value-loss drop; \
             or write them into the fleet's files"
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

/// The values of a target whose newest revision is this, what is kept of that one among them.
pub(crate) fn values_of(
    subject: &Subject,
    spec: &ClusterSpec,
    record: Option<&Record>,
    identities: &Value,
) -> Result<Values, crate::values::ValuesError> {
    let mut values = Values::of(&subject.fleet, &subject.files, spec, identities)?;
    keep(&subject.fleet, subject.on_value_loss, record, &mut values);
    Ok(values)
}

/// Keeps values of a record that the fleet does not set: those that were kept before, and with
/// [`OnValueLoss::Keep`] all that are somebody else's. Under other policies than a reset Helm itself keeps all.
fn keep(fleet: &Fleet, choice: OnValueLoss, record: Option<&Record>, values: &mut Values) {
    let wants = |record: &&Record| match choice {
        OnValueLoss::Drop => false,
        OnValueLoss::Keep => !record.is_ours() || keys::has_marks(&record.labels),
        OnValueLoss::Refuse => keys::has_marks(&record.labels),
    };
    let Some(record) = record.filter(wants) else {
        return;
    };
    if fleet.helm.values_policy != ValuesPolicy::Reset {
        return;
    }
    let mut kept = lost_keys(fleet, record, values);
    kept.retain(|key| {
        key.is_marked_in(&record.labels) || (choice == OnValueLoss::Keep && is_foreign(key, record))
    });
    values.keep(kept, &record.config);
}

/// Whether the values of a record may be somebody else's and are not to be dropped.
fn is_guarded(record: &Record, policy: ValuesPolicy, choice: OnValueLoss) -> bool {
    policy == ValuesPolicy::Reset && choice == OnValueLoss::Refuse && !record.is_ours()
}

/// Whether somebody else gave a record the value of a key that it has.
fn is_foreign(key: &KeyPath, record: &Record) -> bool {
    let value_in = |values| key.value_in(values);
    let (now, before) = (value_in(&record.config), record.base.as_ref().and_then(value_in));
    let is_same = now
        .zip(before)
        .is_some_and(|(now, before)| is_part_of(now, before));
    !record.is_ours() && !is_same
}

/// The keys of a record that the fleet does not set.
fn lost_keys(fleet: &Fleet, record: &Record, values: &Values) -> Vec<KeyPath> {
    let arguments = value_arguments(&fleet.helm.args);
    let mut keys = KeyPath::all(&record.config);
    remove_set(&mut keys, &known(values, &arguments), &set_by(&arguments));
    keys
}

/// All values that are known here, merged.
fn known(values: &Values, arguments: &[(&str, &str)]) -> Value {
    let named = arguments.iter().filter(|(flag, _)| !flag.starts_with("--set"));
    let named = named
        .flat_map(|(_, files)| files.split(','))
        .filter_map(|path| format::from_yaml(&std::fs::read_to_string(path).ok()?).ok());
    let files = values.files.iter().filter_map(|file| match file {
        ValuesFile::Local { path, .. } => format::from_yaml(&std::fs::read_to_string(path).ok()?).ok(),
        ValuesFile::Remote { content, .. } => Some(content.as_ref()?.values().clone()),
    });
    let mut merged = Value::Object(Map::new());
    for file in files.chain(named) {
        merge(&mut merged, file);
    }
    merge(&mut merged, values.overrides.clone());
    merged
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

/// Leaves those keys that nothing else has.
fn remove_set(keys: &mut Vec<KeyPath>, known: &Value, set: &[String]) {
    keys.retain(|key| {
        let name = key.to_string();
        let is_below = |set: &String| name == *set || name.starts_with(&format!("{set}."));
        !key.is_set_in(known) && !set.iter().any(is_below)
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::REVISION_LABEL;
    use crate::values::keys::any_values;
    use proptest::prelude::*;
    use serde_json::json;

    fn fleet(helm: &Value) -> Fleet {
        serde_json::from_value(
            json!({"apiVersion": "helmfleet/v1alpha1", "kind": "Fleet", "helm": helm,
            "release": {"name": "orders", "namespace": "shop"}, "chart": {"ref": "x"}}),
        )
        .unwrap()
    }

    fn sets(overrides: Value) -> Values {
        Values {
            files: Vec::new(),
            overrides,
            kept: Vec::new(),
        }
    }

    fn ours(revision: u32, config: Value) -> Record {
        Record::sample(
            revision,
            "deployed",
            config,
            [(REVISION_LABEL.to_owned(), revision.to_string())],
        )
    }

    /// A revision by hand after one of ours.
    fn by_hand(base: Value, config: Value) -> Record {
        let mut record = Record::sample(2, "deployed", config, []);
        record.base = Some(base);
        record
    }

    /// What an upgrade of this record is given, and what it is told to keep.
    fn upgraded(choice: OnValueLoss, record: &Record, overrides: Value) -> (Value, Vec<String>) {
        let mut values = sets(overrides);
        keep(&fleet(&json!({})), choice, Some(record), &mut values);
        (
            values.overrides,
            values.kept.iter().map(ToString::to_string).collect(),
        )
    }

    /// The revision that such an upgrade makes, as Helm stores it.
    fn next(choice: OnValueLoss, record: &Record, overrides: Value) -> Record {
        let mut values = sets(overrides);
        keep(&fleet(&json!({})), choice, Some(record), &mut values);
        let mut next = ours(record.revision + 1, values.overrides);
        let marks = keys::marks(&values.kept, &record.labels);
        let marks = marks.into_iter().filter(|(_, value)| *value != "null");
        next.labels
            .extend(marks.map(|(key, value)| (key, value.to_owned())));
        next
    }

    #[test]
    fn what_is_kept_is_kept_by_later_runs_until_it_is_dropped_or_set() {
        let record = by_hand(
            json!({"a": 1}),
            json!({"a": 1, "db": {"password": "canary", "port": 1}}),
        );
        let wants = || json!({"a": 2, "db": {"port": 5}});
        let (given, kept) = upgraded(OnValueLoss::Keep, &record, wants());
        assert_eq!(given, json!({"a": 2, "db": {"port": 5, "password": "canary"}}));
        assert_eq!(kept, ["db.password"]);
        assert_eq!(upgraded(OnValueLoss::Refuse, &record, wants()).1, [""; 0]);

        let mut record = next(OnValueLoss::Keep, &record, wants());
        for overrides in [wants(), json!({"a": 3}), json!({})] {
            for choice in [OnValueLoss::Refuse, OnValueLoss::Keep] {
                let (given, kept) = upgraded(choice, &record, overrides.clone());
                assert_eq!(
                    (given["db"]["password"].as_str(), kept.len()),
                    (Some("canary"), 1)
                );
            }
            record = next(OnValueLoss::Refuse, &record, overrides);
        }
        // Somebody upgrades by hand once more: Helm copies the labels, and what is new is not kept unasked.
        let mut later = by_hand(
            record.config.clone(),
            json!({"db": {"password": "canary"}, "new": 1}),
        );
        later.labels.clone_from(&record.labels);
        assert_eq!(
            upgraded(OnValueLoss::Refuse, &later, json!({})).1,
            ["db.password"]
        );
        assert_eq!(
            upgraded(OnValueLoss::Keep, &later, json!({})).1,
            ["db.password", "new"]
        );

        let set = next(OnValueLoss::Refuse, &record, json!({"db": {"password": "fleet"}}));
        assert_eq!(set.config["db"]["password"], "fleet");
        // It is the fleet's now, and may go with the fleet's next change.
        assert_eq!(
            upgraded(OnValueLoss::Refuse, &set, json!({})),
            (json!({}), vec![])
        );
        let dropped = next(OnValueLoss::Drop, &record, json!({"a": 3}));
        assert_eq!(dropped.config, json!({"a": 3}));
        assert!(!keys::has_marks(&dropped.labels));
    }

    proptest! {
        #[test]
        fn nothing_by_hand_is_lost_and_nothing_of_the_fleet_is_overruled(
            base in any_values(), hand in any_values(), first in any_values(), second in any_values()
        ) {
            let mut config = base.clone();
            merge(&mut config, hand);
            let record = by_hand(base, config);
            let kept = next(OnValueLoss::Keep, &record, first.clone());
            let later = next(OnValueLoss::Refuse, &kept, second.clone());
            for (before, wanted, after) in [(&record, &first, &kept), (&kept, &second, &later)] {
                prop_assert!(is_part_of(wanted, &after.config));
                for key in KeyPath::all(&before.config) {
                    let is_kept = is_foreign(&key, before) || key.is_marked_in(&before.labels);
                    if is_kept && !key.is_set_in(wanted) {
                        prop_assert_eq!(key.value_in(&after.config), key.value_in(&before.config));
                    } else if !key.is_set_in(wanted) {
                        prop_assert!(key.value_in(&after.config).is_none());
                    }
                }
                // Once more makes the same of it, so there is nothing to do.
                let again = next(OnValueLoss::Refuse, after, wanted.clone());
                prop_assert_eq!(&again.config, &after.config);
                prop_assert_eq!(keys::has_marks(&again.labels), keys::has_marks(&after.labels));
            }
            prop_assert_eq!(next(OnValueLoss::Drop, &later, first.clone()).config, first);
        }
    }

    #[test]
    fn helm_keeps_what_its_policy_keeps() {
        let record = by_hand(json!({}), json!({"hand": 1}));
        let mut values = sets(json!({}));
        let reuse = fleet(&json!({"valuesPolicy": "reuse"}));
        keep(&reuse, OnValueLoss::Keep, Some(&record), &mut values);
        assert_eq!(values, sets(json!({})));
    }

    #[test]
    fn what_our_last_revision_had_is_not_somebody_elses() {
        let record = by_hand(
            json!({"a": 1, "b": 2, "c": [1]}),
            json!({"a": 1.0, "b": 3, "c": [1], "d": {}}),
        );
        let foreign: Vec<String> = KeyPath::all(&record.config)
            .iter()
            .filter(|key| is_foreign(key, &record))
            .map(ToString::to_string)
            .collect();
        assert_eq!(foreign, ["b", "d"]);
    }

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
        let lost = |set: &[String]| {
            let mut keys = KeyPath::all(&config);
            remove_set(&mut keys, &known, set);
            keys.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(lost(&[]), ["db.password", "image.pullPolicy", "ingress.host"]);
        let set = set_by(&[("--set", "a=1,ingress.host=h"), ("--values", "x=y")]);
        assert_eq!(set, ["a", "ingress.host"]);
        assert_eq!(lost(&set), ["db.password", "image.pullPolicy"]);
    }
}
