//! Refusals by Key Vault.

use std::net::IpAddr;

use axum::http::StatusCode;
use serde_json::json;
use uuid::Uuid;

use crate::http::Reply;

/// Why a vault refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    Unauthorized {
        authority: String,
        resource: String,
        message: String,
    },
    Rbac {
        who: String,
        action: &'static str,
        resource: String,
        place: String,
        /// The deny assignment that was in the way.
        denial: Option<Uuid>,
    },
    Policy {
        who: String,
        permission: &'static str,
        place: String,
    },
    Firewall {
        address: IpAddr,
        who: String,
        place: String,
    },
    Connection {
        place: String,
    },
    Disabled,
    NotFound(String),
    /// It is deleted, and its name taken until it is purged.
    Deleted(String),
    Method(String),
    BadParameter(String),
    Gone,
}

impl Refusal {
    /// The answer. Messages keep the line breaks that Azure has in them.
    pub(super) fn reply(&self) -> Reply {
        let (status, code, inner, message) = match self {
            Self::Unauthorized { message, .. } => {
                (StatusCode::UNAUTHORIZED, "Unauthorized", None, message.clone())
            }
            Self::Rbac {
                who,
                action,
                resource,
                place,
                denial,
            } => {
                let denied = denial.map_or_else(|| "null".to_owned(), |id| format!("'{id}'"));
                let reason = match denial {
                    None => "DeniedWithNoValidRBAC",
                    Some(_) => "DeniedByDenyAssignment",
                };
                let message = format!(
                    "Caller is not authorized to perform action on resource.\r\nIf role assignments, deny \
                     assignments or role definitions were changed recently, please observe propagation \
                     time.\r\nCaller: {who}\r\nAction: '{action}'\r\nResource: '{resource}'\r\nAssignment: (not \
                     found)\r\nDenyAssignmentId: {denied}\r\nDecisionReason: '{reason}' \r\nVault: \
                     {place}\r\n"
                );
                (
                    StatusCode::FORBIDDEN,
                    "Forbidden",
                    Some("ForbiddenByRbac"),
                    message,
                )
            }
            Self::Policy {
                who,
                permission,
                place,
            } => {
                let message = format!(
                    "The user, group or application '{who}' does not have secrets {permission} permission on key \
                     vault '{place}'. For help resolving this issue, please see \
                     https://go.microsoft.com/fwlink/?linkid=2125287"
                );
                (StatusCode::FORBIDDEN, "Forbidden", Some("AccessDenied"), message)
            }
            Self::Firewall { address, who, place } => {
                let message = format!(
                    "Client address is not authorized and caller is not a trusted service.\r\nClient address: \
                     {address}\r\nCaller: {who}\r\nVault: {place}"
                );
                (
                    StatusCode::FORBIDDEN,
                    "Forbidden",
                    Some("ForbiddenByFirewall"),
                    message,
                )
            }
            Self::Connection { place } => {
                let message = format!(
                    "Public network access is disabled and request is not from a trusted service nor via an approved \
                     private link.\r\nVault: {place}"
                );
                (
                    StatusCode::FORBIDDEN,
                    "Forbidden",
                    Some("ForbiddenByConnection"),
                    message,
                )
            }
            Self::Disabled => {
                let message = "Operation get is not allowed on a disabled secret.".to_owned();
                (
                    StatusCode::FORBIDDEN,
                    "Forbidden",
                    Some("SecretDisabled"),
                    message,
                )
            }
            Self::NotFound(name) => {
                let message = format!(
                    "A secret with (name/id) {name} was not found in this key vault. If you recently deleted this \
                     secret you may be able to recover it using the correct recovery command. For help resolving \
                     this issue, please see https://go.microsoft.com/fwlink/?linkid=2125182"
                );
                (StatusCode::NOT_FOUND, "SecretNotFound", None, message)
            }
            Self::Deleted(name) => {
                let message = format!(
                    "Secret {name} is currently in a deleted but recoverable state, and its name cannot be reused; in \
                     this state, the secret can only be recovered or purged."
                );
                let inner = Some("ObjectIsDeletedButRecoverable");
                (StatusCode::CONFLICT, "Conflict", inner, message)
            }
            Self::Method(method) => {
                let message = format!("HTTP {method} is not served here.");
                (StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", None, message)
            }
            Self::BadParameter(message) => (StatusCode::BAD_REQUEST, "BadParameter", None, message.clone()),
            Self::Gone => (
                StatusCode::NOT_FOUND,
                "VaultNotFound",
                None,
                "The vault does not exist.".to_owned(),
            ),
        };
        let mut error = json!({"code": code, "message": message});
        if let Some(inner) = inner {
            error["innererror"] = json!({"code": inner});
        }
        let reply = Reply::json(status, json!({"error": error})).with_code(inner.unwrap_or(code));
        match self {
            Self::Unauthorized {
                authority, resource, ..
            } => reply.with_header(
                "www-authenticate",
                format!("Bearer authorization=\"{authority}\", resource=\"{resource}\""),
            ),
            _ => reply,
        }
    }
}
