//! What runs pipelines and vouches for them: GitHub Actions, Azure Pipelines, and a machine with managed identities.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{ClientSecret, loopback};

/// Where pipelines get their tokens.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Platform {
    /// `ADDR:PORT` of GitHub and Azure DevOps, over TLS; port 0 takes a free one, and credentials of the seed that trust
    /// `https://ADDR:0/…` trust that one.
    pub address: SocketAddr,
    /// `ADDR:PORT` of the machine's identity endpoint, without TLS as in Azure; port 0 takes a free one.
    pub metadata_address: SocketAddr,
    /// The value of `IDENTITY_HEADER`, without which the endpoint of App Service refuses.
    pub identity_header: ClientSecret,
    /// Jobs of GitHub Actions that run.
    #[serde(default)]
    pub github_jobs: Vec<GithubJob>,
    /// Jobs of Azure Pipelines that run.
    #[serde(default)]
    pub pipeline_jobs: Vec<PipelineJob>,
    /// Names of the managed identities that are assigned to the machine.
    #[serde(default)]
    pub machine_identities: Vec<String>,
}

impl Platform {
    /// Both addresses on loopback, and nothing that runs.
    pub(super) fn on_loopback() -> Self {
        Self {
            address: loopback(),
            metadata_address: loopback(),
            identity_header: ClientSecret("identity-header".to_owned()),
            github_jobs: Vec::new(),
            pipeline_jobs: Vec::new(),
            machine_identities: Vec::new(),
        }
    }
}

/// A job of GitHub Actions with `permissions: id-token: write`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GithubJob {
    /// Its name, a part of the URL at which it asks for tokens.
    pub name: String,
    /// `OWNER/REPOSITORY`.
    pub repository: String,
    /// The branch or tag that it runs for.
    #[serde(default = "main_branch")]
    pub reference: String,
    /// The deployment environment; it takes the place of the branch in the subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// The value of `ACTIONS_ID_TOKEN_REQUEST_TOKEN`.
    pub request_token: ClientSecret,
    /// Seconds that its tokens live.
    #[serde(default = "github_lifetime")]
    pub token_lifetime_s: u32,
}

/// A job of Azure Pipelines.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PipelineJob {
    /// Its name, a part of the URL at which it asks for tokens.
    pub name: String,
    /// The organization in Azure DevOps.
    pub organization: String,
    /// The organization's id, a part of the issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization_id: Option<Uuid>,
    /// The project.
    pub project: String,
    /// The pipeline.
    #[serde(default = "default_pipeline")]
    pub pipeline: String,
    /// The value of `SYSTEM_ACCESSTOKEN`.
    pub access_token: ClientSecret,
    /// The service connections that the pipeline may use.
    #[serde(default)]
    pub connections: Vec<ServiceConnection>,
    /// Seconds that its tokens live.
    #[serde(default = "pipeline_lifetime")]
    pub token_lifetime_s: u32,
}

/// A service connection with workload identity federation.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceConnection {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Whether its tokens are issued by Entra, as those of connections made since 2025, and not by Azure DevOps.
    #[serde(default)]
    pub entra_issuer: bool,
}

fn main_branch() -> String {
    "refs/heads/main".to_owned()
}

fn default_pipeline() -> String {
    "deploy".to_owned()
}

fn github_lifetime() -> u32 {
    300
}

fn pipeline_lifetime() -> u32 {
    600
}
