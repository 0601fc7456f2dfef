//! The simulated Azure: where it listens, what it starts with, how a tester looks into it.

mod command;
mod render;
mod seed;

pub use command::{AzureCommand, AzureError};
pub use seed::seed;

use std::net::Ipv4Addr;

use crate::http::{self, HttpError, Request, Response};
use crate::range::Range;
use crate::spec::Programs;
use crate::state::StateDir;
use crate::supervise::Unit;

/// Its name among the parts of a sandbox.
pub const PART: &str = "azure";

/// Its addresses: Entra, Azure Resource Manager, the vaults.
pub fn addresses(range: Range) -> Vec<Ipv4Addr> {
    vec![range.entra(), range.arm(), range.vault(1)]
}

/// The process.
pub fn unit(state: &StateDir, programs: &Programs) -> Unit {
    Unit::new(PART, &programs.azure)
        .argument("serve")
        .argument("--seed")
        .argument(state.azure_seed())
        .argument("--ca-cert")
        .argument(state.ca_certificate())
        .argument("--ca-key")
        .argument(state.ca_key())
        .argument("--admin-socket")
        .argument(state.azure_socket())
        .argument("--log")
        .argument(state.logs().join("azure-requests.ndjson"))
}

/// Whether it answers.
pub fn is_ready(state: &StateDir) -> bool {
    ask(state, "GET", "/state", None).is_ok_and(|response| response.is_success())
}

/// Asks it through the tester's door.
pub fn ask(state: &StateDir, method: &str, path: &str, body: Option<&str>) -> Result<Response, HttpError> {
    let body = body.map(|body| ("application/json", body));
    http::send_local(
        &state.azure_socket(),
        Request {
            method,
            path,
            body,
            bearer: None,
        },
    )
}
