//! What the services share: state, keys, time, weather and log.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clock::Clock;
use crate::entra::issuers::Issuers;
use crate::faults::Sky;
use crate::jwt::SigningKey;
use crate::log::Log;
use crate::state::State;

/// Where the services are, each with a slash at the end.
#[derive(Debug, Clone)]
pub(crate) struct Urls {
    pub(crate) entra: String,
    pub(crate) arm: String,
}

/// Everything that services share.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) clock: Clock,
    pub(crate) key: SigningKey,
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
}

impl World {
    /// The state, locked. Never held while waiting.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The weather, locked. Never held while waiting.
    pub(crate) fn weather(&self) -> MutexGuard<'_, Sky> {
        self.sky.lock().unwrap_or_else(PoisonError::into_inner)
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
