//! Assertions that an application signed itself, by the key of a certificate that it registered.
//!
//! <https://learn.microsoft.com/entra/identity-platform/certificate-credentials>.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;
use x509_parser::pem::parse_x509_pem;
use x509_parser::public_key::PublicKey as CertifiedKey;

use super::error::Refusal;
use crate::clock::{Millis, entra_time};
use crate::jwt::{Jwt, PublicKey};
use crate::state::Principal;
use crate::world::World;

/// A certificate that an application registered.
#[derive(Debug, Clone)]
pub(crate) struct Certificate {
    /// SHA-1 and SHA-256 of the certificate.
    thumbprints: [Vec<u8>; 2],
    key: PublicKey,
    start: Millis,
    end: Millis,
}

impl Certificate {
    /// The certificate in this PEM text; none if there is none with an RSA key.
    pub(crate) fn from_pem(text: &str) -> Option<Self> {
        let (_, pem) = parse_x509_pem(text.as_bytes()).ok()?;
        let certificate = pem.parse_x509().ok()?;
        let CertifiedKey::RSA(key) = certificate.public_key().parsed().ok()? else {
            return None;
        };
        let thumbprint = |algorithm| digest(algorithm, &pem.contents).as_ref().to_vec();
        let validity = certificate.validity();
        Some(Self {
            thumbprints: [thumbprint(&SHA1_FOR_LEGACY_USE_ONLY), thumbprint(&SHA256)],
            key: PublicKey::new(key.modulus, key.exponent),
            start: validity.not_before.timestamp().saturating_mul(1000),
            end: validity.not_after.timestamp().saturating_mul(1000),
        })
    }
}

/// Whether the application proves by a certificate of its own that it is this principal.
pub(super) fn check(
    world: &World,
    now: Millis,
    tenant: Uuid,
    principal: &Principal,
    token: &Jwt,
) -> Result<(), Refusal> {
    let client = principal.client_id;
    let named = ["x5t#S256", "x5t", "kid"]
        .into_iter()
        .find_map(|field| token.header_text(field))
        .ok_or(Refusal::NoThumbprint)?;
    // MSAL for Python pads it.
    let thumbprint = URL_SAFE_NO_PAD
        .decode(named.trim_end_matches('='))
        .unwrap_or_default();
    let registered = world.state().certificates(client);
    let Some(certificate) = registered
        .iter()
        .find(|certificate| certificate.thumbprints.contains(&thumbprint))
    else {
        return Err(Refusal::CertificateUnknown {
            thumbprint: thumbprint
                .iter()
                .fold(String::new(), |hex, byte| format!("{hex}{byte:02X}")),
            client,
        });
    };
    if now < certificate.start || now >= certificate.end {
        return Err(Refusal::CertificateExpired {
            start: entra_time(certificate.start),
            end: entra_time(certificate.end),
            client,
        });
    }
    if !token.is_signed_by(&certificate.key) {
        return Err(Refusal::Signature);
    }
    super::assertion::check_time(token, now)?;
    let directory = world.directory(tenant);
    let endpoints = ["oauth2/v2.0/token", "oauth2/token", "v2.0"];
    let meant = endpoints.map(|end| format!("{}{tenant}/{end}", directory.authority));
    if token
        .audiences()
        .iter()
        .any(|audience| meant.iter().any(|own| own == audience))
    {
        Ok(())
    } else {
        Err(Refusal::Realm)
    }
}
