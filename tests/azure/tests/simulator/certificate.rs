//! A certificate that an application registered, with its key.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, date_time_ymd};
use serde_json::Value;

use crate::issuer::Key;

/// It signs itself.
pub(crate) struct Certificate {
    pub(crate) pem: String,
    /// The private key, PKCS #8, for clients that sign themselves.
    pub(crate) key_pem: String,
    der: Vec<u8>,
    key: EncodingKey,
}

impl Certificate {
    /// Valid from 2020 until this year begins.
    pub(crate) fn until(year: i32) -> Self {
        let key = Key::new("certificate");
        let pair = KeyPair::from_pkcs8_pem_and_sign_algo(key.pem(), &PKCS_RSA_SHA256).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let certificate = params.self_signed(&pair).unwrap();
        Self {
            pem: certificate.pem(),
            der: certificate.der().to_vec(),
            key: EncodingKey::from_rsa_pem(key.pem().as_bytes()).unwrap(),
            key_pem: key.pem().to_owned(),
        }
    }

    /// Its header, as the libraries for signing in make it.
    pub(crate) fn header(&self, algorithm: Algorithm) -> Header {
        let thumbprint = |algorithm| Some(URL_SAFE_NO_PAD.encode(digest(algorithm, &self.der)));
        let mut header = Header::new(algorithm);
        match algorithm {
            Algorithm::PS256 => header.x5t_s256 = thumbprint(&SHA256),
            _ => header.x5t = thumbprint(&SHA1_FOR_LEGACY_USE_ONLY),
        }
        header
    }

    pub(crate) fn sign(&self, header: &Header, claims: &Value) -> String {
        jsonwebtoken::encode(header, claims, &self.key).unwrap()
    }
}
