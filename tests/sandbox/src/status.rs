//! `cargo sandbox status`: what runs, as a table or as JSON.

use serde_json::{Value, json};

use crate::api::Api;
use crate::azure;
use crate::board::{Phase, Status, UnitState};
use crate::files;
use crate::output;
use crate::spec::Spec;
use crate::state::StateDir;

const READY: &str = "ready";

/// What a tester makes go wrong in the clusters of a sandbox, a line each, without asking them.
pub fn faults(state: &StateDir) -> String {
    let status: Status = files::read_json(&state.status()).unwrap_or_default();
    let units = status.units.iter().filter_map(|(name, unit)| match unit.state {
        UnitState::Frozen { .. } => Some(format!("{name} is frozen\n")),
        UnitState::Stopped => Some(format!("{name} is stopped\n")),
        _ => None,
    });
    let faults = status.faults.iter().map(|fault| format!("{fault}\n"));
    units.chain(faults).collect()
}

/// What a sandbox is doing.
#[derive(Debug)]
pub struct Report {
    state: StateDir,
    alive: bool,
    spec: Option<Spec>,
    status: Status,
    /// Whether each cluster's API server answers from this machine, in the order of the clusters.
    answers: Vec<bool>,
}

impl Report {
    /// Looks at a sandbox, and asks its API servers.
    pub fn new(state: &StateDir) -> Self {
        let alive = state.is_alive();
        let spec: Option<Spec> = files::read_json(&state.spec()).ok();
        let status = files::read_json(&state.status()).unwrap_or_default();
        let clusters = spec
            .as_ref()
            .map(|spec| spec.clusters.as_slice())
            .unwrap_or_default();
        let answers = clusters
            .iter()
            .map(|cluster| alive && Api::new(state, cluster).is_ok_and(|api| api.is_ready()))
            .collect();
        Self {
            state: state.clone(),
            alive,
            spec,
            status,
            answers,
        }
    }

    /// Whether everything answers.
    pub fn is_healthy(&self) -> bool {
        self.alive
            && self.status.is_ready()
            && self.answers.iter().all(|answer| *answer)
            && self.troubled().is_empty()
    }

    /// Processes that do not run just now.
    fn troubled(&self) -> Vec<(&str, String)> {
        let trouble = |state: &UnitState| match state {
            UnitState::Running { .. } => None,
            UnitState::Frozen { .. } => Some("frozen by a fault".to_owned()),
            UnitState::Stopped => Some("stopped by a fault".to_owned()),
            UnitState::Restarting { exit } => Some(format!("restarting ({exit})")),
            UnitState::Dead { exit } => Some(format!("dead ({exit})")),
        };
        let units = self.status.units.iter();
        units
            .filter_map(|(name, unit)| Some((name.as_str(), trouble(&unit.state)?)))
            .collect()
    }

    /// For people.
    pub fn text(&self) -> String {
        let name = self.state.name();
        let Some(spec) = &self.spec else {
            if self.alive {
                return format!(
                    "sandbox `{name}`: the simulated Azure alone, {}\n",
                    self.phase(azure::PART)
                );
            }
            return format!("sandbox `{name}`: nothing\n");
        };
        if !self.alive {
            return format!("sandbox `{name}`: not running\n");
        }
        let running = self
            .status
            .units
            .values()
            .filter(|unit| matches!(unit.state, UnitState::Running { .. }))
            .count();
        let word = if self.is_healthy() { READY } else { "not ready" };
        let mut rows = vec![
            ["CLUSTER", "STATE", "SERVER", "REGION", "NODE"]
                .map(str::to_owned)
                .to_vec(),
        ];
        for (cluster, answers) in spec.clusters.iter().zip(&self.answers) {
            let state = match (self.phase(&cluster.name), answers) {
                (state, false) if state == READY => "no answer".to_owned(),
                (state, _) => state,
            };
            let node = if spec.kind == crate::spec::Kind::ApiOnly {
                String::new()
            } else {
                cluster.node_name()
            };
            rows.push(vec![
                cluster.name.clone(),
                state,
                cluster.server(),
                cluster.region.clone(),
                node,
            ]);
        }
        let arm = format!("https://{}", spec.range.arm());
        rows.push(vec![
            "(azure)".to_owned(),
            self.phase(azure::PART),
            arm,
            String::new(),
            String::new(),
        ]);
        let fault = |fault: &String| format!("fault: {fault}\n");
        let trouble = |(unit, trouble): &(&str, String)| {
            format!("{unit}: {trouble}, log {}\n", self.state.log(unit).display())
        };
        [
            format!(
                "sandbox `{name}`: {word}, {} {}, {running} processes\n",
                spec.kind,
                spec.range.cidr()
            ),
            output::table(&rows),
            self.troubled().iter().map(trouble).collect::<Vec<_>>().concat(),
            self.status.faults.iter().map(fault).collect::<Vec<_>>().concat(),
        ]
        .concat()
    }

    fn phase(&self, part: &str) -> String {
        match self.status.parts.get(part) {
            Some(Phase::Ready) => READY.to_owned(),
            Some(Phase::Starting { step }) => format!("waiting for {step}"),
            Some(Phase::Failed { reason, .. }) => format!("failed: {reason}"),
            None => "unknown".to_owned(),
        }
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let clusters = self
            .spec
            .iter()
            .flat_map(|spec| spec.clusters.iter().zip(&self.answers));
        let cluster = |(cluster, answers): (&crate::spec::Cluster, &bool)| {
            json!({
                "name": cluster.name,
                "context": cluster.name,
                "region": cluster.region,
                "server": cluster.server(),
                "issuer": cluster.issuer(),
                "answers": answers,
                "state": self.status.parts.get(&cluster.name),
            })
        };
        json!({
            "name": self.state.name(),
            "folder": self.state.path(),
            "alive": self.alive,
            "ready": self.is_healthy(),
            "kind": self.spec.as_ref().map(|spec| spec.kind),
            "range": self.spec.as_ref().map(|spec| spec.range.cidr()),
            "clusters": clusters.map(cluster).collect::<Vec<_>>(),
            "azure": self.status.parts.get(azure::PART),
            "units": self.status.units,
            "faults": self.status.faults,
        })
    }
}
