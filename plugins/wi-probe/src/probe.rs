//! One run of the probe: token, discovery, exchange, secrets; tried again while the answer may still change.

use crate::discovery;
use crate::exchange::{AccessToken, ExchangeError, ExchangeRequest, exchange};
use crate::jwt::{AccessClaims, assertion_claims};
use crate::record::{
    API_VERSION, AssertionOutcome, Environment, ExchangeOutcome, ProbeInput, ProbeRecord, SecretRecord,
};
use crate::secret::{self, SecretOutcome};
use reqwest::Url;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The pause between two tries.
const PAUSE: Duration = Duration::from_secs(3);

/// Where the service account token comes from. It has no `Debug`: it may hold the token.
pub enum TokenSource {
    /// A projected file, read anew at every try: the kubelet renews it.
    File(PathBuf),
    /// The token itself.
    Given(String),
}

impl TokenSource {
    fn read(&self) -> Result<String, String> {
        match self {
            Self::Given(token) => Ok(token.clone()),
            Self::File(path) => match std::fs::read_to_string(path) {
                Ok(token) if token.trim().is_empty() => Err(format!("{} is empty", path.display())),
                Ok(token) => Ok(token.trim().to_owned()),
                Err(error) => Err(format!("cannot read {}: {error}", path.display())),
            },
        }
    }
}

/// Does what the input says as whom the environment says. It never fails: what goes wrong is the record.
pub async fn probe(
    http: &reqwest::Client,
    input: &ProbeInput,
    environment: &Environment,
    source: Option<&TokenSource>,
) -> ProbeRecord {
    let started = Instant::now();
    let deadline = started + Duration::from_secs(input.wait_seconds);
    let mut tries = 0;
    let mut published = None;
    let (assertion, granted, secrets) = loop {
        tries += 1;
        let (assertion, token) = read_assertion(source);
        if let (None, AssertionOutcome::Read(claims)) = (&published, &assertion) {
            published = Some(discovery::fetch(http, &claims.issuer).await);
        }
        let granted = try_exchange(http, input, environment, token.as_deref()).await;
        let secrets = read_secrets(http, input, granted.as_ref().ok()).await;
        let may_pass = match &granted {
            Ok(_) => secrets
                .iter()
                .any(|record| record.outcome.as_ref().is_some_and(SecretOutcome::may_pass)),
            Err(Failed::Exchange(ExchangeError::Refused(refusal))) => refusal.may_pass(),
            Err(Failed::Exchange(_)) => true,
            Err(Failed::NotTried(_)) => false,
        };
        if !may_pass || Instant::now() + PAUSE >= deadline {
            break (assertion, granted, secrets);
        }
        tokio::time::sleep(PAUSE).await;
    };
    ProbeRecord {
        api_version: API_VERSION.to_owned(),
        probe_version: env!("CARGO_PKG_VERSION").to_owned(),
        environment: environment.clone(),
        assertion,
        discovery: published,
        exchange: outcome(granted),
        secrets,
        tries,
        elapsed_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        clock: now(),
    }
}

enum Failed {
    NotTried(String),
    Exchange(ExchangeError),
}

fn read_assertion(source: Option<&TokenSource>) -> (AssertionOutcome, Option<String>) {
    let Some(source) = source else {
        return (
            AssertionOutcome::Missing {
                why: "AZURE_FEDERATED_TOKEN_FILE is not set".to_owned(),
            },
            None,
        );
    };
    match source.read() {
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
        .ok_or_else(|| missing("AZURE_CLIENT_ID"))?;
    let tenant = environment
        .tenant_id
        .as_deref()
        .ok_or_else(|| missing("AZURE_TENANT_ID"))?;
    let authority = environment
        .authority
        .as_deref()
        .ok_or_else(|| missing("AZURE_AUTHORITY_HOST"))?;
    let authority: Url = authority
        .parse()
        .map_err(|_| Failed::NotTried(format!("AZURE_AUTHORITY_HOST is no URL: {authority}")))?;
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
    input: &ProbeInput,
    token: Option<&AccessToken>,
) -> Vec<SecretRecord> {
    let mut records = Vec::with_capacity(input.secrets.len());
    for wanted in &input.secrets {
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

fn outcome(granted: Result<AccessToken, Failed>) -> ExchangeOutcome {
    match granted {
        Ok(token) => ExchangeOutcome::Granted(token.claims().unwrap_or_else(AccessClaims::default)),
        Err(Failed::NotTried(why)) => ExchangeOutcome::NotTried { why },
        Err(Failed::Exchange(ExchangeError::Refused(refusal))) => ExchangeOutcome::Refused(*refusal),
        Err(Failed::Exchange(ExchangeError::Unreachable { host, why })) => {
            ExchangeOutcome::Unreachable { host, why }
        }
        Err(Failed::Exchange(ExchangeError::Unreadable { status })) => ExchangeOutcome::Unreadable { status },
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
