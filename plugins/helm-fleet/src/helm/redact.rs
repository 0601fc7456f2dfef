//! Takes secrets out of what helm printed, before it reaches an event or a person.

use aks_shared::format;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::Value;
use std::collections::BTreeSet;

/// What is known to be secret; has no `Debug`.
#[derive(Clone, Default)]
pub struct Redaction {
    texts: BTreeSet<String>,
    /// Whether there are values that cannot be told.
    is_blind: bool,
}

/// What stands for an output whose secrets are not known.
const WITHHELD: &str = "[withheld: a values file cannot be read here, so what is secret in it is not known]";
/// Shorter ones would black out half of the text, and protect nothing.
const SHORTEST: usize = 6;

/// Parts of key names whose values are secret.
const SENSITIVE: [&str; 11] = [
    "password",
    "passwd",
    "pwd",
    "passphrase",
    "apikey",
    "accesskey",
    "secret",
    "token",
    "credential",
    "privatekey",
    "connectionstring",
];

impl Redaction {
    /// Learns the secret values of a values file. From one that cannot be parsed nothing is learned, and then
    /// nothing passes.
    #[must_use]
    pub fn with_file(self, yaml: &str) -> Self {
        // An empty file is no document to the parser.
        let has_content = yaml
            .lines()
            .any(|line| !line.trim().is_empty() && !line.starts_with('#'));
        match format::from_yaml::<Value>(yaml) {
            Ok(values) => self.with_values(&values),
            Err(_) if has_content => self.blind(),
            Err(_) => self,
        }
    }

    /// Learns the secret ones of merged values.
    #[must_use]
    pub fn with_values(mut self, values: &Value) -> Self {
        self.collect(values, Sensitivity::Plain);
        self
    }

    /// Learns values that are secret, whatever their names.
    #[must_use]
    pub fn with_secrets(mut self, values: &Value) -> Self {
        self.collect(values, Sensitivity::Secret);
        self
    }

    /// There are values that cannot be told, so nothing passes.
    #[must_use]
    pub fn blind(mut self) -> Self {
        self.is_blind = true;
        self
    }

    fn collect(&mut self, value: &Value, sensitivity: Sensitivity) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
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
            Value::String(text) if sensitivity == Sensitivity::Secret => self.learn(text),
            Value::Number(number) if sensitivity == Sensitivity::Secret => {
                self.learn(&number.to_string());
                self.texts.extend(number.as_f64().map(as_go_prints));
            }
            _ => {}
        }
    }

    /// Keeps a secret, each of its lines, as output is cut at lines, and its base64, as Kubernetes keeps it.
    fn learn(&mut self, secret: &str) {
        for part in std::iter::once(secret).chain(secret.lines().map(str::trim)) {
            if part.len() >= SHORTEST {
                self.texts.insert(part.to_owned());
                self.texts.insert(STANDARD_NO_PAD.encode(part));
                self.texts.insert(URL_SAFE_NO_PAD.encode(part));
            }
        }
    }

    /// The text with everything secret replaced.
    pub fn apply(&self, text: &str) -> String {
        if self.is_blind && !text.is_empty() {
            return WITHHELD.to_owned();
        }
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

/// A number as templates print it: to Helm all are floats, and large ones come out as `1.23456789e+08`.
fn as_go_prints(number: f64) -> String {
    let text = format!("{number:e}");
    match text.split_once('e') {
        Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent:0>2}"),
        _ => text,
    }
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
            .with_file("db: {password: canary-123456, user: orders}\napi_tokens: [canary-abcdef]\n");
        assert_eq!(
            redaction.apply("bad values: canary-123456 for orders,\n canary-abcdef"),
            "bad values: [redacted] for orders,\n [redacted]"
        );
    }

    #[test]
    fn keys_and_numbers_are_secrets_too_and_all_in_base64() {
        let values = serde_json::json!({"apiKey": "canary-key", "db": {"pwd": 123_456_789, "port": 5_432_100},
            "storage": {"access-key": "canary/access"}, "privateKey": "-----BEGIN\nMIIcanary\n-----END"});
        let redaction = Redaction::default().with_values(&values);
        for secret in [
            "canary-key",
            "123456789",
            "1.23456789e+08",
            "canary/access",
            "MIIcanary",
            "Y2FuYXJ5LWtleQ",
            "MTIzNDU2Nzg5",
        ] {
            assert_eq!(redaction.apply(&format!("a {secret} b")), "a [redacted] b");
        }
        assert_eq!(redaction.apply("port 5432100"), "port 5432100");
    }

    #[test]
    fn nothing_passes_when_a_file_cannot_be_parsed() {
        let redaction = Redaction::default().with_file("password: {canary-123456");
        assert_eq!(redaction.apply("canary-123456"), WITHHELD);
        assert_eq!(redaction.apply(""), "");
        assert_eq!(Redaction::default().with_file("# none yet\n").apply("x"), "x");
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
