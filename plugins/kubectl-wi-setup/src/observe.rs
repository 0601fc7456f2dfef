//! Reads everything that a plan depends on; writes nothing (the pod that is sent is a server-side dry run).

mod account;
mod audience;
pub(crate) mod context;
mod nodes;
mod stale;
mod vaults;

pub use account::ObservedAccount;
pub use audience::AudienceSource;
pub use context::{ObservedCluster, Proof, check_cluster};
pub(crate) use stale::stale;
pub(crate) use vaults::find as find_vault;
pub use vaults::{ObservedGrant, ObservedSecret, ObservedVault};

use crate::error::{SetupError, reading};
use crate::pods::{self, PodUse};
use crate::{Workload, names};
use aks_shared::azure::arm::{FederatedCredential, ManagedCluster, ManagedIdentity};
use aks_shared::azure::{ArmId, Azure};
use aks_shared::cluster::Cluster;
use aks_shared::identity::{Audience, Issuer};
use aks_shared::template::{self, TemplateError};
use serde_json::{Value, json};

/// What a plan is built from.
#[derive(Debug, Clone)]
pub struct Observed {
    /// The cluster that the context leads to.
    pub cluster: ObservedCluster,
    /// The tenant that identities of this subscription are made in.
    pub tenant_id: String,
    /// The id that the identity has or will have.
    pub identity_id: ArmId,
    /// The identity, when it exists.
    pub identity: Option<ManagedIdentity>,
    /// Its federated credentials.
    pub credentials: Vec<FederatedCredential>,
    /// The vaults of the secrets, each once.
    pub vaults: Vec<ObservedVault>,
    /// The secrets, in the order of the workload.
    pub secrets: Vec<ObservedSecret>,
    /// The vaults that the principal may not read; only where others make the grants.
    pub unseen_vaults: Vec<ArmId>,
    /// The roles that are asked for besides, in the order of the workload.
    pub grants: Vec<ObservedGrant>,
    /// The audience that the federated credential needs.
    pub audience: Audience,
    /// Where that audience is known from.
    pub audience_source: AudienceSource,
    /// Whether the namespace exists.
    pub namespace_exists: bool,
    /// The service account, when it exists.
    pub account: Option<ObservedAccount>,
    /// The pods that run as the account with an identity; looked for only where its annotation is to change, none
    /// where they may not be listed.
    pub pods: Option<Vec<PodUse>>,
    /// The issuers of stale credentials of ours that no cluster has any more; looked for only with `--prune`.
    pub gone_issuers: Vec<Issuer>,
}

/// Reads what `workload` needs on one cluster.
///
/// # Errors
/// When something cannot be read, when the context is not provably the cluster, when the cluster's issuer or
/// webhook is off, and when a vault or a secret does not exist.
pub async fn observe(azure: &Azure, cluster: &Cluster, workload: &Workload) -> Result<Observed, SetupError> {
    let (managed, namespace_exists, account) = futures::try_join!(
        context::resolve(azure, cluster, workload),
        context::has_namespace(cluster, &workload.account.namespace),
        async { Ok(cluster.service_account(&workload.account).await?) },
    )?;
    let account = account.map(|account| ObservedAccount::read(&account));
    let proven = context::prove(cluster, &managed, workload, account.is_some()).await?;

    let identity_id = identity_id(cluster, &managed, workload)?;
    let ((identity, credentials), mut named, mut grants, audience) = futures::try_join!(
        observe_identity(azure, &identity_id, workload.identity_id.is_some()),
        vaults::observe(azure, workload),
        vaults::observe_roles(azure, &workload.grants),
        async {
            Ok::<_, SetupError>(
                audience::observe(cluster, workload, namespace_exists, account.is_some()).await,
            )
        },
    )?;
    if let Some(identity) = &identity {
        vaults::observe_grants(azure, identity, &mut named, &mut grants).await?;
    }
    // A webhook that mutates is on, whatever ARM says: it may have been installed by hand.
    context::check_enabled(&managed, audience.is_projected)?;
    let pods = observe_pods(cluster, workload, account.as_ref(), identity.as_ref()).await?;
    let gone_issuers = if workload.prune {
        stale::gone_issuers(azure, workload, &proven.0, &credentials).await?
    } else {
        Vec::new()
    };
    let tenant_id = identity
        .as_ref()
        .map_or_else(|| azure.principal.tenant.clone(), |found| found.tenant_id.clone());
    Ok(Observed {
        cluster: ObservedCluster::new(cluster, managed, proven),
        tenant_id,
        identity_id,
        identity,
        credentials,
        vaults: named.vaults,
        secrets: named.secrets,
        unseen_vaults: named.unseen,
        grants,
        audience: audience.audience,
        audience_source: audience.source,
        namespace_exists,
        account,
        pods,
        gone_issuers,
    })
}

/// The pods that run as an account whose annotation is to change.
async fn observe_pods(
    cluster: &Cluster,
    workload: &Workload,
    account: Option<&ObservedAccount>,
    identity: Option<&ManagedIdentity>,
) -> Result<Option<Vec<PodUse>>, SetupError> {
    let wanted = identity.map(|identity| &identity.client_id);
    if account.is_none_or(|account| wanted.is_some() && account.client_id.as_ref() == wanted) {
        return Ok(None);
    }
    Ok(pods::of_account(cluster, &workload.account).await?)
}

/// The identity with its federated credentials; one that was named by its id must exist.
pub(crate) async fn observe_identity(
    azure: &Azure,
    id: &ArmId,
    must_exist: bool,
) -> Result<(Option<ManagedIdentity>, Vec<FederatedCredential>), SetupError> {
    let identity = azure
        .arm
        .identity(id)
        .await
        .map_err(reading(format!("identity {}", id.name())))?;
    let credentials = match &identity {
        Some(found) => azure
            .arm
            .federated_credentials(&found.id)
            .await
            .map_err(reading(format!(
                "the federated credentials of identity {}",
                id.name()
            )))?,
        None if must_exist => return Err(SetupError::IdentityMissing { id: id.clone() }),
        None => Vec::new(),
    };
    Ok((identity, credentials))
}

/// The id that the identity of a workload has or will have.
pub(crate) fn identity_id(
    cluster: &Cluster,
    managed: &ManagedCluster,
    workload: &Workload,
) -> Result<ArmId, SetupError> {
    if let Some(named) = &workload.identity_id {
        return Ok(named.clone());
    }
    let rendered = template::render(&workload.identity_name, &variables(cluster, managed, workload))?;
    let group = workload
        .identity_group
        .as_deref()
        .unwrap_or_else(|| managed.id.resource_group());
    Ok(ManagedIdentity::id_of(
        managed.id.subscription(),
        group,
        &names::identity_name(&rendered),
    )?)
}

/// What a template of the identity's name can use.
fn variables(cluster: &Cluster, managed: &ManagedCluster, workload: &Workload) -> Value {
    named([
        &managed.name,
        &cluster.context,
        &managed.location,
        managed.id.resource_group(),
        &names::cluster_hash(&managed.id),
        &workload.account.namespace,
        &workload.account.name,
    ])
}

/// The variables by their names.
fn named([name, context, location, group, hash, namespace, account]: [&str; 7]) -> Value {
    json!({
        "cluster": {
            "name": name,
            "context": context,
            "location": location,
            "resourceGroup": group,
            "hash": hash,
        },
        "namespace": namespace,
        "serviceAccount": {"name": account},
    })
}

/// Refuses a template of an identity's name that no cluster could fill in.
///
/// # Errors
/// A malformed template, or a variable that there is not; the known ones are listed.
pub fn check_identity_name(template: &str) -> Result<(), TemplateError> {
    template::render(template, &named(["x"; 7])).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_must_be_made_of_what_is_known() {
        assert!(check_identity_name(crate::DEFAULT_IDENTITY_NAME).is_ok());
        let told = check_identity_name("id-{{ cluster.region }}")
            .unwrap_err()
            .to_string();
        assert!(told.contains("cluster.location"), "{told}");
    }
}
