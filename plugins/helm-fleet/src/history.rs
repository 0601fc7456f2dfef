//! `helm fleet history`: the runs that wrote the revisions of the release, and the revisions of every cluster.

use crate::cli::HistoryArgs;
use crate::inputs;
use crate::release::Revision;
use crate::reports::{Head, minute, print, short};
use crate::revisions::{self, Seen};
use aks_shared::ui::table;
use aks_shared::{ExitStatus, Failure, Session};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;

/// The `FleetHistory` document.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FleetHistory<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    /// The newest first.
    runs: Vec<RunRow>,
    clusters: Vec<ClusterRow<'a>>,
}

/// A run, as far as revisions are kept that it wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct RunRow {
    run: String,
    /// When it wrote its first revision that is kept.
    at: Option<Timestamp>,
    /// How many clusters have a revision of it.
    clusters: usize,
    /// How many of these were verified.
    verified: usize,
    /// How many failed.
    failed: usize,
    /// How many are what is deployed now.
    current: usize,
}

/// The revisions of a cluster.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ClusterRow<'a> {
    cluster: &'a str,
    context: &'a str,
    /// Why they cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    unreachable: Option<&'a str>,
    /// The newest first.
    revisions: Vec<RevisionRow<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RevisionRow<'a> {
    revision: u32,
    status: &'a str,
    at: Option<Timestamp>,
    /// The run that wrote it; none when it was not this tool.
    run: Option<&'a str>,
    verified: bool,
    digest: Option<&'a str>,
}

/// Runs the command.
pub async fn run(args: &HistoryArgs, session: &Session) -> Result<ExitStatus, Failure> {
    let inputs = args.read.fleet.read_release(&session.env)?;
    let reached = inputs::reached(&inputs, &revisions::source(&args.read), session).await?;
    let (release, clusters) = (&inputs.fleet.release, &reached.clusters);
    let seen = revisions::of_all(release, clusters, &reached.kubeconfig, &reached.connection).await;
    let status = ExitStatus::Ok;
    let clusters = clusters.iter().zip(&seen).map(|(spec, seen)| ClusterRow {
        cluster: &spec.name,
        context: &spec.context,
        unreachable: seen.as_ref().err().map(String::as_str),
        revisions: seen
            .iter()
            .flatten()
            .rev()
            .take(args.max)
            .map(RevisionRow::of)
            .collect(),
    });
    let document = FleetHistory {
        head: Head::new("FleetHistory", status, release),
        runs: runs(&seen).into_iter().take(args.max).collect(),
        clusters: clusters.collect(),
    };
    for row in &document.clusters {
        if let Some(why) = row.unreachable {
            session.ui.warning(&format!("{}: {why}", row.cluster));
        }
    }
    let clusters = document.clusters.iter().map(|row| row.cluster);
    print(session, &document, clusters, |wide| {
        if wide {
            revisions_table(&document.clusters)
        } else {
            runs_table(&document.runs)
        }
    })?;
    Ok(status)
}

impl<'a> RevisionRow<'a> {
    fn of(revision: &'a Revision) -> Self {
        Self {
            revision: revision.number,
            status: revision.status(),
            at: revision.written_at(),
            run: revision.run(),
            verified: revision.was_verified(),
            digest: revision.digest(),
        }
    }
}

/// The runs that wrote these revisions, the newest first. The ids of runs sort by time.
fn runs(seen: &[Seen]) -> Vec<RunRow> {
    let mut runs: BTreeMap<&str, RunRow> = BTreeMap::new();
    for revisions in seen.iter().flatten() {
        let mut of_cluster: BTreeMap<&str, &Revision> = BTreeMap::new();
        // A run that was resumed or rolled back has several; the last one tells how it ended.
        of_cluster.extend(
            revisions
                .iter()
                .filter_map(|revision| Some((revision.run()?, revision))),
        );
        for (run, last) in of_cluster {
            let first = revisions.iter().find(|revision| revision.run() == Some(run));
            let at = first.and_then(Revision::written_at);
            let row = runs.entry(run).or_insert_with(|| RunRow {
                run: run.to_owned(),
                at,
                clusters: 0,
                verified: 0,
                failed: 0,
                current: 0,
            });
            row.at = [row.at, at].into_iter().flatten().min();
            row.clusters += 1;
            row.verified += usize::from(last.was_verified());
            row.failed += usize::from(last.status() == "failed");
            row.current += usize::from(last.status() == "deployed");
        }
    }
    runs.into_values().rev().collect()
}

fn runs_table(runs: &[RunRow]) -> String {
    let cells = |run: &RunRow| {
        vec![
            run.run.clone(),
            minute(run.at),
            run.clusters.to_string(),
            run.verified.to_string(),
            run.failed.to_string(),
            run.current.to_string(),
        ]
    };
    let header = ["RUN", "BEGAN", "CLUSTERS", "VERIFIED", "FAILED", "DEPLOYED NOW"];
    table(&header, &runs.iter().map(cells).collect::<Vec<_>>())
}

fn revisions_table(clusters: &[ClusterRow<'_>]) -> String {
    let rows = clusters.iter().flat_map(|row| {
        row.revisions.iter().map(|revision| {
            vec![
                row.cluster.to_owned(),
                revision.revision.to_string(),
                revision.status.to_owned(),
                minute(revision.at),
                revision.run.unwrap_or("by hand").to_owned(),
                if revision.verified { "yes" } else { "no" }.to_owned(),
                short(revision.digest),
            ]
        })
    });
    let header = [
        "CLUSTER", "REVISION", "STATUS", "UPDATED", "RUN", "VERIFIED", "DIGEST",
    ];
    table(&header, &rows.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::{REVISION_LABEL, RUN_LABEL};

    #[test]
    fn runs_are_told_by_what_they_left_and_revisions_by_hand_are_of_none() {
        let revision = |number: u32, run: &str, status: &str| {
            let number_label = number.to_string();
            let labels = [
                (REVISION_LABEL, number_label.as_str()),
                (RUN_LABEL, run),
                ("status", status),
                ("modifiedAt", "1795262400"),
            ];
            Revision::sample(number, labels)
        };
        let copied = Revision::sample(
            3,
            [(REVISION_LABEL, "2"), (RUN_LABEL, "b"), ("status", "deployed")],
        );
        let seen = [
            Ok(vec![
                revision(1, "a", "superseded"),
                revision(2, "b", "superseded"),
                copied,
            ]),
            Ok(vec![revision(1, "b", "failed")]),
            Err("unreachable".to_owned()),
        ];
        let runs = runs(&seen);
        let told: Vec<_> = runs
            .iter()
            .map(|run| (run.run.as_str(), run.clusters, run.failed, run.current))
            .collect();
        assert_eq!(told, [("b", 2, 1, 0), ("a", 1, 0, 0)]);
        assert!(runs[0].at.is_some());
    }
}
