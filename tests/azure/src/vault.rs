//! Key Vault: who asks, and may they.

mod access;
mod error;
mod secrets;

use crate::http::{Call, Reply};
use crate::log::Service;
use crate::state::State;
use crate::token::{self, TokenFault};
use crate::world::World;

use error::Refusal;
use secrets::Operation;

/// Answers one request to the vault with this key.
pub(crate) fn answer(world: &World, vault: &str, call: &Call) -> Reply {
    let mut state = world.state();
    if !state.vaults.contains_key(vault) {
        // A vault that was deleted has no address; this is as near as it gets.
        return Refusal::Gone.reply();
    }
    let region = state
        .vaults
        .get(vault)
        .map(|vault| vault.location.clone())
        .unwrap_or_default();
    let kind = if call.peer.is_ipv4() { "Ipv4" } else { "Ipv6" };
    let network = format!("conn_type={kind};addr={};act_addr_fam=InterNetwork;", call.peer);
    let reply = route(world, &mut state, vault, call).unwrap_or_else(|refusal| refusal.reply());
    reply
        .with_header("x-ms-keyvault-region", region)
        .with_header("x-ms-keyvault-network-info", network)
        .with_header("strict-transport-security", "max-age=31536000;includeSubDomains")
}

fn route(world: &World, state: &mut State, vault_key: &str, call: &Call) -> Result<Reply, Refusal> {
    let tenant = state.vaults.get(vault_key).and_then(|vault| vault.tenant);
    let tenant = tenant.unwrap_or(state.tenant().id);
    let unauthorized = |message: String| Refusal::Unauthorized {
        authority: format!("{}{tenant}", world.urls.entra),
        resource: world.vault_audience.clone(),
        message,
    };
    let text = call
        .bearer()
        .ok_or_else(|| unauthorized("AKV10000: Request is missing a Bearer or PoP token.".to_owned()))?;
    let audiences = std::slice::from_ref(&world.vault_audience);
    let caller = token::accept(&world.key, call.now, tenant, audiences, text).map_err(|fault| {
        unauthorized(match fault {
            TokenFault::Malformed | TokenFault::Signature => {
                "AKV10001: Error validating token: its signature or form is not valid.".to_owned()
            }
            TokenFault::Expired => "AKV10001: Error validating token: it has expired.".to_owned(),
            TokenFault::Audience(found) => format!(
                "AKV10022: Invalid audience. Expected {}, found: {found}.",
                world.vault_audience
            ),
            TokenFault::Tenant(found) => {
                format!("AKV10032: Invalid issuer. Expected tenant {tenant}, found tenant {found}.")
            }
        })
    })?;
    if call.parameter("api-version").is_none_or(str::is_empty) {
        return Err(Refusal::BadParameter("api-version must be specified".to_owned()));
    }
    let spent = world.weather().spend(Service::Vault, call, caller.object_id);
    if let Some(refusal) = spent.refusal {
        return Ok(refusal);
    }
    let ask = access::Ask {
        state,
        vault_key,
        caller: &caller,
        call,
    };
    let operation = Operation::of(call)?;
    let assignment = ask.require(operation.right(), operation.secret())?;
    let reply = operation.perform(state, vault_key, call)?;
    Ok(match assignment {
        Some(id) => reply.with_header("x-ms-keyvault-rbac-assignment-id", id),
        None => reply,
    })
}
