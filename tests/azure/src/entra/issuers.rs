//! The issuers' documents and keys, fetched over TLS and remembered for a while.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Mutex;

use super::error::{Refusal, Unreachable};
use crate::clock::Millis;
use crate::jwt::PublicKey;

/// How long keys are remembered. An unknown key id has them fetched at once.
const REMEMBERED: Millis = 5 * 60 * 1000;

/// What an issuer publishes.
#[derive(Debug, Clone)]
struct Published {
    at: Millis,
    issuer: String,
    keys: HashMap<String, PublicKey>,
}

/// All issuers that were asked for.
#[derive(Debug)]
pub(crate) struct Issuers {
    http: reqwest::Client,
    known: Mutex<HashMap<String, Published>>,
}

impl Issuers {
    /// Asks by this client, which trusts the issuers' certificates.
    pub(crate) fn new(http: reqwest::Client) -> Self {
        Self {
            http,
            known: Mutex::default(),
        }
    }

    /// Forgets everything, so that the next assertion has it fetched.
    pub(crate) async fn forget(&self) {
        self.known.lock().await.clear();
    }

    /// The key with this id of the issuer that a token names.
    pub(super) async fn key(&self, now: Millis, issuer: &str, kid: &str) -> Result<PublicKey, Refusal> {
        // Not held while asking: one dead issuer must not keep the others waiting.
        let remembered = self.known.lock().await.get(issuer).cloned();
        if let Some(published) = remembered
            && now - published.at < REMEMBERED
            && let Some(key) = published.keys.get(kid)
        {
            return Ok(key.clone());
        }
        let published = self.fetch(now, issuer).await?;
        let found = published.keys.get(kid).cloned();
        let own = published.issuer.clone();
        if own != issuer {
            return Err(Refusal::Published {
                token: issuer.to_owned(),
                published: own,
            });
        }
        self.known.lock().await.insert(issuer.to_owned(), published);
        found.ok_or_else(|| Refusal::Key {
            kid: kid.to_owned(),
            issuer: issuer.to_owned(),
        })
    }

    async fn fetch(&self, now: Millis, issuer: &str) -> Result<Published, Refusal> {
        let document = self
            .get(&format!(
                "{}/.well-known/openid-configuration",
                issuer.trim_end_matches('/')
            ))
            .await?;
        let field = |name: &'static str| {
            document
                .get(name)
                .and_then(Value::as_str)
                .map(str::to_owned)
                .ok_or(Refusal::Metadata(name))
        };
        let (own, keys_at) = (field("issuer")?, field("jwks_uri")?);
        let keys = self.get(&keys_at).await?;
        let keys = keys
            .get("keys")
            .and_then(Value::as_array)
            .ok_or(Refusal::Metadata("keys"))?;
        let keys = keys
            .iter()
            .filter_map(|jwk| Some((jwk.get("kid")?.as_str()?.to_owned(), PublicKey::from_jwk(jwk)?)))
            .collect();
        Ok(Published {
            at: now,
            issuer: own,
            keys,
        })
    }

    async fn get(&self, url: &str) -> Result<Value, Refusal> {
        let answer = async {
            let response = self.http.get(url).timeout(Duration::from_secs(10)).send();
            response.await?.error_for_status()?.json().await
        };
        answer.await.map_err(|error: reqwest::Error| {
            tracing::warn!(
                url,
                error = &error as &dyn std::error::Error,
                "issuer does not answer"
            );
            Refusal::Unreachable(if error.is_status() {
                Unreachable::Status
            } else if error.is_decode() {
                Unreachable::Content
            } else {
                Unreachable::NoAnswer
            })
        })
    }
}
