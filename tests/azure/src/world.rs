//! What the services share: state, keys, time, weather and log.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use uuid::Uuid;

use crate::clock::Clock;
use crate::entra::issuers::Issuers;
use crate::faults::Sky;
use crate::jwt::SigningKey;
use crate::log::Log;
use crate::platform;
use crate::sim::Host;
use crate::state::State;
use crate::token::Directory;

/// Where the services are, each with a slash at the end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Urls {
    pub(crate) entra: String,
    pub(crate) arm: String,
    /// GitHub and Azure DevOps; empty if there are none.
    pub(crate) platform: String,
    /// The machine on which pipelines run, without TLS; empty if there is none.
    pub(crate) machine: String,
}

/// Everything that services share.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) clock: Clock,
    /// The key by which Entra signs.
    pub(crate) key: Arc<SigningKey>,
    pub(crate) platform_keys: platform::Keys,
    pub(crate) issuers: Issuers,
    pub(crate) log: Log,
    pub(crate) urls: Urls,
    pub(crate) arm_audience: String,
    pub(crate) vault_audience: String,
    pub(crate) allow_loopback_issuers: bool,
    /// Makes signatures of poll URLs that nobody can guess.
    pub(crate) pepper: String,
    pub(crate) state: Mutex<State>,
    pub(crate) sky: Mutex<Sky>,
    /// By what one more vault is served.
    pub(crate) host: OnceLock<Weak<Host>>,
}

impl World {
    /// The state, locked. Never held while waiting.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// By what one more vault is served; none while the simulator ends.
    pub(crate) fn host(&self) -> Option<Arc<Host>> {
        self.host.get()?.upgrade()
    }

    /// The weather, locked. Never held while waiting.
    pub(crate) fn weather(&self) -> MutexGuard<'_, Sky> {
        self.sky.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A directory of this Entra.
    pub(crate) fn directory(&self, tenant: Uuid) -> Directory<'_> {
        Directory {
            tenant,
            authority: &self.urls.entra,
        }
    }

    /// Audiences of tokens for the resource manager.
    pub(crate) fn arm_audiences(&self) -> [String; 2] {
        // The classic one is still in use by older clients.
        [
            self.arm_audience.clone(),
            "https://management.core.windows.net".to_owned(),
        ]
    }
}
