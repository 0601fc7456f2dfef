//! How many requests this process sent; commands tell it with `-v`.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

static CLUSTERS: AtomicU64 = AtomicU64::new(0);
static AZURE: AtomicU64 = AtomicU64::new(0);

/// Counts of requests, retries included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Requests {
    /// To API servers of clusters.
    pub clusters: u64,
    /// To the resource manager.
    pub azure: u64,
}

impl Requests {
    /// What was sent since the process began.
    pub fn so_far() -> Self {
        Self {
            clusters: CLUSTERS.load(Ordering::Relaxed),
            azure: AZURE.load(Ordering::Relaxed),
        }
    }

    /// What was sent since an earlier count.
    #[must_use]
    pub const fn since(self, before: Self) -> Self {
        Self {
            clusters: self.clusters - before.clusters,
            azure: self.azure - before.azure,
        }
    }
}

impl fmt::Display for Requests {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} requests to clusters, {} to Azure's resource manager",
            self.clusters, self.azure
        )
    }
}

/// Counts a request to a cluster.
pub(crate) fn count_cluster() {
    CLUSTERS.fetch_add(1, Ordering::Relaxed);
}

/// Counts a request to the resource manager.
pub(crate) fn count_azure() {
    AZURE.fetch_add(1, Ordering::Relaxed);
}
