//! What the resource manager answers when it does not do what was asked.

use super::{ArmRequest, ArmResponse};
use serde_json::Value;
use std::time::Duration;

/// A request to the resource manager failed.
#[derive(Debug, thiserror::Error)]
pub enum ArmError {
    /// No token for the resource manager could be had.
    #[error("no token for the resource manager")]
    Token {
        /// Why.
        source: Box<azure_core::Error>,
    },
    /// No answer came.
    #[error("{method} {path} got no answer")]
    Connection {
        /// The method.
        method: String,
        /// The path, without its query.
        path: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The answer was an error.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// A list or an operation goes on at another host.
    #[error("what is at {path} goes on at another host; it is not followed")]
    ForeignLink {
        /// The path of the list or of what is operated on.
        path: String,
    },
    /// The command was asked to stop before the request had an answer for good.
    #[error("{}", match source {
        Some(_) => "stopped between two tries; whether Azure carried it out is not known",
        None => "stopped before it was sent",
    })]
    Stopped {
        /// What the last try answered.
        source: Option<Box<ArmError>>,
    },
    /// A long-running operation did not succeed.
    #[error("the operation on {path} ended as {ended}")]
    Operation {
        /// The path of what is operated on.
        path: String,
        /// How it ended, with Azure's code and message.
        ended: String,
    },
    /// A long-running operation goes on in Azure, and is not waited for any longer.
    #[error("{path} is not ready yet: {last}")]
    Unfinished {
        /// The path of what is operated on.
        path: String,
        /// What Azure said last.
        last: String,
    },
    /// The answer lacks what the resource must have.
    #[error("the answer is no {what}")]
    Shape {
        /// What was asked for.
        what: &'static str,
        /// Why.
        source: serde_json::Error,
    },
}

/// An error answer, with all that Azure's support asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The method of the request.
    pub method: String,
    /// The path of the request, without its query.
    pub path: String,
    /// The HTTP status.
    pub status: u16,
    /// Azure's code, e.g. `AuthorizationFailed`; empty when the body had none.
    pub code: String,
    /// Azure's message.
    pub message: String,
    /// The id of the request.
    pub request_id: Option<String>,
    /// The id of the operation.
    pub correlation_id: Option<String>,
    /// How long the service wants to be left alone.
    pub retry_after: Option<Duration>,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {}: {}", self.method, self.path, self.status)?;
        if !self.code.is_empty() {
            write!(formatter, " {}", self.code)?;
        }
        if !self.message.is_empty() {
            write!(formatter, ": {}", self.message)?;
        }
        if let Some(id) = &self.request_id {
            write!(formatter, " (request {id}")?;
            if let Some(id) = &self.correlation_id {
                write!(formatter, ", correlation {id}")?;
            }
            write!(formatter, ")")?;
        }
        Ok(())
    }
}

impl ArmError {
    pub(super) fn refused(request: &ArmRequest, answer: &ArmResponse) -> Self {
        // AKS answers without the `error` wrapper at times.
        let error = answer.body.get("error").unwrap_or(&answer.body);
        let text = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
        Self::Refused(Box::new(Refusal {
            method: request.method.to_string(),
            path: request.path().to_owned(),
            status: answer.status,
            code: text("code").to_owned(),
            message: text("message").split_whitespace().collect::<Vec<_>>().join(" "),
            request_id: answer.request_id.clone(),
            correlation_id: answer.correlation_id.clone(),
            retry_after: answer.retry_after,
        }))
    }

    /// The error answer, when there was one.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::Token { .. }
            | Self::Connection { .. }
            | Self::ForeignLink { .. }
            | Self::Stopped { .. }
            | Self::Operation { .. }
            | Self::Unfinished { .. }
            | Self::Shape { .. } => None,
        }
    }

    /// Azure's code of the error answer.
    pub fn code(&self) -> Option<&str> {
        self.refusal().map(|refusal| refusal.code.as_str())
    }

    /// Whether the thing, or what it hangs on, does not exist.
    pub fn is_not_found(&self) -> bool {
        self.refusal().is_some_and(|refusal| refusal.status == 404)
    }

    /// Whether a lock, a policy or a deny assignment stands in the way, whatever rights the caller has.
    pub fn is_blocked(&self) -> bool {
        let codes = [
            "ScopeLocked",
            "RequestDisallowedByPolicy",
            "DenyAssignmentAuthorizationFailed",
        ];
        self.code().is_some_and(|code| codes.contains(&code))
    }

    /// Whether the caller lacks a right.
    pub fn is_forbidden(&self) -> bool {
        self.refusal().is_some_and(|refusal| {
            refusal.status == 403
                && ["AuthorizationFailed", "LinkedAuthorizationFailed"].contains(&refusal.code.as_str())
        })
    }
}

impl Refusal {
    /// The action that the caller lacks: as Azure names it, else as the request implies it.
    pub fn action(&self) -> String {
        quoted_after(&self.message, "perform action ")
            .unwrap_or_else(|| implied_action(&self.method, &self.path))
    }

    /// The object id of the caller, when Azure names it.
    pub fn principal(&self) -> Option<String> {
        quoted_after(&self.message, "with object id ")
    }

    /// The scope at which the caller lacks it.
    pub fn scope(&self) -> String {
        quoted_after(&self.message, "over scope ").unwrap_or_else(|| self.path.clone())
    }
}

/// The text in single quotes after a marker. Azure gives action and scope nowhere but in its sentence.
fn quoted_after(message: &str, marker: &str) -> Option<String> {
    let rest = message.split_once(marker)?.1.strip_prefix('\'')?;
    rest.split_once('\'').map(|(quoted, _)| quoted.to_owned())
}

/// `NAMESPACE/TYPE[/TYPE…]/VERB` of the last provider in a path.
fn implied_action(method: &str, path: &str) -> String {
    let verb = match method {
        "GET" => "read",
        "DELETE" => "delete",
        "POST" => "action",
        _ => "write",
    };
    let after = path.rsplit_once("/providers/").map_or(path, |(_, rest)| rest);
    let mut segments = after.split('/');
    let namespace = segments.next().unwrap_or_default();
    let kinds: Vec<&str> = segments.step_by(2).collect();
    format!("{namespace}/{}/{verb}", kinds.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn error(status: u16, body: Value) -> ArmError {
        let request = ArmRequest::put(
            "/s/providers/Microsoft.X/things/t/providers/Microsoft.Authorization/roleAssignments/id",
            "1",
            json!({}),
        );
        let answer = ArmResponse {
            status,
            body,
            request_id: Some("r".into()),
            correlation_id: None,
            retry_after: None,
            operation: None,
        };
        ArmError::refused(&request, &answer)
    }

    #[test]
    fn both_error_shapes_are_read() {
        for body in [
            json!({"error": {"code": "C", "message": "m\r\n n"}}),
            json!({"code": "C", "message": "m n"}),
        ] {
            let error = error(409, body);
            assert_eq!(error.code(), Some("C"));
            assert!(error.to_string().ends_with("409 C: m n (request r)"), "{error}");
        }
        assert_eq!(error(502, Value::Null).code(), Some(""));
    }

    #[test]
    fn a_missing_right_is_named() {
        let message = "The client 'a' with object id 'b' does not have authorization to perform action \
                       'Microsoft.Authorization/roleAssignments/write' over scope '/subscriptions/s' or the scope is invalid.";
        let named = error(
            403,
            json!({"error": {"code": "AuthorizationFailed", "message": message}}),
        );
        assert!(named.is_forbidden());
        let refusal = named.refusal().unwrap();
        assert_eq!(refusal.action(), "Microsoft.Authorization/roleAssignments/write");
        assert_eq!(refusal.scope(), "/subscriptions/s");
        assert_eq!(refusal.principal().as_deref(), Some("b"));
        let bare = error(
            403,
            json!({"error": {"code": "AuthorizationFailed", "message": "no"}}),
        );
        assert_eq!(
            bare.refusal().unwrap().action(),
            "Microsoft.Authorization/roleAssignments/write"
        );
    }

    #[test]
    fn a_policy_is_no_missing_right() {
        assert!(
            !error(
                403,
                json!({"error": {"code": "RequestDisallowedByPolicy", "message": ""}})
            )
            .is_forbidden()
        );
    }
}
