//! `helm fleet preflight`: everything that forbids an upgrade, of all clusters at once; nothing is touched.

use crate::cli::PreflightArgs;
use crate::inputs::{self, Interest, Source};
use crate::preflight::{self, Problem, Subject, Target};
use crate::prepare::find_helm;
use crate::reporter::lines::count;
use crate::reports::{Head, print};
use aks_shared::ui::table;
use aks_shared::{ExitStatus, Failure, Session};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt::Write;

/// The `FleetPreflight` document.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FleetPreflight<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    chart: &'a crate::chart::Chart,
    clusters: Vec<Row<'a>>,
}

/// One cluster of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    cluster: &'a str,
    context: &'a str,
    stage: &'a str,
    /// What an upgrade would do there; nothing where the cluster cannot be looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<crate::event::Action>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    /// The keys of values that the cluster has, the fleet has not, and that are kept.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    kept_values: Vec<String>,
    problems: Vec<&'a str>,
    hints: Vec<&'a str>,
}

/// Runs the command.
pub(crate) async fn run(args: &PreflightArgs, session: &Session) -> Result<ExitStatus, Failure> {
    let source = Source {
        interest: Interest::All,
        args: &args.fleet,
        kube: &args.kube,
        azure: &args.azure,
        helm_bin: args.helm.helm_bin.as_ref(),
        on_value_loss: args.loss.on_value_loss,
        recover_pending: args.recovery.recover_pending,
    };
    let subject = Box::pin(inputs::subject(args.fleet.read(&session.env)?, &source, session)).await?;
    session.ui.status(&format!(
        "preflight of {}",
        count(subject.clusters.len(), "cluster")
    ));
    let find = async || find_helm(args.helm.helm_bin.as_ref(), session, &subject).await;
    let survey = preflight::survey(&subject, find, preflight::Rights::Checked, &session.interrupt);
    let survey = Box::pin(survey).await?;
    let refused = survey.problems.iter().map(|problem| problem.cluster.as_str());
    let refused: BTreeSet<&str> = refused.collect();
    let status = if refused.is_empty() {
        ExitStatus::Ok
    } else {
        ExitStatus::Refused
    };
    let document = FleetPreflight {
        head: Head::new("FleetPreflight", status, &subject.fleet.release),
        chart: &subject.chart,
        clusters: rows(&subject, &survey.targets, &survey.problems),
    };
    let clusters = document.clusters.iter().map(|row| row.cluster);
    print(session, &document, clusters, |_| listed(&document))?;
    let all = count(subject.clusters.len(), "cluster");
    session.ui.status(&match refused.len() {
        0 => format!("nothing forbids an upgrade of {all}"),
        number => format!("an upgrade would be refused: {number} of {all}"),
    });
    Ok(status)
}

fn rows<'a>(subject: &'a Subject, targets: &'a [Target], problems: &'a [Problem]) -> Vec<Row<'a>> {
    let row = |(index, spec): (usize, &'a crate::fleet::ClusterSpec)| {
        let target = targets.iter().find(|target| target.spec.name == spec.name);
        let own = problems.iter().filter(|problem| problem.cluster == spec.name);
        Row {
            cluster: &spec.name,
            context: &spec.context,
            stage: subject.stage_of(index),
            action: target.map(|target| target.action),
            reason: target.map(|target| target.reason.as_str()),
            kept_values: target
                .iter()
                .flat_map(|target| target.kept())
                .map(ToString::to_string)
                .collect(),
            problems: own.clone().map(|problem| problem.what.as_str()).collect(),
            hints: own
                .flat_map(|problem| problem.hints.iter().map(String::as_str))
                .collect(),
        }
    };
    subject.clusters.iter().enumerate().map(row).collect()
}

/// One line per cluster, and below it one per problem: none is left out.
fn listed(document: &FleetPreflight<'_>) -> String {
    let mut lines = Vec::new();
    for row in &document.clusters {
        let verdict = if row.problems.is_empty() { "ok" } else { "refused" };
        let action = row.action.and_then(|action| serde_json::to_value(action).ok());
        let action = action.as_ref().and_then(serde_json::Value::as_str).unwrap_or("-");
        let first = row.problems.first().copied().or(row.reason).unwrap_or_default();
        lines.push(
            [row.cluster, row.stage, verdict, action, first]
                .map(str::to_owned)
                .to_vec(),
        );
        for problem in row.problems.iter().skip(1) {
            lines.push(["", "", "", "", problem].map(str::to_owned).to_vec());
        }
    }
    let mut text = table(&["CLUSTER", "STAGE", "PREFLIGHT", "ACTION", "WHY"], &lines);
    let mut hints: Vec<&str> = Vec::new();
    for hint in document.clusters.iter().flat_map(|row| &row.hints) {
        if !hints.contains(hint) {
            hints.push(hint);
        }
    }
    for hint in hints {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "hint: {hint}");
    }
    text
}
