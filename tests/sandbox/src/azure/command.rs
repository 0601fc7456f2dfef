//! `cargo sandbox azure …`: what a tester sees of the simulated Azure and does to it.

use std::path::Path;

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::resource::{self, ResourceError, field, offset};
use super::serve::{ServeArgs, ServeError, serve};
use super::{Access, AskError, ask, render};
use crate::files::{self, FileError};
use crate::operator::{Operator, OperatorError};
use crate::output::{OutputArgs, json};
use crate::state::StateDir;

/// What is asked of the simulated Azure.
#[derive(Debug, Subcommand)]
pub enum AzureCommand {
    /// Everything that exists: clusters, identities, credentials, grants, vaults
    Show(OutputArgs),
    /// Every request so far
    Log(OutputArgs),
    /// Show the weather, change it (delays, refusals), or calm it
    Fault(FaultArgs),
    /// Add resources as another party would, from a document with the seed's lists
    Add {
        /// '{"identities": [{"resourceGroup": "rg-fleet", "name": "id-1", "location": "westeurope"}]}', or @FILE
        resources: String,
    },
    /// Change a resource behind its owner's back
    Set {
        /// Its resource id, or KIND/NAME: cluster/aks-weu-1, identity/id-1, vault/kv-central,
        /// secret/kv-central/db-password
        resource: String,
        /// A field of the seed and its value: oidcIssuerEnabled=false, publicNetworkAccess=Disabled, enabled=false
        #[arg(required = true, value_name = "FIELD=VALUE", value_parser = field)]
        fields: Vec<(String, Value)>,
    },
    /// Delete a resource with all below it, an application, or a job that runs
    Remove {
        /// Its resource id, or KIND/NAME as for `set`, also of kind application, role, github-job, pipeline-job and
        /// machine-identity
        resource: String,
    },
    /// Put the clock of the simulated Azure before (-90s, -2h) or after (10m) this machine's; 0s ends it
    Clock {
        /// How far, in s, m, h or d
        #[arg(value_parser = offset, allow_hyphen_values = true)]
        offset: i64,
    },
    /// Forget the issuers' keys, as Entra's cache does when it expires
    ForgetIssuers,
    /// Run the simulated Azure alone, without clusters and without root, until Ctrl-C
    Serve(ServeArgs),
    /// Call the resource manager as the operator, as `az rest` does
    Rest {
        /// GET, PUT, DELETE, …
        method: String,
        /// Path and query, `/subscriptions/…?api-version=…`
        path: String,
        /// The body, as JSON
        body: Option<String>,
    },
}

/// What happens to the weather.
#[derive(Debug, Args)]
pub struct FaultArgs {
    /// What changes, as JSON: '{"roleDelayMs": 5000}', '{"budgets": true}',
    /// '{"faults": [{"service": "arm", "status": 429}]}', '{"faults": [{"service": "vault", "drop": true}]}'
    #[arg(value_name = "JSON", conflicts_with_all = ["calm", "end"])]
    weather: Option<String>,
    /// Only over what has this in its id, subject, client id or path; needs `--as`
    #[arg(long, requires_all = ["front", "weather"])]
    over: Option<String>,
    /// The name under which this weather is kept beside all other; the same name replaces it
    #[arg(long = "as", value_name = "NAME", id = "front", requires_all = ["over", "weather"])]
    front: Option<String>,
    /// End the weather of this name
    #[arg(long, value_name = "NAME", conflicts_with = "calm")]
    end: Option<String>,
    /// Back to the weather of the start, with none under a name
    #[arg(long)]
    calm: bool,
}

/// Why it did not answer.
#[derive(Debug, thiserror::Error)]
pub enum AzureError {
    /// No answer, or a refusal.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// The operator's call failed.
    #[error(transparent)]
    Operator(#[from] OperatorError),
    /// What is meant is not clear.
    #[error(transparent)]
    Resource(#[from] ResourceError),
    /// A document cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is not served alone.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The weather is no JSON object.
    #[error("the weather must be a JSON object")]
    Weather,
}

impl AzureError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Serve(error) => error.hint(),
            _ => None,
        }
    }
}

impl AzureCommand {
    /// Whether it makes the simulated Azure that it is about, instead of asking one that is there.
    pub const fn serves(&self) -> bool {
        matches!(self, Self::Serve(_))
    }

    /// Asks; the text for stdout.
    pub fn run(&self, state: &StateDir) -> Result<String, AzureError> {
        match self {
            Self::Show(arguments) => Ok(arguments.shown(&ask(state, "GET", "/state", None)?, render::state)),
            Self::Log(arguments) => Ok(arguments.shown(&ask(state, "GET", "/log", None)?, render::log)),
            Self::Fault(arguments) => Ok(json(&arguments.run(state)?)),
            Self::Add { resources } => {
                let resources = match resources.strip_prefix('@') {
                    Some(path) => files::read(Path::new(path))?,
                    None => resources.clone(),
                };
                ask(state, "POST", "/resources", Some(&resources))?;
                Ok(String::new())
            }
            Self::Set { resource, fields } => {
                let path = resources(state, resource)?;
                let fields: Map<String, Value> = fields.iter().cloned().collect();
                Ok(json(&ask(
                    state,
                    "PATCH",
                    &path,
                    Some(&Value::from(fields).to_string()),
                )?))
            }
            Self::Remove { resource } => {
                let path = resources(state, resource)?;
                Ok(json(&ask(state, "DELETE", &path, None)?))
            }
            Self::Clock { offset } => {
                let body = serde_json::json!({"offsetMs": offset}).to_string();
                Ok(json(&ask(state, "POST", "/clock", Some(&body))?))
            }
            Self::Serve(arguments) => {
                serve(state, arguments)?;
                Ok(String::new())
            }
            Self::ForgetIssuers => {
                ask(state, "DELETE", "/issuers", None)?;
                Ok(String::new())
            }
            Self::Rest { method, path, body } => {
                let answer =
                    Operator::sign_in(state, &Access::of(state)?)?.call(method, path, body.as_deref())?;
                Ok(json(&answer))
            }
        }
    }
}

impl FaultArgs {
    fn run(&self, state: &StateDir) -> Result<Value, AzureError> {
        match (&self.weather, &self.front, &self.end) {
            (Some(weather), Some(front), _) => {
                let mut weather: Map<String, Value> =
                    serde_json::from_str(weather).map_err(|_| AzureError::Weather)?;
                weather.insert("over".to_owned(), self.over.clone().into());
                let body = Value::from(weather).to_string();
                ask(state, "PUT", &format!("/faults/{front}"), Some(&body))
            }
            (Some(weather), None, _) => ask(state, "POST", "/faults", Some(weather)),
            (None, _, Some(front)) => ask(state, "DELETE", &format!("/faults/{front}"), None),
            (None, _, None) if self.calm => ask(state, "DELETE", "/faults", None),
            (None, _, None) => ask(state, "GET", "/faults", None),
        }
        .map_err(AzureError::from)
    }
}

/// Where the simulated Azure takes changes of a resource.
fn resources(state: &StateDir, resource: &str) -> Result<String, AzureError> {
    let id = if resource.starts_with('/') {
        resource.to_owned()
    } else {
        resource::id(&ask(state, "GET", "/state", None)?, resource)?
    };
    Ok(format!("/resources?id={}", id.replace(' ', "%20")))
}
