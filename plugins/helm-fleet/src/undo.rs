//! `helm fleet rollback`: what the last run changed goes back to the revision before it, the stages in reverse order.
//!
//! No failure keeps another cluster from its rollback. A cluster that the last run did not reach stays as it is: after a
//! canary that failed, the others already have what the canary goes back to. Identities stay as they are.

use crate::backwards::{Backwards, Words, is_meant};
use crate::cli::RollbackArgs;
use crate::conduct::untouched;
use crate::event::Action;
use crate::preflight::Target;
use crate::release::{Record, Revision};
use crate::target::Goal;
use aks_shared::{ExitStatus, Failure, Session};
use std::collections::BTreeMap;

const WORDS: Words = Words {
    command: "rollback",
    verifies: true,
    question: "Roll back",
    done: "every cluster is rolled back",
    nothing: "nothing to do: every cluster is where it should go back to",
    failed: "could not be rolled back: look at them",
    status: ExitStatus::RollbackFailed,
};

/// Runs the command.
pub async fn run(args: &RollbackArgs, session: &Session) -> Result<ExitStatus, Failure> {
    let command = Backwards {
        args: &args.common,
        session,
        words: WORDS,
    };
    let prepare = command.prepare(|target, all| match &target.pending {
        Some(why) => Err(why.clone()),
        None => aim(target.record.as_ref(), args.revision, last_run(all)),
    });
    let mut prepared = untouched(session, prepare).await?;
    let last = last_run(&prepared.targets).map(str::to_owned);
    let mut revisions = BTreeMap::new();
    let planned = prepared.plan.targets.iter_mut().zip(&prepared.targets);
    for (index, (planned, target)) in planned.enumerate() {
        planned.restore = goal(target.record.as_ref(), args.revision, last.as_deref());
        if let Some(revision) = planned.restore.filter(|_| is_meant(target)) {
            revisions.insert(index, revision);
        }
    }
    command.carry_out(prepared, Goal::Rollback(revisions)).await
}

/// The last run that wrote a revision to any of the clusters; ids of runs begin with their time.
fn last_run(targets: &[Target]) -> Option<&str> {
    let records = targets.iter().filter_map(|target| target.record.as_ref());
    records
        .flat_map(|record| &record.revisions)
        .filter_map(Revision::run)
        .max()
}

/// Whether the last run left a release alone.
fn is_spared(record: &Record, last: Option<&str>) -> bool {
    last.is_some() && record.revisions.iter().all(|revision| revision.run() != last)
}

/// The revision that a release is to go back to.
fn goal(record: Option<&Record>, explicit: Option<u32>, last: Option<&str>) -> Option<u32> {
    explicit.or_else(|| {
        let record = record?;
        // Whoever repeats the command because one cluster has failed does not want the others further back.
        let is_back = record.is_deployed() && record.restored().is_some();
        if is_back || is_spared(record, last) {
            Some(record.revision)
        } else {
            record.before()
        }
    })
}

/// What is to be done to a target, and why; or why nothing can be.
fn aim(
    record: Option<&Record>,
    explicit: Option<u32>,
    last: Option<&str>,
) -> Result<(Action, String), String> {
    let Some(record) = record else {
        return Err("there is no release".to_owned());
    };
    let Some(to) = goal(Some(record), explicit, last) else {
        return Err("there is no earlier revision that was good".to_owned());
    };
    if let (None, Some(run), true) = (explicit, last, is_spared(record, last)) {
        return Ok((
            Action::Nothing,
            format!(
                "revision {to} is {}, and the last run, {run}, changed nothing here",
                record.status
            ),
        ));
    }
    if to == record.revision && record.is_deployed() {
        let why = match record.restored() {
            Some(restored) => format!("revision {to} is deployed, a rollback to {restored}"),
            None => format!("revision {to} is deployed"),
        };
        return Ok((Action::Nothing, why));
    }
    if record.kept(to).is_none() {
        return Err(format!("revision {to} is not kept"));
    }
    Ok((
        Action::Rollback,
        format!("revision {} is {}", record.revision, record.status),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::{RESTORED_LABEL, REVISION_LABEL, RUN_LABEL};
    use serde_json::Value;

    fn record(status: &str, kept: &[u32]) -> Record {
        let newest = kept.last().copied().unwrap_or_default();
        let mut record = Record::sample(newest, status, Value::Null, []);
        record.keep(
            kept.iter()
                .map(|number| (*number, vec![("status", "superseded".to_owned())])),
        );
        record
    }

    #[test]
    fn each_target_is_told_where_it_goes_or_why_not() {
        let aim = |record: Option<Record>, explicit| aim(record.as_ref(), explicit, None);
        let (action, _) = aim(Some(record("failed", &[1, 2])), None).unwrap();
        assert_eq!(
            (action, goal(Some(&record("failed", &[1, 2])), None, None)),
            (Action::Rollback, Some(1))
        );
        assert_eq!(
            aim(Some(record("deployed", &[1, 2])), Some(2)).unwrap().0,
            Action::Nothing
        );
        // Taken back already, until somebody does something else; Helm copies labels forward.
        for (label, expected) in [("2.1", Action::Nothing), ("1.1", Action::Rollback)] {
            let mut record = record("deployed", &[1, 2]);
            record.labels.insert(RESTORED_LABEL.to_owned(), label.to_owned());
            assert_eq!(aim(Some(record), None).unwrap().0, expected, "{label}");
        }
        for (refused, explicit) in [
            (None, None),
            (Some(record("deployed", &[1])), None),
            (Some(record("failed", &[2])), Some(7)),
        ] {
            assert!(aim(refused, explicit).is_err());
        }
    }
    #[test]
    fn what_the_last_run_did_not_reach_stays() {
        let of = |newest: &[(u32, &str)]| {
            let mut record = record("deployed", &[]);
            record.keep(newest.iter().map(|(number, run)| {
                let ours = [
                    ("status", "superseded".to_owned()),
                    (REVISION_LABEL, number.to_string()),
                    (RUN_LABEL, (*run).to_owned()),
                ];
                (*number, ours.to_vec())
            }));
            record.revision = newest.last().map_or(0, |(number, _)| *number);
            record
        };
        let (reached, spared) = (
            of(&[(1, "20261101"), (2, "20261102")]),
            of(&[(4, "20261030"), (5, "20261101")]),
        );
        let last = Some("20261102");
        assert!(!is_spared(&reached, last) && is_spared(&spared, last));
        assert_eq!(goal(Some(&spared), None, last), Some(5));
        let (action, why) = aim(Some(&spared), None, last).unwrap();
        assert_eq!(action, Action::Nothing);
        assert!(why.contains("20261102"), "{why}");
        // Whoever names a revision means it, and what nobody here wrote has no last run.
        assert_eq!(goal(Some(&spared), Some(4), last), Some(4));
        assert!(!is_spared(&spared, None));
    }
}
