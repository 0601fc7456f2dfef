//! Switching features of a managed cluster on: read whole, edited, written back, and waited for.

use super::clusters::read;
use super::{Arm, ArmError, ArmRequest, ArmResponse, ManagedCluster};
use crate::azure::ArmId;
use backon::{BackoffBuilder, ExponentialBuilder};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// Reads and writes of one update must be of the same version: what a version does not know, its PUT would lose.
/// This one has the entity tag (managedclusters 2026-04-01).
const API_VERSION: &str = "2026-04-01";

/// What is switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Features {
    /// The OIDC issuer: restarts the API server and cannot be switched off again (use-oidc-issuer).
    pub issuer: bool,
    /// The workload identity webhook; it needs the issuer.
    pub workload_identity: bool,
}

impl Features {
    /// Whether nothing is to be switched on.
    pub const fn is_empty(self) -> bool {
        !self.issuer && !self.workload_identity
    }

    /// Those that a cluster has not yet.
    #[must_use]
    pub const fn lacking(self, cluster: &ManagedCluster) -> Self {
        Self {
            issuer: self.issuer && !cluster.issuer_enabled,
            workload_identity: self.workload_identity && !cluster.workload_identity_enabled,
        }
    }
}

/// How an operation goes.
#[derive(Debug, PartialEq, Eq)]
enum Progress {
    Running(String),
    Succeeded,
    /// As what, with Azure's code and message.
    Ended(String),
}

impl Arm {
    /// Switches features of a cluster on and waits until it is done; answers the cluster and the request id of the
    /// write, none when there was nothing to write.
    ///
    /// Another operation on the cluster is waited out, and a cluster that was changed meanwhile is read again.
    ///
    /// # Errors
    /// When Azure refuses, when the operation fails, and when `timeout` ends or the command is asked to stop while it
    /// goes on.
    pub async fn enable_features(
        &self,
        id: &ArmId,
        features: Features,
        timeout: Duration,
        say: &(dyn Fn(&str) + Sync),
    ) -> Result<(ManagedCluster, Option<String>), ArmError> {
        let deadline = Instant::now() + timeout;
        let mut pauses = pauses();
        loop {
            let document = self.send(&ArmRequest::get(id.as_str(), API_VERSION)).await?.body;
            let cluster = read(document.clone())?;
            let lacking = features.lacking(&cluster);
            if cluster.is_changing() {
                let state = &cluster.provisioning_state;
                say(&format!("waiting for another operation on the cluster ({state})"));
            } else {
                if lacking.is_empty() {
                    return Ok((cluster, None));
                }
                let tag = document.get("eTag").and_then(Value::as_str).map(str::to_owned);
                let request =
                    ArmRequest::put(id.as_str(), API_VERSION, with_features(document, lacking)).if_match(tag);
                match self.send(&request).await {
                    Ok(answer) => {
                        let request_id = answer.request_id.clone();
                        self.follow(&request, answer, deadline, say).await?;
                        let done = self.send(&ArmRequest::get(id.as_str(), API_VERSION)).await?;
                        return Ok((read(done.body)?, request_id));
                    }
                    Err(error) if is_busy(&error) => say("waiting for another operation on the cluster"),
                    // Somebody changed it since it was read.
                    Err(error) if is_outdated(&error) => {}
                    Err(error) => return Err(error),
                }
            }
            let last = || format!("its state is {}", cluster.provisioning_state);
            self.pause(pauses.next(), deadline, id.as_str(), last).await?;
        }
    }

    /// Waits until an operation that a request started is over.
    async fn follow(
        &self,
        request: &ArmRequest,
        answer: ArmResponse,
        deadline: Instant,
        say: &(dyn Fn(&str) + Sync),
    ) -> Result<(), ArmError> {
        let link = answer.operation.map(|link| request.progress(&link, &self.0.base));
        let resource = ArmRequest::get(request.path(), API_VERSION);
        let mut asked = link.transpose()?.unwrap_or_else(|| resource.clone());
        let mut pauses = pauses();
        let mut wanted = answer.retry_after;
        let mut last = "its update was accepted".to_owned();
        loop {
            let pause = pauses.next().map(|pause| pause.max(wanted.unwrap_or_default()));
            self.pause(pause, deadline, request.path(), || last.clone())
                .await?;
            let answer = match self.send(&asked).await {
                // Who may write the cluster alone may not see the operation.
                Err(error) if error.is_forbidden() && asked.path() != resource.path() => {
                    asked = resource.clone();
                    continue;
                }
                answer => answer?,
            };
            wanted = answer.retry_after;
            match progress(&answer.body) {
                Progress::Succeeded => return Ok(()),
                Progress::Running(status) => {
                    last = format!("its update is {status}");
                    say(&format!("updating the cluster ({status})"));
                }
                Progress::Ended(ended) => {
                    let path = request.path().to_owned();
                    return Err(ArmError::Operation { path, ended });
                }
            }
        }
    }

    /// A pause that ends in an error when there is no time for it, or when the command is asked to stop.
    async fn pause(
        &self,
        pause: Option<Duration>,
        deadline: Instant,
        path: &str,
        last: impl Fn() -> String,
    ) -> Result<(), ArmError> {
        let end = Instant::now() + pause.unwrap_or_default();
        if end <= deadline {
            tokio::select! {
                () = tokio::time::sleep_until(end) => return Ok(()),
                () = self.1.cancelled() => {}
            }
        }
        Err(ArmError::Unfinished {
            path: path.to_owned(),
            last: last(),
        })
    }
}

/// One second, doubled up to ten: AKS sends no `Retry-After` with its operations.
fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_secs(1))
        .with_max_delay(Duration::from_secs(10))
        .without_max_times()
        .build()
}

impl ManagedCluster {
    /// Whether an operation on it goes on.
    pub fn is_changing(&self) -> bool {
        !is_ending(&self.provisioning_state)
    }
}

/// Whether nothing goes on: an update can begin after a failed one too.
fn is_ending(state: &str) -> bool {
    state.is_empty()
        || ["Succeeded", "Failed", "Canceled"]
            .iter()
            .any(|ending| state.eq_ignore_ascii_case(ending))
}

/// Another operation is under way (aka.ms/aks-pending-operation).
fn is_busy(error: &ArmError) -> bool {
    error.refusal().is_some_and(|refusal| refusal.status == 409)
        && error.code() == Some("OperationNotAllowed")
}

/// Azure answers 409 or 412 to a write that was meant for an earlier version.
fn is_outdated(error: &ArmError) -> bool {
    error.code() == Some("EtagMismatch") || error.refusal().is_some_and(|refusal| refusal.status == 412)
}

/// The whole document with features switched on.
fn with_features(mut document: Value, features: Features) -> Value {
    let mut set = |profile: &str, path: &str, value: Value| {
        let properties = &mut document["properties"];
        if !properties[profile].is_object() {
            properties[profile] = json!({});
        }
        properties[profile][path] = value;
    };
    if features.issuer {
        set("oidcIssuerProfile", "enabled", json!(true));
    }
    if features.workload_identity {
        set("securityProfile", "workloadIdentity", json!({"enabled": true}));
    }
    document
}

/// Reads the state of an operation, or of the resource itself.
fn progress(body: &Value) -> Progress {
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let status = match text("/status") {
        "" => text("/properties/provisioningState"),
        status => status,
    };
    if status.eq_ignore_ascii_case("Succeeded") {
        return Progress::Succeeded;
    }
    if !status.is_empty() && is_ending(status) {
        let told = [status, text("/error/code"), text("/error/message")];
        let told = told.into_iter().filter(|part| !part.is_empty());
        return Progress::Ended(told.collect::<Vec<_>>().join(": "));
    }
    Progress::Running(status.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_written_back_and_only_what_lacks_is_set() {
        let before = json!({"id": "x", "sku": {"name": "Base"}, "properties": {
            "securityProfile": {"defender": {"on": 1}}, "networkProfile": {"x": 1}}});
        let both = Features {
            issuer: true,
            workload_identity: true,
        };
        assert_eq!(
            with_features(before.clone(), both),
            json!({"id": "x", "sku": {"name": "Base"}, "properties": {
                "oidcIssuerProfile": {"enabled": true},
                "securityProfile": {"defender": {"on": 1}, "workloadIdentity": {"enabled": true}},
                "networkProfile": {"x": 1}}})
        );
        assert_eq!(with_features(before.clone(), Features::default()), before);
    }

    #[test]
    fn operations_and_resources_tell_how_they_go() {
        assert_eq!(progress(&json!({"status": "succeeded"})), Progress::Succeeded);
        assert_eq!(
            progress(&json!({"properties": {"provisioningState": "Updating"}})),
            Progress::Running("Updating".into())
        );
        let failed = json!({"status": "Failed", "error": {"code": "C", "message": "m"}});
        assert_eq!(progress(&failed), Progress::Ended("Failed: C: m".into()));
        // A body that is no JSON says nothing, and nothing is an end.
        assert_eq!(progress(&Value::Null), Progress::Running(String::new()));
    }

    #[test]
    fn after_a_failed_update_another_can_begin() {
        for (state, ending) in [
            ("Succeeded", true),
            ("Failed", true),
            ("", true),
            ("Updating", false),
            ("Starting", false),
        ] {
            assert_eq!(is_ending(state), ending, "{state}");
        }
    }
}
