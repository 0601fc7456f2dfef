//! What runs pipelines and vouches for them: GitHub Actions, Azure Pipelines, and a machine with managed identities.
//!
//! GitHub and Azure DevOps share one address over TLS, each an issuer of its own with discovery document and keys. The
//! machine's identity endpoint has no TLS, as in Azure, and takes requests that came through it as a proxy, so that
//! `HTTP_PROXY` leads clients to it that know the endpoint by its fixed address alone.

mod devops;
mod github;
mod machine;

use std::collections::HashMap;
use std::sync::OnceLock;

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::http::{Call, Reply};
use crate::jwt::SigningKey;
use crate::seed::{GithubJob, PipelineJob, Platform, SeedError};
use crate::state::Ids;
use crate::world::World;

pub(crate) use machine::answer as answer_machine;

/// The keys of the issuers, made when first needed.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    github: OnceLock<Option<SigningKey>>,
    devops: OnceLock<Option<SigningKey>>,
}

/// What runs, and for whom.
#[derive(Debug, Default)]
pub(crate) struct Running {
    pub(crate) github: Vec<GithubJob>,
    pub(crate) pipelines: Vec<PipelineJob>,
    /// Names of the managed identities of the machine.
    pub(crate) machine: Vec<String>,
    /// The header that the endpoint of App Service wants.
    identity_header: Option<String>,
    organizations: HashMap<String, Uuid>,
}

impl Running {
    /// What runs at the start.
    pub(crate) fn new(seed: Option<&Platform>, ids: &mut Ids) -> Result<Self, SeedError> {
        let mut running = Self::default();
        let Some(seed) = seed else { return Ok(running) };
        running.identity_header = Some(seed.identity_header.0.clone());
        running.machine.clone_from(&seed.machine_identities);
        for job in &seed.github_jobs {
            running.add_github(job)?;
        }
        for job in &seed.pipeline_jobs {
            running.add_pipeline(job, ids)?;
        }
        Ok(running)
    }

    /// Starts a job of GitHub Actions.
    pub(crate) fn add_github(&mut self, job: &GithubJob) -> Result<(), SeedError> {
        if self.github.iter().any(|known| known.name == job.name) {
            return Err(twice(&job.name));
        }
        self.github.push(job.clone());
        Ok(())
    }

    /// Starts a job of Azure Pipelines, whose organization has one id for all of its jobs.
    pub(crate) fn add_pipeline(&mut self, job: &PipelineJob, ids: &mut Ids) -> Result<(), SeedError> {
        if self.pipelines.iter().any(|known| known.name == job.name) {
            return Err(twice(&job.name));
        }
        let id = job
            .organization_id
            .or_else(|| self.organizations.get(&job.organization).copied())
            .unwrap_or_else(|| ids.next(&format!("organization/{}", job.organization)));
        self.organizations.insert(job.organization.clone(), id);
        self.pipelines.push(job.clone());
        Ok(())
    }

    /// Ends the job, or takes the managed identity from the machine, that has this kind and name.
    pub(crate) fn delete(&mut self, id: &str) {
        match id.split_once('/') {
            Some(("githubJobs", name)) => self.github.retain(|job| job.name != name),
            Some(("pipelineJobs", name)) => self.pipelines.retain(|job| job.name != name),
            Some(("machineIdentities", name)) => self.machine.retain(|identity| identity != name),
            _ => {}
        }
    }

    /// How many jobs run, and as how many identities the machine may sign in.
    pub(crate) fn len(&self) -> usize {
        self.github.len() + self.pipelines.len() + self.machine.len()
    }

    /// The id of an organization of Azure DevOps.
    fn organization(&self, job: &PipelineJob) -> Uuid {
        self.organizations
            .get(&job.organization)
            .copied()
            .unwrap_or_default()
    }
}

fn twice(job: &str) -> SeedError {
    SeedError::Twice {
        what: format!("the job {job}"),
    }
}

/// The jobs as documents for people: where each asks for tokens, and what those say.
pub(crate) fn list(running: &Running, world: &World, tenant: Uuid) -> (Value, Value) {
    let github = running.github.iter().map(|job| github::describe(job, world));
    let pipelines = running
        .pipelines
        .iter()
        .map(|job| devops::describe(job, running.organization(job), world, tenant));
    (github.collect(), pipelines.collect())
}

/// Answers one request to GitHub or Azure DevOps.
pub(crate) fn answer(world: &World, call: &Call) -> Reply {
    let segments: Vec<&str> = call.segments.iter().map(String::as_str).collect();
    let reply = match segments.as_slice() {
        ["github", rest @ ..] => github::answer(world, call, rest),
        ["azure-pipelines", rest @ ..] => devops::answer(world, call, rest),
        _ => None,
    };
    reply.unwrap_or_else(|| Reply::json(StatusCode::NOT_FOUND, json!({"message": "Not Found"})))
}

/// The documents that every issuer publishes, below its own path.
fn published(call: &Call, issuer: &str, key: Option<&SigningKey>, rest: &[&str]) -> Option<Reply> {
    if call.method != Method::GET {
        return None;
    }
    match rest {
        [".well-known", "openid-configuration"] => Some(Reply::ok(json!({
            "issuer": issuer,
            "jwks_uri": format!("{issuer}/.well-known/jwks"),
            "subject_types_supported": ["public", "pairwise"],
            "response_types_supported": ["id_token"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid"],
        }))),
        [".well-known", "jwks"] => Some(Reply::ok(json!({"keys": [key?.jwk()]}))),
        _ => None,
    }
}
