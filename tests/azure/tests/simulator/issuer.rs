//! A small OIDC issuer, as a cluster is one: a discovery document, keys, tokens. Nothing in it comes from the
//! simulator but the certificate.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use axum::routing::get;
use axum::{Json, Router};
use axum_server::Handle;
use azure_sim::Authority;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

pub(crate) const AUDIENCE: &str = "api://AzureADTokenExchange";
pub(crate) const SUBJECT: &str = "system:serviceaccount:shop:orders";

/// A key that signs. It is made when it is first needed: that takes longer than most tests, and many need none.
pub(crate) struct Key {
    kid: String,
    pair: LazyLock<Pair>,
}

struct Pair {
    /// The private key, PKCS #8.
    pem: String,
    encoding: EncodingKey,
    modulus: String,
    exponent: String,
}

impl Pair {
    fn generate() -> Self {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(der.as_ref())
        );
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        Self {
            encoding: EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap(),
            pem,
            modulus: part(pair.public_key().modulus().big_endian_without_leading_zero()),
            exponent: part(pair.public_key().exponent().big_endian_without_leading_zero()),
        }
    }
}

impl Key {
    pub(crate) fn new(kid: &str) -> Self {
        Self {
            kid: kid.to_owned(),
            pair: LazyLock::new(Pair::generate),
        }
    }

    /// The private key, PKCS #8.
    pub(crate) fn pem(&self) -> &str {
        &self.pair.pem
    }

    fn jwk(&self) -> Value {
        json!({
            "use": "sig", "kty": "RSA", "kid": self.kid, "alg": "RS256",
            "n": self.pair.modulus, "e": self.pair.exponent,
        })
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        let header = Header {
            kid: Some(self.kid.clone()),
            ..Header::new(Algorithm::RS256)
        };
        jsonwebtoken::encode(&header, claims, &self.pair.encoding).unwrap()
    }
}

struct Published {
    issuer: String,
    without: Option<&'static str>,
    answer: Option<(u16, &'static str)>,
    key: Arc<Key>,
    requests: u32,
}

/// The issuer; it answers until it is dropped.
pub(crate) struct Issuer {
    /// With a trailing slash, as AKS has it.
    pub(crate) url: String,
    pub(crate) key: Arc<Key>,
    published: Arc<Mutex<Published>>,
    handle: Handle<SocketAddr>,
}

impl Issuer {
    /// Starts with a certificate by this authority.
    pub(crate) fn start(authority: &Authority) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let url = format!("https://{address}/");
        let key = Arc::new(Key::new("key-1"));
        let published = Published {
            issuer: url.clone(),
            without: None,
            answer: None,
            key: Arc::clone(&key),
            requests: 0,
        };
        let published = Arc::new(Mutex::new(published));
        let (for_document, for_keys) = (Arc::clone(&published), Arc::clone(&published));
        let keys_at = format!("{url}openid/v1/jwks");
        let document = move || async move {
            let mut published = for_document.lock().unwrap();
            published.requests += 1;
            if let Some((status, text)) = published.answer {
                return (StatusCode::from_u16(status).unwrap(), text).into_response();
            }
            let mut document = json!({
                "issuer": published.issuer, "jwks_uri": keys_at, "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["RS256"],
            });
            if let (Some(field), Some(fields)) = (published.without, document.as_object_mut()) {
                fields.remove(field);
            }
            Json(document).into_response()
        };
        let keys = move || async move {
            let key = Arc::clone(&for_keys.lock().unwrap().key);
            Json(json!({"keys": [key.jwk()]}))
        };
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(document))
            .route("/openid/v1/jwks", get(keys));
        let config = authority.leaf(address.ip()).unwrap().server().unwrap();
        let handle = Handle::new();
        let server = axum_server::from_tcp_rustls(listener, config)
            .unwrap()
            .handle(handle.clone());
        tokio::spawn(server.serve(router.into_make_service()));
        Self {
            url,
            key,
            published,
            handle,
        }
    }

    /// Says another issuer in its document than its address.
    pub(crate) fn publish_as(&self, issuer: &str) {
        issuer.clone_into(&mut self.published.lock().unwrap().issuer);
    }

    /// Leaves a field out of its document.
    pub(crate) fn publish_without(&self, field: &'static str) {
        self.published.lock().unwrap().without = Some(field);
    }

    /// Answers this in the place of its document.
    pub(crate) fn answer(&self, status: u16, text: &'static str) {
        self.published.lock().unwrap().answer = Some((status, text));
    }

    /// Answers its document again.
    pub(crate) fn recover(&self) {
        self.published.lock().unwrap().answer = None;
    }

    /// Signs by a new key from now on, and publishes only that.
    pub(crate) fn rotate(&mut self, kid: &str) -> Arc<Key> {
        let key = Arc::new(Key::new(kid));
        self.published.lock().unwrap().key = Arc::clone(&key);
        std::mem::replace(&mut self.key, key)
    }

    /// How often the document was asked for.
    pub(crate) fn requests(&self) -> u32 {
        self.published.lock().unwrap().requests
    }

    /// What a projected service account token says.
    pub(crate) fn claims(&self) -> Value {
        let now = now();
        json!({
            "iss": self.url, "sub": SUBJECT, "aud": [AUDIENCE], "iat": now, "nbf": now, "exp": now + 3600,
            "kubernetes.io": {"namespace": "shop", "serviceaccount": {"name": "orders"}},
        })
    }

    /// A token with some claims changed.
    pub(crate) fn token_with(&self, change: &Value) -> String {
        let mut claims = self.claims();
        claims
            .as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        self.key.sign(&claims)
    }

    /// A proper token.
    pub(crate) fn token(&self) -> String {
        self.token_with(&json!({}))
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.handle.shutdown();
    }
}

/// Seconds since the epoch.
pub(crate) fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}
