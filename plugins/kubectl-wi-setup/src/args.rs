//! The flags of `kubectl wi setup`, and what they resolve to.

use crate::run;
use crate::{AccountOwner, DEFAULT_IDENTITY_NAME, Step, Workload};
use aks_shared::args::{AzureArgs, ConfirmArgs, KubeArgs, OutputArgs, parse_duration};
use aks_shared::azure::arm::ManagedIdentity;
use aks_shared::azure::{ArmId, ArmIdError};
use aks_shared::identity::{Audience, SecretRef, ServiceAccountRef};
use aks_shared::{Command, ExitStatus, Failure, Session};
use clap::{Args, Parser, ValueEnum};
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  # Let pods of service account orders read one secret, with a managed identity of their own
  kubectl wi setup -n shop --service-account orders --secret kv-central/db-password

  # Look first: what would change on every production cluster
  kubectl wi setup -n shop --service-account orders --secret kv-central/db-password --context 'aks-prod-*' --dry-run

  # In a pipeline, with an account that the Helm release orders will adopt
  kubectl wi setup -n shop --service-account orders --secret kv-central/db-password --helm-release orders --yes -o json";

/// Bootstrap workload identity: from nothing to a proven identity, idempotent
#[derive(Debug, Clone, Parser)]
#[command(name = "kubectl-wi-setup", bin_name = "kubectl wi setup", version)]
pub struct SetupCli {
    #[command(flatten)]
    setup: SetupArgs,
}

/// Bootstrap workload identity: from nothing to a proven identity, idempotent
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct SetupArgs {
    #[command(flatten)]
    pub(crate) workload: WorkloadArgs,
    #[command(flatten)]
    pub(crate) waiting: WaitArgs,
    #[command(flatten)]
    pub(crate) confirm: ConfirmArgs,
    #[command(flatten)]
    pub(crate) kube: KubeArgs,
    #[command(flatten)]
    pub(crate) azure: AzureArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// What the workload is and may read.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Workload")]
pub(crate) struct WorkloadArgs {
    /// Namespace of the service account; without it the context's
    #[arg(short, long, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
    /// Service account whose pods become the identity
    #[arg(long, value_name = "NAME")]
    service_account: String,
    /// Secret that they may read, VAULT/NAME or ARM-ID/NAME; repeat it for several
    #[arg(long, value_name = "VAULT/NAME")]
    secret: Vec<SecretRef>,
    /// ARM id of the cluster that the context must lead to
    #[arg(long, value_name = "ARM-ID")]
    cluster_id: Option<ArmId>,
    /// Managed identity that exists, e.g. Terraform's: used as it is, never renamed or tagged
    #[arg(
        long,
        value_name = "ARM-ID",
        value_parser = parse_identity_id,
        conflicts_with_all = ["identity_name", "identity_group", "tag"]
    )]
    identity_id: Option<ArmId>,
    /// Template of the identity's name
    #[arg(long, value_name = "TEMPLATE", default_value = DEFAULT_IDENTITY_NAME)]
    identity_name: String,
    /// Resource group of the identity; without it the cluster's
    #[arg(long, value_name = "GROUP")]
    identity_group: Option<String>,
    /// Tag of an identity that is created; repeat it for several
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_tag)]
    tag: Vec<(String, String)>,
    /// Audience of the federated credential; without it what the webhook projects
    #[arg(long, value_name = "AUDIENCE")]
    audience: Option<String>,
    /// Who writes the service account
    #[arg(long, value_name = "OWNER", value_enum, default_value_t)]
    service_account_owner: AccountOwner,
    /// Create a missing service account so that this Helm release can adopt it
    #[arg(long, value_name = "NAME")]
    helm_release: Option<String>,
    /// Change a service account that is annotated for another identity
    #[arg(long)]
    replace_identity: bool,
    /// Go on when nothing proves that the context leads to the cluster
    #[arg(long)]
    accept_unproven: bool,
    /// Do only these steps; the others must be done already or are left to others
    #[arg(
        long,
        value_name = "STEP,…",
        value_enum,
        value_delimiter = ',',
        conflicts_with = "skip"
    )]
    only: Vec<Step>,
    /// Leave these steps to others
    #[arg(long, value_name = "STEP,…", value_enum, value_delimiter = ',')]
    skip: Vec<Step>,
}

/// What is waited for in the end.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Waiting")]
pub(crate) struct WaitArgs {
    /// Wait until the token exchange works, or until the secrets can be read from here too
    #[arg(long, value_name = "FOR", value_enum, default_value_t)]
    pub(crate) wait: WaitFor,
    /// Give up waiting after this long
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = parse_duration)]
    pub(crate) timeout: Duration,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum WaitFor {
    /// Nothing
    None,
    /// The token exchange
    #[default]
    Exchange,
    /// The token exchange and every secret
    Access,
}

fn parse_tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("a tag is NAME=VALUE".to_owned()),
    }
}

fn parse_identity_id(text: &str) -> Result<ArmId, String> {
    let id: ArmId = text.parse().map_err(|error: ArmIdError| error.to_string())?;
    if ManagedIdentity::is_id(&id) {
        Ok(id)
    } else {
        Err(format!(
            "it must be the id of a user-assigned identity, and this is one of {}",
            id.resource_type()
        ))
    }
}

impl WorkloadArgs {
    /// Whether the flags can be meant for one cluster only.
    pub(crate) fn names_one_cluster(&self) -> bool {
        self.cluster_id.is_some()
    }

    /// The workload in a namespace; each flag becomes one of its fields.
    pub(crate) fn workload(&self, namespace: &str) -> Result<Workload, Failure> {
        let Self {
            namespace: _,
            service_account,
            secret,
            cluster_id,
            identity_id,
            identity_name,
            identity_group,
            tag,
            audience,
            service_account_owner,
            helm_release,
            replace_identity,
            accept_unproven,
            only,
            skip,
        } = self;
        let account = ServiceAccountRef::new(namespace, service_account.as_str())
            .map_err(|error| Failure::from_error(ExitStatus::Usage, &error))?;
        let skipped = |step: &Step| skip.contains(step) || (!only.is_empty() && !only.contains(step));
        let mut secrets: Vec<SecretRef> = Vec::new();
        for one in secret {
            if !secrets.contains(one) {
                secrets.push(one.clone());
            }
        }
        Ok(Workload {
            account,
            secrets,
            cluster_id: cluster_id.clone(),
            identity_id: identity_id.clone(),
            identity_name: identity_name.clone(),
            identity_group: identity_group.clone(),
            audience: audience.as_deref().map(Audience::from),
            account_owner: *service_account_owner,
            helm_release: helm_release.clone(),
            tags: tag.iter().cloned().collect(),
            replace_identity: *replace_identity,
            accept_unproven: *accept_unproven,
            skip: Step::ALL.into_iter().filter(skipped).collect(),
        })
    }
}

impl Command for SetupArgs {
    fn output(&self) -> &OutputArgs {
        &self.output
    }

    async fn run(self, session: &Session) -> Result<ExitStatus, Failure> {
        run::run(self, session).await
    }
}

impl Command for SetupCli {
    fn output(&self) -> &OutputArgs {
        self.setup.output()
    }

    async fn run(self, session: &Session) -> Result<ExitStatus, Failure> {
        self.setup.run(session).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(flags: &[&str]) -> Result<SetupCli, clap::Error> {
        SetupCli::try_parse_from(["setup", "--service-account", "orders"].iter().chain(flags))
    }

    #[test]
    fn the_flags_are_consistent() {
        SetupCli::command().debug_assert();
    }

    #[test]
    fn only_is_the_complement_of_skip() {
        let only = parse(&["--only", "grants"])
            .unwrap()
            .setup
            .workload
            .workload("shop")
            .unwrap();
        let skip = parse(&["--skip", "identity,federation,service-account"]).unwrap();
        assert_eq!(only.skip, skip.setup.workload.workload("shop").unwrap().skip);
        assert!(parse(&["--only", "grants", "--skip", "identity"]).is_err());
    }

    #[test]
    fn a_secret_that_is_named_twice_is_one() {
        let cli = parse(&["--secret", "kv-central/db", "--secret", "kv-central/db"]).unwrap();
        assert_eq!(cli.setup.workload.workload("shop").unwrap().secrets.len(), 1);
    }

    #[test]
    fn an_identity_that_exists_is_neither_named_nor_tagged() {
        let id =
            "/subscriptions/s/resourcegroups/g/providers/microsoft.managedidentity/userassignedidentities/x";
        let cli = parse(&["--identity-id", id]).unwrap();
        let workload = cli.setup.workload.workload("shop").unwrap();
        assert_eq!(workload.identity_id.map(String::from).as_deref(), Some(id));
        for other in ["--identity-name", "--identity-group", "--tag"] {
            assert!(parse(&["--identity-id", id, other, "a=b"]).is_err(), "{other}");
        }
    }

    #[test]
    fn bad_names_are_usage_errors() {
        let cli = parse(&[]).unwrap();
        assert_eq!(
            cli.setup.workload.workload("Shop").unwrap_err().status,
            ExitStatus::Usage
        );
        assert!(parse(&["--cluster-id", "aks"]).is_err());
        assert!(
            parse(&[
                "--identity-id",
                "/subscriptions/s/resourceGroups/g/providers/P/t/n"
            ])
            .is_err()
        );
        assert!(parse(&["--tag", "=x"]).is_err());
    }
}
