//! The place that gives tokens for a registry, as those in the cloud have one: for a password, or for the token that a
//! sign-in left behind. <https://distribution.github.io/distribution/spec/auth/token/>,
//! <https://distribution.github.io/distribution/spec/auth/oauth/>.

use crate::{PAIR, REFRESH, REPOSITORY, SERVICE};
use axum::extract::{Form, Query, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use axum_server::tls_rustls::RustlsConfig;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Who signs.
pub(crate) const ISSUER: &str = "tokens.test";

type Fields = BTreeMap<String, String>;

/// It answers until the test ends.
#[derive(Clone)]
pub(crate) struct Tokens {
    address: String,
    signer: Arc<(Header, EncodingKey)>,
    /// To whom tokens were given, in order.
    given: Arc<Mutex<Vec<&'static str>>>,
}

impl Tokens {
    /// Starts it with the certificate `cert.pem` and the key `key.pem` of a folder, for its connections and its tokens.
    pub(crate) fn start(folder: &Path) -> Self {
        let certificate = std::fs::read_to_string(folder.join("cert.pem")).expect("there is a certificate");
        let key = std::fs::read(folder.join("key.pem")).expect("there is a key");
        let body: String = certificate
            .lines()
            .filter(|line| !line.starts_with("-----"))
            .collect();
        let mut header = Header::new(Algorithm::ES256);
        header.x5c = Some(vec![body]);
        let encoding = EncodingKey::from_ec_pem(&key).expect("it is a key of an elliptic curve");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("it can be waited for");
        let tokens = Self {
            address: listener.local_addr().expect("it has an address").to_string(),
            signer: Arc::new((header, encoding)),
            given: Arc::default(),
        };
        let router = Router::new()
            .route("/token", get(by_password).post(by_refresh))
            .with_state(tokens.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                // Whoever installed one before is as good.
                let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
                let config = RustlsConfig::from_pem(certificate.into_bytes(), key).await;
                let server =
                    axum_server::from_tcp_rustls(listener, config.expect("a certificate with its key"));
                let server = server.expect("it listens").serve(router.into_make_service());
                server.await.expect("it serves until the test ends");
            });
        });
        tokens
    }

    /// Where tokens are asked for.
    pub(crate) fn realm(&self) -> String {
        format!("https://{}/token", self.address)
    }

    /// To whom tokens were given since this was asked last.
    pub(crate) fn given(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.given.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A token for what is asked for, if it may be given to that one.
    fn give(&self, to: &'static str, asked: &Fields, may_push: bool) -> String {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        given.push(to);
        let field = |name: &str| asked.get(name).map(String::as_str);
        let wanted = format!("repository:{REPOSITORY}:pull,push");
        assert_eq!(
            (field("service"), field("scope")),
            (Some(SERVICE), Some(&*wanted))
        );
        let access = if may_push {
            json!([{"type": "repository", "name": REPOSITORY, "actions": ["pull", "push"]}])
        } else {
            json!([])
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock");
        let claims = json!({
            "iss": ISSUER, "aud": SERVICE, "sub": to, "jti": given.len().to_string(), "access": access,
            "iat": now.as_secs(), "nbf": now.as_secs() - 60, "exp": now.as_secs() + 300,
        });
        let (header, key) = &*self.signer;
        jsonwebtoken::encode(header, &claims, key).expect("a token")
    }
}

/// Nobody gets a token for nothing to push with; a wrong password is refused.
async fn by_password(
    State(tokens): State<Tokens>,
    Query(asked): Query<Fields>,
    headers: HeaderMap,
) -> Result<Json<Value>, StatusCode> {
    let token = match headers.get(AUTHORIZATION) {
        None => tokens.give("nobody", &asked, false),
        Some(basic) if *basic == *format!("Basic {PAIR}") => tokens.give("pusher", &asked, true),
        Some(_) => return Err(StatusCode::UNAUTHORIZED),
    };
    Ok(Json(json!({"token": token})))
}

async fn by_refresh(
    State(tokens): State<Tokens>,
    Form(asked): Form<Fields>,
) -> Result<Json<Value>, StatusCode> {
    let field = |name: &str| asked.get(name).map(String::as_str);
    if (field("grant_type"), field("refresh_token")) != (Some("refresh_token"), Some(REFRESH)) {
        return Err(StatusCode::UNAUTHORIZED);
    }
    Ok(Json(
        json!({"access_token": tokens.give("refreshed", &asked, true)}),
    ))
}
