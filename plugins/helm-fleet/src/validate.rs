//! `helm fleet validate`: everything that can be said of a fleet file without a cluster.

use crate::chart::{Chart, Origin};
use crate::cli::ValidateArgs;
use crate::error::line;
use crate::fleet::{ClusterSpec, Fleet, FleetText, SCHEMA};
use crate::inputs::unfound;
use crate::report::API_VERSION;
use crate::reporter::lines::count;
use crate::target::placeholders;
use crate::targets::{self, Selection, TargetError};
use crate::values::files::ValuesFiles;
use crate::values::{Values, ValuesError};
use crate::verify_step;
use aks_shared::kubeconfig::Kubeconfig;
use aks_shared::{ExitStatus, Failure, Session};
use serde_json::json;
use std::path::Path;

/// Checks a fleet file.
pub fn run(args: &ValidateArgs, session: &Session) -> Result<ExitStatus, Failure> {
    if args.print_schema {
        session.ui.data(SCHEMA)?;
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
        clusters => clusters.map_err(|error| unfound(error, Some(&text)))?,
    };
    let stages = targets::stages(&clusters, fleet.rollout.as_ref())?;
    check_templates(&fleet, Some(&text), &ValuesFiles::new(base), &clusters)?;
    let found = json!({
        "clusters": clusters.len(),
        "findsMoreInAzure": finds_more,
        "stages": stages.len(),
        "chart": match chart {
            Origin::Local(path) => json!(Chart::read(path)?),
            Origin::Pulled(_) => json!({"ref": fleet.chart.reference, "version": fleet.chart.version}),
        },
    });
    session
        .ui
        .document(&ExitStatus::Ok.document(API_VERSION, "FleetValidation", found))?;
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

/// Renders every template for every cluster with placeholders for what is not known yet: their values. What fails is
/// listed, each problem once, with its place in the file and the clusters that have it.
pub fn check_templates(
    fleet: &Fleet,
    text: Option<&FleetText>,
    files: &ValuesFiles,
    clusters: &[ClusterSpec],
) -> Result<Vec<Values>, Failure> {
    let identities = placeholders(fleet);
    let mut rendered = Vec::new();
    let mut problems: Vec<(String, String, Vec<&str>)> = Vec::new();
    for cluster in clusters {
        let (values, mut wrong) = Values::rendered(fleet, files, cluster, &identities);
        rendered.push(values);
        wrong.extend(verify_step::check_texts(fleet, cluster, &identities));
        for error in wrong {
            let problem = essence(&error);
            match problems.iter_mut().find(|(known, ..)| *known == problem) {
                Some((.., names)) => names.push(&cluster.name),
                None => problems.push((problem, line(&error), vec![&cluster.name])),
            }
        }
    }
    if problems.is_empty() {
        return Ok(rendered);
    }
    let placed = problems.into_iter().map(|(_, why, names)| {
        let why = text.map_or_else(|| why.clone(), |text| text.placed(&why));
        format!("{why} ({})", names.join(", "))
    });
    Err(Failure::usage("values of the fleet cannot be made for every cluster").with_causes(placed.collect()))
}

/// What is wrong, the same for all clusters that have the same problem: which variables are known differs by labels.
fn essence(error: &ValuesError) -> String {
    match error {
        ValuesError::Template { key, source } => format!("{key}: {}", source.why),
        ValuesError::Missing { .. } | ValuesError::Read { .. } => line(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_that_fails_is_listed_with_the_clusters_it_fails_for() {
        let fleet: Fleet = serde_json::from_value(json!({
            "apiVersion": "helmfleet/v1alpha1", "kind": "Fleet",
            "release": {"name": "orders", "namespace": "shop"}, "chart": {"ref": "x"},
            "values": ["{{ cluster.labels.env }}.yaml", "absent.yaml"],
            "overrides": {"a": "{{ cluster.nam }}", "b": ["{{ identities.orders.clientId }}"]},
            "verify": [{"http": {"url": "https://{{ cluster.labels.host }}/"}}],
            "clusters": [{"name": "weu-1", "context": "a"},
                {"name": "neu-1", "context": "b", "labels": {"env": "prod", "host": "h"}}],
        }))
        .unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("prod.yaml"), "").unwrap();
        let files = ValuesFiles::new(folder.path());
        let failure = check_templates(&fleet, None, &files, &fleet.clusters).unwrap_err();
        let told: Vec<(&str, bool)> = failure
            .causes
            .iter()
            .map(|cause| {
                (
                    cause.split(": ").next().unwrap(),
                    cause.ends_with("(weu-1, neu-1)"),
                )
            })
            .collect();
        let expected = [
            ("values[0]", false),
            ("values[1]", true),
            ("overrides.a", true),
            ("overrides.b[0]", true),
            ("verify[0].http.url", false),
        ];
        assert_eq!(told, expected, "{:?}", failure.causes);
    }
}
