//! What a workload does with its projected token, step by step and written down: the token exchange with Entra,
//! the reading of a secret, and the record of both.
//!
//! The same code runs in a pod (the `wi-probe` binary) and on the operator's machine. It depends on no kube
//! client. Tokens and secret values never enter a record, an error or a `Debug` text.

pub mod discovery;
pub mod exchange;
pub mod jwt;
pub mod probe;
pub mod record;
pub mod secret;
pub mod transport;

pub use exchange::{AccessToken, EntraRefusal, ExchangeError, ExchangeRequest, exchange};
pub use probe::{TokenSource, probe};
pub use record::{ProbeInput, ProbeRecord};
pub use secret::SecretOutcome;
