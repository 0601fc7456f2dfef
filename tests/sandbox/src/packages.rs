//! The Debian packages that nodes need: what is missing, and its installation.

use crate::image::elf;
use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use thiserror::Error;

/// How many lines of a failed installation are shown.
const SHOWN_LINES: usize = 15;

/// A Debian package and how to see that what it brings is there.
#[derive(Debug)]
pub struct Package {
    /// Its name in Debian.
    pub name: &'static str,
    /// One group per needed file: each group holds the places where that file may be.
    files: &'static [&'static [&'static str]],
    /// Whether the files must be static programs.
    is_static: bool,
}

/// What the tests need that drive the simulated Azure with Azure's SDKs for Python.
pub const PYTHON_PACKAGES: &[Package] = &[
    package("python3", &[&["/usr/bin/python3"]]),
    package("python3-pip", &[&["/usr/bin/pip3"]]),
];

/// What the test needs that pushes an image: a registry that listens on a loopback address.
pub const REGISTRY_PACKAGES: &[Package] = &[package("docker-registry", &[&["/usr/bin/docker-registry"]])];

/// What a sandbox with nodes needs.
pub const NODE_PACKAGES: &[Package] = &[
    package(
        "containerd",
        &[
            &["/usr/bin/containerd", "/usr/local/bin/containerd"],
            &["/usr/bin/ctr", "/usr/local/bin/ctr"],
        ],
    ),
    package(
        "runc",
        &[&["/usr/sbin/runc", "/usr/bin/runc", "/usr/local/sbin/runc"]],
    ),
    package(
        "containernetworking-plugins",
        &[
            &["/usr/lib/cni/bridge", "/opt/cni/bin/bridge"],
            &["/usr/lib/cni/host-local", "/opt/cni/bin/host-local"],
            &["/usr/lib/cni/portmap", "/opt/cni/bin/portmap"],
        ],
    ),
    package(
        "iptables",
        &[&["/usr/sbin/iptables"], &["/usr/sbin/iptables-save"]],
    ),
    package("conntrack", &[&["/usr/sbin/conntrack"]]),
    package("iproute2", &[&["/usr/sbin/ip", "/usr/bin/ip", "/sbin/ip"]]),
    package("util-linux", &[&["/usr/bin/nsenter"], &["/usr/bin/unshare"]]),
    package("mount", &[&["/usr/bin/mount", "/bin/mount"]]),
    Package {
        name: "busybox-static",
        files: &[&["/usr/bin/busybox", "/bin/busybox"]],
        is_static: true,
    },
];

const fn package(name: &'static str, files: &'static [&'static [&'static str]]) -> Package {
    Package {
        name,
        files,
        is_static: false,
    }
}

impl Package {
    /// Whether every file that is needed from the package is there, from wherever it came.
    pub fn is_present(&self) -> bool {
        self.files
            .iter()
            .all(|places| places.iter().any(|place| self.accepts(Path::new(place))))
    }

    fn accepts(&self, file: &Path) -> bool {
        file.is_file() && (!self.is_static || elf::is_static_program(file).unwrap_or(false))
    }
}

/// Why the packages could not be installed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PackagesError {
    /// The machine has no `apt-get`.
    #[error("this machine lacks {} and has no apt-get to install it", missing.join(", "))]
    NoApt {
        /// The Debian names of what is missing.
        missing: Vec<&'static str>,
    },
    /// Only root installs packages.
    #[error("this machine lacks {}, and only root can install it", missing.join(", "))]
    NotRoot {
        /// The Debian names of what is missing.
        missing: Vec<&'static str>,
    },
    /// A command could not be started.
    #[error("could not run `{command}`")]
    NotRun {
        /// The command line.
        command: String,
        /// Why it did not start.
        source: io::Error,
    },
    /// A command failed.
    #[error("`{command}` failed ({status}):\n{output}")]
    Failed {
        /// The command line.
        command: String,
        /// How it ended.
        status: String,
        /// The last lines of its output.
        output: String,
    },
    /// The installation succeeded and something is still not there.
    #[error("{} is installed and its files are not where they are expected", missing.join(", "))]
    StillMissing {
        /// The Debian names of what is missing.
        missing: Vec<&'static str>,
    },
}

impl PackagesError {
    /// What the user can do about it: a command to paste where there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotRoot { missing } => Some(format!("run `{}`", command_line(missing))),
            Self::NoApt { .. } => {
                Some("install the equivalents with this system's package manager".to_owned())
            }
            Self::Failed { .. } | Self::NotRun { .. } | Self::StillMissing { .. } => None,
        }
    }
}

/// The packages of a list that this machine lacks.
pub fn missing(packages: &[Package]) -> Vec<&'static str> {
    packages
        .iter()
        .filter(|package| !package.is_present())
        .map(|package| package.name)
        .collect()
}

/// The commands that install packages, to be pasted into a shell by somebody who is not root.
pub fn command_line(names: &[&str]) -> String {
    let mut line = String::from("sudo apt-get update && sudo");
    for word in install_arguments(names) {
        write!(line, " {word}").expect("writing to a String does not fail");
    }
    line
}

/// Installs what is missing of a list; does nothing when all is there.
///
/// # Errors
/// Fails when something is missing and this process is not root, there is no apt-get, or apt-get fails.
pub fn ensure(packages: &[Package], progress: &mut dyn FnMut(&str)) -> Result<(), PackagesError> {
    let wanted = missing(packages);
    if wanted.is_empty() {
        return Ok(());
    }
    if !Path::new("/usr/bin/apt-get").is_file() {
        return Err(PackagesError::NoApt { missing: wanted });
    }
    if !nix::unistd::geteuid().is_root() {
        return Err(PackagesError::NotRoot { missing: wanted });
    }
    progress(&format!("installing {}", wanted.join(" ")));
    apt(&["apt-get".to_owned(), "update".to_owned()])?;
    apt(&install_arguments(&wanted))?;
    let missing = missing(packages);
    if missing.is_empty() {
        Ok(())
    } else {
        Err(PackagesError::StillMissing { missing })
    }
}

fn install_arguments(names: &[&str]) -> Vec<String> {
    ["apt-get", "install", "-y", "--no-install-recommends"]
        .iter()
        .chain(names)
        .map(|word| (*word).to_owned())
        .collect()
}

fn apt(words: &[String]) -> Result<(), PackagesError> {
    let command = words.join(" ");
    let (program, arguments) = words.split_first().expect("every caller names the program");
    let output = Command::new(program)
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env_remove("LD_LIBRARY_PATH")
        .stdin(Stdio::null())
        .output()
        .map_err(|source| PackagesError::NotRun {
            command: command.clone(),
            source,
        })?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text.lines().collect();
    let output_end = lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n");
    Err(PackagesError::Failed {
        command,
        status: output.status.to_string(),
        output: output_end,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_for_others_can_be_pasted() {
        assert_eq!(
            command_line(&["runc", "iptables"]),
            "sudo apt-get update && sudo apt-get install -y --no-install-recommends runc iptables"
        );
    }

    #[test]
    fn a_package_is_missing_when_one_of_its_files_is() {
        assert!(package("sh", &[&["/nowhere", "/bin/sh"]]).is_present());
        assert!(!package("sh", &[&["/bin/sh"], &["/nowhere"]]).is_present());
    }

    #[test]
    fn a_dynamic_program_does_not_stand_for_a_static_one() {
        let shell = Package {
            name: "sh",
            files: &[&["/bin/sh"]],
            is_static: true,
        };
        assert!(!shell.is_present());
    }
}
