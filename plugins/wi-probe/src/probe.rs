//! One run of the probe: token, discovery, exchange, secrets; tried again while the answer may still change.

use crate::discovery;
use crate::exchange::{AccessToken, ExchangeError, ExchangeRequest, exchange};
use crate::jwt::{AccessClaims, assertion_claims};
use crate::record::{
    API_VERSION, AUTHORITY_HOST, AssertionOutcome, Attempts, CLIENT_ID, Environment, ExchangeOutcome,
    ProbeInput, ProbeRecord, SecretInput, SecretRecord, TENANT_ID, TOKEN_FILE,
};
use crate::secret::{self, SecretOutcome};
use reqwest::Url;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The pause between two tries.
const PAUSE: Duration = Duration::from_secs(3);

/// The pause after a first refusal, which may be a fluke.
const SHORT_PAUSE: Duration = Duration::from_millis(400);

/// How long before its end a token is renewed: longer than a pause and a request.
const MARGIN_SECONDS: i64 = 60;

/// Makes a fresh service account token.
pub type Renew<'a> = dyn Fn() -> Pin<Box<dyn Future<Output = Option<String>> + Send + 'a>> + Send + Sync + 'a;

/// Where the service account token comes from. It has no `Debug`: it may hold the token.
pub enum TokenSource<'a> {
    /// A projected file, read anew at every try: the kubelet renews it.
    File(PathBuf),
    /// The token itself, and how to have another one when its end is near.
    Given {
        /// The token to begin with.
        token: String,
        /// Makes the next one; without one the old is used on.
        renew: &'a Renew<'a>,
    },
}

impl TokenSource<'_> {
    /// The token for the next try.
    async fn read(&mut self) -> Result<String, String> {
        match self {
            Self::Given { token, renew } => {
                if is_near_its_end(token, now())
                    && let Some(fresh) = renew().await
                {
                    *token = fresh;
                }
                Ok(token.clone())
            }
            Self::File(path) => match std::fs::read_to_string(&*path) {
                Ok(token) if token.trim().is_empty() => Err(format!("{} is empty", path.display())),
                Ok(token) => Ok(token.trim().to_owned()),
                Err(error) => Err(format!("cannot read {}: {error}", path.display())),
            },
        }
    }
}

/// Whether a token ends soon after `now`, seconds since 1970. One that does not say when lasts.
fn is_near_its_end(token: &str, now: i64) -> bool {
    assertion_claims(token)
        .and_then(|claims| claims.expires_at)
        .is_some_and(|end| end - now < MARGIN_SECONDS)
}

/// Does what the input says as whom the environment says. It never fails: what goes wrong is the record.
pub async fn probe(
    http: &reqwest::Client,
    input: &ProbeInput,
    environment: &Environment,
    mut source: Option<TokenSource<'_>>,
) -> ProbeRecord {
    let started = Instant::now();
    let deadline = started + Duration::from_secs(input.wait_seconds);
    let mut attempts = Attempts::default();
    let mut tries = 0;
    let mut published = None;
    let (assertion, granted, secrets) = loop {
        tries += 1;
        let (assertion, token) = read_assertion(source.as_mut()).await;
        let issuer = match (&published, &assertion) {
            (None, AssertionOutcome::Read(claims)) => Some(claims.issuer.as_str()),
            _ => None,
        };
        let (documents, granted) = tokio::join!(
            async {
                match issuer {
                    Some(issuer) => Some(discovery::fetch(http, issuer).await),
                    None => None,
                }
            },
            try_exchange(http, input, environment, token.as_deref())
        );
        published = published.or(documents);
        attempts.count(&outcome(&granted));
        let secrets = read_secrets(http, &input.secrets, granted.as_ref().ok()).await;
        let may_pass = match &granted {
            Ok(_) => secrets
                .iter()
                .any(|record| record.outcome.as_ref().is_some_and(SecretOutcome::may_pass)),
            Err(Failed::Exchange(ExchangeError::Refused(refusal))) => refusal.may_pass(),
            Err(Failed::Exchange(_)) => true,
            Err(Failed::NotTried(_)) => false,
        };
        // Entra refuses a few exchanges in a hundred without a reason, so one refusal proves nothing.
        let is_first_refusal = tries == 1 && is_refused(&granted);
        if may_pass && is_first_refusal {
            tokio::time::sleep(SHORT_PAUSE).await;
        } else if may_pass && Instant::now() + PAUSE < deadline {
            tokio::time::sleep(PAUSE).await;
        } else {
            break (assertion, granted, secrets);
        }
    };
    let forbidden = read_secrets(http, &input.forbidden, granted.as_ref().ok()).await;
    if granted.is_ok() {
        for _ in 1..input.repeat {
            let (_, token) = read_assertion(source.as_mut()).await;
            attempts.count(&outcome(
                &try_exchange(http, input, environment, token.as_deref()).await,
            ));
        }
    }
    ProbeRecord {
        api_version: API_VERSION.to_owned(),
        probe_version: env!("CARGO_PKG_VERSION").to_owned(),
        environment: environment.clone(),
        assertion,
        discovery: published,
        exchange: outcome(&granted),
        secrets,
        forbidden,
        tries,
        attempts,
        elapsed_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        clock: now(),
    }
}

const fn is_refused(granted: &Result<AccessToken, Failed>) -> bool {
    matches!(granted, Err(Failed::Exchange(ExchangeError::Refused(_))))
}

enum Failed {
    NotTried(String),
    Exchange(ExchangeError),
}

async fn read_assertion(source: Option<&mut TokenSource<'_>>) -> (AssertionOutcome, Option<String>) {
    let Some(source) = source else {
        return (
            AssertionOutcome::Missing {
                why: format!("{TOKEN_FILE} is not set"),
            },
            None,
        );
    };
    match source.read().await {
        Err(why) => (AssertionOutcome::Missing { why }, None),
        Ok(token) => match assertion_claims(&token) {
            Some(claims) => (AssertionOutcome::Read(claims), Some(token)),
            None => (AssertionOutcome::Malformed, None),
        },
    }
}

async fn try_exchange(
    http: &reqwest::Client,
    input: &ProbeInput,
    environment: &Environment,
    assertion: Option<&str>,
) -> Result<AccessToken, Failed> {
    let missing = |what: &str| Failed::NotTried(format!("{what} is not set"));
    let client_id = environment
        .client_id
        .as_deref()
        .ok_or_else(|| missing(CLIENT_ID))?;
    let tenant = environment
        .tenant_id
        .as_deref()
        .ok_or_else(|| missing(TENANT_ID))?;
    let authority = environment
        .authority
        .as_deref()
        .ok_or_else(|| missing(AUTHORITY_HOST))?;
    let authority: Url = authority
        .parse()
        .map_err(|_| Failed::NotTried(format!("{AUTHORITY_HOST} is no URL: {authority}")))?;
    let assertion =
        assertion.ok_or_else(|| Failed::NotTried("there is no usable service account token".to_owned()))?;
    let request = ExchangeRequest {
        authority: &authority,
        tenant,
        client_id,
        assertion,
        scope: &input.scope,
    };
    exchange(http, &request).await.map_err(Failed::Exchange)
}

async fn read_secrets(
    http: &reqwest::Client,
    wanted: &[SecretInput],
    token: Option<&AccessToken>,
) -> Vec<SecretRecord> {
    let mut records = Vec::with_capacity(wanted.len());
    for wanted in wanted {
        let outcome = match (token, wanted.vault_uri.parse::<Url>()) {
            (None, _) => None,
            (Some(token), Ok(uri)) => Some(secret::read(http, &uri, &wanted.name, token).await),
            (Some(_), Err(_)) => Some(SecretOutcome::Unreachable {
                why: format!("{} is no URL", wanted.vault_uri),
            }),
        };
        records.push(SecretRecord {
            vault: wanted.vault.clone(),
            name: wanted.name.clone(),
            outcome,
        });
    }
    records
}

fn outcome(granted: &Result<AccessToken, Failed>) -> ExchangeOutcome {
    match granted {
        Ok(token) => ExchangeOutcome::Granted(token.claims().unwrap_or_else(AccessClaims::default)),
        Err(Failed::NotTried(why)) => ExchangeOutcome::NotTried { why: why.clone() },
        Err(Failed::Exchange(ExchangeError::Refused(refusal))) => {
            ExchangeOutcome::Refused((**refusal).clone())
        }
        Err(Failed::Exchange(ExchangeError::Unreachable { host, why })) => ExchangeOutcome::Unreachable {
            host: host.clone(),
            why: why.clone(),
        },
        Err(Failed::Exchange(ExchangeError::Unreadable { status })) => {
            ExchangeOutcome::Unreadable { status: *status }
        }
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn token(ends_in: i64) -> String {
        let body = format!(
            r#"{{"iss":"https://127.0.0.1:1/","sub":"s","aud":["a"],"exp":{}}}"#,
            now() + ends_in
        );
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!(
            "{}.{}.{}",
            part(r#"{"alg":"RS256"}"#),
            part(&body),
            part("signature")
        )
    }

    #[tokio::test]
    async fn a_token_near_its_end_is_renewed_once() {
        let (old, fresh) = (token(MARGIN_SECONDS / 2), token(600));
        let asked = AtomicU32::new(0);
        let renew = || -> Pin<Box<dyn Future<Output = Option<String>> + Send + '_>> {
            asked.fetch_add(1, Ordering::SeqCst);
            Box::pin(async { Some(fresh.clone()) })
        };
        let mut source = TokenSource::Given {
            token: old,
            renew: &renew,
        };
        for _ in 0..3 {
            assert_eq!(source.read().await.as_ref(), Ok(&fresh));
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    /// An authority that answers each request with the next of these statuses; 200 with an access token.
    fn authority(statuses: &'static [u16]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for status in statuses {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = String::new();
                // The assertion is the last thing of a request, and its signature the last thing of it.
                while !request.ends_with(&URL_SAFE_NO_PAD.encode("signature")) {
                    let mut part = [0; 4096];
                    let length = stream.read(&mut part).unwrap();
                    request.push_str(&String::from_utf8_lossy(&part[..length]));
                }
                let body =
                    r#"{"access_token": "opaque", "error": "invalid_client", "error_codes": [700213]}"#;
                let length = body.len();
                write!(
                    stream,
                    "HTTP/1.1 {status} -\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
                )
                .unwrap();
            }
        });
        address
    }

    #[tokio::test]
    async fn what_is_repeated_for_a_rate_is_no_further_try() {
        for (statuses, tries) in [(&[200, 200, 401][..], 1), (&[401, 200, 200, 401], 2)] {
            let environment = Environment {
                client_id: Some("c".to_owned()),
                tenant_id: Some("t".to_owned()),
                authority: Some(authority(statuses)),
                token_file: None,
            };
            let input = ProbeInput {
                repeat: 3,
                ..ProbeInput::new("scope")
            };
            let source = TokenSource::Given {
                token: token(600),
                renew: &|| Box::pin(async { None }),
            };
            let record = probe(&reqwest::Client::new(), &input, &environment, Some(source)).await;
            assert_eq!((record.tries, record.attempts.granted), (tries, 2), "{record:?}");
            assert_eq!(record.attempts.refused_after_grant, 1);
        }
    }

    #[tokio::test]
    async fn the_old_token_has_to_do_while_there_is_no_new_one() {
        let old = token(MARGIN_SECONDS / 2);
        let mut source = TokenSource::Given {
            token: old.clone(),
            renew: &|| Box::pin(async { None }),
        };
        assert_eq!(source.read().await, Ok(old));
    }
}
