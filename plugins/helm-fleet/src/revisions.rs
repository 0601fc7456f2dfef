//! The revisions of the release on all clusters, by one request of labels each; for commands that only read.

use crate::cli::ReadArgs;
use crate::fleet::ClusterSpec;
use crate::inputs::{self, Interest, Source};
use crate::preflight::Subject;
use crate::preflight::loss::OnValueLoss;
use crate::release::Revision;
use aks_shared::cluster::Cluster;
use aks_shared::{Failure, Session};
use futures::{StreamExt, stream};
use std::time::Duration;

/// How many clusters are asked at once.
const CONCURRENCY: usize = 16;

/// The revisions of a cluster, or why they cannot be read.
pub(crate) type Seen = Result<Vec<Revision>, String>;

/// Loads what the flags are about, without Azure where clusters are reached without it.
pub(crate) async fn subject(args: &ReadArgs, session: &Session) -> Result<Subject, Failure> {
    let source = Source {
        interest: Interest::Releases,
        args: &args.fleet,
        kube: &args.kube,
        azure: &args.azure,
        helm_bin: args.helm_bin.as_ref(),
        on_value_loss: OnValueLoss::default(),
        recover_pending: Duration::ZERO,
    };
    inputs::subject(args.fleet.read(&session.env)?, &source, session).await
}

/// Asks all clusters; the answers come in their order.
pub(crate) async fn of_all(subject: &Subject) -> Vec<Seen> {
    let questions: Vec<_> = subject
        .clusters
        .iter()
        .map(|spec| of_one(subject, spec))
        .collect();
    stream::iter(questions).buffered(CONCURRENCY).collect().await
}

async fn of_one(subject: &Subject, spec: &ClusterSpec) -> Seen {
    let release = &subject.fleet.release;
    let told = |error: &dyn std::error::Error| {
        let causes = aks_shared::causes(error);
        let whole: Vec<String> = std::iter::once(error.to_string()).chain(causes).collect();
        whole.join(": ")
    };
    let cluster = Cluster::connect(&subject.kubeconfig, &spec.context, &subject.connection)
        .await
        .map_err(|error| told(&error))?;
    Revision::all(&cluster, &release.namespace, &release.name)
        .await
        .map_err(|error| told(&error))
}
