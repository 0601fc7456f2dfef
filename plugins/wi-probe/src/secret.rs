//! Reading one secret of a vault, to prove that it can be read. The value is discarded where it arrives.

use crate::exchange::AccessToken;
use crate::transport::{describe, shorten};
use reqwest::Url;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

/// The data plane's version; it stays supported when the control plane's older ones retire.
const API_VERSION: &str = "7.4";

/// How the reading of one secret ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum SecretOutcome {
    /// The vault gave it.
    Read,
    /// The vault answered no.
    Refused(VaultRefusal),
    /// The vault could not be reached.
    Unreachable {
        /// The chain of causes in one line.
        why: String,
    },
    /// The answer is not a vault's.
    Unreadable {
        /// The HTTP status.
        status: u16,
    },
}

/// A vault's refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VaultRefusal {
    /// The HTTP status.
    pub status: u16,
    /// `Forbidden`, `SecretNotFound`, `Unauthorized` …
    pub code: String,
    /// The inner code, which tells the kinds of 403 apart: `ForbiddenByRbac`, `AccessDenied`, `ForbiddenByFirewall` …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inner_code: Option<String>,
    /// The message.
    pub message: String,
    /// The vault's request id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl SecretOutcome {
    /// Whether a further try may succeed without anybody changing anything: a role assignment takes up to ten
    /// minutes to be known everywhere.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Read => false,
            Self::Unreachable { .. } | Self::Unreadable { .. } => true,
            Self::Refused(refusal) => {
                refusal.status == 429
                    || refusal.status >= 500
                    || refusal.inner_code.as_deref() == Some("ForbiddenByRbac")
            }
        }
    }
}

#[derive(Deserialize)]
struct Secret {
    #[serde(rename = "value")]
    _value: IgnoredAny,
}

#[derive(Deserialize)]
struct ErrorReply {
    error: ErrorBody,
}

#[derive(Deserialize)]
struct ErrorBody {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
    innererror: Option<InnerError>,
}

#[derive(Deserialize)]
struct InnerError {
    code: Option<String>,
}

/// Reads the newest version of a secret once. `vault_uri` is the vault's address as ARM tells it.
pub async fn read(http: &reqwest::Client, vault_uri: &Url, name: &str, token: &AccessToken) -> SecretOutcome {
    let unreachable = |error: reqwest::Error| SecretOutcome::Unreachable {
        why: describe(&error.without_url()),
    };
    let request = http.get(secret_url(vault_uri, name)).bearer_auth(token.expose());
    let reply = match request.send().await {
        Ok(reply) => reply,
        Err(error) => return unreachable(error),
    };
    let status = reply.status().as_u16();
    let request_id = reply
        .headers()
        .get("x-ms-request-id")
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    match reply.bytes().await {
        Ok(body) => read_reply(status, &body, request_id),
        Err(error) => unreachable(error),
    }
}

fn read_reply(status: u16, body: &[u8], request_id: Option<String>) -> SecretOutcome {
    if (200..300).contains(&status) {
        return match serde_json::from_slice::<Secret>(body) {
            Ok(_) => SecretOutcome::Read,
            Err(_) => SecretOutcome::Unreadable { status },
        };
    }
    match serde_json::from_slice::<ErrorReply>(body) {
        Ok(reply) => SecretOutcome::Refused(VaultRefusal {
            status,
            code: reply.error.code,
            inner_code: reply.error.innererror.and_then(|inner| inner.code),
            message: shorten(reply.error.message.trim(), 500),
            request_id,
        }),
        Err(_) => SecretOutcome::Unreadable { status },
    }
}

fn secret_url(vault_uri: &Url, name: &str) -> Url {
    let mut url = vault_uri.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(["secrets", name]);
    }
    url.set_query(Some(&format!("api-version={API_VERSION}")));
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_comes_from_the_vault_uri() {
        let url = secret_url(&"https://kv.vault.azure.net/".parse().unwrap(), "db-password");
        assert_eq!(
            url.as_str(),
            "https://kv.vault.azure.net/secrets/db-password?api-version=7.4"
        );
    }

    #[test]
    fn the_value_is_not_kept() {
        let outcome = read_reply(200, br#"{"value":"hunter2","id":"x"}"#, None);
        assert_eq!(outcome, SecretOutcome::Read);
        assert!(!serde_json::to_string(&outcome).unwrap().contains("hunter2"));
    }

    #[test]
    fn a_success_without_a_value_is_no_success() {
        assert_eq!(
            read_reply(200, b"<html>", None),
            SecretOutcome::Unreadable { status: 200 }
        );
        assert_eq!(
            read_reply(200, b"{}", None),
            SecretOutcome::Unreadable { status: 200 }
        );
    }

    #[test]
    fn a_refusal_tells_its_kind() {
        let body =
            br#"{"error":{"code":"Forbidden","message":"no","innererror":{"code":"ForbiddenByRbac"}}}"#;
        let outcome = read_reply(403, body, Some("r".into()));
        let SecretOutcome::Refused(refusal) = &outcome else {
            panic!("not a refusal")
        };
        assert_eq!(refusal.inner_code.as_deref(), Some("ForbiddenByRbac"));
        assert!(outcome.may_pass());
    }
}
