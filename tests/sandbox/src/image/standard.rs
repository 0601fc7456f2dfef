//! The images of a sandbox's nodes.

use super::{Entry, Image};
use crate::tools::{Tool, Toolbox};
use std::path::{Path, PathBuf};

/// The image of every pod's sandbox container.
pub const PAUSE: &str = "pause.sandbox/pause:dev";
/// A shell and small programs.
pub const BUSYBOX: &str = "busybox.sandbox/busybox:dev";
/// The demo's application.
pub const DEMO_APP: &str = "demo-app.sandbox/demo-app:dev";
/// The probe of `kubectl wi verify`.
pub const WI_PROBE: &str = "wi-probe.sandbox/wi-probe:dev";

/// A user that is not root, as distroless images number theirs.
const NOBODY: &str = "65532:65532";

/// The programs of busybox that pods and tests call by name.
const APPLETS: &[&str] = &[
    "sh",
    "awk",
    "base64",
    "cat",
    "cp",
    "cut",
    "date",
    "df",
    "echo",
    "env",
    "false",
    "find",
    "grep",
    "head",
    "hostname",
    "httpd",
    "id",
    "ip",
    "kill",
    "ls",
    "mkdir",
    "mktemp",
    "mount",
    "mv",
    "nc",
    "nslookup",
    "ping",
    "printf",
    "ps",
    "pwd",
    "rm",
    "sed",
    "seq",
    "sha256sum",
    "sleep",
    "sort",
    "stat",
    "tail",
    "tar",
    "tee",
    "test",
    "timeout",
    "touch",
    "tr",
    "true",
    "uname",
    "uniq",
    "wc",
    "wget",
    "which",
    "xargs",
];

/// The image of every pod's sandbox container; its program must be built.
pub fn pause(toolbox: &Toolbox) -> Image {
    single(PAUSE, "/pause", toolbox.path(Tool::Pause))
}

/// The demo's application; its program must be built.
pub fn demo_app(toolbox: &Toolbox) -> Image {
    single(DEMO_APP, "/demo-app", toolbox.path(Tool::DemoApp))
}

/// The probe of `kubectl wi verify`, from its static program.
pub fn wi_probe(program: &Path) -> Image {
    single(WI_PROBE, "/wi-probe", program)
}

/// A shell and small programs, from the static busybox of this machine.
pub fn busybox() -> Image {
    let host = ["/usr/bin/busybox", "/bin/busybox"].map(PathBuf::from);
    let host = host.iter().find(|path| path.is_file()).unwrap_or(&host[0]);
    let mut entries = vec![
        Entry::program("/bin/busybox", host),
        Entry::directory("/tmp", 0o1777),
    ];
    entries.extend(
        APPLETS
            .iter()
            .map(|applet| Entry::link(format!("/bin/{applet}"), "busybox")),
    );
    Image {
        reference: BUSYBOX.to_owned(),
        entrypoint: vec!["/bin/sh".to_owned()],
        environment: vec![("PATH".to_owned(), "/bin".to_owned())],
        user: NOBODY.to_owned(),
        entries,
    }
}

/// An image of one program, with a directory for temporary files.
fn single(reference: &str, path: &str, host: impl Into<PathBuf>) -> Image {
    Image {
        reference: reference.to_owned(),
        entrypoint: vec![path.to_owned()],
        environment: Vec::new(),
        user: NOBODY.to_owned(),
        entries: vec![Entry::program(path, host), Entry::directory("/tmp", 0o1777)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};

    /// A containerd of its own, below one directory, that ends with the test.
    struct Containerd {
        process: Child,
        directory: tempfile::TempDir,
    }

    impl Containerd {
        fn start() -> Self {
            let directory = tempfile::tempdir().expect("a temporary directory");
            let below = |name: &str| directory.path().join(name);
            let configuration = format!(
                "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
                 [grpc]\naddress = {:?}\n",
                below("root"),
                below("state"),
                below("socket"),
            );
            std::fs::write(below("config.toml"), configuration).expect("it can be written");
            let process = Command::new("containerd")
                .arg("--config")
                .arg(below("config.toml"))
                .stderr(Stdio::null())
                .spawn()
                .expect("containerd is installed");
            let started = Self { process, directory };
            let deadline = Instant::now() + Duration::from_secs(30);
            while !started.ctr(&["version"]).0 {
                assert!(Instant::now() < deadline, "containerd does not answer");
                std::thread::sleep(Duration::from_millis(50));
            }
            started
        }

        fn ctr(&self, arguments: &[&str]) -> (bool, String) {
            let output = Command::new("ctr")
                .arg("--address")
                .arg(self.directory.path().join("socket"))
                .args(["--namespace", "k8s.io"])
                .args(arguments)
                .output()
                .expect("ctr is installed");
            let text = [output.stdout, output.stderr].concat();
            (
                output.status.success(),
                String::from_utf8_lossy(&text).into_owned(),
            )
        }
    }

    impl Drop for Containerd {
        fn drop(&mut self) {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }

    #[test]
    #[ignore = "needs root, containerd and the built tools"]
    fn containerd_imports_the_images_under_their_names() {
        let toolbox = Toolbox::open().expect("go and the recipes are here");
        toolbox
            .ensure(&[Tool::Pause, Tool::DemoApp], &mut |_| {})
            .expect("they build");
        let containerd = Containerd::start();
        for image in [
            pause(&toolbox),
            demo_app(&toolbox),
            busybox(),
            wi_probe(&toolbox.path(Tool::Pause)),
        ] {
            let archive = containerd.directory.path().join("image.tar");
            image.write(&archive).expect("it can be written");
            let archive = archive.to_string_lossy();
            let (imported, output) =
                containerd.ctr(&["images", "import", "--snapshotter", "native", &archive]);
            assert!(imported, "{output}");
            let (_, names) = containerd.ctr(&["images", "list", "-q"]);
            assert!(names.lines().any(|name| name == image.reference), "{names}");
        }
        let (checked, output) = containerd.ctr(&["images", "check", "--snapshotter", "native"]);
        assert!(checked && output.matches("complete").count() == 4, "{output}");
    }
}
