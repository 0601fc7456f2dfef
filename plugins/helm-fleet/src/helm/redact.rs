//! Takes secrets out of what helm printed, before it reaches an event or a person.

use aks_shared::format;
use serde_json::Value;
use std::collections::BTreeSet;

/// What is known to be secret; has no `Debug`.
#[derive(Clone, Default)]
pub struct Redaction {
    texts: BTreeSet<String>,
}

/// Parts of key names whose values are secret.
const SENSITIVE: [&str; 7] = [
    "password",
    "passwd",
    "secret",
    "token",
    "credential",
    "privatekey",
    "connectionstring",
];

impl Redaction {
    /// Learns the secret values of a values file.
    #[must_use]
    pub fn with_values(mut self, yaml: &str) -> Self {
        if let Ok(values) = format::from_yaml::<Value>(yaml) {
            self.collect(&values, Sensitivity::Plain);
        }
        self
    }

    fn collect(&mut self, value: &Value, sensitivity: Sensitivity) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    let plain: String = name.chars().filter(|c| *c != '-' && *c != '_').collect();
                    let plain = plain.to_ascii_lowercase();
                    let sensitive = SENSITIVE.iter().any(|part| plain.contains(part));
                    self.collect(
                        member,
                        if sensitive {
                            Sensitivity::Secret
                        } else {
                            sensitivity
                        },
                    );
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.collect(item, sensitivity)),
            // Short ones would black out half of the text, and protect nothing.
            Value::String(text) if sensitivity == Sensitivity::Secret && text.len() >= 6 => {
                self.texts.insert(text.clone());
            }
            _ => {}
        }
    }

    /// The text with everything secret replaced.
    pub fn apply(&self, text: &str) -> String {
        let mut text = text.to_owned();
        // Longer ones first: one may be part of another.
        let mut known: Vec<&String> = self.texts.iter().collect();
        known.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        for secret in known {
            text = text.replace(secret.as_str(), "[redacted]");
        }
        text.split_inclusive(char::is_whitespace)
            .map(redact_word)
            .collect()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sensitivity {
    Plain,
    Secret,
}

/// Tokens and signatures are known by their shape, wherever they come from.
fn redact_word(word: &str) -> String {
    let trimmed = word.trim_end();
    let rest = &word[trimmed.len()..];
    // Every JWT starts with the base64 of `{"`.
    let token = trimmed
        .find("eyJ")
        .filter(|start| trimmed[*start..].matches('.').count() >= 2);
    let signature = ["sig=", "access_token=", "client_secret="]
        .iter()
        .find_map(|key| trimmed.find(key));
    match token.or(signature) {
        Some(start) => format!("{}[redacted]{rest}", &trimmed[..start]),
        None => word.to_owned(),
    }
}

/// The last lines of an output, at most `limit`.
pub fn tail(text: &str, limit: usize) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(limit)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_sensitive_keys_disappear() {
        let redaction = Redaction::default()
            .with_values("db: {password: canary-123456, user: orders}\napi_tokens: [canary-abcdef]\n");
        assert_eq!(
            redaction.apply("bad values: canary-123456 for orders,\n canary-abcdef"),
            "bad values: [redacted] for orders,\n [redacted]"
        );
    }

    #[test]
    fn tokens_and_signed_addresses_disappear() {
        let redaction = Redaction::default();
        assert_eq!(
            redaction.apply("Bearer eyJhbGci.eyJzdWIi.c2ln end"),
            "Bearer [redacted] end"
        );
        assert_eq!(
            redaction.apply("https://x/y?sv=1&sig=abc\nz"),
            "https://x/y?sv=1&[redacted]\nz"
        );
    }

    #[test]
    fn a_tail_is_the_last_lines() {
        assert_eq!(tail("a\nb\n\nc\n", 2), "b\nc");
        assert_eq!(tail("", 2), "");
    }
}
