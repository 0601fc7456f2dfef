//! The credentials that `docker login`, `podman login` and `az acr login` left behind.
//! <https://docs.docker.com/reference/cli/docker/login/#credential-stores>

use aks_shared::env::{Env, registry};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::AsyncWriteExt;

/// What a helper names as the user when its secret is a token to refresh from.
const TOKEN_USER: &str = "<token>";

/// How to sign in to a registry. It has no `Debug`: it holds secrets.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Credentials {
    /// Nobody signed in.
    None,
    /// A user and a password.
    Basic { user: String, password: String },
    /// A token for which the registry gives others.
    Refresh(String),
}

/// The stored credentials cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum CredentialsError {
    /// A file is there and is not what it should be.
    #[error("cannot read the credentials in {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A credential helper cannot be run.
    #[error("cannot run the credential helper {helper}")]
    Helper {
        /// The program.
        helper: String,
        /// Why.
        source: std::io::Error,
    },
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct File {
    auths: HashMap<String, Entry>,
    creds_store: Option<String>,
    cred_helpers: HashMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    identitytoken: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FromHelper {
    username: String,
    secret: String,
}

impl Credentials {
    /// The credentials for a registry, from the first file that has some.
    pub(super) async fn find(registry: &str, env: &Env) -> Result<Self, CredentialsError> {
        for path in files(env) {
            let Some(file) = read(&path)? else { continue };
            if let Some(helper) = file.cred_helpers.get(registry).or(file.creds_store.as_ref())
                && let Some(found) = ask(helper, registry).await?
            {
                return Ok(found);
            }
            if let Some(found) = stored(&file, registry) {
                return Ok(found);
            }
        }
        Ok(Self::None)
    }
}

/// Where credentials are kept, the user's own choice first.
fn files(env: &Env) -> Vec<PathBuf> {
    let docker = env
        .path(registry::DOCKER_CONFIG)
        .or_else(|| Some(env.home()?.join(".docker")))
        .map(|folder| folder.join("config.json"));
    let podman = env
        .path(registry::RUNTIME_DIR)
        .map(|folder| folder.join("containers/auth.json"));
    [env.path(registry::AUTH_FILE), docker, podman]
        .into_iter()
        .flatten()
        .collect()
}

fn read(path: &Path) -> Result<Option<File>, CredentialsError> {
    let error = |source: Box<dyn std::error::Error + Send + Sync>| CredentialsError::File {
        path: path.to_owned(),
        source,
    };
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            // The parser's own words may quote what stands there.
            .map_err(|_| error("it is no JSON of the form that docker writes".into())),
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(error(source.into())),
    }
}

fn stored(file: &File, registry: &str) -> Option<Credentials> {
    let names = [registry.to_owned(), format!("https://{registry}")];
    let entry = names.iter().find_map(|name| file.auths.get(name))?;
    if let Some(token) = entry.identitytoken.clone().filter(|token| !token.is_empty()) {
        return Some(Credentials::Refresh(token));
    }
    let pair = STANDARD.decode(entry.auth.as_ref()?).ok()?;
    let pair = String::from_utf8(pair).ok()?;
    let (user, password) = pair.split_once(':')?;
    Some(Credentials::Basic {
        user: user.to_owned(),
        password: password.to_owned(),
    })
}

/// Asks a credential helper; one that has nothing answers with a failure.
async fn ask(helper: &str, registry: &str) -> Result<Option<Credentials>, CredentialsError> {
    let helper = format!("docker-credential-{helper}");
    let error = |source| CredentialsError::Helper {
        helper: helper.clone(),
        source,
    };
    let mut child = tokio::process::Command::new(&helper)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(error)?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(registry.as_bytes()).await.map_err(error)?;
    }
    let output = child.wait_with_output().await.map_err(error)?;
    if !output.status.success() {
        return Ok(None);
    }
    let found: Option<FromHelper> = serde_json::from_slice(&output.stdout).ok();
    Ok(found.map(|found| {
        if found.username == TOKEN_USER {
            Credentials::Refresh(found.secret)
        } else {
            Credentials::Basic {
                user: found.username,
                password: found.secret,
            }
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_docker_stored_is_found_by_the_registry() {
        let file: File = serde_json::from_value(json!({"auths": {
            "plain.io": {"auth": STANDARD.encode("user:pass:word")},
            "https://url.io": {"auth": STANDARD.encode("u:p")},
            "acr.io": {"auth": STANDARD.encode("0:"), "identitytoken": "t"},
            "empty.io": {}}}))
        .unwrap();
        let basic = |user: &str, password: &str| Credentials::Basic {
            user: user.into(),
            password: password.into(),
        };
        assert!(stored(&file, "plain.io") == Some(basic("user", "pass:word")));
        assert!(stored(&file, "url.io") == Some(basic("u", "p")));
        assert!(stored(&file, "acr.io") == Some(Credentials::Refresh("t".into())));
        assert!(stored(&file, "empty.io").is_none() && stored(&file, "other.io").is_none());
    }

    #[tokio::test]
    async fn the_home_of_the_environment_is_looked_in_when_it_names_no_folder() {
        let home = tempfile::tempdir().unwrap();
        let file = json!({"auths": {"r.io": {"identitytoken": "t"}}});
        std::fs::create_dir(home.path().join(".docker")).unwrap();
        std::fs::write(home.path().join(".docker/config.json"), file.to_string()).unwrap();
        let env = Env::of([("HOME", home.path().display().to_string())]);
        assert!(Credentials::find("r.io", &env).await.unwrap() == Credentials::Refresh("t".into()));
    }

    #[tokio::test]
    async fn without_a_file_nobody_signed_in_and_a_bad_one_is_told_without_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let env = Env::of([("DOCKER_CONFIG", folder.path().display().to_string())]);
        assert!(Credentials::find("r.io", &env).await.unwrap() == Credentials::None);
        std::fs::write(folder.path().join("config.json"), "{\"auths\": \"hunter2\"}").unwrap();
        let Err(error) = Credentials::find("r.io", &env).await else {
            panic!("a bad file is an error")
        };
        assert!(!aks_shared::causes(&error).join(" ").contains("hunter2"));
    }
}
