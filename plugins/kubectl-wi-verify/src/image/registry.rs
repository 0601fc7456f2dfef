//! The OCI distribution API, as far as a push needs it:
//! <https://github.com/opencontainers/distribution-spec/blob/main/spec.md#push>.

use super::archive::{Archive, Descriptor};
use super::credentials::Credentials;
use super::reference::Reference;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, LOCATION, WWW_AUTHENTICATE};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use std::collections::BTreeMap;

/// A push did not end well.
#[derive(Debug, thiserror::Error)]
pub(super) enum RegistryError {
    /// The registry cannot be reached.
    #[error("cannot reach {host}")]
    Unreachable {
        /// The host.
        host: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The registry said no.
    #[error("{host} refused to {action} (HTTP {status}){message}")]
    Refused {
        /// The host.
        host: String,
        /// What was asked for.
        action: &'static str,
        /// The status.
        status: u16,
        /// What it said, with a colon before it; nothing when it said nothing.
        message: String,
    },
    /// An answer makes no sense.
    #[error("{host} is no registry: {why}")]
    NoRegistry {
        /// The host.
        host: String,
        /// What is wrong with its answer.
        why: &'static str,
    },
}

impl RegistryError {
    /// Whether signing in otherwise may help.
    pub(super) const fn is_about_rights(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                status: 401 | 403,
                ..
            }
        )
    }
}

/// What a push came to.
pub(super) struct Pushed {
    /// The digest of the image's manifest.
    pub(super) digest: String,
    /// How many blobs the registry did not have yet.
    pub(super) blobs: usize,
}

/// A repository of a registry.
pub(super) struct Registry {
    http: reqwest::Client,
    reference: Reference,
    credentials: Credentials,
    /// What the registry accepted last.
    authorization: Option<HeaderValue>,
}

#[derive(Deserialize)]
struct TokenReply {
    // One of the two; registries differ.
    token: Option<String>,
    access_token: Option<String>,
}

#[derive(Deserialize)]
struct Errors {
    errors: Vec<OneError>,
}

#[derive(Deserialize)]
struct OneError {
    code: String,
    #[serde(default)]
    message: String,
}

impl Registry {
    pub(super) fn new(http: reqwest::Client, reference: &Reference, credentials: Credentials) -> Self {
        Self {
            http,
            reference: reference.clone(),
            credentials,
            authorization: None,
        }
    }

    /// Pushes what the registry does not have yet, then the manifest under the tag.
    pub(super) async fn push(
        &mut self,
        archive: &Archive,
        say: &(dyn Fn(&str) + Sync),
    ) -> Result<Pushed, RegistryError> {
        let mut blobs = 0;
        for (index, blob) in archive.blobs.iter().enumerate() {
            say(&format!("blob {} of {}", index + 1, archive.blobs.len()));
            if !self.has(blob).await? {
                self.upload(blob, archive.bytes(blob)).await?;
                blobs += 1;
            }
        }
        say("manifest");
        for platform in &archive.platforms {
            self.name(platform, &platform.digest, archive).await?;
        }
        let tag = self.reference.tag.clone();
        self.name(&archive.manifest, &tag, archive).await?;
        Ok(Pushed {
            digest: archive.manifest.digest.clone(),
            blobs,
        })
    }

    /// Puts a manifest under its digest or a tag.
    async fn name(
        &mut self,
        manifest: &Descriptor,
        name: &str,
        archive: &Archive,
    ) -> Result<(), RegistryError> {
        let url = self.url(&format!("manifests/{name}"))?;
        let reply = self
            .send(Method::PUT, url, |request| {
                request
                    .header(CONTENT_TYPE, manifest.media_type.as_str())
                    .body(archive.bytes(manifest).to_vec())
            })
            .await?;
        self.demand(reply, "take the manifest").await.map(|_| ())
    }

    async fn has(&mut self, blob: &Descriptor) -> Result<bool, RegistryError> {
        let url = self.url(&format!("blobs/{}", blob.digest))?;
        let reply = self.send(Method::HEAD, url, |request| request).await?;
        match reply.status() {
            StatusCode::NOT_FOUND => Ok(false),
            _ => self
                .demand(reply, "tell whether it has a blob")
                .await
                .map(|_| true),
        }
    }

    async fn upload(&mut self, blob: &Descriptor, bytes: &[u8]) -> Result<(), RegistryError> {
        let url = self.url("blobs/uploads/")?;
        let reply = self.send(Method::POST, url.clone(), |request| request).await?;
        let reply = self.demand(reply, "begin an upload").await?;
        let place = reply
            .headers()
            .get(LOCATION)
            .and_then(|place| place.to_str().ok());
        let mut place = place
            .and_then(|place| url.join(place).ok())
            .ok_or_else(|| self.no_registry("it begins an upload and does not say where"))?;
        place.query_pairs_mut().append_pair("digest", &blob.digest);
        let reply = self
            .send(Method::PUT, place, |request| {
                request
                    .header(CONTENT_TYPE, "application/octet-stream")
                    .body(bytes.to_vec())
            })
            .await?;
        self.demand(reply, "take a blob").await.map(|_| ())
    }

    /// Sends a request; what the registry wants to know of the caller is told it once.
    async fn send(
        &mut self,
        method: Method,
        url: Url,
        complete: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, RegistryError> {
        // An upload may go to another host, which must not see the credential.
        let is_ours = url.host_str() == self.url("")?.host_str();
        let build = |authorization: Option<&HeaderValue>| {
            let request = complete(self.http.request(method.clone(), url.clone()));
            match authorization.filter(|_| is_ours) {
                Some(authorization) => request.header(AUTHORIZATION, authorization),
                None => request,
            }
        };
        let reply = build(self.authorization.as_ref()).send().await;
        let reply = reply.map_err(|source| self.unreachable(source))?;
        if reply.status() != StatusCode::UNAUTHORIZED || !is_ours {
            return Ok(reply);
        }
        let challenges: Vec<Challenge> = reply
            .headers()
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .filter_map(|value| Challenge::parse(value.to_str().ok()?))
            .collect();
        let Some(authorization) = self.answer(&challenges).await? else {
            return Ok(reply);
        };
        let again = build(Some(&authorization)).send().await;
        self.authorization = Some(authorization);
        again.map_err(|source| self.unreachable(source))
    }

    /// What to tell a registry that asks who is there; none when there is nothing to tell.
    async fn answer(&self, challenges: &[Challenge]) -> Result<Option<HeaderValue>, RegistryError> {
        for challenge in challenges {
            let header = match (challenge.scheme.as_str(), &self.credentials) {
                ("bearer", _) => self
                    .token(challenge)
                    .await?
                    .map(|token| format!("Bearer {token}")),
                ("basic", Credentials::Basic { user, password }) => {
                    use base64::Engine;
                    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
                    Some(format!("Basic {pair}"))
                }
                _ => None,
            };
            if let Some(header) = header
                && let Ok(mut header) = HeaderValue::from_str(&header)
            {
                header.set_sensitive(true);
                return Ok(Some(header));
            }
        }
        Ok(None)
    }

    /// A token of the place that a challenge names.
    async fn token(&self, challenge: &Challenge) -> Result<Option<String>, RegistryError> {
        let field = |name: &str| challenge.fields.get(name).map(String::as_str);
        let realm = challenge
            .realm()
            .ok_or_else(|| self.no_registry("it asks for a token and names no https address for it"))?;
        let scope = format!("repository:{}:pull,push", self.reference.repository);
        let service = field("service").unwrap_or_default();
        let request = match &self.credentials {
            // https://distribution.github.io/distribution/spec/auth/oauth/
            Credentials::Refresh(token) => self.http.post(realm).form(&[
                ("grant_type", "refresh_token"),
                ("refresh_token", token),
                ("client_id", "kubectl-wi"),
                ("service", service),
                ("scope", &scope),
            ]),
            Credentials::Basic { user, password } => self
                .http
                .get(realm)
                .query(&[("service", service), ("scope", &scope)])
                .basic_auth(user, Some(password)),
            Credentials::None => self
                .http
                .get(realm)
                .query(&[("service", service), ("scope", &scope)]),
        };
        let reply = request.send().await.map_err(|source| self.unreachable(source))?;
        let reply = self.demand(reply, "give a token").await?;
        let reply: TokenReply = reply.json().await.map_err(|source| self.unreachable(source))?;
        Ok(reply.token.or(reply.access_token))
    }

    /// The reply if it is a success.
    async fn demand(&self, reply: Response, action: &'static str) -> Result<Response, RegistryError> {
        let status = reply.status();
        if status.is_success() {
            return Ok(reply);
        }
        let body = reply.bytes().await.unwrap_or_default();
        let errors: Option<Errors> = serde_json::from_slice(&body).ok();
        let said = errors.and_then(|errors| errors.errors.into_iter().next());
        Err(RegistryError::Refused {
            host: self.reference.registry.clone(),
            action,
            status: status.as_u16(),
            message: said.map_or_else(String::new, |said| format!(": {} {}", said.code, said.message)),
        })
    }

    fn url(&self, path: &str) -> Result<Url, RegistryError> {
        let Reference {
            registry, repository, ..
        } = &self.reference;
        format!("https://{registry}/v2/{repository}/{path}")
            .parse()
            .map_err(|_| self.no_registry("its name is no host"))
    }

    fn unreachable(&self, source: reqwest::Error) -> RegistryError {
        RegistryError::Unreachable {
            host: self.reference.registry.clone(),
            // The address of an upload is signed.
            source: source.without_url(),
        }
    }

    fn no_registry(&self, why: &'static str) -> RegistryError {
        RegistryError::NoRegistry {
            host: self.reference.registry.clone(),
            why,
        }
    }
}

/// A challenge of a `WWW-Authenticate` header: `Bearer realm="…",service="…",scope="…"`.
#[derive(Debug, PartialEq, Eq)]
struct Challenge {
    scheme: String,
    fields: BTreeMap<String, String>,
}

impl Challenge {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, mut rest) = text.trim().split_once(' ')?;
        let mut fields = BTreeMap::new();
        while let Some((name, after)) = rest.split_once("=\"") {
            let (value, after) = after.split_once('"')?;
            let name = name.trim_matches([',', ' ']).to_ascii_lowercase();
            fields.insert(name, value.to_owned());
            rest = after;
        }
        Some(Self {
            scheme: scheme.to_ascii_lowercase(),
            fields,
        })
    }

    /// Where to ask for a token. A password is sent there, so it must be a place that nobody can listen to.
    fn realm(&self) -> Option<Url> {
        let realm: Url = self.fields.get("realm")?.parse().ok()?;
        (realm.scheme() == "https").then_some(realm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_read_with_commas_inside_its_values() {
        let text = r#"Bearer realm="https://r.io/oauth2/token",service="r.io", scope="repository:wi-probe:pull,push""#;
        let challenge = Challenge::parse(text).unwrap();
        assert_eq!(challenge.scheme, "bearer");
        assert_eq!(challenge.fields["realm"], "https://r.io/oauth2/token");
        assert_eq!(challenge.fields["scope"], "repository:wi-probe:pull,push");
        assert_eq!(Challenge::parse(r#"Basic realm="x""#).unwrap().scheme, "basic");
        assert_eq!(Challenge::parse("Negotiate"), None);
    }

    #[test]
    fn no_password_is_sent_where_anybody_can_listen() {
        let realm = |text| Challenge::parse(text).unwrap().realm();
        assert!(realm(r#"Bearer realm="https://r.io/token",service="r.io""#).is_some());
        assert_eq!(realm(r#"Bearer realm="http://r.io/token",service="r.io""#), None);
        assert_eq!(realm(r#"Bearer service="r.io""#), None);
    }
}
