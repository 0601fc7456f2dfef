//! The links of the chain, one by one: what each needs from flags and environment, and the credential it makes of it.

use super::assertion::{Certificate, GithubToken, TokenFile};
use crate::args::{AuthMethod, AzureArgs};
use crate::azure::Cloud;
use crate::azure::entra::EntraTransport;
use crate::env::{self, Env};
use crate::labels;
use crate::trust;
use azure_core::cloud::CustomConfiguration;
use azure_core::credentials::{Secret, TokenCredential};
use azure_core::http::{ClientOptions, ExponentialRetryOptions, RetryOptions, Transport};
use azure_identity::{
    AzureCliCredential, AzureCliCredentialOptions, AzureDeveloperCliCredential,
    AzureDeveloperCliCredentialOptions, AzurePipelinesCredential, AzurePipelinesCredentialOptions,
    ClientAssertion, ClientAssertionCredential, ClientAssertionCredentialOptions, ClientSecretCredential,
    ClientSecretCredentialOptions, ManagedIdentityCredential, ManagedIdentityCredentialOptions,
    UserAssignedId,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The links in the order in which `auto` tries them: what was put there for this command first, what a place offers
/// to everybody next, what a person is signed in as last.
pub(super) const CHAIN: [AuthMethod; 8] = [
    AuthMethod::Environment,
    AuthMethod::FederatedFile,
    AuthMethod::AzurePipelines,
    AuthMethod::Github,
    AuthMethod::WorkloadIdentity,
    AuthMethod::ManagedIdentity,
    AuthMethod::AzureCli,
    AuthMethod::Azd,
];

/// Below it the workload identity webhook mounts its tokens, in all of its versions.
const PROJECTED: &str = "/var/run/secrets/azure/";

/// Where machines of Azure ask for their managed identity, and how long an answer may take to begin: elsewhere nobody
/// answers, and Azure's own SDKs wait one second too.
const METADATA_SERVICE: &str = "169.254.169.254:80";
const METADATA_PATIENCE: Duration = Duration::from_secs(1);

/// The credential of a link, or the error of making it.
pub(super) type Made = azure_core::Result<Arc<dyn TokenCredential>>;

/// Where a link looks for what it needs.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) args: &'a AzureArgs,
    pub(super) env: &'a Env,
    pub(super) cloud: &'a Cloud,
    pub(super) http: &'a reqwest::Client,
}

/// A link's name, as `--auth` takes it.
pub(super) const fn name_of(method: AuthMethod) -> &'static str {
    match method {
        AuthMethod::Auto => "auto",
        AuthMethod::Environment => "environment",
        AuthMethod::FederatedFile => "federated-file",
        AuthMethod::AzurePipelines => "azure-pipelines",
        AuthMethod::Github => "github",
        AuthMethod::WorkloadIdentity => "workload-identity",
        AuthMethod::ManagedIdentity => "managed-identity",
        AuthMethod::AzureCli => "azure-cli",
        AuthMethod::Azd => "azd",
    }
}

/// Whether a link is there without anybody having put it there for this command. Its refusal does not end the chain.
pub(super) const fn is_ambient(method: AuthMethod) -> bool {
    matches!(
        method,
        AuthMethod::ManagedIdentity | AuthMethod::AzureCli | AuthMethod::Azd
    )
}

impl Place<'_> {
    /// The credential of a link; the outer error says what the link lacks.
    pub(super) async fn credential(&self, method: AuthMethod) -> Result<Made, String> {
        match method {
            AuthMethod::Auto => Err("it is no link of the chain".to_owned()),
            AuthMethod::Environment => self.environment(),
            AuthMethod::FederatedFile | AuthMethod::WorkloadIdentity => self.token_file(method),
            AuthMethod::AzurePipelines => self.azure_pipelines(),
            AuthMethod::Github => self.github(),
            AuthMethod::ManagedIdentity => self.managed_identity().await,
            AuthMethod::AzureCli => self.azure_cli(),
            AuthMethod::Azd => self.azd(),
        }
    }

    /// Whether a link may be asked only to see whether it is somebody else: the metadata service is there for everything
    /// that runs on a machine, so that an answer of it means nothing.
    pub(super) fn is_offered(&self, method: AuthMethod) -> bool {
        method != AuthMethod::ManagedIdentity || self.env.get(env::offered::IDENTITY_ENDPOINT).is_some()
    }

    /// The tenant that the user names.
    pub(super) fn named_tenant(&self) -> Option<String> {
        let args = self.args.tenant.clone();
        args.or_else(|| self.env.get(env::azure::TENANT_ID))
    }

    fn needed(&self, name: &str) -> Result<String, String> {
        self.env.get(name).ok_or_else(|| format!("{name} is not set"))
    }

    fn tenant(&self) -> Result<String, String> {
        self.named_tenant()
            .ok_or_else(|| format!("neither --tenant nor {} is set", env::azure::TENANT_ID))
    }

    fn environment(&self) -> Result<Made, String> {
        let certificate = self.env.path(env::azure::CLIENT_CERTIFICATE_PATH);
        let secret = self.env.get(env::azure::CLIENT_SECRET);
        if secret.is_none() && certificate.is_none() {
            return Err(format!(
                "neither {} nor {} is set",
                env::azure::CLIENT_SECRET,
                env::azure::CLIENT_CERTIFICATE_PATH
            ));
        }
        let client = self.needed(env::azure::CLIENT_ID)?;
        let tenant = self.tenant()?;
        // Azure's SDKs take the secret too when both are set.
        if let Some(secret) = secret {
            let options = ClientSecretCredentialOptions {
                client_options: self.client_options(),
            };
            let made = ClientSecretCredential::new(&tenant, client, Secret::new(secret), Some(options));
            return Ok(made.map(|credential| credential as Arc<dyn TokenCredential>));
        }
        let endpoint = format!("{}{tenant}/oauth2/v2.0/token", self.cloud.authority);
        let made = Certificate::load(&certificate.unwrap_or_default(), &client, endpoint);
        Ok(made.and_then(|certificate| self.asserted(tenant, client, certificate)))
    }

    fn token_file(&self, method: AuthMethod) -> Result<Made, String> {
        let file = PathBuf::from(self.needed(env::azure::FEDERATED_TOKEN_FILE)?);
        // One variable serves both links; without a choice of the user's the token's place tells them apart.
        let is_projected = file.starts_with(Path::new(PROJECTED));
        if self.args.auth == AuthMethod::Auto && is_projected != (method == AuthMethod::WorkloadIdentity) {
            return Err(if is_projected {
                "the token is the pod's own: that is workload-identity".to_owned()
            } else {
                "the token was not mounted by the webhook: that is federated-file".to_owned()
            });
        }
        let client = self.needed(env::azure::CLIENT_ID)?;
        Ok(self.asserted(self.tenant()?, client, TokenFile(file)))
    }

    fn azure_pipelines(&self) -> Result<Made, String> {
        self.needed(env::offered::PIPELINES_URI)?;
        let token = self.needed(env::offered::PIPELINES_TOKEN)?;
        let connection = self.needed(env::offered::PIPELINES_CONNECTION)?;
        let own = |name: &str, general: &str| self.env.get(name).or_else(|| self.env.get(general));
        let client = own(env::offered::PIPELINES_CLIENT, env::azure::CLIENT_ID)
            .ok_or_else(|| format!("{} is not set", env::offered::PIPELINES_CLIENT))?;
        let flag = self.args.tenant.clone();
        let tenant = flag
            .or_else(|| own(env::offered::PIPELINES_TENANT, env::azure::TENANT_ID))
            .ok_or_else(|| format!("{} is not set", env::offered::PIPELINES_TENANT))?;
        let options = AzurePipelinesCredentialOptions {
            credential_options: self.assertion_options(),
        };
        let made =
            AzurePipelinesCredential::new(tenant, client, &connection, Secret::new(token), Some(options));
        Ok(made.map(|credential| credential as Arc<dyn TokenCredential>))
    }

    fn github(&self) -> Result<Made, String> {
        let url = self.needed(env::offered::GITHUB_URL)?;
        let bearer = self.needed(env::offered::GITHUB_TOKEN)?;
        let client = self.needed(env::azure::CLIENT_ID)?;
        let tenant = self.tenant()?;
        let made = GithubToken::new(&url, labels::DEFAULT_AUDIENCE, bearer, self.http.clone());
        Ok(made.and_then(|token| self.asserted(tenant, client, token)))
    }

    async fn managed_identity(&self) -> Result<Made, String> {
        if self.env.get(env::offered::IDENTITY_ENDPOINT).is_none() {
            let connected = tokio::net::TcpStream::connect(METADATA_SERVICE);
            let answers = tokio::time::timeout(METADATA_PATIENCE, connected).await;
            if !matches!(answers, Ok(Ok(_))) {
                return Err("this is no machine of Azure".to_owned());
            }
        }
        let http = trust::machine_client().map_err(|error| error.to_string())?;
        let client_options = ClientOptions {
            retry: retry(),
            transport: Some(Transport::new(Arc::new(http))),
            ..ClientOptions::default()
        };
        let options = ManagedIdentityCredentialOptions {
            user_assigned_id: self.env.get(env::azure::CLIENT_ID).map(UserAssignedId::ClientId),
            client_options,
        };
        let made = ManagedIdentityCredential::new(Some(options));
        Ok(made.map(|credential| credential as Arc<dyn TokenCredential>))
    }

    fn azure_cli(&self) -> Result<Made, String> {
        installed("az")?;
        // `az account get-access-token` takes a tenant or a subscription, not both.
        let tenant_id = self.named_tenant();
        let options = AzureCliCredentialOptions {
            subscription: self
                .args
                .subscription
                .first()
                .filter(|_| tenant_id.is_none())
                .cloned(),
            tenant_id,
            executor: None,
        };
        let made = AzureCliCredential::new(Some(options));
        Ok(made.map(|credential| credential as Arc<dyn TokenCredential>))
    }

    fn azd(&self) -> Result<Made, String> {
        installed("azd")?;
        let options = AzureDeveloperCliCredentialOptions {
            tenant_id: self.named_tenant(),
            executor: None,
        };
        let made = AzureDeveloperCliCredential::new(Some(options));
        Ok(made.map(|credential| credential as Arc<dyn TokenCredential>))
    }

    fn asserted<A: ClientAssertion + 'static>(&self, tenant: String, client: String, assertion: A) -> Made {
        let options = Some(self.assertion_options());
        let made = ClientAssertionCredential::new(tenant, client, assertion, options)?;
        Ok(made)
    }

    fn assertion_options(&self) -> ClientAssertionCredentialOptions {
        ClientAssertionCredentialOptions {
            client_options: self.client_options(),
        }
    }

    /// Every cloud goes by its own authority, and every request through the client that believes `--ca-file`.
    fn client_options(&self) -> ClientOptions {
        let mut custom = CustomConfiguration::default();
        custom.authority_host = self.cloud.authority.to_string();
        ClientOptions {
            cloud: Some(Arc::new(custom.into())),
            retry: retry(),
            transport: Some(Transport::new(Arc::new(EntraTransport(self.http.clone())))),
            ..ClientOptions::default()
        }
    }
}

/// Nobody waits a minute to learn that the authority's name is wrong.
fn retry() -> RetryOptions {
    RetryOptions::exponential(ExponentialRetryOptions {
        max_retries: 3,
        max_total_elapsed: azure_core::time::Duration::seconds(20),
        ..ExponentialRetryOptions::default()
    })
}

fn installed(program: &str) -> Result<(), String> {
    which::which(program)
        .map(|_| ())
        .map_err(|_| format!("`{program}` is not on the PATH"))
}
