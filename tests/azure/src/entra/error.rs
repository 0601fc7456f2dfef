//! Refusals by Entra: code, OAuth error, status and text of each.

use axum::http::StatusCode;
use serde_json::json;
use uuid::Uuid;

use crate::clock::entra_time;
use crate::http::{Call, Reply};

const CHECK: &str = "Check your federated identity credential Subject, Audience and Issuer against the presented \
                     assertion. https://learn.microsoft.com/entra/workload-id/workload-identity-federation";

/// Why Entra issues no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("The endpoint only accepts POST requests. Received a different request.")]
    Method,
    #[error("Unknown or invalid instance.")]
    UnknownInstance,
    #[error(
        "Tenant '{0}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud. Check with your subscription administrator, this may happen if there are no active subscriptions for the tenant."
    )]
    TenantNotFound(String),
    #[error("Requested tenant identifier '{0}' is not valid. Tenant identifiers may not be an empty GUID.")]
    TenantEmpty(String),
    #[error("Specified tenant identifier '{0}' is neither a valid DNS name, nor a valid external domain.")]
    TenantInvalid(String),
    #[error("The request body must contain the following parameter: '{0}'.")]
    Missing(&'static str),
    #[error("The app requested an unsupported grant type '{0}'.")]
    GrantType(String),
    #[error(
        "The provided value for scope {0} is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI)."
    )]
    Scope(String),
    #[error(
        "The resource principal named {0} was not found in the tenant named {1}. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You might have sent your authentication request to the wrong tenant."
    )]
    Resource(String, String),
    #[error(
        "Application with identifier '{0}' was not found in the directory '{1}'. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You may have sent your authentication request to the wrong tenant."
    )]
    Application(String, String),
    #[error("Application '{0}'({1}) is disabled.")]
    Disabled(Uuid, String),
    #[error("The request body must contain the following parameter: 'client_assertion' or 'client_secret'.")]
    NoProof,
    #[error(
        "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '{0}'."
    )]
    Secret(Uuid),
    #[error("The provided client_assertion_type '{0}' is not supported.")]
    AssertionType(String),
    #[error("JWT token is invalid or malformed.")]
    Malformed,
    #[error(
        "Client assertion application identifier doesn't match 'client_id' parameter. Review the documentation at https://learn.microsoft.com/entra/identity-platform/certificate-credentials ."
    )]
    SelfMade,
    #[error("AAD-issued tokens may not be used for federated identity flows.")]
    OwnToken,
    #[error("The client '{0}'({1}) has no configured federated identity credentials.")]
    NoCredentials(Uuid, String),
    #[error("No matching federated identity record found for presented assertion issuer '{0}'. {CHECK}")]
    Issuer(String),
    #[error("No matching federated identity record found for presented assertion audience '{0}'. {CHECK}")]
    Audience(String),
    #[error("No matching federated identity record found for presented assertion subject '{0}'. {CHECK}")]
    Subject(String),
    #[error(
        "No matching federated identity record found for presented assertion subject '{0}'. The subject matches with case-insensitive comparison, but not with case-sensitive comparison. {CHECK}"
    )]
    SubjectCase(String),
    #[error(
        "Federated Identity Credential issuer must use HTTPS scheme, must not be loopback address, and may not include a query-string or fragment. Token issuer: {0}."
    )]
    IssuerForm(String),
    #[error(
        "External OIDC Provider token must have a lifetime of less than or equal to {0}. Token issued at {1}. Token expires on {2}."
    )]
    Lifetime(String, String, String),
    #[error(
        "Client assertion is not within its valid time range. Current time: {now}, assertion valid from {from}, expiry time of assertion {end}. Review the documentation at https://learn.microsoft.com/entra/identity-platform/certificate-credentials ."
    )]
    Time { now: String, from: String, end: String },
    #[error("Request to External OIDC endpoint failed.")]
    Unreachable,
    #[error("OIDC Provider Metadata missing required field '{0}'.")]
    Metadata(&'static str),
    #[error(
        "Issuer from the provided JWT '{token}' does not match the issuer published in the OIDC discovery metadata ('{published}') registered for this federated credential."
    )]
    Published { token: String, published: String },
    #[error(
        "The certificate with identifier {kid} used to sign the federated credential could not be found in the metadata of identity provider {issuer}. Please validate that your Identity Provider's metadata exposes the key used to sign the incoming token."
    )]
    Key { kid: String, issuer: String },
    #[error("Client assertion failed signature validation.")]
    Signature,
    #[error("A transient error has occurred. Please try again.")]
    Transient,
}

impl Refusal {
    /// The number behind `AADSTS`.
    pub(crate) fn code(&self) -> u32 {
        match self {
            Self::Method => 900_561,
            Self::UnknownInstance => 50_049,
            Self::TenantNotFound(_) => 90_002,
            Self::TenantEmpty(_) => 900_021,
            Self::TenantInvalid(_) => 900_023,
            Self::Missing(_) => 900_144,
            Self::GrantType(_) => 70_003,
            Self::Scope(_) => 1_002_012,
            Self::Resource(..) => 500_011,
            Self::Application(..) => 700_016,
            Self::Disabled(..) => 7_000_112,
            Self::NoProof => 7_000_218,
            Self::Secret(_) => 7_000_215,
            Self::AssertionType(_) => 7_000_216,
            Self::Malformed => 50_027,
            Self::SelfMade => 700_021,
            Self::OwnToken => 700_222,
            Self::NoCredentials(..) => 70_025,
            Self::Issuer(_) => 700_211,
            Self::Audience(_) => 700_212,
            Self::Subject(_) => 700_213,
            Self::SubjectCase(_) => 7_002_138,
            Self::IssuerForm(_) => 70_022,
            Self::Lifetime(..) => 70_023,
            Self::Time { .. } => 700_024,
            Self::Unreachable => 90_061,
            Self::Metadata(_) => 70_024,
            Self::Published { .. } => 700_221,
            Self::Key { .. } => 7_000_272,
            Self::Signature => 700_027,
            Self::Transient => 90_033,
        }
    }

    /// The OAuth error and the status.
    fn kind(&self) -> (&'static str, StatusCode) {
        match self {
            Self::Method
            | Self::TenantNotFound(_)
            | Self::TenantEmpty(_)
            | Self::TenantInvalid(_)
            | Self::Missing(_)
            | Self::AssertionType(_)
            | Self::Malformed
            | Self::IssuerForm(_)
            | Self::Unreachable
            | Self::Metadata(_) => ("invalid_request", StatusCode::BAD_REQUEST),
            Self::UnknownInstance => ("invalid_instance", StatusCode::BAD_REQUEST),
            Self::GrantType(_) => ("unsupported_grant_type", StatusCode::BAD_REQUEST),
            Self::Scope(_) => ("invalid_scope", StatusCode::BAD_REQUEST),
            Self::Resource(..) => ("invalid_resource", StatusCode::BAD_REQUEST),
            Self::Application(..) | Self::Disabled(..) => ("unauthorized_client", StatusCode::BAD_REQUEST),
            Self::NoProof
            | Self::Secret(_)
            | Self::SelfMade
            | Self::OwnToken
            | Self::NoCredentials(..)
            | Self::Issuer(_)
            | Self::Audience(_)
            | Self::Subject(_)
            | Self::SubjectCase(_)
            | Self::Lifetime(..)
            | Self::Time { .. }
            | Self::Published { .. }
            | Self::Key { .. }
            | Self::Signature => ("invalid_client", StatusCode::UNAUTHORIZED),
            Self::Transient => ("temporarily_unavailable", StatusCode::SERVICE_UNAVAILABLE),
        }
    }

    /// The answer as Entra writes it, on one line.
    pub(crate) fn reply(&self, call: &Call) -> Reply {
        let (error, status) = self.kind();
        let (code, time) = (self.code(), entra_time(call.now));
        let trace = Uuid::new_v4();
        let correlation = call
            .header("client-request-id")
            .and_then(|id| Uuid::parse_str(id).ok())
            .unwrap_or_else(Uuid::new_v4);
        let mut body = json!({
            "error": error,
            "error_description":
                format!("AADSTS{code}: {self} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {time}"),
            "error_codes": [code],
            "timestamp": time,
            "trace_id": trace,
            "correlation_id": correlation,
        });
        if !matches!(self, Self::Unreachable) {
            body["error_uri"] = format!("https://login.microsoftonline.com/error?code={code}").into();
        }
        Reply::json(status, body).with_code(format!("AADSTS{code}"))
    }
}
