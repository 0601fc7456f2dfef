//! Runs the Go tool for one recipe and moves the result into the cache in one step.

use super::ToolsError;
use super::recipe::Recipe;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What the name of an unfinished build starts with.
const UNFINISHED: &str = ".build-";

/// How many lines of a failed build are shown.
const SHOWN_LINES: usize = 25;

/// The Go tool of this machine.
#[derive(Debug)]
pub(super) struct Go {
    /// Version and platform, as they decide what is built.
    release: String,
}

impl Go {
    /// Finds the Go tool on PATH.
    pub(super) fn find() -> Result<Self, ToolsError> {
        let mut command = go_command();
        command.args(["env", "GOVERSION", "GOOS", "GOARCH"]);
        let output = run(command, "go env", Path::new("."))?;
        let release = String::from_utf8_lossy(&output.stdout)
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        Ok(Self { release })
    }

    /// Version and platform, such as `go1.26.8 linux amd64`.
    pub(super) fn release(&self) -> &str {
        &self.release
    }
}

fn go_build(recipe: &Recipe, into: &Path) -> Result<(), ToolsError> {
    let directory = recipe.directory();
    let mut command = go_command();
    command
        .current_dir(&directory)
        .arg("build")
        .args(recipe.flags())
        .arg("-o")
        .arg(into);
    command.args(recipe.programs.iter().map(|program| program.package));
    run(command, &format!("go build ({})", recipe.title()), &directory).map(drop)
}

/// Builds a recipe; `home` exists with all its programs, or not at all.
///
/// The caller holds the lock of the cache.
pub(super) fn build(recipe: &Recipe, cache: &Path, home: &Path) -> Result<(), ToolsError> {
    let unfinished = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .tempdir_in(cache)
        .map_err(ToolsError::file("create a directory in", cache))?;
    go_build(recipe, &unfinished.path().join(""))?;
    for program in recipe.programs {
        let file = program.tool.file_name();
        let built = unfinished.path().join(program.built_as);
        if !built.is_file() {
            return Err(ToolsError::ProgramMissing {
                recipe: recipe.name,
                file,
            });
        }
        if program.built_as != file {
            std::fs::rename(&built, unfinished.path().join(file))
                .map_err(ToolsError::file("rename", &built))?;
        }
    }
    readable_by_all(unfinished.path())?;
    // Left over only if somebody removed programs from it.
    match std::fs::remove_dir_all(home) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(ToolsError::file("remove", home)(error));
        }
        _ => {}
    }
    std::fs::rename(unfinished.path(), home).map_err(ToolsError::file("create", home))
}

/// Removes what killed builds left; the caller holds the lock, so nothing here is in use.
pub(super) fn remove_leftovers(cache: &Path) -> Result<(), ToolsError> {
    let failed = |error| ToolsError::file("read", cache)(error);
    for entry in std::fs::read_dir(cache).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let unfinished = path
            .file_name()
            .and_then(OsStr::to_str)
            .is_some_and(|name| name.starts_with(UNFINISHED));
        if unfinished {
            std::fs::remove_dir_all(&path).map_err(ToolsError::file("remove", &path))?;
        }
    }
    Ok(())
}

/// Temporary directories are private; a sandbox may run programs as another user.
fn readable_by_all(directory: &Path) -> Result<(), ToolsError> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755))
        .map_err(ToolsError::file("change", directory))
}

/// The Go tool with the user's own settings (proxy, caches), without what would change what is built.
fn go_command() -> Command {
    let mut command = Command::new("go");
    command
        .stdin(Stdio::null())
        .env("CGO_ENABLED", "0")
        .env("GOWORK", "off")
        .env("GO111MODULE", "on");
    for (name, _) in std::env::vars_os() {
        if is_foreign(&name) {
            command.env_remove(name);
        }
    }
    command
}

/// Whether a variable must not reach the build: what cargo leaks into its children, and another target.
fn is_foreign(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with("CARGO")
        || name.starts_with("RUST")
        || matches!(
            &*name,
            "LD_LIBRARY_PATH" | "GOOS" | "GOARCH" | "GOEXPERIMENT" | "GOBIN" | "GODEBUG"
        )
}

fn run(mut command: Command, title: &str, directory: &Path) -> Result<Output, ToolsError> {
    let output = command.output().map_err(|source| match source.kind() {
        io::ErrorKind::NotFound if directory.is_dir() => ToolsError::GoMissing,
        _ => ToolsError::GoNotRun {
            command: title.to_owned(),
            source,
        },
    })?;
    if output.status.success() {
        return Ok(output);
    }
    Err(ToolsError::GoFailed {
        command: title.to_owned(),
        directory: PathBuf::from(directory),
        status: output.status.to_string(),
        output: last_lines(&String::from_utf8_lossy(&output.stderr)),
    })
}

/// The end of a build's output, without the lines that only tell of progress.
fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with("go: downloading "))
        .collect();
    lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cargo_leaks_does_not_reach_the_build() {
        for name in [
            "CARGO_MANIFEST_DIR",
            "CARGO",
            "RUSTUP_TOOLCHAIN",
            "LD_LIBRARY_PATH",
            "GOOS",
        ] {
            assert!(is_foreign(OsStr::new(name)), "{name}");
        }
        for name in [
            "PATH",
            "HOME",
            "GOPROXY",
            "GOFLAGS",
            "GOCACHE",
            "HTTPS_PROXY",
            "SSL_CERT_FILE",
        ] {
            assert!(!is_foreign(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn a_failure_shows_its_end_and_not_the_downloads() {
        let lines: Vec<String> = (0..40)
            .map(|n| {
                format!(
                    "go: downloading x
line {n}"
                )
            })
            .collect();
        let shown = last_lines(&lines.join(
            "
",
        ));
        assert_eq!(shown.lines().count(), SHOWN_LINES);
        assert_eq!(shown.lines().last(), Some("line 39"));
    }

    #[test]
    fn what_a_killed_build_left_is_removed() {
        let cache = tempfile::tempdir().expect("a temporary directory");
        let left = cache.path().join(".build-x");
        let kept = cache.path().join("etcd-0");
        for directory in [&left, &kept] {
            std::fs::create_dir(directory).expect("a directory");
        }
        remove_leftovers(cache.path()).expect("it can be removed");
        assert!(!left.exists() && kept.exists());
    }
}
