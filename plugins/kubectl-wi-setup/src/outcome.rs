//! What a workload has in the end: every id that a chart or a pipeline needs, and what was changed for it.

use crate::plan::{AccountSpec, Change, Plan};
use aks_shared::azure::{ArmId, Scope};
use aks_shared::identity::{Audience, Issuer, ServiceAccountRef};
use aks_shared::shell::place_flags;
use serde::Serialize;
use std::collections::BTreeMap;

/// A workload whose identity is set up: the content of a `WorkloadIdentity` document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The cluster.
    pub cluster: OutcomeCluster,
    /// The namespace of the service account.
    pub namespace: String,
    /// The name of the service account.
    pub service_account: String,
    /// What became of the service account.
    pub account_state: AccountState,
    /// Whether the chart makes the service account, or takes over the one that was made for it.
    pub chart_makes_account: bool,
    /// Whether the account's annotations name a tenant too.
    pub tenant_annotated: bool,
    /// The client id of the identity.
    pub client_id: String,
    /// Its object id.
    pub principal_id: String,
    /// Its tenant.
    pub tenant_id: String,
    /// Its ARM id.
    pub identity_id: ArmId,
    /// Its name.
    pub identity_name: String,
    /// The name of the federated credential.
    pub federated_credential: String,
    /// The audience that the credential trusts.
    pub audience: Audience,
    /// The vaults, by name.
    pub vaults: BTreeMap<String, OutcomeVault>,
    /// The secrets that the identity may read, in the order in which they were asked for.
    pub secrets: Vec<OutcomeSecret>,
    /// The role assignments.
    pub grants: Vec<Grant>,
    /// The ids of the vaults that the identity reads as a whole, by an access policy.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vault_policies: Vec<ArmId>,
    /// What was changed, in order.
    pub changes: Vec<ChangeRecord>,
    /// The commands that start the running pods anew which do not see the change else.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub restarts: Vec<String>,
}

/// The cluster of an outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OutcomeCluster {
    /// The kubeconfig context.
    pub context: String,
    /// Its name in ARM.
    pub name: String,
    /// Its ARM id.
    pub id: ArmId,
    /// The issuer of its tokens.
    pub issuer: Issuer,
}

/// What became of the service account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccountState {
    /// It carries the client id.
    Annotated,
    /// Somebody else makes or annotates it.
    Left,
}

/// A vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OutcomeVault {
    /// Its name.
    pub name: String,
    /// Its ARM id.
    pub id: ArmId,
    /// Where its secrets are read.
    pub uri: String,
    /// The tenant whose tokens it accepts.
    pub tenant_id: String,
}

/// A secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OutcomeSecret {
    /// The name of its vault.
    pub vault: String,
    /// Its name.
    pub name: String,
}

/// A role assignment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    /// Where it holds.
    pub scope: Scope,
    /// The id of the role, without the path before it.
    pub role: String,
    /// Its name.
    pub role_name: String,
}

/// One thing that was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangeRecord {
    /// What kind of object.
    pub object: &'static str,
    /// `create`, `update` or `delete`.
    pub action: &'static str,
    /// The object's name.
    pub name: String,
    /// Azure's id of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// How much was changed, in words.
pub(crate) fn counted(changes: &[ChangeRecord]) -> String {
    match changes.len() {
        0 => "nothing to change".to_owned(),
        1 => "1 change".to_owned(),
        many => format!("{many} changes"),
    }
}

impl Outcome {
    /// The service account.
    pub fn account(&self) -> ServiceAccountRef {
        ServiceAccountRef {
            namespace: self.namespace.clone(),
            name: self.service_account.clone(),
        }
    }

    /// The command that finds out why it does not work.
    pub(crate) fn verify_command(&self) -> String {
        format!(
            "kubectl wi verify {} --service-account {}",
            place_flags(&self.cluster.context, &self.namespace),
            self.service_account
        )
    }

    /// What a plan comes to once its identity is known.
    pub(crate) fn of(
        plan: &Plan,
        client_id: String,
        principal_id: String,
        changes: Vec<ChangeRecord>,
    ) -> Self {
        let identity = plan.identity.target();
        let credential = plan.federated_credential.target();
        Self {
            cluster: OutcomeCluster {
                context: plan.cluster.context.clone(),
                name: plan.cluster.name.clone(),
                id: plan.cluster.id.clone(),
                issuer: plan.cluster.issuer.clone(),
            },
            namespace: plan.account.namespace.clone(),
            service_account: plan.account.name.clone(),
            account_state: match plan.service_account {
                Change::Left { .. } => AccountState::Left,
                _ => AccountState::Annotated,
            },
            chart_makes_account: chart_makes(&plan.service_account),
            tenant_annotated: plan.service_account.target().tenant_id.is_some(),
            client_id,
            principal_id,
            tenant_id: plan.tenant_id.clone(),
            identity_id: identity.id.clone(),
            identity_name: identity.id.name().to_owned(),
            federated_credential: credential.name.clone(),
            audience: plan.cluster.audience.clone(),
            vaults: plan.vaults.clone(),
            secrets: plan.secrets.clone(),
            grants: plan
                .grants
                .iter()
                .map(Change::target)
                .map(|grant| Grant {
                    scope: grant.scope.clone(),
                    role: grant.role.clone(),
                    role_name: grant.role_name.clone(),
                })
                .collect(),
            vault_policies: plan
                .vault_policies
                .iter()
                .map(|policy| policy.target().id.clone())
                .collect(),
            changes,
            restarts: plan.restarts.clone(),
        }
    }
}

/// Whether an account is the chart's own.
fn chart_makes(account: &Change<AccountSpec>) -> bool {
    match account {
        Change::Left { .. } => true,
        Change::InSync { current: account }
        | Change::Create { wanted: account }
        | Change::Update { to: account, .. }
        | Change::Conflict { wanted: account, .. } => account.helm.is_some(),
    }
}
