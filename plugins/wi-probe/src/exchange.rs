//! The token exchange: a service account token goes to Entra, an access token comes back, or the refusal with
//! everything it says.

use crate::jwt::{AccessClaims, access_claims};
use crate::transport::{describe, shorten};
use reqwest::Url;
use serde::{Deserialize, Serialize};

/// What is exchanged, where and for what. It has no `Debug`: it holds the token.
#[derive(Clone, Copy)]
pub struct ExchangeRequest<'a> {
    /// Entra's address, with or without a trailing slash.
    pub authority: &'a Url,
    /// The tenant of the identity.
    pub tenant: &'a str,
    /// The client id of the identity.
    pub client_id: &'a str,
    /// The service account token.
    pub assertion: &'a str,
    /// What the access token is to open, such as `https://vault.azure.net/.default`.
    pub scope: &'a str,
}

/// An access token of Entra. It has no `Debug`: it must not reach a log.
#[derive(Clone)]
pub struct AccessToken(String);

impl AccessToken {
    /// Wraps a token.
    pub const fn new(token: String) -> Self {
        Self(token)
    }

    /// The token itself, for the one request that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What it says about itself; none when it is opaque.
    pub fn claims(&self) -> Option<AccessClaims> {
        access_claims(&self.0)
    }
}

/// Entra's refusal of an exchange.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EntraRefusal {
    /// The HTTP status; it has varied for one and the same code.
    pub status: u16,
    /// The OAuth error, such as `invalid_client`.
    pub error: String,
    /// The AADSTS numbers.
    pub codes: Vec<u32>,
    /// The message, without the lines of ids and time that end it.
    pub description: String,
    /// Entra's correlation id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// Entra's trace id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

impl std::fmt::Display for EntraRefusal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.codes.first() {
            Some(code) if !self.description.contains(&format!("AADSTS{code}")) => {
                write!(formatter, "AADSTS{code}: {}", self.description)
            }
            _ => formatter.write_str(&self.description),
        }
    }
}

impl EntraRefusal {
    /// `AADSTS…`, or the OAuth error where Entra gave no number.
    pub fn code(&self) -> String {
        let code = self.codes.first().map(|code| format!("AADSTS{code}"));
        code.unwrap_or_else(|| self.error.clone())
    }

    /// Whether a further try may succeed without anybody changing anything: what was just written is not yet
    /// known everywhere (minutes), Entra could not fetch the issuer's keys just now, or it asks for patience.
    pub fn may_pass(&self) -> bool {
        const PASSING: [u32; 15] = [
            70021, 700_211, 700_212, 700_213, 70025, 700_016, 7_000_272, 90061, 50166, 501_661, 90033, 90024,
            90055, 50196, 700_024,
        ];
        self.status == 429 || self.status >= 500 || self.codes.iter().any(|code| PASSING.contains(code))
    }
}

/// An exchange gave no token.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// Entra answered no.
    #[error("Entra refused the token exchange: {0}")]
    Refused(Box<EntraRefusal>),
    /// Entra could not be reached.
    #[error("cannot reach {host} for the token exchange: {why}")]
    Unreachable {
        /// The host that was tried.
        host: String,
        /// The chain of causes in one line.
        why: String,
    },
    /// The answer is not one of Entra's.
    #[error("the answer to the token exchange (HTTP {status}) is not Entra's")]
    Unreadable {
        /// The HTTP status.
        status: u16,
    },
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
}

#[derive(Deserialize)]
struct Refused {
    error: String,
    #[serde(default)]
    error_description: String,
    #[serde(default)]
    error_codes: Vec<u32>,
    correlation_id: Option<String>,
    trace_id: Option<String>,
}

/// Exchanges once; see [`EntraRefusal::may_pass`] for when to try again.
pub async fn exchange(
    http: &reqwest::Client,
    request: &ExchangeRequest<'_>,
) -> Result<AccessToken, ExchangeError> {
    let endpoint = token_endpoint(request.authority, request.tenant);
    let host = request.authority.host_str().unwrap_or_default().to_owned();
    let unreachable = |error: reqwest::Error| ExchangeError::Unreachable {
        host: host.clone(),
        why: describe(&error.without_url()),
    };
    let form = [
        ("client_id", request.client_id),
        ("grant_type", "client_credentials"),
        ("scope", request.scope),
        (
            "client_assertion_type",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        ),
        ("client_assertion", request.assertion),
    ];
    let reply = http
        .post(endpoint)
        .form(&form)
        .send()
        .await
        .map_err(unreachable)?;
    let status = reply.status();
    let body = reply.bytes().await.map_err(unreachable)?;
    read_reply(status.as_u16(), &body)
}

/// The meaning of Entra's reply.
fn read_reply(status: u16, body: &[u8]) -> Result<AccessToken, ExchangeError> {
    if (200..300).contains(&status) {
        let granted: Granted =
            serde_json::from_slice(body).map_err(|_| ExchangeError::Unreadable { status })?;
        return Ok(AccessToken(granted.access_token));
    }
    let refused: Refused = serde_json::from_slice(body).map_err(|_| ExchangeError::Unreadable { status })?;
    let codes = if refused.error_codes.is_empty() {
        code_of_text(&refused.error_description).into_iter().collect()
    } else {
        refused.error_codes
    };
    Err(ExchangeError::Refused(Box::new(EntraRefusal {
        status,
        error: refused.error,
        codes,
        description: shorten(message_of(&refused.error_description), 500),
        correlation_id: refused.correlation_id,
        trace_id: refused.trace_id,
    })))
}

fn token_endpoint(authority: &Url, tenant: &str) -> Url {
    let mut endpoint = authority.clone();
    if let Ok(mut segments) = endpoint.path_segments_mut() {
        segments
            .pop_if_empty()
            .extend([tenant, "oauth2", "v2.0", "token"]);
    }
    endpoint
}

/// The description without its last lines (`Trace ID: …`, `Correlation ID: …`, `Timestamp: …`).
fn message_of(description: &str) -> &str {
    let end = description.find("Trace ID:").unwrap_or(description.len());
    description[..end].trim()
}

fn code_of_text(description: &str) -> Option<u32> {
    let digits = description.strip_prefix("AADSTS")?;
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoint_follows_the_authority_with_and_without_slash() {
        for authority in [
            "https://login.microsoftonline.com",
            "https://login.microsoftonline.com/",
        ] {
            let endpoint = token_endpoint(&authority.parse().unwrap(), "t");
            assert_eq!(
                endpoint.as_str(),
                "https://login.microsoftonline.com/t/oauth2/v2.0/token"
            );
        }
    }

    #[test]
    fn a_refusal_keeps_codes_and_ids_and_drops_the_footer() {
        let body = br#"{"error":"invalid_client","error_description":"AADSTS700213: No match.\r\nTrace ID: x\r\nCorrelation ID: y\r\nTimestamp: z","error_codes":[700213],"trace_id":"x","correlation_id":"y"}"#;
        let Err(ExchangeError::Refused(refusal)) = read_reply(401, body) else {
            panic!("not a refusal")
        };
        assert_eq!(refusal.codes, [700_213]);
        assert_eq!(refusal.description, "AADSTS700213: No match.");
        assert_eq!(refusal.correlation_id.as_deref(), Some("y"));
        assert!(refusal.may_pass());
    }

    #[test]
    fn a_code_that_stands_only_in_the_text_is_found() {
        let body = br#"{"error":"invalid_request","error_description":"AADSTS90061: Request failed."}"#;
        let Err(ExchangeError::Refused(refusal)) = read_reply(400, body) else {
            panic!("not a refusal")
        };
        assert_eq!(refusal.codes, [90061]);
    }

    #[test]
    fn an_answer_of_somebody_else_is_unreadable() {
        for (status, body) in [(200, "<html>proxy</html>"), (502, "bad gateway")] {
            assert!(matches!(
                read_reply(status, body.as_bytes()),
                Err(ExchangeError::Unreadable { .. })
            ));
        }
    }
}
