//! The user's `helm`: which one, its argument lists, and what a run of it told.
//!
//! Argument lists are pure functions; [`process`] alone starts anything.

mod error;
pub mod process;
pub mod redact;
pub mod version;

use crate::fleet::{HelmSpec, ReleaseSpec, ValuesPolicy};
use crate::values::ValuesFile;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;
use version::HelmVersion;

/// What `helm upgrade --install` and `helm template` are asked for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The release.
    pub release: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// The chart's folder or package.
    pub chart: &'a Path,
    /// The user's values files.
    pub files: &'a [ValuesFile],
    /// Our overrides, a JSON file.
    pub overrides: &'a Path,
    /// The fleet's Helm settings.
    pub settings: &'a HelmSpec,
}

/// What an upgrade is asked for besides.
#[derive(Debug, Clone, Copy)]
pub struct UpgradeRequest<'a> {
    /// The kubeconfig context.
    pub context: &'a str,
    /// Whether a missing namespace is created.
    pub create_namespace: bool,
    /// Labels of the revision's Secret.
    pub labels: &'a [(&'a str, &'a str)],
    /// The revision's description.
    pub description: &'a str,
}

/// The arguments of `helm upgrade --install`.
pub fn upgrade_arguments(
    version: &HelmVersion,
    request: &Request<'_>,
    upgrade: &UpgradeRequest<'_>,
) -> Vec<OsString> {
    let settings = request.settings;
    let mut arguments: Vec<OsString> = ["upgrade", "--install", request.release].map(Into::into).into();
    arguments.push(request.chart.into());
    arguments.extend(
        [
            "--kube-context",
            upgrade.context,
            "--namespace",
            request.namespace,
        ]
        .map(Into::into),
    );
    if upgrade.create_namespace {
        arguments.push("--create-namespace".into());
    }
    // Without a policy Helm silently reuses the old values when it is given none.
    arguments.push(
        match settings.values_policy {
            ValuesPolicy::Reset => "--reset-values",
            ValuesPolicy::ResetThenReuse => "--reset-then-reuse-values",
            ValuesPolicy::Reuse => "--reuse-values",
        }
        .into(),
    );
    push_values(&mut arguments, request);
    push_waiting(&mut arguments, version, settings);
    arguments.extend(["--history-max".into(), settings.history_max.to_string().into()]);
    if !upgrade.labels.is_empty() {
        let labels: Vec<String> = upgrade
            .labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        arguments.extend(["--labels".into(), labels.join(",").into()]);
    }
    arguments.extend(["--description".into(), upgrade.description.into()]);
    arguments.extend(settings.args.iter().map(Into::into));
    arguments
}

/// The arguments of `helm rollback` to a revision of a release.
pub fn rollback_arguments(
    version: &HelmVersion,
    release: &ReleaseSpec,
    context: &str,
    revision: u32,
    settings: &HelmSpec,
) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = ["rollback", &release.name].map(Into::into).into();
    arguments.push(revision.to_string().into());
    arguments.extend(["--kube-context", context, "--namespace", &release.namespace].map(Into::into));
    push_waiting(&mut arguments, version, settings);
    arguments.extend(["--history-max".into(), settings.history_max.to_string().into()]);
    arguments
}

/// The arguments of `helm uninstall`.
pub fn uninstall_arguments(release: &ReleaseSpec, context: &str, settings: &HelmSpec) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = ["uninstall", &release.name].map(Into::into).into();
    arguments.extend(["--kube-context", context, "--namespace", &release.namespace].map(Into::into));
    if settings.wait {
        arguments.push("--wait".into());
    }
    arguments.extend(["--timeout".into(), go_duration(settings.timeout).into()]);
    arguments
}

/// Whether the logs of test pods are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logs {
    /// They are.
    Told,
    /// They are not.
    Untold,
}

/// The arguments of `helm test`.
pub fn test_arguments(
    release: &ReleaseSpec,
    context: &str,
    settings: &HelmSpec,
    logs: Logs,
) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = ["test", &release.name].map(Into::into).into();
    arguments.extend(["--kube-context", context, "--namespace", &release.namespace].map(Into::into));
    arguments.extend(["--timeout".into(), go_duration(settings.timeout).into()]);
    if logs == Logs::Told {
        arguments.push("--logs".into());
    }
    arguments
}

fn push_waiting(arguments: &mut Vec<OsString>, version: &HelmVersion, settings: &HelmSpec) {
    if settings.wait {
        let wait = if version.major >= 4 {
            "--wait=watcher"
        } else {
            "--wait"
        };
        arguments.push(wait.into());
    }
    arguments.extend(["--timeout".into(), go_duration(settings.timeout).into()]);
}

/// How many API versions one argument names: a single one may not be longer than 128 KiB on Linux.
const APIS_AT_ONCE: usize = 500;

/// The arguments of `helm template`, for a server of the given version and for a release that exists or not.
pub fn template_arguments(
    request: &Request<'_>,
    kube_version: &str,
    apis: &[String],
    is_upgrade: bool,
) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = ["template", request.release].map(Into::into).into();
    arguments.push(request.chart.into());
    arguments.extend(["--namespace", request.namespace, "--kube-version", kube_version].map(Into::into));
    for apis in apis.chunks(APIS_AT_ONCE) {
        arguments.extend(["--api-versions".into(), apis.join(",").into()]);
    }
    if is_upgrade {
        arguments.push("--is-upgrade".into());
    }
    push_values(&mut arguments, request);
    // These win over all files, as they do in the upgrade.
    let further = value_arguments(&request.settings.args);
    arguments.extend(
        further
            .into_iter()
            .flat_map(|(flag, value)| [flag.into(), value.into()]),
    );
    arguments
}

/// The flags of `helm upgrade` that set values.
const VALUE_FLAGS: [&str; 7] = [
    "--set",
    "--set-string",
    "--set-json",
    "--set-file",
    "--set-literal",
    "--values",
    "-f",
];

/// Those of the user's further arguments that set values, each with its flag.
pub fn value_arguments(arguments: &[String]) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut rest = arguments.iter().map(String::as_str);
    while let Some(argument) = rest.next() {
        let (flag, value) = match argument.split_once('=') {
            Some((flag, value)) => (flag, Some(value)),
            None => (argument, None),
        };
        if VALUE_FLAGS.contains(&flag) {
            found.extend(value.or_else(|| rest.next()).map(|value| (flag, value)));
        }
    }
    found
}

fn push_values(arguments: &mut Vec<OsString>, request: &Request<'_>) {
    for file in request.files {
        arguments.push("--values".into());
        arguments.push(match file {
            ValuesFile::Local { path, .. } => path.into(),
            ValuesFile::Remote { address, .. } => address.into(),
        });
    }
    arguments.extend(["--values".into(), request.overrides.into()]);
}

/// A duration as Go reads it.
fn go_duration(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn arguments(version: &str, settings: &HelmSpec) -> String {
        let files = [
            ValuesFile::Local {
                path: PathBuf::from("base.yaml"),
                digest: String::new(),
            },
            ValuesFile::Remote {
                address: "secrets://prod.yaml".into(),
                content: None,
            },
        ];
        let request = Request {
            release: "orders",
            namespace: "shop",
            chart: Path::new("charts/orders"),
            files: &files,
            overrides: Path::new("o.json"),
            settings,
        };
        let upgrade = UpgradeRequest {
            context: "aks-weu-1",
            create_namespace: true,
            labels: &[("helm-fleet/digest", "abc")],
            description: "helm-fleet run=1 from=0",
        };
        let list = upgrade_arguments(&version.parse().unwrap(), &request, &upgrade);
        list.iter()
            .map(|argument| argument.to_string_lossy().into_owned())
            .collect::<Vec<_>>()
            .join("|")
    }

    #[test]
    fn the_overrides_are_the_last_values() {
        assert_eq!(
            arguments("v3.21.4", &HelmSpec::default()),
            "upgrade|--install|orders|charts/orders|--kube-context|aks-weu-1|--namespace|shop|--create-namespace|\
             --reset-values|--values|base.yaml|--values|secrets://prod.yaml|--values|o.json|--wait|\
             --timeout|300000ms|--history-max|10|--labels|helm-fleet/digest=abc|\
             --description|helm-fleet run=1 from=0"
        );
    }

    #[test]
    fn a_rendering_has_the_values_of_the_upgrade() {
        let settings = HelmSpec {
            args: ["--atomic", "--set", "a=1"].map(str::to_owned).into(),
            ..HelmSpec::default()
        };
        let request = Request {
            release: "orders",
            namespace: "shop",
            chart: Path::new("charts/orders"),
            files: &[],
            overrides: Path::new("o.json"),
            settings: &settings,
        };
        let text = |is_upgrade| {
            let list = template_arguments(
                &request,
                "v1.34.0",
                &["x.io/v1".to_owned(), "x.io/v1/Y".to_owned()],
                is_upgrade,
            );
            list.join(std::ffi::OsStr::new("|")).into_string().unwrap()
        };
        let start = "template|orders|charts/orders|--namespace|shop|--kube-version|v1.34.0|--api-versions|x.io/v1,x.io/v1/Y|";
        assert_eq!(text(false), format!("{start}--values|o.json|--set|a=1"));
        assert_eq!(
            text(true),
            format!("{start}--is-upgrade|--values|o.json|--set|a=1")
        );
    }

    #[test]
    fn arguments_that_set_values_are_known() {
        let list = ["--set", "a=1", "--skip-crds", "--set-string=b=2", "-f", "x.yaml"].map(str::to_owned);
        assert_eq!(
            value_arguments(&list),
            [("--set", "a=1"), ("--set-string", "b=2"), ("-f", "x.yaml")]
        );
    }

    #[test]
    fn helm_4_names_its_way_of_waiting() {
        assert!(arguments("v4.2.4", &HelmSpec::default()).contains("|--wait=watcher|"));
        let settings = HelmSpec {
            wait: false,
            ..HelmSpec::default()
        };
        assert!(!arguments("v4.2.4", &settings).contains("--wait"));
    }

    #[test]
    fn a_rollback_names_its_revision() {
        let release = ReleaseSpec {
            name: "orders".into(),
            namespace: "shop".into(),
            create_namespace: true,
        };
        let version = "v3.21.4".parse().unwrap();
        let text =
            |arguments: Vec<OsString>| arguments.join(std::ffi::OsStr::new("|")).into_string().unwrap();
        let settings = HelmSpec::default();
        assert_eq!(
            text(rollback_arguments(&version, &release, "aks-weu-1", 3, &settings)),
            "rollback|orders|3|--kube-context|aks-weu-1|--namespace|shop|--wait|--timeout|300000ms|--history-max|10"
        );
        assert_eq!(
            text(uninstall_arguments(&release, "aks-weu-1", &settings)),
            "uninstall|orders|--kube-context|aks-weu-1|--namespace|shop|--wait|--timeout|300000ms"
        );
    }

    #[test]
    fn policy_and_further_arguments_are_passed() {
        let settings = HelmSpec {
            values_policy: ValuesPolicy::ResetThenReuse,
            args: vec!["--skip-crds".into()],
            ..HelmSpec::default()
        };
        let text = arguments("v3.18.0", &settings);
        assert!(
            text.contains("|--reset-then-reuse-values|") && text.ends_with("|--skip-crds"),
            "{text}"
        );
    }
}
