//! Helm's release records, read straight from their Secrets: no helm process, two requests per cluster.
//!
//! Also the mark by which a revision says that it was verified. It is bound to digest and revision, because Helm
//! copies labels forward: a mark on another revision than its own means nothing.

use crate::digest::LABEL_DIGITS;
use aks_shared::cluster::{Cluster, ClusterError};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Read;

/// Label with the digest of what a revision was made of.
pub const DIGEST_LABEL: &str = "helm-fleet/digest";
/// Label that says which digest and revision were verified.
pub const VERIFIED_LABEL: &str = "helm-fleet/verified";
/// Label with the number of the revision that this tool wrote. Helm copies labels forward through an upgrade by hand,
/// and the copy then names another revision than the one it is on.
pub const REVISION_LABEL: &str = "helm-fleet/revision";

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
    /// What the revision consists of, as Helm rendered it.
    pub manifest: String,
    /// Labels of the Secret, Helm's own among them.
    pub labels: BTreeMap<String, String>,
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

impl Record {
    /// Reads the newest revision of a release; none when it was never installed.
    pub async fn latest(
        cluster: &Cluster,
        namespace: &str,
        release: &str,
    ) -> Result<Option<Self>, ReleaseError> {
        let secrets = Api::<Secret>::namespaced(cluster.client.clone(), namespace);
        let failed = |source| {
            cluster.request_error(&format!("the revisions of release {namespace}/{release}"), source)
        };
        let query = ListParams::default().labels(&format!("owner=helm,name={release}"));
        let list = secrets.list_metadata(&query).await.map_err(failed)?;
        let newest = list
            .items
            .into_iter()
            .filter_map(|item| {
                let revision: u32 = item.metadata.labels.as_ref()?.get("version")?.parse().ok()?;
                Some((revision, item.metadata.name?))
            })
            .max();
        let Some((_, name)) = newest else { return Ok(None) };
        let Some(secret) = secrets.get_opt(&name).await.map_err(failed)? else {
            return Ok(None);
        };
        Self::decode(&secret)
            .map(Some)
            .map_err(|why| ReleaseError::Decode {
                context: cluster.context.clone(),
                secret: name,
                why,
            })
    }

    /// Decodes a record's Secret: base64 of gzip of JSON, on top of the Secret's own base64.
    fn decode(secret: &Secret) -> Result<Self, &'static str> {
        let data = secret
            .data
            .as_ref()
            .and_then(|data| data.get("release"))
            .ok_or("it has no key release")?;
        let packed = STANDARD.decode(&data.0).map_err(|_| "it is not base64")?;
        let mut text = Vec::new();
        if packed.starts_with(&[0x1f, 0x8b]) {
            GzDecoder::new(packed.as_slice())
                .read_to_end(&mut text)
                .map_err(|_| "it is not gzip")?;
        } else {
            // Helm 2 and its early successors did not compress.
            text = packed;
        }
        let stored: Stored = serde_json::from_slice(&text).map_err(|_| "it is not the JSON of a release")?;
        Ok(Self {
            revision: stored.version,
            status: stored.info.status,
            chart: stored.chart.metadata.name,
            chart_version: stored.chart.metadata.version,
            config: stored.config,
            manifest: stored.manifest,
            labels: secret.metadata.labels.clone().unwrap_or_default(),
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
        self.labels
            .get(DIGEST_LABEL)
            .is_some_and(|digest| self.labels.get(VERIFIED_LABEL) == Some(&self.mark(digest)))
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
        let patch = json!({"metadata": {"labels": {VERIFIED_LABEL: mark}}});
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
            manifest: String::new(),
            labels: labels.into(),
            secret: String::new(),
        }
    }

    fn mark(&self, digest: &str) -> String {
        format!("v{}.{}", self.revision, label_of(digest))
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
mod tests {
    use super::*;
    use k8s_openapi::ByteString;
    use std::io::Write;

    fn secret(content: &[u8], labels: &[(&str, &str)]) -> Secret {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(content).unwrap();
        let packed = STANDARD.encode(encoder.finish().unwrap());
        let mut secret = Secret::default();
        secret.metadata.name = Some("sh.helm.release.v1.orders.v3".into());
        secret.metadata.labels = Some(
            labels
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
        );
        secret.data = Some([("release".to_owned(), ByteString(packed.into_bytes()))].into());
        secret
    }

    const STORED: &[u8] = br#"{"name":"orders","version":3,"info":{"status":"deployed","notes":"x"},
        "chart":{"metadata":{"name":"orders","version":"0.1.0"},"templates":[]},"config":{"a":1}}"#;

    #[test]
    fn a_record_is_decoded() {
        let record = Record::decode(&secret(STORED, &[])).unwrap();
        assert_eq!(
            (
                record.revision,
                record.chart.as_str(),
                record.chart_version.as_str()
            ),
            (3, "orders", "0.1.0")
        );
        assert!(record.is_deployed() && !record.is_pending());
        assert_eq!(record.config, json!({"a": 1}));
    }

    #[test]
    fn a_mark_counts_for_its_own_revision_and_digest_only() {
        let digest = "d".repeat(64);
        let label = label_of(&digest);
        let right = format!("v3.{label}");
        let copied = format!("v2.{label}");
        let record = |mark: &str| {
            Record::decode(&secret(STORED, &[(DIGEST_LABEL, label), (VERIFIED_LABEL, mark)])).unwrap()
        };
        assert!(record(&right).is_verified(&digest));
        assert!(!record(&copied).is_verified(&digest));
        assert!(record(&right).was_verified() && !record(&copied).was_verified());
        assert!(!record(&right).is_verified(&"e".repeat(64)));
        assert!(right.len() <= 63);
    }

    #[test]
    fn what_helm_did_not_write_is_an_error() {
        assert!(Record::decode(&Secret::default()).is_err());
        assert!(Record::decode(&secret(b"{}", &[])).is_err());
    }
}
