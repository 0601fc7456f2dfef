//! Running helm.

pub use super::error::HelmError;
use super::redact::{Redaction, tail};
use super::version::HelmVersion;
use crate::memory;
use crate::process::{self, Bounds, Ended, GRACE, Keep, Stop};
use aks_shared::env::Env;
use aks_shared::interrupt::Interrupt;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;
use tokio::process::Command;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many lines of helm's output a failure keeps.
const TAIL_LINES: usize = 20;
/// Settings of the calling helm that would redirect its children to another cluster or namespace.
const INHERITED: [&str; 11] = [
    "HELM_KUBECONTEXT",
    "HELM_KUBETOKEN",
    "HELM_KUBEASUSER",
    "HELM_KUBEASGROUPS",
    "HELM_KUBEAPISERVER",
    "HELM_KUBECAFILE",
    "HELM_KUBEINSECURE_SKIP_TLS_VERIFY",
    "HELM_KUBETLS_SERVER_NAME",
    "HELM_NAMESPACE",
    "HELM_PLUGIN_NAME",
    "HELM_PLUGIN_DIR",
];

/// Keeps from a program what the calling helm has set for us alone.
pub(crate) fn forget_caller(command: &mut Command) -> &mut Command {
    for variable in INHERITED {
        command.env_remove(variable);
    }
    command
}

/// How long helm may take to end once it was asked to: not much longer than it was given to work.
pub(crate) fn grace(deadline: Duration) -> Duration {
    GRACE.min(deadline)
}

/// A `helm` that can be run.
#[derive(Debug, Clone)]
pub struct Helm {
    binary: PathBuf,
    kubeconfig: PathBuf,
    version: HelmVersion,
    memory: Option<memory::Room>,
    /// One permit for each helm that fits into the memory; none where that is not known.
    room: Option<Arc<Semaphore>>,
}

impl Helm {
    /// Finds helm (`--helm-bin`, else `$HELM_BIN`, else the path) and asks for its version. All its runs read
    /// `kubeconfig` and no other.
    pub async fn find(
        explicit: Option<&PathBuf>,
        env: &Env,
        kubeconfig: PathBuf,
        interrupt: &Interrupt,
    ) -> Result<Self, HelmError> {
        let named = explicit
            .cloned()
            .or_else(|| env.path("HELM_BIN"))
            .unwrap_or_else(|| "helm".into());
        // Helm hands its own argv[0] to plugins, which may be a bare name.
        let binary = which::which(named)?;
        let memory = memory::Room::now();
        let mut helm = Self {
            binary,
            kubeconfig,
            version: HelmVersion {
                major: 0,
                minor: 0,
                patch: 0,
            },
            memory,
            room: memory.map(|room| Arc::new(Semaphore::new(room.helms.min(Semaphore::MAX_PERMITS)))),
        };
        let arguments = ["version", "--template", "{{.Version}}"].map(OsString::from);
        let text = helm
            .run(
                &arguments,
                Duration::from_secs(30),
                &Redaction::default(),
                interrupt,
            )
            .await?;
        helm.version = text
            .parse()
            .and_then(HelmVersion::check)
            .map_err(|source| HelmError::Version {
                binary: helm.binary.clone(),
                source,
            })?;
        Ok(helm)
    }

    /// How many of it have memory to run at once; none where that is not known.
    pub(crate) const fn memory(&self) -> Option<memory::Room> {
        self.memory
    }

    /// Its version.
    pub const fn version(&self) -> &HelmVersion {
        &self.version
    }

    /// Runs helm to its end and returns its standard output.
    ///
    /// On an interrupt and at the deadline helm is asked by SIGTERM to end, so that it records the release as
    /// failed; only if it does not, or at the second signal, it is killed.
    pub async fn run(
        &self,
        arguments: &[OsString],
        deadline: Duration,
        redaction: &Redaction,
        interrupt: &Interrupt,
    ) -> Result<String, HelmError> {
        let (stop, kill) = (interrupt.cancelled(), interrupt.forced());
        self.run_until(arguments, deadline, redaction, stop, kill).await
    }

    /// As [`Self::run`], but what was begun is to come to its end: only the second signal stops helm, and the third
    /// one kills it.
    pub async fn run_through(
        &self,
        arguments: &[OsString],
        deadline: Duration,
        redaction: &Redaction,
        interrupt: &Interrupt,
    ) -> Result<String, HelmError> {
        let (stop, kill) = (interrupt.forced(), interrupt.abandoned());
        self.run_until(arguments, deadline, redaction, stop, kill).await
    }

    /// Waits until there is memory for one more.
    async fn room(&self) -> Room {
        // It is never closed.
        Arc::clone(self.room.as_ref()?).acquire_owned().await.ok()
    }

    async fn run_until(
        &self,
        arguments: &[OsString],
        deadline: Duration,
        redaction: &Redaction,
        stop: impl Future<Output = ()>,
        kill: impl Future<Output = ()>,
    ) -> Result<String, HelmError> {
        let name = arguments
            .first()
            .map(|first| first.to_string_lossy().into_owned())
            .unwrap_or_default();
        let run_error = |source| HelmError::Run {
            binary: self.binary.clone(),
            source,
        };
        let mut command = Command::new(&self.binary);
        forget_caller(&mut command)
            .args(arguments)
            .env("KUBECONFIG", &self.kubeconfig);
        tokio::pin!(stop);
        // What waits here has not begun, and its time does not run yet.
        let room = tokio::select! {
            room = self.room() => room,
            () = &mut stop => return Err(HelmError::Interrupted { command: name }),
        };
        let bounds = Bounds {
            deadline,
            grace: grace(deadline),
        };
        let ended = process::run(command, bounds, Keep::All, stop, kill).await;
        drop(room);
        let Ended {
            output,
            stopped,
            killed,
        } = ended.map_err(run_error)?;
        match stopped {
            None => judge(&name, &output, redaction),
            // It may have come to its end before the signal did.
            Some(Stop::Interrupt) if output.status.success() => judge(&name, &output, redaction),
            Some(Stop::Interrupt) if killed => Err(HelmError::Killed { command: name }),
            Some(Stop::Interrupt) => Err(HelmError::Interrupted { command: name }),
            Some(Stop::Deadline) => {
                let output = last_lines(&output, redaction);
                Err(HelmError::Deadline {
                    command: name,
                    how: if killed { "killed" } else { "stopped" },
                    deadline,
                    output,
                })
            }
        }
    }
}

/// What a helm holds as long as it runs.
type Room = Option<OwnedSemaphorePermit>;

fn judge(name: &str, output: &Output, redaction: &Redaction) -> Result<String, HelmError> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let text = last_lines(output, redaction);
    Err(HelmError::Failed {
        command: name.to_owned(),
        status: output.status,
        output: text,
    })
}

fn last_lines(output: &Output, redaction: &Redaction) -> String {
    redaction.apply(&tail(&String::from_utf8_lossy(&output.stderr), TAIL_LINES))
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    fn fake(script: &str) -> (tempfile::TempDir, Helm) {
        let directory = tempfile::tempdir().unwrap();
        let binary = directory.path().join("helm");
        std::fs::write(&binary, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&binary, std::fs::Permissions::from_mode(0o755)).unwrap();
        let version = HelmVersion {
            major: 4,
            minor: 2,
            patch: 4,
        };
        (
            directory,
            Helm {
                binary,
                kubeconfig: "/run/kubeconfig.json".into(),
                version,
                memory: None,
                room: None,
            },
        )
    }

    async fn run(helm: &Helm, deadline: Duration, interrupt: &Interrupt) -> Result<String, HelmError> {
        helm.run(&["upgrade".into()], deadline, &Redaction::default(), interrupt)
            .await
    }

    /// One that does not end when it is asked to, from when a file is there.
    fn deaf_once(ready: &Path) -> (tempfile::TempDir, Helm) {
        let ready = ready.display();
        fake(&format!(
            "trap '' TERM\ntouch {ready}\nwhile :; do sleep 0.05; done"
        ))
    }

    async fn appears(file: &Path) {
        while !file.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn a_failure_keeps_what_helm_said() {
        let (_directory, helm) = fake("echo out; echo 'Error: token eyJa.b.c' >&2; exit 1");
        let error = run(&helm, Duration::from_mins(1), &Interrupt::new())
            .await
            .unwrap_err();
        assert_eq!(error.output(), Some("Error: token [redacted]"));
    }

    #[tokio::test]
    async fn helm_reads_the_kubeconfig_of_the_run() {
        let (_directory, helm) = fake("echo $KUBECONFIG");
        let text = run(&helm, Duration::from_mins(1), &Interrupt::new())
            .await
            .unwrap();
        assert_eq!(text, "/run/kubeconfig.json\n");
    }

    #[tokio::test]
    async fn an_interrupt_asks_helm_to_end_and_waits() {
        let directory = tempfile::tempdir().unwrap();
        let (ready, ended) = (directory.path().join("ready"), directory.path().join("ended"));
        let script = format!(
            "trap 'touch {}; exit 1' TERM\ntouch {}\nwhile :; do sleep 0.05; done",
            ended.display(),
            ready.display()
        );
        let (_binary, helm) = fake(&script);
        let interrupt = Interrupt::new();
        let raise = async {
            appears(&ready).await;
            interrupt.raise(aks_shared::ExitStatus::Interrupted);
        };
        let (result, ()) = tokio::join!(run(&helm, Duration::from_mins(1), &interrupt), raise);
        assert!(matches!(result, Err(HelmError::Interrupted { .. })));
        assert!(ended.exists());
    }

    #[tokio::test]
    async fn the_second_signal_kills_a_helm_that_will_not_end() {
        let directory = tempfile::tempdir().unwrap();
        let ready = directory.path().join("ready");
        let (_binary, helm) = deaf_once(&ready);
        let interrupt = Interrupt::new();
        let insist = async {
            appears(&ready).await;
            for _ in 0..2 {
                interrupt.insist(aks_shared::ExitStatus::Interrupted);
            }
        };
        let (result, ()) = tokio::join!(run(&helm, Duration::from_mins(1), &interrupt), insist);
        assert!(matches!(result, Err(HelmError::Killed { .. })));
    }

    #[tokio::test]
    async fn what_is_to_come_to_its_end_does_not_see_the_first_signal() {
        let (_binary, helm) = fake("sleep 0.3; echo done");
        let interrupt = Interrupt::new();
        interrupt.raise(aks_shared::ExitStatus::Interrupted);
        let text = helm
            .run_through(
                &["rollback".into()],
                Duration::from_mins(1),
                &Redaction::default(),
                &interrupt,
            )
            .await
            .unwrap();
        assert_eq!(text, "done\n");
    }

    #[tokio::test]
    async fn no_more_run_at_once_than_there_is_memory_for() {
        let directory = tempfile::tempdir().unwrap();
        let here = directory.path().join("here");
        // Making a folder that is there fails.
        let script = format!("mkdir {0} || exit 1; sleep 0.2; rmdir {0}", here.display());
        let (_binary, mut helm) = fake(&script);
        helm.room = Some(Arc::new(Semaphore::new(1)));
        let interrupt = Interrupt::new();
        let one = || run(&helm, Duration::from_mins(1), &interrupt);
        let (first, second, third) = tokio::join!(one(), one(), one());
        assert!(first.is_ok() && second.is_ok() && third.is_ok());
        // Who waits for memory is not kept from ending.
        interrupt.raise(aks_shared::ExitStatus::Interrupted);
        helm.room = Some(Arc::new(Semaphore::new(0)));
        let result = run(&helm, Duration::from_mins(1), &interrupt).await;
        assert!(matches!(result, Err(HelmError::Interrupted { .. })));
    }

    #[tokio::test]
    async fn a_helm_that_hangs_is_stopped_at_its_deadline() {
        let (_directory, helm) = fake("exec sleep 600");
        let error = run(&helm, Duration::from_millis(100), &Interrupt::new())
            .await
            .unwrap_err();
        assert!(matches!(error, HelmError::Deadline { how: "stopped", .. }));
    }

    #[tokio::test]
    async fn a_helm_that_hangs_and_does_not_want_to_end_is_killed() {
        let directory = tempfile::tempdir().unwrap();
        let deaf = directory.path().join("deaf");
        let (_binary, helm) = deaf_once(&deaf);
        let mut deadline = Duration::from_millis(200);
        let error = loop {
            let error = run(&helm, deadline, &Interrupt::new()).await.unwrap_err();
            if deaf.exists() {
                break error;
            }
            // It was asked before it had begun not to listen.
            deadline *= 2;
        };
        assert!(
            matches!(error, HelmError::Deadline { how: "killed", .. }),
            "{error}"
        );
    }
}
