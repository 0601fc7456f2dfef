//! Helm's release records, read straight from their Secrets: no helm process, two requests per cluster.
//!
//! Also the mark by which a revision says that it was verified. It is bound to digest and revision, because Helm
//! copies labels forward: a mark on another revision than its own means nothing.

mod packed;
mod revision;

pub(crate) use packed::{pack, unpack};
pub use revision::Revision;

use crate::digest::LABEL_DIGITS;
use aks_shared::cluster::{Cluster, ClusterError};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams};
use revision::{is_marked, mark};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Label with the digest of what a revision was made of.
pub const DIGEST_LABEL: &str = "helm-fleet/digest";
/// Label that says which digest and revision were verified.
pub const VERIFIED_LABEL: &str = "helm-fleet/verified";
/// Label with the number of the revision that this tool wrote. Helm copies labels forward through an upgrade by hand,
/// and the copy then names another revision than the one it is on.
pub const REVISION_LABEL: &str = "helm-fleet/revision";
/// Label with the id of the run that wrote the revision; means something only together with [`REVISION_LABEL`].
pub const RUN_LABEL: &str = "helm-fleet/run";
/// Label of a revision by which this tool went back to an earlier one: its own number and the earlier one's (`5.2`),
/// because Helm copies it forward as well.
pub const RESTORED_LABEL: &str = "helm-fleet/restored";

/// Label with the digest of what a revision was made of, but for the ids of identities: what is at target can then be
/// told without asking Azure.
pub const INPUTS_LABEL: &str = "helm-fleet/inputs";

/// The newest revision of a release.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its number.
    pub revision: u32,
    /// Helm's word for its state, `deployed` when all is well.
    pub status: String,
    /// The chart's name.
    pub chart: String,
    /// The chart's version.
    pub chart_version: String,
    /// The values that the user gave, merged.
    pub config: Value,
    /// The values of the last revision that this tool wrote, when the newest is somebody else's and that one is kept.
    pub base: Option<Value>,
    /// What the revision consists of, as Helm rendered it.
    pub manifest: String,
    /// When Helm wrote it; none when the record does not tell.
    pub deployed_at: Option<Timestamp>,
    /// Labels of the Secret, Helm's own among them.
    pub labels: BTreeMap<String, String>,
    /// All revisions that are kept, as far as their labels tell of them.
    pub revisions: Vec<Revision>,
    secret: String,
}

/// A release record cannot be read or marked.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// A request failed.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The content of a record is not what Helm writes.
    #[error("release record {secret} of cluster {context:?} cannot be decoded: {why}")]
    Decode {
        /// The context.
        context: String,
        /// The Secret's name.
        secret: String,
        /// What is wrong.
        why: &'static str,
    },
}

/// The part of Helm's JSON that decides anything here.
#[derive(Debug, Deserialize)]
struct Stored {
    version: u32,
    info: StoredInfo,
    #[serde(default)]
    chart: StoredChart,
    #[serde(default)]
    config: Value,
    #[serde(default)]
    manifest: String,
}

#[derive(Debug, Deserialize)]
struct StoredInfo {
    status: String,
    last_deployed: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct StoredChart {
    #[serde(default)]
    metadata: StoredMetadata,
}

#[derive(Debug, Default, Deserialize)]
struct StoredMetadata {
    #[serde(default)]
    name: String,
    #[serde(default)]
    version: String,
}

fn unread(cluster: &Cluster, namespace: &str, release: &str, source: kube::Error) -> ReleaseError {
    let what = format!("the revisions of release {namespace}/{release}");
    cluster.request_error(&what, source).into()
}

impl Record {
    /// Reads the newest revision of a release; none when it was never installed.
    pub async fn latest(
        cluster: &Cluster,
        namespace: &str,
        release: &str,
    ) -> Result<Option<Self>, ReleaseError> {
        Self::latest_since(None, cluster, namespace, release).await
    }

    /// Reads it again. Helm writes the time of each change into the labels: where all of them are as they were, so is
    /// the record, and nothing but the labels is read.
    pub async fn latest_since(
        known: Option<&Self>,
        cluster: &Cluster,
        namespace: &str,
        release: &str,
    ) -> Result<Option<Self>, ReleaseError> {
        let revisions = Revision::all(cluster, namespace, release).await?;
        if let Some(known) = known.filter(|known| known.revisions == revisions) {
            return Ok(Some(known.clone()));
        }
        let Some(name) = revisions.last().map(|revision| revision.secret.clone()) else {
            return Ok(None);
        };
        let secrets = Api::<Secret>::namespaced(cluster.client.clone(), namespace);
        let read = async |name: &str| {
            let secret = secrets
                .get_opt(name)
                .await
                .map_err(|source| unread(cluster, namespace, release, source))?;
            let decoded = secret.map(|secret| Self::decode(&secret)).transpose();
            decoded.map_err(|why| ReleaseError::Decode {
                context: cluster.context.clone(),
                secret: name.to_owned(),
                why,
            })
        };
        let Some(newest) = read(&name).await? else {
            return Ok(None);
        };
        let last = revisions.iter().rfind(|revision| revision.is_ours());
        let base = match last.filter(|last| last.number < newest.revision) {
            Some(last) => read(&last.secret).await?.map(|last| last.config),
            None => None,
        };
        Ok(Some(Self {
            base,
            revisions,
            ..newest
        }))
    }

    fn decode(secret: &Secret) -> Result<Self, &'static str> {
        let text = unpack(secret)?;
        let stored: Stored = serde_json::from_slice(&text).map_err(|_| "it is not the JSON of a release")?;
        Ok(Self {
            revision: stored.version,
            status: stored.info.status,
            chart: stored.chart.metadata.name,
            chart_version: stored.chart.metadata.version,
            // Helm writes no values at all as null.
            config: Some(stored.config)
                .filter(|config| !config.is_null())
                .unwrap_or_else(|| json!({})),
            base: None,
            manifest: stored.manifest,
            deployed_at: stored.info.last_deployed.and_then(|time| time.parse().ok()),
            labels: secret.metadata.labels.clone().unwrap_or_default(),
            revisions: Vec::new(),
            secret: secret.metadata.name.clone().unwrap_or_default(),
        })
    }

    /// Whether Helm holds this revision for the newest good one.
    pub fn is_deployed(&self) -> bool {
        self.status == "deployed"
    }

    /// Whether Helm refuses to touch the release because an operation has begun and not ended.
    pub fn is_pending(&self) -> bool {
        self.status.starts_with("pending-") || self.status == "uninstalling"
    }

    /// Whether this very revision carries the digest and was verified.
    pub fn is_verified(&self, digest: &str) -> bool {
        self.has_digest(digest) && self.labels.get(VERIFIED_LABEL) == Some(&self.mark(digest))
    }

    /// Whether this tool wrote the revision, whatever became of it.
    pub fn is_ours(&self) -> bool {
        self.labels.get(REVISION_LABEL) == Some(&self.revision.to_string())
    }

    /// Whether this very revision was verified, whatever it was made of.
    pub fn was_verified(&self) -> bool {
        is_marked(self.revision, &self.labels)
    }

    /// The run that wrote the newest revision, if this tool did.
    pub fn run(&self) -> Option<&str> {
        self.kept(self.revision)?.run()
    }

    /// Whether a run wrote the newest revision.
    pub fn is_of_run(&self, run: &str) -> bool {
        self.run() == Some(run)
    }

    /// The revision that a rollback of a run goes back to: the newest good one that the run did not write.
    pub fn restore(&self, run: &str) -> Option<u32> {
        let mut newest_first = self.revisions.iter().rev();
        newest_first
            .find(|revision| revision.is_good() && !revision.is_of_run(run))
            .map(|revision| revision.number)
    }

    /// The part of the digest that this revision's label has.
    pub fn digest(&self) -> Option<&str> {
        self.labels.get(DIGEST_LABEL).map(String::as_str)
    }

    /// The newest good revision before what was done last: before the run that wrote the newest one, if one did.
    pub fn before(&self) -> Option<u32> {
        let run = self.kept(self.revision)?.run();
        let mut earlier = self
            .revisions
            .iter()
            .rev()
            .filter(|other| other.number < self.revision);
        earlier
            .find(|other| other.is_good() && (run.is_none() || other.run() != run))
            .map(|other| other.number)
    }

    /// A revision that is kept.
    pub fn kept(&self, number: u32) -> Option<&Revision> {
        self.revisions.iter().find(|revision| revision.number == number)
    }

    /// Whether the revision's label says that it was made of this digest.
    pub fn has_digest(&self, digest: &str) -> bool {
        self.labels
            .get(DIGEST_LABEL)
            .is_some_and(|label| label == label_of(digest))
    }

    /// Marks this revision as verified, or takes the mark away.
    pub async fn set_verified(
        &self,
        cluster: &Cluster,
        namespace: &str,
        digest: &str,
        verified: Verified,
    ) -> Result<(), ReleaseError> {
        let mark = match verified {
            Verified::Yes => Value::String(self.mark(digest)),
            Verified::No => Value::Null,
        };
        self.set_labels(cluster, namespace, &json!({VERIFIED_LABEL: mark}))
            .await
    }

    /// Marks the revision as the one by which this tool went back to an earlier one. It is then ours if that was, of
    /// the same run: its labels are copies.
    pub async fn set_restored(
        &self,
        cluster: &Cluster,
        namespace: &str,
        restored: u32,
    ) -> Result<(), ReleaseError> {
        let own = self.revision.to_string();
        let mut labels = json!({RESTORED_LABEL: format!("{own}.{restored}")});
        if self.kept(restored).is_some_and(Revision::is_ours) {
            labels[REVISION_LABEL] = Value::String(own);
        }
        self.set_labels(cluster, namespace, &labels).await
    }

    /// The earlier revision that this one has brought back, if this tool did that.
    pub fn restored(&self) -> Option<u32> {
        let (own, restored) = self.labels.get(RESTORED_LABEL)?.split_once('.')?;
        restored.parse().ok().filter(|_| own == self.revision.to_string())
    }

    async fn set_labels(
        &self,
        cluster: &Cluster,
        namespace: &str,
        labels: &Value,
    ) -> Result<(), ReleaseError> {
        let patch = json!({"metadata": {"labels": labels}});
        Api::<Secret>::namespaced(cluster.client.clone(), namespace)
            .patch_metadata(&self.secret, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .map_err(|source| {
                cluster.request_error(&format!("(by a patch) release record {}", self.secret), source)
            })?;
        Ok(())
    }

    /// A record for the tests of what is decided by records.
    #[cfg(test)]
    pub(crate) fn sample<const N: usize>(
        revision: u32,
        status: &str,
        config: Value,
        labels: [(String, String); N],
    ) -> Self {
        Self {
            revision,
            status: status.to_owned(),
            chart: "orders".to_owned(),
            chart_version: "0.1.0".to_owned(),
            config,
            base: None,
            manifest: String::new(),
            deployed_at: None,
            labels: labels.into(),
            revisions: Vec::new(),
            secret: String::new(),
        }
    }

    /// The name of its Secret.
    pub(crate) fn secret(&self) -> &str {
        &self.secret
    }

    /// Adds revisions, for tests.
    #[cfg(test)]
    pub(crate) fn keep(&mut self, kept: impl IntoIterator<Item = (u32, Vec<(&'static str, String)>)>) {
        let revisions = kept.into_iter().map(|(number, labels)| Revision {
            number,
            labels: labels
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect(),
            secret: String::new(),
        });
        self.revisions.extend(revisions);
    }

    fn mark(&self, digest: &str) -> String {
        mark(self.revision, digest)
    }
}

/// Whether a revision is to carry the mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verified {
    /// It was verified.
    Yes,
    /// It was found not to work.
    No,
}

/// The part of a digest that a label carries.
pub fn label_of(digest: &str) -> &str {
    digest.get(..LABEL_DIGITS).unwrap_or(digest)
}

#[cfg(test)]
mod tests;
