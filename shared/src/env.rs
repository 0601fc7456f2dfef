//! The process environment as a value, and the name of every variable that the plugins read.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Variables that describe how to reach clusters.
pub mod kube {
    /// List of kubeconfig files, `:`-separated (`;` on Windows); missing ones are skipped.
    pub const KUBECONFIG: &str = "KUBECONFIG";
    /// Proxy for https requests.
    pub const HTTPS_PROXY: &str = "HTTPS_PROXY";
    /// Hosts that are reached without the proxy.
    pub const NO_PROXY: &str = "NO_PROXY";
}

/// Variables of Azure's own tools and SDKs, and ours that complete them.
pub mod azure {
    /// Tenant to sign in to.
    pub const TENANT_ID: &str = "AZURE_TENANT_ID";
    /// Application or identity to sign in as.
    pub const CLIENT_ID: &str = "AZURE_CLIENT_ID";
    /// Secret of that application.
    pub const CLIENT_SECRET: &str = "AZURE_CLIENT_SECRET";
    /// PEM file with that application's certificate and its private key.
    pub const CLIENT_CERTIFICATE_PATH: &str = "AZURE_CLIENT_CERTIFICATE_PATH";
    /// File with a federated token.
    pub const FEDERATED_TOKEN_FILE: &str = "AZURE_FEDERATED_TOKEN_FILE";
    /// Subscription to look for clusters in.
    pub const SUBSCRIPTION_ID: &str = "AZURE_SUBSCRIPTION_ID";
    /// Name of the cloud, as go-autorest and the workload identity webhook know it.
    pub const ENVIRONMENT: &str = "AZURE_ENVIRONMENT";
    /// Description of a custom cloud, read when the name is `AzureStackCloud`.
    pub const ENVIRONMENT_FILEPATH: &str = "AZURE_ENVIRONMENT_FILEPATH";
    /// Certificate authorities trusted besides the system's, in PEM.
    pub const CA_FILE: &str = "AKS_WI_CA_FILE";
    /// Image that `kubectl wi verify` starts.
    pub const PROBE_IMAGE: &str = "AKS_WI_PROBE_IMAGE";
}

/// Variables by which pipelines and machines offer an identity.
pub mod offered {
    /// Where an Azure Pipelines job asks for the token of a service connection.
    pub const PIPELINES_URI: &str = "SYSTEM_OIDCREQUESTURI";
    /// The job's own token, which it sees only when the pipeline hands it over.
    pub const PIPELINES_TOKEN: &str = "SYSTEM_ACCESSTOKEN";
    /// Id of the service connection, set by the tasks that take one.
    pub const PIPELINES_CONNECTION: &str = "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID";
    /// Client id of the service connection.
    pub const PIPELINES_CLIENT: &str = "AZURESUBSCRIPTION_CLIENT_ID";
    /// Tenant of the service connection.
    pub const PIPELINES_TENANT: &str = "AZURESUBSCRIPTION_TENANT_ID";
    /// Where a GitHub Actions job asks for its OIDC token; only with the permission `id-token: write`.
    pub const GITHUB_URL: &str = "ACTIONS_ID_TOKEN_REQUEST_URL";
    /// What it shows there.
    pub const GITHUB_TOKEN: &str = "ACTIONS_ID_TOKEN_REQUEST_TOKEN";
    /// Where App Service, Functions and Container Apps give out their managed identity's tokens.
    pub const IDENTITY_ENDPOINT: &str = "IDENTITY_ENDPOINT";
}

/// Variables that say where container tools keep the credentials of registries.
pub mod registry {
    /// Folder of docker's `config.json`; without it `~/.docker`.
    pub const DOCKER_CONFIG: &str = "DOCKER_CONFIG";
    /// podman's credentials file.
    pub const AUTH_FILE: &str = "REGISTRY_AUTH_FILE";
    /// Folder under which podman keeps that file when nobody named another.
    pub const RUNTIME_DIR: &str = "XDG_RUNTIME_DIR";
}

/// Variables that tell what kind of place the command runs in.
pub mod place {
    /// Set to anything but `false` by most CI systems.
    pub const CI: &str = "CI";
    /// Set to `True` by Azure Pipelines.
    pub const TF_BUILD: &str = "TF_BUILD";
    /// Set to `true` by GitHub Actions.
    pub const GITHUB_ACTIONS: &str = "GITHUB_ACTIONS";
    /// File to which a step of GitHub Actions writes its outputs.
    pub const GITHUB_OUTPUT: &str = "GITHUB_OUTPUT";
    /// File to which a step of GitHub Actions writes what its page shows.
    pub const GITHUB_STEP_SUMMARY: &str = "GITHUB_STEP_SUMMARY";
    /// Folder of Azure Pipelines for what outlives a step and not its job.
    pub const AGENT_TEMPDIRECTORY: &str = "AGENT_TEMPDIRECTORY";
    /// Any value but the empty one switches colours off.
    pub const NO_COLOR: &str = "NO_COLOR";
    /// Any value but the empty one or `0` switches colours on.
    pub const CLICOLOR_FORCE: &str = "CLICOLOR_FORCE";
    /// `dumb` means no colours and no bars.
    pub const TERM: &str = "TERM";
}

/// Where variables come from.
#[derive(Debug, Clone)]
pub enum Env {
    /// The environment of this process.
    Process,
    /// A fixed set, for tests and for callers that assemble their own.
    Mem(Arc<BTreeMap<String, String>>),
}

impl Env {
    /// A fixed environment.
    pub fn of<K: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        Self::Mem(Arc::new(
            pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect(),
        ))
    }

    /// The value of a variable; an empty one counts as unset, as Helm hands unset values to plugins.
    pub fn get(&self, name: &str) -> Option<String> {
        match self {
            Self::Process => std::env::var(name).ok(),
            Self::Mem(variables) => variables.get(name).cloned(),
        }
        .filter(|value| !value.is_empty())
    }

    /// The value of a variable under its own or its lower-case name, as proxies are configured.
    pub(crate) fn get_any_case(&self, name: &str) -> Option<String> {
        self.get(name).or_else(|| self.get(&name.to_ascii_lowercase()))
    }

    /// The value of a variable as a path.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from)
    }

    /// The user's home directory.
    pub fn home(&self) -> Option<PathBuf> {
        self.path("HOME").or_else(|| self.path("USERPROFILE"))
    }

    /// Whether a CI system runs this command.
    pub(crate) fn is_ci(&self) -> bool {
        let ci = self.get(place::CI).is_some_and(|value| value != "false");
        ci || self.get(place::TF_BUILD).is_some() || self.get(place::GITHUB_ACTIONS).is_some()
    }
}
