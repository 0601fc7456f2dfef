//! Which workloads on which contexts a run is about, from the flags or from a file. Pure.

use crate::file::{FileContext, FileText, WorkloadFile};
use crate::{Step, Workload};
use aks_shared::Failure;
use aks_shared::identity::ServiceAccountRef;
use aks_shared::kubeconfig::{Kubeconfig, KubeconfigError};
use std::collections::{BTreeMap, BTreeSet};

/// Which service account on which context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unit {
    /// How people are told of it: the context, with the service account where the context has several.
    pub(crate) label: String,
    /// The context.
    pub(crate) context: String,
    /// The service account.
    pub(crate) account: ServiceAccountRef,
}

/// One workload on one context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selected {
    /// Which.
    pub(crate) unit: Unit,
    /// What it shall be.
    pub(crate) workload: Workload,
}

impl Selected {
    pub(crate) fn new(context: String, workload: Workload) -> Self {
        Self {
            unit: Unit {
                label: context.clone(),
                context,
                account: workload.account.clone(),
            },
            workload,
        }
    }
}

/// What the flags of a command say of every workload that it is about.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked<'a> {
    /// The globs of contexts.
    pub(crate) contexts: &'a [String],
    /// The namespace of those that name none.
    pub(crate) namespace: Option<&'a str>,
    /// Whether the flags can be meant for one cluster only.
    pub(crate) names_one_cluster: bool,
    /// The steps that somebody else does.
    pub(crate) skip: BTreeSet<Step>,
    /// Whether stale credentials of ours are deleted.
    pub(crate) prune: bool,
}

/// What the flags, or the file that they name, are about; bad names are told here, before anything is asked.
/// `workload` makes the one of the flags, in a namespace.
pub(crate) fn select(
    asked: &Asked<'_>,
    file: Option<&FileText>,
    kubeconfig: &Kubeconfig,
    workload: impl Fn(&str) -> Result<Workload, Failure>,
) -> Result<Vec<Selected>, Failure> {
    let mut selected = match file {
        Some(file) => of_file(file, asked, kubeconfig)?,
        None => of_flags(asked, kubeconfig, workload)?,
    };
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for one in &selected {
        *counts.entry(one.unit.context.clone()).or_default() += 1;
    }
    for Selected { unit, .. } in &mut selected {
        if counts[&unit.context] > 1 {
            unit.label = format!("{} {}", unit.context, unit.account);
        }
    }
    Ok(selected)
}

fn of_flags(
    asked: &Asked<'_>,
    kubeconfig: &Kubeconfig,
    workload: impl Fn(&str) -> Result<Workload, Failure>,
) -> Result<Vec<Selected>, Failure> {
    let contexts = kubeconfig.select(asked.contexts)?;
    if contexts.len() > 1 && asked.names_one_cluster {
        return Err(Failure::usage(
            "--cluster-id names one cluster, and several contexts are selected",
        ));
    }
    let mut selected = Vec::new();
    for context in contexts {
        let namespace = asked.namespace.or_else(|| kubeconfig.namespace_of(&context));
        let workload = workload(namespace.unwrap_or("default"))?;
        selected.push(Selected::new(context, workload));
    }
    Ok(selected)
}

fn of_file(text: &FileText, asked: &Asked<'_>, kubeconfig: &Kubeconfig) -> Result<Vec<Selected>, Failure> {
    let path = &text.path;
    let file: WorkloadFile = text.read()?;
    // On the command line a context narrows what the file says; it adds no cluster to a workload.
    let narrowed = match asked.contexts {
        [] => None,
        patterns => Some(kubeconfig.select(patterns)?),
    };
    let namespaces = kubeconfig
        .contexts()
        .into_iter()
        .filter_map(|context| {
            let namespace = kubeconfig.namespace_of(&context)?.to_owned();
            Some((context, namespace))
        })
        .collect();
    let outside = FileContext {
        namespaces,
        namespace: asked.namespace.map(str::to_owned),
        skip: asked.skip.clone(),
        prune: asked.prune,
    };
    let of_workload = |patterns: &[String]| -> Result<Vec<String>, KubeconfigError> {
        match (patterns, &narrowed) {
            ([], Some(narrowed)) => Ok(narrowed.clone()),
            (patterns, None) => kubeconfig.select(patterns),
            (patterns, Some(narrowed)) => {
                let mut contexts = kubeconfig.select(patterns)?;
                contexts.retain(|context| narrowed.contains(context));
                Ok(contexts)
            }
        }
    };
    let mut selected = Vec::new();
    for (index, patterns) in file.contexts().enumerate() {
        let contexts = of_workload(patterns)?;
        for context in &contexts {
            let workload = file
                .workload(index, context, &outside)
                .map_err(|problem| Failure::usage(format!("{}: {problem}", path.display())))?;
            if workload.cluster_id.is_some() && contexts.len() > 1 {
                let message = format!(
                    "{}: workloads[{index}].clusterId names one cluster, and the workload has {} contexts",
                    path.display(),
                    contexts.len()
                );
                return Err(Failure::usage(message));
            }
            let is_same =
                |other: &Selected| other.unit.context == *context && other.unit.account == workload.account;
            if selected.iter().any(is_same) {
                let message = format!(
                    "{}: workloads[{index}] is service account {} on context {context}, which another workload is already",
                    path.display(),
                    workload.account
                );
                return Err(Failure::usage(message));
            }
            selected.push(Selected::new(context.clone(), workload));
        }
    }
    if selected.is_empty() {
        return Err(Failure::usage(format!(
            "{}: nothing is selected: no workload has a context that --context names",
            path.display()
        ))
        .hint(format!(
            "contexts of the kubeconfig: {}",
            kubeconfig.contexts().join(", ")
        )));
    }
    Ok(selected)
}

/// The steps that `--only` and `--skip` leave to others.
pub(crate) fn skipped(only: &[Step], skip: &[Step]) -> BTreeSet<Step> {
    let is_skipped = |step: &Step| skip.contains(step) || (!only.is_empty() && !only.contains(step));
    Step::ALL.into_iter().filter(is_skipped).collect()
}
