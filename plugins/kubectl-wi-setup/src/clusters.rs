//! The clusters of a run: how they are reached, and how many are worked on at once.

use crate::SetupError;
use aks_shared::args::KubeArgs;
use aks_shared::azure::Azure;
use aks_shared::cluster::{Cluster, Connection};
use aks_shared::kubeconfig::Kubeconfig;
use aks_shared::{Failure, Session};
use futures::{FutureExt, StreamExt, stream};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OnceCell;

/// How many clusters are worked on at once.
pub(crate) const AT_ONCE: usize = 16;

/// How many plans are carried out at once. Each waits most of its time for its places among the writes that Azure takes
/// in a subscription; with few of them at once, places would stay empty.
pub(crate) const PLANS_AT_ONCE: usize = 64;

/// Does many things, some of them at once; what they come to stays in their order.
pub(crate) async fn at_once<T>(most: usize, works: Vec<impl Future<Output = T>>) -> Vec<T> {
    let works = works.into_iter().enumerate();
    let works = works.map(|(index, work)| work.map(move |done| (index, done)));
    // A slow one in front must not keep those behind it from being started.
    let mut done: Vec<(usize, T)> = stream::iter(works).buffer_unordered(most).collect().await;
    done.sort_unstable_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, done)| done).collect()
}

/// The clusters behind contexts, each connected to once, however many workloads it has.
pub(crate) struct Clusters<'a> {
    kubeconfig: &'a Kubeconfig,
    connection: Connection,
    connected: Mutex<BTreeMap<String, Connected>>,
}

type Connected = Arc<OnceCell<Result<Cluster, Failure>>>;

impl<'a> Clusters<'a> {
    pub(crate) fn new(kubeconfig: &'a Kubeconfig, args: &KubeArgs, azure: &Azure, session: &Session) -> Self {
        Self {
            kubeconfig,
            connection: Connection::new(args, azure.roots.clone(), &session.env),
            connected: Mutex::default(),
        }
    }

    /// The cluster behind a context.
    pub(crate) async fn connect(&self, context: &str) -> Result<Cluster, Failure> {
        let connected = {
            let mut all = self.connected.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(context.to_owned()).or_default())
        };
        let connect = || async {
            let connected = Cluster::connect(self.kubeconfig, context, &self.connection).await;
            connected.map_err(|error| SetupError::from(error).into())
        };
        connected.get_or_init(connect).await.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[test]
    fn a_slow_one_in_front_keeps_nobody_from_starting_and_stays_in_front() {
        let (sender, receiver) = oneshot::channel();
        let slow = async { receiver.await.unwrap_or_default() }.boxed();
        let quick = async { "second" }.boxed();
        // With two at once the first one ends only if the third one starts.
        let last = async move {
            let _ = sender.send("first");
            "third"
        };
        let done = at_once(2, vec![slow, quick, last.boxed()]).now_or_never();
        assert_eq!(done.as_deref(), Some(["first", "second", "third"].as_slice()));
    }
}
