//! How this plugin's errors end a command, and what the user can do about it.

use crate::chart::ChartError;
use crate::fleet::FleetError;
use crate::helm::process::HelmError;
use crate::helm::version::VersionError;
use crate::targets::TargetError;
use aks_shared::{ExitStatus, Failure, causes};
use std::error::Error;

const SCHEMA_HINT: &str = "see what a fleet file may say: helm fleet validate --print-schema";

/// An error and its causes in one line.
pub(crate) fn line(error: &dyn Error) -> String {
    let texts: Vec<String> = std::iter::once(error.to_string()).chain(causes(error)).collect();
    texts.join(": ")
}

impl From<FleetError> for Failure {
    fn from(error: FleetError) -> Self {
        let failure = Self::from_error(ExitStatus::Usage, &error);
        match error {
            FleetError::Read { .. } => {
                failure.hint("name the fleet file with -f, or begin one: helm fleet init RELEASE CHART")
            }
            FleetError::Parse { .. } => failure.hint(SCHEMA_HINT),
            FleetError::Invalid { problems, .. } => failure.with_causes(problems).hint(SCHEMA_HINT),
        }
    }
}

impl From<TargetError> for Failure {
    fn from(error: TargetError) -> Self {
        let failure = Self::from_error(ExitStatus::Usage, &error);
        let known = |known: &[String]| match known {
            [] => "there are none; is it the right kubeconfig? --kubeconfig or KUBECONFIG names another"
                .to_owned(),
            known => format!("known: {}", known.join(", ")),
        };
        match &error {
            TargetError::NoContext { known: contexts, .. } => failure.hint(known(contexts)),
            TargetError::UnknownContexts {
                missing,
                known: contexts,
            } => failure.with_causes(missing.clone()).hint(known(contexts)),
            TargetError::NoClusters => failure.hint(
                "list them under clusters, or under discover.contexts, or select contexts with --context",
            ),
            TargetError::EmptySelection { known: clusters }
            | TargetError::NothingToSkip { known: clusters, .. } => failure.hint(known(clusters)),
            TargetError::NoStage { known: stages, .. } => failure.hint(known(stages)),
            TargetError::Stages { offenders } => failure
                .with_causes(offenders.clone())
                .hint("make the selectors exclude each other, or set rollout.unmatched: last"),
        }
    }
}

impl From<ChartError> for Failure {
    fn from(error: ChartError) -> Self {
        let failure = Self::from_error(ExitStatus::Usage, &error);
        match error {
            ChartError::Unsupported { .. } => {
                failure.hint("give a path, REPOSITORY/CHART, oci://…, or chart.repo besides")
            }
            ChartError::Read { .. } | ChartError::Metadata { .. } => failure,
            ChartError::Pull { source, .. } => Self {
                message: failure.message,
                ..Self::from(source)
            },
            ChartError::Digest { found, .. } => Self {
                status: ExitStatus::Refused,
                ..failure.hint(format!("if that is the chart you want: chart.digest: {found}"))
            },
        }
    }
}

impl From<HelmError> for Failure {
    fn from(error: HelmError) -> Self {
        let mut failure = Self::from_error(ExitStatus::Refused, &error);
        failure
            .causes
            .extend(error.output().into_iter().flat_map(str::lines).map(str::to_owned));
        match &error {
            HelmError::Missing(_) => failure.hint("install helm, or name it with --helm-bin or HELM_BIN"),
            HelmError::Version {
                source: VersionError::TooOld(_) | VersionError::Broken { .. },
                ..
            } => failure.hint("install another helm and name it with --helm-bin"),
            HelmError::Version {
                source: VersionError::Malformed(_),
                ..
            }
            | HelmError::Run { .. }
            | HelmError::Failed { .. }
            | HelmError::Deadline { .. }
            | HelmError::Interrupted { .. }
            | HelmError::Killed { .. } => failure,
        }
    }
}
