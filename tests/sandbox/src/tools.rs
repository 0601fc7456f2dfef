//! The programs that a sandbox runs: built once from pinned recipes into a cache, and found there again.
//!
//! A recipe is a Go module below `tests/sandbox/go` that pins what is built. Its programs live in a
//! directory of the cache whose name is a digest of everything that decides their content, so a changed
//! recipe is another directory and two checkouts share what is equal.

mod build;
mod lock;
mod provided;
mod recipe;
mod stale;

use build::Go;
use lock::CacheLock;
use recipe::Recipe;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;
use thiserror::Error;

/// Names the directory of the cache; absent, the user's cache directory is used.
pub const CACHE_VARIABLE: &str = "AKS_SANDBOX_CACHE";

/// A program that a sandbox or its tests run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tool {
    /// `kube-apiserver`.
    KubeApiserver,
    /// `kube-controller-manager`.
    KubeControllerManager,
    /// `kube-scheduler`.
    KubeScheduler,
    /// `kubelet`.
    Kubelet,
    /// `kubectl`, of the same version as the clusters.
    Kubectl,
    /// `etcd`.
    Etcd,
    /// Helm 3; its file is named `helm`, alone in its directory.
    Helm3,
    /// Helm 4; its file is named `helm`, alone in its directory.
    Helm4,
    /// `kwok`, which makes pods ready without a kubelet.
    Kwok,
    /// The azure-workload-identity webhook.
    Webhook,
    /// `krew`.
    Krew,
    /// `validate-krew-manifest`, krew's own check of a plugin manifest.
    ValidateKrewManifest,
    /// The process of a pod's sandbox container.
    Pause,
    /// The demo's application on Azure's official SDK.
    DemoApp,
}

impl Tool {
    /// Every tool, in the order of declaration.
    pub const ALL: [Self; 14] = [
        Self::KubeApiserver,
        Self::KubeControllerManager,
        Self::KubeScheduler,
        Self::Kubelet,
        Self::Kubectl,
        Self::Etcd,
        Self::Helm3,
        Self::Helm4,
        Self::Kwok,
        Self::Webhook,
        Self::Krew,
        Self::ValidateKrewManifest,
        Self::Pause,
        Self::DemoApp,
    ];

    /// The name of the program's file.
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::KubeScheduler => "kube-scheduler",
            Self::Kubelet => "kubelet",
            Self::Kubectl => "kubectl",
            Self::Etcd => "etcd",
            Self::Helm3 | Self::Helm4 => "helm",
            Self::Kwok => "kwok",
            Self::Webhook => "azure-wi-webhook",
            Self::Krew => "krew",
            Self::ValidateKrewManifest => "validate-krew-manifest",
            Self::Pause => "pause",
            Self::DemoApp => "demo-app",
        }
    }
}

/// Why a tool could not be had.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ToolsError {
    /// Neither the cache variable nor a home directory is set.
    #[error("no cache directory: set {CACHE_VARIABLE} or HOME")]
    NoCacheDirectory,
    /// The Go tool is not on PATH.
    #[error("go was not found on PATH")]
    GoMissing,
    /// The Go tool could not be run.
    #[error("could not run `{command}`")]
    GoNotRun {
        /// The command line, shortened to what identifies it.
        command: String,
        /// Why it did not start.
        source: io::Error,
    },
    /// The Go tool answered with a failure.
    #[error("`{command}` in {} failed ({status}):\n{output}", directory.display())]
    GoFailed {
        /// The command line, shortened to what identifies it.
        command: String,
        /// The recipe that was built.
        directory: PathBuf,
        /// How the process ended.
        status: String,
        /// The last lines of its output.
        output: String,
    },
    /// The Go tool succeeded and did not leave the program.
    #[error("building {recipe} left no {file}")]
    ProgramMissing {
        /// The name of the recipe.
        recipe: &'static str,
        /// The name of the program's file.
        file: &'static str,
    },
    /// A file of a recipe or of the cache could not be read or written.
    #[error("could not {action} {}", path.display())]
    File {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl ToolsError {
    /// What the user can do about it, if it is known.
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::GoMissing => Some("install Go 1.26 or newer and put its bin directory on PATH"),
            Self::GoFailed { .. } => {
                Some("check that modules can be downloaded: `go env GOPROXY GOFLAGS GOTOOLCHAIN`")
            }
            Self::NoCacheDirectory
            | Self::GoNotRun { .. }
            | Self::ProgramMissing { .. }
            | Self::File { .. } => None,
        }
    }

    fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }
}

/// The cache of built programs.
#[derive(Debug)]
pub struct Toolbox {
    /// Holds one directory per built recipe.
    directory: PathBuf,
    /// Where the programs of each recipe are, built or not yet.
    homes: BTreeMap<&'static str, PathBuf>,
}

impl Toolbox {
    /// Opens the cache of the current user; nothing is built and nothing is written yet.
    ///
    /// # Errors
    /// Fails when Go is missing (its version is part of what names a program), or a recipe cannot be read.
    pub fn open() -> Result<Self, ToolsError> {
        Self::open_in(&cache()?)
    }

    fn open_in(cache: &Path) -> Result<Self, ToolsError> {
        let go = Go::find()?;
        let directory = cache.join("tools");
        let mut homes = BTreeMap::new();
        for recipe in Recipe::ALL {
            let key = recipe.key(go.release())?;
            homes.insert(recipe.name, directory.join(format!("{}-{key}", recipe.name)));
        }
        Ok(Self { directory, homes })
    }

    /// Where the tool is, or will be once [`Toolbox::ensure`] was asked for it.
    pub fn path(&self, tool: Tool) -> PathBuf {
        let built = self.built_path(tool);
        if built.is_file() {
            return built;
        }
        let link = self.provided_link(tool);
        if link.is_file() { link } else { built }
    }

    /// Makes every tool of the list present, building what is missing; safe to call from several processes.
    ///
    /// `progress` gets one line when a build starts and when it ends.
    ///
    /// # Errors
    /// Fails when a build fails or the cache cannot be written.
    pub fn ensure(&self, tools: &[Tool], progress: &mut dyn FnMut(&str)) -> Result<(), ToolsError> {
        if self.missing(tools).is_empty() {
            return Ok(());
        }
        let _lock = CacheLock::take(&self.directory, progress)?;
        build::remove_leftovers(&self.directory)?;
        // Another process may have built them while this one waited.
        for tool in self.missing(tools) {
            if let Some(path) = provided::find(tool, Recipe::of(tool).version) {
                self.link_provided(tool, &path)?;
                progress(&format!("using {} from {}", tool.file_name(), path.display()));
            }
        }
        for recipe in Recipe::ALL {
            let wanted = self
                .missing(tools)
                .into_iter()
                .any(|tool| Recipe::of(tool).name == recipe.name);
            if wanted {
                progress(&format!("building {}", recipe.title()));
                let started = Instant::now();
                build::build(recipe, &self.directory, self.home(recipe))?;
                progress(&format!(
                    "built {} in {} s",
                    recipe.title(),
                    started.elapsed().as_secs()
                ));
            }
        }
        Ok(())
    }

    fn missing(&self, tools: &[Tool]) -> Vec<Tool> {
        tools
            .iter()
            .copied()
            .filter(|tool| !self.path(*tool).is_file())
            .collect()
    }

    fn home(&self, recipe: &Recipe) -> &Path {
        self.homes
            .get(recipe.name)
            .expect("open_in gives every recipe a home")
    }

    fn built_path(&self, tool: Tool) -> PathBuf {
        self.home(Recipe::of(tool)).join(tool.file_name())
    }

    /// The link to a program of the same version that the machine already had.
    fn provided_link(&self, tool: Tool) -> PathBuf {
        let recipe = Recipe::of(tool);
        self.directory
            .join("provided")
            .join(format!("{}-{}", recipe.name, recipe.version))
            .join(tool.file_name())
    }

    fn link_provided(&self, tool: Tool, target: &Path) -> Result<(), ToolsError> {
        let link = self.provided_link(tool);
        let parent = link.parent().expect("the link is below the cache");
        std::fs::create_dir_all(parent).map_err(ToolsError::file("create", parent))?;
        match std::fs::remove_file(&link) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(ToolsError::file("remove", &link)(error));
            }
            _ => {}
        }
        std::os::unix::fs::symlink(target, &link).map_err(ToolsError::file("create", &link))
    }
}

/// The cache's directory of the current user.
pub fn cache() -> Result<PathBuf, ToolsError> {
    cache_directory(|name| std::env::var_os(name).filter(|value| !value.is_empty()))
}

/// The cache's directory, by the environment that `lookup` answers for.
fn cache_directory(lookup: impl Fn(&str) -> Option<std::ffi::OsString>) -> Result<PathBuf, ToolsError> {
    if let Some(own) = lookup(CACHE_VARIABLE) {
        return Ok(PathBuf::from(own));
    }
    if let Some(user) = lookup("XDG_CACHE_HOME") {
        return Ok(Path::new(&user).join("aks-sandbox"));
    }
    let home = lookup("HOME").ok_or(ToolsError::NoCacheDirectory)?;
    Ok(Path::new(&home).join(".cache").join("aks-sandbox"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(pairs: &[(&str, &str)]) -> Option<PathBuf> {
        let lookup = |name: &str| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.into());
        cache_directory(lookup).ok()
    }

    #[test]
    fn the_own_variable_wins_over_the_users_cache() {
        let all = [(CACHE_VARIABLE, "/a"), ("XDG_CACHE_HOME", "/b"), ("HOME", "/c")];
        assert_eq!(directory(&all), Some("/a".into()));
        assert_eq!(directory(&all[1..]), Some("/b/aks-sandbox".into()));
        assert_eq!(directory(&all[2..]), Some("/c/.cache/aks-sandbox".into()));
        assert_eq!(directory(&[]), None);
    }

    #[test]
    fn every_tool_is_built_by_exactly_one_recipe() {
        for tool in Tool::ALL {
            let count = Recipe::ALL.iter().filter(|recipe| recipe.builds(tool)).count();
            assert_eq!(count, 1, "{tool:?}");
        }
    }

    #[test]
    fn the_two_helms_do_not_share_a_directory() {
        let cache = tempfile::tempdir().expect("a temporary directory");
        let toolbox = Toolbox::open_in(cache.path()).expect("go and the recipes are here");
        assert_ne!(
            toolbox.path(Tool::Helm3).parent(),
            toolbox.path(Tool::Helm4).parent()
        );
        assert_eq!(
            toolbox.path(Tool::Kubectl).parent(),
            toolbox.path(Tool::Kubelet).parent()
        );
    }

    #[test]
    fn a_small_tool_is_built_once() {
        let cache = tempfile::tempdir().expect("a temporary directory");
        let toolbox = Toolbox::open_in(cache.path()).expect("go and the recipes are here");
        let mut lines = Vec::new();
        toolbox
            .ensure(&[Tool::Pause], &mut |line| lines.push(line.to_owned()))
            .expect("it builds");
        assert!(toolbox.path(Tool::Pause).is_file());
        assert_eq!(lines.len(), 2, "{lines:?}");
        toolbox
            .ensure(&[Tool::Pause], &mut |line| lines.push(line.to_owned()))
            .expect("it is there");
        assert_eq!(lines.len(), 2, "{lines:?}");
    }

    #[test]
    #[ignore = "builds every tool into the user's cache, about ten minutes the first time"]
    fn every_tool_is_built() {
        let toolbox = Toolbox::open().expect("go and the recipes are here");
        toolbox
            .ensure(&Tool::ALL, &mut |line| println!("{line}"))
            .expect("everything builds");
        for tool in Tool::ALL {
            println!("{}", toolbox.path(tool).display());
            assert!(toolbox.path(tool).is_file(), "{tool:?}");
        }
    }
}
