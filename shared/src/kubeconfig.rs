//! The user's kubeconfig: found and merged as client-go does it, read only, contexts chosen by name or glob.

use crate::args::KubeArgs;
use crate::env::{self, Env};
use crate::failure::Failure;
use kube::config::Kubeconfig as File;
use std::path::{Path, PathBuf};

/// The merged kubeconfig.
#[derive(Debug, Clone)]
pub struct Kubeconfig {
    file: File,
    paths: Vec<PathBuf>,
}

/// A kubeconfig could not be loaded, or has not what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum KubeconfigError {
    /// A file is unreadable or malformed.
    #[error("cannot load kubeconfig {}", path.display())]
    Load {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<kube::config::KubeconfigError>,
    },
    /// Two files of the list contradict each other.
    #[error("cannot merge kubeconfig {}", path.display())]
    Merge {
        /// The file that does not fit the ones before it.
        path: PathBuf,
        /// Why.
        source: Box<kube::config::KubeconfigError>,
    },
    /// No context was named and none is current.
    #[error("no context was given and the kubeconfig has no current one")]
    NoCurrentContext,
    /// A context or glob matches nothing.
    #[error("no context matches {pattern:?}")]
    NoMatch {
        /// What was asked for.
        pattern: String,
        /// The contexts that exist.
        known: Vec<String>,
    },
}

impl From<KubeconfigError> for Failure {
    fn from(error: KubeconfigError) -> Self {
        let failure = Self::from_error(crate::ExitStatus::Usage, &error);
        match &error {
            KubeconfigError::Load { .. } | KubeconfigError::Merge { .. } => {
                failure.hint("check which files are read: echo $KUBECONFIG; kubectl config view")
            }
            KubeconfigError::NoCurrentContext => {
                failure.hint("name one with --context; list them: kubectl config get-contexts")
            }
            KubeconfigError::NoMatch { known, .. } if known.is_empty() => failure.hint(
                "the kubeconfig has no contexts; fetch one: az aks get-credentials -g GROUP -n CLUSTER",
            ),
            KubeconfigError::NoMatch { known, .. } => failure.hint(format!("contexts: {}", known.join(", "))),
        }
    }
}

impl Kubeconfig {
    /// Loads `--kubeconfig`, else the files of `$KUBECONFIG` (missing ones skipped, first wins), else
    /// `~/.kube/config`. No file at all is an empty kubeconfig.
    pub fn load(explicit: Option<&Path>, env: &Env) -> Result<Self, KubeconfigError> {
        let candidates: Vec<PathBuf> = match (explicit, env.get(env::kube::KUBECONFIG)) {
            (Some(path), _) => vec![path.to_owned()],
            (None, Some(list)) => std::env::split_paths(&list)
                .filter(|path| !path.as_os_str().is_empty())
                .collect(),
            (None, None) => env
                .home()
                .map(|home| home.join(".kube/config"))
                .into_iter()
                .collect(),
        };
        let paths: Vec<PathBuf> = candidates
            .into_iter()
            .filter(|path| explicit.is_some() || path.exists())
            .collect();
        let mut file = File::default();
        for path in &paths {
            let next = File::read_from(path).map_err(|source| KubeconfigError::Load {
                path: path.clone(),
                source: Box::new(source),
            })?;
            file = file.merge(next).map_err(|source| KubeconfigError::Merge {
                path: path.clone(),
                source: Box::new(source),
            })?;
        }
        Ok(Self { file, paths })
    }

    /// The merged content.
    pub const fn file(&self) -> &File {
        &self.file
    }

    /// The files that were read, first wins; what a child process gets as its own `KUBECONFIG`.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// The names of all contexts, in the order of the files.
    pub fn contexts(&self) -> Vec<String> {
        self.file
            .contexts
            .iter()
            .map(|context| context.name.clone())
            .collect()
    }

    /// The contexts that match the patterns, each once, in the order of the kubeconfig; without a pattern the
    /// current one.
    pub fn select(&self, patterns: &[String]) -> Result<Vec<String>, KubeconfigError> {
        let known = self.contexts();
        if patterns.is_empty() {
            let current = self.file.current_context.clone().filter(|name| !name.is_empty());
            return current
                .map(|name| vec![name])
                .ok_or(KubeconfigError::NoCurrentContext);
        }
        for pattern in patterns {
            if !known.iter().any(|name| glob_matches(pattern, name)) {
                return Err(KubeconfigError::NoMatch {
                    pattern: pattern.clone(),
                    known,
                });
            }
        }
        Ok(known
            .into_iter()
            .filter(|name| patterns.iter().any(|pattern| glob_matches(pattern, name)))
            .collect())
    }

    /// Loads the kubeconfig that the flags name and selects the contexts that they name.
    pub fn load_selected(args: &KubeArgs, env: &Env) -> Result<(Self, Vec<String>), KubeconfigError> {
        let kubeconfig = Self::load(args.kubeconfig.as_deref(), env)?;
        let contexts = kubeconfig.select(&args.context)?;
        Ok((kubeconfig, contexts))
    }

    /// The namespace that a context sets for itself, as kubectl would use it without `-n`.
    pub fn namespace_of(&self, context: &str) -> Option<&str> {
        let named = self.file.contexts.iter().find(|named| named.name == context)?;
        named.context.as_ref()?.namespace.as_deref()
    }
}

/// Whether `name` matches `pattern`, in which `*` stands for any text and `?` for one character.
pub fn glob_matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    // reachable[i]: the pattern so far matches the first i characters of the name.
    let mut reachable = vec![false; name.len() + 1];
    reachable[0] = true;
    for symbol in pattern {
        let mut next = vec![false; name.len() + 1];
        for index in 0..=name.len() {
            next[index] = match symbol {
                '*' => reachable[index] || (index > 0 && next[index - 1]),
                '?' => index > 0 && reachable[index - 1],
                literal => index > 0 && reachable[index - 1] && name[index - 1] == literal,
            };
        }
        reachable = next;
    }
    reachable[name.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(directory: &Path, name: &str, context: &str, current: bool) -> PathBuf {
        let path = directory.join(name);
        let current = if current {
            format!("current-context: {context}\n")
        } else {
            String::new()
        };
        let text = format!(
            "apiVersion: v1\nkind: Config\n{current}contexts:\n- name: {context}\n  context: {{cluster: {name}, user: u, namespace: {name}}}\nclusters: []\nusers: []\n"
        );
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn missing_files_of_the_list_are_skipped_and_the_first_wins() {
        let directory = tempfile::tempdir().unwrap();
        let one = write(directory.path(), "one", "shared", true);
        let two = write(directory.path(), "two", "shared", false);
        let three = write(directory.path(), "three", "other", true);
        let list = std::env::join_paths([&directory.path().join("absent"), &one, &two, &three]).unwrap();
        let env = Env::of([(env::kube::KUBECONFIG, list.to_str().unwrap())]);
        let kubeconfig = Kubeconfig::load(None, &env).unwrap();
        assert_eq!(kubeconfig.contexts(), ["shared", "other"]);
        assert_eq!(kubeconfig.namespace_of("shared"), Some("one"));
        assert_eq!(kubeconfig.select(&[]).unwrap(), ["shared"]);
    }

    #[test]
    fn an_explicit_file_must_exist() {
        let env = Env::of::<&str, &str>([]);
        assert!(matches!(
            Kubeconfig::load(Some(Path::new("/absent")), &env),
            Err(KubeconfigError::Load { .. })
        ));
    }

    #[test]
    fn globs_select_each_context_once() {
        let directory = tempfile::tempdir().unwrap();
        let one = write(directory.path(), "one", "aks-weu-1", true);
        let two = write(directory.path(), "two", "aks-neu-1", true);
        let list = std::env::join_paths([&one, &two]).unwrap();
        let env = Env::of([(env::kube::KUBECONFIG, list.to_str().unwrap())]);
        let kubeconfig = Kubeconfig::load(None, &env).unwrap();
        let patterns = ["aks-*".to_owned(), "aks-neu-1".to_owned()];
        assert_eq!(kubeconfig.select(&patterns).unwrap(), ["aks-weu-1", "aks-neu-1"]);
        assert!(matches!(
            kubeconfig.select(&["prod-*".into()]),
            Err(KubeconfigError::NoMatch { .. })
        ));
    }

    #[test]
    fn globs() {
        assert!(glob_matches("*", ""));
        assert!(glob_matches("a*c?", "abbbcd"));
        assert!(!glob_matches("a*c", "abbbcd"));
        assert!(glob_matches("exact", "exact"));
        assert!(!glob_matches("exact", "exactly"));
    }
}
