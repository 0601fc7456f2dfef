//! Digests of what a release is made of. Every part is written with its name and length, so that no two
//! different contents run together.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// How many hexadecimal digits of a digest a Kubernetes label carries (of at most 63 characters).
pub const LABEL_DIGITS: usize = 40;

/// The plain SHA-256 of a content, hexadecimal.
pub fn of_bytes(content: &[u8]) -> String {
    Hasher(Sha256::new_with_prefix(content)).hex()
}

/// A digest in the making.
#[derive(Debug, Clone)]
pub struct Hasher(Sha256);

impl Hasher {
    /// Starts a digest of one kind of thing.
    pub fn new(kind: &str) -> Self {
        Self(Sha256::new()).bytes("kind", kind.as_bytes())
    }

    /// Adds a named part.
    #[must_use]
    pub fn bytes(mut self, name: &str, content: &[u8]) -> Self {
        for part in [name.as_bytes(), content] {
            self.0.update((part.len() as u64).to_be_bytes());
            self.0.update(part);
        }
        self
    }

    /// Adds a JSON value, whatever the order of its members.
    #[must_use]
    pub fn json(self, name: &str, value: &Value) -> Self {
        let mut text = String::new();
        write_canonical(value, &mut text);
        self.bytes(name, text.as_bytes())
    }

    /// The digest, hexadecimal.
    pub fn hex(self) -> String {
        use std::fmt::Write;
        self.0
            .finalize()
            .iter()
            .fold(String::with_capacity(64), |mut text, byte| {
                // Writing to a String cannot fail.
                let _ = write!(text, "{byte:02x}");
                text
            })
    }
}

fn write_canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(members) => {
            // The map's own order depends on a feature that any dependency may switch on.
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by_key(|(name, _)| *name);
            text.push('{');
            for (name, member) in sorted {
                text.push_str(&Value::String(name.clone()).to_string());
                text.push(':');
                write_canonical(member, text);
                text.push(',');
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for item in items {
                write_canonical(item, text);
                text.push(',');
            }
            text.push(']');
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn parts_do_not_run_together() {
        let one = Hasher::new("x").bytes("a", b"bc").hex();
        let two = Hasher::new("x").bytes("ab", b"c").hex();
        assert_ne!(one, two);
        assert_eq!(one.len(), 64);
    }

    #[test]
    fn the_order_of_members_does_not_matter_but_that_of_items_does() {
        let digest = |value| Hasher::new("x").json("v", &value).hex();
        let reordered: Value = serde_json::from_str(r#"{"b": 2, "a": [1, 2]}"#).unwrap();
        assert_eq!(digest(json!({"a": [1, 2], "b": 2})), digest(reordered));
        assert_ne!(digest(json!([1, 2])), digest(json!([2, 1])));
        assert_ne!(digest(json!("1")), digest(json!(1)));
    }
}
