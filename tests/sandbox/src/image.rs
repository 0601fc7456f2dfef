//! Container images made of programs of this machine: an OCI image layout in one tar, without a registry
//! and without a container engine.
//!
//! The same content gives the same bytes: no times, no owners, entries in a fixed order.

mod archive;
pub(crate) mod elf;
mod standard;

pub use standard::{BUSYBOX, DEMO_APP, PAUSE, WI_PROBE, busybox, demo_app, pause, wi_probe};

use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// What an image holds and how it is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The full name under which it is imported, such as `pause.sandbox/pause:dev`.
    pub reference: String,
    /// What is run.
    pub entrypoint: Vec<String>,
    /// Variables of the process, in order.
    pub environment: Vec<(String, String)>,
    /// The user of the process, numeric so that `runAsNonRoot` can be checked.
    pub user: String,
    /// Its files; the directories above them are made.
    pub entries: Vec<Entry>,
}

/// One file of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its absolute path in the image.
    pub path: String,
    /// What it is.
    pub content: Content,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// The bytes of a file of this machine.
    File {
        /// The file of this machine.
        host: PathBuf,
        /// Its permissions in the image.
        mode: u32,
    },
    /// A symbolic link.
    Link {
        /// Where it points to, in the image.
        target: String,
    },
    /// An empty directory.
    Directory {
        /// Its permissions in the image.
        mode: u32,
    },
}

impl Entry {
    /// A program: a file that everybody may run.
    pub fn program(path: impl Into<String>, host: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            content: Content::File {
                host: host.into(),
                mode: 0o755,
            },
        }
    }

    /// A symbolic link.
    pub fn link(path: impl Into<String>, target: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            content: Content::Link {
                target: target.into(),
            },
        }
    }

    /// An empty directory.
    pub fn directory(path: impl Into<String>, mode: u32) -> Self {
        Self {
            path: path.into(),
            content: Content::Directory { mode },
        }
    }
}

/// Why an image could not be written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ImageError {
    /// A file of this machine could not be read.
    #[error("could not read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The archive could not be written.
    #[error("could not write {}", path.display())]
    Write {
        /// The archive.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A program needs a dynamic linker, which the image does not have.
    #[error("{} is not static, it would not start in an image", path.display())]
    NotStatic {
        /// The program.
        path: PathBuf,
    },
    /// A path in the image is not absolute or leaves the image.
    #[error("`{path}` is not an absolute path inside an image")]
    BadPath {
        /// The path as given.
        path: String,
    },
    /// The name of the image has no tag.
    #[error("`{reference}` does not name an image with a tag")]
    BadReference {
        /// The name as given.
        reference: String,
    },
}

impl Image {
    /// The same image under another name.
    #[must_use]
    pub fn named(self, reference: impl Into<String>) -> Self {
        Self {
            reference: reference.into(),
            ..self
        }
    }

    /// Writes the image to a file, in one step: another reader sees the old archive or the new one. Returns the digest
    /// by which registries know it.
    ///
    /// # Errors
    /// Fails when an entry is no valid path, a file cannot be read, or the archive cannot be written.
    pub fn write(&self, archive: &Path) -> Result<String, ImageError> {
        let packed = archive::pack(self)?;
        let failed = |source| ImageError::Write {
            path: archive.to_owned(),
            source,
        };
        let directory = archive
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let mut unfinished = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
        io::Write::write_all(&mut unfinished, &packed.bytes).map_err(failed)?;
        unfinished.persist(archive).map_err(|error| failed(error.error))?;
        Ok(packed.digest)
    }
}
