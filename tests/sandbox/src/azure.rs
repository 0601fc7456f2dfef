//! The simulated Azure: where it listens, what it starts with, how a tester looks into it.

mod access;
mod command;
mod render;
mod resource;
mod seed;
mod serve;

pub use access::{Access, url};
pub use command::{AzureCommand, AzureError};
pub use seed::seed;

use std::ffi::OsString;
use std::net::Ipv4Addr;

use serde_json::Value;

use crate::http::{self, HttpError, Request};
use crate::range::Range;
use crate::spec::Programs;
use crate::state::StateDir;
use crate::supervise::Unit;

/// Its name among the parts of a sandbox; that of a folder in which it serves alone, unless another is given.
pub const PART: &str = "azure";

/// Its addresses: Entra, Azure Resource Manager, the platforms of pipelines, the vaults.
pub fn addresses(range: Range) -> Vec<Ipv4Addr> {
    vec![range.entra(), range.arm(), range.platform(), range.vault(1)]
}

/// The process.
pub fn unit(state: &StateDir, programs: &Programs) -> Unit {
    let unit = Unit::new(PART, &programs.azure);
    arguments(state).into_iter().fold(unit, Unit::argument)
}

/// Its command line, for a folder that holds a seed and an authority.
fn arguments(state: &StateDir) -> Vec<OsString> {
    vec![
        "serve".into(),
        "--seed".into(),
        state.azure_seed().into(),
        "--ca-cert".into(),
        state.ca_certificate().into(),
        "--ca-key".into(),
        state.ca_key().into(),
        "--admin-socket".into(),
        state.azure_socket().into(),
        "--log".into(),
        state.logs().join("azure-requests.ndjson").into(),
    ]
}

/// Whether it answers.
pub fn is_ready(state: &StateDir) -> bool {
    ask(state, "GET", "/state", None).is_ok()
}

/// Why the tester's door stays shut.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// It refused.
    #[error("the simulated Azure refused (status {status}): {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Its reason.
        message: String,
    },
}

/// Asks it through the tester's door; the document that it answers.
pub fn ask(state: &StateDir, method: &str, path: &str, body: Option<&str>) -> Result<Value, AskError> {
    let body = body.map(|body| ("application/json", body));
    let response = http::send_local(
        &state.azure_socket(),
        Request {
            method,
            path,
            body,
            bearer: None,
        },
    )?;
    let document: Value = serde_json::from_str(&response.body).unwrap_or_default();
    if response.is_success() {
        return Ok(document);
    }
    let reason = document["error"].as_str().unwrap_or(response.body.trim());
    Err(AskError::Refused {
        status: response.status,
        message: reason.to_owned(),
    })
}
