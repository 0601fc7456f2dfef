//! The revisions of the release on all clusters, by one request of labels each; for commands that only read.

use crate::cli::ReadArgs;
use crate::error::line;
use crate::fleet::{ClusterSpec, ReleaseSpec};
use crate::inputs::{Interest, Source};
use crate::preflight::loss::OnValueLoss;
use crate::release::Revision;
use aks_shared::cluster::{Cluster, Connection};
use aks_shared::kubeconfig::Kubeconfig;
use futures::{StreamExt, stream};
use std::time::Duration;

/// How many clusters are asked at once.
const CONCURRENCY: usize = 16;

/// The revisions of a cluster, or why they cannot be read.
pub(crate) type Seen = Result<Vec<Revision>, String>;

/// Where the inputs come from; nothing of them is Azure's where clusters are reached without it.
pub(crate) fn source(args: &ReadArgs) -> Source<'_> {
    Source {
        interest: Interest::Releases,
        args: &args.fleet,
        kube: &args.kube,
        azure: &args.azure,
        helm_bin: args.helm_bin.as_ref(),
        on_value_loss: OnValueLoss::default(),
        recover_pending: Duration::ZERO,
    }
}

/// Asks all clusters; the answers come in their order.
pub(crate) async fn of_all(
    release: &ReleaseSpec,
    clusters: &[ClusterSpec],
    kubeconfig: &Kubeconfig,
    connection: &Connection,
) -> Vec<Seen> {
    let questions = clusters.iter().map(|spec| async move {
        let cluster = Cluster::connect(kubeconfig, &spec.context, connection)
            .await
            .map_err(|error| line(&error))?;
        Revision::all(&cluster, &release.namespace, &release.name)
            .await
            .map_err(|error| line(&error))
    });
    let questions: Vec<_> = questions.collect();
    stream::iter(questions).buffered(CONCURRENCY).collect().await
}
