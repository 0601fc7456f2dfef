//! Keys of values by their paths, and the mark by which a revision tells which of them it was given to keep.

use crate::digest::Hasher;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;

/// What the labels begin with that say which values of a revision are somebody else's and were kept. Helm stores labels
/// together with the values, and copies them through upgrades and rollbacks by hand, so each revision tells of itself.
const KEPT: &str = "helm-fleet/kept-";
/// How many digits of a path's digest a label has: enough to tell the keys of one release from each other.
const DIGITS: usize = 16;
/// The value of such a label.
const MARKED: &str = "yes";
/// The value of a label by which Helm takes it away
/// (`--labels` of <https://helm.sh/docs/helm/helm_upgrade/>).
const NO_LABEL: &str = "null";

/// The path of a key that has no keys below it. It is shown with dots, and never with what is there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyPath(Vec<String>);

impl fmt::Display for KeyPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.join("."))
    }
}

impl KeyPath {
    /// All of some values that have no keys below them, but for those that are null: they delete.
    pub fn all(values: &Value) -> Vec<Self> {
        let mut found = Vec::new();
        collect(values, &mut Vec::new(), &mut found);
        found
    }

    /// What values have there.
    pub fn value_in<'a>(&self, values: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(values, |values, name| values.get(name))
    }

    /// Whether values say anything of it, be it by a key above it that has none below.
    pub fn is_set_in(&self, values: &Value) -> bool {
        let mut values = values;
        for name in &self.0 {
            match values {
                Value::Object(members) => match members.get(name) {
                    Some(member) => values = member,
                    None => return false,
                },
                _ => return true,
            }
        }
        true
    }

    /// Values that have nothing but this.
    pub fn alone(&self, value: Value) -> Value {
        let names = self.0.iter().rev();
        names.fold(value, |value, name| json!({ name.as_str(): value }))
    }

    /// Whether the labels of a revision say that its value was kept.
    pub fn is_marked_in(&self, labels: &BTreeMap<String, String>) -> bool {
        labels.get(&self.label()).is_some_and(|value| value == MARKED)
    }

    /// The label that says so. No label has room for any path.
    fn label(&self) -> String {
        let names = self.0.iter();
        let digest = names
            .fold(Hasher::new("key"), |hasher, name| {
                hasher.bytes("name", name.as_bytes())
            })
            .hex();
        format!("{KEPT}{}", digest.get(..DIGITS).unwrap_or(&digest))
    }
}

/// Whether the labels of a revision say that any of its values was kept.
pub fn has_marks(labels: &BTreeMap<String, String>) -> bool {
    let mut labels = labels.iter();
    labels.any(|(label, value)| label.starts_with(KEPT) && value == MARKED)
}

/// The labels that make a revision with `kept` out of one with `labels`; Helm would copy those that do not hold any more.
pub fn marks(kept: &[KeyPath], labels: &BTreeMap<String, String>) -> BTreeMap<String, &'static str> {
    let stale = labels.keys().filter(|label| label.starts_with(KEPT));
    let stale = stale.map(|label| (label.clone(), NO_LABEL));
    let kept = kept.iter().map(|key| (key.label(), MARKED));
    stale.chain(kept).collect()
}

/// Merges values as Helm does.
pub fn merge(into: &mut Value, from: Value) {
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

fn collect(values: &Value, path: &mut Vec<String>, found: &mut Vec<KeyPath>) {
    match values {
        Value::Object(members) if !members.is_empty() || path.is_empty() => {
            for (name, member) in members {
                path.push(name.clone());
                collect(member, path, found);
                path.pop();
            }
        }
        Value::Null => {}
        _ => found.push(KeyPath(path.clone())),
    }
}

/// Any values, for tests.
#[cfg(test)]
pub(crate) fn any_values() -> impl proptest::strategy::Strategy<Value = Value> {
    use proptest::prelude::*;
    let leaf = prop_oneof![
        any::<u8>().prop_map(Value::from),
        Just(json!(["x"])),
        Just(json!({}))
    ];
    let tree = leaf.prop_recursive(3, 16, 4, |inner| {
        prop::collection::btree_map("[a-c./]{1,2}", inner, 0..4)
            .prop_map(|members| Value::Object(members.into_iter().collect()))
    });
    prop::collection::btree_map("[a-c./]{1,2}", tree, 0..4)
        .prop_map(|members| Value::Object(members.into_iter().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_keys_of_values_are_all_that_is_in_them(values in any_values()) {
            let keys = KeyPath::all(&values);
            let mut again = json!({});
            for key in &keys {
                merge(&mut again, key.alone(key.value_in(&values).unwrap().clone()));
                prop_assert!(key.is_set_in(&values));
            }
            prop_assert_eq!(again, values);
            // Whatever is in them, each is known by its label, and by no other.
            let labels = marks(&keys, &BTreeMap::new());
            prop_assert_eq!(labels.len(), keys.len());
        }
    }

    #[test]
    fn a_key_is_set_by_what_is_above_it_too() {
        let key = KeyPath(vec!["db".to_owned(), "host".to_owned()]);
        assert!(key.is_set_in(&json!({"db": null})) && key.is_set_in(&json!({"db": "x"})));
        assert!(key.is_set_in(&json!({"db": {"host": {}}})));
        assert!(!key.is_set_in(&json!({"db": {}})) && !key.is_set_in(&json!({})));
    }

    #[test]
    fn marks_that_do_not_hold_any_more_are_taken_away() {
        let keys = KeyPath::all(&json!({"a": 1, "b": {"c.d": 2}}));
        let owned = |labels: BTreeMap<String, &str>| -> BTreeMap<String, String> {
            labels
                .into_iter()
                .map(|(key, value)| (key, value.to_owned()))
                .collect()
        };
        let both = owned(marks(&keys, &BTreeMap::new()));
        assert!(has_marks(&both) && keys.iter().all(|key| key.is_marked_in(&both)));
        let one = marks(&keys[1..], &both);
        assert_eq!(one.values().copied().filter(|value| *value == MARKED).count(), 1);
        assert_eq!(one[&keys[0].label()], "null");
        assert!(
            both.keys()
                .all(|label| label.split_once('/').unwrap().1.len() <= 63)
        );
        assert!(marks(&[], &BTreeMap::new()).is_empty());
    }
}
