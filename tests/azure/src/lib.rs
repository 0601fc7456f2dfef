//! A simulated Azure that enforces what Azure enforces: Entra's token endpoint, the resource manager with Resource
//! Graph, and Key Vault, over TLS, in memory. Beside it stand what vouches for pipelines: GitHub Actions, Azure
//! Pipelines, and a machine with managed identities.
//!
//! ```
//! # let runtime = tokio::runtime::Runtime::new()?;
//! # let _inside = runtime.enter();
//! let sim = azure_sim::AzureSim::start(azure_sim::Seed::on_loopback("my-test"))?;
//! let (authority, arm, root) = (sim.entra_url(), sim.arm_url(), sim.ca_pem());
//! assert!(arm.starts_with("https://127.0.0.1:") && root.contains("BEGIN CERTIFICATE"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Every refusal has its own cause: tokens are verified by the keys that issuers publish, rights follow from role
//! assignments, limits are counted. Only [`Weather`] makes things go wrong for no reason. What it does not do:
//!
//! - users, groups and management groups; conditions limit only the roles that may be handed out, in the form
//!   `…RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {…}`; custom roles may name any action that has the form of one;
//!   locks, policies and deny assignments come from the seed or the admin interface;
//! - flows other than client credentials, conditional access by anything but address, and throttling by Entra;
//! - making or deleting clusters through the resource manager: they come from the seed or the admin interface;
//! - ranges of addresses and virtual networks in the network rules of vaults;
//! - throttling by budgets unless [`Weather::budgets`] is switched on; what is left of them is told in any case.

mod admin;
mod arm;
mod budget;
mod clock;
mod entra;
pub mod faults;
mod http;
mod jwt;
mod log;
mod platform;
pub mod seed;
mod server;
mod sim;
mod state;
mod tls;
mod token;
mod vault;
mod world;

pub use admin::{AdminError, AdminListener};
pub use clock::Clock;
pub use faults::{Fault, Front, Weather};
pub use jwt::KeyError;
pub use log::{Entry, Service};
pub use seed::{Seed, SeedError};
pub use sim::{Addition, AzureSim, StartError};
pub use tls::{Authority, Leaf, TlsError};
