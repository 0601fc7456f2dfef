//! The control groups of one sandbox: every process of it is below them, wherever it forked.
//!
//! They are how a sandbox is stopped for certain: whoever is listed there is killed, then the folders go.
//! Version 1 (each controller its own tree) is what the tests run on. Version 2 (one tree) was tried as far as nodes go:
//! groups, containers with limits, a kubelet that starts, and that nothing stays.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::files::FileError;
use crate::state::StateDir;

/// Which kind of hierarchy is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// A tree per controller.
    V1,
    /// One tree.
    V2,
}

/// A mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hierarchy {
    mount_point: PathBuf,
    version: Version,
    /// Mount options of version 1: controllers or `name=…`.
    options: String,
}

fn hierarchies() -> Vec<Hierarchy> {
    parse(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
}

fn parse(mountinfo: &str) -> Vec<Hierarchy> {
    let hierarchy = |line: &str| {
        let (fields, filesystem) = line.split_once(" - ")?;
        let mount_point = PathBuf::from(fields.split_whitespace().nth(4)?);
        let mut filesystem = filesystem.split_whitespace();
        let version = match filesystem.next()? {
            "cgroup" => Version::V1,
            "cgroup2" => Version::V2,
            _ => return None,
        };
        let flags = ["rw", "ro", "xattr", "clone_children", "noprefix", "nsdelegate"];
        let options = filesystem.nth(1).unwrap_or_default().split(',');
        let options: Vec<&str> = options
            .filter(|option| !flags.contains(option) && !option.starts_with("release_agent"))
            .collect();
        Some(Hierarchy {
            mount_point,
            version,
            options: options.join(","),
        })
    };
    mountinfo.lines().filter_map(hierarchy).collect()
}

/// The version that controllers are used through on this machine.
pub fn version() -> Option<Version> {
    let hierarchies = hierarchies();
    if hierarchies
        .iter()
        .any(|hierarchy| hierarchy.version == Version::V1 && hierarchy.options == "memory")
    {
        return Some(Version::V1);
    }
    hierarchies.first().map(|hierarchy| hierarchy.version)
}

/// What a node's containers are limited by.
const NEEDED: [&str; 3] = ["cpu", "memory", "pids"];

/// Why limits of containers would have no effect here, or fail.
pub fn obstacle() -> Option<String> {
    if version() != Some(Version::V2) {
        return None;
    }
    let root = hierarchies().into_iter().next()?.mount_point;
    let file = |name: &str| fs::read_to_string(root.join(name)).unwrap_or_default();
    let lacking = |list: &str| {
        let has = |name: &&str| list.split_whitespace().any(|one| one == *name);
        NEEDED
            .into_iter()
            .filter(|name| !has(name))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let absent = lacking(&file("cgroup.controllers"));
    if !absent.is_empty() {
        return Some(format!("no controllers {absent}"));
    }
    // Only the root of the whole machine may have processes and pass controllers on.
    let is_machine = !root.join("cgroup.type").exists();
    let kept = lacking(&file("cgroup.subtree_control"));
    (!is_machine && !kept.is_empty() && !file("cgroup.procs").trim().is_empty())
        .then(|| format!("processes in the container's root group keep {kept} from the groups below"))
}

/// Our folder in each hierarchy.
fn folders(state: &StateDir) -> Vec<(Hierarchy, PathBuf)> {
    let below = format!("aks-sandbox/{}-{}", state.name(), state.fingerprint());
    let folder = |hierarchy: Hierarchy| {
        let path = hierarchy.mount_point.join(&below);
        (hierarchy, path)
    };
    hierarchies().into_iter().map(folder).collect()
}

/// In version 2 a group has processes or passes controllers on to groups below it, never both. So who makes the
/// namespaces waits in a group of its own, beside the one that is the root of all groups within them.
const OUTSIDE: &str = "outside";
const INSIDE: &str = "inside";
/// Below that root: where the processes of the sandbox are, but for those in containers.
const SUPERVISOR: &str = "supervisor";

/// Creates the sandbox's groups and moves a process into them; its children will be born there.
pub fn place(state: &StateDir, pid: u32) -> Result<(), FileError> {
    for (hierarchy, folder) in folders(state) {
        let parent = folder.parent().unwrap_or(&hierarchy.mount_point);
        if hierarchy.version == Version::V1 {
            for path in [parent, &folder] {
                create(path)?;
                inherit_cpuset(path)?;
            }
            enter(&folder, pid)?;
        } else {
            create(&folder.join(INSIDE))?;
            create(&folder.join(OUTSIDE))?;
            for path in [&hierarchy.mount_point, parent, &folder] {
                delegate(path);
            }
            enter(&folder.join(OUTSIDE), pid)?;
        }
    }
    Ok(())
}

/// Makes this process's groups the root of all that it and its children see; called in a new mount namespace.
pub fn become_root(state: &StateDir) -> Result<(), FileError> {
    for (hierarchy, folder) in folders(state) {
        if hierarchy.version == Version::V2 {
            enter(&folder.join(INSIDE), SELF)?;
        }
    }
    unshare(CloneFlags::CLONE_NEWCGROUP)
        .map_err(|errno| FileError::new("leave", Path::new("/proc/self/ns/cgroup"), errno.into()))?;
    remount()
}

/// Stands for whoever writes it.
const SELF: u32 = 0;

fn enter(folder: &Path, pid: u32) -> Result<(), FileError> {
    write(&folder.join("cgroup.procs"), &pid.to_string())
}

fn create(folder: &Path) -> Result<(), FileError> {
    fs::create_dir_all(folder).map_err(|source| FileError::new("create", folder, source))
}

/// A new cpuset of version 1 has no processors: nobody may enter before it is given its parent's.
fn inherit_cpuset(folder: &Path) -> Result<(), FileError> {
    for name in ["cpuset.cpus", "cpuset.mems"] {
        let file = folder.join(name);
        let Ok(own) = fs::read_to_string(&file) else {
            continue;
        };
        let above = folder
            .parent()
            .map(|parent| parent.join(name))
            .and_then(|path| fs::read_to_string(path).ok());
        if let Some(above) = above.filter(|_| own.trim().is_empty()) {
            write(&file, above.trim())?;
        }
    }
    Ok(())
}

/// Passes on what controllers of version 2 a group has; those that it may not are left out.
fn delegate(folder: &Path) {
    let controllers = fs::read_to_string(folder.join("cgroup.controllers")).unwrap_or_default();
    for controller in controllers.split_whitespace() {
        // Not every controller can be passed on everywhere; the kubelet names the ones that it misses.
        let _ = fs::write(folder.join("cgroup.subtree_control"), format!("+{controller}"));
    }
}

fn remount() -> Result<(), FileError> {
    for Hierarchy {
        mount_point,
        version,
        options,
    } in hierarchies()
    {
        let failed = |errno: nix::Error| FileError::new("mount", &mount_point, io::Error::from(errno));
        let (kind, options) = match version {
            Version::V1 => ("cgroup", Some(options.as_str())),
            Version::V2 => ("cgroup2", None),
        };
        umount2(&mount_point, MntFlags::MNT_DETACH).map_err(failed)?;
        mount(Some(kind), &mount_point, Some(kind), MsFlags::empty(), options).map_err(failed)?;
        if version == Version::V2 {
            let leaf = mount_point.join(SUPERVISOR);
            create(&leaf)?;
            enter(&leaf, SELF)?;
            delegate(&mount_point);
        }
    }
    Ok(())
}

/// Kills every process of the sandbox and removes its groups.
pub fn remove(state: &StateDir) -> Result<(), FileError> {
    let deadline = Instant::now() + Duration::from_secs(30);
    for (_, folder) in folders(state) {
        while folder.exists() {
            for pid in processes(&folder) {
                // Gone meanwhile is as good.
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            match remove_tree(&folder) {
                Ok(()) => break,
                Err(source) if Instant::now() > deadline => {
                    return Err(FileError::new("remove", &folder, source));
                }
                Err(_) => thread::sleep(Duration::from_millis(20)),
            }
        }
        if let Some(parent) = folder.parent() {
            // Fails, rightly, while other sandboxes are there.
            let _ = fs::remove_dir(parent);
        }
    }
    Ok(())
}

/// Whether anything of the sandbox is left in any hierarchy.
pub fn exists(state: &StateDir) -> bool {
    folders(state).iter().any(|(_, folder)| folder.exists())
}

fn processes(folder: &Path) -> Vec<i32> {
    let own = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    let mut found: Vec<i32> = own
        .lines()
        .filter_map(|line| line.parse().ok())
        .filter(|pid| *pid > 0)
        .collect();
    for child in children(folder) {
        found.extend(processes(&child));
    }
    found
}

fn remove_tree(folder: &Path) -> io::Result<()> {
    for child in children(folder) {
        remove_tree(&child)?;
    }
    match fs::remove_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect()
}

fn write(path: &Path, text: &str) -> Result<(), FileError> {
    fs::write(path, text).map_err(|source| FileError::new("write", path, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_are_read_from_the_mount_table() {
        let table = "30 20 0:26 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755\n\
                     31 30 0:27 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
                     32 30 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/x,name=systemd\n\
                     33 30 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n";
        let found = parse(table);
        let shown: Vec<_> = found.iter().map(|h| (h.version, h.options.as_str())).collect();
        let expected = [
            (Version::V1, "cpu,cpuacct"),
            (Version::V1, "name=systemd"),
            (Version::V2, ""),
        ];
        assert_eq!(shown, expected);
        assert_eq!(found[0].mount_point, Path::new("/sys/fs/cgroup/cpu"));
    }
}
