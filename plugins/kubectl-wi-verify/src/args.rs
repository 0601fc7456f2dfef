//! The flags of `kubectl wi verify`, and what they resolve to.

use crate::facts::workload::WorkloadRef;
use crate::finding::Verdict;
use crate::verification::{ProbeOptions, Vantage};
use aks_shared::args::{AzureArgs, KubeArgs, OutputArgs, parse_duration};
use aks_shared::azure::Cloud;
use aks_shared::env::{self, Env};
use aks_shared::identity::SecretRef;
use aks_shared::trust::TrustedRoots;
use aks_shared::{ExitStatus, Failure};
use clap::{Parser, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

// A line that is wrapped cannot be pasted: none is longer than the 100 columns that help has without a terminal.
const EXAMPLES: &str = "\
Examples:
  # Prove that pods of service account orders can read one secret, or name the cause
  kubectl wi verify -n shop --service-account orders --secret kv-central/db-password

  # Look at a workload too: its pods, its settings, where it runs
  kubectl wi verify deploy/orders -n shop

  # In a pipeline, right after a setup, on every production cluster
  kubectl wi verify -n shop --service-account orders --secret kv-central/db-password \\
    --context 'aks-prod-*' --wait 10m --junit verify.xml

  # Without a pod: from here, with a token that the API server issues
  kubectl wi verify -n shop --service-account orders --from local

  # Tell propagation and flakiness from misconfiguration, and that nothing more is allowed
  kubectl wi verify deploy/orders -n shop --repeat 100 --least-privilege";

/// Prove that a service account reaches Azure as its managed identity, or name the cause
///
/// Reads the cluster and Azure, runs a small probe as the service account, exchanges its token with Entra and
/// reads each named secret inside the probe; no token and no value leaves it. With a workload in place of an account
/// the probe runs where that one's pods run, and what is particular to them is looked at too. Exits 0 when all is
/// well, 1 when a check fails, 8 when the cluster cannot be asked, 64 on bad flags.
#[derive(Debug, Clone, Parser)]
#[command(name = "kubectl-wi-verify", bin_name = "kubectl wi verify", version, after_help = EXAMPLES)]
pub struct VerifyArgs {
    /// Workload whose pods are to be verified: deploy/NAME, or sts, ds, rs, job, cronjob, pod
    #[arg(
        value_name = "KIND/NAME",
        required_unless_present = "service_account",
        conflicts_with = "service_account"
    )]
    pub workload: Option<WorkloadRef>,
    /// Service account whose pods are to be verified, when no workload is named
    #[arg(long, value_name = "NAME")]
    pub service_account: Option<String>,
    /// Namespace of the service account; without it the context's own
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Secret that its pods must be able to read; repeatable. VAULT is a name or an ARM id
    #[arg(long, value_name = "VAULT/NAME")]
    pub secret: Vec<SecretRef>,
    /// Where the exchange is tried
    #[arg(long, value_enum, value_name = "PLACE", default_value_t)]
    pub from: Vantage,
    /// Image of the probe; without it $AKS_WI_PROBE_IMAGE
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// Secret of the namespace to pull that image with; repeatable
    #[arg(long, value_name = "NAME")]
    pub image_pull_secret: Vec<String>,
    /// Exchange this many times, and tell the rate and the codes
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub repeat: u32,
    /// Prove as well what must be refused: a secret that nobody named, and another service account
    #[arg(long)]
    pub least_privilege: bool,
    /// Give up on the probe after this long, scheduling and image pull included, --wait and --repeat not
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = parse_duration)]
    pub timeout: Duration,
    /// Go on for this long until all is well, as in a pipeline right after a setup
    #[arg(long, value_name = "DURATION", default_value = "0", value_parser = parse_duration)]
    pub wait: Duration,
    /// Verify again and again until interrupted, and print what has changed
    #[arg(long, conflicts_with = "wait")]
    pub watch: bool,
    /// Pause between two rounds of --watch
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration, requires = "watch")]
    pub interval: Duration,
    /// Exit 1 from this verdict on
    #[arg(long, value_enum, value_name = "VERDICT", default_value_t)]
    pub fail_on: FailOn,
    /// Verify on every context of the kubeconfig
    #[arg(long, conflicts_with = "context")]
    pub all_contexts: bool,
    /// Write a test report (XML, as CI systems read it) to this file as well
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Write a Markdown report to this file as well
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) kube: KubeArgs,
    #[command(flatten)]
    pub(crate) azure: AzureArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// The flags of the binary `kubectl-wi-verify`: those of the command, nothing around them.
pub type VerifyCli = VerifyArgs;

/// From which verdict on the command fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum FailOn {
    /// Something is wrong
    #[default]
    Fail,
    /// Something is wrong, or somebody should look
    Warn,
    /// Something is wrong, somebody should look, or it could not be told
    Unknown,
}

impl From<FailOn> for Verdict {
    fn from(fail_on: FailOn) -> Self {
        match fail_on {
            FailOn::Fail => Self::Fail,
            FailOn::Warn => Self::Warn,
            FailOn::Unknown => Self::Unknown,
        }
    }
}

/// The probe that flags and environment describe.
pub(crate) fn probe_options(args: &VerifyArgs, env: &Env) -> Result<ProbeOptions, Failure> {
    let cloud = Cloud::resolve(args.azure.cloud.as_deref(), env)?;
    let roots = TrustedRoots::configured(&args.azure, env).map_err(|error| {
        Failure::from_error(ExitStatus::Usage, &error).hint("name a PEM file with --ca-file")
    })?;
    let image = args.image.clone().or_else(|| env.get(env::azure::PROBE_IMAGE));
    let image = match (image, args.from) {
        (Some(image), _) => image,
        // Only the dry run names it then, and a dry run pulls nothing.
        (None, Vantage::Local) => "wi-probe".to_owned(),
        (None, Vantage::Pod | Vantage::Both) => {
            return Err(Failure::usage("no image for the probe")
                .hint("name one with --image or AKS_WI_PROBE_IMAGE, or try from here with --from local"));
        }
    };
    let mut options = ProbeOptions::new(image, cloud, roots);
    options.timeout = args.timeout;
    options.repeat = args.repeat;
    options.pull_secrets.clone_from(&args.image_pull_secret);
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_flags_fit_together() {
        VerifyCli::command().debug_assert();
    }

    #[test]
    fn a_workload_or_an_account_is_named_and_not_both() {
        let parse = |line: &str| VerifyCli::try_parse_from(line.split(' '));
        assert!(parse("verify deploy/orders --secret kv-central/db").is_ok());
        assert!(parse("verify --service-account orders").is_ok());
        for bad in [
            "verify",
            "verify svc/orders",
            "verify deploy/orders --service-account orders",
            "verify deploy/orders --interval 5s",
            "verify deploy/orders --repeat 0",
            "verify deploy/orders --watch --wait 5m",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_pod_needs_an_image_and_a_try_from_here_does_not() {
        let parse = |from: &str| {
            let words = ["kubectl-wi-verify", "--service-account", "orders", "--from", from];
            VerifyCli::try_parse_from(words).unwrap()
        };
        let env = Env::of::<&str, &str>([]);
        let refused = probe_options(&parse("pod"), &env).unwrap_err();
        assert_eq!(refused.status, ExitStatus::Usage);
        assert!(probe_options(&parse("local"), &env).is_ok());
        let named = Env::of([(env::azure::PROBE_IMAGE, "registry/wi-probe:1")]);
        assert_eq!(
            probe_options(&parse("pod"), &named).unwrap().image,
            "registry/wi-probe:1"
        );
    }
}
