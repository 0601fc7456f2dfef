//! The operator at a terminal: signed in to the simulated Azure by its client secret, calling the resource manager.

use std::net::SocketAddrV4;

use serde_json::Value;

use crate::azure::Access;
use crate::files::{self, FileError};
use crate::http::{Client, HttpError, Request};
use crate::state::StateDir;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The authority of the sandbox cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// No answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// A refusal.
    #[error("{method} {path} was refused (status {status}): {message}")]
    Refused {
        /// The method.
        method: String,
        /// The path, without its query.
        path: String,
        /// The HTTP status.
        status: u16,
        /// The body.
        message: String,
    },
}

/// A signed-in operator.
pub struct Operator {
    client: Client,
    arm: SocketAddrV4,
    token: String,
}

impl Operator {
    /// Signs in.
    pub fn sign_in(state: &StateDir, access: &Access) -> Result<Self, OperatorError> {
        let client = Client::new(&files::read(&state.ca_certificate())?, None)?;
        let path = format!("/{}/oauth2/v2.0/token", access.tenant_id);
        let form = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}\
             &scope=https%3A%2F%2Fmanagement.azure.com%2F.default",
            access.client_id, access.client_secret
        );
        let request = Request {
            method: "POST",
            path: &path,
            body: Some(("application/x-www-form-urlencoded", &form)),
            bearer: None,
        };
        let answer = send(&client, access.entra, request)?;
        let token = answer["access_token"].as_str().unwrap_or_default().to_owned();
        Ok(Self {
            client,
            arm: access.arm,
            token,
        })
    }

    /// Calls the resource manager; an empty answer is null.
    pub fn call(&self, method: &str, path: &str, body: Option<&str>) -> Result<Value, OperatorError> {
        let body = body.map(|body| ("application/json", body));
        send(
            &self.client,
            self.arm,
            Request {
                method,
                path,
                body,
                bearer: Some(&self.token),
            },
        )
    }
}

fn send(client: &Client, address: SocketAddrV4, request: Request<'_>) -> Result<Value, OperatorError> {
    let response = client.send(address, request)?;
    if response.is_success() {
        return Ok(serde_json::from_str(&response.body).unwrap_or_default());
    }
    Err(OperatorError::Refused {
        method: request.method.to_owned(),
        path: request.path.split('?').next().unwrap_or_default().to_owned(),
        status: response.status,
        message: response.body.trim().to_owned(),
    })
}
