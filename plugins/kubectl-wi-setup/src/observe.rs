//! Reads everything that a plan depends on; writes nothing (the pod that is sent is a server-side dry run).

mod account;
mod audience;
mod context;
mod vaults;

pub use account::ObservedAccount;
pub use audience::AudienceSource;
pub use context::{ObservedCluster, Proof};
pub use vaults::{ObservedSecret, ObservedVault};

use crate::error::{SetupError, reading};
use crate::{Workload, names};
use aks_shared::azure::arm::{FederatedCredential, ManagedCluster, ManagedIdentity};
use aks_shared::azure::{ArmId, Azure};
use aks_shared::cluster::Cluster;
use aks_shared::identity::Audience;
use aks_shared::template;
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
    /// The audience that the federated credential needs.
    pub audience: Audience,
    /// Where that audience is known from.
    pub audience_source: AudienceSource,
    /// Whether the namespace exists.
    pub namespace_exists: bool,
    /// The service account, when it exists.
    pub account: Option<ObservedAccount>,
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
    let ((identity, credentials), (vaults, mut secrets), audience) = futures::try_join!(
        observe_identity(azure, &identity_id, workload.identity_id.is_some()),
        vaults::observe(azure, &workload.secrets),
        async {
            Ok::<_, SetupError>(
                audience::observe(cluster, workload, namespace_exists, account.is_some()).await,
            )
        },
    )?;
    if let Some(identity) = &identity {
        vaults::observe_grants(azure, identity, &mut secrets).await?;
    }
    // A webhook that mutates is on, whatever ARM says: it may have been installed by hand.
    context::check_enabled(&managed, audience.is_projected)?;
    let tenant_id = identity
        .as_ref()
        .map_or_else(|| azure.principal.tenant.clone(), |found| found.tenant_id.clone());
    Ok(Observed {
        cluster: ObservedCluster::new(cluster, managed, proven),
        tenant_id,
        identity_id,
        identity,
        credentials,
        vaults,
        secrets,
        audience: audience.audience,
        audience_source: audience.source,
        namespace_exists,
        account,
    })
}

/// The identity with its federated credentials; one that was named by its id must exist.
async fn observe_identity(
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

fn identity_id(
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
    json!({
        "cluster": {
            "name": managed.name,
            "context": cluster.context,
            "location": managed.location,
            "resourceGroup": managed.id.resource_group(),
            "hash": names::cluster_hash(&managed.id),
        },
        "namespace": workload.account.namespace,
        "serviceAccount": {"name": workload.account.name},
    })
}
