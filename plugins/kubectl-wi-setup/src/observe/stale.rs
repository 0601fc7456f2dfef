//! Which issuers of old credentials belong to no cluster any more.

use crate::error::{SetupError, reading};
use crate::{Workload, names};
use aks_shared::azure::Azure;
use aks_shared::azure::arm::FederatedCredential;
use aks_shared::identity::Issuer;
use std::collections::BTreeSet;

/// What an issuer's address answers when it is asked for its discovery document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// There is no such issuer: AKS deletes the document with its cluster.
    Gone,
    /// Anything else, silence included: it may live.
    Other,
}

/// The issuers of stale credentials of ours that are provably nobody's: no readable cluster has them, and their own
/// address says that there is no such issuer. A cluster that the principal may not read keeps its credential so.
pub(super) async fn gone_issuers(
    azure: &Azure,
    workload: &Workload,
    own: &Issuer,
    credentials: &[FederatedCredential],
) -> Result<Vec<Issuer>, SetupError> {
    let suspects: BTreeSet<&Issuer> = stale(workload, own, credentials)
        .map(|credential| &credential.issuer)
        .collect();
    if suspects.is_empty() {
        return Ok(Vec::new());
    }
    let clusters = azure
        .arm
        .readable_clusters(&[])
        .await
        .map_err(reading("the clusters, to see whose issuers live"))?;
    let living: BTreeSet<&Issuer> = clusters
        .iter()
        .filter_map(|cluster| cluster.issuer.as_ref())
        .collect();
    let asked = suspects
        .into_iter()
        .filter(|issuer| !living.contains(issuer))
        .map(|issuer| async { (issuer.clone(), ask(azure, issuer).await) });
    let answers = futures::future::join_all(asked).await;
    let gone = answers.into_iter().filter(|(_, answer)| *answer == Answer::Gone);
    Ok(gone.map(|(issuer, _)| issuer).collect())
}

/// Credentials that we made for the account at another issuer.
pub(crate) fn stale<'a>(
    workload: &'a Workload,
    own: &'a Issuer,
    credentials: &'a [FederatedCredential],
) -> impl Iterator<Item = &'a FederatedCredential> {
    credentials
        .iter()
        .filter(move |one| one.issuer != *own && names::is_made_for(&workload.account, one))
}

async fn ask(azure: &Azure, issuer: &Issuer) -> Answer {
    let url = format!(
        "{}/.well-known/openid-configuration",
        issuer.as_str().trim_end_matches('/')
    );
    match azure.http.get(url).send().await {
        Ok(answer) if [404, 410].contains(&answer.status().as_u16()) => Answer::Gone,
        _ => Answer::Other,
    }
}
