//! `cargo sandbox azure …`: what a tester sees of the simulated Azure and does to it.

use clap::{Subcommand, ValueEnum};
use serde_json::Value;

use super::{ask, render};
use crate::http::HttpError;
use crate::operator::{Operator, OperatorError};
use crate::spec::Spec;
use crate::state::StateDir;

/// What is asked of the simulated Azure.
#[derive(Debug, Subcommand)]
pub enum AzureCommand {
    /// Everything that exists: clusters, identities, credentials, grants, vaults
    Show {
        /// Output format
        #[arg(long, short, value_enum, default_value_t = Format::Text)]
        output: Format,
    },
    /// Every request so far
    Log {
        /// Output format
        #[arg(long, short, value_enum, default_value_t = Format::Text)]
        output: Format,
    },
    /// Show the weather, change it (delays, refusals), or calm it
    Fault {
        /// What changes, as JSON: '{"roleDelayMs": 5000}', '{"budgets": true}',
        /// '{"faults": [{"service": "arm", "status": 429}]}', '{"faults": [{"service": "vault", "drop": true}]}'
        #[arg(value_name = "JSON")]
        weather: Option<String>,
        /// No delays and no faults any more
        #[arg(long, conflicts_with = "weather")]
        calm: bool,
    },
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

/// How it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Why it did not answer.
#[derive(Debug, thiserror::Error)]
pub enum AzureError {
    /// No answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The operator's call failed.
    #[error(transparent)]
    Operator(#[from] OperatorError),
    /// It refused.
    #[error("the simulated Azure refused (status {status}): {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Its reason.
        message: String,
    },
}

impl AzureCommand {
    /// Asks; the text for stdout.
    pub fn run(&self, state: &StateDir, spec: &Spec) -> Result<String, AzureError> {
        match self {
            Self::Show { output } => Ok(shown(
                &send(state, "GET", "/state", None)?,
                *output,
                render::state,
            )),
            Self::Log { output } => Ok(shown(&send(state, "GET", "/log", None)?, *output, render::log)),
            Self::Fault {
                weather: None,
                calm: false,
            } => Ok(json(&send(state, "GET", "/faults", None)?)),
            Self::Fault {
                weather: None,
                calm: true,
            } => Ok(json(&send(state, "DELETE", "/faults", None)?)),
            Self::Fault {
                weather: Some(weather),
                ..
            } => Ok(json(&send(state, "POST", "/faults", Some(weather))?)),
            Self::Rest { method, path, body } => {
                let answer = Operator::sign_in(state, spec)?.call(method, path, body.as_deref())?;
                Ok(format!("{answer:#}\n"))
            }
        }
    }
}

fn shown(document: &Value, format: Format, render: fn(&Value) -> String) -> String {
    if format == Format::Text {
        render(document)
    } else {
        json(document)
    }
}

fn json(document: &Value) -> String {
    format!("{document:#}\n")
}

fn send(state: &StateDir, method: &str, path: &str, body: Option<&str>) -> Result<Value, AzureError> {
    let response = ask(state, method, path, body)?;
    if !response.is_success() {
        return Err(AzureError::Refused {
            status: response.status,
            message: response.body.trim().to_owned(),
        });
    }
    Ok(serde_json::from_str(&response.body).unwrap_or(Value::String(response.body)))
}
