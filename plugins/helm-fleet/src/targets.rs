//! Which clusters a run is about, and in which stage each one is: every cluster in exactly one.

use crate::fleet::amount::Amount;
use crate::fleet::selector::Selector;
use crate::fleet::{ClusterSpec, Fleet, RolloutSpec, Unmatched};
use aks_shared::kubeconfig::glob_matches;
use std::collections::BTreeSet;

/// A stage with its clusters and with its amounts resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// How many targets at once.
    pub max_concurrency: usize,
    /// How many failures let the next stage start.
    pub max_failures: usize,
    /// Its targets, as indices into the list of clusters, in the order of the file.
    pub targets: Vec<usize>,
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
        /// `cluster: context`, all of them.
        missing: Vec<String>,
        /// The contexts that exist.
        known: Vec<String>,
    },
    /// The file names no cluster at all.
    #[error("the fleet has no clusters")]
    NoClusters,
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

/// The clusters of a fleet, listed ones first, then discovered ones that no listed one names.
///
/// A fleet that lists and discovers none takes the contexts that the command line selects.
pub fn clusters(
    fleet: &Fleet,
    selection: &Selection,
    known: &[String],
) -> Result<Vec<ClusterSpec>, TargetError> {
    let mut clusters = fleet.clusters.clone();
    let missing: Vec<String> = clusters
        .iter()
        .filter(|cluster| !known.contains(&cluster.context))
        .map(|cluster| format!("{}: {}", cluster.name, cluster.context))
        .collect();
    if !missing.is_empty() {
        return Err(TargetError::UnknownContexts {
            missing,
            known: known.to_vec(),
        });
    }
    let nothing_named = fleet.clusters.is_empty() && fleet.discover.contexts.is_empty();
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
    let named: BTreeSet<&str> = fleet
        .clusters
        .iter()
        .flat_map(|cluster| [cluster.context.as_str(), cluster.name.as_str()])
        .collect();
    let matches_any = |globs: &[String], context: &str| globs.iter().any(|glob| glob_matches(glob, context));
    for context in known {
        let found = matches_any(patterns, context) && !matches_any(&fleet.discover.exclude, context);
        if found && !named.contains(context.as_str()) {
            clusters.push(ClusterSpec {
                name: context.clone(),
                context: context.clone(),
                id: None,
                labels: std::collections::BTreeMap::new(),
                values: Vec::new(),
            });
        }
    }
    if clusters.is_empty() {
        Err(TargetError::NoClusters)
    } else {
        Ok(clusters)
    }
}

/// The stages of a fleet over all its clusters; empty stages stay, so that their emptiness is seen.
pub fn stages(clusters: &[ClusterSpec], rollout: Option<&RolloutSpec>) -> Result<Vec<Stage>, TargetError> {
    let everything = || Stage {
        name: "all".to_owned(),
        max_concurrency: clusters.len().max(1),
        max_failures: 0,
        targets: (0..clusters.len()).collect(),
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
        .map(|(spec, targets)| resolve(&spec.name, spec.max_concurrency, spec.max_failures, targets))
        .collect();
    if !rest.is_empty() {
        stages.push(resolve("rest", Amount::Count(1), Amount::Count(0), rest));
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
    stages(&clusters, rollout)?;
    let known: Vec<String> = clusters.iter().map(|cluster| cluster.name.clone()).collect();
    let wanted =
        |globs: &[String], name: &str| globs.is_empty() || globs.iter().any(|glob| glob_matches(glob, name));
    let clusters: Vec<ClusterSpec> = clusters
        .into_iter()
        .filter(|cluster| wanted(&selection.clusters, &cluster.name))
        .filter(|cluster| wanted(&selection.contexts, &cluster.context))
        .filter(|cluster| selection.selector.matches(&cluster.labels))
        .collect();
    if clusters.is_empty() {
        return Err(TargetError::EmptySelection { known });
    }
    let stages = stages(&clusters, rollout)?;
    Ok((clusters, stages))
}

fn resolve(name: &str, max_concurrency: Amount, max_failures: Amount, targets: Vec<usize>) -> Stage {
    Stage {
        name: name.to_owned(),
        max_concurrency: max_concurrency.of_at_least_one(targets.len()),
        max_failures: max_failures.of(targets.len()),
        targets,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::StageSpec;
    use proptest::prelude::*;

    fn cluster(name: &str, ring: &str) -> ClusterSpec {
        ClusterSpec {
            name: name.to_owned(),
            context: format!("aks-{name}"),
            id: None,
            labels: [("ring".to_owned(), ring.to_owned())].into(),
            values: Vec::new(),
        }
    }

    fn stage(name: &str, selector: &str, max_concurrency: Amount) -> StageSpec {
        StageSpec {
            name: name.to_owned(),
            selector: selector.parse().unwrap(),
            max_concurrency,
            max_failures: Amount::Count(0),
        }
    }

    fn rollout(unmatched: Unmatched) -> RolloutSpec {
        RolloutSpec {
            unmatched,
            stages: vec![
                stage("canary", "ring=0", Amount::Count(1)),
                stage("prod", "ring in (1,2)", Amount::Percent(50)),
            ],
            ..RolloutSpec::default()
        }
    }

    #[test]
    fn without_stages_all_clusters_go_at_once() {
        let clusters = [cluster("a", "0"), cluster("b", "1")];
        let stages = stages(&clusters, None).unwrap();
        assert_eq!(stages.len(), 1);
        assert_eq!(
            (stages[0].max_concurrency, stages[0].targets.as_slice()),
            (2, [0, 1].as_slice())
        );
    }

    #[test]
    fn all_clusters_outside_exactly_one_stage_are_listed() {
        let clusters = [cluster("a", "0"), cluster("b", "7"), cluster("c", "8")];
        let Err(TargetError::Stages { offenders }) = stages(&clusters, Some(&rollout(Unmatched::Error)))
        else {
            panic!("they were accepted")
        };
        assert_eq!(offenders, ["b: in no stage", "c: in no stage"]);
        let mut twice = rollout(Unmatched::Error);
        twice.stages[1].selector = Selector::default();
        let Err(TargetError::Stages { offenders }) = stages(&clusters, Some(&twice)) else {
            panic!("they were accepted")
        };
        assert_eq!(offenders, ["a: in canary and prod"]);
    }

    #[test]
    fn a_selection_keeps_the_stages_and_must_leave_something() {
        let clusters = vec![cluster("a", "0"), cluster("b", "1"), cluster("c", "2")];
        let selection = Selection {
            clusters: vec!["[bc]".into()],
            ..Selection::default()
        };
        assert!(matches!(
            select(clusters.clone(), Some(&rollout(Unmatched::Error)), &selection),
            Err(TargetError::EmptySelection { .. })
        ));
        let selection = Selection {
            selector: "ring!=0".parse().unwrap(),
            ..Selection::default()
        };
        let (left, stages) = select(clusters, Some(&rollout(Unmatched::Error)), &selection).unwrap();
        assert_eq!(left.len(), 2);
        assert_eq!(
            stages.iter().map(|stage| stage.targets.len()).collect::<Vec<_>>(),
            [0, 2]
        );
    }

    proptest! {
        #[test]
        fn every_cluster_is_in_exactly_one_stage(rings in proptest::collection::vec(0_u8..5, 1..40)) {
            let clusters: Vec<ClusterSpec> = rings
                .iter()
                .enumerate()
                .map(|(index, ring)| cluster(&format!("c{index}"), &ring.to_string()))
                .collect();
            let stages = stages(&clusters, Some(&rollout(Unmatched::Last))).unwrap();
            let mut seen: Vec<usize> = stages.iter().flat_map(|stage| stage.targets.clone()).collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..clusters.len()).collect::<Vec<_>>());
            for stage in &stages {
                prop_assert!(stage.max_concurrency >= 1);
                prop_assert!(stage.max_failures <= stage.targets.len());
            }
        }
    }
}
