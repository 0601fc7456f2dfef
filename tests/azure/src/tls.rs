//! Certificates: one authority vouches for every address of the simulator.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use axum_server::tls_rustls::RustlsConfig;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivatePkcs8KeyDer;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file of the authority cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A key or certificate could not be made or understood.
    #[error("cannot use or make a certificate")]
    Certificate(#[from] rcgen::Error),
    /// The certificate could not be served.
    #[error("cannot serve a certificate")]
    Serve(#[from] rustls::Error),
}

/// The authority that signs the simulator's certificates, and that it trusts when it asks issuers.
pub struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

/// A certificate with its key, as a server needs it.
#[derive(Clone)]
pub struct Leaf {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaf").finish_non_exhaustive()
    }
}

impl Authority {
    /// A new one.
    pub fn generate() -> Result<Self, TlsError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "azure-sim");
        let pem = params.self_signed(&key)?.pem();
        Ok(Self {
            issuer: Issuer::from_ca_cert_pem(&pem, key)?,
            pem,
        })
    }

    /// The one in these PEM files.
    pub fn from_files(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let read = |path: &Path| {
            let name = path.display().to_string();
            std::fs::read_to_string(path).map_err(|source| TlsError::Read { path: name, source })
        };
        let pem = read(certificate)?;
        let key = KeyPair::from_pem(&read(key)?)?;
        Ok(Self {
            issuer: Issuer::from_ca_cert_pem(&pem, key)?,
            pem,
        })
    }

    /// Its certificate.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for a server at this address.
    pub fn leaf(&self, address: IpAddr) -> Result<Leaf, TlsError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.subject_alt_names = vec![SanType::IpAddress(address)];
        params
            .distinguished_name
            .push(DnType::CommonName, address.to_string());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Leaf {
            certificate: certificate.der().to_vec(),
            key: key.serialize_der(),
        })
    }
}

impl Leaf {
    /// The settings of a server that shows it.
    pub fn server(&self) -> Result<RustlsConfig, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let key = PrivatePkcs8KeyDer::from(self.key.clone());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone().into()], key.into())?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(RustlsConfig::from_config(Arc::new(config)))
    }
}
