//! `helm fleet rollback`: every cluster back to a revision that it has, the stages in reverse order.
//!
//! No failure keeps another cluster from its rollback. Identities stay as they are.

use crate::backwards::{Backwards, Words, is_meant};
use crate::cli::RollbackArgs;
use crate::conduct::untouched;
use crate::event::Action;
use crate::release::Record;
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
    let prepare = command.prepare(|target| match &target.pending {
        Some(why) => Err(why.clone()),
        None => aim(target.record.as_ref(), args.revision),
    });
    let mut prepared = untouched(session, prepare).await?;
    let mut revisions = BTreeMap::new();
    let planned = prepared.plan.targets.iter_mut().zip(&prepared.targets);
    for (index, (planned, target)) in planned.enumerate() {
        planned.restore = goal(target.record.as_ref(), args.revision);
        if let Some(revision) = planned.restore.filter(|_| is_meant(target)) {
            revisions.insert(index, revision);
        }
    }
    command.carry_out(prepared, Goal::Rollback(revisions)).await
}

/// The revision that a release is to go back to.
fn goal(record: Option<&Record>, explicit: Option<u32>) -> Option<u32> {
    explicit.or_else(|| {
        let record = record?;
        // Whoever repeats the command because one cluster has failed does not want the others further back.
        let is_back = record.is_deployed() && record.restored().is_some();
        if is_back {
            Some(record.revision)
        } else {
            record.before()
        }
    })
}

/// What is to be done to a target, and why; or why nothing can be.
fn aim(record: Option<&Record>, explicit: Option<u32>) -> Result<(Action, String), String> {
    let Some(record) = record else {
        return Err("there is no release".to_owned());
    };
    let Some(to) = goal(Some(record), explicit) else {
        return Err("there is no earlier revision that was good".to_owned());
    };
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
    use crate::release::RESTORED_LABEL;
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
        let aim = |record: Option<Record>, explicit| aim(record.as_ref(), explicit);
        let (action, _) = aim(Some(record("failed", &[1, 2])), None).unwrap();
        assert_eq!(
            (action, goal(Some(&record("failed", &[1, 2])), None)),
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
}
