//! Reading and writing files, with the path in every error.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A file that could not be read, written or understood.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct FileError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl FileError {
    /// An error about `path`; `action` completes "cannot …".
    pub fn new(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self {
            action,
            path: path.to_owned(),
            source,
        }
    }

    /// True where the file is simply not there.
    pub fn is_missing(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

/// The text of a file.
pub fn read(path: &Path) -> Result<String, FileError> {
    fs::read_to_string(path).map_err(|source| FileError::new("read", path, source))
}

/// A JSON document.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, FileError> {
    serde_json::from_str(&read(path)?).map_err(|error| FileError::new("understand", path, error.into()))
}

/// Replaces a file whole (a reader sees the old or the new one), readable by its owner only.
pub fn write(path: &Path, text: &str) -> Result<(), FileError> {
    let temporary = path.with_added_extension("new");
    let replace = || {
        let mut options = fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&temporary, path)
    };
    replace().map_err(|source| FileError::new("write", path, source))
}

/// Replaces a JSON document whole.
pub fn write_json<T: Serialize>(path: &Path, document: &T) -> Result<(), FileError> {
    let text = serde_json::to_string_pretty(document)
        .map_err(|error| FileError::new("write", path, error.into()))?;
    write(path, &(text + "\n"))
}

/// Creates a folder and those above it.
pub fn create_folder(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).map_err(|source| FileError::new("create", path, source))
}

/// Removes a folder and all in it; one that is not there is fine.
pub fn remove_folder(path: &Path) -> Result<(), FileError> {
    match fs::remove_dir_all(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(FileError::new("remove", path, source))
        }
        _ => Ok(()),
    }
}

/// Copies a folder with all in it.
pub fn copy_folder(from: &Path, to: &Path) -> Result<(), FileError> {
    create_folder(to)?;
    let entries = fs::read_dir(from).map_err(|source| FileError::new("read", from, source))?;
    for entry in entries {
        let source = entry
            .map_err(|source| FileError::new("read", from, source))?
            .path();
        let target = to.join(source.file_name().unwrap_or_default());
        if source.is_dir() {
            copy_folder(&source, &target)?;
        } else {
            fs::copy(&source, &target).map_err(|error| FileError::new("copy", &source, error))?;
        }
    }
    Ok(())
}

/// A path as a user in this folder would write it.
pub fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}

/// Makes `link` point to `target`, whatever it was before.
pub fn link(target: &Path, link: &Path) -> Result<(), FileError> {
    let replace = || {
        match fs::remove_file(link) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(source),
            _ => {}
        }
        std::os::unix::fs::symlink(target, link)
    };
    replace().map_err(|source| FileError::new("link", link, source))
}

/// The last `count` lines of a log, empty where there is none.
pub fn last_lines(path: &Path, count: usize) -> Vec<String> {
    let Ok(bytes) = fs::read(path) else {
        return Vec::new();
    };
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(count)..]
        .iter()
        .map(ToString::to_string)
        .collect()
}
