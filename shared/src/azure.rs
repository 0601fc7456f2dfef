//! Azure: which cloud, signed in as whom, and the ARM client that both give.
//!
//! Nothing here knows what a command wants; typed calls live in [`arm`], one file per resource type.

pub mod arm;
pub mod cloud;
mod credential;
mod entra;
mod failure;
mod id;

pub use arm::{Arm, ArmError};
pub use cloud::{Cloud, CloudError};
pub use credential::{LinkAnswer, SignInError};
pub use id::{ArmId, ArmIdError};

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
    /// The subscriptions to look for clusters and vaults in, as the user named them; empty means every readable one.
    pub subscriptions: Vec<String>,
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

impl Azure {
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
        let mut subscriptions = args.subscription.clone();
        if subscriptions.is_empty() {
            subscriptions.extend(env.get(env::azure::SUBSCRIPTION_ID));
        }
        Ok(Self {
            cloud,
            arm,
            http,
            roots,
            principal,
            subscriptions,
        })
    }
}
