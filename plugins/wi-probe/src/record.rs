//! The probe's input and its record: the versioned contract between `kubectl wi verify` and the probe image,
//! which may be of different ages.

use crate::discovery::DiscoveryOutcome;
use crate::exchange::EntraRefusal;
use crate::jwt::{AccessClaims, AssertionClaims};
use crate::secret::SecretOutcome;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of input and record. Fields may be added under it; what is unknown is ignored.
pub const API_VERSION: &str = "wi-probe/v1";
/// The variable that carries the input, JSON.
pub const INPUT_VARIABLE: &str = "WI_PROBE_INPUT";
/// The variable of the webhook that holds the client id.
pub const CLIENT_ID: &str = "AZURE_CLIENT_ID";
/// The variable of the webhook that holds the tenant.
pub const TENANT_ID: &str = "AZURE_TENANT_ID";
/// The variable of the webhook that holds the authority.
pub const AUTHORITY_HOST: &str = "AZURE_AUTHORITY_HOST";
/// The variable of the webhook that names the file with the token.
pub const TOKEN_FILE: &str = "AZURE_FEDERATED_TOKEN_FILE";
/// The longest text that a kubelet takes over from a termination message file.
pub const TERMINATION_MESSAGE_LIMIT: usize = 4096;

/// What the probe is to try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProbeInput {
    /// [`API_VERSION`].
    pub api_version: String,
    /// What the access token is to open.
    pub scope: String,
    /// The secrets to read.
    #[serde(default)]
    pub secrets: Vec<SecretInput>,
    /// Secrets that must be refused: what nobody granted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forbidden: Vec<SecretInput>,
    /// How many exchanges to make once one was granted, that one included; for a rate.
    #[serde(default = "once")]
    pub repeat: u32,
    /// Keep trying for this many seconds while the answer may still change.
    #[serde(default)]
    pub wait_seconds: u64,
    /// Give up on one request after this many seconds.
    pub request_seconds: u64,
    /// Certificate authorities believed besides Mozilla's, in PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_pem: Option<String>,
}

/// One secret to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretInput {
    /// The vault, as the user named it.
    pub vault: String,
    /// The vault's address.
    pub vault_uri: String,
    /// The secret's name.
    pub name: String,
}

/// Who the probe is to be, as the webhook's variables say; every one may be missing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Environment {
    /// [`CLIENT_ID`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// [`TENANT_ID`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// [`AUTHORITY_HOST`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
    /// [`TOKEN_FILE`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<String>,
}

/// What the probe found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProbeRecord {
    /// [`API_VERSION`].
    pub api_version: String,
    /// The version of the probe that wrote it.
    pub probe_version: String,
    /// Who it was to be.
    pub environment: Environment,
    /// The service account token.
    pub assertion: AssertionOutcome,
    /// What its issuer publishes, seen from where the probe ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discovery: Option<DiscoveryOutcome>,
    /// The exchange.
    pub exchange: ExchangeOutcome,
    /// The secrets, in the order of the input.
    #[serde(default)]
    pub secrets: Vec<SecretRecord>,
    /// The secrets that must be refused, in the order of the input.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forbidden: Vec<SecretRecord>,
    /// How often the exchange was tried until it ended so; what is repeated for a rate is no further try.
    pub tries: u32,
    /// How the tries and the repetitions ended.
    #[serde(default)]
    pub attempts: Attempts,
    /// How long all of it took, in milliseconds.
    pub elapsed_ms: u64,
    /// The clock of where the probe ran, at the end, seconds since 1970.
    pub clock: i64,
}

/// How all exchanges ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Attempts {
    /// How many were granted.
    pub granted: u32,
    /// How many were not, by `AADSTS` code or by what went wrong.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<String, u32>,
    /// How many of those came after one that was granted: what has become known everywhere is refused no more.
    pub refused_after_grant: u32,
}

impl Attempts {
    /// Counts one more try.
    pub fn count(&mut self, outcome: &ExchangeOutcome) {
        let why = match outcome {
            ExchangeOutcome::Granted(_) => {
                self.granted += 1;
                return;
            }
            ExchangeOutcome::Refused(refusal) => refusal.code(),
            ExchangeOutcome::Unreachable { .. } => "unreachable".to_owned(),
            ExchangeOutcome::Unreadable { status } => format!("HTTP {status}"),
            ExchangeOutcome::NotTried { .. } => return,
        };
        *self.refused.entry(why).or_default() += 1;
        if self.granted > 0 {
            self.refused_after_grant += 1;
        }
    }

    /// How many were made.
    pub fn total(&self) -> u32 {
        self.granted + self.refused.values().sum::<u32>()
    }
}

/// How the reading of the service account token ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum AssertionOutcome {
    /// It was read.
    Read(AssertionClaims),
    /// There is none.
    Missing {
        /// Why.
        why: String,
    },
    /// It is no JWT.
    Malformed,
}

/// How the exchange ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum ExchangeOutcome {
    /// Entra gave an access token; what it says about itself.
    Granted(AccessClaims),
    /// Entra answered no.
    Refused(EntraRefusal),
    /// Entra could not be reached.
    Unreachable {
        /// The host that was tried.
        host: String,
        /// The chain of causes in one line.
        why: String,
    },
    /// The answer is not Entra's.
    Unreadable {
        /// The HTTP status.
        status: u16,
    },
    /// Something that it needs is missing.
    NotTried {
        /// What is missing.
        why: String,
    },
}

/// How the reading of one secret ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretRecord {
    /// The vault, as the user named it.
    pub vault: String,
    /// The secret's name.
    pub name: String,
    /// The outcome; none when it was not tried because there was no access token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<SecretOutcome>,
}

const fn once() -> u32 {
    1
}

impl ProbeInput {
    /// An input that only exchanges.
    pub fn new(scope: impl Into<String>) -> Self {
        Self {
            api_version: API_VERSION.to_owned(),
            scope: scope.into(),
            secrets: Vec::new(),
            forbidden: Vec::new(),
            repeat: once(),
            wait_seconds: 0,
            request_seconds: 20,
            ca_pem: None,
        }
    }
}

impl ProbeRecord {
    /// The record among lines of output, such as a container's log: the last line that is one.
    pub fn find(output: &str) -> Option<Self> {
        output
            .lines()
            .rev()
            .filter_map(|line| serde_json::from_str::<Self>(line.trim()).ok())
            .find(|record| record.api_version == API_VERSION)
    }

    /// Whether the exchange succeeded and every secret was read.
    pub fn is_good(&self) -> bool {
        matches!(self.exchange, ExchangeOutcome::Granted(_))
            && self
                .secrets
                .iter()
                .all(|secret| secret.outcome == Some(SecretOutcome::Read))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> ProbeRecord {
        ProbeRecord {
            api_version: API_VERSION.into(),
            probe_version: "0".into(),
            environment: Environment::default(),
            assertion: AssertionOutcome::Read(AssertionClaims {
                issuer: "https://i/".into(),
                ..Default::default()
            }),
            discovery: None,
            exchange: ExchangeOutcome::Granted(AccessClaims::default()),
            secrets: vec![SecretRecord {
                vault: "v".into(),
                name: "n".into(),
                outcome: Some(SecretOutcome::Read),
            }],
            forbidden: Vec::new(),
            tries: 1,
            attempts: Attempts::default(),
            elapsed_ms: 1,
            clock: 0,
        }
    }

    #[test]
    fn a_refusal_before_the_first_grant_is_told_from_one_after_it() {
        let refused = || {
            ExchangeOutcome::Refused(EntraRefusal {
                status: 401,
                error: "invalid_client".into(),
                codes: vec![700_213],
                description: String::new(),
                correlation_id: None,
                trace_id: None,
            })
        };
        let granted = ExchangeOutcome::Granted(AccessClaims::default());
        let mut attempts = Attempts::default();
        for outcome in [&refused(), &granted, &refused(), &granted] {
            attempts.count(outcome);
        }
        assert_eq!((attempts.granted, attempts.refused_after_grant), (2, 1));
        assert_eq!(attempts.refused, BTreeMap::from([("AADSTS700213".to_owned(), 2)]));
        assert_eq!(attempts.total(), 4);
    }

    #[test]
    fn a_record_is_found_among_other_lines() {
        let line = serde_json::to_string(&record()).unwrap();
        let output = format!("starting\n{line}\n{{\"other\":1}}\n");
        assert_eq!(ProbeRecord::find(&output), Some(record()));
        assert_eq!(ProbeRecord::find("nothing"), None);
    }

    #[test]
    fn a_record_of_another_version_is_not_taken() {
        let other = serde_json::to_string(&ProbeRecord {
            api_version: "wi-probe/v9".into(),
            ..record()
        })
        .unwrap();
        assert_eq!(ProbeRecord::find(&other), None);
    }

    #[test]
    fn unknown_fields_of_a_newer_probe_are_ignored() {
        let mut value = serde_json::to_value(record()).unwrap();
        value["new"] = true.into();
        assert_eq!(ProbeRecord::find(&value.to_string()), Some(record()));
    }

    #[test]
    fn an_unread_secret_is_not_good() {
        let mut bad = record();
        bad.secrets[0].outcome = None;
        assert!(record().is_good());
        assert!(!bad.is_good());
    }
}
