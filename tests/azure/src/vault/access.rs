//! Who may do what in a vault: network first, then roles or access policies.

use super::error::Refusal;
use crate::arm::{Kind, allowed, denial};
use crate::http::Call;
use crate::state::{State, Vault};
use crate::token::Caller;

/// What a caller wants to do with secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Right {
    Get,
    List,
    Set,
    Update,
    Delete,
    Recover,
    Purge,
}

impl Right {
    fn data_action(self) -> &'static str {
        match self {
            Self::Get => "Microsoft.KeyVault/vaults/secrets/getSecret/action",
            Self::List => "Microsoft.KeyVault/vaults/secrets/readMetadata/action",
            Self::Set => "Microsoft.KeyVault/vaults/secrets/setSecret/action",
            Self::Update => "Microsoft.KeyVault/vaults/secrets/update/action",
            Self::Delete => "Microsoft.KeyVault/vaults/secrets/delete",
            Self::Recover => "Microsoft.KeyVault/vaults/secrets/recover/action",
            Self::Purge => "Microsoft.KeyVault/vaults/secrets/purge/action",
        }
    }

    fn permission(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            // Access policies know no right to update: who may write a secret may change its settings.
            Self::Set | Self::Update => "set",
            Self::Delete => "delete",
            Self::Recover => "recover",
            Self::Purge => "purge",
        }
    }
}

/// Somebody with a valid token asks a vault.
pub(super) struct Ask<'a> {
    pub(super) state: &'a State,
    pub(super) vault_key: &'a str,
    pub(super) caller: &'a Caller,
    pub(super) call: &'a Call,
}

impl Ask<'_> {
    /// The vault.
    pub(super) fn vault(&self) -> Result<&Vault, Refusal> {
        self.state.vaults.get(self.vault_key).ok_or(Refusal::Gone)
    }

    /// Refuses unless the caller may do this with the secret, or with the whole vault.
    /// What comes back is the id of the role assignment by which it may, where roles rule.
    pub(super) fn require(&self, right: Right, secret: Option<&str>) -> Result<Option<String>, Refusal> {
        let vault = self.vault()?;
        let who = format!(
            "appid={};oid={};iss={}",
            self.caller.client_id, self.caller.object_id, self.caller.issuer
        );
        let place = format!("{};location={}", vault.name, vault.location);
        if !vault.public_network_access {
            return Err(Refusal::Connection { place });
        }
        if vault
            .allowed_ips
            .as_ref()
            .is_some_and(|allowed| !allowed.contains(&self.call.peer))
        {
            return Err(Refusal::Firewall {
                address: self.call.peer,
                who,
                place,
            });
        }
        if vault.rbac {
            self.by_role(vault, right, secret, who, place)
        } else {
            self.by_policy(vault, right, who, place)
        }
    }

    fn by_role(
        &self,
        vault: &Vault,
        right: Right,
        secret: Option<&str>,
        who: String,
        place: String,
    ) -> Result<Option<String>, Refusal> {
        let scope = match secret {
            Some(name) => format!("{}/secrets/{name}", vault.id),
            None => vault.id.clone(),
        };
        let action = right.data_action();
        let found = allowed(
            self.state,
            self.call.now,
            self.caller.object_id,
            Kind::DataAction,
            action,
            &scope,
        );
        if let Some(assignment) = found {
            return Ok(Some(assignment.name.replace('-', "")));
        }
        let (caller, state) = (self.caller.object_id, self.state);
        let denial = denial(state, caller, Kind::DataAction, action, &scope);
        Err(Refusal::Rbac {
            who,
            action,
            resource: scope.to_lowercase(),
            place,
            denial: denial.map(|denial| denial.id),
        })
    }

    fn by_policy(
        &self,
        vault: &Vault,
        right: Right,
        who: String,
        place: String,
    ) -> Result<Option<String>, Refusal> {
        let permission = right.permission();
        let permissions = vault.access_policies.get(&self.caller.object_id);
        let granted = permissions
            .is_some_and(|permissions| permissions.iter().any(|one| one == permission || one == "all"));
        if granted {
            Ok(None)
        } else {
            Err(Refusal::Policy {
                who,
                permission,
                place,
            })
        }
    }
}
