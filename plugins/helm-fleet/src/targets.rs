//! Which clusters a run is about, and in which stage each one is: every cluster in exactly one.

use crate::fleet::selector::Selector;
use crate::fleet::{ClusterSpec, Fleet, RolloutSpec, StageSpec, Unmatched};
use crate::gate::Gate;
use aks_shared::kubeconfig::glob_matches;
use std::collections::{BTreeMap, BTreeSet};

/// A stage with its clusters and with its amounts resolved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// How many targets at once.
    pub max_concurrency: usize,
    /// How many failures let the next stage start.
    pub max_failures: usize,
    /// Its targets, as indices into the list of clusters, in the order of the file.
    pub targets: Vec<usize>,
    /// Bounds among targets that share the value of a label.
    pub label_limits: Vec<LabelLimit>,
    /// What has to pass before the next stage.
    pub gates: Vec<Gate>,
}

/// How many targets at once may share the value of a label; those without the label are not bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelLimit {
    /// The label.
    pub label: String,
    /// How many at once.
    pub max: usize,
    /// Its value by target.
    pub values: BTreeMap<usize, String>,
}

/// Which targets of the fleet this run takes.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Globs of cluster names; none means all.
    pub clusters: Vec<String>,
    /// Globs of contexts; none means all.
    pub contexts: Vec<String>,
    /// Labels.
    pub selector: Selector,
    /// The only stage; without it all.
    pub stage: Option<String>,
    /// Globs of names of clusters that are left out.
    pub skip: Vec<String>,
}

/// The clusters cannot be told, or not each put into one stage.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// A glob matches no context of the kubeconfig.
    #[error("no context of the kubeconfig matches {pattern:?}")]
    NoContext {
        /// The glob.
        pattern: String,
        /// The contexts that exist.
        known: Vec<String>,
    },
    /// The file names contexts that do not exist.
    #[error("the kubeconfig lacks contexts that the fleet names")]
    UnknownContexts {
        /// All of them, each as `KEY: WHAT`.
        missing: Vec<String>,
        /// The contexts that exist.
        known: Vec<String>,
    },
    /// The file names no cluster at all.
    #[error("the fleet has no clusters")]
    NoClusters,
    /// The selection names a stage that the fleet does not have.
    #[error("the fleet has no stage {stage:?}")]
    NoStage {
        /// The stage.
        stage: String,
        /// The stages that exist.
        known: Vec<String>,
    },
    /// What is to be left out is not there: it may be misspelled, and then it would not be left out.
    #[error("no cluster of the fleet matches {pattern:?}, which is to be skipped")]
    NothingToSkip {
        /// The glob.
        pattern: String,
        /// The clusters that exist.
        known: Vec<String>,
    },
    /// The selection leaves nothing.
    #[error("the selection matches no cluster of the fleet")]
    EmptySelection {
        /// The clusters that exist.
        known: Vec<String>,
    },
    /// Clusters are in no stage or in several.
    #[error("not every cluster is in exactly one stage")]
    Stages {
        /// One line per cluster, all of them.
        offenders: Vec<String>,
    },
}

/// The clusters of a fleet: listed ones first, then those that were found in Azure and then those of the kubeconfig,
/// without those that an earlier one names already.
///
/// A fleet that lists and discovers none takes the contexts that the command line selects.
pub fn clusters(
    fleet: &Fleet,
    selection: &Selection,
    known: &[String],
    found: Vec<ClusterSpec>,
) -> Result<Vec<ClusterSpec>, TargetError> {
    let mut clusters = fleet.clusters.clone();
    let is_missing = |context: &String| !context.is_empty() && !known.contains(context);
    let missing: Vec<String> = clusters
        .iter()
        .enumerate()
        .filter(|(_, cluster)| is_missing(&cluster.context))
        .map(|(index, cluster)| {
            let (name, context) = (&cluster.name, &cluster.context);
            format!("clusters[{index}].context: {context:?} of {name} is not there")
        })
        .collect();
    if !missing.is_empty() {
        return Err(TargetError::UnknownContexts {
            missing,
            known: known.to_vec(),
        });
    }
    let nothing_named =
        fleet.clusters.is_empty() && fleet.discover.contexts.is_empty() && fleet.discover.azure.is_none();
    let patterns = if nothing_named {
        &selection.contexts
    } else {
        &fleet.discover.contexts
    };
    for pattern in patterns {
        if !known.iter().any(|context| glob_matches(pattern, context)) {
            return Err(TargetError::NoContext {
                pattern: pattern.clone(),
                known: known.to_vec(),
            });
        }
    }
    let listed: BTreeSet<String> = clusters.iter().filter_map(canonical_id).collect();
    let is_new = |cluster: &ClusterSpec| canonical_id(cluster).is_none_or(|id| !listed.contains(&id));
    clusters.extend(found.into_iter().filter(is_new));
    let named: BTreeSet<String> = clusters
        .iter()
        .flat_map(|cluster| [cluster.context.clone(), cluster.name.clone()])
        .collect();
    let matches_any = |globs: &[String], context: &str| globs.iter().any(|glob| glob_matches(glob, context));
    for context in known {
        let found = matches_any(patterns, context) && !matches_any(&fleet.discover.exclude, context);
        if found && !named.contains(context.as_str()) {
            clusters.push(ClusterSpec {
                name: context.clone(),
                context: context.clone(),
                ..ClusterSpec::default()
            });
        }
    }
    if clusters.is_empty() {
        Err(TargetError::NoClusters)
    } else {
        Ok(clusters)
    }
}

/// A cluster's ARM id in the one spelling that all spellings of it share.
fn canonical_id(cluster: &ClusterSpec) -> Option<String> {
    Some(cluster.id.as_ref()?.to_ascii_lowercase())
}

/// The stages of a fleet over all its clusters; empty stages stay, so that their emptiness is seen.
pub fn stages(clusters: &[ClusterSpec], rollout: Option<&RolloutSpec>) -> Result<Vec<Stage>, TargetError> {
    let everything = || Stage {
        name: "all".to_owned(),
        max_concurrency: clusters.len().max(1),
        max_failures: 0,
        targets: (0..clusters.len()).collect(),
        ..Stage::default()
    };
    let Some(rollout) = rollout.filter(|rollout| !rollout.stages.is_empty()) else {
        return Ok(vec![everything()]);
    };
    let mut members = vec![Vec::new(); rollout.stages.len()];
    let mut rest = Vec::new();
    let mut offenders = Vec::new();
    for (index, cluster) in clusters.iter().enumerate() {
        let matching: Vec<usize> = (0..rollout.stages.len())
            .filter(|stage| rollout.stages[*stage].selector.matches(&cluster.labels))
            .collect();
        match matching.as_slice() {
            [stage] => members[*stage].push(index),
            [] if rollout.unmatched == Unmatched::Last => rest.push(index),
            [] => offenders.push(format!("{}: in no stage", cluster.name)),
            several => {
                let names: Vec<&str> = several
                    .iter()
                    .map(|stage| rollout.stages[*stage].name.as_str())
                    .collect();
                offenders.push(format!("{}: in {}", cluster.name, names.join(" and ")));
            }
        }
    }
    if !offenders.is_empty() {
        return Err(TargetError::Stages { offenders });
    }
    let mut stages: Vec<Stage> = rollout
        .stages
        .iter()
        .zip(members)
        .map(|(spec, targets)| resolve(spec, clusters, targets))
        .collect();
    if !rest.is_empty() {
        stages.push(Stage {
            name: "rest".to_owned(),
            max_concurrency: 1,
            targets: rest,
            ..Stage::default()
        });
    }
    Ok(stages)
}

/// Reduces clusters and stages to the selected ones; shares are of what is left.
pub fn select(
    clusters: Vec<ClusterSpec>,
    rollout: Option<&RolloutSpec>,
    selection: &Selection,
) -> Result<(Vec<ClusterSpec>, Vec<Stage>), TargetError> {
    // The whole fleet must be sound, whatever part of it this run takes.
    let whole = stages(&clusters, rollout)?;
    let known: Vec<String> = clusters.iter().map(|cluster| cluster.name.clone()).collect();
    for pattern in &selection.skip {
        if !known.iter().any(|name| glob_matches(pattern, name)) {
            return Err(TargetError::NothingToSkip {
                pattern: pattern.clone(),
                known,
            });
        }
    }
    let of_stage: Option<BTreeSet<String>> = match &selection.stage {
        None => None,
        Some(wanted) => {
            let Some(stage) = whole.iter().find(|stage| stage.name == *wanted) else {
                return Err(TargetError::NoStage {
                    stage: wanted.clone(),
                    known: whole.into_iter().map(|stage| stage.name).collect(),
                });
            };
            Some(
                stage
                    .targets
                    .iter()
                    .map(|target| known[*target].clone())
                    .collect(),
            )
        }
    };
    let wanted =
        |globs: &[String], name: &str| globs.is_empty() || globs.iter().any(|glob| glob_matches(glob, name));
    let clusters: Vec<ClusterSpec> = clusters
        .into_iter()
        .filter(|cluster| wanted(&selection.clusters, &cluster.name))
        .filter(|cluster| wanted(&selection.contexts, &cluster.context))
        .filter(|cluster| selection.selector.matches(&cluster.labels))
        .filter(|cluster| {
            of_stage
                .as_ref()
                .is_none_or(|stage| stage.contains(&cluster.name))
        })
        .filter(|cluster| {
            !selection
                .skip
                .iter()
                .any(|glob| glob_matches(glob, &cluster.name))
        })
        .collect();
    if clusters.is_empty() {
        return Err(TargetError::EmptySelection { known });
    }
    let mut stages = stages(&clusters, rollout)?;
    if let Some(wanted) = &selection.stage {
        stages.retain(|stage| stage.name == *wanted);
        // Nothing follows that an approval could let through: whoever runs single stages approves between them.
        for stage in &mut stages {
            stage.gates.retain(|gate| !matches!(gate, Gate::Approval(_)));
        }
    }
    Ok((clusters, stages))
}

fn resolve(spec: &StageSpec, clusters: &[ClusterSpec], targets: Vec<usize>) -> Stage {
    let value_of = |label: &str, target: &usize| clusters[*target].labels.get(label).cloned();
    let limits = spec.max_per_label.iter().map(|(label, amount)| LabelLimit {
        label: label.clone(),
        max: amount.of_at_least_one(targets.len()),
        values: targets
            .iter()
            .filter_map(|target| Some((*target, value_of(label, target)?)))
            .collect(),
    });
    Stage {
        name: spec.name.clone(),
        max_concurrency: spec.max_concurrency.of_at_least_one(targets.len()),
        max_failures: spec.max_failures.of(targets.len()),
        label_limits: limits.collect(),
        gates: spec
            .gates
            .iter()
            .filter_map(|gate| Gate::of(gate, &spec.name))
            .collect(),
        targets,
    }
}

#[cfg(test)]
mod tests;
