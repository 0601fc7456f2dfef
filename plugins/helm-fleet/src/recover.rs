//! Releases that a killed run left in the middle of an operation.
//!
//! Helm refuses to touch a release that is pending. What it would have done on SIGTERM is done for it: the revision is
//! marked as failed. Only where nobody can be at work any more: the Lease of the run is dead, and the revision is old.

use crate::lease::State;
use crate::release::{Record, ReleaseError, pack, unpack};
use aks_shared::cluster::Cluster;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};
use std::time::Duration;

/// What Helm's description of a recovered revision says.
const DESCRIPTION: &str = "helm-fleet: the run that was at work on this revision died";

/// Why a pending release must not be recovered; nothing when it may be.
pub fn obstacle(record: &Record, lease: &State, limit: Duration, now: Timestamp) -> Option<String> {
    let what = format!("revision {} of the release is {}", record.revision, record.status);
    let age = record.deployed_at.map(|at| now.duration_since(at));
    let age = age
        .and_then(|age| Duration::try_from(age).ok())
        .unwrap_or_default();
    match lease {
        State::Held(holder) => Some(format!("{what}, and {holder} is at work on it")),
        State::Free => Some(format!("{what}, and nobody says who is at work on it")),
        State::Dead(holder) if !record.is_ours() => {
            Some(format!("{what}, and it is not the work of {holder}"))
        }
        State::Dead(holder) if age < limit => Some(format!(
            "{what} for {} s; {holder} left it, and it is recovered after {} s",
            age.as_secs(),
            limit.as_secs()
        )),
        State::Dead(_) => None,
    }
}

/// Marks a pending revision as failed, if it is still what it was when it was read.
pub async fn mark_failed(record: &Record, cluster: &Cluster, namespace: &str) -> Result<(), ReleaseError> {
    let secrets = Api::<Secret>::namespaced(cluster.client.clone(), namespace);
    let name = record.secret();
    let failed = |source| cluster.request_error(&format!("release record {name}"), source);
    let mut secret = secrets.get(name).await.map_err(failed)?;
    let decode = |why| ReleaseError::Decode {
        context: cluster.context.clone(),
        secret: name.to_owned(),
        why,
    };
    let mut stored: Value = serde_json::from_slice(&unpack(&secret).map_err(decode)?)
        .map_err(|_| decode("it is not the JSON of a release"))?;
    if stored["info"]["status"] != record.status.as_str() {
        return Err(decode("it has changed in the meantime"));
    }
    stored["info"]["status"] = json!("failed");
    stored["info"]["description"] = json!(DESCRIPTION);
    let packed = pack(stored.to_string().as_bytes()).map_err(|_| decode("it cannot be packed again"))?;
    secret
        .data
        .get_or_insert_default()
        .insert("release".to_owned(), ByteString(packed));
    let labels = secret.metadata.labels.get_or_insert_default();
    labels.insert("status".to_owned(), "failed".to_owned());
    // Its resource version makes this fail when anybody else was faster.
    secrets
        .replace(name, &PostParams::default(), &secret)
        .await
        .map_err(failed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::Holder;
    use crate::release::REVISION_LABEL;

    #[test]
    fn only_what_a_dead_run_left_long_ago_is_recovered() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let limit = Duration::from_mins(15);
        let ours = [(REVISION_LABEL.to_owned(), "4".to_owned())];
        let mut record = Record::sample(4, "pending-upgrade", Value::Null, ours);
        record.deployed_at = Some("2026-11-21T11:40:00Z".parse().unwrap());
        let holder = Holder {
            who: "run 7 of kim".to_owned(),
            since: None,
            renewed: None,
        };
        assert_eq!(obstacle(&record, &State::Dead(holder.clone()), limit, now), None);
        let held = obstacle(&record, &State::Held(holder.clone()), limit, now).unwrap();
        assert!(held.contains("run 7 of kim is at work"), "{held}");
        assert!(obstacle(&record, &State::Free, limit, now).is_some());
        let dead = State::Dead(holder);
        assert!(obstacle(&record, &dead, Duration::from_mins(30), now).is_some());
        record.labels.clear();
        assert!(obstacle(&record, &dead, limit, now).is_some());
    }
}
