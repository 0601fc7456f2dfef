//! What earlier versions of the recipes have left in the cache.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::lock::CacheLock;
use super::{Recipe, Toolbox, ToolsError};

/// What the folder of the test runner is called before its version.
const NEXTEST: &str = "cargo-nextest";
/// What the folders of Azure's SDKs for Python, beside those of the tools, are called before their key.
const PYTHON: &str = "python-sdk";

impl Toolbox {
    /// Folders that nothing of this checkout uses any more; another checkout would build them again.
    ///
    /// # Errors
    /// Fails when the cache cannot be read.
    pub fn stale(&self) -> Result<Vec<PathBuf>, ToolsError> {
        let ours = |name: &str| name == NEXTEST || Recipe::ALL.iter().any(|recipe| recipe.name == name);
        let mut stale: Vec<PathBuf> = folders(&self.directory)?
            .into_iter()
            .filter(|folder| kind(folder).is_some_and(ours))
            .filter(|folder| !self.homes.values().any(|home| home == folder))
            .filter(|folder| !folder.ends_with(format!("{NEXTEST}-{}", crate::test::NEXTEST)))
            .collect();
        // Their keys are known to the tests that make them: all but the newest.
        let cache = self.directory.parent().unwrap_or(&self.directory);
        let mut sdks = folders(cache)?;
        sdks.retain(|folder| file_name(folder).starts_with(PYTHON));
        sdks.sort_by_key(|folder| modified(folder));
        sdks.pop();
        stale.extend(sdks);
        Ok(stale)
    }

    /// Removes them, but for what stands in `used`: the programs of running sandboxes. Returns what it removed.
    ///
    /// # Errors
    /// Fails when the cache cannot be read or a folder cannot be removed.
    pub fn prune(
        &self,
        used: &[PathBuf],
        progress: &mut dyn FnMut(&str),
    ) -> Result<Vec<PathBuf>, ToolsError> {
        let _lock = CacheLock::take(&self.directory, progress)?;
        let mut stale = self.stale()?;
        stale.retain(|folder| !used.iter().any(|program| program.starts_with(folder)));
        for folder in &stale {
            std::fs::remove_dir_all(folder).map_err(ToolsError::file("remove", folder))?;
        }
        Ok(stale)
    }
}

/// The folders in a folder; none where that is not there.
fn folders(folder: &Path) -> Result<Vec<PathBuf>, ToolsError> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(ToolsError::file("read", folder))?,
    };
    let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    let mut folders: Vec<PathBuf> = paths.filter(|path| path.is_dir()).collect();
    folders.sort();
    Ok(folders)
}

/// The name before the key or version.
fn kind(folder: &Path) -> Option<&str> {
    let (kind, _) = folder.file_name()?.to_str()?.rsplit_once('-')?;
    Some(kind)
}

fn file_name(folder: &Path) -> String {
    folder
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn modified(folder: &Path) -> Option<SystemTime> {
    std::fs::metadata(folder)
        .and_then(|metadata| metadata.modified())
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::Tool;

    #[test]
    fn only_what_earlier_recipes_left_goes() {
        let cache = tempfile::tempdir().expect("a temporary directory");
        let toolbox = Toolbox::open_in(cache.path()).expect("go and the recipes are here");
        let tools = cache.path().join("tools");
        let current = toolbox.path(Tool::Etcd).parent().expect("a home").to_owned();
        let nextest = tools.join(format!("{NEXTEST}-{}", crate::test::NEXTEST));
        let (old, used, old_nextest) = (
            tools.join("etcd-0123"),
            tools.join("kwok-0123"),
            tools.join("cargo-nextest-0.1.0"),
        );
        let (foreign, linked) = (tools.join("else-0123"), tools.join("provided"));
        let kept = [&current, &nextest, &used, &foreign, &linked];
        for folder in kept.into_iter().chain([&old, &old_nextest]) {
            std::fs::create_dir_all(folder).expect("a folder");
        }
        assert_eq!(toolbox.stale().expect("it can be read").len(), 3);
        let removed = toolbox
            .prune(&[used.join("kwok")], &mut |_| {})
            .expect("it works");
        assert_eq!(removed, [old_nextest, old]);
        assert!(kept.iter().all(|folder| folder.is_dir()));
        assert_eq!(
            toolbox.stale().expect("it can be read"),
            std::slice::from_ref(&used)
        );
    }

    #[test]
    fn the_newest_python_packages_stay() {
        let cache = tempfile::tempdir().expect("a temporary directory");
        let toolbox = Toolbox::open_in(cache.path()).expect("go and the recipes are here");
        let [older, newer] = ["python-sdk-2", "python-sdk-1"].map(|name| cache.path().join(name));
        for (folder, seconds) in [(&older, 100), (&newer, 200)] {
            std::fs::create_dir(folder).expect("a folder");
            let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            let handle = std::fs::File::open(folder).expect("it opens");
            handle.set_modified(time).expect("a time");
        }
        assert_eq!(toolbox.stale().expect("it can be read"), [older]);
    }
}
