//! The user's kubeconfig: found and merged as client-go does it, read only, contexts chosen by name or glob.

use crate::env::{self, Env};
use crate::failure::Failure;
use kube::config::{AuthInfo, Kubeconfig as File};
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

    /// Adds the cluster of another kubeconfig, whose current context it becomes under the name of `context`. Where that
    /// one leaves the sign-in to a plugin, the token of `token_file` stands for it.
    pub fn add(&mut self, context: &str, other: &str, token_file: &Path) -> Result<(), KubeconfigError> {
        let path = || PathBuf::from(context);
        let mut other = File::from_yaml(other).map_err(|source| KubeconfigError::Load {
            path: path(),
            source: Box::new(source),
        })?;
        let current = other.current_context.take().unwrap_or_default();
        let named = other.contexts.into_iter().find(|named| named.name == current);
        let mut named = named.ok_or(KubeconfigError::NoCurrentContext)?;
        context.clone_into(&mut named.name);
        let found = named.context.as_mut().ok_or(KubeconfigError::NoCurrentContext)?;
        let mut cluster = other
            .clusters
            .into_iter()
            .find(|named| named.name == found.cluster);
        let user = found.user.take().unwrap_or_default();
        let mut user = other.auth_infos.into_iter().find(|named| named.name == user);
        if let Some(user) = &mut user {
            context.clone_into(&mut user.name);
            if let Some(credential) = &mut user.auth_info {
                sign_in_by(credential, token_file);
            }
        }
        if let Some(cluster) = &mut cluster {
            context.clone_into(&mut cluster.name);
        }
        context.clone_into(&mut found.cluster);
        found.user = Some(context.to_owned());
        self.file.clusters.extend(cluster);
        self.file.auth_infos.extend(user);
        self.file.contexts.push(named);
        Ok(())
    }

    /// Lets the token of a file stand for the plugin that a context's user signs in by, if that is how it does.
    pub fn replace_plugin(&mut self, context: &str, token_file: &Path) {
        let user = self.file.contexts.iter().find(|named| named.name == context);
        let user = user.and_then(|named| named.context.as_ref()?.user.clone());
        let users = self.file.auth_infos.iter_mut();
        for credential in users
            .filter(|named| Some(&named.name) == user.as_ref())
            .filter_map(|named| named.auth_info.as_mut())
        {
            sign_in_by(credential, token_file);
        }
    }

    /// The namespace that a context sets for itself, as kubectl would use it without `-n`.
    pub fn namespace_of(&self, context: &str) -> Option<&str> {
        let named = self.file.contexts.iter().find(|named| named.name == context)?;
        named.context.as_ref()?.namespace.as_deref()
    }
}

/// Puts a token in the place of a plugin.
fn sign_in_by(credential: &mut AuthInfo, token_file: &Path) {
    if credential.exec.is_some() || credential.auth_provider.is_some() {
        *credential = AuthInfo {
            token_file: Some(token_file.to_string_lossy().into_owned()),
            ..AuthInfo::default()
        };
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
    fn an_added_cluster_signs_in_by_the_token_where_a_plugin_would() {
        let env = Env::of::<&str, &str>([]);
        let other = |user: &str| {
            format!(
                "apiVersion: v1\nkind: Config\ncurrent-context: aks\n\
                 contexts: [{{name: aks, context: {{cluster: aks, user: clusterUser}}}}]\n\
                 clusters: [{{name: aks, cluster: {{server: 'https://aks.example'}}}}]\n\
                 users: [{{name: clusterUser, user: {user}}}]\n"
            )
        };
        let mut kubeconfig = Kubeconfig::load(None, &env).unwrap();
        let plugin = "{exec: {apiVersion: client.authentication.k8s.io/v1, command: kubelogin}}";
        kubeconfig
            .add("azure/one", &other(plugin), Path::new("/run/token"))
            .unwrap();
        kubeconfig
            .add("azure/two", &other("{token: own}"), Path::new("/run/token"))
            .unwrap();
        assert_eq!(kubeconfig.contexts(), ["azure/one", "azure/two"]);
        let value = serde_json::to_value(kubeconfig.file()).unwrap();
        assert_eq!(value["clusters"][0]["name"], "azure/one");
        assert_eq!(
            value["users"][0],
            serde_json::json!({"name": "azure/one", "user": {"tokenFile": "/run/token"}})
        );
        assert_eq!(value["users"][1]["user"]["token"], "own");
        assert!(
            kubeconfig
                .add("x", "kind: Config", Path::new("/run/token"))
                .is_err()
        );
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
