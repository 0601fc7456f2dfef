//! Looks at every cluster before any is touched. Nothing here writes; all that is wrong is listed.

use crate::chart::Chart;
use crate::event::Action;
use crate::fleet::{ClusterSpec, Fleet};
use crate::folder::RunFolder;
use crate::helm::redact::Redaction;
use crate::reach::TokenFile;
use crate::release::Record;
use crate::targets::Stage;
use crate::values::Values;
use crate::values::files::ValuesFiles;
use crate::values::keys::KeyPath;
use aks_shared::azure::Azure;
use aks_shared::cluster::{Cluster, Connection};
use aks_shared::kubeconfig::Kubeconfig;
use kubectl_wi_setup::{Observed, Plan, Workload};
use loss::OnValueLoss;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

mod adoption;
pub mod loss;
mod observe;
mod owner;
mod place;
mod problem;
pub mod render;
pub mod rights;
mod survey;

pub(crate) use observe::{look, look_again};
pub use problem::{Problem, refusal};
pub(crate) use survey::{Rights, Survey, survey};

/// How many clusters are looked at at once.
const CONCURRENCY: usize = 16;

/// What a run is about, the same for all targets.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The run's id.
    pub run: String,
    /// The fleet file.
    pub fleet: Fleet,
    /// The folder that its paths start from.
    pub base: PathBuf,
    /// The values files.
    pub files: Arc<ValuesFiles>,
    /// The chart.
    pub chart: Chart,
    /// The clusters of this run.
    pub clusters: Vec<ClusterSpec>,
    /// Its stages.
    pub stages: Vec<Stage>,
    /// The user's kubeconfig.
    pub kubeconfig: Kubeconfig,
    /// Where everything is kept that helm reads.
    pub folder: Arc<RunFolder>,
    /// How clusters are reached.
    pub connection: Connection,
    /// What to do about values that an upgrade would drop.
    pub on_value_loss: OnValueLoss,
    /// How old a pending revision must be to be recovered.
    pub recover_pending: Duration,
    /// The command that takes away what a dead run left on these clusters.
    pub unlock: String,
    /// Azure, when the fleet has identities or clusters that are known there.
    pub azure: Option<Azure>,
    /// The token by which clusters of Azure are reached, kept valid while the run lasts.
    #[expect(dead_code, reason = "its end is the end of what it keeps valid")]
    pub(crate) token: Option<Arc<TokenFile>>,
}

impl Subject {
    /// The name of the stage in which a cluster is, by its place in [`Self::clusters`].
    pub(crate) fn stage_of(&self, index: usize) -> &str {
        let stage = self.stages.iter().find(|stage| stage.targets.contains(&index));
        stage.map_or("", |stage| &stage.name)
    }
}

/// A target that was looked at.
#[derive(Debug, Clone)]
pub struct Target {
    /// The cluster in the fleet file.
    pub spec: ClusterSpec,
    /// The cluster.
    pub cluster: Cluster,
    /// The UID of its `kube-system`.
    pub uid: String,
    /// The newest revision.
    pub record: Option<Record>,
    /// Why the newest revision is pending and must be left to others, if so.
    pub pending: Option<String>,
    /// Its identities.
    pub identities: Vec<TargetIdentity>,
    /// Its values, with placeholders for ids that are not known yet; none of a cluster that could not be looked at.
    pub values: Option<Values>,
    /// What is expected to be done.
    pub action: Action,
    /// Why.
    pub reason: String,
}

impl Target {
    /// The keys of values that it has, the fleet has not, and that are kept.
    pub fn kept(&self) -> &[KeyPath] {
        self.values.as_ref().map_or(&[], |values| &values.kept)
    }

    /// What must not come out of what programs print about it.
    pub(crate) fn redaction(&self) -> Redaction {
        match &self.values {
            Some(values) => render::redaction(values, &self.record),
            None => Redaction::default().blind(),
        }
    }
}

/// An identity of a target.
#[derive(Debug, Clone)]
pub struct TargetIdentity {
    /// Its name in the fleet file.
    pub name: String,
    /// What it shall be.
    pub workload: Workload,
    /// What is there.
    pub observed: Observed,
    /// What is missing.
    pub plan: Plan,
}

fn problems_of(subject: &Subject, target: &Target) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Some(what) = &target.pending {
        problems.push(Problem {
            hints: vec![format!(
                "wait for whoever is at work: --lock-timeout 10m; if nobody is: {}",
                subject.unlock
            )],
            ..Problem::new(&target.spec.name, what)
        });
    }
    let record = target
        .record
        .as_ref()
        .filter(|_| target.action == Action::Upgrade);
    if let Some(controller) = record.and_then(owner::of_release) {
        problems.push(Problem {
            hints: vec!["change it there, or take it out of the fleet: clusters, or --skip".to_owned()],
            ..Problem::new(
                &target.spec.name,
                format!("the release is rolled out by {controller}"),
            )
        });
    }
    let values = target.values.as_ref();
    problems.extend(values.and_then(|values| loss::problem(subject, target, values)));
    for identity in &target.identities {
        for conflict in identity.plan.conflicts() {
            problems.push(Problem::new(
                &target.spec.name,
                format!("identity {}: {conflict}", identity.name),
            ));
        }
    }
    problems
}
