//! Running helm: the only place that starts a process.

use super::redact::{Redaction, tail};
use super::version::{HelmVersion, VersionError};
use aks_shared::env::Env;
use aks_shared::interrupt::Interrupt;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;
use tokio::process::{Child, Command};

/// How many lines of helm's output a failure keeps.
const TAIL_LINES: usize = 20;
/// How long helm may take to record its end after it was asked to stop.
const GRACE: Duration = Duration::from_secs(30);

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

/// A `helm` that can be run.
#[derive(Debug, Clone)]
pub struct Helm {
    binary: PathBuf,
    kubeconfig: PathBuf,
    version: HelmVersion,
}

/// Helm cannot be run, or says no.
#[derive(Debug, thiserror::Error)]
pub enum HelmError {
    /// There is no helm.
    #[error("helm was not found")]
    Missing(#[from] which::Error),
    /// The process cannot be started or watched.
    #[error("cannot run {}", binary.display())]
    Run {
        /// The binary.
        binary: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// This helm cannot be used.
    #[error("{} cannot be used", binary.display())]
    Version {
        /// The binary.
        binary: PathBuf,
        /// Why.
        source: VersionError,
    },
    /// Helm ran and failed.
    #[error("helm {command} failed ({status})")]
    Failed {
        /// Its first argument.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// Its last lines, redacted.
        output: String,
    },
    /// Helm ran too long and was stopped.
    #[error("helm {command} was stopped after {} s without an end", deadline.as_secs())]
    Deadline {
        /// Its first argument.
        command: String,
        /// The bound.
        deadline: Duration,
        /// Its last lines, redacted.
        output: String,
    },
    /// Helm was stopped because we were.
    #[error("helm {command} was stopped by the interruption")]
    Interrupted {
        /// Its first argument.
        command: String,
    },
}

impl HelmError {
    /// Helm's own last lines, when it had any.
    pub fn output(&self) -> Option<&str> {
        match self {
            Self::Failed { output, .. } | Self::Deadline { output, .. } => Some(output),
            Self::Missing(_) | Self::Run { .. } | Self::Version { .. } | Self::Interrupted { .. } => None,
        }
    }
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
        let mut helm = Self {
            binary,
            kubeconfig,
            version: HelmVersion {
                major: 0,
                minor: 0,
                patch: 0,
            },
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

    /// Its version.
    pub const fn version(&self) -> &HelmVersion {
        &self.version
    }

    /// Runs helm to its end and returns its standard output.
    ///
    /// On an interrupt and at the deadline helm is asked by SIGTERM to end, so that it records the release as
    /// failed; only if it does not, it is killed.
    pub async fn run(
        &self,
        arguments: &[OsString],
        deadline: Duration,
        redaction: &Redaction,
        interrupt: &Interrupt,
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
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for variable in INHERITED {
            command.env_remove(variable);
        }
        command.env("KUBECONFIG", &self.kubeconfig);
        // An own group: the terminal's Ctrl-C must not reach helm behind our back.
        #[cfg(unix)]
        command.process_group(0);
        let child = command.spawn().map_err(run_error)?;
        let process = child.id();
        let ended = wait(child);
        tokio::pin!(ended);
        let stop = tokio::select! {
            output = &mut ended => return judge(&name, &output.map_err(run_error)?, redaction),
            () = interrupt.cancelled() => Stop::Interrupt,
            () = tokio::time::sleep(deadline) => Stop::Deadline,
        };
        signal(process, Force::Term);
        let ended_in_time = tokio::time::timeout(GRACE, &mut ended).await;
        let output = if let Ok(output) = ended_in_time {
            output
        } else {
            signal(process, Force::Kill);
            ended.await
        }
        .map_err(run_error)?;
        match stop {
            // It may have come to its end before the signal did.
            Stop::Interrupt if output.status.success() => judge(&name, &output, redaction),
            Stop::Interrupt => Err(HelmError::Interrupted { command: name }),
            Stop::Deadline => {
                let output = last_lines(&output, redaction);
                Err(HelmError::Deadline {
                    command: name,
                    deadline,
                    output,
                })
            }
        }
    }
}

enum Stop {
    Interrupt,
    Deadline,
}

#[derive(Clone, Copy)]
enum Force {
    Term,
    Kill,
}

async fn wait(child: Child) -> std::io::Result<Output> {
    child.wait_with_output().await
}

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

/// Signals the whole group of a process that has not been waited for yet.
#[cfg(unix)]
fn signal(process: Option<u32>, force: Force) {
    use rustix::process::{Pid, Signal, kill_process_group};
    let group = process
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw);
    if let Some(group) = group {
        let signal = match force {
            Force::Term => Signal::TERM,
            Force::Kill => Signal::KILL,
        };
        // The process may have ended in the meantime; that is what was wanted.
        let _ = kill_process_group(group, signal);
    }
}

#[cfg(not(unix))]
fn signal(_process: Option<u32>, _force: Force) {}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

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
            },
        )
    }

    async fn run(helm: &Helm, deadline: Duration, interrupt: &Interrupt) -> Result<String, HelmError> {
        helm.run(&["upgrade".into()], deadline, &Redaction::default(), interrupt)
            .await
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
            while !ready.exists() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            interrupt.raise(aks_shared::ExitStatus::Interrupted);
        };
        let (result, ()) = tokio::join!(run(&helm, Duration::from_mins(1), &interrupt), raise);
        assert!(matches!(result, Err(HelmError::Interrupted { .. })));
        assert!(ended.exists());
    }

    #[tokio::test]
    async fn a_helm_that_hangs_is_stopped_at_its_deadline() {
        let (_directory, helm) = fake("exec sleep 600");
        let error = run(&helm, Duration::from_millis(100), &Interrupt::new())
            .await
            .unwrap_err();
        assert!(matches!(error, HelmError::Deadline { .. }));
    }
}
