//! The plan of a run, for people and as a document.

use crate::decision::Desired;
use crate::event::{Action, RunPlan, StagePlan, TargetPlan};
use crate::fleet::{ClusterSpec, FailureStrategy, FirstInstall};
use crate::preflight::{Subject, Target};
use crate::report::API_VERSION;
use crate::reporter::lines::count;
use crate::target::placeholders;
use crate::values::Values;
use aks_shared::ExitStatus;
use kubectl_wi_setup::Plan;
use serde::Serialize;
use std::fmt::Write;

/// The `FleetPlan` document.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FleetPlan<'a> {
    api_version: &'static str,
    kind: &'static str,
    exit_code: u8,
    exit_name: &'static str,
    #[serde(flatten)]
    plan: &'a RunPlan,
    identity_plans: Vec<IdentityPlan<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct IdentityPlan<'a> {
    cluster: &'a str,
    identity: &'a str,
    plan: &'a Plan,
}

impl<'a> FleetPlan<'a> {
    /// The document of a plan that was shown and not carried out.
    pub fn new(plan: &'a RunPlan, targets: &'a [Target], status: ExitStatus) -> Self {
        let identity_plans = targets.iter().flat_map(|target| {
            target.identities.iter().map(|identity| IdentityPlan {
                cluster: &target.spec.name,
                identity: &identity.name,
                plan: &identity.plan,
            })
        });
        Self {
            api_version: API_VERSION,
            kind: "FleetPlan",
            exit_code: status.code(),
            exit_name: status.name(),
            plan,
            identity_plans: identity_plans.collect(),
        }
    }
}

/// Stages and targets of a run as planned.
pub fn stages_and_targets(subject: &Subject, targets: &[Target]) -> (Vec<StagePlan>, Vec<TargetPlan>) {
    let name = |index: &usize| subject.clusters[*index].name.clone();
    let stages = subject.stages.iter().map(|stage| StagePlan {
        name: stage.name.clone(),
        max_concurrency: stage.max_concurrency,
        max_failures: stage.max_failures,
        max_per_label: stage
            .label_limits
            .iter()
            .map(|limit| (limit.label.clone(), limit.max))
            .collect(),
        gates: stage.gates.iter().map(ToString::to_string).collect(),
        targets: stage.targets.iter().map(name).collect(),
    });
    let planned = targets.iter().enumerate().map(|(index, target)| {
        let changes = target
            .identities
            .iter()
            .filter(|identity| !identity.plan.is_empty())
            .flat_map(|identity| {
                identity
                    .plan
                    .lines()
                    .into_iter()
                    // What is in order already is no news here.
                    .filter(|line| !line.starts_with("= "))
                    .map(|line| format!("identity {}: {line}", identity.name))
            });
        TargetPlan {
            cluster: target.spec.name.clone(),
            context: target.spec.context.clone(),
            stage: subject.stage_of(index).to_owned(),
            uid: target.uid.clone(),
            revision: target.record.as_ref().map(|record| record.revision),
            restore: target
                .record
                .as_ref()
                .and_then(|record| record.restore(&subject.run)),
            action: target.action,
            reason: target.reason.clone(),
            inputs: inputs(subject, &target.spec),
            identity_changes: changes.collect(),
            kept_values: target.kept().iter().map(ToString::to_string).collect(),
        }
    });
    (stages.collect(), planned.collect())
}

/// Digest of what a target is to become, with placeholders for the ids of its identities.
pub(crate) fn inputs(subject: &Subject, spec: &ClusterSpec) -> String {
    desired(subject, spec).map_or_else(String::new, |desired| desired.digest)
}

/// What a target is to become, with placeholders for the ids of its identities; none when that cannot be told.
pub(crate) fn desired(subject: &Subject, spec: &ClusterSpec) -> Option<Desired> {
    let (fleet, identities) = (&subject.fleet, placeholders(&subject.fleet));
    let values = Values::of(fleet, &subject.files, spec, &identities).ok()?;
    Some(Desired::new(fleet, &subject.chart, values))
}

/// Whether there is nothing to do on any target.
pub fn is_empty(plan: &RunPlan) -> bool {
    work(plan).next().is_none()
}

/// The targets on which there is something to do, by their places in the plan.
pub fn work(plan: &RunPlan) -> impl Iterator<Item = usize> {
    let is_work =
        |target: &TargetPlan| target.action != Action::Nothing || !target.identity_changes.is_empty();
    let targets = plan.targets.iter().enumerate();
    targets.filter_map(move |(index, target)| is_work(target).then_some(index))
}

/// The plan for people.
pub fn render(plan: &RunPlan) -> String {
    let mut text = String::new();
    write(plan, &mut text).unwrap_or_default();
    text
}

fn write(plan: &RunPlan, text: &mut String) -> std::fmt::Result {
    let chart = &plan.chart;
    writeln!(
        text,
        "release {}/{}, chart {} {} (digest {})",
        plan.namespace,
        plan.release,
        chart.name,
        chart.version,
        chart.digest.get(..12).unwrap_or(&chart.digest)
    )?;
    if plan.command == "upgrade" {
        let on_failure = match plan.on_failure {
            FailureStrategy::Pause => "leave every cluster as it is",
            FailureStrategy::RollbackFailed => "roll back the clusters that failed",
            FailureStrategy::RollbackStage => "roll back the stage",
            FailureStrategy::RollbackAll => "roll back every cluster that was changed",
        };
        let first = match (plan.on_failure, plan.first_install) {
            (FailureStrategy::Pause, _) => "",
            (_, FirstInstall::Keep) => "; first installs stay",
            (_, FirstInstall::Uninstall) => "; first installs are uninstalled",
        };
        writeln!(text, "when a stage fails: {on_failure}{first}")?;
    }
    if plan.command == "uninstall" {
        let kept = "identities, namespaces and custom resource definitions stay";
        writeln!(text, "{kept}; identities are taken away by kubectl wi remove")?;
    }
    for stage in &plan.stages {
        write!(
            text,
            "stage {}: {}, {} at once, {} allowed",
            stage.name,
            count(stage.targets.len(), "cluster"),
            stage.max_concurrency,
            count(stage.max_failures, "failure")
        )?;
        for (label, max) in &stage.max_per_label {
            write!(text, ", {max} at once per {label}")?;
        }
        for gate in &stage.gates {
            write!(text, ", then {gate}")?;
        }
        writeln!(text)?;
        for target in plan.targets.iter().filter(|target| target.stage == stage.name) {
            let sign = if target.action == Action::Nothing {
                " "
            } else {
                "~"
            };
            let action = match (target.action, target.revision) {
                (Action::Install, _) => "install".to_owned(),
                (Action::Upgrade, Some(revision)) => format!("upgrade revision {revision}"),
                (Action::Upgrade, None) => "upgrade".to_owned(),
                (Action::RepairIdentity, _) => "repair the identity".to_owned(),
                (Action::Rollback, revision) => {
                    let number =
                        |revision: Option<u32>| revision.map_or("none".to_owned(), |n| n.to_string());
                    format!(
                        "roll back revision {} to {}",
                        number(revision),
                        number(target.restore)
                    )
                }
                (Action::Uninstall, _) => "uninstall".to_owned(),
                (Action::TryLater, _) => "unreachable, tried again in its stage".to_owned(),
                (Action::LeaveOut, _) => "unreachable, left out".to_owned(),
                (Action::Nothing, _) => "nothing to do".to_owned(),
            };
            writeln!(
                text,
                "  {sign} {} ({}): {action}: {}",
                target.cluster, target.context, target.reason
            )?;
            for change in &target.identity_changes {
                writeln!(text, "      {change}")?;
            }
            if !target.kept_values.is_empty() {
                let keys = target.kept_values.join(", ");
                writeln!(text, "      = values of the cluster that are kept: {keys}")?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventKind;
    use crate::report::sample;

    #[test]
    fn a_plan_lists_stages_targets_and_reasons() {
        let EventKind::RunStarted(plan) = sample::events().swap_remove(0).kind else {
            panic!("not a plan")
        };
        assert_eq!(
            render(&plan),
            "release shop/orders, chart orders 0.1.0 (digest dddddddddddd)\n\
             when a stage fails: leave every cluster as it is\n\
             stage canary: 1 cluster, 1 at once, 0 failures allowed\n  \
             ~ weu-1 (aks-weu-1): upgrade revision 3: the chart differs\n\
             stage prod: 2 clusters, 1 at once, 0 failures allowed\n  \
             ~ neu-1 (aks-neu-1): upgrade revision 3: the chart differs\n  \
             ~ neu-2 (aks-neu-2): upgrade revision 3: the chart differs\n"
        );
        assert!(!is_empty(&plan));
    }
}
