//! The flags of `kubectl wi remove`.

use crate::args::parse_identity_id;
use crate::selection::Asked;
use crate::{DEFAULT_IDENTITY_NAME, Workload, remove};
use aks_shared::args::{AzureArgs, ConfirmArgs, KubeArgs, OutputArgs};
use aks_shared::azure::ArmId;
use aks_shared::identity::ServiceAccountRef;
use aks_shared::{Command, ExitStatus, Failure, Session};
use clap::Args;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  # Look first: what would be taken away, and which pods use it
  kubectl wi remove -n shop --service-account orders --dry-run

  # Take it away on every production cluster
  kubectl wi remove -n shop --service-account orders --context 'aks-prod-*' --yes

  # Take away all that one file has set up
  kubectl wi remove -f wi.yaml --yes";

/// Take away what setup made for a service account, and nothing else
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct RemoveArgs {
    #[command(flatten)]
    workload: RemovedArgs,
    #[command(flatten)]
    pub(super) confirm: ConfirmArgs,
    #[command(flatten)]
    pub(super) kube: KubeArgs,
    #[command(flatten)]
    pub(super) azure: AzureArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// What is taken away.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Workload")]
struct RemovedArgs {
    /// File of workloads that setup was given, in place of the flags for one; `-` is standard input
    #[arg(
        short,
        long,
        value_name = "FILE",
        conflicts_with_all = ["service_account", "cluster_id", "identity_id", "identity_name", "identity_group", "accept_unproven"]
    )]
    file: Option<PathBuf>,
    /// Namespace of the service account; without it the context's
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Service account whose pods became the identity
    #[arg(long, value_name = "NAME", required_unless_present = "file")]
    service_account: Option<String>,
    /// ARM id of the cluster that the context must lead to
    #[arg(long, value_name = "ARM-ID")]
    cluster_id: Option<ArmId>,
    /// Managed identity that setup was given by --identity-id: it stays, and loses what setup added
    #[arg(
        long,
        value_name = "ARM-ID",
        value_parser = parse_identity_id,
        conflicts_with_all = ["identity_name", "identity_group"]
    )]
    identity_id: Option<ArmId>,
    /// Template of the identity's name, as setup was given it
    #[arg(long, value_name = "TEMPLATE", default_value = DEFAULT_IDENTITY_NAME)]
    identity_name: String,
    /// Resource group of the identity; without it the cluster's
    #[arg(long, value_name = "GROUP")]
    identity_group: Option<String>,
    /// Go on when nothing proves that the context leads to the cluster
    #[arg(long)]
    accept_unproven: bool,
}

impl RemoveArgs {
    /// The file that describes the workloads.
    pub(super) fn file(&self) -> Option<&Path> {
        self.workload.file.as_deref()
    }

    /// What the flags say of every workload.
    pub(super) fn asked(&self) -> Asked<'_> {
        Asked {
            contexts: &self.kube.context,
            namespace: self.workload.namespace.as_deref(),
            names_one_cluster: self.workload.cluster_id.is_some(),
            ..Asked::default()
        }
    }

    /// What setup was asked for once, as far as it matters now.
    pub(super) fn workload(&self, namespace: &str) -> Result<Workload, Failure> {
        let RemovedArgs {
            file: _,
            namespace: _,
            service_account,
            cluster_id,
            identity_id,
            identity_name,
            identity_group,
            accept_unproven,
        } = &self.workload;
        let account = ServiceAccountRef::new(namespace, service_account.as_deref().unwrap_or_default())
            .map_err(|error| Failure::from_error(ExitStatus::Usage, &error))?;
        Ok(Workload {
            cluster_id: cluster_id.clone(),
            identity_id: identity_id.clone(),
            identity_name: identity_name.clone(),
            identity_group: identity_group.clone(),
            accept_unproven: *accept_unproven,
            ..Workload::new(account)
        })
    }
}

impl Command for RemoveArgs {
    fn output(&self) -> &OutputArgs {
        &self.output
    }

    async fn run(self, session: &Session) -> Result<ExitStatus, Failure> {
        remove::run(self, session).await
    }
}
