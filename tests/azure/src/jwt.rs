//! JSON Web Tokens by RSA, as far as Entra uses them: taken apart, verified, signed.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{
    KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RSA_PSS_2048_8192_SHA256,
    RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::SignedDuration;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

/// No key could be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a signing key")]
pub struct KeyError;

/// A token taken apart; nothing about it is verified.
pub(crate) struct Jwt {
    pub(crate) header: Map<String, Value>,
    pub(crate) claims: Map<String, Value>,
    signed: String,
    signature: Vec<u8>,
}

impl Jwt {
    /// Takes a token apart; none if it is no token.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let (header, claims, signature) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let object = |part: &str| match serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()? {
            Value::Object(map) => Some(map),
            _ => None,
        };
        Some(Self {
            header: object(header)?,
            claims: object(claims)?,
            signed: format!("{header}.{claims}"),
            signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
        })
    }

    /// A claim that is a string.
    pub(crate) fn text(&self, claim: &str) -> Option<&str> {
        self.claims.get(claim)?.as_str()
    }

    /// A claim that is a time, in milliseconds. It may have a fraction of a second.
    pub(crate) fn time(&self, claim: &str) -> Option<i64> {
        let claim = self.claims.get(claim)?;
        if let Some(seconds) = claim.as_i64() {
            return Some(seconds.saturating_mul(1000));
        }
        let since = SignedDuration::try_from_secs_f64(claim.as_f64()?).ok()?;
        i64::try_from(since.as_millis()).ok()
    }

    /// The audiences, whether there is one or a list.
    pub(crate) fn audiences(&self) -> Vec<&str> {
        match self.claims.get("aud") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// A header field that is a string.
    pub(crate) fn header_text(&self, field: &str) -> Option<&str> {
        self.header.get(field)?.as_str()
    }

    /// Whether this key signed it, by RS256 or PS256.
    pub(crate) fn is_signed_by(&self, key: &PublicKey) -> bool {
        let algorithm = match self.header_text("alg") {
            Some("RS256") => &RSA_PKCS1_2048_8192_SHA256,
            Some("PS256") => &RSA_PSS_2048_8192_SHA256,
            _ => return false,
        };
        RsaPublicKeyComponents {
            n: &key.modulus,
            e: &key.exponent,
        }
        .verify(algorithm, self.signed.as_bytes(), &self.signature)
        .is_ok()
    }
}

/// An RSA public key.
#[derive(Debug, Clone)]
pub(crate) struct PublicKey {
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

impl PublicKey {
    /// A key of these numbers, the most significant byte first.
    pub(crate) fn new(modulus: &[u8], exponent: &[u8]) -> Self {
        // DER puts a zero before a number whose first bit is set.
        let bare = |number: &[u8]| number.iter().skip_while(|byte| **byte == 0).copied().collect();
        Self {
            modulus: bare(modulus),
            exponent: bare(exponent),
        }
    }

    /// A key of a JWKS; none if it is no RSA key.
    pub(crate) fn from_jwk(jwk: &Value) -> Option<Self> {
        let part = |name: &str| URL_SAFE_NO_PAD.decode(jwk.get(name)?.as_str()?).ok();
        if jwk.get("kty")?.as_str()? != "RSA" {
            return None;
        }
        Some(Self {
            modulus: part("n")?,
            exponent: part("e")?,
        })
    }
}

/// A key pair with its key id.
pub(crate) struct SigningKey {
    pair: KeyPair,
    public: PublicKey,
    kid: String,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

impl SigningKey {
    /// A new key.
    pub(crate) fn generate() -> Result<Self, KeyError> {
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| KeyError)?;
        let modulus = pair
            .public_key()
            .modulus()
            .big_endian_without_leading_zero()
            .to_vec();
        let exponent = pair
            .public_key()
            .exponent()
            .big_endian_without_leading_zero()
            .to_vec();
        let kid = URL_SAFE_NO_PAD.encode(&Sha256::digest(&modulus)[..20]);
        Ok(Self {
            pair,
            public: PublicKey { modulus, exponent },
            kid,
        })
    }

    /// The public part.
    pub(crate) fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The key id.
    pub(crate) fn kid(&self) -> &str {
        &self.kid
    }

    /// The public part as a JWKS shows it.
    pub(crate) fn jwk(&self) -> Value {
        json!({
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid, "x5t": self.kid,
            "n": URL_SAFE_NO_PAD.encode(&self.public.modulus),
            "e": URL_SAFE_NO_PAD.encode(&self.public.exponent),
        })
    }

    /// A token with these claims.
    pub(crate) fn sign(&self, claims: &Value) -> Result<String, KeyError> {
        let header = json!({"typ": "JWT", "alg": "RS256", "x5t": self.kid, "kid": self.kid});
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&header), encode(claims));
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                signed.as_bytes(),
                &mut signature,
            )
            .map_err(|_| KeyError)?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_that_signed_verifies() {
        let (key, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let text = key
            .sign(&json!({"iss": "x", "aud": ["a", "b"], "exp": 7, "nbf": 1.25}))
            .unwrap();
        let token = Jwt::parse(&text).unwrap();
        assert!(token.is_signed_by(key.public()) && !token.is_signed_by(other.public()));
        assert!(token.is_signed_by(&PublicKey::from_jwk(&key.jwk()).unwrap()));
        assert_eq!(
            (token.text("iss"), token.audiences(), token.time("exp")),
            (Some("x"), vec!["a", "b"], Some(7000))
        );
        assert_eq!(token.time("nbf"), Some(1250));
        assert_eq!(token.header_text("kid"), Some(key.kid()));
        let (signed, signature) = text.rsplit_once('.').unwrap();
        let (header, _) = signed.split_once('.').unwrap();
        let forged = format!(
            "{header}.{}.{signature}",
            URL_SAFE_NO_PAD.encode(r#"{"iss":"y"}"#)
        );
        assert!(!Jwt::parse(&forged).unwrap().is_signed_by(key.public()));
    }

    #[test]
    fn what_is_no_token_is_none() {
        for text in ["", "a.b", "a.b.c", "a.b.c.d", "W10.e30.AA"] {
            assert!(Jwt::parse(text).is_none(), "{text}");
        }
    }
}
