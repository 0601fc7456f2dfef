//! Outcomes and plans for people.

pub(crate) mod markdown;

use crate::outcome::{AccountState, Outcome};
use crate::{ExchangeWait, Plan};
use aks_shared::ui::table;

/// A plan under the name of its cluster.
pub(crate) fn plan(plan: &Plan) -> String {
    let mut text = format!(
        "{} ({}), service account {}\n",
        plan.cluster.context, plan.cluster.name, plan.account
    );
    for line in plan.lines() {
        text.push_str("  ");
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// One row for each cluster.
pub(crate) fn outcomes(outcomes: &[(Outcome, Option<ExchangeWait>)], wide: bool) -> String {
    let mut header = vec![
        "CLUSTER",
        "SERVICE ACCOUNT",
        "IDENTITY",
        "CLIENT ID",
        "CHANGES",
        "EXCHANGE",
    ];
    if wide {
        header.extend(["TENANT", "FEDERATED CREDENTIAL", "ACCOUNT"]);
    }
    let rows: Vec<Vec<String>> = outcomes
        .iter()
        .map(|(outcome, waited)| {
            let mut row = vec![
                outcome.cluster.context.clone(),
                outcome.account().to_string(),
                outcome.identity_name.clone(),
                outcome.client_id.clone(),
                outcome.changes.len().to_string(),
                exchange(*waited),
            ];
            if wide {
                row.extend([
                    outcome.tenant_id.clone(),
                    outcome.federated_credential.clone(),
                    match outcome.account_state {
                        AccountState::Annotated => "annotated".to_owned(),
                        AccountState::Left => "left to others".to_owned(),
                    },
                ]);
            }
            row
        })
        .collect();
    table(&header, &rows)
}

fn exchange(waited: Option<ExchangeWait>) -> String {
    match waited {
        Some(ExchangeWait::Stable { .. }) => "ok".to_owned(),
        Some(ExchangeWait::DeferredUntilChart) => "deferred-until-chart".to_owned(),
        None => "not tried".to_owned(),
    }
}

/// One `kind/name` line for each object of Azure and of the cluster.
pub(crate) fn names(outcome: &Outcome) -> String {
    format!(
        "userassignedidentity/{}\nfederatedidentitycredential/{}\nserviceaccount/{}\n",
        outcome.identity_name, outcome.federated_credential, outcome.service_account
    )
}
