//! Everything that forbids a run, of all clusters at once, so that whoever mends it sees it all.

use super::{Problem, Subject, Target, look, problems_of, render, rights};
use crate::event::Action;
use crate::fleet::FailureStrategy;
use crate::helm::process::Helm;
use aks_shared::Failure;
use aks_shared::interrupt::Interrupt;

/// What was found before anything is touched.
pub(crate) struct Survey {
    /// The clusters that could be looked at, in the order of the file.
    pub(crate) targets: Vec<Target>,
    /// The helm that some of them need.
    pub(crate) helm: Option<Helm>,
    /// Everything that forbids the run, of all clusters.
    pub(crate) problems: Vec<Problem>,
}

/// Whether the rights of the signed-in principal are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rights {
    /// They are.
    Checked,
    /// Nothing will be written, so who only reads may look.
    Unchecked,
}

/// Looks at all clusters and judges everything that is found there.
///
/// `find_helm` is called when some cluster will need helm.
pub(crate) async fn survey<F>(
    subject: &Subject,
    find_helm: F,
    rights: Rights,
    interrupt: &Interrupt,
) -> Result<Survey, Failure>
where
    F: AsyncFnOnce() -> Result<Helm, Failure>,
{
    let (targets, mut problems) = look(subject).await;
    problems.extend(targets.iter().flat_map(|target| problems_of(subject, target)));
    let forbidden = async {
        match rights {
            Rights::Checked => rights::check(subject, &targets).await,
            Rights::Unchecked => Vec::new(),
        }
    };
    let rendered = async {
        // A run that has nothing to do starts no helm at all.
        if !targets.iter().any(|target| may_need_helm(subject, target)) {
            return Ok::<_, Failure>((None, Vec::new()));
        }
        let (helm, servers) = futures::join!(find_helm(), render::servers(&targets));
        let helm = helm?;
        let problems = render::check(subject, servers, &helm, interrupt).await;
        Ok((Some(helm), problems))
    };
    let (forbidden, rendered) = futures::join!(forbidden, rendered);
    let (helm, unrendered) = rendered?;
    problems.extend(forbidden);
    problems.extend(unrendered);
    Ok(Survey {
        targets,
        helm,
        problems,
    })
}

/// Whether helm may have to run for a target, be it to take back what fails.
fn may_need_helm(subject: &Subject, target: &Target) -> bool {
    let rollout = subject.fleet.rollout.as_ref();
    match target.action {
        Action::Nothing | Action::LeaveOut => false,
        Action::RepairIdentity => {
            let mut checks = subject.fleet.verify.iter();
            rollout.is_some_and(|rollout| rollout.on_failure.strategy != FailureStrategy::Pause)
                || checks.any(|check| check.helm_test.is_some())
        }
        Action::Install | Action::Upgrade | Action::Rollback | Action::Uninstall | Action::TryLater => true,
    }
}
