//! The part of the fleet file that says which clusters there are: listed, found in the kubeconfig, found in Azure.

use super::ValuesSpec;
use serde::Deserialize;
use std::collections::BTreeMap;

/// One cluster, by the kubeconfig context that leads to it, by its ARM id, or by both.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterSpec {
    /// The name by which reports and templates know it.
    pub name: String,
    /// The kubeconfig context that leads to it; without it the cluster of the id is reached through Azure.
    #[serde(default)]
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

/// Clusters that are found.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DiscoverSpec {
    /// Globs of kubeconfig contexts.
    pub contexts: Vec<String>,
    /// Clusters of Azure.
    pub azure: Option<AzureDiscovery>,
    /// Globs of contexts and of clusters' names in Azure that are left out.
    pub exclude: Vec<String>,
    /// Where the labels of what is found in Azure come from.
    pub labels_from: LabelsFrom,
}

/// Clusters of Azure, in the subscriptions that the command line names, else in every one that can be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AzureDiscovery {
    /// Tags that a cluster must have, all of them, with these values; names are compared without case, as Azure does.
    pub tags: BTreeMap<String, String>,
}

/// Where the labels of found clusters come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LabelsFrom {
    /// Their tags; their region is the label `region` besides, unless a tag has that name.
    pub tags: bool,
}
