//! Errors in the resource manager's shapes.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::http::Reply;
use crate::seed::Policy;
use crate::state::{Denial, rule_id};
use crate::token::Caller;

/// A refusal by the resource manager or a resource provider.
#[derive(Debug)]
pub(crate) struct ArmError {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// Whether the body has the `error` wrapper; the AKS resource provider sometimes leaves it out.
    wrapped: bool,
    /// Whether the resource manager itself answered, before any resource provider was asked.
    gateway: bool,
    challenge: Option<String>,
    /// `additionalInfo`, null where there is none.
    more: Value,
}

impl ArmError {
    /// Any error with the usual body.
    pub(crate) fn new(status: StatusCode, code: &'static str, message: String) -> Self {
        Self {
            status,
            code,
            message,
            wrapped: true,
            gateway: false,
            challenge: None,
            more: Value::Null,
        }
    }

    /// 400.
    pub(crate) fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message.into())
    }

    /// 409.
    pub(crate) fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message.into())
    }

    /// 404 by a resource provider.
    pub(crate) fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message.into())
    }

    /// Without the `error` wrapper.
    pub(crate) fn bare(self) -> Self {
        Self {
            wrapped: false,
            ..self
        }
    }

    /// 404 by the resource manager itself.
    fn missing(code: &'static str, message: String) -> Self {
        Self {
            gateway: true,
            ..Self::new(StatusCode::NOT_FOUND, code, message)
        }
    }

    /// No such subscription.
    pub(crate) fn subscription(id: &str) -> Self {
        Self::missing(
            "SubscriptionNotFound",
            format!("The subscription '{id}' could not be found."),
        )
    }

    /// No such resource group.
    pub(crate) fn group(name: &str) -> Self {
        Self::missing(
            "ResourceGroupNotFound",
            format!("Resource group '{name}' could not be found."),
        )
    }

    /// No such resource.
    pub(crate) fn resource(kind: &str, name: &str, group: &str) -> Self {
        let message = format!(
            "The Resource '{kind}/{name}' under resource group '{group}' was not found. For more details please go \
             to https://aka.ms/ARMResourceNotFoundFix"
        );
        Self::missing("ResourceNotFound", message)
    }

    /// A child of a resource that does not exist.
    pub(crate) fn parent(verb: &str, kind: &str, parent: &str) -> Self {
        let message = format!(
            "Failed to perform '{verb}' on resource(s) of type '{kind}', because the parent resource '{parent}' \
             could not be found."
        );
        Self::missing("ParentResourceNotFound", message)
    }

    /// A path that is no operation.
    pub(crate) fn path(path: &str) -> Self {
        Self::missing(
            "InvalidResourceType",
            format!("The simulator serves no operation at '{path}'."),
        )
    }

    /// A path that exists, by another method.
    pub(crate) fn method(method: &str) -> Self {
        let message = format!("The requested resource does not support http method '{method}'.");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "HttpMethodNotSupported", message)
    }

    /// Not signed in, or not here.
    pub(crate) fn unauthenticated(authority: &str, code: &'static str, message: String) -> Self {
        let challenge = format!(
            "Bearer authorization_uri=\"{authority}\", error=\"invalid_token\", error_description=\"{message}\""
        );
        let error = Self::new(StatusCode::UNAUTHORIZED, code, message);
        Self {
            challenge: Some(challenge),
            ..error
        }
    }

    /// Signed in and not allowed.
    pub(crate) fn authorization(caller: &Caller, action: &str, scope: &str) -> Self {
        let (client, object) = (caller.client_id, caller.object_id);
        let message = format!(
            "The client '{client}' with object id '{object}' does not have authorization to perform action \
             '{action}' over scope '{scope}' or the scope is invalid. If access was recently granted, please \
             refresh your credentials."
        );
        Self {
            gateway: true,
            ..Self::new(StatusCode::FORBIDDEN, "AuthorizationFailed", message)
        }
    }

    /// Allowed at one scope, and not at another that the request names.
    pub(crate) fn linked(caller: &Caller, action: &str, scope: &str, linked: &str) -> Self {
        let (client, object) = (caller.client_id, caller.object_id);
        let message = format!(
            "The client '{client}' with object id '{object}' has permission to perform action '{action}' on scope \
             '{scope}'; however, it does not have permission to perform action(s) '{action}' on the linked scope(s) \
             '{linked}' (respectively) or the linked scope(s) are invalid."
        );
        Self {
            gateway: true,
            ..Self::new(StatusCode::FORBIDDEN, "LinkedAuthorizationFailed", message)
        }
    }

    /// Signed in, and denied whatever the roles are.
    pub(crate) fn denied(caller: &Caller, action: &str, scope: &str, denial: &Denial) -> Self {
        let (client, object) = (caller.client_id, caller.object_id);
        let message = format!(
            "The client '{client}' with object id '{object}' has permission to perform action '{action}' on scope \
             '{scope}'; however, the access is denied because of the deny assignment with name '{}' and Id '{}' at \
             scope '{}'.",
            denial.name,
            denial.id.simple(),
            denial.scope
        );
        Self {
            gateway: true,
            ..Self::new(
                StatusCode::FORBIDDEN,
                "DenyAssignmentAuthorizationFailed",
                message,
            )
        }
    }

    /// Forbidden to everybody by locks at these scopes.
    pub(crate) fn locked(verb: &str, scope: &str, locks: &[String]) -> Self {
        let message = format!(
            "The scope '{scope}' cannot perform {verb} operation because following scope(s) are locked: '{}'. Please \
             remove the lock and try again.",
            locks.join(",")
        );
        Self {
            gateway: true,
            ..Self::conflict("ScopeLocked", message)
        }
    }

    /// Denied by a policy.
    pub(crate) fn policy(id: &str, policy: &Policy) -> Self {
        let name = id.rsplit('/').next().unwrap_or_default();
        let assignment = rule_id(&policy.scope, "policyAssignments", &policy.name);
        let definition = rule_id(&policy.scope, "policyDefinitions", &policy.name);
        let identifiers = json!([{
            "policyAssignment": {"name": policy.name, "id": assignment},
            "policyDefinition": {"name": policy.name, "id": definition},
        }]);
        let message =
            format!("Resource '{name}' was disallowed by policy. Policy identifiers: '{identifiers}'.");
        let info = json!({
            "policyAssignmentId": assignment, "policyAssignmentName": policy.name, "policyAssignmentScope": policy.scope,
            "policyDefinitionId": definition, "policyDefinitionName": policy.name, "policyDefinitionEffect": "deny",
        });
        Self {
            gateway: true,
            more: json!([{"type": "PolicyViolation", "info": info}]),
            ..Self::new(StatusCode::FORBIDDEN, "RequestDisallowedByPolicy", message)
        }
    }

    /// What it says.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The answer.
    pub(crate) fn into_reply(self) -> Reply {
        let mut error = json!({"code": self.code, "message": self.message});
        if !self.more.is_null() {
            error["additionalInfo"] = self.more;
        }
        let body = if self.wrapped {
            json!({"error": error})
        } else {
            json!({"code": self.code, "details": null, "message": self.message, "subcode": ""})
        };
        let mut reply = Reply::json(self.status, body).with_code(self.code);
        if self.gateway {
            reply = reply.with_header("x-ms-failure-cause", "gateway");
        }
        match self.challenge {
            Some(challenge) => reply.with_header("www-authenticate", challenge),
            None => reply,
        }
    }
}
