//! `cargo sandbox azure serve`: the simulated Azure alone, without clusters and without root, until Ctrl-C.
//!
//! It has a folder like a sandbox's, so `cargo sandbox azure show`, `log`, `fault`, `set` and the others find it by its
//! name; the folder goes when it ends.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::Value;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::{Access, AskError, PART, access, ask, is_ready};
use crate::board::{Board, Phase};
use crate::command;
use crate::environment;
use crate::files::{self, FileError};
use crate::material;
use crate::output;
use crate::pki::PkiError;
use crate::programs::{self, ProgramsError};
use crate::state::{StateDir, StateError};

/// What is served, and where.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// What exists at the start, JSON; a small example if absent (tests/azure/seed.example.json)
    #[arg(long, value_name = "FILE")]
    seed: Option<PathBuf>,
    /// Where it listens, whatever the seed says: Entra at this port, Azure Resource Manager at the next, then the
    /// vaults in the order of the seed; port 0 takes free ones
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddrV4,
}

/// Why it is not served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The name is taken.
    #[error("there is a sandbox `{0}` already")]
    Taken(String),
    /// The seed is no JSON object.
    #[error("{} is no seed", path.display())]
    Seed {
        /// The file.
        path: PathBuf,
    },
    /// Nobody can sign in.
    #[error("the seed has no service principal with a client secret, so nobody could sign in")]
    NoOperator,
    /// It did not come up, and said why.
    #[error("the simulated Azure ended ({0})")]
    Ended(ExitStatus),
    /// It did not come up.
    #[error("the simulated Azure does not answer within {0:?}")]
    Silent(Duration),
    /// The process.
    #[error("cannot run the simulated Azure")]
    Process(#[from] io::Error),
    /// It answered otherwise than expected.
    #[error(transparent)]
    Answer(#[from] AskError),
    /// The state folder.
    #[error(transparent)]
    State(#[from] StateError),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// Certificates.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// The program.
    #[error(transparent)]
    Programs(#[from] ProgramsError),
}

impl ServeError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Taken(name) => Some(format!(
                "cargo sandbox down --name {name}, or `cargo sandbox azure --name` another one"
            )),
            Self::Programs(error) => error.hint(),
            _ => None,
        }
    }
}

/// The seed where none is given.
const EXAMPLE: &str = include_str!("../../../azure/seed.example.json");
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);

/// Serves until it is told to end, by a signal or by `cargo sandbox down`.
pub(super) fn serve(state: &StateDir, arguments: &ServeArgs) -> Result<(), ServeError> {
    let told = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&told))?;
    }
    let lock = state.lock()?;
    if state.is_alive() || state.spec().exists() {
        return Err(ServeError::Taken(state.name().to_owned()));
    }
    let program = programs::azure()?;
    files::remove_folder(state.path())?;
    material::create_folders(state)?;
    let path = state.alive_lock();
    let alive = File::create(&path).map_err(|source| FileError::new("create", &path, source))?;
    alive
        .lock()
        .map_err(|source| FileError::new("lock", &path, source))?;
    let seed = seed(arguments)?;
    files::write_json(&state.azure_seed(), &seed)?;
    material::authority(state)?;

    // It must not outlive this process, however that ends.
    let mut child = command::plain("setpriv")
        .args(["--pdeathsig", "KILL"])
        .arg(program)
        .args(super::arguments(state))
        .stdout(Stdio::null())
        .spawn()?;
    let result = attend(state, &seed, arguments, &mut child, &told, lock);
    // Dead already, or dying by the same Ctrl-C.
    let _ = child.kill();
    let _ = child.wait();
    files::remove_folder(state.path())?;
    result
}

fn attend(
    state: &StateDir,
    seed: &Value,
    arguments: &ServeArgs,
    child: &mut Child,
    told: &AtomicBool,
    lock: File,
) -> Result<(), ServeError> {
    let deadline = Instant::now() + PATIENCE;
    while !is_ready(state) {
        if let Some(status) = child.try_wait()? {
            return Err(ServeError::Ended(status));
        }
        if Instant::now() > deadline {
            return Err(ServeError::Silent(PATIENCE));
        }
        thread::sleep(PAUSE);
    }
    let access = operator(state, seed)?;
    files::write_json(&state.azure_access(), &access)?;
    environment::prepare(state, &access)?;
    Board::new(state, [PART.to_owned()]).part(PART, Phase::Ready);
    drop(lock);
    let variables = environment::cloud_variables(state, &access, &arguments.listen.ip().to_string());
    output::data(&environment::exports(&variables));
    output::talk(&usage(state, &access));
    while !told.load(Ordering::SeqCst) && state.path().exists() {
        if let Some(status) = child.try_wait()? {
            return Err(ServeError::Ended(status));
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// The seed, with addresses of this machine.
fn seed(arguments: &ServeArgs) -> Result<Value, ServeError> {
    let (text, path) = match &arguments.seed {
        Some(path) => (files::read(path)?, path.clone()),
        None => (EXAMPLE.to_owned(), PathBuf::from("the example")),
    };
    let mut seed: Value = serde_json::from_str(&text)
        .ok()
        .filter(Value::is_object)
        .ok_or(ServeError::Seed { path })?;
    place(&mut seed, arguments.listen);
    Ok(seed)
}

/// Gives every service of a seed an address: consecutive ports, or free ones. What trusts the platform goes along.
fn place(seed: &mut Value, listen: SocketAddrV4) {
    let mut next = listen.port();
    let mut address = || {
        let own = SocketAddrV4::new(*listen.ip(), next);
        next = if next == 0 { 0 } else { next.saturating_add(1) };
        Value::from(own.to_string())
    };
    for service in ["entra", "arm"] {
        seed[service]["address"] = address();
    }
    for vault in seed["vaults"].as_array_mut().into_iter().flatten() {
        vault["address"] = address();
    }
    if seed["platform"].is_object() {
        let before = endpoint_url(&seed["platform"]["address"]);
        for field in ["address", "metadataAddress"] {
            seed["platform"][field] = address();
        }
        let after = endpoint_url(&seed["platform"]["address"]);
        if let (Some(before), Some(after)) = (before, after) {
            for issuer in issuers(seed) {
                if let Some(rest) = issuer.as_str().and_then(|issuer| issuer.strip_prefix(&before)) {
                    *issuer = format!("{after}{rest}").into();
                }
            }
        }
    }
    if listen.ip().is_loopback() {
        seed["entra"]["allowLoopbackIssuers"] = true.into();
    }
}

/// Whom the applications and identities of a seed trust.
fn issuers(seed: &mut Value) -> Vec<&mut Value> {
    let Some(seed) = seed.as_object_mut() else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (list, owners) in seed {
        if ["servicePrincipals", "identities"].contains(&list.as_str()) {
            let owners = owners.as_array_mut().into_iter().flatten();
            let credentials = owners.filter_map(|owner| owner["federatedCredentials"].as_array_mut());
            found.extend(credentials.flatten().map(|credential| &mut credential["issuer"]));
        }
    }
    found
}

/// The URL of an address in a seed.
fn endpoint_url(address: &Value) -> Option<String> {
    Some(access::url(address.as_str()?.parse().ok()?))
}

/// How the first service principal that has a secret gets in.
fn operator(state: &StateDir, seed: &Value) -> Result<Access, ServeError> {
    let endpoints = ask(state, "GET", "/endpoints", None)?;
    let document = ask(state, "GET", "/state", None)?;
    let principals = seed["servicePrincipals"].as_array().map(Vec::as_slice);
    let operator = principals
        .unwrap_or_default()
        .iter()
        .find(|principal| principal["secrets"][0].is_string())
        .ok_or(ServeError::NoOperator)?;
    let known = document["servicePrincipals"].as_array().map(Vec::as_slice);
    let known = known
        .unwrap_or_default()
        .iter()
        .find(|principal| principal["displayName"] == operator["displayName"]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(Access {
        entra: endpoint(&endpoints["entra"]),
        arm: endpoint(&endpoints["arm"]),
        tenant_id: text(&document["tenant"]["id"]),
        subscription_id: text(&document["subscriptions"][0]["id"]),
        client_id: known.map(|known| text(&known["clientId"])).unwrap_or_default(),
        client_secret: text(&operator["secrets"][0]),
    })
}

/// The address in a URL as the simulated Azure writes it.
fn endpoint(url: &Value) -> SocketAddrV4 {
    let host = url.as_str().unwrap_or_default();
    let host = host.trim_start_matches("https://").trim_end_matches('/');
    match host.parse() {
        Ok(SocketAddr::V4(address)) => address,
        _ => SocketAddrV4::new(host.parse().unwrap_or(Ipv4Addr::LOCALHOST), 443),
    }
}

fn usage(state: &StateDir, access: &Access) -> String {
    let name = state.name();
    format!(
        "the simulated Azure is up: Entra at {}, Azure Resource Manager at {}\n\
         clients take the lines above, which another shell gets by: eval \"$(cargo sandbox env --name {name})\"\n\
         cloud file: {}\n\
         authority: {}, with the system's: {}\n\
         look into it: cargo sandbox azure --name {name} show\n\
         disturb it: cargo sandbox azure --name {name} fault --help\n\
         end it: Ctrl-C, or cargo sandbox down --name {name}",
        access::url(access.entra),
        access::url(access.arm),
        state.azure_cloud().display(),
        state.ca_certificate().display(),
        state.ca_bundle().display(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(listen: &str) -> Value {
        let mut seed = serde_json::from_str(EXAMPLE).unwrap();
        place(&mut seed, listen.parse().unwrap());
        seed
    }

    #[test]
    fn services_get_consecutive_ports() {
        let seed = placed("127.0.0.1:8443");
        assert_eq!(seed["entra"]["address"], "127.0.0.1:8443");
        assert_eq!(seed["arm"]["address"], "127.0.0.1:8444");
        assert_eq!(seed["vaults"][0]["address"], "127.0.0.1:8445");
        assert_eq!(seed["entra"]["allowLoopbackIssuers"], true);
        let credentials = &seed["servicePrincipals"][0]["federatedCredentials"];
        assert_eq!(credentials[0]["issuer"], "https://127.0.0.1:8446/github");
        assert_eq!(seed["platform"]["address"], "127.0.0.1:8446");
    }

    #[test]
    fn or_free_ones_and_only_loopback_is_special() {
        let seed = placed("198.18.0.1:0");
        assert_eq!(seed["arm"]["address"], "198.18.0.1:0");
        assert_eq!(seed["vaults"][0]["address"], "198.18.0.1:0");
        assert!(seed["entra"]["allowLoopbackIssuers"].is_null());
    }

    #[test]
    fn endpoints_are_read_with_and_without_a_port() {
        assert_eq!(
            endpoint(&"https://127.0.0.1:8443/".into()).to_string(),
            "127.0.0.1:8443"
        );
        assert_eq!(
            endpoint(&"https://198.18.0.1/".into()).to_string(),
            "198.18.0.1:443"
        );
    }
}
