//! The environment of a shell that works with a sandbox: it makes the simulated Azure just another cloud.

pub mod pipeline;

use std::env;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::azure::{self, Access};
use crate::command::{self, CommandError};
use crate::files::{self, FileError};
use crate::image::WI_PROBE;
use crate::programs::{PLUGINS, workspace};
use crate::spec::{self, Spec};
use crate::state::StateDir;

/// Which Helm `helm` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Helm {
    /// Helm 3.
    #[value(name = "3")]
    Three,
    /// Helm 4.
    #[value(name = "4")]
    Four,
}

impl Helm {
    /// Its name, and that of its folder in a sandbox.
    pub(crate) fn folder(self) -> &'static str {
        match self {
            Self::Three => "helm3",
            Self::Four => "helm4",
        }
    }
}

/// Writes what the environment points to.
pub fn prepare(state: &StateDir, access: &Access) -> Result<(), FileError> {
    let cloud = json!({
        "name": "AzureStackCloud",
        "activeDirectoryEndpoint": azure::url(access.entra),
        "resourceManagerEndpoint": azure::url(access.arm),
        "tokenAudience": "https://management.azure.com/",
        "keyVaultDNSSuffix": "vault.azure.net",
        "resourceIdentifiers": {"keyVault": "https://vault.azure.net"},
    });
    files::write_json(&state.azure_cloud(), &cloud)
}

/// The secret of the operator's service principal, which only the simulated Azure knows.
pub fn operator_secret(spec: &Spec) -> String {
    spec::uuid(&spec.name, "operator-secret")
}

/// All variables, in the order in which they are printed.
pub fn variables(state: &StateDir, spec: &Spec, helm: Helm) -> Vec<(&'static str, String)> {
    let text = |path: PathBuf| path.display().to_string();
    let homes = state.file(helm.folder());
    let path = [homes.join("bin"), state.file("bin")].map(text).join(":");
    let current = env::var("PATH").unwrap_or_default();
    [
        ("AKS_SANDBOX", spec.name.clone()),
        (
            "AKS_SANDBOX_PROGRAM",
            text(env::current_exe().unwrap_or_default()),
        ),
        ("KUBECONFIG", text(state.kubeconfig())),
        ("PATH", prepend(&path, &current)),
        ("AKS_WI_PROBE_IMAGE", WI_PROBE.to_owned()),
    ]
    .into_iter()
    .chain(cloud_variables(state, &Access::of_spec(spec), &spec.range.cidr()))
    .chain(HELM_HOMES.map(|(name, folder)| (name, text(homes.join(folder)))))
    .collect()
}

/// The variables that make the simulated Azure the cloud that is meant, its operator signed in; `direct` is where no
/// proxy may stand between.
pub fn cloud_variables(state: &StateDir, access: &Access, direct: &str) -> Vec<(&'static str, String)> {
    let text = |path: PathBuf| path.display().to_string();
    let no_proxy = no_proxy(direct);
    vec![
        ("AZURE_TENANT_ID", access.tenant_id.clone()),
        ("AZURE_SUBSCRIPTION_ID", access.subscription_id.clone()),
        ("AZURE_CLIENT_ID", access.client_id.clone()),
        ("AZURE_CLIENT_SECRET", access.client_secret.clone()),
        ("AZURE_ENVIRONMENT", "AzureStackCloud".to_owned()),
        ("AZURE_ENVIRONMENT_FILEPATH", text(state.azure_cloud())),
        ("AKS_WI_CA_FILE", text(state.ca_certificate())),
        ("SSL_CERT_FILE", text(state.ca_bundle())),
        ("NO_PROXY", no_proxy.clone()),
        ("no_proxy", no_proxy),
    ]
}

/// A program on the path of these variables: this process has another one.
pub(crate) fn find(variables: &[(&str, String)], program: &str) -> PathBuf {
    let path = variables
        .iter()
        .find(|(name, _)| *name == "PATH")
        .map_or("", |(_, value)| value.as_str());
    env::split_paths(path)
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| PathBuf::from(program))
}

/// Puts our folders first, without growing when a shell evaluates it again.
fn prepend(folders: &str, path: &str) -> String {
    let rest: Vec<&str> = path
        .split(':')
        .filter(|folder| !folders.split(':').any(|own| own == *folder))
        .collect();
    format!("{folders}:{}", rest.join(":"))
}

fn no_proxy(direct: &str) -> String {
    let current = env::var("NO_PROXY")
        .or_else(|_| env::var("no_proxy"))
        .unwrap_or_default();
    let parts = current
        .split(',')
        .filter(|part| !part.is_empty() && *part != direct);
    parts.chain([direct]).collect::<Vec<_>>().join(",")
}

/// The variables as lines for `eval "$(cargo sandbox env)"`.
pub fn exports(variables: &[(&str, String)]) -> String {
    let lines: Vec<String> = variables
        .iter()
        .map(|(name, value)| format!("export {name}={}\n", quote(value)))
        .collect();
    lines.concat()
}

fn quote(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

/// Puts `kubectl`, both Helms and the plugins where PATH and Helm find them.
pub fn link_programs(
    state: &StateDir,
    kubectl: &Path,
    helms: [(Helm, PathBuf); 2],
    built: &Path,
) -> Result<(), LinkError> {
    let bin = state.file("bin");
    files::create_folder(&bin)?;
    files::link(kubectl, &bin.join("kubectl"))?;
    for plugin in PLUGINS {
        files::link(&built.join(plugin), &bin.join(plugin))?;
    }
    let staged = stage_helm_plugin(state, built)?;
    for (helm, program) in helms {
        let homes = state.file(helm.folder());
        for folder in ["bin", "config", "cache", PLUGINS_FOLDER] {
            files::create_folder(&homes.join(folder))?;
        }
        files::link(&program, &homes.join("bin/helm"))?;
        install_helm_plugin(&program, &homes, &staged)?;
    }
    Ok(())
}

/// The Helm plugin's folder with the program that is being developed in it.
fn stage_helm_plugin(state: &StateDir, built: &Path) -> Result<PathBuf, FileError> {
    let staged = state.file("helm-plugin");
    files::create_folder(&staged.join("bin"))?;
    let manifest = files::read(&workspace().join("helm-plugin/plugin.yaml"))?;
    files::write(&staged.join("plugin.yaml"), &manifest)?;
    files::link(&built.join("helm-fleet"), &staged.join("bin/helm-fleet"))?;
    Ok(staged)
}

/// As a user does, once.
fn install_helm_plugin(helm: &Path, homes: &Path, staged: &Path) -> Result<(), CommandError> {
    if homes
        .join(PLUGINS_FOLDER)
        .join(staged.file_name().unwrap_or_default())
        .exists()
    {
        return Ok(());
    }
    let mut install = command::plain(helm);
    install.args(["plugin", "install"]).arg(staged);
    for (name, folder) in HELM_HOMES {
        install.env(name, homes.join(folder));
    }
    command::run(&mut install).map(|_| ())
}

/// Where Helm keeps what is its own, below a folder for each Helm.
const HELM_HOMES: [(&str, &str); 4] = [
    ("HELM_CONFIG_HOME", "config"),
    ("HELM_CACHE_HOME", "cache"),
    ("HELM_DATA_HOME", "data"),
    ("HELM_PLUGINS", PLUGINS_FOLDER),
];

/// Below the data, because Helm 4 installs there whatever `HELM_PLUGINS` says, and looks where it says.
const PLUGINS_FOLDER: &str = "data/plugins";

/// Why programs cannot be put in place.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// A file failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// Helm refused its plugin.
    #[error(transparent)]
    Helm(#[from] CommandError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_the_shell() {
        assert_eq!(
            exports(&[("A", "it's $x".to_owned())]),
            "export A='it'\\''s $x'\n"
        );
    }

    #[test]
    fn path_does_not_grow_when_evaluated_again() {
        let once = prepend("/s/helm3/bin:/s/bin", "/usr/bin:/bin");
        assert_eq!(once, "/s/helm3/bin:/s/bin:/usr/bin:/bin");
        assert_eq!(prepend("/s/helm3/bin:/s/bin", &once), once);
    }
}
