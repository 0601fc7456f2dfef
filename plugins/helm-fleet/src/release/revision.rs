//! A revision as the labels of its Secret tell of it, and what may be read out of them.

use super::{DIGEST_LABEL, REVISION_LABEL, RUN_LABEL, ReleaseError, VERIFIED_LABEL, label_of, unread};
use aks_shared::cluster::Cluster;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::ListParams;
use std::collections::BTreeMap;

/// A revision of a release as the labels of its Secret tell of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// Its number.
    pub number: u32,
    /// Labels of the Secret, Helm's own among them.
    pub labels: BTreeMap<String, String>,
    pub(super) secret: String,
}

impl Revision {
    /// All revisions of a release that are kept, the oldest first, by one request for their labels alone.
    pub async fn all(cluster: &Cluster, namespace: &str, release: &str) -> Result<Vec<Self>, ReleaseError> {
        let query = ListParams::default().labels(&format!("owner=helm,name={release}"));
        let list = Api::<Secret>::namespaced(cluster.client.clone(), namespace)
            .list_metadata(&query)
            .await
            .map_err(|source| unread(cluster, namespace, release, source))?;
        let mut revisions: Vec<Self> = list
            .items
            .into_iter()
            .filter_map(|item| Self::read(item.metadata))
            .collect();
        revisions.sort_by_key(|revision| revision.number);
        Ok(revisions)
    }

    /// Helm's word for its state.
    pub fn status(&self) -> &str {
        self.labels.get("status").map_or("unknown", String::as_str)
    }

    /// When Helm wrote it last, as its labels tell: seconds since 1970.
    pub fn written_at(&self) -> Option<Timestamp> {
        let time = self
            .labels
            .get("modifiedAt")
            .or_else(|| self.labels.get("createdAt"))?;
        Timestamp::from_second(time.parse().ok()?).ok()
    }

    /// The run that wrote it, if this tool did.
    pub fn run(&self) -> Option<&str> {
        let run = self.labels.get(RUN_LABEL).filter(|_| self.is_ours())?;
        Some(run)
    }

    /// The part of the digest of its content that its label has.
    pub fn digest(&self) -> Option<&str> {
        self.labels.get(DIGEST_LABEL).map(String::as_str)
    }

    /// A revision, for tests.
    #[cfg(test)]
    pub(crate) fn sample<'a>(number: u32, labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self {
            number,
            labels: labels
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            secret: String::new(),
        }
    }

    pub(super) fn read(metadata: ObjectMeta) -> Option<Self> {
        let labels = metadata.labels?;
        Some(Self {
            number: labels.get("version")?.parse().ok()?,
            secret: metadata.name?,
            labels,
        })
    }

    /// Whether this tool wrote it.
    pub fn is_ours(&self) -> bool {
        self.labels.get(REVISION_LABEL) == Some(&self.number.to_string())
    }

    /// Whether a run wrote it.
    pub fn is_of_run(&self, run: &str) -> bool {
        self.run() == Some(run)
    }

    /// Whether this very revision was verified.
    pub fn was_verified(&self) -> bool {
        is_marked(self.number, &self.labels)
    }

    /// Whether going back to it is better than staying where it went wrong: it was deployed, and if we wrote it, it
    /// was verified as well.
    pub(super) fn is_good(&self) -> bool {
        let status = self.labels.get("status").map(String::as_str);
        let was_deployed = matches!(status, Some("deployed" | "superseded"));
        was_deployed && (!self.is_ours() || self.was_verified())
    }
}

/// Whether a revision's mark is its own.
pub(super) fn is_marked(revision: u32, labels: &BTreeMap<String, String>) -> bool {
    let mark = labels.get(DIGEST_LABEL).map(|digest| mark(revision, digest));
    mark.is_some() && labels.get(VERIFIED_LABEL) == mark.as_ref()
}

pub(super) fn mark(revision: u32, digest: &str) -> String {
    format!("v{revision}.{}", label_of(digest))
}
