//! `cargo sandbox up`: from anything, also nothing or wreckage, to a sandbox that answers.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use crate::api::{Api, ApiError};
use crate::azure;
use crate::board::{Phase, Status};
use crate::cleanup::{self, CleanupError};
use crate::environment;
use crate::files::{self, FileError};
use crate::inotify;
use crate::material;
use crate::namespace::{self, NamespaceError};
use crate::network::{self, NetworkError};
use crate::pki::PkiError;
use crate::programs::{self, ProgramsError};
use crate::range::{MAX_CLUSTERS, NoRange, Range};
use crate::spec::{self, Kind, Spec};
use crate::state::{self, StateDir, StateError};

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
pub enum UpError {
    /// Namespaces, links and control groups are the administrator's.
    #[error("a sandbox needs root")]
    NotRoot,
    /// There is no address for so many.
    #[error("{0} clusters are too many: a sandbox has 1 to {MAX_CLUSTERS}")]
    Count(u8),
    /// Another one has the name.
    #[error("sandbox `{name}` runs already with {clusters} clusters of kind {kind}")]
    Different {
        /// Its name.
        name: String,
        /// How many it has.
        clusters: usize,
        /// Of which kind.
        kind: Kind,
    },
    /// A part did not come up.
    #[error("sandbox `{name}` did not come up:\n{report}")]
    Failed {
        /// Its name.
        name: String,
        /// What died or hung, with the last lines of its log.
        report: String,
    },
    /// An API server answers inside but not from here.
    #[error("{cluster} does not answer from this machine")]
    Unreachable {
        /// Which.
        cluster: String,
    },
    /// The state folder.
    #[error(transparent)]
    State(#[from] StateError),
    /// What is left of an earlier one.
    #[error(transparent)]
    Cleanup(#[from] CleanupError),
    /// Programs.
    #[error(transparent)]
    Programs(#[from] ProgramsError),
    /// Addresses.
    #[error(transparent)]
    Range(#[from] NoRange),
    /// Certificates.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// Files.
    #[error(transparent)]
    File(#[from] FileError),
    /// Namespaces.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// Links.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// Clusters.
    #[error(transparent)]
    Api(#[from] ApiError),
}

impl UpError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotRoot => Some("run it as root: `sudo -E env PATH=\"$PATH\" cargo sandbox up`".to_owned()),
            Self::Different { name, .. } => Some(format!(
                "`cargo sandbox down --name {name}` first, or `--name` another one"
            )),
            Self::Failed { name, .. } => Some(format!(
                "the logs stay until the next `cargo sandbox up --name {name}` or `down`"
            )),
            Self::Programs(error) => error.hint(),
            _ => None,
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// How much of the clusters is real.
    pub kind: Kind,
    /// How many clusters.
    pub clusters: u8,
}

/// Longer than any step inside may take, so that the reason comes from there.
const PATIENCE: Duration = Duration::from_secs(400);

/// Says early what would be said late: before anything is built.
pub fn require_root() -> Result<(), UpError> {
    if nix::unistd::geteuid().is_root() {
        Ok(())
    } else {
        Err(UpError::NotRoot)
    }
}

/// Makes it so; repeating it is fine.
pub fn up(state: &StateDir, wanted: Wanted, talk: &mut dyn FnMut(&str)) -> Result<Spec, UpError> {
    require_root()?;
    if !(1..=MAX_CLUSTERS).contains(&wanted.clusters) {
        return Err(UpError::Count(wanted.clusters));
    }
    let _lock = state.lock()?;
    if let Some(spec) = running(state) {
        if spec.kind != wanted.kind || spec.clusters.len() != usize::from(wanted.clusters) {
            let Spec {
                name, kind, clusters, ..
            } = spec;
            return Err(UpError::Different {
                name,
                clusters: clusters.len(),
                kind,
            });
        }
        wait(state, &spec, None, talk)?;
        if is_outdated(state, &spec) {
            let name = &spec.name;
            talk(&format!(
                "note: azure-sim was built anew since; `cargo sandbox down --name {name}` first to run it"
            ));
        }
        return Ok(spec);
    }
    cleanup::remove(state)?;
    let (programs, images) = programs::ensure(wanted.kind, talk)?;

    material::create_folders(state)?;
    let ranges = state::lock_ranges()?;
    let range = Range::free()?;
    let clusters = spec::clusters(range, wanted.clusters);
    let spec = Spec {
        name: state.name().to_owned(),
        kind: wanted.kind,
        range,
        clusters,
        programs,
        images,
    };
    files::write_json(&state.spec(), &spec)?;
    material::prepare(state, &spec)?;
    environment::prepare(state, &azure::Access::of_spec(&spec))?;
    files::write_json(&state.azure_seed(), &azure::seed(&spec))?;
    programs::link(state, &spec)?;

    talk(&format!(
        "starting sandbox `{}`: {} × {}, {}",
        spec.name,
        wanted.clusters,
        wanted.kind,
        range.cidr()
    ));
    inotify::ensure(talk);
    let mut sandbox = namespace::start(state)?;
    if let Err(error) = network::link_host(state, &spec, sandbox.id()) {
        let died = sandbox.try_wait().ok().flatten().is_some();
        return Err(if died {
            supervisor_failed(state)
        } else {
            error.into()
        });
    }
    // From here on the route shows that the range is taken.
    drop(ranges);
    wait(state, &spec, Some(&mut sandbox), talk)?;
    Ok(spec)
}

/// The sandbox, if it lives and nothing of it has failed.
fn running(state: &StateDir) -> Option<Spec> {
    let spec = files::read_json(&state.spec()).ok()?;
    let status: Status = files::read_json(&state.status()).unwrap_or_default();
    (state.is_alive() && status.failures().next().is_none()).then_some(spec)
}

/// Whether the simulated Azure has been built again since the sandbox was started.
fn is_outdated(state: &StateDir, spec: &Spec) -> bool {
    let modified = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    modified(&spec.programs.azure) > modified(&state.spec())
}

/// Waits until all parts answer, inside and from here.
fn wait(
    state: &StateDir,
    spec: &Spec,
    mut sandbox: Option<&mut Child>,
    talk: &mut dyn FnMut(&str),
) -> Result<(), UpError> {
    let started = Instant::now();
    let mut told: BTreeMap<String, Phase> = BTreeMap::new();
    loop {
        let ended = match &mut sandbox {
            Some(child) => child.try_wait().ok().flatten().is_some(),
            None => !state.is_alive(),
        };
        let status: Status = files::read_json(&state.status()).unwrap_or_default();
        for (part, phase) in &status.parts {
            if told.get(part) != Some(phase) && *phase == Phase::Ready {
                talk(&format!(
                    "{:>6.1} s  {part} ready",
                    started.elapsed().as_secs_f64()
                ));
            }
            told.insert(part.clone(), phase.clone());
        }
        if status.failures().next().is_some() {
            return Err(UpError::Failed {
                name: spec.name.clone(),
                report: report(state, &status),
            });
        }
        if ended {
            return Err(supervisor_failed(state));
        }
        if status.is_ready() {
            break;
        }
        if started.elapsed() > PATIENCE {
            return Err(UpError::Failed {
                name: spec.name.clone(),
                report: report(state, &status),
            });
        }
        thread::sleep(Duration::from_millis(50));
    }
    for cluster in &spec.clusters {
        if !Api::new(state, cluster)?.is_ready() {
            return Err(UpError::Unreachable {
                cluster: cluster.name.clone(),
            });
        }
    }
    Ok(())
}

/// Which parts failed or hang, and what their processes said last.
fn report(state: &StateDir, status: &Status) -> String {
    let mut lines = Vec::new();
    for (part, reason, units) in status.failures() {
        lines.push(format!("  {part}: {reason}"));
        for unit in units {
            lines.extend(log_tail(state, unit));
        }
    }
    for (part, phase) in &status.parts {
        if let Phase::Starting { step } = phase {
            lines.push(format!("  {part}: waiting for {step}"));
        }
    }
    lines.push(format!("  logs: {}", state.logs().display()));
    lines.join("\n")
}

fn log_tail(state: &StateDir, unit: &str) -> Vec<String> {
    let tail = files::last_lines(&state.log(unit), 5);
    tail.into_iter()
        .map(|line| format!("    {unit} | {line}"))
        .collect()
}

fn supervisor_failed(state: &StateDir) -> UpError {
    let mut lines = vec!["  the supervisor ended".to_owned()];
    lines.extend(log_tail(state, "supervisor"));
    lines.push(format!("  logs: {}", state.logs().display()));
    UpError::Failed {
        name: state.name().to_owned(),
        report: lines.join("\n"),
    }
}
