//! Waits until what was set up works, tried from here with a token of the service account.

use crate::error::SetupError;
use crate::outcome::Outcome;
use aks_shared::azure::Azure;
use aks_shared::cluster::{Cluster, ClusterError};
use aks_shared::interrupt::Interrupt;
use serde::Serialize;
use std::time::Duration;
use tokio::time::Instant;
use url::Url;
use wi_probe::{AccessToken, ExchangeError, ExchangeRequest, SecretOutcome, exchange, secret};

/// After a change, one success proves little: Entra's replicas learn of it one by one.
const SUCCESSES_AFTER_CHANGE: u32 = 3;
/// The pause between two tries.
const PAUSE: Duration = Duration::from_secs(2);

/// How a wait for the exchange ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum ExchangeWait {
    /// The exchange works.
    Stable {
        /// How many tries it took.
        tries: u32,
    },
    /// The service account does not exist yet; the chart makes it.
    DeferredUntilChart,
}

/// Tries the token exchange until it succeeds; several times in a row when something was just changed.
///
/// # Errors
/// When it does not become stable within `timeout`, when a refusal is of a kind that does not pass, and when
/// the command is asked to stop.
pub async fn wait_for_exchange(
    azure: &Azure,
    cluster: &Cluster,
    outcome: &Outcome,
    timeout: Duration,
    interrupt: &Interrupt,
    say: &(dyn Fn(&str) + Sync),
) -> Result<ExchangeWait, SetupError> {
    let deadline = Instant::now() + timeout;
    let needed = if outcome.changes.is_empty() {
        1
    } else {
        SUCCESSES_AFTER_CHANGE
    };
    let (mut tries, mut in_a_row) = (0, 0);
    let mut said = String::new();
    loop {
        tries += 1;
        let last = match try_exchange(azure, cluster, outcome).await {
            Ok(Some(_)) => {
                in_a_row += 1;
                if in_a_row >= needed {
                    return Ok(ExchangeWait::Stable { tries });
                }
                None
            }
            Ok(None) => return Ok(ExchangeWait::DeferredUntilChart),
            Err(Tried::Cluster(error)) => {
                in_a_row = 0;
                if !passes(&error) || Instant::now() + PAUSE > deadline {
                    return Err(error.into());
                }
                say_once(say, &mut said, format!("waiting for the cluster: {error}"));
                None
            }
            Err(Tried::Exchange(error)) => {
                in_a_row = 0;
                if !may_pass(&error) {
                    return Err(SetupError::Exchange {
                        last: error.to_string(),
                        is_final: true,
                        verify: outcome.verify_command(),
                    });
                }
                say_once(say, &mut said, format!("waiting for the token exchange: {error}"));
                Some(error)
            }
        };
        if Instant::now() + PAUSE > deadline {
            let last = last.map_or_else(
                || format!("only {in_a_row} of {needed} tries in a row succeeded in time"),
                |error| error.to_string(),
            );
            return Err(SetupError::Exchange {
                last,
                is_final: false,
                verify: outcome.verify_command(),
            });
        }
        pause(interrupt).await?;
    }
}

/// Reads every secret with the identity until the vaults let it: a role takes up to ten minutes to be known.
///
/// # Errors
/// As [`wait_for_exchange`]; also when a vault refuses for a reason that does not pass.
pub async fn wait_for_access(
    azure: &Azure,
    cluster: &Cluster,
    outcome: &Outcome,
    timeout: Duration,
    interrupt: &Interrupt,
    say: &(dyn Fn(&str) + Sync),
) -> Result<ExchangeWait, SetupError> {
    let deadline = Instant::now() + timeout;
    let exchanged = wait_for_exchange(azure, cluster, outcome, timeout, interrupt, say).await?;
    if exchanged == ExchangeWait::DeferredUntilChart {
        return Ok(exchanged);
    }
    let mut said = String::new();
    let mut token = None;
    for wanted in &outcome.secrets {
        let name = format!("{}/{}", wanted.vault, wanted.name);
        let failed = |last: String| SetupError::Access {
            secret: name.clone(),
            last,
            verify: outcome.verify_command(),
        };
        let uri = outcome
            .vaults
            .get(&wanted.vault)
            .map(|vault| Url::parse(&vault.uri));
        let Some(Ok(uri)) = uri else {
            return Err(failed("its vault has no usable address".to_owned()));
        };
        loop {
            // One access token serves all tries: the vault looks the role up at every request.
            if token.is_none() {
                token = match try_exchange(azure, cluster, outcome).await {
                    Ok(Some(token)) => Some(token),
                    Ok(None) => return Ok(ExchangeWait::DeferredUntilChart),
                    Err(Tried::Cluster(error)) if passes(&error) => None,
                    Err(Tried::Cluster(error)) => return Err(error.into()),
                    Err(Tried::Exchange(error)) if may_pass(&error) => None,
                    Err(Tried::Exchange(error)) => return Err(failed(error.to_string())),
                };
            }
            let (last, may_pass) = match &token {
                None => ("no token for it can be had now and then".to_owned(), true),
                Some(token) => match secret::read(&azure.http, &uri, &wanted.name, token).await {
                    SecretOutcome::Read => break,
                    refused => (describe(&refused), refused.may_pass()),
                },
            };
            if !may_pass || Instant::now() + PAUSE > deadline {
                return Err(failed(last));
            }
            say_once(say, &mut said, format!("waiting for secret {name}: {last}"));
            pause(interrupt).await?;
        }
    }
    Ok(exchanged)
}

enum Tried {
    Cluster(ClusterError),
    Exchange(ExchangeError),
}

/// One exchange with a fresh token of the account; none when the account does not exist.
async fn try_exchange(
    azure: &Azure,
    cluster: &Cluster,
    outcome: &Outcome,
) -> Result<Option<AccessToken>, Tried> {
    let assertion = match cluster.account_token(&outcome.account(), &outcome.audience).await {
        Ok(token) => token,
        Err(error) if error.code() == Some(404) => return Ok(None),
        Err(error) => return Err(Tried::Cluster(error)),
    };
    let scope = if outcome.secrets.is_empty() {
        &azure.cloud.arm_scope
    } else {
        &azure.cloud.vault_scope
    };
    let request = ExchangeRequest {
        authority: &azure.cloud.authority,
        tenant: &outcome.tenant_id,
        client_id: &outcome.client_id,
        assertion: assertion.expose(),
        scope,
    };
    exchange(&azure.http, &request)
        .await
        .map(Some)
        .map_err(Tried::Exchange)
}

/// Whether the API server may answer the next time: it was not reached, or it is overloaded.
fn passes(error: &ClusterError) -> bool {
    match error {
        ClusterError::Request { .. } => error.code().is_none_or(|code| code == 429 || code >= 500),
        ClusterError::Config { .. } => false,
    }
}

fn may_pass(error: &ExchangeError) -> bool {
    match error {
        ExchangeError::Refused(refusal) => refusal.may_pass(),
        ExchangeError::Unreachable { .. } | ExchangeError::Unreadable { .. } => true,
    }
}

fn describe(outcome: &SecretOutcome) -> String {
    match outcome {
        SecretOutcome::Read => "read".to_owned(),
        SecretOutcome::Refused(refusal) => {
            let code = refusal.inner_code.as_deref().unwrap_or(&refusal.code);
            format!("the vault answered {} {code}", refusal.status)
        }
        SecretOutcome::Unreachable { why } => format!("the vault cannot be reached: {why}"),
        SecretOutcome::Unreadable { status } => format!("the answer (HTTP {status}) is not a vault's"),
    }
}

/// Says what is waited for when it is something new.
fn say_once(say: &(dyn Fn(&str) + Sync), said: &mut String, text: String) {
    if *said != text {
        say(&text);
        *said = text;
    }
}

async fn pause(interrupt: &Interrupt) -> Result<(), SetupError> {
    tokio::select! {
        () = tokio::time::sleep(PAUSE) => Ok(()),
        () = interrupt.cancelled() => Err(SetupError::Interrupted {
            status: interrupt.status().unwrap_or(aks_shared::ExitStatus::Interrupted),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    #[test]
    fn an_api_server_that_is_away_or_overloaded_is_waited_for() {
        let answered = |code: u16| ClusterError::Request {
            context: "weu-1".into(),
            what: "a token".into(),
            source: Box::new(kube::Error::Api(Box::new(
                Status::failure("", "").with_code(code),
            ))),
        };
        let passing = [429, 500, 503].map(|code| passes(&answered(code)));
        let lasting = [400, 401, 403].map(|code| passes(&answered(code)));
        assert_eq!((passing, lasting), ([true; 3], [false; 3]));
        let away = ClusterError::Request {
            context: "weu-1".into(),
            what: "a token".into(),
            source: Box::new(kube::Error::LinesCodecMaxLineLengthExceeded),
        };
        assert!(passes(&away));
    }
}
