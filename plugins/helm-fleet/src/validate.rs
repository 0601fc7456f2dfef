//! `helm fleet validate`: everything that can be said of a fleet file without a cluster.

use crate::chart::Chart;
use crate::cli::ValidateArgs;
use crate::fleet::Fleet;
use crate::reporter::lines::count;
use crate::target::placeholders;
use crate::targets::{self, Selection};
use crate::values::Values;
use crate::values::files::ValuesFiles;
use aks_shared::kubeconfig::Kubeconfig;
use aks_shared::{ExitStatus, Failure, Session};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Checks a fleet file.
pub fn run(args: &ValidateArgs, session: &Session) -> Result<ExitStatus, Failure> {
    let fleet = Fleet::load(&args.file)?;
    let base = folder_of(&args.file);
    let chart = Chart::load(&fleet.chart.reference, &base)?;
    let kubeconfig = Kubeconfig::load(args.kube.kubeconfig.as_deref(), &session.env)?;
    let selection = Selection {
        contexts: args.kube.context.clone(),
        ..Selection::default()
    };
    let clusters = targets::clusters(&fleet, &selection, &kubeconfig.contexts())?;
    let stages = targets::stages(&clusters, fleet.rollout.as_ref())?;
    check_templates(&fleet, &ValuesFiles::new(&base), &clusters)?;
    session.ui.document(&json!({
        "apiVersion": crate::report::API_VERSION,
        "kind": "FleetValidation",
        "exitCode": ExitStatus::Ok.code(),
        "exitName": ExitStatus::Ok.name(),
        "clusters": clusters.len(),
        "stages": stages.len(),
        "chart": chart,
    }))?;
    session.ui.status(&format!(
        "{} is valid: {} in {}",
        args.file.display(),
        count(clusters.len(), "cluster"),
        count(stages.len(), "stage")
    ));
    Ok(ExitStatus::Ok)
}

/// The folder that a fleet file's paths start from.
pub fn folder_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Renders every template for every cluster with placeholders for what is not known yet, and lists what fails.
pub fn check_templates(
    fleet: &Fleet,
    files: &ValuesFiles,
    clusters: &[crate::fleet::ClusterSpec],
) -> Result<(), Failure> {
    let identities = placeholders(fleet);
    let mut problems = Vec::new();
    for cluster in clusters {
        if let Err(error) = Values::of(fleet, files, cluster, &identities) {
            let causes = aks_shared::causes(&error);
            let why = std::iter::once(error.to_string())
                .chain(causes)
                .collect::<Vec<_>>()
                .join(": ");
            problems.push(format!("{}: {why}", cluster.name));
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(Failure::usage("values of the fleet file cannot be made for every cluster").with_causes(problems))
}
