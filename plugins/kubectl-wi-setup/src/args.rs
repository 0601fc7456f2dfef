//! The flags of `kubectl wi setup`, and what they resolve to.

use crate::file::{FileArgs, unique};
use crate::outputs::ResultArgs;
use crate::run;
use crate::selection::{Asked, skipped};
use crate::workload::check_identity_id;
use crate::{AccountOwner, DEFAULT_IDENTITY_NAME, GrantRequest, Step, Workload};
use aks_shared::args::{AzureArgs, ConfirmArgs, KubeArgs, OutputArgs, parse_duration};
use aks_shared::azure::arm::Features;
use aks_shared::azure::{ArmId, ArmIdError};
use aks_shared::identity::{Audience, SecretRef, ServiceAccountRef};
use aks_shared::{Command, ExitStatus, Failure, OutputFormat, Session};
use clap::{Args, Parser, ValueEnum, value_parser};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

// A line that is wrapped cannot be pasted: none is longer than the 100 columns that help has without a terminal.
const EXAMPLES: &str = r"Examples:
  # Let pods of service account orders read one secret, with a managed identity of their own
  kubectl wi setup -n shop --service-account orders --secret kv-central/db-password

  # Look first: what would change on every production cluster
  kubectl wi setup -n shop --service-account orders --secret kv-central/db-password \
    --context 'aks-prod-*' --dry-run

  # In a pipeline, with an account that the Helm release orders will adopt
  kubectl wi setup -n shop --service-account orders --secret kv-central/db-password \
    --helm-release orders --yes -o json

  # Many workloads on many clusters, described by a file; --print-schema says how
  kubectl wi setup -f wi.yaml --yes

  # Helm values for a chart whose pods mount the secret by the Secrets Store CSI driver
  kubectl wi setup -n shop --service-account orders --secret kv-central/db-password --yes \
    -o values --values-map csi.parameters=secretProviderClass.kv-central

  # The vault is another team's: write down what its owner is to apply, and apply it
  kubectl wi setup -n shop --service-account orders --secret kv-central/db-password --yes \
    --export-grants grants.yaml
  kubectl wi setup --only grants -f grants.yaml";

/// Bootstrap workload identity: from nothing to a proven identity, idempotent
#[derive(Debug, Clone, Parser)]
#[command(name = "kubectl-wi-setup", bin_name = "kubectl wi setup", version)]
pub struct SetupCli {
    #[command(flatten)]
    pub(crate) setup: SetupArgs,
}

/// Bootstrap workload identity: from nothing to a proven identity, idempotent
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES, mut_arg("output", |output| output.value_parser(value_parser!(OutputFormat))))]
pub struct SetupArgs {
    #[command(flatten)]
    pub(crate) file: FileArgs,
    #[command(flatten)]
    pub(crate) workload: WorkloadArgs,
    #[command(flatten)]
    pub(crate) guidance: GuidanceArgs,
    #[command(flatten)]
    pub(crate) features: FeatureArgs,
    #[command(flatten)]
    pub(crate) waiting: WaitArgs,
    #[command(flatten)]
    pub(crate) results: ResultArgs,
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
    #[arg(long, value_name = "NAME", required_unless_present_any = ["file", "print_schema", "interactive", "print_delegation"])]
    pub(crate) service_account: Option<String>,
    /// Secret that they may read, VAULT/NAME or ARM-ID/NAME; repeat it for several
    #[arg(long, value_name = "VAULT/NAME")]
    pub(crate) secret: Vec<SecretRef>,
    /// Role that the identity gets besides, by name or id; repeat it for several
    #[arg(long, value_name = "ROLE@SCOPE")]
    grant: Vec<GrantRequest>,
    /// Leave the grants to the owner of the vaults, and write to this file what is to be applied
    #[arg(long, value_name = "FILE")]
    pub(crate) export_grants: Option<PathBuf>,
    /// Accept that a vault with access policies lets the identity read every secret of it
    #[arg(long)]
    allow_vault_wide: bool,
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
    pub(crate) service_account_owner: AccountOwner,
    /// Create a missing service account so that this Helm release can adopt it
    #[arg(long, value_name = "NAME")]
    pub(crate) helm_release: Option<String>,
    /// Change a service account that is annotated for another identity
    #[arg(long)]
    replace_identity: bool,
    /// Delete federated credentials that setup made for this account at issuers that no cluster has any more
    #[arg(long)]
    pub(crate) prune: bool,
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

/// Help for who does not know every flag, or lacks a right.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Guidance")]
pub(crate) struct GuidanceArgs {
    /// Ask for what is missing, and print the command that would not have asked
    #[arg(long, conflicts_with_all = ["file", "yes", "print_schema"])]
    pub(crate) interactive: bool,
    /// Print what an administrator assigns so that the signed-in principal may grant the secrets, and stop
    #[arg(long, requires = "secret")]
    pub(crate) print_delegation: bool,
}

/// What is switched on in clusters that lack it, before anything else.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Cluster features")]
pub(crate) struct FeatureArgs {
    /// Switch the OIDC issuer on where it is off: restarts the API server, cannot be undone
    #[arg(long)]
    enable_oidc_issuer: bool,
    /// Switch workload identity on where it is off
    #[arg(long)]
    enable_workload_identity: bool,
}

impl FeatureArgs {
    /// The features that the flags ask for.
    pub(crate) const fn wanted(&self) -> Features {
        Features {
            issuer: self.enable_oidc_issuer,
            workload_identity: self.enable_workload_identity,
        }
    }
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

pub(crate) fn parse_identity_id(text: &str) -> Result<ArmId, String> {
    let id: ArmId = text.parse().map_err(|error: ArmIdError| error.to_string())?;
    check_identity_id(&id)?;
    Ok(id)
}

impl SetupArgs {
    /// What the flags say of every workload.
    pub(crate) fn asked(&self) -> Asked<'_> {
        let workload = &self.workload;
        Asked {
            contexts: &self.kube.context,
            namespace: workload.namespace.as_deref(),
            names_one_cluster: workload.cluster_id.is_some(),
            skip: workload.skipped(),
            prune: workload.prune,
        }
    }
}

impl WorkloadArgs {
    /// Whether nothing but the clusters' features is to be changed.
    pub(crate) fn only_the_cluster(&self) -> bool {
        self.only == [Step::Cluster]
    }

    /// The steps that are left to others.
    pub(crate) fn skipped(&self) -> BTreeSet<Step> {
        let mut skipped = skipped(&self.only, &self.skip);
        skipped.extend(self.export_grants.as_ref().map(|_| Step::Grants));
        skipped
    }

    /// The workload in a namespace; each flag becomes one of its fields.
    pub(crate) fn workload(&self, namespace: &str) -> Result<Workload, Failure> {
        let Self {
            namespace: _,
            service_account,
            secret,
            grant,
            allow_vault_wide,
            export_grants: _,
            cluster_id,
            identity_id,
            identity_name,
            identity_group,
            tag,
            audience,
            service_account_owner,
            helm_release,
            replace_identity,
            prune,
            accept_unproven,
            only: _,
            skip: _,
        } = self;
        let account = ServiceAccountRef::new(namespace, service_account.as_deref().unwrap_or_default())
            .map_err(|error| Failure::from_error(ExitStatus::Usage, &error))?;
        Ok(Workload {
            account,
            secrets: unique(secret.iter().cloned()),
            grants: unique(grant.iter().cloned()),
            allow_vault_wide: *allow_vault_wide,
            cluster_id: cluster_id.clone(),
            identity_id: identity_id.clone(),
            identity_name: identity_name.clone(),
            identity_group: identity_group.clone(),
            audience: audience.as_deref().map(Audience::from),
            account_owner: *service_account_owner,
            helm_release: helm_release.clone(),
            tags: tag.iter().cloned().collect(),
            replace_identity: *replace_identity,
            prune: *prune,
            accept_unproven: *accept_unproven,
            skip: self.skipped(),
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
    fn every_flag_stands_in_a_group() {
        let command = SetupCli::command();
        let alone: Vec<&str> = command
            .get_arguments()
            .filter(|flag| flag.get_help_heading().is_none())
            .map(|flag| flag.get_id().as_str())
            .collect();
        assert_eq!(alone, Vec::<&str>::new());
    }

    #[test]
    fn only_is_the_complement_of_skip() {
        let only = parse(&["--only", "grants"])
            .unwrap()
            .setup
            .workload
            .workload("shop")
            .unwrap();
        let skip = parse(&["--skip", "cluster,identity,federation,service-account"]).unwrap();
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
