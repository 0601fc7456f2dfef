//! Reading and writing JSON and YAML; the only module that names a YAML library.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a command writes to its standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
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
}

impl OutputFormat {
    /// Whether programs read the output.
    pub const fn is_document(self) -> bool {
        matches!(self, Self::Json | Self::Yaml)
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

/// Reads one YAML (or JSON) document.
pub fn from_yaml<T: DeserializeOwned>(text: &str) -> Result<T, FormatError> {
    Ok(serde_yaml::from_str(text)?)
}

/// Writes a value as YAML for people. What Helm or kubectl will read is written by [`to_json`]: YAML 1.2 leaves
/// strings such as `yes` unquoted and YAML 1.1 reads them as booleans.
pub fn to_yaml<T: Serialize>(value: &T) -> Result<String, FormatError> {
    Ok(serde_yaml::to_string(value)?)
}

/// Writes a value as indented JSON with a final newline.
pub fn to_json<T: Serialize>(value: &T) -> Result<String, FormatError> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    Ok(text)
}
