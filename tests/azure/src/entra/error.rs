//! Refusals by Entra: code, OAuth error, status and text of each.

use axum::http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::clock::entra_time;
use crate::http::{Call, Reply};

const CHECK: &str = "Check your federated identity credential Subject, Audience and Issuer against the presented \
                     assertion. https://learn.microsoft.com/entra/workload-id/workload-identity-federation";

/// What went wrong between Entra and an issuer. Three codes have the same text and no documented difference; each has one
/// cause here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreachable {
    /// No connection, no trust in the certificate, or no answer in time.
    NoAnswer,
    /// An answer by another status than 200.
    Status,
    /// An answer that is no JSON.
    Content,
}

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
    #[error("Client application '{0}'({1}) is disabled in tenant {2}.")]
    DisabledInTenant(Uuid, String, Uuid),
    #[error("Tenant '{0}' request is being redirected to the National Cloud '{1}'.")]
    OtherCloud(String, String),
    #[error("Confidential Client is not supported in Cross Cloud request.")]
    CrossCloud,
    #[error("The request body must contain the following parameter: 'client_assertion' or 'client_secret'.")]
    NoProof,
    #[error(
        "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type."
    )]
    NoCredentialOfClient,
    #[error(
        "The provided client secret keys for app '{0}' are expired. Visit the Azure portal to create new keys for your app: https://aka.ms/NewClientSecret, or consider using certificate credentials for added security: https://aka.ms/certCreds."
    )]
    SecretExpired(Uuid),
    #[error(
        "Invalid JWT token. No certificate SHA-1 thumbprint, certificate SHA-256 thumbprint, nor keyId specified in token header."
    )]
    NoThumbprint,
    #[error(
        "The certificate with identifier used to sign the client assertion is not registered on application. [Reason - The key was not found., Thumbprint of key used by client: '{thumbprint}', Please visit the Azure Portal, Graph Explorer or directly use MS Graph to see configured keys for app Id '{client}'.]"
    )]
    CertificateUnknown { thumbprint: String, client: Uuid },
    #[error(
        "The certificate with identifier used to sign the client assertion is expired on application. [Reason - The key used is expired., Found key 'Start={start}, End={end}', Please visit the Azure Portal, Graph Explorer or directly use MS Graph to see configured keys for app Id '{client}'.]"
    )]
    CertificateExpired {
        start: String,
        end: String,
        client: Uuid,
    },
    #[error(
        "Client assertion audience claim does not match Realm issuer. Review the documentation at https://learn.microsoft.com/entra/identity-platform/certificate-credentials ."
    )]
    Realm,
    #[error(
        "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '{0}'."
    )]
    Secret(Uuid),
    // Entra's own code for it is not documented; this is that of requests that are not valid.
    #[error("The provided client_assertion_type '{0}' is not supported.")]
    AssertionType(String),
    #[error("JWT token is invalid or malformed.")]
    Malformed,
    #[error(
        "Client assertion application identifier doesn't match 'client_id' parameter. Review the documentation at https://learn.microsoft.com/entra/identity-platform/certificate-credentials ."
    )]
    SelfMade,
    // "An expected field isn't present in the credential", says the reference of codes; which fields those are, it does
    // not say.
    #[error(
        "The required field '{0}' is missing from the credential. Ensure that you have all the necessary parameters for the login request."
    )]
    Field(&'static str),
    #[error("AAD-issued tokens may not be used for federated identity flows.")]
    OwnToken,
    #[error(
        "Entra ID tokens issued by issuer '{0}' may not be used for federated identity credential flows for applications or managed identities registered in this tenant."
    )]
    OtherDirectory(String),
    #[error(
        "Token obtained using another federated identity credential may not be used as federated identity credential."
    )]
    FederatedTwice,
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
    Unreachable(Unreachable),
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
    #[error(
        "Access has been blocked by Conditional Access policies. The access policy does not allow token issuance."
    )]
    ConditionalAccess,
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
            Self::DisabledInTenant(..) => 7_000_116,
            Self::NoProof => 7_000_218,
            Self::Secret(_) => 7_000_215,
            Self::OtherCloud(..) => 90_038,
            Self::CrossCloud => 900_382,
            Self::NoCredentialOfClient => 7_000_216,
            Self::SecretExpired(_) => 7_000_222,
            Self::NoThumbprint => 5_002_723,
            Self::CertificateUnknown { .. } | Self::CertificateExpired { .. } | Self::Signature => 700_027,
            Self::Realm => 700_023,
            Self::AssertionType(_) => 90_023,
            Self::Malformed => 50_027,
            Self::SelfMade => 700_021,
            Self::Field(_) => 90_014,
            Self::OwnToken => 700_222,
            Self::OtherDirectory(_) => 700_236,
            Self::FederatedTwice => 700_231,
            Self::NoCredentials(..) => 70_025,
            Self::Issuer(_) => 700_211,
            Self::Audience(_) => 700_212,
            Self::Subject(_) => 700_213,
            Self::SubjectCase(_) => 7_002_138,
            Self::IssuerForm(_) => 70_022,
            Self::Lifetime(..) => 70_023,
            Self::Time { .. } => 700_024,
            Self::Unreachable(Unreachable::NoAnswer) => 90_061,
            Self::Unreachable(Unreachable::Status) => 50_166,
            Self::Unreachable(Unreachable::Content) => 501_661,
            Self::Metadata(_) => 70_024,
            Self::Published { .. } => 700_221,
            Self::Key { .. } => 7_000_272,
            Self::ConditionalAccess => 53_003,
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
            | Self::OtherCloud(..)
            | Self::CrossCloud
            | Self::Missing(_)
            | Self::AssertionType(_)
            | Self::Malformed
            | Self::Field(_)
            | Self::IssuerForm(_)
            | Self::Unreachable(_)
            | Self::Metadata(_) => ("invalid_request", StatusCode::BAD_REQUEST),
            Self::UnknownInstance => ("invalid_instance", StatusCode::BAD_REQUEST),
            Self::GrantType(_) => ("unsupported_grant_type", StatusCode::BAD_REQUEST),
            Self::Scope(_) => ("invalid_scope", StatusCode::BAD_REQUEST),
            Self::Resource(..) => ("invalid_resource", StatusCode::BAD_REQUEST),
            Self::Application(..) | Self::Disabled(..) | Self::DisabledInTenant(..) => {
                ("unauthorized_client", StatusCode::BAD_REQUEST)
            }
            Self::NoProof
            | Self::NoCredentialOfClient
            | Self::Secret(_)
            | Self::SecretExpired(_)
            | Self::NoThumbprint
            | Self::CertificateUnknown { .. }
            | Self::CertificateExpired { .. }
            | Self::Realm
            | Self::SelfMade
            | Self::OwnToken
            | Self::OtherDirectory(_)
            | Self::FederatedTwice
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
            Self::ConditionalAccess => ("access_denied", StatusCode::BAD_REQUEST),
            Self::Transient => ("temporarily_unavailable", StatusCode::SERVICE_UNAVAILABLE),
        }
    }

    /// The answer as Entra writes it.
    pub(crate) fn reply(&self, call: &Call) -> Reply {
        let ((error, status), code) = (self.kind(), self.code());
        let mut body = body(code, error, &self.to_string(), call);
        if !matches!(self, Self::Unreachable(_)) {
            body["error_uri"] = format!("https://login.microsoftonline.com/error?code={code}").into();
        }
        Reply::json(status, body).with_code(format!("AADSTS{code}"))
    }
}

/// What Entra answers when it fails, for no fault of the caller; by this code if one is given.
pub(crate) fn outage(status: StatusCode, code: Option<u32>, call: &Call) -> Reply {
    let (usual, text) = match status {
        StatusCode::TOO_MANY_REQUESTS => (
            90_055,
            "The server has terminated the request due to excessive request rate.",
        ),
        _ => (90_033, "A transient error has occurred. Please try again."),
    };
    let code = code.unwrap_or(usual);
    let body = body(code, "temporarily_unavailable", text, call);
    Reply::json(status, body).with_code(format!("AADSTS{code}"))
}

/// The body of an answer that is no token, its text on one line.
fn body(code: u32, error: &str, text: &str, call: &Call) -> Value {
    let time = entra_time(call.now);
    let trace = Uuid::new_v4();
    let correlation = call
        .header("client-request-id")
        .and_then(|id| Uuid::parse_str(id).ok())
        .unwrap_or_else(Uuid::new_v4);
    json!({
        "error": error,
        "error_description":
            format!("AADSTS{code}: {text} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {time}"),
        "error_codes": [code],
        "timestamp": time,
        "trace_id": trace,
        "correlation_id": correlation,
    })
}
