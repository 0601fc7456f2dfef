//! What an issuer publishes: its discovery document and its keys, as Entra fetches them.

use crate::transport::describe;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// How the reading of an issuer's documents ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum DiscoveryOutcome {
    /// Both documents were read.
    Published {
        /// The issuer that the discovery document names.
        issuer: String,
        /// Where the keys are.
        jwks_uri: String,
        /// The `kid` of every key.
        key_ids: Vec<String>,
    },
    /// A document could not be fetched.
    Unreachable {
        /// The document's address.
        url: String,
        /// The chain of causes in one line.
        why: String,
    },
    /// A document was answered with something else than success.
    Answered {
        /// The document's address.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// A document is not what it should be.
    Unreadable {
        /// The document's address.
        url: String,
    },
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct Keys {
    keys: Vec<Key>,
}

#[derive(Deserialize)]
struct Key {
    kid: Option<String>,
}

/// Fetches the discovery document and the keys of an issuer.
pub async fn fetch(http: &reqwest::Client, issuer: &str) -> DiscoveryOutcome {
    match fetch_both(http, issuer).await {
        Ok(published) => published,
        Err(failure) => failure,
    }
}

async fn fetch_both(http: &reqwest::Client, issuer: &str) -> Result<DiscoveryOutcome, DiscoveryOutcome> {
    // OpenID Connect Discovery 1.0 §4.1: a trailing slash of the issuer is removed before the path is added.
    let url = format!(
        "{}/.well-known/openid-configuration",
        issuer.trim_end_matches('/')
    );
    let document: Document = get(http, &url).await?;
    let keys: Keys = get(http, &document.jwks_uri).await?;
    Ok(DiscoveryOutcome::Published {
        issuer: document.issuer,
        jwks_uri: document.jwks_uri,
        key_ids: keys.keys.into_iter().filter_map(|key| key.kid).collect(),
    })
}

async fn get<T: DeserializeOwned>(http: &reqwest::Client, url: &str) -> Result<T, DiscoveryOutcome> {
    let unreachable = |error: reqwest::Error| DiscoveryOutcome::Unreachable {
        url: url.to_owned(),
        why: describe(&error.without_url()),
    };
    let reply = http.get(url).send().await.map_err(unreachable)?;
    let status = reply.status();
    if !status.is_success() {
        return Err(DiscoveryOutcome::Answered {
            url: url.to_owned(),
            status: status.as_u16(),
        });
    }
    let body = reply.bytes().await.map_err(unreachable)?;
    serde_json::from_slice(&body).map_err(|_| DiscoveryOutcome::Unreadable { url: url.to_owned() })
}
