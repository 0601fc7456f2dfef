//! Which certificate authorities are believed, and the one place that builds HTTP clients.
//!
//! `--ca-file` adds roots to the system's: `SSL_CERT_FILE` would replace them on Linux and be ignored elsewhere.

use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Roots that are believed besides the system's.
#[derive(Debug, Clone, Default)]
pub struct TrustedRoots {
    pem: Option<String>,
    der: Vec<Vec<u8>>,
}

/// Extra roots could not be read, or no client could be made of them.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file cannot be read.
    #[error("cannot read the CA file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file holds no certificate in PEM.
    #[error("{} holds no PEM certificate", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The TLS stack refuses to start.
    #[error("cannot set up TLS")]
    Client(#[from] reqwest::Error),
}

impl TrustedRoots {
    /// Reads a PEM bundle; no file means no extra roots.
    pub fn load(path: Option<&Path>) -> Result<Self, TrustError> {
        let Some(path) = path else {
            return Ok(Self::default());
        };
        let pem = std::fs::read_to_string(path).map_err(|source| TrustError::Read {
            path: path.to_owned(),
            source,
        })?;
        let der: Vec<Vec<u8>> = CertificateDer::pem_slice_iter(pem.as_bytes())
            .filter_map(Result::ok)
            .map(|certificate| certificate.as_ref().to_vec())
            .collect();
        if der.is_empty() {
            return Err(TrustError::NoCertificate {
                path: path.to_owned(),
            });
        }
        Ok(Self { pem: Some(pem), der })
    }

    /// The extra roots as PEM, for a pod that must believe them too.
    pub fn pem(&self) -> Option<&str> {
        self.pem.as_deref()
    }

    /// The extra roots, DER-encoded.
    pub fn der(&self) -> &[Vec<u8>] {
        &self.der
    }

    /// An HTTP client that believes the system's roots and these, follows no redirect (a token must not travel)
    /// and gives up on a request after `timeout`.
    pub fn http_client(&self, timeout: Duration) -> Result<reqwest::Client, TrustError> {
        let certificates = self
            .der
            .iter()
            .map(|der| reqwest::Certificate::from_der(der))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(reqwest::Client::builder()
            .user_agent(concat!("kubectl-wi/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(20))
            .timeout(timeout)
            .https_only(true)
            .tls_certs_merge(certificates)
            .build()?)
    }
}
