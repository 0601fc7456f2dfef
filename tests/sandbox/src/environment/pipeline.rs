//! The environment of a job of GitHub Actions or Azure Pipelines, which signs in without a stored secret.

use serde_json::Value;

use crate::azure::{self, AskError};
use crate::files::{self, FileError};
use crate::spec::{self, Spec};
use crate::state::StateDir;

/// The job that runs on each platform.
pub const JOB: &str = "deploy";
/// The owner on GitHub, the organization in Azure DevOps.
pub const OWNER: &str = "contoso";
/// The repository on GitHub, the project in Azure DevOps.
pub const PROJECT: &str = "shop";
/// The service connection of Azure Pipelines.
pub const CONNECTION: &str = "azure";

/// Whose job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Pipeline {
    /// GitHub Actions.
    Github,
    /// Azure Pipelines.
    AzurePipelines,
}

/// Why no job's environment can be given.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The seed has none.
    #[error("the seed of this simulated Azure has no job of {0}")]
    None(&'static str),
    /// No answer, or a refusal.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// The seed cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
}

impl PipelineError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        matches!(self, Self::None(_)).then(|| {
            "put one under `platform` into the file for `cargo sandbox azure serve --seed FILE`; \
             tests/azure/seed.example.json has one of GitHub Actions"
                .to_owned()
        })
    }
}

/// What a platform tells its job.
pub struct Job {
    /// Where it asks for a token.
    url: String,
    /// What it shows for that.
    token: String,
    /// Its service connection, where the platform has such.
    connection: Option<String>,
}

impl Pipeline {
    /// The first job in the seed of a simulated Azure that runs, beside clusters or alone.
    pub fn job(self, state: &StateDir) -> Result<Job, PipelineError> {
        let (list, token, platform) = match self {
            Self::Github => ("githubJobs", "requestToken", "GitHub Actions"),
            Self::AzurePipelines => ("pipelineJobs", "accessToken", "Azure Pipelines"),
        };
        let seed: Value = files::read_json(&state.azure_seed())?;
        let document = azure::ask(state, "GET", "/state", None)?;
        let job = &seed["platform"][list][0];
        let mut running = document[list].as_array().into_iter().flatten();
        let known = running.find(|one| one["name"] == job["name"]);
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let found = known.and_then(|known| {
            Some(Job {
                url: text(&known["requestUrl"])?,
                token: text(&job[token])?,
                connection: text(&job["connections"][0]["id"]),
            })
        });
        found.ok_or(PipelineError::None(platform))
    }

    /// Puts what the platform sets in the place of the operator's secret.
    pub fn apply(self, variables: &mut Vec<(&'static str, String)>, job: Job) {
        for (_, value) in variables
            .iter_mut()
            .filter(|(name, _)| *name == "AZURE_CLIENT_SECRET")
        {
            value.clear();
        }
        match self {
            Self::Github => variables.extend([
                ("GITHUB_ACTIONS", "true".to_owned()),
                ("ACTIONS_ID_TOKEN_REQUEST_URL", job.url),
                ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", job.token),
            ]),
            Self::AzurePipelines => variables.extend([
                ("TF_BUILD", "True".to_owned()),
                ("SYSTEM_OIDCREQUESTURI", job.url),
                ("SYSTEM_ACCESSTOKEN", job.token),
                (
                    "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID",
                    job.connection.unwrap_or_default(),
                ),
            ]),
        }
    }
}

/// GitHub's issuer.
pub fn github(spec: &Spec) -> String {
    format!("https://{}/github", spec.range.platform())
}

/// Azure DevOps, whose issuers end in the organization's id.
pub fn azure_pipelines(spec: &Spec) -> String {
    format!("https://{}/azure-pipelines", spec.range.platform())
}

/// What GitHub wants of the job before it gives a token.
pub fn github_token(spec: &Spec) -> String {
    spec::uuid(&spec.name, "github-request-token")
}

/// What Azure DevOps wants of the job before it gives a token.
pub fn access_token(spec: &Spec) -> String {
    spec::uuid(&spec.name, "system-access-token")
}

/// The organization's id.
pub fn organization_id(spec: &Spec) -> String {
    spec::uuid(&spec.name, "organization")
}

/// The service connection's id.
pub fn connection_id(spec: &Spec) -> String {
    spec::uuid(&spec.name, "service-connection")
}
