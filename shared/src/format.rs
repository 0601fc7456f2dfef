//! Reading and writing JSON and YAML; the only module that names a YAML library.

use clap::ValueEnum;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use serde::Serialize;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

/// What the flag calls a stream of events.
const NDJSON: &str = "ndjson";

/// What a command writes to its standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum OutputFormat {
    /// Columns for people; no contract.
    #[default]
    Table,
    /// Columns with more detail.
    Wide,
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
    /// One `kind/name` line per object.
    Name,
    /// Helm values.
    Values,
    /// The events of a run as they happen, one JSON document per line. Only commands that have events take it.
    #[value(skip)]
    Ndjson,
}

impl OutputFormat {
    /// Reads the formats that every command has; a command with more of them says so itself.
    pub(crate) fn of_every_command() -> impl TypedValueParser<Value = Self> {
        let names = [Self::Table, Self::Wide, Self::Json, Self::Yaml, Self::Name];
        let known = names.iter().filter_map(Self::to_possible_value);
        PossibleValuesParser::new(known).try_map(|name| <Self as ValueEnum>::from_str(&name, false))
    }

    /// Reads the formats that commands with events have besides.
    pub fn of_commands_with_events() -> impl TypedValueParser<Value = Self> {
        let names = [Self::Table, Self::Wide, Self::Json, Self::Yaml, Self::Name];
        let known = names.iter().filter_map(Self::to_possible_value);
        PossibleValuesParser::new(known.chain([PossibleValue::new(NDJSON)])).try_map(|name| {
            match name.as_str() {
                NDJSON => Ok(Self::Ndjson),
                name => <Self as ValueEnum>::from_str(name, false),
            }
        })
    }

    /// Whether programs read the output.
    pub const fn is_document(self) -> bool {
        matches!(self, Self::Json | Self::Yaml | Self::Ndjson)
    }
}

/// A text could not be read or a value could not be written.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The text is not valid YAML, or lacks what the type needs.
    #[error("not valid YAML for this purpose")]
    Yaml(#[from] serde_yaml::Error),
    /// The value cannot be written as JSON.
    #[error("not valid JSON for this purpose")]
    Json(#[from] serde_json::Error),
}

impl FormatError {
    /// The line and the column at which a text is wrong, both from 1, where that is known.
    pub fn location(&self) -> Option<(usize, usize)> {
        match self {
            Self::Yaml(error) => error.location().map(|at| (at.line(), at.column())),
            Self::Json(_) => None,
        }
    }

    /// What is wrong with a text, with its key and without its place; to a name that is not known the nearest known
    /// one is added.
    pub fn what(&self) -> String {
        let mut what = crate::causes(self).join(": ");
        if let Some((line, column)) = self.location()
            && let Some(at) = what.rfind(&format!(" at line {line} column {column}"))
        {
            what.truncate(at);
        }
        if let Some(meant) = meant(&what) {
            what = format!("{what}; did you mean `{meant}`?");
        }
        what
    }
}

/// The known name that a message of serde about an unknown one probably means:
/// ``unknown field `a`, expected one of `b`, `c` ``.
fn meant(message: &str) -> Option<String> {
    let (_, names) = message
        .split_once("unknown field ")
        .or_else(|| message.split_once("unknown variant "))?;
    let mut names = names.split('`').skip(1).step_by(2);
    let given = names.next()?;
    nearest(given, names).map(str::to_owned)
}

/// The one of the known names that is so like the given one that it was probably meant.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |name: &str| strsim::jaro_winkler(&given.to_ascii_lowercase(), &name.to_ascii_lowercase());
    known
        .into_iter()
        .map(|name| (likeness(name), name))
        // As clap judges its own names.
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, name)| name)
}

/// Reads a text by a function, for `deserialize_with`. What is wrong with it is told with the place of the text itself,
/// as only what fails inside a visitor is.
pub fn parsed<'de, D, T, E>(deserializer: D, read: fn(&str) -> Result<T, E>) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    E: std::fmt::Display,
{
    deserializer.deserialize_str(Text(read))
}

struct Text<T, E>(fn(&str) -> Result<T, E>);

impl<T, E: std::fmt::Display> Visitor<'_> for Text<T, E> {
    type Value = T;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a text")
    }

    fn visit_str<F: de::Error>(self, text: &str) -> Result<T, F> {
        (self.0)(text).map_err(F::custom)
    }
}

/// The line and the column of a key of a YAML text, both from 1: `clusters[2].labels.env`. Of a key that is not there,
/// those of the innermost part that is; of a text that is no YAML none.
pub fn location_of(text: &str, key: &str) -> Option<(usize, usize)> {
    let error = Seek(key)
        .deserialize(serde_yaml::Deserializer::from_str(text))
        .err()?;
    error.location().map(|at| (at.line(), at.column()))
}

/// Walks along a key and stops there by an error, since only errors know their place.
struct Seek<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("something else")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            let below = self.0.strip_prefix(name.as_str());
            // The names of members may have dots themselves.
            match below.filter(|rest| rest.is_empty() || rest.starts_with(['.', '['])) {
                Some(rest) => return map.next_value_seed(Seek(rest.strip_prefix('.').unwrap_or(rest))),
                None => map.next_value::<IgnoredAny>()?,
            };
        }
        Err(de::Error::custom("here"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let inside = self.0.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let Some((index, rest)) = inside.and_then(|(index, rest)| Some((index.parse::<usize>().ok()?, rest)))
        else {
            return Err(de::Error::custom("here"));
        };
        for _ in 0..index {
            list.next_element::<IgnoredAny>()?;
        }
        let found = list.next_element_seed(Seek(rest.strip_prefix('.').unwrap_or(rest)))?;
        found.ok_or_else(|| de::Error::custom("here"))
    }
}

/// Reads one YAML (or JSON) document.
pub fn from_yaml<T: DeserializeOwned>(text: &str) -> Result<T, FormatError> {
    Ok(serde_yaml::from_str(text)?)
}

/// Writes a value as YAML for people. What Helm or kubectl will read is written by [`to_json`]: YAML 1.2 leaves
/// strings such as `yes` unquoted and YAML 1.1 reads them as booleans.
pub fn to_yaml<T: Serialize>(value: &T) -> Result<String, FormatError> {
    Ok(serde_yaml::to_string(value)?)
}

/// Writes a value as JSON on one line, with a newline.
pub(crate) fn to_json_line<T: Serialize>(value: &T) -> Result<String, FormatError> {
    let mut text = serde_json::to_string(value)?;
    text.push('\n');
    Ok(text)
}

/// Writes a value as indented JSON with a final newline.
pub fn to_json<T: Serialize>(value: &T) -> Result<String, FormatError> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_in_a_text() {
        let text = "a: 1\nlist:\n  - x\n  - {deep: 2, other: 3}\ntree:\n  azure.io/id: here\n  b: {}\n";
        for (key, place) in [
            ("a", (1, 4)),
            ("list[1].other", (4, 22)),
            ("tree.azure.io/id", (6, 16)),
            ("tree.b", (7, 6)),
            ("tree.b.absent", (7, 6)),
        ] {
            assert_eq!(location_of(text, key), Some(place), "{key}");
        }
        assert!(location_of(text, "list[7]").is_some());
        assert!(location_of(text, "absent").is_some());
    }

    #[test]
    fn a_misspelled_name_is_told_with_the_nearest_known_one() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        #[expect(dead_code, reason = "only its errors are looked at")]
        struct Stage {
            max_failures: u8,
            name: String,
        }
        let told = |text: &str| from_yaml::<Stage>(text).unwrap_err().what();
        let what = told("maxFailurs: 1");
        assert!(
            what.starts_with("unknown field `maxFailurs`, expected `maxFailures` or `name`"),
            "{what}"
        );
        assert!(what.ends_with("did you mean `maxFailures`?"), "{what}");
        assert!(!told("zzz: 1").contains("did you mean"));
    }
}
