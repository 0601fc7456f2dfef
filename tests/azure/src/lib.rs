//! A simulated Azure that enforces what Azure enforces: Entra's token endpoint, the resource manager with Resource
//! Graph, and Key Vault, over TLS, in memory.
//!
//! ```no_run
//! # fn example() -> Result<(), azure_sim::StartError> {
//! let sim = azure_sim::AzureSim::start(azure_sim::Seed::on_loopback("my-test"))?;
//! let (authority, arm, root) = (sim.entra_url(), sim.arm_url(), sim.ca_pem());
//! # Ok(()) }
//! ```
//!
//! Every refusal has its own cause: tokens are verified by the keys that issuers publish, rights follow from role
//! assignments, limits are counted. Only [`Weather`] makes things go wrong for no reason. What it does not do:
//!
//! - users, groups, deny assignments, management groups and custom roles; conditions limit only the roles that may
//!   be handed out, in the form
//!   `…RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {…}`;
//! - client certificates and flows other than client credentials;
//! - making or deleting clusters and vaults through the resource manager: they come from the seed or the admin
//!   interface;
//! - throttling by budgets unless [`Weather::budgets`] is switched on, and then for the resource manager alone.

mod admin;
mod arm;
mod budget;
mod clock;
mod entra;
pub mod faults;
mod http;
mod jwt;
mod log;
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
pub use faults::{Fault, Weather};
pub use jwt::KeyError;
pub use log::{Entry, Service};
pub use seed::{Seed, SeedError};
pub use sim::{Addition, AzureSim, StartError};
pub use tls::{Authority, Leaf, TlsError};
