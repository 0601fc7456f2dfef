//! `sandbox internal supervise`: brings the parts up, each in the order that it needs, and then keeps them up.

use std::fs::File;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::api::{Api, ApiError, issuer_discovery, operator_access};
use crate::azure;
use crate::board::{Board, Phase};
use crate::command::CommandError;
use crate::fault::{self, FaultError};
use crate::files::{self, FileError};
use crate::network::{self, NetworkError};
use crate::spec::{Cluster, Kind, Spec};
use crate::state::StateDir;
use crate::supervise::{Supervisor, Unit};
use crate::turnstile::Turnstile;
use crate::{control_plane, kwok, node, webhook};

/// The part of the sandbox that all others stand on.
pub const GROUND: &str = "network";

/// How long a step may take on a slow machine before it is said to have failed.
const PATIENCE: Duration = Duration::from_mins(3);
const PAUSE: Duration = Duration::from_millis(150);

/// Why a part did not come up.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// A file failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The network failed.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A command failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The API server refused.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// Nobody can ask for faults.
    #[error(transparent)]
    Fault(#[from] FaultError),
    /// Something was awaited in vain.
    #[error("{what} after {} s{}", PATIENCE.as_secs(), last.as_ref().map(|last| format!(" ({last})")).unwrap_or_default())]
    Patience {
        /// What was awaited.
        what: String,
        /// The last answer.
        last: Option<String>,
    },
    /// A process died too often.
    #[error("{} died again and again", units.join(", "))]
    Died {
        /// Which.
        units: Vec<String>,
    },
}

/// Runs until it is killed.
pub fn supervise(state: &StateDir) -> Result<(), BootError> {
    let path = state.alive_lock();
    let alive = File::create(&path).map_err(|source| FileError::new("create", &path, source))?;
    alive
        .lock()
        .map_err(|source| FileError::new("lock", &path, source))?;

    let spec: Spec = files::read_json(&state.spec())?;
    let names = spec.clusters.iter().map(|cluster| cluster.name.clone());
    let parts = [GROUND.to_owned(), azure::PART.to_owned()]
        .into_iter()
        .chain(names);
    let board = Arc::new(Board::new(state, parts));
    let boot = Boot {
        state,
        spec: &spec,
        supervisor: Supervisor::new(state.clone(), Arc::clone(&board)),
        turnstile: Turnstile::new(),
    };

    board.step(GROUND, "the link to this machine");
    if let Err(error) = boot.ground() {
        board.part(GROUND, failure(&error, &[]));
        return Err(error);
    }
    board.part(GROUND, Phase::Ready);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut part = boot.part(azure::PART);
            let result = part.azure();
            part.end(result);
        });
        for cluster in &spec.clusters {
            scope.spawn(|| {
                let mut part = boot.part(&cluster.name);
                let result = part.cluster(cluster);
                part.end(result);
            });
        }
    });
    // Up, or as far up as it gets: the processes are kept by threads of their own.
    loop {
        thread::park();
    }
}

fn failure(error: &BootError, units: &[String]) -> Phase {
    let mut reason = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        reason = format!("{reason}: {cause}");
        source = cause.source();
    }
    let units = if let BootError::Died { units } = error {
        units
    } else {
        units
    };
    Phase::Failed {
        reason,
        units: units.to_vec(),
    }
}

#[derive(Debug)]
struct Boot<'a> {
    state: &'a StateDir,
    spec: &'a Spec,
    supervisor: Supervisor,
    turnstile: Turnstile,
}

impl Boot<'_> {
    fn ground(&self) -> Result<(), BootError> {
        let Spec {
            range,
            clusters,
            kind,
            programs,
            ..
        } = self.spec;
        let mut addresses = azure::addresses(*range);
        addresses.extend(clusters.iter().map(|cluster| cluster.address));
        let nodes = if *kind == Kind::Nodes {
            clusters.as_slice()
        } else {
            &[]
        };
        network::prepare(self.spec, &addresses, nodes)?;
        if *kind != Kind::Nodes {
            self.supervisor.keep(control_plane::etcd(self.state, programs, 0));
        }
        fault::serve(self.state, self.spec, &self.supervisor)?;
        Ok(())
    }

    fn part<'a>(&'a self, name: &'a str) -> Part<'a> {
        Part {
            boot: self,
            name,
            units: Vec::new(),
        }
    }
}

/// One part on its way up, with the processes that it has started.
#[derive(Debug)]
struct Part<'a> {
    boot: &'a Boot<'a>,
    name: &'a str,
    units: Vec<String>,
}

impl Part<'_> {
    fn end(&self, result: Result<(), BootError>) {
        let phase = match result {
            Ok(()) => Phase::Ready,
            Err(error) => failure(&error, &self.units),
        };
        self.boot.supervisor.board().part(self.name, phase);
    }

    fn keep(&mut self, unit: Unit) {
        self.units.push(self.boot.supervisor.keep(unit));
    }

    /// Waits until `attempt` says yes, unless a process of this part is given up before.
    fn wait(&self, what: &str, attempt: impl Fn() -> Result<bool, ApiError>) -> Result<(), BootError> {
        let board = self.boot.supervisor.board();
        board.step(self.name, what);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let last = match attempt() {
                Ok(true) => return Ok(()),
                Ok(false) => None,
                Err(error) => Some(error.to_string()),
            };
            let units = board.dead(&self.units);
            if !units.is_empty() {
                return Err(BootError::Died { units });
            }
            if Instant::now() > deadline {
                return Err(BootError::Patience {
                    what: format!("still waiting for {what}"),
                    last,
                });
            }
            thread::sleep(PAUSE);
        }
    }

    fn azure(&mut self) -> Result<(), BootError> {
        let Boot { state, spec, .. } = *self.boot;
        self.keep(azure::unit(state, &spec.programs));
        self.wait("the simulated Azure", || Ok(azure::is_ready(state)))
    }

    fn cluster(&mut self, cluster: &Cluster) -> Result<(), BootError> {
        let Boot { state, spec, .. } = *self.boot;
        let Spec { kind, programs, .. } = spec;
        if *kind == Kind::Nodes {
            self.keep(control_plane::etcd(state, programs, cluster.number));
            node::prepare(state, spec, cluster)?;
            // The engine takes as long as the API server: they start together.
            self.keep(node::containerd(state, cluster));
        }
        self.boot.supervisor.board().step(self.name, "its turn");
        let turn = self.boot.turnstile.enter();
        self.keep(control_plane::api_server(state, programs, *kind, cluster));
        let api = Api::new(state, cluster)?;
        self.wait("the API server", || Ok(api.is_ready()))?;
        let (path, binding) = issuer_discovery();
        self.wait("the issuer's keys", || api.apply(path, &binding).map(|()| true))?;
        let (path, binding) = operator_access(&spec.operator_object_id());
        api.apply(path, &binding)?;
        drop(turn);
        if *kind == Kind::ApiOnly {
            return Ok(());
        }
        self.keep(control_plane::controller_manager(state, programs, cluster));
        self.keep(control_plane::scheduler(state, programs, cluster));
        if *kind == Kind::Workloads {
            let (path, node) = kwok::node(spec, cluster);
            api.apply(&path, &node)?;
            self.keep(kwok::unit(state, spec, cluster));
        } else {
            self.node(cluster, &api)?;
        }
        let name = cluster.node_name();
        self.wait("the node", || api.is_node_ready(&name))?;
        let path = "/api/v1/namespaces/default/serviceaccounts/default";
        self.wait("the default service account", || api.get(path).map(|_| true))?;
        if *kind == Kind::Nodes {
            self.wait("the workload identity webhook", || webhook::is_injecting(&api))?;
        }
        Ok(())
    }

    fn node(&mut self, cluster: &Cluster, api: &Api) -> Result<(), BootError> {
        let Boot { state, spec, .. } = *self.boot;
        self.keep(webhook::unit(state, spec, cluster));
        webhook::register(api, state, cluster)?;
        self.wait("containerd", || Ok(node::is_containerd_ready(cluster)))?;
        self.boot.supervisor.board().step(self.name, "images");
        for image in &spec.images {
            node::import(cluster, image)?;
        }
        self.keep(node::kubelet(state, spec, cluster));
        Ok(())
    }
}
