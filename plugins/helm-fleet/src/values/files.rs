//! Values files, each read once: what the plan was made from is what every cluster gets.

use super::remote::RemoteContent;
use crate::digest::Hasher;
use crate::folder::RunFolder;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The values files of a fleet, as they were when they were first asked for.
#[derive(Debug)]
pub struct ValuesFiles {
    base: PathBuf,
    folder: Option<Arc<RunFolder>>,
    read: Mutex<BTreeMap<PathBuf, Option<KeptFile>>>,
    remote: Mutex<BTreeMap<String, RemoteContent>>,
}

/// A file that was read.
#[derive(Debug, Clone)]
pub struct KeptFile {
    /// Where it is kept, or where it was read.
    pub path: PathBuf,
    /// Digest of its content.
    pub digest: String,
}

impl ValuesFiles {
    /// Files whose names start at `base`, read where they are.
    pub fn new(base: &Path) -> Self {
        Self {
            base: base.to_owned(),
            folder: None,
            read: Mutex::default(),
            remote: Mutex::default(),
        }
    }

    /// The same, copied to the run's folder.
    pub fn kept_in(base: &Path, folder: Arc<RunFolder>) -> Self {
        Self {
            folder: Some(folder),
            ..Self::new(base)
        }
    }

    /// Keeps what helm read at an address.
    pub fn learn(&self, address: &str, content: RemoteContent) {
        let mut remote = self.remote.lock().unwrap_or_else(PoisonError::into_inner);
        remote.insert(address.to_owned(), content);
    }

    /// What helm read at an address, when it was asked.
    pub fn remote(&self, address: &str) -> Option<RemoteContent> {
        let remote = self.remote.lock().unwrap_or_else(PoisonError::into_inner);
        remote.get(address).cloned()
    }

    /// Where a file is in truth.
    pub fn source(&self, name: &str) -> PathBuf {
        self.base.join(name)
    }

    /// A file by its name; none when it does not exist.
    pub fn get(&self, name: &str) -> io::Result<Option<KeptFile>> {
        let source = self.source(name);
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = read.get(&source) {
            return Ok(known.clone());
        }
        let kept = match std::fs::read(&source) {
            Ok(content) => Some(KeptFile {
                path: match &self.folder {
                    Some(folder) => folder.write(&format!("values-{}.yaml", read.len()), &content)?,
                    None => source.clone(),
                },
                digest: Hasher::new("file").bytes("content", &content).hex(),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        read.insert(source, kept.clone());
        Ok(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_stays_what_it_was_when_it_was_read() {
        let directory = tempfile::tempdir().unwrap();
        let source = directory.path().join("prod.yaml");
        std::fs::write(&source, "a: 1").unwrap();
        let files = ValuesFiles::kept_in(directory.path(), Arc::new(RunFolder::create().unwrap()));
        let first = files.get("prod.yaml").unwrap().unwrap();
        assert!(files.get("later.yaml").unwrap().is_none());
        std::fs::write(&source, "a: 2").unwrap();
        std::fs::write(directory.path().join("later.yaml"), "").unwrap();
        let second = files.get("prod.yaml").unwrap().unwrap();
        assert_eq!((&second.path, &second.digest), (&first.path, &first.digest));
        assert_eq!(std::fs::read_to_string(&second.path).unwrap(), "a: 1");
        assert!(files.get("later.yaml").unwrap().is_none());
    }
}
