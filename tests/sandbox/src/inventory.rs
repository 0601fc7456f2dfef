//! What is on this machine that a sandbox could leave behind: links, mounts, control groups, namespaces, processes.

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
        if is_others(&fs::read_to_string(folder.join("cgroup")).unwrap_or_default()) {
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

fn control_groups(folder: &Path, depth: u8, found: &mut BTreeSet<String>) {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
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
    fn this_machine_has_links_mounts_and_namespaces() {
        let found = super::take(&[]);
        for kind in ["link lo", "mount /", "namespace net:", "namespace pid:"] {
            assert!(found.iter().any(|item| item.starts_with(kind)), "{kind}");
        }
    }
}
