//! `helm fleet validate`: everything that can be said of a fleet file without a cluster.

use crate::chart::{Chart, Origin};
use crate::cli::ValidateArgs;
use crate::fleet::{ClusterSpec, Fleet, FleetText, SCHEMA};
use crate::reporter::lines::count;
use crate::target::placeholders;
use crate::targets::{self, Selection, TargetError};
use crate::values::Values;
use crate::values::files::ValuesFiles;
use crate::verify_step;
use aks_shared::kubeconfig::Kubeconfig;
use aks_shared::{ExitStatus, Failure, Session};
use serde_json::json;
use std::path::Path;

/// Checks a fleet file.
pub fn run(args: &ValidateArgs, session: &Session) -> Result<ExitStatus, Failure> {
    if args.print_schema {
        let printed = session.ui.data(SCHEMA);
        printed.map_err(|error| Failure::from_error(ExitStatus::Failed, &error))?;
        return Ok(ExitStatus::Ok);
    }
    let text = FleetText::read(&args.file)?;
    let fleet = text.fleet()?;
    let base = args.file.parent().unwrap_or(Path::new(""));
    let chart = Origin::of(&fleet.chart, base)?;
    let kubeconfig = Kubeconfig::load(args.kube.kubeconfig.as_deref(), &session.env)?;
    let selection = Selection {
        contexts: args.kube.context.clone(),
        ..Selection::default()
    };
    let finds_more = fleet.discover.azure.is_some();
    let clusters = match targets::clusters(&fleet, &selection, &kubeconfig.contexts(), Vec::new()) {
        Err(TargetError::NoClusters) if finds_more => Vec::new(),
        clusters => clusters?,
    };
    let stages = targets::stages(&clusters, fleet.rollout.as_ref())?;
    check_templates(&fleet, Some(&text), &ValuesFiles::new(base), &clusters)?;
    session.ui.document(&json!({
        "apiVersion": crate::report::API_VERSION,
        "kind": "FleetValidation",
        "exitCode": ExitStatus::Ok.code(),
        "exitName": ExitStatus::Ok.name(),
        "clusters": clusters.len(),
        "findsMoreInAzure": finds_more,
        "stages": stages.len(),
        "chart": match chart {
            Origin::Local(path) => json!(Chart::read(path)?),
            Origin::Pulled(_) => json!({"ref": fleet.chart.reference, "version": fleet.chart.version}),
        },
    }))?;
    let more = if finds_more {
        ", and those that Azure tells of"
    } else {
        ""
    };
    session.ui.status(&format!(
        "{} is valid: {} in {}{more}",
        args.file.display(),
        count(clusters.len(), "cluster"),
        count(stages.len(), "stage")
    ));
    Ok(ExitStatus::Ok)
}

/// Renders every template for every cluster with placeholders for what is not known yet, and lists what fails: each
/// problem once, with its place in the file and the clusters that have it.
pub fn check_templates(
    fleet: &Fleet,
    text: Option<&FleetText>,
    files: &ValuesFiles,
    clusters: &[ClusterSpec],
) -> Result<(), Failure> {
    let identities = placeholders(fleet);
    let mut problems: Vec<(String, Vec<&str>)> = Vec::new();
    for cluster in clusters {
        let made = Values::of(fleet, files, cluster, &identities);
        let checked = made.and_then(|_| verify_step::check_texts(fleet, cluster, &identities));
        let Err(error) = checked else { continue };
        let causes = aks_shared::causes(&error);
        let why: Vec<String> = std::iter::once(error.to_string()).chain(causes).collect();
        let why = why.join(": ");
        match problems.iter_mut().find(|(known, _)| *known == why) {
            Some((_, names)) => names.push(&cluster.name),
            None => problems.push((why, vec![&cluster.name])),
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    let placed = problems.into_iter().map(|(why, names)| {
        let why = text.map_or_else(|| why.clone(), |text| text.placed(&why));
        format!("{why} ({})", names.join(", "))
    });
    Err(Failure::usage("values of the fleet cannot be made for every cluster").with_causes(placed.collect()))
}
