//! The fleet file: which release goes to which clusters, with which values and identities, in which order.
//!
//! Only what the file says. Paths are relative to the file; nothing here reads a cluster.

pub mod amount;
mod clusters;
mod file;
mod rollout;
pub mod selector;
mod twice;
mod verify;

pub use clusters::{AzureDiscovery, ClusterSpec, DiscoverSpec, LabelsFrom};
pub use file::{FleetError, FleetText, SCHEMA};
pub use rollout::{
    Approval, FailureStrategy, FirstInstall, GateSpec, OnFailureSpec, RolloutSpec, StageSpec, Unmatched,
    Unreachable,
};

pub use verify::{CommandSpec, HelmTestSpec, HttpSpec, VerifySpec};

use aks_shared::args::parse_duration;
use aks_shared::format;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// The content of a fleet file.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
    /// How a release is verified, beside the token exchange of its identities.
    #[serde(default)]
    pub verify: Vec<VerifySpec>,
    /// Where reports are written.
    #[serde(default)]
    pub report: ReportSpec,
}

/// The versions of the grammar that are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum ApiVersion {
    /// The only one yet.
    #[serde(rename = "helmfleet/v1alpha1")]
    V1Alpha1,
}

/// The kinds of files that are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Kind {
    /// A fleet.
    Fleet,
}

/// The Helm release, the same on every cluster.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChartSpec {
    /// A chart folder, a packaged chart, `REPOSITORY/CHART` of a repository that helm knows, a chart of `repo`, or an
    /// `oci://` reference.
    #[serde(rename = "ref")]
    pub reference: String,
    /// URL of a chart repository; helm need not know it.
    pub repo: Option<String>,
    /// The version of a chart that is pulled; without it the newest one.
    pub version: Option<String>,
    /// Further arguments of `helm pull`, passed as they are.
    #[serde(default)]
    pub pull_args: Vec<String>,
    /// Digest that the chart must have, `sha256:…` as the reports tell it.
    pub digest: Option<String>,
}

/// How Helm is run.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct HelmSpec {
    /// Helm's own bound on each of its waits.
    #[serde(deserialize_with = "duration")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub timeout: Duration,
    /// When a helm that has not ended is stopped; without it after four timeouts and a minute. One that does not end
    /// then is killed half a minute later, or after as long again where that is less.
    #[serde(deserialize_with = "some_duration")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub deadline: Option<Duration>,
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
            deadline: None,
            wait: true,
            history_max: 10,
            values_policy: ValuesPolicy::Reset,
            args: Vec::new(),
        }
    }
}

impl HelmSpec {
    /// When a helm that has not ended is stopped. Helm's own timeout bounds each of its waits and hooks, not the whole.
    pub fn deadline(&self) -> Duration {
        self.deadline
            .unwrap_or_else(|| self.timeout * 4 + Duration::from_mins(1))
    }
}

/// What happens to values that an earlier revision was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
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

/// Where reports are written.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ReportSpec {
    /// The folder; without it no reports are written.
    pub dir: Option<PathBuf>,
    /// Which reports; without them all.
    pub formats: Vec<ReportFormat>,
}

/// A kind of report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ReportFormat {
    /// `report.json`.
    Json,
    /// `TEST-fleet.xml`.
    Junit,
    /// `report.md`.
    Markdown,
    /// `report.html`.
    Html,
}

impl ReportSpec {
    /// Whether a report of this kind is wanted.
    pub fn wants(&self, format: ReportFormat) -> bool {
        self.formats.is_empty() || self.formats.contains(&format)
    }
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    format::parsed(deserializer, |text| {
        parse_duration(text).map_err(|why| format!("{text:?} is no duration: {why}"))
    })
}

fn some_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

#[cfg(test)]
impl schemars::JsonSchema for ValuesSpec {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ValuesSpec".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A values file, or an address that Helm itself reads (`secrets://…`); may hold {{ }}.",
            "oneOf": [{"type": "string"}, {
                "type": "object",
                "properties": {
                    "file": {"description": "The file.", "type": "string"},
                    "optional": {"description": "Whether the file may be absent.", "type": "boolean", "default": false},
                },
                "additionalProperties": false,
                "required": ["file"],
            }],
        })
    }
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
