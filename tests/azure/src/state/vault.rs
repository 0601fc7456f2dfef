//! Key vaults and what is in them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use uuid::Uuid;

use super::{Tags, key};
use crate::clock::Millis;

/// A key vault.
#[derive(Debug, Clone)]
pub(crate) struct Vault {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) location: String,
    pub(crate) tags: Tags,
    /// Whose tokens it takes, if not those of the tenant of everything else.
    pub(crate) tenant: Option<Uuid>,
    pub(crate) address: SocketAddr,
    /// With a trailing slash, as Azure answers it.
    pub(crate) uri: String,
    pub(crate) rbac: bool,
    pub(crate) public_network_access: bool,
    pub(crate) allowed_ips: Option<Vec<IpAddr>>,
    /// By object id: permissions to secrets, in lower case.
    pub(crate) access_policies: BTreeMap<Uuid, Vec<String>>,
    pub(crate) secrets: BTreeMap<String, Secret>,
    pub(crate) deleted: BTreeMap<String, Deleted>,
}

/// Whether the public may connect, as the resource provider says it.
pub(super) fn is_enabled(public_network_access: &str) -> bool {
    !public_network_access.eq_ignore_ascii_case("disabled")
}

/// A secret that was deleted and can be brought back.
#[derive(Debug, Clone)]
pub(crate) struct Deleted {
    pub(crate) secret: Secret,
    pub(crate) at: Millis,
}

impl Vault {
    /// The secret of this name; made without a version if it is not there.
    pub(crate) fn secret(&mut self, name: &str) -> &mut Secret {
        self.secrets.entry(key(name)).or_insert_with(|| Secret {
            name: name.to_owned(),
            versions: Vec::new(),
        })
    }
}

/// A secret; the last version is the current one.
#[derive(Debug, Clone)]
pub(crate) struct Secret {
    pub(crate) name: String,
    pub(crate) versions: Vec<SecretVersion>,
}

impl Secret {
    /// The current version.
    pub(crate) fn current(&self) -> Option<&SecretVersion> {
        self.versions.last()
    }
}

/// One version of a secret.
#[derive(Clone)]
pub(crate) struct SecretVersion {
    pub(crate) id: String,
    pub(crate) value: String,
    pub(crate) content_type: Option<String>,
    pub(crate) tags: Tags,
    pub(crate) enabled: bool,
    /// Seconds since the Unix epoch.
    pub(crate) not_before: Option<i64>,
    pub(crate) expires: Option<i64>,
    pub(crate) created: Millis,
    pub(crate) updated: Millis,
}

impl std::fmt::Debug for SecretVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretVersion")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
