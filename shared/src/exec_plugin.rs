//! Credentials that a kubeconfig has a program make (`exec`): when it may run, and how its failure is told.
//!
//! kube's own errors hold the program's arguments, environment and output, and with them secrets. They become a
//! [`PluginError`] where they arise, so that none of them can reach a message.

use kube::client::AuthError;
use kube::config::{AuthInfo, ExecInteractiveMode};
use std::error::Error;
use std::process::ExitStatus;

/// A kubeconfig user's credential could not be had. It tells what the program is and how it ended, nothing that it
/// was given or printed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PluginError {
    /// The program does not exist.
    #[error("the credential plugin {program} is not installed")]
    Missing {
        /// The program, as the kubeconfig names it.
        program: String,
        /// What the kubeconfig says about installing it.
        install_hint: Option<String>,
    },
    /// The program cannot be started.
    #[error("the credential plugin {program} cannot be started: {why}")]
    Start {
        /// The program.
        program: String,
        /// The system's answer.
        why: String,
    },
    /// The program failed.
    #[error("the credential plugin {program} failed ({status})")]
    Failed {
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// The program succeeded and its answer is no credential.
    #[error("the credential plugin {program} gave no usable credential")]
    NoCredential {
        /// The program.
        program: String,
    },
    /// The program insists on a person and there is none.
    #[error("the credential plugin {program} asks a person, and standard input is no terminal")]
    Interactive {
        /// The program.
        program: String,
    },
    /// A credential that needs no program cannot be used.
    #[error("the credential of the context cannot be used: {why}")]
    Unusable {
        /// Why, without the credential.
        why: String,
    },
}

/// The program of one kubeconfig user, for what is told of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plugin {
    program: Option<String>,
    install_hint: Option<String>,
}

impl Plugin {
    /// The program of a kubeconfig user. From here on it asks nobody when standard input is no `terminal`.
    ///
    /// # Errors
    /// [`PluginError::Interactive`] when it cannot do without a person and there is none.
    pub(crate) fn prepare(user: &mut AuthInfo, terminal: bool) -> Result<Self, PluginError> {
        let Some(exec) = &mut user.exec else {
            let provider = user.auth_provider.as_ref();
            return Ok(Self {
                program: provider.and_then(|provider| provider.config.get("cmd-path").cloned()),
                install_hint: None,
            });
        };
        let plugin = Self {
            program: exec.command.clone(),
            install_hint: exec.install_hint.clone(),
        };
        if !terminal {
            if exec.interactive_mode == Some(ExecInteractiveMode::Always) {
                return Err(PluginError::Interactive {
                    program: plugin.program.unwrap_or_default(),
                });
            }
            exec.interactive_mode = Some(ExecInteractiveMode::Never);
        }
        Ok(plugin)
    }

    /// An error of kube's client with everything replaced that may hold a secret.
    pub(crate) fn mask(&self, error: Box<dyn Error + Send + Sync>) -> Box<dyn Error + Send + Sync> {
        match error.downcast::<AuthError>() {
            Ok(error) => self.explain(&error).into(),
            Err(error) => match error.downcast::<kube::Error>() {
                Ok(error) => match *error {
                    kube::Error::Auth(error) => self.explain(&error).into(),
                    error => error.into(),
                },
                Err(error) => error,
            },
        }
    }

    fn explain(&self, error: &AuthError) -> PluginError {
        let program = || self.program.clone().unwrap_or_default();
        match error {
            AuthError::AuthExecStart(error) if error.kind() == std::io::ErrorKind::NotFound => {
                PluginError::Missing {
                    program: program(),
                    install_hint: self.install_hint.clone(),
                }
            }
            AuthError::AuthExecStart(error) => PluginError::Start {
                program: program(),
                why: error.to_string(),
            },
            AuthError::AuthExecRun { out, .. } => PluginError::Failed {
                program: program(),
                status: out.status,
            },
            // These name files and settings at most.
            AuthError::ReadTokenFile(..)
            | AuthError::MissingCommand
            | AuthError::InvalidBasicAuth(_)
            | AuthError::InvalidBearerToken(_)
            | AuthError::AuthExec(_) => PluginError::Unusable {
                why: error.to_string(),
            },
            _ => PluginError::NoCredential { program: program() },
        }
    }
}

impl PluginError {
    /// What the user can do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Missing {
                install_hint: Some(hint),
                ..
            } => hint.trim().to_owned(),
            Self::Missing { program, .. } if is_kubelogin(program) => {
                "install kubelogin: az aks install-cli".to_owned()
            }
            Self::Missing { program, .. } => {
                format!("install {program}, or correct the user's exec.command in the kubeconfig")
            }
            Self::Interactive { program } if is_kubelogin(program) => {
                "sign in without a person: kubelogin convert-kubeconfig -l azurecli (or workloadidentity, spn, msi)"
                    .to_owned()
            }
            Self::Interactive { .. } => {
                "use a context whose user needs nobody (exec.interactiveMode: Never), or run this in a terminal"
                    .to_owned()
            }
            Self::Start { .. } | Self::Failed { .. } | Self::NoCredential { .. } | Self::Unusable { .. } => {
                "see what kubectl says with this context: kubectl get --raw /readyz --context CONTEXT".to_owned()
            }
        }
    }

    /// The plugin's failure among the causes of an error.
    pub(crate) fn among_causes<'a>(error: &'a (dyn Error + 'a)) -> Option<&'a Self> {
        let mut next = error.source();
        while let Some(cause) = next {
            if let Some(found) = cause.downcast_ref::<Self>() {
                return Some(found);
            }
            next = cause.source();
        }
        None
    }
}

fn is_kubelogin(program: &str) -> bool {
    let stem = std::path::Path::new(program).file_stem();
    stem.is_some_and(|stem| stem == "kubelogin")
}

/// What is told of an error of kube's client that must not speak for itself: one about a credential. Those that
/// [`Plugin::mask`] has not seen tell nothing.
pub(crate) fn unmasked(error: &(dyn Error + 'static)) -> Option<PluginError> {
    let boxed = || error.downcast_ref::<Box<kube::Error>>().map(AsRef::as_ref);
    let inner: &(dyn Error + 'static) = match error.downcast_ref::<kube::Error>().or_else(boxed) {
        Some(kube::Error::Auth(error)) => error,
        Some(kube::Error::Service(inner)) => &**inner,
        _ => error,
    };
    if inner.is::<AuthError>() {
        return Some(PluginError::Unusable {
            why: "it may hold secrets".to_owned(),
        });
    }
    inner.downcast_ref::<PluginError>().cloned()
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use crate::Failure;
    use crate::cluster::{Cluster, Connection};
    use crate::env::Env;
    use crate::kubeconfig::Kubeconfig;
    use crate::trust::TrustedRoots;
    use std::path::Path;

    const CANARY: &str = "canary-4711";

    /// A kubeconfig whose plugin runs a shell script with the canary in its arguments and environment.
    fn kubeconfig(directory: &Path, command: &str, script: &str, mode: &str) -> Kubeconfig {
        let path = directory.join("config");
        let text = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
            "users": [{"name": "u", "user": {"exec": {
                "apiVersion": "client.authentication.k8s.io/v1", "command": command,
                "args": ["-c", script, CANARY], "env": [{"name": "PASSWORD", "value": CANARY}],
                "interactiveMode": mode,
            }}}],
        });
        std::fs::write(&path, text.to_string()).unwrap();
        Kubeconfig::load(Some(&path), &Env::of::<&str, &str>([])).unwrap()
    }

    fn connection() -> Connection {
        // As entry::run does; the first one stays.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        Connection {
            request_timeout: None,
            roots: TrustedRoots::default(),
            env: Env::of::<&str, &str>([]),
        }
    }

    fn told(error: &(dyn Error + 'static)) -> String {
        let failure = Failure::from_error(crate::ExitStatus::Refused, error);
        let text = format!("{failure:?} {}", failure.causes.join(": "));
        assert!(!text.contains(CANARY), "{text}");
        text
    }

    #[tokio::test]
    async fn a_plugin_that_fails_is_told_by_its_name_and_exit_status() {
        let directory = tempfile::tempdir().unwrap();
        let script = format!("echo {CANARY}; echo {CANARY} >&2; exit 7");
        let kubeconfig = kubeconfig(directory.path(), "/bin/sh", &script, "Never");
        let error = Cluster::connect(&kubeconfig, "c", &connection())
            .await
            .unwrap_err();
        let text = told(&error);
        assert!(text.contains("/bin/sh failed (exit status: 7)"), "{text}");
    }

    #[tokio::test]
    async fn a_plugin_whose_answer_is_no_credential_does_not_show_the_answer() {
        let directory = tempfile::tempdir().unwrap();
        for answer in [CANARY.to_owned(), format!("{{\"status\": \"{CANARY}\"}}")] {
            let script = format!("echo '{answer}'");
            let kubeconfig = kubeconfig(directory.path(), "/bin/sh", &script, "Never");
            let error = Cluster::connect(&kubeconfig, "c", &connection())
                .await
                .unwrap_err();
            let text = told(&error);
            assert!(text.contains("/bin/sh gave no usable credential"), "{text}");
        }
    }

    #[tokio::test]
    async fn a_plugin_that_fails_at_a_later_refresh_is_told_the_same_way() {
        let directory = tempfile::tempdir().unwrap();
        let flag = directory.path().join("broken");
        let script = format!(
            "test -e {} && {{ echo {CANARY}; exit 7; }}
             echo '{{\"status\": {{\"token\": \"{CANARY}\", \"expirationTimestamp\": \"2020-01-01T00:00:00Z\"}}}}'",
            flag.display()
        );
        let kubeconfig = kubeconfig(directory.path(), "/bin/sh", &script, "Never");
        let cluster = Cluster::connect(&kubeconfig, "c", &connection()).await.unwrap();
        std::fs::write(&flag, "").unwrap();
        let error = cluster.discovery().await.unwrap_err();
        let text = told(&error);
        assert!(text.contains("/bin/sh failed (exit status: 7)"), "{text}");
    }

    #[tokio::test]
    async fn a_missing_kubelogin_comes_with_how_to_install_it() {
        let directory = tempfile::tempdir().unwrap();
        let kubeconfig = kubeconfig(directory.path(), "/absent/kubelogin", "", "Never");
        let error = Cluster::connect(&kubeconfig, "c", &connection())
            .await
            .unwrap_err();
        let text = told(&error);
        assert!(text.contains("/absent/kubelogin is not installed"), "{text}");
        assert!(text.contains("az aks install-cli"), "{text}");
    }

    #[test]
    fn without_a_terminal_a_plugin_asks_nobody_or_is_refused() {
        let user = |mode: Option<&str>| -> AuthInfo {
            let exec = serde_json::json!({"command": "kubelogin", "interactiveMode": mode});
            serde_json::from_value(serde_json::json!({"exec": exec})).unwrap()
        };
        let mode = |user: AuthInfo| user.exec.unwrap().interactive_mode;
        for given in [None, Some("IfAvailable"), Some("Never")] {
            let mut user = user(given);
            Plugin::prepare(&mut user, false).unwrap();
            assert_eq!(mode(user), Some(ExecInteractiveMode::Never));
        }
        let refused = Plugin::prepare(&mut user(Some("Always")), false).unwrap_err();
        assert!(
            refused.hint().contains("kubelogin convert-kubeconfig"),
            "{refused}"
        );

        let mut free = user(Some("Always"));
        Plugin::prepare(&mut free, true).unwrap();
        assert_eq!(mode(free), Some(ExecInteractiveMode::Always));
    }

    #[test]
    fn an_authentication_error_that_nobody_masked_tells_nothing() {
        let inner = || AuthError::AuthExec(CANARY.to_owned());
        for error in [kube::Error::Auth(inner()), kube::Error::Service(inner().into())] {
            assert!(!crate::failure::last_word(&error).unwrap().contains(CANARY));
        }
    }
}
