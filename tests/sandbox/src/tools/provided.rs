//! Programs that the machine already has, taken only when their version is exactly the pinned one.

use super::Tool;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Names a directory with etcd, kube-apiserver and kubectl, as test environments of Kubernetes use it.
const ASSETS_VARIABLE: &str = "KUBEBUILDER_ASSETS";

/// A program of the pinned version in `KUBEBUILDER_ASSETS` or on PATH.
pub(super) fn find(tool: Tool, version: &str) -> Option<PathBuf> {
    let arguments = version_arguments(tool)?;
    let assets = std::env::var_os(ASSETS_VARIABLE).map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    assets
        .into_iter()
        .chain(std::env::split_paths(&path))
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(tool.file_name()))
        .find(|program| program.is_file() && prints_version(program, arguments, version))
}

/// How the program is asked for its version; `None` for those that are always built.
const fn version_arguments(tool: Tool) -> Option<&'static [&'static str]> {
    match tool {
        Tool::Etcd | Tool::KubeApiserver => Some(&["--version"]),
        Tool::Kubectl => Some(&["version", "--client"]),
        _ => None,
    }
}

fn prints_version(program: &Path, arguments: &[&str], version: &str) -> bool {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .is_ok_and(|output| names_version(&String::from_utf8_lossy(&output.stdout), version))
}

/// Whether the first line ends with the version; a vendor's suffix makes it another one.
fn names_version(output: &str, version: &str) -> bool {
    let last = output
        .lines()
        .next()
        .and_then(|line| line.split_whitespace().last());
    last.is_some_and(|word| word.strip_prefix('v').unwrap_or(word) == version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_must_be_exactly_the_pinned_one() {
        assert!(names_version("Kubernetes v1.34.4\n", "1.34.4"));
        assert!(names_version(
            "Client Version: v1.34.4\nKustomize Version: v5.7.1\n",
            "1.34.4"
        ));
        assert!(names_version("etcd Version: 3.6.6\nGit SHA: abc\n", "3.6.6"));
        assert!(!names_version("Kubernetes v1.34.40\n", "1.34.4"));
        assert!(!names_version("Client Version: v1.34.4-eks-1\n", "1.34.4"));
        assert!(!names_version("", "1.34.4"));
    }
}
