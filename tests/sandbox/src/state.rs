//! Where a sandbox keeps its files, outside the work tree, and whether it is alive.
//!
//! A sandbox lives exactly as long as its supervisor, which holds the lock of [`StateDir::alive_lock`]: the kernel
//! lets go of it whatever way the supervisor ends, so no process id has to be remembered or believed.

use std::env;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::files::{self, FileError};

/// Why the state of a sandbox cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The name cannot be part of host names and paths.
    #[error("`{0}` is no sandbox name: 1 to 20 small letters, digits and inner hyphens")]
    Name(String),
    /// Neither `XDG_STATE_HOME` nor `HOME` is set.
    #[error("no home for state: neither XDG_STATE_HOME nor HOME is set")]
    NoHome,
    /// A file of it failed.
    #[error(transparent)]
    File(#[from] FileError),
}

/// The folder that holds all sandboxes of this user.
pub fn root() -> Result<PathBuf, StateError> {
    let absolute = |name: &str| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let base = absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .ok_or(StateError::NoHome)?;
    Ok(base.join("aks-sandbox"))
}

/// Every sandbox that has left something on this machine, running or not.
pub fn all() -> Result<Vec<StateDir>, StateError> {
    let Ok(entries) = fs::read_dir(root()?) else {
        return Ok(Vec::new());
    };
    let mut names: Vec<String> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    Ok(names.iter().filter_map(|name| StateDir::new(name).ok()).collect())
}

/// The name of the sandbox that is meant when none is given.
pub const DEFAULT: &str = "default";

/// One sandbox's folder.
#[derive(Debug, Clone)]
pub struct StateDir {
    name: String,
    path: PathBuf,
}

impl StateDir {
    /// The folder of the sandbox `name`; nothing is created yet.
    pub fn new(name: &str) -> Result<Self, StateError> {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let valid = (1..=20).contains(&name.len())
            && name.chars().all(inner)
            && !name.starts_with('-')
            && !name.ends_with('-');
        if !valid {
            return Err(StateError::Name(name.to_owned()));
        }
        Ok(Self {
            name: name.to_owned(),
            path: root()?.join(name),
        })
    }

    /// The sandbox's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Eight hexadecimal digits that tell this sandbox from every other on the machine, also from one of the same
    /// name under another state folder.
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::digest(self.path.as_os_str().as_encoded_bytes());
        digest
            .iter()
            .take(4)
            .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
    }

    /// The host's end of the one link into the sandbox.
    pub fn link(&self) -> String {
        format!("aks-{}", self.fingerprint())
    }

    /// The contexts of all clusters, as an administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.file("kubeconfig")
    }

    /// The certificate authority of everything in the sandbox.
    pub fn ca_certificate(&self) -> PathBuf {
        self.file("ca.pem")
    }

    /// Its private key.
    pub fn ca_key(&self) -> PathBuf {
        self.file("ca.key")
    }

    /// The system's authorities and the sandbox's in one file.
    pub fn ca_bundle(&self) -> PathBuf {
        self.file("ca-bundle.pem")
    }

    /// What was asked for ([`crate::spec::Spec`]).
    pub fn spec(&self) -> PathBuf {
        self.file("spec.json")
    }

    /// How far it is ([`crate::board::Status`]).
    pub fn status(&self) -> PathBuf {
        self.file("status.json")
    }

    /// The logs of all processes.
    pub fn logs(&self) -> PathBuf {
        self.file("logs")
    }

    /// The log of one process.
    pub fn log(&self, unit: &str) -> PathBuf {
        self.logs().join(format!("{unit}.log"))
    }

    /// What belongs to one cluster.
    pub fn cluster(&self, name: &str) -> PathBuf {
        self.path.join("clusters").join(name)
    }

    /// Resources that the simulated Azure starts with.
    pub fn azure_seed(&self) -> PathBuf {
        self.file("azure-seed.json")
    }

    /// The simulated Azure's door for the tester.
    pub fn azure_socket(&self) -> PathBuf {
        self.file("azure.sock")
    }

    /// How an operator gets at a simulated Azure that serves without clusters ([`crate::azure::Access`]).
    pub fn azure_access(&self) -> PathBuf {
        self.file("azure-access.json")
    }

    /// The simulated cloud's endpoints, in the format that Azure's own tools read.
    pub fn azure_cloud(&self) -> PathBuf {
        self.file("azure-cloud.json")
    }

    /// The supervisor's door for who wants something to go wrong.
    pub fn fault_socket(&self) -> PathBuf {
        self.file("fault.sock")
    }

    /// Locked by the supervisor for as long as it lives.
    pub fn alive_lock(&self) -> PathBuf {
        self.file("alive.lock")
    }

    /// Whether the sandbox's supervisor lives.
    pub fn is_alive(&self) -> bool {
        let Ok(file) = File::open(self.alive_lock()) else {
            return false;
        };
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    }

    /// Waits until no other command changes this sandbox; ends with the returned file.
    pub fn lock(&self) -> Result<File, StateError> {
        let folder = root()?.join(".locks");
        files::create_folder(&folder)?;
        Ok(lock_file(&folder.join(&self.name))?)
    }
}

/// Waits until nobody else on this machine, under whatever state folder, chooses a range.
pub fn lock_ranges() -> Result<File, StateError> {
    Ok(lock_file(Path::new("/run/aks-sandbox-ranges.lock"))?)
}

fn lock_file(path: &Path) -> Result<File, FileError> {
    let file = File::create(path).map_err(|source| FileError::new("open", path, source))?;
    file.lock()
        .map_err(|source| FileError::new("lock", path, source))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_break_paths_or_links_are_refused() {
        for name in [
            "",
            "-a",
            "a-",
            "a/b",
            "..",
            "Upper",
            "a_b",
            "123456789012345678901",
        ] {
            assert!(StateDir::new(name).is_err(), "{name}");
        }
        for name in ["a", "default", "e2e-2", "12345678901234567890"] {
            assert!(StateDir::new(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn the_link_fits_the_kernels_fifteen_characters() {
        let state = StateDir::new("12345678901234567890").unwrap();
        assert!(state.link().len() <= 15, "{}", state.link());
    }
}
