//! Azure: which cloud, signed in as whom, and the ARM client that both give.
//!
//! Nothing here knows what a command wants; typed calls live in [`arm`], one file per resource type.

pub mod arm;
pub mod cloud;
mod credential;
mod entra;
mod failure;
mod id;
mod scope;

pub use arm::{Arm, ArmError};
pub use cloud::{Cloud, CloudError};
pub use credential::{LinkAnswer, SignInError};
pub use id::{ArmId, ArmIdError};
pub use scope::{Scope, ScopeError};

use crate::args::AzureArgs;
use crate::env::{self, Env};
use crate::trust::{TrustError, TrustedRoots};
use credential::Tokens;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

/// Bound on one HTTP request to Azure; ARM's own gateway gives up after 60 seconds.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(65);

/// A signed-in way into one Azure cloud; cheap to clone.
#[derive(Debug, Clone)]
pub struct Azure {
    /// The cloud.
    pub cloud: Cloud,
    /// The resource manager, called as [`Self::principal`].
    pub arm: Arm,
    /// A client for the cloud's other endpoints; it sends no token by itself.
    pub http: reqwest::Client,
    /// The roots that `http` believes besides the system's.
    pub roots: TrustedRoots,
    /// Who is signed in.
    pub principal: Principal,
    /// The subscriptions to look for resources in, as the user named them; empty means every readable one.
    pub subscriptions: Vec<String>,
    /// The subscriptions to look for clusters in. `AZURE_SUBSCRIPTION_ID`, which pipelines set, narrows only these: the
    /// vault that many clusters share is in a subscription of its own.
    pub cluster_subscriptions: Vec<String>,
}

/// Who is signed in, as the first token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Principal {
    /// The link of the sign-in chain that was used, as `--auth` names it.
    pub method: String,
    /// The tenant of the token.
    pub tenant: String,
    /// The object id of the user, service principal or identity.
    pub object_id: Option<String>,
    /// A name for people: a user name or an application id.
    pub name: Option<String>,
}

impl Principal {
    /// Whether another sign-in is as the same principal of the same tenant.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.tenant == other.tenant && self.object_id == other.object_id && self.object_id.is_some()
    }
}

impl std::fmt::Display for Principal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let who = self
            .name
            .as_deref()
            .or(self.object_id.as_deref())
            .unwrap_or("unknown principal");
        write!(formatter, "{who} of tenant {} ({})", self.tenant, self.method)
    }
}

/// A token for the API servers of AKS clusters. It has no `Debug`: it must not reach a log.
pub struct AksToken(azure_core::credentials::Secret);

impl AksToken {
    /// The token itself.
    pub fn expose(&self) -> &str {
        self.0.secret()
    }
}

/// Azure cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AzureError {
    /// The cloud is unknown or badly described.
    #[error("the Azure cloud cannot be resolved")]
    Cloud(#[from] CloudError),
    /// The roots cannot be loaded or TLS refuses to start.
    #[error("connections to Azure cannot be set up")]
    Trust(#[from] TrustError),
    /// Nobody is signed in.
    #[error("cannot sign in to Azure")]
    SignIn(#[from] SignInError),
    /// The resource manager refused or could not be reached.
    #[error("the Azure resource manager did not do what was asked")]
    Arm(#[from] ArmError),
}

/// The application behind the API servers of AKS clusters with Entra's sign-in, the same in every cloud
/// (<https://learn.microsoft.com/azure/aks/kubelogin-authentication>).
const AKS_SERVER: &str = "6dae42f8-4368-4678-94ff-3960e28e3630/.default";

impl Azure {
    /// A token for the API servers of AKS clusters, replaced shortly before its end.
    pub async fn aks_token(&self) -> Result<AksToken, AzureError> {
        let token = self.arm.tokens().token(AKS_SERVER).await;
        let token = token.map_err(|source| ArmError::Token {
            source: Box::new(source),
        })?;
        Ok(AksToken(token))
    }

    /// Resolves the cloud and signs in: the first token, for ARM, is minted here.
    ///
    /// # Errors
    /// Everything that stands before the first call: an unknown cloud, unreadable roots, a failed sign-in.
    pub async fn connect(args: &AzureArgs, env: &Env) -> Result<Self, AzureError> {
        let cloud = Cloud::resolve(args.cloud.as_deref(), env)?;
        let roots = TrustedRoots::configured(args, env)?;
        let http = roots.http_client(REQUEST_TIMEOUT)?;
        let (tokens, principal) = Tokens::sign_in(args, env, &cloud, &http).await?;
        let arm = Arm::new(&cloud, http.clone(), Arc::new(tokens));
        let subscriptions = args.subscription.clone();
        let mut cluster_subscriptions = subscriptions.clone();
        if cluster_subscriptions.is_empty() {
            cluster_subscriptions.extend(env.get(env::azure::SUBSCRIPTION_ID));
        }
        Ok(Self {
            cloud,
            arm,
            http,
            roots,
            principal,
            subscriptions,
            cluster_subscriptions,
        })
    }
}
