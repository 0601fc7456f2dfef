//! `helm fleet resume`: goes on with a run, from its run file, or on another machine from what the clusters tell.

use crate::again;
use crate::cli::{ResumeArgs, UpgradeArgs};
use crate::conduct::RUN_FILES;
use crate::event::RunPlan;
use crate::fleet::Fleet;
use crate::gate::Gate;
use crate::preflight::{Subject, Target};
use crate::reporter::run_file;
use crate::upgrade;
use aks_shared::{ExitStatus, Failure, Session};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// How a run begins.
#[derive(Debug, Clone)]
pub enum Start {
    /// It is a new one.
    Fresh,
    /// It goes on with one whose run file was read.
    Logged(Box<Logged>),
    /// It goes on with the newest one that the clusters know.
    Newest,
}

/// What a run file tells of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Logged {
    /// The run.
    pub run: String,
    /// What it does, `upgrade` or another command.
    pub command: String,
    /// The release, `NAMESPACE/NAME`.
    pub release: String,
    /// Digest of what each target is to become, by cluster.
    pub inputs: BTreeMap<String, String>,
    /// Approvals that were given, by gate, with who gave them.
    pub approved: BTreeMap<String, String>,
    /// The number of the last event.
    pub seq: u64,
    /// Whether it has come to a good end.
    pub is_complete: bool,
}

/// Runs the command.
pub async fn run(args: &ResumeArgs, session: &Session) -> Result<ExitStatus, Failure> {
    let directory = Path::new(RUN_FILES);
    let start = if let Some(run) = &args.run_id {
        // One that has no file here is known to the clusters, or to nobody.
        let unknown = || Logged {
            run: run.clone(),
            ..Logged::default()
        };
        Start::Logged(Box::new(read(directory, run)?.unwrap_or_else(unknown)))
    } else {
        let fleet = args.upgrade.common.fleet.read(&session.env)?.fleet;
        let begin = again::upgrade(&args.upgrade, &fleet.release.namespace);
        newest(directory, &fleet, &begin)?
    };
    upgrade::begin(&args.upgrade, session, start).await
}

impl Start {
    /// The number of the last event that came before.
    pub(crate) fn seq(&self) -> u64 {
        match self {
            Self::Fresh | Self::Newest => 0,
            Self::Logged(logged) => logged.seq,
        }
    }

    /// The id of the run; `begin` is the command that begins another one.
    pub(crate) fn run(&self, targets: &[Target], begin: &str) -> Result<String, Failure> {
        match self {
            Self::Fresh => Ok(run_id()),
            Self::Logged(logged) => Ok(logged.run.clone()),
            Self::Newest => {
                let runs = targets.iter().filter_map(|target| target.record.as_ref()?.run());
                runs.max().map(str::to_owned).ok_or_else(|| {
                    Failure::refused("there is no run to go on with, neither here nor on the clusters")
                        .hint(format!("begin one: {begin}"))
                })
            }
        }
    }

    /// Refuses to go on with anything but what the run set out to do.
    pub(crate) fn check(&self, plan: &RunPlan, args: &UpgradeArgs) -> Result<(), Failure> {
        let Self::Logged(logged) = self else { return Ok(()) };
        let release = format!("{}/{}", plan.namespace, plan.release);
        if !logged.release.is_empty() && logged.release != release {
            return Err(Failure::refused(format!(
                "run {} is of release {}, and the fleet file of {release}",
                logged.run, logged.release
            )));
        }
        if !logged.command.is_empty() && logged.command != plan.command {
            let what = format!(
                "run {} is no upgrade and cannot be resumed; it can be repeated",
                logged.run
            );
            let again = again::command(
                &logged.command,
                &args.common.fleet,
                &args.common.kube,
                &plan.namespace,
            );
            return Err(Failure::refused(what).hint(again));
        }
        let is_changed = |target: &&crate::event::TargetPlan| {
            logged
                .inputs
                .get(&target.cluster)
                .is_some_and(|before| *before != target.inputs)
        };
        let changed: Vec<String> = plan
            .targets
            .iter()
            .filter(is_changed)
            .map(|target| target.cluster.clone())
            .collect();
        if changed.is_empty() {
            return Ok(());
        }
        let what = format!(
            "chart or values have changed since run {} began; nothing was touched",
            logged.run
        );
        Err(Failure::refused(what).with_causes(changed).hint(format!(
            "put them back to resume it, or begin a new run: {}",
            again::upgrade(args, &plan.namespace)
        )))
    }

    /// Gates that the run has passed already, with who approved them.
    pub(crate) fn passed(&self, subject: &Subject, targets: &[Target]) -> BTreeMap<String, String> {
        let mut passed = BTreeMap::new();
        if matches!(self, Self::Fresh) {
            return passed;
        }
        // Where a later stage was begun, the gates before it had been passed.
        for (index, stage) in subject.stages.iter().enumerate() {
            let later = subject.stages[index + 1..]
                .iter()
                .flat_map(|stage| &stage.targets);
            let was_begun = |target: &usize| {
                let record = targets[*target].record.as_ref();
                record.is_some_and(|record| record.is_of_run(&subject.run))
            };
            if later.clone().any(was_begun) {
                let approvals = stage.gates.iter().filter_map(|gate| match gate {
                    Gate::Approval(name) => Some((name.clone(), "an earlier part of the run".to_owned())),
                    Gate::Bake(_) => None,
                });
                passed.extend(approvals);
            }
        }
        if let Self::Logged(logged) = self {
            passed.extend(logged.approved.clone());
        }
        passed
    }
}

/// The newest run of this release here that has not come to a good end; `begin` is the command that begins another one.
fn newest(directory: &Path, fleet: &Fleet, begin: &str) -> Result<Start, Failure> {
    let release = format!("{}/{}", fleet.release.namespace, fleet.release.name);
    // A folder that cannot be read has no runs to go on with; the clusters are asked instead.
    for name in run_file::runs(directory).unwrap_or_default().iter().rev() {
        if let Some(logged) = read(directory, name)?.filter(|logged| logged.release == release) {
            return if logged.is_complete {
                Err(Failure::refused(format!(
                    "run {name} has come to its end; there is nothing to go on with"
                ))
                .hint(format!("begin another one: {begin}")))
            } else {
                Ok(Start::Logged(Box::new(logged)))
            };
        }
    }
    Ok(Start::Newest)
}

fn read(directory: &Path, run: &str) -> Result<Option<Logged>, Failure> {
    let path = run_file::path(directory, run);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(logged(&text))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            Err(Failure::refused(format!("the run file {} cannot be read", path.display())).caused_by(&error))
        }
    }
}

/// What the lines of a run file tell. A line that is no event was cut off when the run was killed, before anything
/// that it announced was done.
fn logged(text: &str) -> Logged {
    let mut logged = Logged::default();
    let text_of = |value: &Value| value.as_str().map(str::to_owned);
    for event in text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
    {
        logged.seq = event["seq"].as_u64().unwrap_or(logged.seq);
        match event["type"].as_str().unwrap_or_default() {
            "run-started" => {
                logged.command = text_of(&event["command"]).unwrap_or_default();
                logged.run = text_of(&event["run"]).unwrap_or_default();
                let name = |key: &str| event[key].as_str().unwrap_or_default();
                logged.release = format!("{}/{}", name("namespace"), name("release"));
                let targets = event["targets"].as_array().into_iter().flatten();
                let inputs = targets
                    .filter_map(|target| Some((text_of(&target["cluster"])?, text_of(&target["inputs"])?)));
                logged.inputs.extend(inputs);
                logged.is_complete = false;
            }
            "gate-answered" if event["answer"] == "passed" => {
                let approval = text_of(&event["gate"]).zip(text_of(&event["by"]));
                logged.approved.extend(approval);
            }
            "run-finished" => logged.is_complete = event["exitCode"] == ExitStatus::Ok.code(),
            _ => {}
        }
    }
    logged
}

/// Sorts by time and is unique: a UUID's tail behind the second.
pub(crate) fn run_id() -> String {
    // To the millisecond: a short run and the next one may begin within the same second.
    let now = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S-%3f").to_string();
    let unique = uuid::Uuid::new_v4().simple().to_string();
    format!("{now}{}", &unique[..4])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, EventKind};
    use crate::gate::GateAnswer;
    use crate::report::sample;

    fn text(events: &[Event]) -> String {
        let lines = events
            .iter()
            .map(|event| serde_json::to_string(event).unwrap() + "\n");
        lines.collect()
    }

    #[test]
    fn a_run_file_tells_what_to_go_on_with() {
        let mut events = sample::events();
        let answered = |gate: &str, answer, by: Option<&str>| EventKind::GateAnswered {
            stage: "canary".to_owned(),
            gate: gate.to_owned(),
            answer,
            by: by.map(str::to_owned),
        };
        events[2].kind = answered("bake", GateAnswer::Passed, None);
        events[3].kind = answered("canary", GateAnswer::Passed, Some("kim"));
        events[4].kind = answered("prod", GateAnswer::Waiting, None);
        let whole = logged(&text(&events));
        assert_eq!(
            (whole.run.as_str(), whole.release.as_str()),
            ("20261121-1", "shop/orders")
        );
        assert_eq!(whole.approved, [("canary".to_owned(), "kim".to_owned())].into());
        assert_eq!((whole.inputs.len(), whole.seq, whole.is_complete), (3, 14, false));
    }

    #[test]
    fn a_line_that_was_cut_off_does_not_count() {
        let events = sample::events();
        let whole = text(&events[..4]);
        let cut = &whole[..whole.len() - 20];
        assert_eq!(logged(cut).seq, 3);
        // The next part of the run begins a line of its own.
        let resumed = format!("{cut}\n{}", text(&events[..1]));
        assert_eq!(logged(&resumed).seq, 1);
    }

    fn upgrade(flags: &[&str]) -> UpgradeArgs {
        #[derive(clap::Parser)]
        struct Upgrade {
            #[command(flatten)]
            args: UpgradeArgs,
        }
        let words = std::iter::once(&"upgrade").chain(flags);
        <Upgrade as clap::Parser>::try_parse_from(words).unwrap().args
    }

    #[test]
    fn where_there_is_no_run_the_command_that_begins_one_is_named_whole() {
        let refusal = Start::Newest
            .run(&[], "helm fleet upgrade --file shop.yaml")
            .unwrap_err();
        assert_eq!(refusal.hints, ["begin one: helm fleet upgrade --file shop.yaml"]);
    }

    #[test]
    fn a_run_is_resumed_with_the_same_chart_and_values_only() {
        let EventKind::RunStarted(mut plan) = sample::events().swap_remove(0).kind else {
            panic!("not a plan")
        };
        let start = Start::Logged(Box::new(logged(&text(&sample::events()))));
        let args = upgrade(&["-f", "shop.yaml"]);
        assert!(start.check(&plan, &args).is_ok());
        plan.targets[1].inputs = "other".to_owned();
        let refusal = start.check(&plan, &args).unwrap_err();
        assert_eq!(
            (refusal.status, refusal.causes),
            (ExitStatus::Refused, vec!["neu-1".to_owned()])
        );
        assert!(refusal.hints[0].ends_with(": helm fleet upgrade --file shop.yaml"));
        plan.release = "other".to_owned();
        assert!(
            start
                .check(&plan, &args)
                .unwrap_err()
                .message
                .contains("of release shop/orders")
        );
    }
}
