//! The resource manager client: one [`Arm::send`] with auth, retry, throttling and request ids; typed calls in
//! the modules below, one per resource type.

mod authorization;
mod clusters;
mod credentials;
mod definitions;
mod enable;
mod error;
mod graph;
mod identities;
mod memo;
mod pace;
mod permissions;
mod request;
mod retry;
mod usage;
mod vaults;

pub use authorization::{RoleAssignment, least_role, role_definition_id, roles};
pub use clusters::{ManagedCluster, UserKubeconfig};
pub use credentials::{FEDERATED_CREDENTIAL_LIMIT, FederatedCredential};
pub use definitions::RoleDefinition;
pub use enable::Features;
pub use error::{ArmError, Refusal};
pub use identities::ManagedIdentity;
pub use permissions::Permissions;
pub use request::{ArmRequest, ArmResponse};
pub use usage::ROLE_ASSIGNMENT_LIMIT;
pub use vaults::{SecretMetadata, Vault};

use super::credential::Tokens;
use super::{ArmId, Cloud};
use crate::interrupt::Interrupt;
use backon::BackoffBuilder;
use graph::ClusterRow;
use memo::Memo;
use pace::Pace;
use reqwest::header;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;
use url::Url;

/// A resource manager that is called as one principal; cheap to clone.
#[derive(Clone)]
pub struct Arm(Arc<Inner>, Interrupt);

struct Inner {
    base: Url,
    scope: String,
    http: reqwest::Client,
    tokens: Arc<Tokens>,
    pace: Pace,
    /// What Resource Graph says of clusters, by the subscriptions that were searched.
    cluster_rows: Memo<ClusterRow>,
    /// The clusters that were listed, likewise.
    clusters: Memo<ManagedCluster>,
    /// Where the vaults of a name are.
    vault_ids: Memo<ArmId>,
}

impl std::fmt::Debug for Arm {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Arm")
            .field("base", &self.0.base.as_str())
            .finish_non_exhaustive()
    }
}

/// One page of a list.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    value: Vec<Value>,
    next_link: Option<String>,
}

impl Arm {
    pub(super) fn new(cloud: &Cloud, http: reqwest::Client, tokens: Arc<Tokens>) -> Self {
        let (base, scope) = (cloud.arm.clone(), cloud.arm_scope.clone());
        let inner = Inner {
            base,
            scope,
            http,
            tokens,
            pace: Pace::default(),
            cluster_rows: Memo::default(),
            clusters: Memo::default(),
            vault_ids: Memo::default(),
        };
        Self(Arc::new(inner), Interrupt::default())
    }

    /// The same resource manager, given up between two tries of one request when the command is asked to stop. A try
    /// that was sent is always waited for.
    #[must_use]
    pub fn stopped_by(&self, interrupt: &Interrupt) -> Self {
        Self(Arc::clone(&self.0), interrupt.clone())
    }

    /// The tokens of the principal that it is called as.
    pub(super) fn tokens(&self) -> &Tokens {
        &self.0.tokens
    }

    /// Sends a request until it is answered for good: throttling, server faults and lost connections are
    /// retried a bounded number of times, and `Retry-After` is honoured.
    pub async fn send(&self, request: &ArmRequest) -> Result<ArmResponse, ArmError> {
        let pauses = retry::backoff().build();
        retry::until(&self.1, pauses, retry::is_worth_it, || self.send_once(request)).await
    }

    /// Sends a request for something that may not exist: 404 is none.
    pub(crate) async fn send_opt(&self, request: &ArmRequest) -> Result<Option<ArmResponse>, ArmError> {
        match self.send(request).await {
            Ok(response) => Ok(Some(response)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads all pages of a list, following `nextLink` on this host only.
    pub async fn list(&self, request: ArmRequest) -> Result<Vec<Value>, ArmError> {
        let mut items = Vec::new();
        let mut next = Some(request);
        while let Some(request) = next.take() {
            // A proxy's page or a cut body must not pass for an empty list.
            let page: Page = self.send(&request).await?.parse("list")?;
            items.extend(page.value);
            if let Some(link) = page.next_link.filter(|link| !link.is_empty()) {
                next = Some(request.next_page(&link, &self.0.base)?);
            }
        }
        Ok(items)
    }

    async fn send_once(&self, request: &ArmRequest) -> Result<ArmResponse, ArmError> {
        let token = self
            .0
            .tokens
            .token(&self.0.scope)
            .await
            .map_err(|source| ArmError::Token {
                source: Box::new(source),
            })?;
        let lost = |source: reqwest::Error| ArmError::Connection {
            method: request.method.to_string(),
            path: request.path().to_owned(),
            // The URL of a page or an operation is signed; it must not reach a message.
            source: source.without_url(),
        };
        crate::requests::count_azure();
        let mut builder = self
            .0
            .http
            .request(request.method.clone(), request.url(&self.0.base))
            .bearer_auth(token.secret())
            .header(header::ACCEPT, "application/json");
        if let Some(tag) = &request.if_match {
            builder = builder.header(header::IF_MATCH, tag);
        }
        if let Some(body) = &request.body {
            builder = builder.json(body);
        }
        let response = builder.send().await.map_err(lost)?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let bytes = response.bytes().await.map_err(lost)?;
        let answer = ArmResponse::read(status, &headers, &bytes);
        if (200..300).contains(&status) {
            Ok(answer)
        } else {
            Err(ArmError::refused(request, &answer))
        }
    }
}
