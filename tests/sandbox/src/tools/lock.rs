//! Keeps two sandboxes from building into the cache at once.

use super::ToolsError;
use std::fs::{File, TryLockError};
use std::path::Path;

const FILE_NAME: &str = ".lock";

/// Held while the cache is written; the system releases it when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct CacheLock {
    _file: File,
}

impl CacheLock {
    /// Waits until no other process writes to the cache, and creates the cache if it is absent.
    pub(super) fn take(cache: &Path, progress: &mut dyn FnMut(&str)) -> Result<Self, ToolsError> {
        std::fs::create_dir_all(cache).map_err(ToolsError::file("create", cache))?;
        let path = cache.join(FILE_NAME);
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(ToolsError::file("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                progress("waiting for another process that builds tools");
                file.lock().map_err(ToolsError::file("lock", &path))?;
            }
            Err(TryLockError::Error(error)) => return Err(ToolsError::file("lock", &path)(error)),
        }
        Ok(Self { _file: file })
    }
}
