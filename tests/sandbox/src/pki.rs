//! Certificates and signing keys of a sandbox.
//!
//! One authority vouches for all servers, so that one file makes a client believe the whole sandbox. Clients are
//! vouched for by an authority per cluster: one cluster's administrator is nobody in another.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize, SanType,
};

use crate::files::{self, FileError};

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A key or certificate could not be made.
    #[error("cannot make a certificate for {subject}")]
    Make {
        /// Whom it is for.
        subject: String,
        /// Why.
        #[source]
        source: rcgen::Error,
    },
    /// A file failed.
    #[error(transparent)]
    File(#[from] FileError),
}

/// A certificate and its key, as PEM.
#[derive(Clone)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

impl Pair {
    /// Writes `NAME.pem` and `NAME.key` into a folder; their paths.
    pub fn write(&self, folder: &Path, name: &str) -> Result<(PathBuf, PathBuf), FileError> {
        let paths = (
            folder.join(format!("{name}.pem")),
            folder.join(format!("{name}.key")),
        );
        files::write(&paths.0, &self.certificate)?;
        files::write(&paths.1, &self.key)?;
        Ok(paths)
    }
}

/// An authority that signs certificates.
pub struct Authority {
    name: String,
    issuer: Issuer<'static, KeyPair>,
    pair: Pair,
}

impl Authority {
    /// A new authority.
    pub fn new(name: &str) -> Result<Self, PkiError> {
        let make = || {
            let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
            let mut parameters = CertificateParams::new(Vec::new())?;
            parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            parameters.distinguished_name.push(DnType::CommonName, name);
            let certificate = parameters.self_signed(&key)?;
            let pair = Pair {
                certificate: certificate.pem(),
                key: key.serialize_pem(),
            };
            Ok((Issuer::new(parameters, key), pair))
        };
        let (issuer, pair) = make().map_err(failed(name))?;
        Ok(Self {
            name: name.to_owned(),
            issuer,
            pair,
        })
    }

    /// Its own certificate and key.
    pub fn pair(&self) -> &Pair {
        &self.pair
    }

    /// A server's certificate, good for these addresses and names.
    pub fn server(&self, name: &str, addresses: &[Ipv4Addr], names: &[&str]) -> Result<Pair, PkiError> {
        let make = || {
            let mut parameters =
                CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>())?;
            let addresses = addresses
                .iter()
                .map(|address| SanType::IpAddress(IpAddr::V4(*address)));
            parameters.subject_alt_names.extend(addresses);
            parameters.distinguished_name.push(DnType::CommonName, name);
            parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            self.sign(parameters)
        };
        make().map_err(failed(name))
    }

    /// A client's certificate: user `name` in `group`.
    pub fn client(&self, name: &str, group: &str) -> Result<Pair, PkiError> {
        let make = || {
            let mut parameters = CertificateParams::new(Vec::new())?;
            parameters
                .distinguished_name
                .push(DnType::OrganizationName, group);
            parameters.distinguished_name.push(DnType::CommonName, name);
            parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            self.sign(parameters)
        };
        make().map_err(failed(name))
    }

    fn sign(&self, mut parameters: CertificateParams) -> Result<Pair, rcgen::Error> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.use_authority_key_identifier_extension = true;
        let certificate = parameters.signed_by(&key, &self.issuer)?;
        Ok(Pair {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// A new RSA key as PEM, which signs a cluster's service account tokens: Entra accepts RS256 alone.
pub fn signing_key() -> Result<String, PkiError> {
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048);
    Ok(key.map_err(failed("service accounts"))?.serialize_pem())
}

fn failed(subject: &str) -> impl FnOnce(rcgen::Error) -> PkiError {
    let subject = subject.to_owned();
    move |source| PkiError::Make { subject, source }
}
