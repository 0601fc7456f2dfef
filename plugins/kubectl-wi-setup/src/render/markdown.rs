//! Plans and outcomes in Markdown, as a pull request or a pipeline's summary shows them.

use crate::outcome::Outcome;
use crate::plan::Plan;
use crate::selection::Unit;
use aks_shared::Failure;
use aks_shared::markdown::escaped;

/// Plans under one heading each, with what keeps them from being applied.
pub(crate) fn plans<'a>(
    plans: impl Iterator<Item = (&'a Unit, Option<&'a Plan>, Option<&'a Failure>)>,
) -> String {
    let mut lines = vec!["# Plan: workload identity".to_owned()];
    for (unit, plan, failure) in plans {
        heading(&mut lines, unit);
        if let Some(plan) = plan {
            let state = if plan.is_empty() {
                "nothing to change"
            } else {
                "changes pending"
            };
            lines.push(format!(
                "Cluster `{}`, service account `{}`: {state}\n",
                plan.cluster.name, plan.account
            ));
            lines.push("| Action | Object | Detail |\n|---|---|---|".to_owned());
            lines.extend(plan.rows().iter().map(|row| {
                format!(
                    "| {} | {} | {} |",
                    row.action,
                    escaped(&row.object),
                    escaped(&row.detail)
                )
            }));
            list(&mut lines, &plan.notes);
        }
        refusal(&mut lines, failure);
    }
    document(lines)
}

/// What was changed, under one heading for each workload.
pub(crate) fn outcomes<'a>(
    outcomes: impl Iterator<Item = (&'a Unit, Option<&'a Outcome>, Option<&'a Failure>)>,
) -> String {
    let mut lines = vec!["# Workload identity".to_owned()];
    for (unit, outcome, failure) in outcomes {
        heading(&mut lines, unit);
        if let Some(outcome) = outcome {
            lines.push(format!(
                "Service account `{}` is managed identity `{}` with client id `{}`.\n",
                outcome.account(),
                outcome.identity_name,
                outcome.client_id
            ));
            if outcome.changes.is_empty() {
                lines.push("Nothing was changed.".to_owned());
            } else {
                lines.push("| Action | Object | Request |\n|---|---|---|".to_owned());
            }
            lines.extend(outcome.changes.iter().map(|change| {
                format!(
                    "| {} | {} {} | {} |",
                    change.action,
                    change.object,
                    escaped(&change.name),
                    escaped(change.request_id.as_deref().unwrap_or_default())
                )
            }));
            list(&mut lines, &outcome.restarts);
        }
        refusal(&mut lines, failure);
    }
    document(lines)
}

fn document(mut lines: Vec<String>) -> String {
    lines.push(String::new());
    lines.join("\n")
}

fn heading(lines: &mut Vec<String>, unit: &Unit) {
    lines.push(format!("\n## {}\n", escaped(&unit.label)));
}

fn refusal(lines: &mut Vec<String>, failure: Option<&Failure>) {
    let Some(failure) = failure else { return };
    lines.push(format!(
        "\n**{}**: {}",
        failure.status.name(),
        escaped(&failure.message)
    ));
    list(lines, &failure.causes);
    let hints = failure.hints.iter();
    lines.extend(hints.map(|hint| format!("\nHint: {}", escaped(hint))));
}

fn list(lines: &mut Vec<String>, items: &[String]) {
    if !items.is_empty() {
        lines.push(String::new());
    }
    lines.extend(items.iter().map(|item| format!("- {}", escaped(item))));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::plan;
    use crate::plan::tests::{everything, nothing, workload};

    fn unit() -> Unit {
        Unit {
            label: "weu-1".into(),
            context: "weu-1".into(),
            account: workload().account,
        }
    }

    #[test]
    fn every_object_has_a_row_and_what_is_not_known_yet_is_said() {
        let (workload, unit) = (workload(), unit());
        let plan = plan(&workload, &nothing());
        let text = plans([(&unit, Some(&plan), None)].into_iter());
        for part in [
            "## weu-1\n",
            "| create | managed identity id-x | resource group rg, westeurope, client id (known after apply) |",
            "| create | role Key Vault Secrets User at secret kv-central/db-password |  |",
            "| left | service account shop/orders | left to the chart",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    #[test]
    fn a_refusal_and_its_way_out_are_told() {
        let unit = unit();
        let failure = Failure::refused("no <vault>").hint("name it");
        let text = plans([(&unit, None, Some(&failure))].into_iter());
        assert!(
            text.contains("**refused**: no &lt;vault>\n\nHint: name it\n"),
            "{text}"
        );
    }

    #[test]
    fn an_outcome_says_what_was_changed() {
        let (workload, unit) = (workload(), unit());
        let plan = plan(&workload, &everything());
        let outcome = Outcome::of(&plan, "client".into(), "principal".into(), Vec::new());
        let text = outcomes([(&unit, Some(&outcome), None)].into_iter());
        assert!(
            text.contains("client id `client`") && text.contains("Nothing was changed."),
            "{text}"
        );
    }
}
