//! One run per release and cluster at a time: a Lease in the release's namespace, renewed as long as the run lives.
//!
//! Who may not write Leases runs without one, and is told so. Clocks differ, so a Lease that looks dead is watched for
//! a while before it is taken over: whoever renews it in that time lives.

use aks_shared::cluster::Cluster;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use serde_json::json;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// How long a Lease is good for after it was renewed.
const DURATION: Duration = Duration::from_secs(30);
/// How often it is renewed.
const RENEWAL: Duration = Duration::from_secs(8);
/// How often somebody who waits looks again.
pub(crate) const LOOK: Duration = Duration::from_secs(2);
/// How long a Lease that looks dead is watched.
const WATCH: Duration = Duration::from_secs(12);
/// Annotation with the run, the user and the machine that hold a Lease.
const HOLDER: &str = "helm-fleet/holder";

/// Who holds a Lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Run, user, machine and pipeline in words.
    pub who: String,
    /// Since when.
    pub since: Option<Timestamp>,
    /// When it was last renewed.
    pub renewed: Option<Timestamp>,
}

impl fmt::Display for Holder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.who)?;
        if let Some(since) = self.since {
            write!(formatter, " since {}", since.strftime("%Y-%m-%dT%H:%M:%SZ"))?;
        }
        if let Some(renewed) = self.renewed {
            let ago = Timestamp::now().duration_since(renewed).as_secs().max(0);
            write!(formatter, ", last seen {ago}s ago")?;
        }
        Ok(())
    }
}

/// The state of a Lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// There is none.
    Free,
    /// Its holder renews it.
    Held(Holder),
    /// Its holder has not renewed it for longer than it is good for.
    Dead(Holder),
}

/// A Lease cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Another run holds it.
    #[error("the release is being changed by {0}")]
    Held(Holder),
    /// A request failed.
    #[error("the Lease that keeps other runs away cannot be had")]
    Request(#[from] Box<kube::Error>),
}

impl From<kube::Error> for LeaseError {
    fn from(error: kube::Error) -> Self {
        Self::Request(Box::new(error))
    }
}

/// Where the Lease of a release is.
#[derive(Clone)]
pub struct Place {
    leases: Api<Lease>,
    namespaces: Api<Namespace>,
    namespace: String,
    name: String,
    create_namespace: bool,
}

impl Place {
    /// The place of a release on a cluster.
    pub fn of(cluster: &Cluster, release: &crate::fleet::ReleaseSpec) -> Self {
        Self {
            leases: Api::namespaced(cluster.client.clone(), &release.namespace),
            namespaces: Api::all(cluster.client.clone()),
            namespace: release.namespace.clone(),
            name: format!("helm-fleet.{}", release.name),
            create_namespace: release.create_namespace,
        }
    }

    /// The state of the Lease, with the Lease; free where it may not be read.
    pub async fn state(&self) -> Result<(State, Option<Lease>), LeaseError> {
        match self.leases.get_opt(&self.name).await {
            Ok(lease) => Ok((state(lease.as_ref(), Timestamp::now()), lease)),
            Err(kube::Error::Api(status)) if status.code == 403 => Ok((State::Free, None)),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes a Lease away, if it is still the one that was seen.
    pub async fn remove(&self, seen: &Lease) -> Result<(), LeaseError> {
        let parameters = DeleteParams {
            preconditions: Some(Preconditions {
                uid: seen.metadata.uid.clone(),
                resource_version: seen.metadata.resource_version.clone(),
            }),
            ..DeleteParams::default()
        };
        match self.leases.delete(&self.name, &parameters).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes the Lease, waiting up to `timeout` for whoever holds it. None where it may not be written.
    pub async fn take(&self, who: &str, timeout: Duration) -> Result<Option<Lock>, LeaseError> {
        let began = Instant::now();
        loop {
            let (state, seen) = self.state().await?;
            let taken = match (state, seen) {
                (State::Held(holder), _) if began.elapsed() >= timeout => {
                    return Err(LeaseError::Held(holder));
                }
                (State::Held(_), _) => {
                    tokio::time::sleep(LOOK).await;
                    continue;
                }
                (State::Dead(_), Some(seen)) => {
                    tokio::time::sleep(WATCH).await;
                    self.take_over(who, seen).await
                }
                (State::Free | State::Dead(_), _) => self.create(who).await,
            };
            match taken {
                Ok(lease) => return Ok(Some(Lock::hold(self.clone(), lease))),
                // Somebody else was faster, or lives.
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                Err(kube::Error::Api(status)) if status.code == 403 => return Ok(None),
                Err(kube::Error::Api(status)) if status.code == 404 && self.create_namespace => {
                    match self.create_namespace().await {
                        Ok(()) => {}
                        Err(kube::Error::Api(status)) if status.code == 409 => {}
                        Err(kube::Error::Api(status)) if status.code == 403 => return Ok(None),
                        Err(error) => return Err(error.into()),
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn create(&self, who: &str) -> Result<Lease, kube::Error> {
        let lease = Lease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                annotations: Some([(HOLDER.to_owned(), who.to_owned())].into()),
                ..ObjectMeta::default()
            },
            spec: Some(held(0)),
        };
        self.leases.create(&PostParams::default(), &lease).await
    }

    /// Replaces a Lease that was seen before; refused as a conflict when it was renewed since.
    async fn take_over(&self, who: &str, mut seen: Lease) -> Result<Lease, kube::Error> {
        let transitions = seen
            .spec
            .as_ref()
            .and_then(|spec| spec.lease_transitions)
            .unwrap_or_default();
        seen.spec = Some(held(transitions.saturating_add(1)));
        seen.metadata
            .annotations
            .get_or_insert_default()
            .insert(HOLDER.to_owned(), who.to_owned());
        seen.metadata.managed_fields = None;
        self.leases
            .replace(&self.name, &PostParams::default(), &seen)
            .await
    }

    /// As `helm upgrade --create-namespace` makes it.
    async fn create_namespace(&self) -> Result<(), kube::Error> {
        let namespace = Namespace {
            metadata: ObjectMeta {
                name: Some(self.namespace.clone()),
                labels: Some([("name".to_owned(), self.namespace.clone())].into()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        self.namespaces
            .create(&PostParams::default(), &namespace)
            .await
            .map(drop)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

/// A Lease that is held and renewed.
#[derive(Debug)]
pub struct Lock {
    place: Place,
    lost: Arc<AtomicBool>,
    heartbeat: JoinHandle<()>,
    uid: Option<String>,
}

impl Lock {
    fn hold(place: Place, lease: Lease) -> Self {
        let (lost, uid) = (Arc::new(AtomicBool::new(false)), lease.metadata.uid.clone());
        let heartbeat = tokio::spawn(renew(place.clone(), lease, Arc::clone(&lost)));
        Self {
            place,
            lost,
            heartbeat,
            uid,
        }
    }

    /// Whether somebody else may hold it by now.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::SeqCst)
    }

    /// Gives it back. One that cannot be given back dies by itself.
    pub async fn release(self) {
        self.heartbeat.abort();
        if self.is_lost() {
            return;
        }
        let parameters = DeleteParams {
            preconditions: Some(Preconditions {
                uid: self.uid.clone(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let _ = self.place.leases.delete(&self.place.name, &parameters).await;
    }
}

/// Renews a Lease until it is taken away, or until nobody has answered for as long as it is good for.
async fn renew(place: Place, mut lease: Lease, lost: Arc<AtomicBool>) {
    let mut renewed = Instant::now();
    loop {
        tokio::time::sleep(RENEWAL).await;
        let patch = json!({
            "metadata": {"resourceVersion": lease.metadata.resource_version},
            "spec": {"renewTime": MicroTime(Timestamp::now())},
        });
        match place
            .leases
            .patch(&place.name, &PatchParams::default(), &Patch::Merge(patch))
            .await
        {
            Ok(next) => {
                lease = next;
                renewed = Instant::now();
            }
            // It is another one's, or gone.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => break,
            Err(_) if renewed.elapsed() >= DURATION => break,
            Err(_) => {}
        }
    }
    lost.store(true, Ordering::SeqCst);
}

fn held(transitions: i32) -> LeaseSpec {
    let now = MicroTime(Timestamp::now());
    LeaseSpec {
        holder_identity: Some(uuid::Uuid::new_v4().to_string()),
        lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
        acquire_time: Some(now.clone()),
        renew_time: Some(now),
        lease_transitions: Some(transitions),
        ..LeaseSpec::default()
    }
}

fn state(lease: Option<&Lease>, now: Timestamp) -> State {
    let Some(lease) = lease else { return State::Free };
    let spec = lease.spec.clone().unwrap_or_default();
    let said = lease
        .metadata
        .annotations
        .as_ref()
        .and_then(|annotations| annotations.get(HOLDER).cloned());
    let holder = Holder {
        who: said
            .or(spec.holder_identity)
            .unwrap_or_else(|| "somebody".to_owned()),
        since: spec.acquire_time.map(|time| time.0),
        renewed: spec.renew_time.map(|time| time.0),
    };
    let good_for = i64::from(spec.lease_duration_seconds.unwrap_or_default());
    let is_good = holder
        .renewed
        .is_some_and(|renewed| now.duration_since(renewed).as_secs() <= good_for);
    if is_good {
        State::Held(holder)
    } else {
        State::Dead(holder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(renewed: &str) -> Lease {
        let time = |text: &str| MicroTime(text.parse().unwrap());
        Lease {
            metadata: ObjectMeta {
                annotations: Some([(HOLDER.to_owned(), "run 7 of kim".to_owned())].into()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                acquire_time: Some(time("2026-11-21T10:00:00Z")),
                renew_time: Some(time(renewed)),
                lease_duration_seconds: Some(30),
                ..LeaseSpec::default()
            }),
        }
    }

    #[test]
    fn a_lease_lives_as_long_as_it_is_renewed() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        assert_eq!(state(None, now), State::Free);
        for (renewed, lives) in [
            ("2026-11-21T11:59:45Z", true),
            ("2026-11-21T11:59:15Z", false),
            // The holder's clock may be ahead of ours.
            ("2026-11-21T12:00:20Z", true),
        ] {
            let (State::Held(holder) | State::Dead(holder)) = state(Some(&lease(renewed)), now) else {
                panic!("it is there")
            };
            assert_eq!(
                matches!(state(Some(&lease(renewed)), now), State::Held(_)),
                lives,
                "{renewed}"
            );
            assert!(
                holder
                    .to_string()
                    .starts_with("run 7 of kim since 2026-11-21T10:00:00Z, last seen")
            );
        }
    }

    #[test]
    fn a_lease_without_a_time_is_dead() {
        let now = Timestamp::now();
        assert!(matches!(state(Some(&Lease::default()), now), State::Dead(_)));
    }
}
