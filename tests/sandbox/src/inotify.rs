//! The kernel's limit on inotify instances: six of an API server, six of a kubelet, one each of others.
//!
//! Linux gives every user 128 of them by default, which eight clusters with nodes use up; what asks for the next one
//! dies of "too many open files". The limit is the whole machine's, so it cannot be lifted inside a sandbox alone.

use std::fs;

const LIMIT: &str = "/proc/sys/fs/inotify/max_user_instances";
/// For fifty light clusters beside a few with nodes; an instance costs about a kibibyte.
const ENOUGH: u32 = 1024;

/// The limit, and whether it is enough for several sandboxes side by side.
pub(crate) fn limit() -> Option<(u32, bool)> {
    let limit = fs::read_to_string(LIMIT).ok()?.trim().parse().ok()?;
    Some((limit, limit >= ENOUGH))
}

/// Raises the limit where it is too low, until the next boot, and says so.
pub(crate) fn ensure(talk: &mut dyn FnMut(&str)) {
    let Some((low, false)) = limit() else { return };
    match fs::write(LIMIT, ENOUGH.to_string()) {
        Ok(()) => talk(&format!(
            "raised fs.inotify.max_user_instances from {low} to {ENOUGH}, until the next boot"
        )),
        Err(error) => talk(&format!(
            "note: fs.inotify.max_user_instances is {low} and cannot be raised ({error}); many clusters may need more"
        )),
    }
}
