//! What stands in the place of a password: tokens of a file or a GitHub Actions job, and assertions that a certificate
//! signs. Each is made anew for every token of Azure, because none of them lives longer than minutes.

use azure_core::credentials::Secret;
use azure_core::error::ErrorKind;
use azure_core::http::ClientMethodOptions;
use azure_identity::ClientAssertion;
use backon::{ExponentialBuilder, Retryable};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::SignatureScheme;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::SigningKey;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::fmt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use url::Url;

/// Seconds that a self-signed assertion is good for; Entra advises five to ten minutes (certificate-credentials).
const LIFETIME: u64 = 300;

type Made<'a> = Pin<Box<dyn Future<Output = azure_core::Result<String>> + Send + 'a>>;

fn failed(message: impl Into<String>) -> azure_core::Error {
    azure_core::Error::with_message(ErrorKind::Credential, message.into())
}

/// A federated token that somebody else keeps fresh in a file.
#[derive(Debug)]
pub(super) struct TokenFile(pub(super) PathBuf);

impl ClientAssertion for TokenFile {
    fn secret<'a, 'b, 'c>(&'a self, _: Option<ClientMethodOptions<'b>>) -> Made<'c>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(async move {
            let text = tokio::fs::read_to_string(&self.0)
                .await
                .map_err(|error| failed(format!("cannot read {}: {error}", self.0.display())))?;
            // Shells end files with a line break, and Entra takes it for a part of the token.
            let token = text.trim();
            if token.is_empty() {
                return Err(failed(format!("{} is empty", self.0.display())));
            }
            Ok(token.to_owned())
        })
    }
}

/// The OIDC token of a GitHub Actions job, asked from GitHub.
pub(super) struct GithubToken {
    url: Url,
    bearer: Secret,
    http: reqwest::Client,
}

impl fmt::Debug for GithubToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("GithubToken").finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct GithubAnswer {
    value: String,
}

impl GithubToken {
    /// `url` is what GitHub gives the job; the audience is added to it, as GitHub's documentation says.
    pub(super) fn new(
        url: &str,
        audience: &str,
        bearer: String,
        http: reqwest::Client,
    ) -> azure_core::Result<Self> {
        let mut url = Url::parse(url).map_err(|_| failed("the URL for the job's token is none"))?;
        url.query_pairs_mut().append_pair("audience", audience);
        Ok(Self {
            url,
            bearer: Secret::new(bearer),
            http,
        })
    }

    async fn ask(&self) -> Result<String, reqwest::Error> {
        let request = self.http.get(self.url.clone());
        let answer = request.bearer_auth(self.bearer.secret()).send().await?;
        let answer: GithubAnswer = answer.error_for_status()?.json().await?;
        Ok(answer.value)
    }
}

impl ClientAssertion for GithubToken {
    fn secret<'a, 'b, 'c>(&'a self, _: Option<ClientMethodOptions<'b>>) -> Made<'c>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(async move {
            let passing =
                |error: &reqwest::Error| error.status().is_none_or(|status| status.is_server_error());
            let answer = (|| self.ask())
                .retry(ExponentialBuilder::default().with_max_times(3))
                .when(passing)
                .await;
            answer.map_err(|error| {
                // The URL names the job's run; what failed is enough.
                let error = error.without_url();
                failed(format!(
                    "GitHub gave no token of the job: {}",
                    chain(&error).join(": ")
                ))
            })
        })
    }
}

fn chain(error: &dyn std::error::Error) -> Vec<String> {
    std::iter::once(error.to_string())
        .chain(crate::failure::causes(error))
        .collect()
}

/// An assertion that an application signs itself, with the private key of a certificate that Entra knows.
pub(super) struct Certificate {
    key: Arc<dyn SigningKey>,
    header: String,
    client: String,
    audience: String,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Certificate").finish_non_exhaustive()
    }
}

impl Certificate {
    /// Reads certificate and key of application `client` from a PEM file. `audience` is the token endpoint.
    pub(super) fn load(path: &Path, client: &str, audience: String) -> azure_core::Result<Self> {
        let place = path.display();
        let pem = std::fs::read(path).map_err(|error| failed(format!("cannot read {place}: {error}")))?;
        let certificate = CertificateDer::pem_slice_iter(&pem).next().and_then(Result::ok);
        let (Some(certificate), Ok(key)) = (certificate, PrivateKeyDer::from_pem_slice(&pem)) else {
            return Err(failed(format!(
                "{place} must hold a certificate and its unencrypted private key in PEM (from PKCS#12: openssl pkcs12 -in FILE.pfx -nodes -out FILE.pem)"
            )));
        };
        let key = any_supported_type(&key)
            .map_err(|error| failed(format!("the private key in {place} cannot be used: {error}")))?;
        let thumbprint = URL_SAFE_NO_PAD.encode(Sha256::digest(certificate.as_ref()));
        let header = json!({"alg": "PS256", "typ": "JWT", "x5t#S256": thumbprint});
        Ok(Self {
            key,
            header: URL_SAFE_NO_PAD.encode(header.to_string()),
            client: client.to_owned(),
            audience,
        })
    }

    /// The assertion for a moment, in seconds since 1970.
    fn signed(&self, now: u64) -> azure_core::Result<String> {
        let claims = json!({
            "aud": self.audience, "iss": self.client, "sub": self.client,
            "jti": uuid::Uuid::new_v4(), "iat": now, "nbf": now, "exp": now + LIFETIME,
        });
        let text = format!("{}.{}", self.header, URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signer = self
            .key
            .choose_scheme(&[SignatureScheme::RSA_PSS_SHA256])
            .ok_or_else(|| failed("Entra takes certificates with an RSA key only"))?;
        let signature = signer
            .sign(text.as_bytes())
            .map_err(|error| failed(format!("the certificate's key does not sign: {error}")))?;
        Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

impl ClientAssertion for Certificate {
    fn secret<'a, 'b, 'c>(&'a self, _: Option<ClientMethodOptions<'b>>) -> Made<'c>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Box::pin(std::future::ready(
            self.signed(now.unwrap_or(Duration::ZERO).as_secs()),
        ))
    }
}
