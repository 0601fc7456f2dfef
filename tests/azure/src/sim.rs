//! The simulator as a value: it runs as long as it is held.

mod change;

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use reqwest::redirect;
use serde_json::Value;
use uuid::Uuid;

use crate::arm::graph;
use crate::clock::{Clock, Millis};
use crate::entra::issuers::Issuers;
use crate::faults::{Front, Sky, Weather};
use crate::jwt::{KeyError, SigningKey};
use crate::log::{Entry, Log};
use crate::platform;
use crate::seed::{self, Seed, SeedError};
use crate::server::{self, Role, Running};
use crate::state::{State, url};
use crate::tls::{Authority, TlsError};
use crate::world::{Urls, World};

pub use change::Addition;

/// Why the simulator does not run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be taken.
    #[error("cannot listen at {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A taken address cannot be served.
    #[error("cannot serve")]
    Listen(#[source] std::io::Error),
    /// The log cannot be opened.
    #[error("cannot write the log {path}")]
    Log {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The seed does not fit together.
    #[error("the seed cannot be used")]
    Seed(#[from] SeedError),
    /// Certificates.
    #[error("no certificates")]
    Tls(#[from] TlsError),
    /// The signing key.
    #[error("no key for tokens")]
    Key(#[from] KeyError),
    /// The client that asks issuers.
    #[error("no client for the issuers")]
    Client(#[from] reqwest::Error),
}

/// A simulated Azure that runs until it is dropped.
#[derive(Debug)]
pub struct AzureSim {
    host: Arc<Host>,
}

/// The servers, and what it takes to start one more. They end when this is dropped.
#[derive(Debug)]
pub(crate) struct Host {
    world: Arc<World>,
    authority: Authority,
    /// Where the resource manager is.
    manager: IpAddr,
    servers: Mutex<Vec<Running>>,
}

impl Host {
    /// Certificate of the authority behind all addresses, API servers among them.
    pub(crate) fn authority_pem(&self) -> &str {
        self.authority.pem()
    }

    fn serve(&self, listener: TcpListener, role: Role) -> Result<(), StartError> {
        let server = server::serve(&self.world, &self.authority, listener, role)?;
        self.servers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(server);
        Ok(())
    }

    /// Makes one more vault, which answers when this returns.
    pub(crate) fn add_vault(&self, vault: &seed::Vault, now: Millis) -> Result<(), StartError> {
        let listener = server::bind(beside(vault.address, self.manager))?;
        let address = listener.local_addr().map_err(StartError::Listen)?;
        self.world.state().add_vault(vault, address, now)?;
        self.serve_vault(listener, address)
    }

    /// Serves the vault that has this address.
    fn serve_vault(&self, listener: TcpListener, address: SocketAddr) -> Result<(), StartError> {
        let vault = {
            let state = self.world.state();
            state
                .vaults
                .iter()
                .find(|(_, vault)| vault.address == address)
                .map(|(key, _)| key.clone())
        };
        match vault {
            Some(key) => self.serve(listener, Role::Vault(key)),
            None => Ok(()),
        }
    }
}

impl AzureSim {
    /// Starts with a certificate authority of its own. Must be called within a tokio runtime.
    pub fn start(seed: Seed) -> Result<Self, StartError> {
        Self::start_with(seed, Authority::generate()?, None)
    }

    /// Starts under an authority that exists, optionally with a file for the log. Must be called within a tokio
    /// runtime.
    pub fn start_with(mut seed: Seed, authority: Authority, log: Option<&Path>) -> Result<Self, StartError> {
        let entra = server::bind(seed.entra.address)?;
        let arm = server::bind(seed.arm.address)?;
        let vaults: Vec<_> = seed
            .vaults
            .iter()
            .map(|vault| server::bind(beside(vault.address, seed.arm.address.ip())))
            .collect::<Result<_, _>>()?;
        let local = |listener: &TcpListener| listener.local_addr().map_err(StartError::Listen);
        let platform = match &seed.platform {
            None => None,
            Some(platform) => Some((
                server::bind(platform.address)?,
                server::bind(platform.metadata_address)?,
            )),
        };
        let mut urls = Urls {
            entra: url(local(&entra)?),
            arm: url(local(&arm)?),
            ..Urls::default()
        };
        if let Some((pipelines, machine)) = &platform {
            urls.platform = url(local(pipelines)?);
            urls.machine = format!("http://{}/", local(machine)?);
            trust_platform(&mut seed, &urls.platform);
        }
        let addresses: Vec<SocketAddr> = vaults.iter().map(local).collect::<Result<_, _>>()?;
        let clock = Clock::default();
        let state = State::from_seed(&seed, &addresses, clock.now())?;
        let log = match log {
            None => Log::default(),
            Some(path) => Log::to_file(path).map_err(|source| StartError::Log {
                path: path.display().to_string(),
                source,
            })?,
        };
        let world = Arc::new(World {
            clock,
            key: signing_key()?,
            platform_keys: platform::Keys::default(),
            issuers: Issuers::new(client(&authority)?),
            log,
            urls,
            arm_audience: seed.arm_audience.trim_end_matches('/').to_owned(),
            vault_audience: seed.vault_audience.trim_end_matches('/').to_owned(),
            allow_loopback_issuers: seed.entra.allow_loopback_issuers,
            pepper: Uuid::new_v4().to_string(),
            sky: Mutex::new(Sky::new(seed.weather)),
            state: Mutex::new(state),
            host: OnceLock::new(),
        });
        // What is there from the start is known to everybody.
        graph::index(&world, Millis::MIN);
        let host = Arc::new(Host {
            world,
            authority,
            manager: seed.arm.address.ip(),
            servers: Mutex::default(),
        });
        // Set once, here.
        let _ = host.world.host.set(Arc::downgrade(&host));
        host.serve(entra, Role::Entra)?;
        host.serve(arm, Role::Arm)?;
        if let Some((pipelines, machine)) = platform {
            host.serve(pipelines, Role::Platform)?;
            host.serve(machine, Role::Machine)?;
        }
        for (listener, address) in vaults.into_iter().zip(addresses) {
            host.serve_vault(listener, address)?;
        }
        Ok(Self { host })
    }

    /// Base URL of Entra, with a slash at the end.
    pub fn entra_url(&self) -> &str {
        &self.host.world.urls.entra
    }

    /// Base URL of the resource manager, with a slash at the end.
    pub fn arm_url(&self) -> &str {
        &self.host.world.urls.arm
    }

    /// Base URL of GitHub and Azure DevOps, with a slash at the end; empty if the seed has none.
    pub fn platform_url(&self) -> &str {
        &self.host.world.urls.platform
    }

    /// Base URL of the machine on which pipelines run, with a slash at the end; empty if the seed has none.
    pub fn machine_url(&self) -> &str {
        &self.host.world.urls.machine
    }

    /// URL of a vault, with a slash at the end.
    pub fn vault_url(&self, name: &str) -> Option<String> {
        let state = self.host.world.state();
        state
            .vaults
            .values()
            .find(|vault| vault.name == name)
            .map(|vault| vault.uri.clone())
    }

    /// Certificate of the authority behind all addresses.
    pub fn ca_pem(&self) -> &str {
        self.host.authority.pem()
    }

    /// The authority behind all addresses, e.g. for an issuer that the simulator shall trust.
    pub fn authority(&self) -> &Authority {
        &self.host.authority
    }

    /// The clock, to let time pass.
    pub fn clock(&self) -> &Clock {
        &self.host.world.clock
    }

    /// Everything that exists, without secrets.
    pub fn state(&self) -> Value {
        let (state, now) = (self.host.world.state(), self.host.world.clock.now());
        let mut document = state.list(now);
        (document["githubJobs"], document["pipelineJobs"]) =
            platform::list(&state.running, &self.host.world, state.tenant().id);
        document
    }

    /// The requests after the one with this number.
    pub fn log_after(&self, number: u64) -> Vec<Entry> {
        self.host.world.log.after(number)
    }

    /// The weather of now.
    pub fn weather(&self) -> Weather {
        self.host.world.weather().weather.clone()
    }

    /// Puts weather over one place, in the stead of what is there under this name.
    pub fn set_front(&self, name: &str, front: Front) {
        self.host
            .world
            .weather()
            .weather
            .fronts
            .insert(name.to_owned(), front);
    }

    /// Takes the weather of this name away; false if there is none.
    pub fn clear_front(&self, name: &str) -> bool {
        self.host.world.weather().weather.fronts.remove(name).is_some()
    }

    /// Changes the weather.
    pub fn set_weather(&self, weather: Weather) {
        self.host.world.weather().weather = weather;
    }

    /// Back to the seed's weather.
    pub fn reset_weather(&self) {
        self.host.world.weather().reset();
    }

    /// Forgets the issuers' keys, as a cache that expires.
    pub async fn forget_issuers(&self) {
        self.host.world.issuers.forget().await;
    }
}

/// The key by which Entra signs. Making one takes longer than all else together, and the simulators of one process can do
/// with the same: a token is for one tenant.
fn signing_key() -> Result<Arc<SigningKey>, KeyError> {
    static KEY: Mutex<Option<Arc<SigningKey>>> = Mutex::new(None);
    let mut known = KEY.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(key) = &*known {
        return Ok(Arc::clone(key));
    }
    let key = Arc::new(SigningKey::generate()?);
    *known = Some(Arc::clone(&key));
    Ok(key)
}

/// Credentials that trust the platform at the address of the seed trust it at the port that it got.
fn trust_platform(seed: &mut Seed, found: &str) {
    let Some(meant) = seed.platform.as_ref().map(|platform| url(platform.address)) else {
        return;
    };
    let of_applications = seed
        .service_principals
        .iter_mut()
        .map(|one| &mut one.federated_credentials);
    let of_identities = seed
        .identities
        .iter_mut()
        .map(|one| &mut one.federated_credentials);
    for credential in of_applications.chain(of_identities).flatten() {
        if let Some(rest) = credential.issuer.strip_prefix(&meant) {
            credential.issuer = format!("{found}{rest}");
        }
    }
}

/// The address itself, or a free port beside the resource manager if it names none.
fn beside(address: SocketAddr, manager: IpAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        SocketAddr::new(manager, 0)
    } else {
        address
    }
}

/// A client that trusts the authority alone and goes nowhere that it is not sent.
fn client(authority: &Authority) -> Result<reqwest::Client, reqwest::Error> {
    let root = reqwest::Certificate::from_pem(authority.pem().as_bytes())?;
    reqwest::Client::builder()
        .tls_certs_only([root])
        .https_only(true)
        .no_proxy()
        .redirect(redirect::Policy::none())
        .build()
}
