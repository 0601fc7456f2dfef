//! `helm fleet uninstall`: takes the release from every cluster that has it, the stages in reverse order.
//!
//! Identities, what they may read, namespaces and custom resource definitions stay.

use crate::backwards::{Backwards, Words};
use crate::cli::UninstallArgs;
use crate::conduct::untouched;
use crate::event::{Action, FailureReport, TargetStatus};
use crate::executor::Progress;
use crate::release::Record;
use crate::rollout::Change;
use crate::target::{Course, Found, Goal, Run};
use aks_shared::{ExitStatus, Failure, Session};

const WORDS: Words = Words {
    command: "uninstall",
    verifies: false,
    question: "Uninstall the release from",
    done: "the release is gone from every cluster; its identities stay",
    nothing: "nothing to do: no cluster has the release",
    failed: "could not be uninstalled: run the command again",
    status: ExitStatus::Failed,
};

/// Runs the command.
pub async fn run(args: &UninstallArgs, session: &Session) -> Result<ExitStatus, Failure> {
    let command = Backwards {
        args: &args.common,
        session,
        words: WORDS,
    };
    let prepare = command.prepare(|target, _| aim(target.record.as_ref(), target.pending.as_deref()));
    let prepared = untouched(session, prepare).await?;
    command.carry_out(prepared, Goal::Uninstall).await
}

/// What Helm calls a release whose removal began and has not ended: it says so of one that failed, too.
const HALF_GONE: &str = "uninstalling";

/// What is to be done to a target, and why; or why nothing can be.
fn aim(record: Option<&Record>, pending: Option<&str>) -> Result<(Action, String), String> {
    let Some(record) = record else {
        return Ok((Action::Nothing, "there is no release".to_owned()));
    };
    match pending {
        // Helm takes it up where it was left. Whoever is at work on it holds its Lease.
        Some(why) if record.status != HALF_GONE => Err(why.to_owned()),
        _ => Ok((
            Action::Uninstall,
            format!("revision {} is {}", record.revision, record.status),
        )),
    }
}

impl Run {
    /// Takes the release from a target, if it is still what the plan was made from.
    pub(crate) async fn take_away(
        &self,
        found: &Found,
        progress: &Progress,
        course: &mut Course,
    ) -> Result<TargetStatus, FailureReport> {
        if found.target.action != Action::Uninstall {
            return Ok(TargetStatus::Unchanged);
        }
        let target = &found.target;
        if self.unmoved(target, course).await?.is_none() {
            return Ok(TargetStatus::Unchanged);
        }
        // From here on it is no longer what it was, however this ends.
        course.change = Change::Upgrade;
        self.uninstall(target, progress, course).await?;
        Ok(TargetStatus::Uninstalled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn whatever_is_left_of_a_release_is_taken_away() {
        assert_eq!(aim(None, None).unwrap().0, Action::Nothing);
        let record = |status| Record::sample(3, status, Value::Null, []);
        for (status, pending) in [
            ("deployed", None),
            ("failed", None),
            ("uninstalled", None),
            ("uninstalling", Some("it is pending")),
        ] {
            assert_eq!(
                aim(Some(&record(status)), pending),
                Ok((Action::Uninstall, format!("revision 3 is {status}")))
            );
        }
        let refused = aim(Some(&record("pending-upgrade")), Some("it is pending"));
        assert_eq!(refused, Err("it is pending".to_owned()));
    }
}
