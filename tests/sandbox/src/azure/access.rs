//! How the operator of a sandbox gets at its simulated Azure.

use std::net::{Ipv4Addr, SocketAddrV4};

use serde::{Deserialize, Serialize};

use crate::environment;
use crate::files::{self, FileError};
use crate::spec::Spec;
use crate::state::StateDir;

/// Where to sign in, as whom, and where the resources are. Holds a secret, so it cannot be shown.
#[derive(Clone, Serialize, Deserialize)]
pub struct Access {
    /// Entra.
    pub entra: SocketAddrV4,
    /// The resource manager.
    pub arm: SocketAddrV4,
    /// The tenant.
    pub tenant_id: String,
    /// The first subscription.
    pub subscription_id: String,
    /// The operator.
    pub client_id: String,
    /// The operator's client secret.
    pub client_secret: String,
}

impl Access {
    /// To whatever simulated Azure is in this folder, beside clusters or alone.
    pub fn of(state: &StateDir) -> Result<Self, FileError> {
        match files::read_json::<Spec>(&state.spec()) {
            Err(error) if error.is_missing() => files::read_json(&state.azure_access()),
            spec => Ok(Self::of_spec(&spec?)),
        }
    }

    /// To that of a sandbox with clusters.
    pub fn of_spec(spec: &Spec) -> Self {
        let https = |address: Ipv4Addr| SocketAddrV4::new(address, 443);
        Self {
            entra: https(spec.range.entra()),
            arm: https(spec.range.arm()),
            tenant_id: spec.tenant_id(),
            subscription_id: spec.subscription_id(),
            client_id: spec.operator_client_id(),
            client_secret: environment::operator_secret(spec),
        }
    }
}

/// The URL of a service, which names the port only where it is not that of https.
pub fn url(address: SocketAddrV4) -> String {
    if address.port() == 443 {
        format!("https://{}/", address.ip())
    } else {
        format!("https://{address}/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_of_https_is_not_named() {
        let address = |port| SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        assert_eq!(url(address(443)), "https://127.0.0.1/");
        assert_eq!(url(address(8443)), "https://127.0.0.1:8443/");
    }
}
