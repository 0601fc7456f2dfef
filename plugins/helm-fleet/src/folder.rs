//! The run's own folder: what helm reads, as it was when the run looked at it. A file that changes during a
//! rollout, the kubeconfig as well as a chart, must not reach its later stages.

use crate::digest::Hasher;
use aks_shared::kubeconfig::Kubeconfig;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf, absolute};
use tempfile::TempDir;

/// What the names of such folders begin with.
const PREFIX: &str = "helm-fleet-";
/// A file of the folder that is locked as long as its run lives: the system unlocks it however that ends.
const LOCK: &str = ".lock";

/// A folder that only its owner can enter; it goes when this is dropped, or when a later run finds its run dead.
#[derive(Debug)]
pub struct RunFolder {
    folder: TempDir,
    #[expect(dead_code, reason = "its end is the end of the lock")]
    lock: File,
}

impl RunFolder {
    /// Makes an empty one, and takes away what runs of the same user left that were killed.
    pub fn create() -> io::Result<Self> {
        Self::create_in(&std::env::temp_dir())
    }

    fn create_in(parent: &Path) -> io::Result<Self> {
        clear_dead(parent);
        let mut builder = tempfile::Builder::new();
        builder.prefix(PREFIX);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            builder.permissions(std::fs::Permissions::from_mode(0o700));
        }
        loop {
            let folder = builder.tempdir_in(parent)?;
            let path = folder.path().join(LOCK);
            let lock = File::create_new(&path)?;
            match lock.lock() {
                // Where files cannot be locked, every run would look dead.
                Err(_) => std::fs::remove_file(&path)?,
                // Until it was locked, another run that began just then may have taken it for a dead one's.
                Ok(()) if !path.exists() => continue,
                Ok(()) => {}
            }
            return Ok(Self { folder, lock });
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Keeps the merged kubeconfig as one file.
    pub fn keep_kubeconfig(&self, kubeconfig: &Kubeconfig) -> io::Result<PathBuf> {
        let file = self_contained(kubeconfig)?;
        self.write("kubeconfig.json", &serde_json::to_vec(&file)?)
    }

    /// Keeps it once more for programs that take the current context.
    pub fn keep_kubeconfig_of(&self, kubeconfig: &Kubeconfig, context: &str) -> io::Result<PathBuf> {
        let mut file = self_contained(kubeconfig)?;
        file.current_context = Some(context.to_owned());
        // A context's name may be no file's.
        let name = Hasher::new("context").bytes("name", context.as_bytes()).hex();
        let name = format!("kubeconfig-{}.json", &name[..12]);
        self.replace(&name, &serde_json::to_vec(&file)?)?;
        Ok(self.path().join(name))
    }

    /// Writes a file that only its owner can read.
    pub fn write(&self, name: &str, content: &[u8]) -> io::Result<PathBuf> {
        let path = self.path().join(name);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(0o600);
        }
        options.open(&path)?.write_all(content)?;
        Ok(path)
    }

    /// Writes such a file anew; whoever reads it meanwhile sees the old content or the new one.
    pub fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let new = self.write(&format!("{name}.new"), content)?;
        std::fs::rename(new, self.path().join(name))
    }

    /// Copies a file, or a folder with all that is in it; links are followed.
    pub fn copy(&self, source: &Path, name: &str) -> io::Result<PathBuf> {
        let copy = self.path().join(name);
        copy_all(source, &copy)?;
        Ok(copy)
    }
}

/// Takes away the folders of runs that have died without doing so. What cannot be taken away is left to the next run.
fn clear_dead(parent: &Path) {
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    let ours = entries.filter(|entry| {
        entry.file_name().to_string_lossy().starts_with(PREFIX)
            && entry.metadata().is_ok_and(|about| is_ours(&about))
    });
    for folder in ours.map(|entry| entry.path()) {
        // One without the file is being made, or is nobody's that is known here.
        if let Ok(lock) = File::open(folder.join(LOCK))
            && lock.try_lock().is_ok()
        {
            let _ = std::fs::remove_dir_all(&folder);
        }
    }
}

/// Whether a folder is one of this user.
fn is_ours(about: &std::fs::Metadata) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        if about.uid() != rustix::process::geteuid().as_raw() {
            return false;
        }
    }
    about.is_dir()
}

/// The kubeconfig with all its paths made absolute: helm starts them at the folder of the file that it reads.
fn self_contained(kubeconfig: &Kubeconfig) -> io::Result<kube::config::Kubeconfig> {
    let mut file = kubeconfig.file().clone();
    let clusters = file
        .clusters
        .iter_mut()
        .filter_map(|named| named.cluster.as_mut());
    for cluster in clusters {
        make_absolute(&mut cluster.certificate_authority)?;
    }
    let users = file
        .auth_infos
        .iter_mut()
        .filter_map(|named| named.auth_info.as_mut());
    for user in users {
        make_absolute(&mut user.client_certificate)?;
        make_absolute(&mut user.client_key)?;
        make_absolute(&mut user.token_file)?;
        let command = user.exec.as_mut().map(|exec| &mut exec.command);
        // A bare name is looked for on the path.
        if let Some(command) = command.filter(|command| is_path(command.as_ref())) {
            make_absolute(command)?;
        }
    }
    Ok(file)
}

fn copy_all(source: &Path, copy: &Path) -> io::Result<()> {
    if !source.is_dir() {
        return std::fs::copy(source, copy).map(|_| ());
    }
    std::fs::create_dir(copy)?;
    for entry in std::fs::read_dir(source)? {
        let entry = entry?;
        copy_all(&entry.path(), &copy.join(entry.file_name()))?;
    }
    Ok(())
}

fn is_path(command: Option<&String>) -> bool {
    command.is_some_and(|command| command.contains(std::path::is_separator))
}

/// Helm starts relative paths at the kubeconfig's folder; those that the loader left start at the working directory.
fn make_absolute(path: &mut Option<String>) -> io::Result<()> {
    if let Some(relative) = path.as_deref().filter(|path| !path.is_empty()) {
        let found = absolute(relative)?.into_os_string().into_string();
        *path = Some(found.map_err(|_| io::Error::other("a path of the kubeconfig is not UTF-8"))?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use aks_shared::env::Env;

    const KUBECONFIG: &str = "apiVersion: v1\nkind: Config\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n\
        clusters: [{name: c, cluster: {server: 'https://127.0.0.1', certificate-authority: ca.pem}}]\n\
        users: [{name: u, user: {token: canary, exec: {apiVersion: v1, command: kubelogin, args: [get-token]}}}]\n";

    #[test]
    fn the_kubeconfig_is_kept_as_it_was_read_whatever_its_path_or_later_content() {
        let directory = tempfile::tempdir().unwrap();
        // No list of paths can name this one.
        let folder = directory.path().join("a:b");
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("config");
        std::fs::write(&path, KUBECONFIG).unwrap();
        let kubeconfig = Kubeconfig::load(Some(&path), &Env::of::<&str, &str>([])).unwrap();
        std::fs::write(&path, "clusters: []").unwrap();

        let run = RunFolder::create().unwrap();
        let kept = run.keep_kubeconfig(&kubeconfig).unwrap();
        let text = std::fs::read_to_string(&kept).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let authority = folder.join("ca.pem");
        assert_eq!(
            value["clusters"][0]["cluster"]["certificate-authority"].as_str(),
            authority.to_str()
        );
        assert_eq!(value["users"][0]["user"]["token"], "canary");
        assert_eq!(value["users"][0]["user"]["exec"]["command"], "kubelogin");
        assert_eq!(value["users"][0]["user"]["exec"]["args"][0], "get-token");
        drop(run);
        assert!(!kept.exists());
    }

    #[test]
    fn the_next_run_takes_away_what_a_killed_one_left_and_no_other() {
        let parent = tempfile::tempdir().unwrap();
        let live = RunFolder::create_in(parent.path()).unwrap();
        let made = |name: &str, file: &str| {
            let folder = parent.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(folder.join(file), "").unwrap();
            folder
        };
        // Nobody holds the lock of a process that is gone.
        let dead = made("helm-fleet-dead", LOCK);
        let (unknown, other) = (made("helm-fleet-unknown", "values.yaml"), made("other", LOCK));
        let next = RunFolder::create_in(parent.path()).unwrap();
        assert!(!dead.exists());
        for kept in [live.path(), next.path(), &unknown, &other] {
            assert!(kept.exists(), "{}", kept.display());
        }
        drop((live, next));
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_file_is_replaced_again_and_again() {
        let run = RunFolder::create().unwrap();
        let path = run.write("token", b"1").unwrap();
        for content in ["2", "3"] {
            run.replace("token", content.as_bytes()).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
        }
    }

    #[test]
    #[cfg(unix)]
    fn only_the_owner_can_read_what_is_kept() {
        use std::os::unix::fs::PermissionsExt;
        let run = RunFolder::create().unwrap();
        let file = run.write("x", b"y").unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(run.path()), mode(&file)), (0o700, 0o600));
    }
}
