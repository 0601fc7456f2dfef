//! The simulator as a value: it runs as long as it is held.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::redirect;
use serde_json::Value;
use uuid::Uuid;

use crate::clock::Clock;
use crate::entra::issuers::Issuers;
use crate::faults::{Sky, Weather};
use crate::jwt::{KeyError, SigningKey};
use crate::log::{Entry, Log};
use crate::seed::{self, Seed, SeedError};
use crate::server::{self, Role, Running};
use crate::state::{State, url};
use crate::tls::{Authority, TlsError};
use crate::world::{Urls, World};

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
    world: Arc<World>,
    authority: Authority,
    servers: Mutex<Vec<Running>>,
}

impl AzureSim {
    /// Starts with a certificate authority of its own. Must be called within a tokio runtime.
    pub fn start(seed: Seed) -> Result<Self, StartError> {
        Self::start_with(seed, Authority::generate()?, None)
    }

    /// Starts under an authority that exists, optionally with a file for the log. Must be called within a tokio
    /// runtime.
    pub fn start_with(seed: Seed, authority: Authority, log: Option<&Path>) -> Result<Self, StartError> {
        let entra = server::bind(seed.entra.address)?;
        let arm = server::bind(seed.arm.address)?;
        let vaults: Vec<_> = seed
            .vaults
            .iter()
            .map(|vault| server::bind(vault.address))
            .collect::<Result<_, _>>()?;
        let local = |listener: &std::net::TcpListener| listener.local_addr().map_err(StartError::Listen);
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
            key: SigningKey::generate()?,
            issuers: Issuers::new(client(&authority)?),
            log,
            urls: Urls {
                entra: url(local(&entra)?),
                arm: url(local(&arm)?),
            },
            arm_audience: seed.arm_audience.trim_end_matches('/').to_owned(),
            vault_audience: seed.vault_audience.trim_end_matches('/').to_owned(),
            allow_loopback_issuers: seed.entra.allow_loopback_issuers,
            pepper: Uuid::new_v4().to_string(),
            sky: Mutex::new(Sky::new(seed.weather)),
            state: Mutex::new(state),
        });
        let sim = Self {
            world,
            authority,
            servers: Mutex::default(),
        };
        sim.serve(entra, Role::Entra)?;
        sim.serve(arm, Role::Arm)?;
        for (listener, address) in vaults.into_iter().zip(addresses) {
            sim.serve_vault(listener, address)?;
        }
        Ok(sim)
    }

    fn serve(&self, listener: std::net::TcpListener, role: Role) -> Result<(), StartError> {
        let server = server::serve(&self.world, &self.authority, listener, role)?;
        self.servers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(server);
        Ok(())
    }

    fn serve_vault(&self, listener: std::net::TcpListener, address: SocketAddr) -> Result<(), StartError> {
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

    /// Base URL of Entra, with a slash at the end.
    pub fn entra_url(&self) -> &str {
        &self.world.urls.entra
    }

    /// Base URL of the resource manager, with a slash at the end.
    pub fn arm_url(&self) -> &str {
        &self.world.urls.arm
    }

    /// URL of a vault, with a slash at the end.
    pub fn vault_url(&self, name: &str) -> Option<String> {
        let state = self.world.state();
        state
            .vaults
            .values()
            .find(|vault| vault.name == name)
            .map(|vault| vault.uri.clone())
    }

    /// Certificate of the authority behind all addresses.
    pub fn ca_pem(&self) -> &str {
        self.authority.pem()
    }

    /// The authority behind all addresses, e.g. for an issuer that the simulator shall trust.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The clock, to let time pass.
    pub fn clock(&self) -> &Clock {
        &self.world.clock
    }

    /// Everything that exists, without secrets.
    pub fn state(&self) -> Value {
        let now = self.world.clock.now();
        self.world.state().list(now)
    }

    /// The requests after the one with this number.
    pub fn log_after(&self, number: u64) -> Vec<Entry> {
        self.world.log.after(number)
    }

    /// The weather of now.
    pub fn weather(&self) -> Weather {
        self.world.weather().weather.clone()
    }

    /// Changes the weather.
    pub fn set_weather(&self, weather: Weather) {
        self.world.weather().weather = weather;
    }

    /// Back to the seed's weather.
    pub fn reset_weather(&self) {
        self.world.weather().reset();
    }

    /// Forgets the issuers' keys, as a cache that expires.
    pub async fn forget_issuers(&self) {
        self.world.issuers.forget().await;
    }

    /// Adds resources that another party would have made: clusters, vaults, groups, identities, role assignments.
    pub fn add(&self, more: &Addition) -> Result<(), StartError> {
        let now = self.world.clock.now();
        {
            let mut state = self.world.state();
            for group in &more.resource_groups {
                state.add_group(group)?;
            }
            for cluster in &more.clusters {
                state.add_cluster(cluster)?;
            }
            for identity in &more.identities {
                state.add_identity(identity, now)?;
            }
        }
        for vault in &more.vaults {
            let listener = server::bind(vault.address)?;
            let address = listener.local_addr().map_err(StartError::Listen)?;
            self.world.state().add_vault(vault, address, now)?;
            self.serve_vault(listener, address)?;
        }
        let mut state = self.world.state();
        for assignment in &more.role_assignments {
            state.add_assignment(assignment, now)?;
        }
        Ok(())
    }

    /// Deletes what has this id, everything below it included; false if nothing had.
    pub fn delete(&self, id: &str) -> bool {
        let now = self.world.clock.now();
        self.world.state().delete(id, now)
    }
}

/// Resources to add while the simulator runs.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Addition {
    /// Resource groups.
    pub resource_groups: Vec<seed::ResourceGroup>,
    /// AKS clusters.
    pub clusters: Vec<seed::Cluster>,
    /// Managed identities.
    pub identities: Vec<seed::Identity>,
    /// Key vaults.
    pub vaults: Vec<seed::Vault>,
    /// Role assignments.
    pub role_assignments: Vec<seed::RoleAssignment>,
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
