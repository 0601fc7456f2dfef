//! `helm fleet status`: where every cluster stands, from the labels of its revisions alone.

use crate::cli::StatusArgs;
use crate::inputs;
use crate::plan;
use crate::preflight::Subject;
use crate::release::{INPUTS_LABEL, Revision, label_of};
use crate::reporter::lines::count;
use crate::reports::{Head, minute, print, short};
use crate::revisions::{self, Seen};
use aks_shared::ui::table;
use aks_shared::{ExitStatus, Failure, Session};
use jiff::Timestamp;
use serde::Serialize;

/// The `FleetStatus` document.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FleetStatus<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    chart: &'a crate::chart::Chart,
    summary: Summary,
    clusters: Vec<Row<'a>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    total: usize,
    at_target: usize,
    not_at_target: usize,
    unreachable: usize,
}

/// One cluster of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    cluster: &'a str,
    context: &'a str,
    stage: &'a str,
    state: State,
    reason: String,
    revision: Option<u32>,
    status: Option<String>,
    verified: bool,
    /// The digest of what the revision was made of.
    digest: Option<String>,
    /// The run that wrote it.
    run: Option<String>,
    updated_at: Option<Timestamp>,
}

/// Where a cluster stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    /// Its release is what the fleet file says, and verified.
    AtTarget,
    /// It is not.
    NotAtTarget,
    /// Nobody can tell.
    Unreachable,
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::AtTarget => "at target",
            Self::NotAtTarget => "not at target",
            Self::Unreachable => "unreachable",
        }
    }
}

/// Runs the command.
pub async fn run(args: &StatusArgs, session: &Session) -> Result<ExitStatus, Failure> {
    let inputs = args.read.fleet.read(&session.env)?;
    let subject = inputs::subject(inputs, &revisions::source(&args.read), session).await?;
    let (kubeconfig, connection) = (&subject.kubeconfig, &subject.connection);
    let release = &subject.fleet.release;
    let seen = revisions::of_all(release, &subject.clusters, kubeconfig, connection).await;
    let clusters = rows(&subject, &seen);
    let summary = summary(&clusters);
    let status = if args.exit_code && summary.at_target < summary.total {
        ExitStatus::Drift
    } else {
        ExitStatus::Ok
    };
    let document = FleetStatus {
        head: Head::new("FleetStatus", status, release),
        chart: &subject.chart,
        summary,
        clusters,
    };
    let clusters = document.clusters.iter().map(|row| row.cluster);
    print(session, &document, clusters, |wide| {
        listed(&document.clusters, wide)
    })?;
    session.ui.status(&format!(
        "{}: {} at target, {} not, {} unreachable",
        count(summary.total, "cluster"),
        summary.at_target,
        summary.not_at_target,
        summary.unreachable
    ));
    Ok(status)
}

fn rows<'a>(subject: &'a Subject, seen: &[Seen]) -> Vec<Row<'a>> {
    let row = |((index, spec), seen): ((usize, &'a crate::fleet::ClusterSpec), &Seen)| {
        let desired = plan::desired(subject, spec);
        let inputs = desired
            .as_ref()
            .filter(|desired| desired.values.are_comparable())
            .map(|desired| label_of(&desired.digest));
        let (standing, reason) = match seen {
            Ok(revisions) => judge(revisions.last(), inputs),
            Err(why) => (State::Unreachable, why.clone()),
        };
        let newest = seen.as_ref().ok().and_then(|revisions| revisions.last());
        Row {
            cluster: &spec.name,
            context: &spec.context,
            stage: subject.stage_of(index),
            state: standing,
            reason,
            revision: newest.map(|revision| revision.number),
            status: newest.map(|revision| revision.status().to_owned()),
            verified: newest.is_some_and(Revision::was_verified),
            digest: newest.and_then(|revision| Some(revision.digest()?.to_owned())),
            run: newest.and_then(|revision| Some(revision.run()?.to_owned())),
            updated_at: newest.and_then(Revision::written_at),
        }
    };
    subject.clusters.iter().enumerate().zip(seen).map(row).collect()
}

/// Where a cluster stands by its newest revision. `inputs` is what the label of a revision at target says; none when
/// helm alone reads the values.
fn judge(newest: Option<&Revision>, inputs: Option<&str>) -> (State, String) {
    let Some(newest) = newest else {
        return (State::NotAtTarget, "there is no release".to_owned());
    };
    let revision = newest.number;
    let reason = if newest.status() != "deployed" {
        format!("revision {revision} is {}", newest.status())
    } else if !newest.is_ours() {
        format!("revision {revision} was not written by helm fleet")
    } else if inputs.is_none() {
        "its values are read by helm alone and cannot be compared".to_owned()
    } else if newest.labels.get(INPUTS_LABEL).map(String::as_str) != inputs {
        format!("chart or values differ from revision {revision}")
    } else if !newest.was_verified() {
        format!("revision {revision} has not been verified")
    } else {
        return (State::AtTarget, "deployed and verified".to_owned());
    };
    (State::NotAtTarget, reason)
}

fn summary(rows: &[Row<'_>]) -> Summary {
    let number = |state| rows.iter().filter(|row| row.state == state).count();
    Summary {
        total: rows.len(),
        at_target: number(State::AtTarget),
        not_at_target: number(State::NotAtTarget),
        unreachable: number(State::Unreachable),
    }
}

fn listed(rows: &[Row<'_>], wide: bool) -> String {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let cells = |row: &Row<'_>| {
        let mut cells = vec![
            row.cluster.to_owned(),
            row.stage.to_owned(),
            row.state.name().to_owned(),
            or_dash(row.revision.map(|number| number.to_string())),
            or_dash(row.status.clone()),
            if row.verified { "yes" } else { "no" }.to_owned(),
            minute(row.updated_at),
        ];
        if wide {
            cells.push(or_dash(row.run.clone()));
            cells.push(short(row.digest.as_deref()));
        }
        cells.push(row.reason.clone());
        cells
    };
    let mut header = vec![
        "CLUSTER", "STAGE", "STATE", "REVISION", "STATUS", "VERIFIED", "UPDATED",
    ];
    if wide {
        header.extend(["RUN", "DIGEST"]);
    }
    header.push("WHY");
    table(&header, &rows.iter().map(cells).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::{DIGEST_LABEL, REVISION_LABEL, VERIFIED_LABEL};

    fn revision(number: u32, labels: &[(&str, &str)]) -> Revision {
        let at_target = [
            ("status", "deployed"),
            (REVISION_LABEL, "3"),
            (DIGEST_LABEL, "d"),
            (VERIFIED_LABEL, "v3.d"),
            (INPUTS_LABEL, "i"),
        ];
        Revision::sample(number, at_target.iter().chain(labels).copied())
    }

    #[test]
    fn only_what_was_verified_and_is_of_these_inputs_is_at_target() {
        let state = |newest: &Revision| judge(Some(newest), Some("i"));
        assert_eq!(state(&revision(3, &[])).0, State::AtTarget);
        for (newest, why) in [
            // Helm copies labels forward through an upgrade by hand.
            (revision(4, &[]), "not written by helm fleet"),
            (
                revision(3, &[("status", "pending-upgrade")]),
                "is pending-upgrade",
            ),
            (revision(3, &[(INPUTS_LABEL, "other")]), "differ"),
            (revision(3, &[(VERIFIED_LABEL, "v2.d")]), "not been verified"),
        ] {
            let (found, reason) = state(&newest);
            assert_eq!(found, State::NotAtTarget);
            assert!(reason.contains(why), "{reason}");
        }
        assert!(judge(Some(&revision(3, &[])), None).1.contains("helm alone"));
        assert_eq!(judge(None, Some("i")).0, State::NotAtTarget);
    }
}
