//! Commands about the same fleet again: ready to paste, also where the fleet is described by flags alone.

use crate::cli::{CommonArgs, FleetArgs, InlineArgs, UpgradeArgs};
use crate::event::RunPlan;
use aks_shared::args::KubeArgs;
use aks_shared::shell::quoted;
use clap::ValueEnum;

/// A command of `helm fleet` about the same clusters and the same release.
pub(crate) fn command(words: &str, fleet: &FleetArgs, kube: &KubeArgs, namespace: &str) -> String {
    let mut line = Line(format!("helm fleet {words}"));
    line.fleet(fleet, namespace);
    let kubeconfig = kube.kubeconfig.as_ref();
    line.flag("kubeconfig", kubeconfig.and_then(|file| file.to_str()));
    line.flags("context", &kube.context);
    line.0
}

/// The command that begins another upgrade of these flags.
pub(crate) fn upgrade(args: &UpgradeArgs, namespace: &str) -> String {
    with_loss("upgrade", args, namespace)
}

/// The command that goes on with an upgrade of these flags and approves a gate, if one is named.
pub(crate) fn resume(args: &UpgradeArgs, plan: &RunPlan, approve: Option<&str>) -> String {
    let mut words = Line(format!("resume {}", plan.run));
    words.flag("approve", approve);
    with_loss(&words.0, args, &plan.namespace)
}

fn with_loss(words: &str, args: &UpgradeArgs, namespace: &str) -> String {
    let mut line = Line(command(words, &args.common.fleet, &args.common.kube, namespace));
    line.choice("on-value-loss", &args.run.loss.on_value_loss);
    line.0
}

/// The command that goes on with a run, whatever it does: only an upgrade is resumed, all others are repeated.
pub(crate) fn go_on(args: &CommonArgs, plan: &RunPlan) -> String {
    let words = match plan.command {
        "upgrade" => format!("resume {}", plan.run),
        other => other.to_owned(),
    };
    command(&words, &args.fleet, &args.kube, &plan.namespace)
}

/// A command that is being written.
struct Line(String);

impl Line {
    fn word(&mut self, word: &str) {
        self.0.push(' ');
        self.0.push_str(&quoted(word));
    }

    fn flag(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.word(&format!("--{name}"));
            self.word(value);
        }
    }

    fn flags(&mut self, name: &str, values: &[String]) {
        for value in values {
            self.flag(name, Some(value));
        }
    }

    fn fleet(&mut self, fleet: &FleetArgs, namespace: &str) {
        let FleetArgs {
            file,
            inline,
            part,
            kube_auth,
        } = fleet;
        if let (Some(release), Some(chart)) = (&inline.release, &inline.chart) {
            self.word(release);
            self.word(&public(chart));
            // It may have come from the environment.
            self.flag("namespace", Some(namespace));
            self.inline(inline);
        } else if file.as_os_str() != crate::cli::FLEET_FILE {
            self.flag("file", file.to_str());
        }
        self.flags("cluster", &part.cluster);
        self.flag("selector", part.selector.as_deref());
        self.flag("stage", part.stage.as_deref());
        self.flags("skip", &part.skip);
        self.choice("kube-auth", kube_auth);
    }

    /// A flag whose default needs no word.
    fn choice<T: ValueEnum + Default + PartialEq>(&mut self, name: &str, choice: &T) {
        if *choice != T::default()
            && let Some(value) = choice.to_possible_value()
        {
            self.flag(name, Some(value.get_name()));
        }
    }

    fn inline(&mut self, inline: &InlineArgs) {
        if inline.create_namespace {
            self.word("--create-namespace");
        }
        self.flags("values", &inline.values);
        for pair in &inline.set {
            // What is set may be secret, and this is kept in reports. Another value is refused, so none is lost.
            let key = pair.split('=').next().unwrap_or_default();
            self.flag("set", Some(&format!("{key}=…")));
        }
        self.flag("repo", inline.repo.as_deref().map(public).as_deref());
        self.flag("chart-version", inline.chart_version.as_deref());
        self.flag("max-concurrency", inline.max_concurrency.as_deref());
    }
}

/// An address without the password that it may hold.
fn public(address: &str) -> String {
    if let Some((scheme, rest)) = address.split_once("://") {
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if let Some((_, host)) = authority.rsplit_once('@') {
            return format!("{scheme}://…@{host}{path}");
        }
    }
    address.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::FleetCli;
    use crate::event::EventKind;
    use crate::report::sample;
    use clap::Parser;

    #[derive(Parser)]
    struct Upgrade {
        #[command(flatten)]
        args: UpgradeArgs,
    }

    fn again(flags: &[&str], approve: Option<&str>) -> String {
        let words = ["upgrade"].iter().chain(flags);
        let args = Upgrade::try_parse_from(words).unwrap().args;
        let begun = sample::events().swap_remove(0).kind;
        let EventKind::RunStarted(plan) = begun else {
            panic!("a run starts first: {begun:?}");
        };
        let line = resume(&args, &plan, approve);
        // Whatever it says can be pasted.
        let words = line.split(' ').skip(1).map(|word| word.trim_matches('\''));
        FleetCli::try_parse_from(words).unwrap();
        line
    }

    #[test]
    fn the_fleet_and_its_part_are_named_again() {
        assert_eq!(again(&[], None), "helm fleet resume 20261121-1");
        assert_eq!(
            again(
                &[
                    "-f",
                    "shop/fleet.yaml",
                    "--stage",
                    "prod",
                    "--skip",
                    "neu-*",
                    "--kube-auth",
                    "azure",
                    "--on-value-loss",
                    "keep",
                    "--yes"
                ],
                Some("canary")
            ),
            "helm fleet resume 20261121-1 --approve canary --file shop/fleet.yaml --stage prod --skip 'neu-*' \
             --kube-auth azure --on-value-loss keep"
        );
    }

    #[test]
    fn every_command_names_the_fleet_that_it_is_about() {
        let args = Upgrade::try_parse_from([
            "upgrade",
            "-f",
            "f.yaml",
            "--cluster",
            "weu-*",
            "--on-value-loss",
            "drop",
        ]);
        let args = args.unwrap().args;
        let fleet = "--file f.yaml --cluster 'weu-*'";
        assert_eq!(
            command("unlock --force", &args.common.fleet, &args.common.kube, "shop"),
            format!("helm fleet unlock --force {fleet}")
        );
        assert_eq!(
            upgrade(&args, "shop"),
            format!("helm fleet upgrade {fleet} --on-value-loss drop")
        );
        let EventKind::RunStarted(mut plan) = sample::events().swap_remove(0).kind else {
            panic!("a run starts first")
        };
        assert_eq!(
            go_on(&args.common, &plan),
            format!("helm fleet resume 20261121-1 {fleet}")
        );
        plan.command = "rollback";
        assert_eq!(go_on(&args.common, &plan), format!("helm fleet rollback {fleet}"));
    }

    #[test]
    fn a_fleet_without_a_file_is_described_again_and_no_secret_with_it() {
        let flags = [
            "orders",
            "./chart",
            "--context",
            "aks-*",
            "--set",
            "password=hunter2",
            "--repo",
            "https://me:hunter2@charts.example/stable",
            "--max-concurrency",
            "1",
        ];
        assert_eq!(
            again(&flags, None),
            "helm fleet resume 20261121-1 orders ./chart --namespace shop --set 'password=…' \
             --repo 'https://…@charts.example/stable' --max-concurrency 1 --context 'aks-*'"
        );
    }
}
