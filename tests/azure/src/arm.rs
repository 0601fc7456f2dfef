//! The resource manager: who calls, which operation, may they.

mod assignments;
mod clusters;
mod credentials;
mod definitions;
mod error;
mod graph;
mod groups;
mod identities;
mod page;
mod rights;
pub(crate) mod roles;
mod router;
mod vaults;

pub(crate) use rights::{Kind, allowed};

use crate::budget::Spent;
use crate::clock::Millis;
use crate::http::{Call, Reply};
use crate::state::State;
use crate::token::{self, Caller, TokenFault};
use crate::world::World;

use error::ArmError;

/// One request of somebody who is known.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) world: &'a World,
    pub(crate) call: &'a Call,
    pub(crate) caller: &'a Caller,
    pub(crate) now: Millis,
}

impl Ask<'_> {
    /// Refuses unless the caller may do this there.
    fn require(&self, state: &State, action: &str, scope: &str) -> Result<(), ArmError> {
        match allowed(
            state,
            self.now,
            self.caller.object_id,
            Kind::Action,
            action,
            scope,
        ) {
            Some(_) => Ok(()),
            None => Err(ArmError::authorization(self.caller, action, scope)),
        }
    }

    /// The body as JSON.
    fn body(&self) -> Result<serde_json::Value, ArmError> {
        serde_json::from_slice(&self.call.body).map_err(|error| {
            let message =
                format!("The request content was invalid and could not be deserialized: '{error}'.");
            ArmError::bad_request("InvalidRequestContent", message)
        })
    }
}

/// Answers one request.
pub(crate) async fn answer(world: &World, call: &Call) -> Reply {
    let caller = match authenticate(world, call) {
        Ok(caller) => caller,
        Err(error) => return error.into_reply(),
    };
    let spent = world.weather().spend(call, caller.object_id);
    let left = match spent {
        Some(Spent::Over(refusal)) => return refusal,
        Some(Spent::Within(header, left)) => Some((header, left)),
        None => None,
    };
    let ask = Ask {
        world,
        call,
        caller: &caller,
        now: call.now,
    };
    let reply = router::route(ask).await.unwrap_or_else(ArmError::into_reply);
    match left {
        Some((header, left)) => reply.with_header(header, left.to_string()),
        None => reply,
    }
}

fn authenticate(world: &World, call: &Call) -> Result<Caller, ArmError> {
    let tenant = world.state().tenant().id;
    let fail = |code: &'static str, message: &str| {
        ArmError::unauthenticated(&format!("{}{tenant}", world.urls.entra), code, message.to_owned())
    };
    let Some(text) = call.bearer() else {
        let message = "Authentication failed. The 'Authorization' header is missing.";
        return Err(fail("AuthenticationFailed", message));
    };
    token::accept(&world.key, call.now, tenant, &world.arm_audiences(), text).map_err(|fault| match fault {
        TokenFault::Malformed => fail("InvalidAuthenticationToken", "The access token is invalid."),
        TokenFault::Signature => {
            fail("InvalidAuthenticationToken", "The access token is invalid: its signature cannot be verified.")
        }
        TokenFault::Expired => fail("ExpiredAuthenticationToken", "The access token has expired."),
        TokenFault::Audience(found) => {
            let message = format!(
                "The access token has been obtained for wrong audience or resource '{found}'. It should exactly \
                 match with one of the allowed audiences '{}/','{}'.",
                world.arm_audience, world.arm_audience
            );
            fail("InvalidAuthenticationTokenAudience", &message)
        }
        TokenFault::Tenant(found) => {
            let message = format!(
                "The access token is from the wrong issuer '{}'. It must match one of the tenants '{}' associated \
                 with this subscription.",
                found,
                token::issuer(tenant)
            );
            fail("InvalidAuthenticationTokenTenant", &message)
        }
    })
}
