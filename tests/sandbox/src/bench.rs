//! `cargo sandbox bench`: what the plugins cost, beside what a user would take instead.
//!
//! Both sides of a pair run in turn on the same clusters and only their ratio is judged: seconds are the machine's,
//! ratios hardly. It judges nothing by its exit code, and no test calls it: another program that runs meanwhile would
//! make it fail.

mod fleet;
pub mod measure;
mod table;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::cleanup::{self, CleanupError};
use crate::command::CommandError;
use crate::environment::{self, Helm};
use crate::files::FileError;
use crate::interrupt::Interrupt;
use crate::output::{self, Format, talk};
use crate::programs::{self, PLUGINS, Profile, ProgramsError};
use crate::spec::Kind;
use crate::state::{StateDir, StateError};
use crate::up::{self, UpError, Wanted};
use fleet::{Fleet, measured};
use measure::Cost;
use table::{Budget, Row, Unit};

/// What is measured, and how often.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How many clusters.
    pub clusters: u8,
    /// How many of them at once, on both sides.
    pub concurrency: u8,
    /// How many pairs.
    pub rounds: u8,
    /// Which Helms.
    pub helms: Vec<Helm>,
    /// How the plugins are built.
    pub profile: Profile,
}

/// Why there are no numbers.
#[derive(Debug, thiserror::Error)]
enum BenchError {
    #[error("cannot watch for Ctrl-C")]
    Signals(#[source] io::Error),
    #[error("cannot measure by this program")]
    Own(#[source] io::Error),
    #[error(transparent)]
    Programs(#[from] ProgramsError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Up(#[from] UpError),
    #[error(transparent)]
    Cleanup(#[from] CleanupError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Command(#[from] CommandError),
}

impl BenchError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Programs(error) => error.hint(),
            Self::Up(error) => error.hint(),
            _ => None,
        }
    }
}

/// Measures on a sandbox of its own, which goes on every path, and prints the table or the document.
pub fn run(state: &StateDir, plan: &Plan, format: Format) -> ExitCode {
    let result = Interrupt::watch()
        .map_err(BenchError::Signals)
        .and_then(|interrupt| {
            let rows = rows(state, plan);
            cleanup::take_down(state)?;
            Ok((interrupt, rows))
        });
    match result {
        Ok((interrupt, _)) if interrupt.is_raised() => Interrupt::exit_code(),
        Ok((_, Ok(rows))) => {
            output::data(&match format {
                Format::Text => table::text(&rows),
                Format::Json => output::json(&document(plan, &rows)),
            });
            ExitCode::SUCCESS
        }
        Ok((_, Err(error))) | Err(error) => {
            output::failure(&error, error.hint().as_deref());
            ExitCode::FAILURE
        }
    }
}

fn document(plan: &Plan, rows: &[Row]) -> Value {
    json!({
        "clusters": plan.clusters,
        "maxConcurrency": plan.concurrency,
        "rounds": plan.rounds,
        "profile": plan.profile.name(),
        "rows": table::json(rows),
    })
}

fn rows(state: &StateDir, plan: &Plan) -> Result<Vec<Row>, BenchError> {
    up::require_root()?;
    if plan.profile == Profile::Dev {
        talk("note: these are debug builds; the budgets are for what is shipped");
    }
    let built = programs::plugins(plan.profile, &mut talk)?;
    let program = |name| program(&built, name);
    cleanup::take_down(state)?;
    let wanted = Wanted {
        kind: Kind::ApiOnly,
        clusters: plan.clusters,
    };
    let spec = up::up(state, wanted, &mut talk)?;
    let mut rows = Vec::new();
    for helm in &plan.helms {
        let fleet = Fleet::lay_out(state, &spec, *helm, program("helm-fleet")?, plan.concurrency)?;
        rows.extend(rollout(&fleet, *helm, plan)?);
    }
    let tool = |name| environment::find(&environment::variables(state, &spec, Helm::Three), name);
    rows.extend(start(
        "kubectl-wi --help",
        program("kubectl-wi")?,
        &tool("kubectl"),
    )?);
    rows.extend(start(
        "helm-fleet --version",
        program("helm-fleet")?,
        &tool("helm"),
    )?);
    rows.extend(sizes(plan.profile, &built)?);
    Ok(rows)
}

/// Pairs of costs, in the order in which they were measured.
#[derive(Debug, Default)]
struct Pairs {
    ours: Vec<Cost>,
    other: Vec<Cost>,
}

impl Pairs {
    fn measure(
        &mut self,
        ours: impl FnOnce() -> Result<Cost, BenchError>,
        other: impl FnOnce() -> Result<Cost, BenchError>,
    ) -> Result<(), BenchError> {
        self.ours.push(ours()?);
        self.other.push(other()?);
        Ok(())
    }

    fn row(&self, what: String, unit: Unit, part: impl Fn(&Cost) -> f64, budget: Budget) -> Row {
        Row {
            what,
            unit,
            ours: self.ours.iter().map(&part).collect(),
            other: self.other.iter().map(&part).collect(),
            budget,
        }
    }
}

/// The same rollout, the same again with nothing to do, and where it stands.
fn rollout(fleet: &Fleet, helm: Helm, plan: &Plan) -> Result<Vec<Row>, BenchError> {
    let name = helm.folder();
    talk(&format!("{name}: installing on {} clusters", plan.clusters));
    fleet.change("first")?;
    fleet.upgrade()?;
    fleet.xargs_upgrade()?;
    let (mut upgrade, mut again, mut status) = (Pairs::default(), Pairs::default(), Pairs::default());
    for round in 1..=plan.rounds {
        talk(&format!("{name}: round {round} of {}", plan.rounds));
        fleet.change(&format!("round {round}"))?;
        upgrade.measure(|| fleet.upgrade(), || fleet.xargs_upgrade())?;
        again.measure(|| fleet.upgrade(), || fleet.xargs_upgrade())?;
        status.measure(|| fleet.status(), || fleet.xargs_status())?;
    }
    let what = |what: &str| format!("{what}, {} clusters, {name}", plan.clusters);
    let starts = fleet.starts_of_helm()?;
    Ok(vec![
        upgrade.row(
            what("upgrade: time"),
            Unit::Seconds,
            |cost| cost.wall,
            Budget::Ratio(1.10),
        ),
        again.row(
            what("nothing to do: CPU"),
            Unit::Seconds,
            |cost| cost.cpu,
            Budget::Ratio(0.05),
        ),
        Row {
            what: what("nothing to do: helms"),
            unit: Unit::Processes,
            ours: vec![f64::from(starts)],
            other: Vec::new(),
            budget: Budget::Most(0.0),
        },
        status.row(
            what("status: CPU"),
            Unit::Seconds,
            |cost| cost.cpu,
            Budget::Ratio(0.10),
        ),
    ])
}

/// How often a short command is run.
const STARTS: usize = 20;

/// What one of our programs takes before it does anything, beside the program that calls it.
fn start(line: &str, ours: &Path, caller: &Path) -> Result<[Row; 2], BenchError> {
    talk(line);
    let argument = line.split(' ').next_back().unwrap_or_default();
    let mut pairs = Pairs::default();
    for _ in 0..STARTS {
        let run =
            |program: &Path, argument: &str| measured(&[program.as_os_str(), OsStr::new(argument)], |_| {});
        pairs.measure(|| run(ours, argument), || run(caller, "--help"))?;
    }
    let time = pairs.row(
        format!("{line}: time"),
        Unit::Milliseconds,
        |cost| cost.wall,
        Budget::Most(0.010),
    );
    let memory = |cost: &Cost| megabytes(cost.peak);
    let memory = pairs.row(
        format!("{line}: memory"),
        Unit::Megabytes,
        memory,
        Budget::Most(15.0),
    );
    Ok([time, memory])
}

/// What is shipped, and nothing where it is built for developers.
fn sizes(profile: Profile, built: &BTreeMap<String, PathBuf>) -> Result<Vec<Row>, BenchError> {
    if profile == Profile::Dev {
        return Ok(Vec::new());
    }
    let mut rows = Vec::new();
    for name in PLUGINS {
        rows.push(size(name, program(built, name)?, 16.0)?);
    }
    rows.push(size("wi-probe", &programs::probe(&mut talk)?, 5.0)?);
    Ok(rows)
}

fn size(name: &str, path: &Path, most: f64) -> Result<Row, FileError> {
    let bytes = fs::metadata(path)
        .map_err(|source| FileError::new("read", path, source))?
        .len();
    Ok(Row {
        what: format!("{name}: size"),
        unit: Unit::Megabytes,
        ours: vec![megabytes(bytes)],
        other: Vec::new(),
        budget: Budget::Most(most),
    })
}

fn program<'a>(
    built: &'a BTreeMap<String, PathBuf>,
    name: &'static str,
) -> Result<&'a PathBuf, ProgramsError> {
    built.get(name).ok_or(ProgramsError::NotBuilt(name))
}

fn megabytes(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes).unwrap_or(u32::MAX)) / 1e6
}
