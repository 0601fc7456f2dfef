//! What is on this machine that a sandbox could leave behind: links, mounts, control groups, namespaces, processes.
//!
//! Services and sessions come and go meanwhile where systemd runs: what is in a control group of systemd's is not
//! counted. No process of a sandbox is there, because it begins in a group of its own.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::state::StateDir;

/// Everything that is there now, each in words, but for what belongs to the sandboxes `others`.
pub fn take(others: &[StateDir]) -> BTreeSet<String> {
    // A fingerprint stands in the names of a sandbox's links and control groups.
    let prints: Vec<String> = others.iter().map(StateDir::fingerprint).collect();
    let is_others = |text: &str| prints.iter().any(|print| text.contains(print));
    let mut found = BTreeSet::new();
    found.extend(names("/sys/class/net").map(|name| format!("link {name}")));
    found.extend(names("/run/netns").map(|name| format!("network namespace {name}")));
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    found.extend(
        mounts
            .lines()
            .filter_map(|line| line.split_whitespace().nth(4))
            .map(|point| format!("mount {point}")),
    );
    control_groups(Path::new("/sys/fs/cgroup"), 2, &mut found);
    for process in names("/proc").filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())) {
        let folder = Path::new("/proc").join(&process);
        let groups = fs::read_to_string(folder.join("cgroup")).unwrap_or_default();
        if is_others(&groups) || is_of_systemd(&groups) {
            continue;
        }
        for kind in ["net", "pid"] {
            // A process that ends meanwhile has nothing to show.
            if let Ok(namespace) = fs::read_link(folder.join("ns").join(kind)) {
                found.insert(format!("namespace {}", namespace.display()));
            }
        }
        let arguments = fs::read_to_string(folder.join("cmdline"))
            .unwrap_or_default()
            .replace('\0', " ");
        if arguments.contains("aks-sandbox") {
            found.insert(format!("process {process}: {}", arguments.trim()));
        }
    }
    found.retain(|item| !is_others(item));
    found
}

/// Whether a path of groups leads through a unit of systemd's.
fn is_of_systemd(groups: &str) -> bool {
    let mut names = groups.split(['/', '\n']);
    names.any(|name| {
        [".service", ".scope", ".slice"]
            .iter()
            .any(|end| name.ends_with(end))
    })
}

fn control_groups(folder: &Path, depth: u8, found: &mut BTreeSet<String>) {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let is_ours = |entry: &fs::DirEntry| {
        entry.file_type().is_ok_and(|kind| kind.is_dir())
            && !is_of_systemd(&entry.file_name().to_string_lossy())
    };
    for entry in entries.filter(is_ours) {
        found.insert(format!("control group {}", entry.path().display()));
        if depth > 0 {
            control_groups(&entry.path(), depth - 1, found);
        }
    }
}

fn names(folder: &str) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(|entry| entry.file_name().into_string().ok())
}

#[cfg(test)]
mod tests {
    #[test]
    fn units_of_systemd_are_not_ours() {
        assert!(super::is_of_systemd("0::/system.slice/docker.service\n"));
        assert!(super::is_of_systemd(
            "5:pids:/user.slice/user-0.slice/session-3.scope\n0::/\n"
        ));
        assert!(!super::is_of_systemd(
            "0::/aks-sandbox/test-0123abcd/inside/supervisor\n"
        ));
        assert!(!super::is_of_systemd("9:name=systemd:/\n"));
    }

    #[test]
    fn this_machine_has_links_mounts_and_namespaces() {
        let found = super::take(&[]);
        for kind in ["link lo", "mount /", "namespace net:", "namespace pid:"] {
            assert!(found.iter().any(|item| item.starts_with(kind)), "{kind}");
        }
    }
}
