//! How clusters are reached for which the kubeconfig has no context, or only one whose plugin nobody can run: by a
//! credential of Azure, with a token that is minted here and kept in a file while the run lasts.

use crate::fleet::ClusterSpec;
use crate::folder::RunFolder;
use aks_shared::Failure;
use aks_shared::azure::{ArmId, Azure, AzureError};
use aks_shared::kubeconfig::Kubeconfig;
use clap::ValueEnum;
use futures::{StreamExt, stream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// How many credentials are asked for at once.
const CONCURRENCY: usize = 8;
/// How often the file is brought up to date. The token itself is replaced some minutes before its end, and Kubernetes'
/// clients read the file anew every minute.
const REFRESH: Duration = Duration::from_secs(30);
/// Name of the file in the run's folder.
const FILE: &str = "aks-token";

/// How one signs in to API servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum KubeAuth {
    /// As the kubeconfig says; clusters without a context by Azure
    #[default]
    Kubeconfig,
    /// By a token of Azure's sign-in, wherever the kubeconfig would run a plugin
    Azure,
}

/// A file that holds a valid token for the API servers of AKS until this is dropped.
#[derive(Debug)]
pub(crate) struct TokenFile {
    path: PathBuf,
    refresh: JoinHandle<()>,
}

impl Drop for TokenFile {
    fn drop(&mut self) {
        self.refresh.abort();
    }
}

impl TokenFile {
    async fn keep(azure: &Azure, folder: &Arc<RunFolder>) -> Result<Self, Failure> {
        let token = azure.aks_token().await?;
        let mut written = token.expose().to_owned();
        let path = folder.write(FILE, written.as_bytes()).map_err(|error| {
            Failure::refused("the token for API servers cannot be kept").caused_by(&error)
        })?;
        let (azure, folder) = (azure.clone(), Arc::clone(folder));
        let refresh = tokio::spawn(async move {
            loop {
                tokio::time::sleep(REFRESH).await;
                // What fails now is tried again; the old token is good for some minutes more.
                let token: Result<_, AzureError> = azure.aks_token().await;
                if let Ok(token) = token
                    && token.expose() != written
                    && folder.replace(FILE, token.expose().as_bytes()).is_ok()
                {
                    token.expose().clone_into(&mut written);
                }
            }
        });
        Ok(Self { path, refresh })
    }
}

/// Whether some of a fleet's clusters are reached by a credential of Azure.
pub(crate) fn needs_azure(clusters: &[ClusterSpec], auth: KubeAuth) -> bool {
    auth == KubeAuth::Azure || clusters.iter().any(|cluster| cluster.context.is_empty())
}

/// Gives every cluster without a context one, and lets Azure sign in where that is asked for. All clusters whose
/// credential cannot be had are listed.
pub(crate) async fn prepare(
    azure: &Azure,
    clusters: &mut [ClusterSpec],
    kubeconfig: &mut Kubeconfig,
    folder: &Arc<RunFolder>,
    auth: KubeAuth,
) -> Result<Option<TokenFile>, Failure> {
    if !needs_azure(clusters, auth) {
        return Ok(None);
    }
    let token = TokenFile::keep(azure, folder).await?;
    if auth == KubeAuth::Azure {
        for cluster in clusters.iter().filter(|cluster| !cluster.context.is_empty()) {
            kubeconfig.replace_plugin(&cluster.context, &token.path);
        }
    }
    let asked: Vec<_> = clusters
        .iter()
        .enumerate()
        .filter(|(_, cluster)| cluster.context.is_empty())
        .map(|(index, cluster)| async move { (index, credential(azure, cluster).await) })
        .collect();
    let answers: Vec<_> = stream::iter(asked).buffered(CONCURRENCY).collect().await;
    let mut refused: Vec<(String, Failure)> = Vec::new();
    for (index, answer) in answers {
        let cluster = &mut clusters[index];
        let added = answer.and_then(|(id, text)| add(kubeconfig, &id, &text, &token.path));
        match added {
            Ok(context) => cluster.context = context,
            Err(failure) => refused.push((cluster.name.clone(), failure)),
        }
    }
    if refused.is_empty() {
        return Ok(Some(token));
    }
    let mut failure = Failure::refused(format!(
        "the credential of {} of the clusters cannot be had from Azure; nothing was touched",
        refused.len()
    ));
    for (name, why) in refused {
        let what = std::iter::once(why.message).chain(why.causes).collect::<Vec<_>>();
        failure.causes.push(format!("{name}: {}", what.join(": ")));
        failure.hints.extend(why.hints);
    }
    failure.hints.dedup();
    Err(failure)
}

async fn credential(azure: &Azure, cluster: &ClusterSpec) -> Result<(ArmId, String), Failure> {
    let id: ArmId = cluster
        .id
        .as_deref()
        .unwrap_or_default()
        .parse()
        .map_err(|error: aks_shared::azure::ArmIdError| Failure::usage(error.to_string()))?;
    let kubeconfig = azure.arm.user_kubeconfig(&id).await?;
    Ok((id, kubeconfig.expose().to_owned()))
}

fn add(kubeconfig: &mut Kubeconfig, id: &ArmId, text: &str, token: &Path) -> Result<String, Failure> {
    let context = context_of(id, &kubeconfig.contexts());
    kubeconfig.add(&context, text, token)?;
    Ok(context)
}

/// The name of the context that is made for a cluster: none that the user has.
fn context_of(id: &ArmId, known: &[String]) -> String {
    let short = format!("azure/{}/{}", id.resource_group(), id.name());
    if known.contains(&short) {
        format!(
            "azure/{}/{}/{}",
            id.subscription(),
            id.resource_group(),
            id.name()
        )
    } else {
        short
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_context_is_none_that_exists() {
        let id: ArmId =
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/aks"
                .parse()
                .unwrap();
        assert_eq!(context_of(&id, &[]), "azure/g/aks");
        assert_eq!(context_of(&id, &["azure/g/aks".to_owned()]), "azure/s/g/aks");
    }

    #[test]
    fn azure_is_needed_where_no_context_leads_to() {
        let with = ClusterSpec {
            context: "aks".to_owned(),
            ..ClusterSpec::default()
        };
        assert!(!needs_azure(std::slice::from_ref(&with), KubeAuth::Kubeconfig));
        assert!(needs_azure(std::slice::from_ref(&with), KubeAuth::Azure));
        assert!(needs_azure(&[with, ClusterSpec::default()], KubeAuth::Kubeconfig));
    }
}
