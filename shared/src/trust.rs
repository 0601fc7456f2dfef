//! Which certificate authorities are believed, and the one place that builds HTTP clients.
//!
//! `--ca-file` adds roots to the system's: `SSL_CERT_FILE` would replace them on Linux and be ignored elsewhere.

use crate::args::AzureArgs;
use crate::env::{self, Env};
use rustls::RootCertStore;
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
    /// The roots that `--ca-file` names, else the environment.
    pub fn configured(args: &AzureArgs, env: &Env) -> Result<Self, TrustError> {
        Self::of_file(args.ca_file.as_deref(), env)
    }

    /// The roots of the PEM bundle that a flag names, else the environment; no file means no extra roots.
    pub fn of_file(named: Option<&Path>, env: &Env) -> Result<Self, TrustError> {
        let named = named.map(Path::to_owned);
        let Some(path) = named.or_else(|| env.path(env::azure::CA_FILE)) else {
            return Ok(Self::default());
        };
        let pem = match std::fs::read_to_string(&path) {
            Ok(pem) => pem,
            Err(source) => return Err(TrustError::Read { path, source }),
        };
        let der: Vec<Vec<u8>> = CertificateDer::pem_slice_iter(pem.as_bytes())
            .filter_map(Result::ok)
            .map(|certificate| certificate.as_ref().to_vec())
            .collect();
        if der.is_empty() {
            return Err(TrustError::NoCertificate { path });
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

    /// These roots beside a server's own, DER-encoded, or beside the system's when it names none. Nothing stands for the
    /// system's alone: without these roots the choice stays with the TLS stack.
    pub fn beside(&self, own: Option<Vec<Vec<u8>>>) -> Option<Vec<Vec<u8>>> {
        self.beside_or(own, system)
    }

    fn beside_or(
        &self,
        own: Option<Vec<Vec<u8>>>,
        system: impl FnOnce() -> Vec<Vec<u8>>,
    ) -> Option<Vec<Vec<u8>>> {
        if self.der.is_empty() {
            return own;
        }
        let mut roots = own.unwrap_or_else(system);
        roots.extend_from_slice(&self.der);
        Some(roots)
    }

    /// An HTTP client that believes the system's roots and these, follows no redirect (a token must not travel)
    /// and gives up on a request after `timeout`.
    pub fn http_client(&self, timeout: Duration) -> Result<reqwest::Client, TrustError> {
        Ok(self.builder(timeout)?.https_only(true).build()?)
    }

    /// The same for what carries no token, also by plain HTTP.
    pub fn open_http_client(&self, timeout: Duration) -> Result<reqwest::Client, TrustError> {
        Ok(self.builder(timeout)?.build()?)
    }

    fn builder(&self, timeout: Duration) -> Result<reqwest::ClientBuilder, TrustError> {
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
            .tls_certs_merge(certificates))
    }
}

/// An HTTP client for what this machine itself offers, on a link-local or loopback address: in plain HTTP and past any
/// proxy, as Azure's metadata service demands.
pub(crate) fn machine_client() -> Result<reqwest::Client, TrustError> {
    Ok(reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(Duration::from_secs(10))
        .build()?)
}

/// The system's roots, without those that the TLS stack cannot read: one of them must not spoil the others.
fn system() -> Vec<Vec<u8>> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::info!("some of the system's certificate authorities cannot be read: {error}");
    }
    let mut readable = RootCertStore::empty();
    found
        .certs
        .into_iter()
        .filter(|root| readable.add(root.clone()).is_ok())
        .map(|root| root.as_ref().to_vec())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_roots_come_beside_those_that_are_believed_anyway() {
        let extra = TrustedRoots {
            pem: None,
            der: vec![b"extra".to_vec()],
        };
        let system = || vec![b"system".to_vec()];
        let own = || Some(vec![b"own".to_vec()]);
        let texts = |roots: Option<Vec<Vec<u8>>>| -> Option<Vec<String>> {
            let text = |der: Vec<u8>| String::from_utf8(der).unwrap();
            roots.map(|roots| roots.into_iter().map(text).collect())
        };
        let both = |one: &str| Some(vec![one.to_owned(), "extra".to_owned()]);
        assert_eq!(texts(extra.beside_or(None, system)), both("system"));
        assert_eq!(texts(extra.beside_or(own(), system)), both("own"));
        let none = TrustedRoots::default();
        assert_eq!(none.beside_or(None, system), None);
        assert_eq!(none.beside_or(own(), system), own());
    }
}
