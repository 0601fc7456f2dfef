//! How many helms fit into the memory that is free: a helm holds its memory as long as it waits for its release, and
//! one that the kernel kills leaves a pending release behind.

use std::fmt;
use std::path::Path;

const MIB: u64 = 1 << 20;
/// What is counted for each. By `ru_maxrss` on Linux an upgrade with 1 MB of manifests in 300 objects peaks at 100 MiB
/// with Helm 3.22.0 and at 104 MiB with 4.3.1, one with three small objects at 68 and 72. A little too much is better
/// than too little, so the pages of the program are counted for each, though all helms share them.
const CHILD: u64 = 112 * MIB;
/// What is left for ourselves.
const OWN: u64 = 128 * MIB;

/// How many helms may run at once on this machine, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    available: u64,
    pub(crate) helms: usize,
}

impl Room {
    /// As it is now; none where that is not known.
    pub(crate) fn now() -> Option<Self> {
        available(Path::new("/")).map(Self::of)
    }

    /// At least one: with too little memory for that, waiting does not help.
    fn of(available: u64) -> Self {
        let number = available.saturating_sub(OWN) / CHILD;
        let helms = usize::try_from(number).unwrap_or(usize::MAX).max(1);
        Self { available, helms }
    }
}

impl fmt::Display for Room {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (available, own, child) = (self.available / MIB, OWN / MIB, CHILD / MIB);
        write!(
            formatter,
            "memory: {available} MiB are free, in the machine and in every control group around us; {own} MiB of it \
             are left for us, and {child} MiB are counted for each helm"
        )
    }
}

/// Where a version of control groups keeps what about memory.
struct Layout {
    /// What is before the path of our own group in `/proc/self/cgroup`, behind the number of the hierarchy.
    own: &'static str,
    root: &'static str,
    limit: &'static str,
    used: &'static str,
    /// What of that the kernel gives back when somebody needs it.
    cache: &'static str,
}

/// <https://docs.kernel.org/admin-guide/cgroup-v2.html> and <https://docs.kernel.org/admin-guide/cgroup-v1/memory.html>
const LAYOUTS: [Layout; 2] = [
    Layout {
        own: "::/",
        root: "sys/fs/cgroup",
        limit: "memory.max",
        used: "memory.current",
        cache: "inactive_file ",
    },
    Layout {
        own: ":memory:/",
        root: "sys/fs/cgroup/memory",
        limit: "memory.limit_in_bytes",
        used: "memory.usage_in_bytes",
        cache: "total_inactive_file ",
    },
];

/// Bytes that may still be used: of the machine, and of every control group around us.
fn available(root: &Path) -> Option<u64> {
    let read = |path: &Path| std::fs::read_to_string(root.join(path)).ok();
    let machine = field(&read("proc/meminfo".as_ref())?, "MemAvailable:")? << 10;
    let groups = read("proc/self/cgroup".as_ref()).unwrap_or_default();
    let left = |layout: &Layout, group: &Path| -> Option<u64> {
        let file = |name: &str| read(&Path::new(layout.root).join(group).join(name));
        let limit: u64 = file(layout.limit)?.trim().parse().ok()?;
        let used: u64 = file(layout.used)?.trim().parse().ok()?;
        let cache = field(&file("memory.stat")?, layout.cache).unwrap_or_default();
        Some(limit.saturating_sub(used.saturating_sub(cache)))
    };
    let bounds = LAYOUTS.iter().flat_map(|layout| {
        // A container sees its own group as the root, whatever the path says.
        let own = groups.lines().find_map(|line| {
            let line = line.trim_start_matches(|digit: char| digit.is_ascii_digit());
            line.strip_prefix(layout.own)
        });
        let around = Path::new(own.unwrap_or_default()).ancestors();
        around.filter_map(move |group| left(layout, group))
    });
    Some(bounds.fold(machine, u64::min))
}

/// The number after a word at the beginning of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_least_one_helm_runs_and_no_more_than_fit() {
        for (available, helms) in [(0, 1), (200, 1), (128 + 4 * 112, 4), (6000, 52)] {
            assert_eq!(Room::of(available * MIB).helms, helms, "{available}");
        }
    }

    #[test]
    fn why_there_is_no_room_for_more_is_told_in_numbers() {
        let told = Room::of(600 * MIB).to_string();
        for number in ["600 MiB are free", "128 MiB", "112 MiB"] {
            assert!(told.contains(number), "{told}");
        }
    }

    #[test]
    fn the_tightest_bound_counts() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        assert_eq!(available(root.path()), None);
        write("proc/meminfo", "MemTotal:  8000000 kB\nMemAvailable:  4096 kB\n");
        assert_eq!(available(root.path()), Some(4 * MIB));
        write("proc/self/cgroup", "4:memory:/docker/1\n0::/build/job\n");
        // One without a bound says `max`.
        write("sys/fs/cgroup/build/job/memory.max", "max\n");
        let file = |version: &Layout, group: &str, name: &str| format!("{}/{group}{name}", version.root);
        for (version, group, expected) in [(&LAYOUTS[0], "build/", 3), (&LAYOUTS[1], "", 2)] {
            let limit = (expected + 1) * MIB;
            write(&file(version, group, version.limit), &format!("{limit}\n"));
            write(&file(version, group, version.used), &format!("{}\n", 2 * MIB));
            let cache = format!("anon 1\n{}{MIB}\n", version.cache);
            write(&file(version, group, "memory.stat"), &cache);
            assert_eq!(available(root.path()), Some(expected * MIB));
        }
    }
}
