//! Those who do the work that the executor hands out, and how they are told and tell of it.

use crate::event::{EventKind, TargetResult};
use crate::targets::Stage;
use futures::future::BoxFuture;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;

/// What is done to a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// What the run is about.
    Apply,
    /// It is verified again.
    Recheck,
    /// What the run did is taken back.
    Rollback,
}

/// Those who do the work that the executor hands out.
pub trait Crew {
    /// Does something to a target.
    fn perform(
        &self,
        operation: Operation,
        target: usize,
        progress: Progress,
    ) -> impl Future<Output = TargetResult> + Send + 'static;

    /// How much of a bake is left for a stage.
    fn left_to_bake(&self, stage: &Stage, bake: Duration) -> Duration;

    /// Asks for an approval; who gave it, or none when nobody did.
    fn approval(&self, gate: &str) -> BoxFuture<'static, Option<String>>;
}

/// By which a running target tells what it does.
#[derive(Debug, Clone)]
pub struct Progress {
    pub(super) cluster: String,
    pub(super) sender: UnboundedSender<EventKind>,
}

impl Progress {
    /// By which further events of the target are told.
    pub(crate) const fn sender(&self) -> &UnboundedSender<EventKind> {
        &self.sender
    }

    /// Says what is done now.
    pub fn say(&self, message: impl Into<String>) {
        // Progress may be lost: the run may be over already.
        let _ = self.sender.send(EventKind::TargetProgress {
            cluster: self.cluster.clone(),
            message: message.into(),
        });
    }
}
