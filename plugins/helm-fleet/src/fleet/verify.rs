//! The part of the fleet file that says how a release is verified, beside the token exchange of its identities.

use super::duration;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::time::Duration;

/// One check of a release: exactly one of these.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct VerifySpec {
    /// `helm test`: the chart's own tests.
    pub helm_test: Option<HelmTestSpec>,
    /// A request from here.
    pub http: Option<HttpSpec>,
    /// A program of the user's.
    pub command: Option<CommandSpec>,
}

/// `helm test`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct HelmTestSpec {
    /// Whether the logs of the test pods are told when a test fails.
    pub logs: bool,
}

/// A GET request from here, repeated until it is answered as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpSpec {
    /// The address; may hold `{{ }}`.
    pub url: String,
    /// The status that is wanted.
    #[serde(default = "ok")]
    pub expect: u16,
    /// How many times in a row.
    #[serde(default = "once")]
    pub successes: u32,
    /// How long between two requests.
    #[serde(default = "two_seconds", deserialize_with = "duration")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub interval: Duration,
    /// How long it is tried.
    #[serde(default = "a_minute", deserialize_with = "duration")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub timeout: Duration,
}

/// A program that ends with 0 when all is well; its words, or `{args, timeout}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandSpec {
    /// The program and its arguments; each may hold `{{ }}`.
    pub args: Vec<String>,
    /// How long it may run.
    pub timeout: Duration,
}

impl VerifySpec {
    /// What contradicts itself; `key` is its place in the file.
    pub fn problem(&self, key: &str) -> Option<String> {
        let given = [
            self.helm_test.is_some(),
            self.http.is_some(),
            self.command.is_some(),
        ];
        if given.iter().filter(|given| **given).count() != 1 {
            return Some(format!("{key}: give one of helmTest, http and command"));
        }
        if self
            .command
            .as_ref()
            .is_some_and(|command| command.args.is_empty())
        {
            return Some(format!("{key}.command: name a program"));
        }
        None
    }
}

const fn ok() -> u16 {
    200
}

const fn once() -> u32 {
    1
}

const fn two_seconds() -> Duration {
    Duration::from_secs(2)
}

const fn a_minute() -> Duration {
    Duration::from_mins(1)
}

const fn five_minutes() -> Duration {
    Duration::from_mins(5)
}

/// The long form of a command.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct LongCommand {
    args: Vec<String>,
    #[serde(default = "five_minutes", deserialize_with = "duration")]
    #[cfg_attr(test, schemars(with = "String"))]
    timeout: Duration,
}

impl<'de> Deserialize<'de> for CommandSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CommandVisitor;
        impl<'de> Visitor<'de> for CommandVisitor {
            type Value = CommandSpec;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of words, or {args: [WORD, …], timeout: DURATION}")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, words: A) -> Result<CommandSpec, A::Error> {
                Ok(CommandSpec {
                    args: Vec::deserialize(de::value::SeqAccessDeserializer::new(words))?,
                    timeout: five_minutes(),
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<CommandSpec, A::Error> {
                let long = LongCommand::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(CommandSpec {
                    args: long.args,
                    timeout: long.timeout,
                })
            }
        }
        deserializer.deserialize_any(CommandVisitor)
    }
}

#[cfg(test)]
impl schemars::JsonSchema for CommandSpec {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "CommandSpec".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let (words, long) = (
            generator.subschema_for::<Vec<String>>(),
            generator.subschema_for::<LongCommand>(),
        );
        schemars::json_schema!({
            "description": "A program that ends with 0 when all is well; its words, or `{args, timeout}`.",
            "oneOf": [words, long],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(value: Value) -> VerifySpec {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn checks_are_read() {
        assert!(
            read(json!({"helmTest": {}}))
                .helm_test
                .is_some_and(|test| !test.logs)
        );
        let http = read(json!({"http": {"url": "https://a/healthz", "expect": 204}}))
            .http
            .unwrap();
        assert_eq!(
            (http.expect, http.successes, http.timeout),
            (204, 1, Duration::from_mins(1))
        );
        let short = read(json!({"command": ["./smoke.sh", "-v"]})).command.unwrap();
        assert_eq!((short.args.len(), short.timeout), (2, Duration::from_mins(5)));
        let long = read(json!({"command": {"args": ["./smoke.sh"], "timeout": "30s"}}))
            .command
            .unwrap();
        assert_eq!(long.timeout, Duration::from_secs(30));
    }

    #[test]
    fn a_check_is_exactly_one() {
        for (check, is_right) in [
            (json!({}), false),
            (json!({"helmTest": {}, "command": ["a"]}), false),
            (json!({"command": []}), false),
            (json!({"command": ["a"]}), true),
        ] {
            assert_eq!(
                read(check.clone()).problem("verify[0]").is_none(),
                is_right,
                "{check}"
            );
        }
        assert!(serde_json::from_value::<VerifySpec>(json!({"https": {}})).is_err());
    }
}
