//! Reading back words that are constants in this program; any other word is of another version.

use super::API_VERSION;
use aks_shared::ExitStatus;
use serde::de::{Deserialize, Deserializer, Error};

/// A constant of this program. Under its own name serde does not take it for text that is borrowed from the input.
pub type Word = &'static str;

/// The commands that runs are made by.
const COMMANDS: [&str; 3] = ["upgrade", "rollback", "uninstall"];

/// The version of this plugin's documents.
pub(crate) fn version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Word, D::Error> {
    one_of(deserializer, [API_VERSION])
}

/// The kind of the report.
pub(super) fn kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Word, D::Error> {
    one_of(deserializer, [super::KIND])
}

/// The command of a run.
pub(crate) fn command<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Word, D::Error> {
    one_of(deserializer, COMMANDS)
}

/// The name of an exit status.
pub(crate) fn exit_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Word, D::Error> {
    one_of(deserializer, ExitStatus::ALL.map(ExitStatus::name))
}

fn one_of<'de, D: Deserializer<'de>, const N: usize>(
    deserializer: D,
    words: [Word; N],
) -> Result<Word, D::Error> {
    let found = String::deserialize(deserializer)?;
    let known = words.into_iter().find(|word| *word == found);
    known.ok_or_else(|| D::Error::custom(format!("{found:?} is none of {}", words.join(", "))))
}
