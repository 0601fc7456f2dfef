//! The fleet file: which release goes to which clusters, with which values and identities, in which order.
//!
//! Only what the file says. Paths are relative to the file; nothing here reads a cluster.

pub mod amount;
mod rollout;
pub mod selector;

pub use rollout::{FailureStrategy, OnFailureSpec, RolloutSpec, StageSpec, Unmatched, Unreachable};

use aks_shared::args::parse_duration;
use aks_shared::format::{self, FormatError};
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The content of a fleet file.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fleet {
    /// The version of the file's grammar.
    pub api_version: ApiVersion,
    /// What the file describes.
    pub kind: Kind,
    /// The Helm release.
    pub release: ReleaseSpec,
    /// The chart.
    pub chart: ChartSpec,
    /// How Helm is run.
    #[serde(default)]
    pub helm: HelmSpec,
    /// Values files for every cluster; later ones win.
    #[serde(default)]
    pub values: Vec<ValuesSpec>,
    /// Identities that each cluster gets one of, by the name that templates use.
    #[serde(default)]
    pub identities: BTreeMap<String, IdentitySpec>,
    /// Values merged last; texts may hold `{{ }}`.
    #[serde(default)]
    pub overrides: Map<String, Value>,
    /// The clusters.
    #[serde(default)]
    pub clusters: Vec<ClusterSpec>,
    /// More clusters, found in the kubeconfig.
    #[serde(default)]
    pub discover: DiscoverSpec,
    /// In which order; without it all at once.
    pub rollout: Option<RolloutSpec>,
    /// Where reports are written.
    #[serde(default)]
    pub report: ReportSpec,
}

/// The versions of the grammar that are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum ApiVersion {
    /// The only one yet.
    #[serde(rename = "helmfleet/v1alpha1")]
    V1Alpha1,
}

/// The kinds of files that are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Kind {
    /// A fleet.
    Fleet,
}

/// The Helm release, the same on every cluster.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReleaseSpec {
    /// Its name.
    pub name: String,
    /// The namespace it is installed in.
    pub namespace: String,
    /// Whether a namespace that does not exist is created.
    #[serde(default)]
    pub create_namespace: bool,
}

/// Which chart.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChartSpec {
    /// A chart folder or a packaged chart.
    #[serde(rename = "ref")]
    pub reference: String,
}

/// How Helm is run.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct HelmSpec {
    /// Helm's own bound on each of its waits.
    #[serde(deserialize_with = "duration")]
    pub timeout: Duration,
    /// Whether Helm waits until the release is ready.
    pub wait: bool,
    /// How many revisions are kept per release.
    pub history_max: u32,
    /// What happens to values that an earlier revision was given.
    pub values_policy: ValuesPolicy,
    /// Further arguments of `helm upgrade`, passed as they are.
    pub args: Vec<String>,
}

impl Default for HelmSpec {
    fn default() -> Self {
        Self {
            timeout: Duration::from_mins(5),
            wait: true,
            history_max: 10,
            values_policy: ValuesPolicy::Reset,
            args: Vec::new(),
        }
    }
}

/// What happens to values that an earlier revision was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ValuesPolicy {
    /// They are dropped: the chart's defaults and the fleet's values alone.
    #[default]
    Reset,
    /// The new chart's defaults, then the old values, then the fleet's.
    ResetThenReuse,
    /// The old revision's values, chart defaults included, then the fleet's.
    Reuse,
}

/// A values file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValuesSpec {
    /// The file, or an address that Helm itself reads (`secrets://…`); may hold `{{ }}`.
    pub file: String,
    /// Whether the file may be absent.
    pub optional: bool,
}

/// An identity that each cluster gets one of.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IdentitySpec {
    /// The service account that becomes it, in the release's namespace.
    pub service_account: String,
    /// The secrets it may read, `VAULT/NAME`.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// Name template of the managed identity; without it the default of `kubectl wi setup`.
    pub name: Option<String>,
    /// Resource group of the managed identity; without it the cluster's.
    pub group: Option<String>,
    /// Audience of its tokens; without it the one that the webhook projects.
    pub audience: Option<String>,
    /// Who makes and annotates the service account.
    #[serde(default)]
    pub service_account_owner: ServiceAccountOwner,
    /// Tags of the managed identity.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// Who makes and annotates the service account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceAccountOwner {
    /// The chart; before its first install the account is created for the release to adopt.
    #[default]
    Auto,
    /// `kubectl wi setup`: the chart renders no service account.
    Setup,
    /// The chart alone: the account appears with the first install.
    Chart,
}

/// One cluster.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterSpec {
    /// The name by which reports and templates know it.
    pub name: String,
    /// The kubeconfig context that leads to it.
    pub context: String,
    /// Its ARM id; what the context reaches must be this.
    pub id: Option<String>,
    /// Labels for selectors and templates.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Values files for this cluster alone, after those of the fleet.
    #[serde(default)]
    pub values: Vec<ValuesSpec>,
}

/// Clusters found in the kubeconfig.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DiscoverSpec {
    /// Globs of contexts.
    pub contexts: Vec<String>,
    /// Globs of contexts that are left out.
    pub exclude: Vec<String>,
}

/// Where reports are written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ReportSpec {
    /// The folder; without it no reports are written.
    pub dir: Option<PathBuf>,
    /// Which reports; without them all.
    pub formats: Vec<ReportFormat>,
}

/// A kind of report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReportFormat {
    /// `report.json`.
    Json,
    /// `TEST-fleet.xml`.
    Junit,
    /// `report.md`.
    Markdown,
}

impl ReportSpec {
    /// Whether a report of this kind is wanted.
    pub fn wants(&self, format: ReportFormat) -> bool {
        self.formats.is_empty() || self.formats.contains(&format)
    }
}

/// A fleet file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// The file cannot be read.
    #[error("cannot read the fleet file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no fleet.
    #[error("{} is no fleet file", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: FormatError,
    },
    /// The file contradicts itself.
    #[error("the fleet file {} cannot be used", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Every problem, with its key.
        problems: Vec<String>,
    },
}

impl Fleet {
    /// Reads a fleet file and checks what can be checked without clusters.
    pub fn load(path: &Path) -> Result<Self, FleetError> {
        let text = std::fs::read_to_string(path).map_err(|source| FleetError::Read {
            path: path.to_owned(),
            source,
        })?;
        let fleet: Self = format::from_yaml(&text).map_err(|source| FleetError::Parse {
            path: path.to_owned(),
            source,
        })?;
        let problems = fleet.problems();
        if problems.is_empty() {
            Ok(fleet)
        } else {
            Err(FleetError::Invalid {
                path: path.to_owned(),
                problems,
            })
        }
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut name = |key: &str, text: &str, longest: usize| {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            let edges = text.starts_with('-') || text.ends_with('-');
            if text.is_empty() || text.len() > longest || edges || !text.chars().all(plain) {
                problems.push(format!(
                    "{key}: {text:?} is not 1 to {longest} lower-case letters, digits and '-'"
                ));
            }
        };
        // Helm's own bound on release names.
        name("release.name", &self.release.name, 53);
        name("release.namespace", &self.release.namespace, 63);
        for (key, identity) in &self.identities {
            for (index, secret) in identity.secrets.iter().enumerate() {
                if let Err(error) = secret.parse::<aks_shared::identity::SecretRef>() {
                    problems.push(format!("identities.{key}.secrets[{index}]: {error}"));
                }
            }
            let account = aks_shared::identity::ServiceAccountRef::new(
                self.release.namespace.clone(),
                identity.service_account.clone(),
            );
            if let Err(error) = account {
                problems.push(format!("identities.{key}.serviceAccount: {error}"));
            }
        }
        let mut seen = BTreeSet::new();
        for (index, cluster) in self.clusters.iter().enumerate() {
            if !seen.insert(&cluster.name) {
                problems.push(format!(
                    "clusters[{index}].name: {:?} is there twice",
                    cluster.name
                ));
            }
        }
        let mut seen = BTreeSet::new();
        for (index, stage) in self
            .rollout
            .iter()
            .flat_map(|rollout| &rollout.stages)
            .enumerate()
        {
            if !seen.insert(&stage.name) {
                problems.push(format!(
                    "rollout.stages[{index}].name: {:?} is there twice",
                    stage.name
                ));
            }
        }
        problems
    }
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text).map_err(|why| de::Error::custom(format!("{text:?} is no duration: {why}")))
}

impl<'de> Deserialize<'de> for ValuesSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ValuesVisitor;
        impl<'de> Visitor<'de> for ValuesVisitor {
            type Value = ValuesSpec;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a file name, or {file: NAME, optional: true}")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ValuesSpec, E> {
                Ok(ValuesSpec {
                    file: text.to_owned(),
                    optional: false,
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ValuesSpec, A::Error> {
                #[derive(Deserialize)]
                #[serde(deny_unknown_fields)]
                struct Long {
                    file: String,
                    #[serde(default)]
                    optional: bool,
                }
                let long = Long::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(ValuesSpec {
                    file: long.file,
                    optional: long.optional,
                })
            }
        }
        deserializer.deserialize_any(ValuesVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::amount::Amount;
    use super::*;

    const SMALL: &str = r#"
apiVersion: helmfleet/v1alpha1
kind: Fleet
release: {name: orders, namespace: shop, createNamespace: true}
chart: {ref: ./charts/orders}
helm: {timeout: 10m}
values: [a.yaml, {file: "values/{{ cluster.labels.env }}.yaml", optional: true}]
identities:
  orders: {serviceAccount: orders, secrets: [kv-central/db-password]}
overrides: {serviceAccount: {name: orders}}
clusters:
  - {name: weu-1, context: aks-weu-1, labels: {ring: "0"}}
rollout:
  stages:
    - {name: canary, selector: "ring=0", maxConcurrency: 1}
    - {name: prod, selector: "ring!=0", maxConcurrency: 25%, maxFailures: 1}
report: {dir: out, formats: [json, junit]}
"#;

    fn load(text: &str) -> Result<Fleet, FleetError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("helm-fleet.yaml");
        std::fs::write(&path, text).unwrap();
        Fleet::load(&path)
    }

    fn explain(error: &FleetError) -> String {
        format!("{error}: {}", aks_shared::causes(error).join(": "))
    }

    #[test]
    fn a_fleet_is_read() {
        let fleet = load(SMALL).unwrap();
        assert_eq!(fleet.helm.timeout, Duration::from_mins(10));
        assert!(fleet.helm.wait);
        assert!(!fleet.values[0].optional && fleet.values[1].optional);
        let stages = &fleet.rollout.as_ref().unwrap().stages;
        assert_eq!(stages[1].max_concurrency, Amount::Percent(25));
        assert_eq!(stages[0].max_failures, Amount::Count(0));
        assert!(fleet.report.wants(ReportFormat::Junit) && !fleet.report.wants(ReportFormat::Markdown));
    }

    #[test]
    fn an_unknown_key_is_named_with_its_place() {
        let error = load(&SMALL.replace("maxFailures", "maxFailurs")).unwrap_err();
        let text = explain(&error);
        assert!(text.contains("maxFailurs") && text.contains("stages"), "{text}");
    }

    #[test]
    fn every_contradiction_is_listed() {
        let text = SMALL.replace("name: orders, namespace: shop", "name: Orders, namespace: shop");
        let text = text
            .replace("kv-central/db-password", "db-password")
            .replace("name: prod", "name: canary");
        let Err(FleetError::Invalid { problems, .. }) = load(&text) else {
            panic!("it was accepted")
        };
        assert_eq!(problems.len(), 3, "{problems:?}");
    }
}
