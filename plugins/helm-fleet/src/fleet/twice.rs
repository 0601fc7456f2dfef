//! Keys that a fleet file has twice in one place: YAML's readers keep the last one without a word.

use aks_shared::format;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeSet;
use std::fmt;

/// Every key that a text has twice, each once; none of a text that is no YAML.
pub(super) fn keys(text: &str) -> BTreeSet<String> {
    let mut twice = BTreeSet::new();
    if let Ok(node) = format::from_yaml::<Node>(text) {
        node.collect("", &mut twice);
    }
    twice
}

/// A YAML document as far as its keys go, each as often as it is there.
enum Node {
    Scalar,
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    fn collect(&self, key: &str, twice: &mut BTreeSet<String>) {
        match self {
            Self::Scalar => {}
            Self::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    item.collect(&format!("{key}[{index}]"), twice);
                }
            }
            Self::Map(members) => {
                let mut seen = BTreeSet::new();
                for (name, member) in members {
                    let separator = if key.is_empty() { "" } else { "." };
                    let below = format!("{key}{separator}{name}");
                    member.collect(&below, twice);
                    if !seen.insert(name) {
                        twice.insert(below);
                    }
                }
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("anything")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_str<E>(self, _: &str) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Node::Map(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_that_is_there_twice_is_told_by_its_place() {
        let text = "a: {b: 1, c: {d: 1, d: ~, d: x}}\nlist: [{e: 1.5}, {e: true, e: -1}]\na: 2\n";
        let found: Vec<String> = keys(text).into_iter().collect();
        assert_eq!(found, ["a", "a.c.d", "list[1].e"]);
        assert!(keys("a: 1\nb: {a: 1}\n").is_empty());
        assert!(keys("a: [").is_empty());
    }
}
