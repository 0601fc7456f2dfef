//! What was observed, before anybody judges it. Facts can be written down and read back: diagnosis is tested
//! from recorded ones.

pub mod azure;
pub mod cluster;
pub mod injection;
pub mod workload;

pub use cluster::WebhookFacts;
pub use workload::{Surroundings, WorkloadFacts};

use aks_shared::failure::last_word;
use aks_shared::identity::{SecretRef, ServiceAccountRef};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::error::Error;
use wi_probe::ProbeRecord;
use wi_probe::record::ExchangeOutcome;

/// Something that was asked for and answered, or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Known<T> {
    /// The answer.
    Known(T),
    /// Why there is none.
    Unknown(String),
}

impl<T> Known<T> {
    /// The answer, if there is one.
    pub const fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown(_) => None,
        }
    }

    /// Applies something to the answer.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Known<U> {
        match self {
            Self::Known(value) => Known::Known(change(value)),
            Self::Unknown(why) => Known::Unknown(why),
        }
    }

    /// Makes an answer of a result; an error becomes its chain in one line.
    pub fn of<E: Error + 'static>(result: Result<T, E>) -> Self {
        match result {
            Ok(value) => Self::Known(value),
            Err(error) => Self::Unknown(one_line(&error)),
        }
    }
}

impl<T> Known<Option<T>> {
    /// What there is, where it is known that there is something.
    pub fn found(&self) -> Option<&T> {
        self.known()?.as_ref()
    }
}

/// An error and its causes in one line, without repetitions.
pub fn one_line(error: &(dyn Error + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(message) = last_word(error) {
            texts.push(message);
            break;
        }
        let text = error.to_string();
        if !texts.last().is_some_and(|last| last.contains(&text)) {
            texts.push(text);
        }
        next = error.source();
    }
    texts.join(": ")
}

/// Everything that diagnosis looks at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// The kubeconfig context.
    pub context: String,
    /// The service account that is verified.
    pub account: ServiceAccountRef,
    /// The secrets that it is to read.
    pub secrets: Vec<SecretName>,
    /// What the caller knows to be right.
    #[serde(default)]
    pub expected: Expected,
    /// Whether it is asked that the identity may do no more than it must.
    #[serde(default)]
    pub least_privilege: bool,
    /// The workload, when one was named.
    #[serde(default)]
    pub workload: Option<WorkloadFacts>,
    /// What stands around the account; none when it was not asked for.
    #[serde(default)]
    pub surroundings: Option<Surroundings>,
    /// The cluster's side.
    pub cluster: ClusterFacts,
    /// Azure's side; why it could not be looked at, when nobody is signed in.
    pub azure: Known<AzureFacts>,
    /// What the probe in a pod found; none when no pod was asked for.
    pub pod: Option<Known<ProbeRecord>>,
    /// What the probe from here found; none when it was not asked for.
    pub local: Option<Known<ProbeRecord>>,
    /// What became of another service account that tried to be the identity; none when it was not tried.
    #[serde(default)]
    pub other: Option<Known<OtherAccount>>,
}

impl Facts {
    /// The service account, where it could be read.
    pub fn account_facts(&self) -> Option<&AccountFacts> {
        self.cluster.account.found()
    }

    /// The cluster's resource in Azure, where it could be found.
    pub fn aks(&self) -> Option<&AksFacts> {
        self.azure.known()?.cluster.found()
    }

    /// The identity that the account names, where it could be found.
    pub fn identity(&self) -> Option<&IdentityFacts> {
        self.azure.known()?.identity.found()
    }

    /// A vault by the name that the user gave, where it could be found.
    pub fn vault(&self, name: &str) -> Option<&VaultFacts> {
        self.azure.known()?.vaults.get(name)?.found()
    }
}

/// Another service account of the namespace, which nobody gave the identity to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OtherAccount {
    /// Its name.
    pub name: String,
    /// What Entra answered to its token.
    pub exchange: ExchangeOutcome,
}

/// A secret as the user named it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretName {
    /// The vault's name or its ARM id.
    pub vault: String,
    /// The secret's name.
    pub name: String,
}

impl SecretName {
    /// The vault's name, also where the user gave its ARM id.
    pub fn vault_name(&self) -> &str {
        self.vault
            .trim_end_matches('/')
            .rsplit('/')
            .next()
            .unwrap_or_default()
    }
}

impl From<&SecretRef> for SecretName {
    fn from(secret: &SecretRef) -> Self {
        Self {
            vault: secret.vault.clone(),
            name: secret.name.clone(),
        }
    }
}

impl std::fmt::Display for SecretName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.vault, self.name)
    }
}

/// What the caller knows to be right, such as the outcome of a setup.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Expected {
    /// The client id that the service account must name.
    pub client_id: Option<String>,
}

/// The cluster's side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterFacts {
    /// The address of the API server.
    pub server: String,
    /// The issuer in the API server's discovery document.
    pub issuer: Known<String>,
    /// The service account, or that there is none.
    pub account: Known<Option<AccountFacts>>,
    /// The webhooks that mutate labelled pods for workload identity.
    pub webhooks: Known<Vec<WebhookFacts>>,
    /// What became of a labelled pod of this account in a server-side dry run.
    pub dry_run: Known<DryRun>,
}

/// A service account.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AccountFacts {
    /// The client id annotation.
    pub client_id: Option<String>,
    /// The tenant annotation.
    pub tenant_id: Option<String>,
    /// Whether the use label stands on the account.
    pub has_use_label: bool,
    /// The Helm release that owns it.
    pub helm_release: Option<String>,
}

/// What became of a pod in a server-side dry run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DryRun {
    /// It was admitted, with this added to it.
    Admitted(Injection),
    /// It was refused.
    Refused {
        /// The API server's message.
        message: String,
    },
}

/// What the webhook adds to a pod.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Injection {
    /// `AZURE_CLIENT_ID`.
    pub client_id: Option<String>,
    /// `AZURE_TENANT_ID`.
    pub tenant_id: Option<String>,
    /// `AZURE_AUTHORITY_HOST`.
    pub authority: Option<String>,
    /// `AZURE_FEDERATED_TOKEN_FILE`.
    pub token_file: Option<String>,
    /// The audience of the projected token that the file is.
    pub audience: Option<String>,
}

impl Injection {
    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Azure's side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AzureFacts {
    /// The sign-in address of the cloud that was asked.
    #[serde(default)]
    pub authority: Option<String>,
    /// The cluster's resource, or that none fits.
    pub cluster: Known<Option<AksFacts>>,
    /// The identity that the account names, or that there is none.
    pub identity: Known<Option<IdentityFacts>>,
    /// The identity whose *principal* id the account names.
    #[serde(default)]
    pub mistaken: Option<IdentityFacts>,
    /// The identity that setup made for this account, when the account names another one.
    #[serde(default)]
    pub intended: Option<IdentityFacts>,
    /// The identity's federated credentials.
    pub credentials: Known<Vec<CredentialFacts>>,
    /// The vaults of the secrets, by the name that the user gave.
    #[serde(default)]
    pub vaults: BTreeMap<String, Known<Option<VaultFacts>>>,
    /// The identity's roles at each secret.
    #[serde(default)]
    pub roles: Vec<RoleFacts>,
}

/// An AKS cluster as Azure describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AksFacts {
    /// Its ARM id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its resource group.
    pub group: String,
    /// Its issuer.
    pub issuer: Option<String>,
    /// Whether the OIDC issuer is enabled.
    pub issuer_enabled: bool,
    /// Whether workload identity is enabled.
    pub workload_identity_enabled: bool,
}

/// A user-assigned managed identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IdentityFacts {
    /// Its ARM id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its client id.
    pub client_id: String,
    /// Its principal id, to which roles are assigned.
    pub principal_id: String,
    /// Its tenant.
    pub tenant_id: String,
}

/// A federated credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CredentialFacts {
    /// Its name.
    pub name: String,
    /// The issuer that it trusts.
    pub issuer: String,
    /// The subject that it trusts.
    pub subject: String,
    /// The audiences that it expects; Azure admits one.
    pub audiences: Vec<String>,
    /// The expression that a flexible credential has in place of a subject.
    #[serde(default)]
    pub expression: Option<String>,
}

/// A key vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VaultFacts {
    /// Its ARM id.
    pub id: String,
    /// Its address.
    pub uri: String,
    /// Whether roles decide who may read, rather than access policies.
    pub rbac: bool,
}

/// The roles that an identity has at one secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleFacts {
    /// The secret.
    pub secret: SecretName,
    /// Its scope.
    pub scope: String,
    /// The assignments that reach it.
    pub assignments: Known<Vec<AssignmentFacts>>,
    /// Assignments at other secrets of the vault.
    #[serde(default)]
    pub elsewhere: Vec<AssignmentFacts>,
}

/// A role assignment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AssignmentFacts {
    /// The role's id, a UUID.
    pub role: String,
    /// Where it was assigned.
    pub scope: String,
}
