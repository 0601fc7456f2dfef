//! Writes what a plan says, one object after the other, and looks nothing up.

mod error;

pub use error::ApplyError;

use crate::names;
use crate::outcome::{ChangeRecord, Outcome};
use crate::plan::{AccountSpec, Change, GrantSpec, Plan, PolicySpec};
use aks_shared::azure::arm::Arm;
use aks_shared::azure::{ArmError, Azure};
use aks_shared::cluster::Cluster;
use aks_shared::identity::Trust;
use aks_shared::interrupt::Interrupt;
use aks_shared::labels;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Map, Value, json};

/// Carries out a plan; an empty one writes nothing and gives the same outcome.
///
/// # Errors
/// When the plan has conflicts, when Azure or the cluster refuses a write, and when the command is asked to stop: no
/// further object is written then.
pub async fn apply(
    azure: &Azure,
    cluster: &Cluster,
    plan: &Plan,
    interrupt: &Interrupt,
    say: &(dyn Fn(&str) + Sync),
) -> Result<Outcome, ApplyError> {
    let conflicts = plan.conflicts();
    if !conflicts.is_empty() {
        return Err(ApplyError::Conflicts { conflicts });
    }
    let mut writer = Writer::new("write", azure, interrupt, say);
    let (client_id, principal_id) = writer.identity(plan).await?;
    // A stale one first: the identity may be full.
    writer.stale(plan).await?;
    writer.credential(plan).await?;
    writer.grants(plan, &principal_id).await?;
    writer.namespace(cluster, plan).await?;
    writer.account(cluster, plan, &client_id).await?;
    Ok(Outcome::of(plan, client_id, principal_id, writer.changes))
}

/// Changes one object after the other, until one fails or the command is asked to stop.
pub(crate) struct Writer<'a> {
    /// What is done, for errors: `write` or `delete`.
    verb: &'static str,
    /// Gives up between two tries when the command is asked to stop.
    pub(crate) arm: Arm,
    interrupt: &'a Interrupt,
    say: &'a (dyn Fn(&str) + Sync),
    pub(crate) changes: Vec<ChangeRecord>,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(
        verb: &'static str,
        azure: &Azure,
        interrupt: &'a Interrupt,
        say: &'a (dyn Fn(&str) + Sync),
    ) -> Self {
        Self {
            verb,
            arm: azure.arm.stopped_by(interrupt),
            interrupt,
            say,
            changes: Vec::new(),
        }
    }
}

impl Writer<'_> {
    async fn identity(&mut self, plan: &Plan) -> Result<(String, String), ApplyError> {
        let target = plan.identity.target();
        if plan.identity.written().is_none() {
            // A settled identity exists; a missing one is a change or a conflict.
            let ids = (target.client_id.clone(), target.principal_id.clone());
            return Ok((ids.0.unwrap_or_default(), ids.1.unwrap_or_default()));
        }
        let name = target.id.name().to_owned();
        self.begin(format!("managed identity {name}"))?;
        let written = self
            .arm
            .put_identity(&target.id, &target.location, &target.tags)
            .await;
        let (identity, request_id) =
            written.map_err(|source| self.azure_error("managed identity", &name, source))?;
        self.record("managed identity", plan.identity.action(), name, request_id);
        Ok((identity.client_id, identity.principal_id))
    }

    async fn stale(&mut self, plan: &Plan) -> Result<(), ApplyError> {
        for stale in &plan.stale_credentials {
            self.begin(format!("stale federated credential {}", stale.name))?;
            let identity = &plan.identity.target().id;
            let deleted = self.arm.delete_federated_credential(identity, &stale.name).await;
            let request_id =
                deleted.map_err(|source| self.azure_error("federated credential", &stale.name, source))?;
            self.record("federated credential", "delete", stale.name.clone(), request_id);
        }
        Ok(())
    }

    async fn credential(&mut self, plan: &Plan) -> Result<(), ApplyError> {
        let Some(wanted) = plan.federated_credential.written() else {
            return Ok(());
        };
        self.begin(format!("federated credential {}", wanted.name))?;
        let trust = Trust {
            issuer: wanted.issuer.clone(),
            subject: wanted.subject.clone(),
            audience: plan.cluster.audience.clone(),
        };
        let identity = &plan.identity.target().id;
        let written = self
            .arm
            .put_federated_credential(identity, &wanted.name, &trust)
            .await;
        let request_id =
            written.map_err(|source| self.azure_error("federated credential", &wanted.name, source))?;
        self.record(
            "federated credential",
            plan.federated_credential.action(),
            wanted.name.clone(),
            request_id,
        );
        Ok(())
    }

    async fn grants(&mut self, plan: &Plan, principal_id: &str) -> Result<(), ApplyError> {
        for change in &plan.grants {
            self.grant(change, principal_id).await?;
        }
        for change in &plan.vault_policies {
            self.policy(change, principal_id).await?;
        }
        Ok(())
    }

    /// Assigns a role.
    pub(crate) async fn grant(
        &mut self,
        change: &Change<GrantSpec>,
        principal_id: &str,
    ) -> Result<(), ApplyError> {
        let Some(wanted) = change.written() else {
            return Ok(());
        };
        let place = wanted.place();
        self.begin(format!("role at {place}"))?;
        let id = names::assignment_name(&wanted.scope, principal_id, &wanted.role);
        let role = &wanted.role_definition_id;
        let written = self
            .arm
            .assign_role(wanted.scope.as_str(), &id, role, principal_id)
            .await;
        let request_id = written.map_err(|source| self.azure_error("role assignment at", &place, source))?;
        let name = place.strip_prefix("secret ").unwrap_or(&place).to_owned();
        self.record("role assignment", change.action(), name, request_id);
        Ok(())
    }

    /// Adds an access policy to a vault.
    pub(crate) async fn policy(
        &mut self,
        change: &Change<PolicySpec>,
        principal_id: &str,
    ) -> Result<(), ApplyError> {
        let Some(wanted) = change.written() else {
            return Ok(());
        };
        self.begin(format!("access policy of vault {}", wanted.vault))?;
        let written = self
            .arm
            .let_read_all_secrets(&wanted.id, &wanted.tenant_id, principal_id)
            .await;
        let request_id =
            written.map_err(|source| self.azure_error("access policy of vault", &wanted.vault, source))?;
        self.record("access policy", change.action(), wanted.vault.clone(), request_id);
        Ok(())
    }

    async fn namespace(&mut self, cluster: &Cluster, plan: &Plan) -> Result<(), ApplyError> {
        let Some(change) = &plan.namespace else {
            return Ok(());
        };
        let Some(wanted) = change.written() else {
            return Ok(());
        };
        self.begin(format!("namespace {}", wanted.name))?;
        let namespace = Namespace {
            metadata: kube::api::ObjectMeta {
                name: Some(wanted.name.clone()),
                ..Default::default()
            },
            ..Namespace::default()
        };
        let params = PostParams {
            field_manager: Some(labels::FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let made = Api::<Namespace>::all(cluster.client.clone())
            .create(&params, &namespace)
            .await;
        match made {
            Ok(_) => self.record("namespace", change.action(), wanted.name.clone(), None),
            // Somebody made it since the plan was: all the better.
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(source) => return Err(self.cluster_error("namespace", &wanted.name, source)),
        }
        Ok(())
    }

    async fn account(&mut self, cluster: &Cluster, plan: &Plan, client_id: &str) -> Result<(), ApplyError> {
        let Some(wanted) = plan.service_account.written() else {
            return Ok(());
        };
        let name = wanted.account.to_string();
        self.begin(format!("service account {name}"))?;
        let accounts = Api::<ServiceAccount>::namespaced(cluster.client.clone(), &wanted.account.namespace);
        let mut params = PatchParams::apply(labels::FIELD_MANAGER);
        params.force = wanted.force;
        let patch = Patch::Apply(manifest(wanted, client_id));
        let written = accounts.patch(&wanted.account.name, &params, &patch).await;
        written.map_err(|source| self.cluster_error("service account", &name, source))?;
        self.record("service account", plan.service_account.action(), name, None);
        Ok(())
    }

    /// Announces the next object, unless the command is to stop.
    pub(crate) fn begin(&self, what: String) -> Result<(), ApplyError> {
        if let Some(status) = self.interrupt.status() {
            let changes = self.changes.clone();
            return Err(ApplyError::Interrupted {
                what,
                status,
                changes,
            });
        }
        match self.verb {
            "write" => (self.say)(&what),
            verb => (self.say)(&format!("{verb} {what}")),
        }
        Ok(())
    }

    pub(crate) fn record(
        &mut self,
        object: &'static str,
        action: &'static str,
        name: String,
        request_id: Option<String>,
    ) {
        self.changes.push(ChangeRecord {
            object,
            action,
            name,
            request_id,
        });
    }

    pub(crate) fn azure_error(&self, object: &str, name: &str, source: ArmError) -> ApplyError {
        let what = format!("{} {object} {name}", self.verb);
        let changes = self.changes.clone();
        match (source, self.interrupt.status()) {
            (ArmError::Stopped { source }, Some(status)) => ApplyError::Stopped {
                what,
                status,
                last: source,
                changes,
            },
            (source, _) => ApplyError::Azure {
                what,
                source,
                changes,
            },
        }
    }

    pub(crate) fn cluster_error(&self, object: &str, name: &str, source: kube::Error) -> ApplyError {
        let source = Box::new(source);
        ApplyError::Cluster {
            what: format!("{} {object} {name}", self.verb),
            source,
            changes: self.changes.clone(),
        }
    }
}

/// The fields of a service account that are ours, and nothing else: server-side apply leaves the rest alone.
fn manifest(wanted: &AccountSpec, client_id: &str) -> Value {
    let mut annotations = Map::new();
    annotations.insert(labels::CLIENT_ID_ANNOTATION.to_owned(), json!(client_id));
    if let Some(tenant) = &wanted.tenant_id {
        annotations.insert(labels::TENANT_ID_ANNOTATION.to_owned(), json!(tenant));
    }
    let mut labelled = Map::new();
    if let Some(helm) = &wanted.helm {
        labelled.insert(
            labels::MANAGED_BY_LABEL.to_owned(),
            json!(labels::MANAGED_BY_HELM),
        );
        annotations.insert(
            labels::HELM_RELEASE_NAME_ANNOTATION.to_owned(),
            json!(helm.release),
        );
        annotations.insert(
            labels::HELM_RELEASE_NAMESPACE_ANNOTATION.to_owned(),
            json!(helm.namespace),
        );
    } else if wanted.managed_by_us {
        labelled.insert(labels::MANAGED_BY_LABEL.to_owned(), json!(labels::FIELD_MANAGER));
    }
    let mut metadata = json!({
        "name": wanted.account.name,
        "namespace": wanted.account.namespace,
        "annotations": annotations,
    });
    if !labelled.is_empty() {
        metadata["labels"] = Value::Object(labelled);
    }
    json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::HelmOwner;
    use aks_shared::identity::ServiceAccountRef;

    fn spec() -> AccountSpec {
        AccountSpec {
            account: ServiceAccountRef::new("shop", "orders").unwrap(),
            client_id: None,
            tenant_id: None,
            helm: None,
            managed_by_us: false,
            force: false,
        }
    }

    #[test]
    fn an_account_of_others_gets_one_annotation_only() {
        assert_eq!(
            manifest(&spec(), "c"),
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {
                "name": "orders", "namespace": "shop", "annotations": {"azure.workload.identity/client-id": "c"}}})
        );
    }

    #[test]
    fn a_release_can_adopt_what_is_created_for_it() {
        let helm = Some(HelmOwner {
            release: "orders".into(),
            namespace: "shop".into(),
        });
        let made = manifest(&AccountSpec { helm, ..spec() }, "c");
        assert_eq!(
            made["metadata"]["labels"],
            json!({"app.kubernetes.io/managed-by": "Helm"})
        );
        assert_eq!(
            made["metadata"]["annotations"]["meta.helm.sh/release-name"],
            "orders"
        );
        assert_eq!(
            made["metadata"]["annotations"]["meta.helm.sh/release-namespace"],
            "shop"
        );
    }
}
