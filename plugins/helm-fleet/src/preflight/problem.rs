//! What forbids a run, per cluster, and all of it as the failure that ends the command.

use super::Target;
use aks_shared::Failure;
use std::collections::BTreeMap;

/// Something that forbids the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The cluster.
    pub cluster: String,
    /// What is wrong, in one line.
    pub what: String,
    /// What to do about it.
    pub hints: Vec<String>,
}

impl Problem {
    /// A problem without a hint.
    pub fn new(cluster: &str, what: impl Into<String>) -> Self {
        Self {
            cluster: cluster.to_owned(),
            what: what.into(),
            hints: Vec::new(),
        }
    }

    /// A failure as a problem.
    pub(crate) fn of(cluster: &str, failure: Failure) -> Self {
        let what = std::iter::once(failure.message)
            .chain(failure.causes)
            .collect::<Vec<_>>()
            .join(": ");
        Self {
            cluster: cluster.to_owned(),
            what,
            hints: failure.hints,
        }
    }
}

/// Contexts that lead to one and the same cluster.
pub(super) fn twins(targets: &[Target]) -> Vec<Problem> {
    let mut by_uid: BTreeMap<&str, Vec<&Target>> = BTreeMap::new();
    for target in targets.iter().filter(|target| !target.uid.is_empty()) {
        by_uid.entry(&target.uid).or_default().push(target);
    }
    let mut problems = Vec::new();
    for twins in by_uid.values().filter(|twins| twins.len() > 1) {
        let all: Vec<String> = twins
            .iter()
            .map(|twin| format!("{} (context {})", twin.spec.name, twin.spec.context))
            .collect();
        let what = format!("{} are one and the same cluster", all.join(" and "));
        problems.push(Problem::new(&twins[0].spec.name, what));
    }
    problems
}

/// All problems as the failure that ends the command.
pub fn refusal(problems: &[Problem], clusters: usize) -> Failure {
    let mut named: Vec<&str> = problems.iter().map(|problem| problem.cluster.as_str()).collect();
    named.sort_unstable();
    named.dedup();
    let mut failure = Failure::refused(format!(
        "preflight refuses {} of {clusters} clusters; nothing was touched",
        named.len()
    ));
    failure.causes = problems
        .iter()
        .map(|problem| format!("{}: {}", problem.cluster, problem.what))
        .collect();
    for hint in problems.iter().flat_map(|problem| &problem.hints) {
        if !failure.hints.contains(hint) {
            failure.hints.push(hint.clone());
        }
    }
    failure
}
