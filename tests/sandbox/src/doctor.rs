//! `cargo sandbox doctor`: what this machine has and lacks, and what earlier sandboxes left.

use std::fs;
use std::path::Path;

use crate::cgroup::{self, Version};
use crate::cleanup;
use crate::inotify;
use crate::packages::{self, NODE_PACKAGES};
use crate::range::Range;
use crate::state;
use crate::tools::Toolbox;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Good,
    /// Works, or will be mended by the next command.
    Note,
    /// A sandbox cannot run.
    Bad,
}

/// One thing that was looked at.
#[derive(Debug)]
pub struct Finding {
    /// How bad it is.
    pub verdict: Verdict,
    /// What was found.
    pub text: String,
    /// What can be done.
    pub hint: Option<String>,
}

impl Finding {
    fn new(verdict: Verdict, text: impl Into<String>, hint: Option<String>) -> Self {
        Self {
            verdict,
            text: text.into(),
            hint,
        }
    }
}

/// Looks at everything; changes nothing.
pub fn examine() -> Vec<Finding> {
    let mut findings = vec![
        administrator(),
        control_groups(),
        memory(),
        inotify_instances(),
        node_packages(),
        go(),
        range(),
    ];
    findings.extend(leftovers());
    findings
}

fn administrator() -> Finding {
    if !nix::unistd::geteuid().is_root() {
        return Finding::new(
            Verdict::Bad,
            "not root: namespaces and links cannot be made",
            Some("run as root".to_owned()),
        );
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let lacking = lacking_capabilities(&status);
    if lacking.is_empty() {
        return Finding::new(Verdict::Good, "running as root", None);
    }
    Finding::new(
        Verdict::Bad,
        format!("root without {}, as in a container", lacking.join(", ")),
        Some("run on the machine itself, or in a privileged container".to_owned()),
    )
}

/// The capabilities that making links and namespaces takes, and their numbers in the kernel.
const CAPABILITIES: [(&str, u32); 2] = [("CAP_NET_ADMIN", 12), ("CAP_SYS_ADMIN", 21)];

/// Those of them that a process does not have, by its status.
fn lacking_capabilities(status: &str) -> Vec<&'static str> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = line.and_then(|line| u64::from_str_radix(line.trim(), 16).ok());
    let lacks = |number: u32| effective.is_some_and(|effective| effective & (1 << number) == 0);
    CAPABILITIES
        .into_iter()
        .filter(|(_, number)| lacks(*number))
        .map(|(name, _)| name)
        .collect()
}

fn control_groups() -> Finding {
    match cgroup::version() {
        Some(Version::V1) => Finding::new(Verdict::Good, "control groups version 1", None),
        Some(Version::V2) => match cgroup::obstacle() {
            None => Finding::new(
                Verdict::Good,
                "control groups version 2, while the tests run on version 1",
                None,
            ),
            Some(obstacle) => {
                let text = format!("control groups version 2: {obstacle}; light clusters work");
                Finding::new(Verdict::Note, text, None)
            }
        },
        None => Finding::new(Verdict::Bad, "no control groups are mounted", None),
    }
}

fn memory() -> Finding {
    let table = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = table.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kibibytes: u64 = line
        .and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or_default();
    let mebibytes = kibibytes / 1024;
    let text = format!(
        "{mebibytes} MiB of memory available; a cluster with a node takes about 700, a light one 250 to 480"
    );
    Finding::new(
        if mebibytes > 3000 {
            Verdict::Good
        } else {
            Verdict::Note
        },
        text,
        None,
    )
}

fn inotify_instances() -> Finding {
    match inotify::limit() {
        Some((limit, true)) => Finding::new(Verdict::Good, format!("{limit} inotify instances"), None),
        Some((limit, false)) => Finding::new(
            Verdict::Note,
            format!("{limit} inotify instances are few; the next `up` raises fs.inotify.max_user_instances"),
            None,
        ),
        None => Finding::new(Verdict::Note, "the limit of inotify instances is not known", None),
    }
}

fn node_packages() -> Finding {
    let missing = packages::missing(NODE_PACKAGES);
    if missing.is_empty() {
        return Finding::new(Verdict::Good, "all Debian packages for nodes are there", None);
    }
    let text = format!(
        "missing Debian packages, installed by the next `up --nodes`: {}",
        missing.join(", ")
    );
    Finding::new(Verdict::Note, text, Some(packages::command_line(&missing)))
}

fn go() -> Finding {
    match Toolbox::open() {
        Ok(toolbox) => {
            let stale = toolbox.stale().unwrap_or_default().len();
            if stale == 0 {
                return Finding::new(Verdict::Good, "go is there and the recipes are readable", None);
            }
            Finding::new(
                Verdict::Note,
                format!("go is there and the recipes are readable; folders of the cache out of use: {stale}"),
                Some("cargo sandbox prune".to_owned()),
            )
        }
        Err(error) => Finding::new(Verdict::Bad, error.to_string(), error.hint().map(str::to_owned)),
    }
}

fn range() -> Finding {
    match Range::free() {
        Ok(range) => Finding::new(
            Verdict::Good,
            format!("addresses {} are free", range.cidr()),
            None,
        ),
        Err(error) => Finding::new(Verdict::Bad, error.to_string(), None),
    }
}

fn leftovers() -> Vec<Finding> {
    let mut findings = Vec::new();
    for state in state::all().unwrap_or_default() {
        let name = state.name().to_owned();
        let traces = cleanup::traces(&state).join(", ");
        if state.is_alive() {
            findings.push(Finding::new(
                Verdict::Good,
                format!("sandbox `{name}` is running"),
                None,
            ));
        } else {
            let text = format!("sandbox `{name}` is dead and left: {traces}");
            findings.push(Finding::new(
                Verdict::Note,
                text,
                Some(format!("cargo sandbox down --name {name}")),
            ));
        }
    }
    let known: Vec<String> = state::all()
        .unwrap_or_default()
        .iter()
        .map(state::StateDir::link)
        .collect();
    let links = fs::read_dir(Path::new("/sys/class/net"))
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    let links = links.filter_map(|entry| entry.file_name().into_string().ok());
    for link in links.filter(|link| is_ours(link) && !known.contains(link)) {
        let text = format!("link {link} belongs to a sandbox of another state folder");
        findings.push(Finding::new(Verdict::Note, text, None));
    }
    findings
}

fn is_ours(link: &str) -> bool {
    let digits = link.strip_prefix("aks-").unwrap_or_default();
    digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_containers_root_lacks_what_it_was_not_given() {
        assert_eq!(
            lacking_capabilities("Name:\tx\nCapEff:\t000001ffffffffff\n"),
            [""; 0]
        );
        assert_eq!(
            lacking_capabilities("CapEff:\t00000000a80425fb\n"),
            ["CAP_NET_ADMIN", "CAP_SYS_ADMIN"]
        );
    }

    #[test]
    fn links_of_others_are_not_ours() {
        assert!(is_ours("aks-0123abcd"));
        assert!(!is_ours("aks-bridge") && !is_ours("eth0") && !is_ours("aks-0123abcdef"));
    }
}
