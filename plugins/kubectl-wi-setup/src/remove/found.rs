//! Reads what may be taken away, and who else has a part in it; writes nothing.

use crate::Workload;
use crate::clusters::at_once;
use crate::error::{SetupError, reading};
use crate::observe::{ObservedAccount, ObservedCluster, context, identity_id, observe_identity};
use crate::pods::{self, PodUse};
use aks_shared::azure::arm::{FederatedCredential, ManagedIdentity, RoleAssignment};
use aks_shared::azure::{ArmId, Azure};
use aks_shared::cluster::Cluster;
use std::collections::BTreeMap;

/// How many subscriptions are asked at once.
const AT_ONCE: usize = 8;

/// What a removal is planned from.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) cluster: ObservedCluster,
    /// The account, when it exists.
    pub(crate) account: Option<ObservedAccount>,
    /// The pods that run as it with an identity; none where they may not be listed.
    pub(crate) pods: Option<Vec<PodUse>>,
    /// The id that the identity has or would have.
    pub(crate) identity_id: ArmId,
    /// The identity, when it exists.
    pub(crate) identity: Option<ManagedIdentity>,
    /// Its federated credentials.
    pub(crate) credentials: Vec<FederatedCredential>,
    /// Its role assignments, wherever the principal may see them.
    pub(crate) assignments: Vec<RoleAssignment>,
    /// The subscriptions whose role assignments may not be seen.
    pub(crate) unread: Vec<String>,
}

/// Reads what there is of a workload on one cluster.
///
/// # Errors
/// When something cannot be read, and when the context is not provably the cluster.
pub(super) async fn find(azure: &Azure, cluster: &Cluster, workload: &Workload) -> Result<Found, SetupError> {
    let (managed, account) = futures::try_join!(context::resolve(azure, cluster, workload), async {
        Ok(cluster.service_account(&workload.account).await?)
    })?;
    let account = account.map(|account| ObservedAccount::read(&account));
    let proven = context::prove(cluster, &managed, workload, account.is_some()).await?;
    let identity_id = identity_id(cluster, &managed, workload)?;
    let must_exist = workload.identity_id.is_some();
    let ((identity, credentials), pods) =
        futures::try_join!(observe_identity(azure, &identity_id, must_exist), async {
            Ok(pods::of_account(cluster, &workload.account).await?)
        })?;
    let (assignments, unread) = match &identity {
        Some(identity) => find_assignments(azure, identity).await?,
        None => (Vec::new(), Vec::new()),
    };
    Ok(Found {
        cluster: ObservedCluster::new(cluster, managed, proven),
        account,
        pods,
        identity_id,
        identity,
        credentials,
        assignments,
        unread,
    })
}

/// The role assignments of an identity, each once, and the subscriptions that were closed.
async fn find_assignments(
    azure: &Azure,
    identity: &ManagedIdentity,
) -> Result<(Vec<RoleAssignment>, Vec<String>), SetupError> {
    // A vault may be in another subscription than those that are searched for clusters.
    let subscriptions = azure
        .arm
        .readable(&[])
        .await
        .map_err(reading("the subscriptions"))?;
    let mut asked = Vec::new();
    for subscription in subscriptions {
        asked.push(async {
            let scope = format!("/subscriptions/{subscription}");
            let found = azure.arm.role_assignments(&scope, &identity.principal_id).await;
            (subscription, found)
        });
    }
    let (mut found, mut unread) = (BTreeMap::new(), Vec::new());
    for (subscription, answer) in at_once(AT_ONCE, asked).await {
        match answer {
            Ok(assignments) => {
                // What holds above a subscription is listed in each.
                found.extend(
                    assignments
                        .into_iter()
                        .map(|one| (one.id.to_ascii_lowercase(), one)),
                );
            }
            Err(error) if error.is_forbidden() => unread.push(subscription),
            Err(error) => {
                return Err(reading(format!(
                    "the role assignments of identity {}",
                    identity.id.name()
                ))(error));
            }
        }
    }
    Ok((found.into_values().collect(), unread))
}
