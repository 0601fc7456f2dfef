//! Reading a file that `-f` names: which kind it is, and where it is wrong, by line, column and key.

use aks_shared::failure::API_VERSION;
use aks_shared::format::{self, FormatError};
use aks_shared::{ExitStatus, Failure};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is of another kind or version.
    #[error("{} is of apiVersion {api_version:?} and kind {kind:?}, and {expected} is wanted", path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// What it says.
        api_version: String,
        /// What it says.
        kind: String,
        /// What it should say.
        expected: String,
    },
    /// Something in it is wrong.
    #[error("{}: {what}", place(path, *location))]
    Content {
        /// The file.
        path: PathBuf,
        /// Line and column, where they are known.
        location: Option<(usize, usize)>,
        /// What, with its key.
        what: String,
    },
}

fn place(path: &Path, location: Option<(usize, usize)>) -> String {
    match location {
        Some((line, column)) => format!("{}:{line}:{column}", path.display()),
        None => path.display().to_string(),
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        Self::from_error(ExitStatus::Usage, &error)
            .hint("see what a file may say: kubectl wi setup --print-schema")
    }
}

/// The head that every file has.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Head {
    api_version: String,
    kind: String,
}

impl Default for Head {
    fn default() -> Self {
        let none = || "(none)".to_owned();
        Self {
            api_version: none(),
            kind: none(),
        }
    }
}

/// A file that was read, and its kind.
#[derive(Debug, Clone)]
pub(crate) struct FileText {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// The kind that it says it is.
    pub(crate) kind: String,
    text: String,
}

impl FileText {
    /// The content, as the kind has it.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, FileError> {
        parse(&self.path, &self.text)
    }
}

/// Reads a file whose kind must be one of `kinds`; `-` is standard input.
pub(crate) fn read(path: &Path, kinds: &[&str]) -> Result<FileText, FileError> {
    let read = if path == Path::new("-") {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(path)
    };
    let text = read.map_err(|source| FileError::Read {
        path: path.to_owned(),
        source,
    })?;
    let head: Head = parse(path, &text)?;
    if head.api_version != API_VERSION || !kinds.contains(&head.kind.as_str()) {
        return Err(FileError::Kind {
            path: path.to_owned(),
            api_version: head.api_version,
            kind: head.kind,
            expected: format!("apiVersion {API_VERSION:?}, kind {}", kinds.join(" or ")),
        });
    }
    Ok(FileText {
        path: path.to_owned(),
        kind: head.kind,
        text,
    })
}

/// Reads the text of a file; what is wrong is told with its place.
pub(super) fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, FileError> {
    format::from_yaml(text).map_err(|error: FormatError| FileError::Content {
        path: path.to_owned(),
        location: error.location(),
        what: error.what(),
    })
}

/// A value that the file has as a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parsed<T>(pub(crate) T);

impl<'de, T> Deserialize<'de> for Parsed<T>
where
    T: FromStr,
    T::Err: Display,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        format::parsed(deserializer, str::parse).map(Self)
    }
}
