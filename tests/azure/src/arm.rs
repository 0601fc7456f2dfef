//! The resource manager: who calls, which operation, may they.

mod assignments;
mod clusters;
mod credentials;
mod definitions;
mod error;
mod governance;
pub(crate) mod graph;
mod groups;
mod identities;
mod operations;
mod page;
mod rights;
pub(crate) mod roles;
mod router;
mod vaults;

pub(crate) use rights::{Kind, allowed, denial};

use axum::http::Method;
use serde_json::Value;

use crate::clock::Millis;
use crate::http::{Call, Reply};
use crate::log::Service;
use crate::state::{State, within};
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
    /// Refuses unless the caller may do this there, and no lock forbids it to everybody.
    fn require(&self, state: &State, action: &str, scope: &str) -> Result<(), ArmError> {
        let caller = self.caller.object_id;
        match allowed(state, self.now, caller, Kind::Action, action, scope) {
            Some(_) => Self::check_locks(state, action, scope),
            None => Err(self.unauthorized(state, action, scope)),
        }
    }

    /// Which resources of a list the caller may see. Who may not read a whole subscription, but something in it, gets
    /// what it may read; who may read nothing, or not the group that it names, is refused.
    fn readable<'a>(
        &'a self,
        state: &'a State,
        action: &'a str,
        scope: &str,
    ) -> Result<impl Fn(&str) -> bool + 'a, ArmError> {
        let caller = self.caller.object_id;
        let may = move |id: &str| allowed(state, self.now, caller, Kind::Action, action, id).is_some();
        let whole = may(scope);
        let is_subscription = scope.matches('/').count() == 2;
        let mut own = state
            .assignments
            .seen(self.now)
            .filter(|one| one.principal_id == caller);
        let some = is_subscription && own.any(|one| within(&one.scope, scope));
        if !(whole || some) {
            return Err(self.unauthorized(state, action, scope));
        }
        Ok(move |id: &str| whole || may(id))
    }

    /// Why the caller may not do this there: a deny assignment, or no role.
    fn unauthorized(&self, state: &State, action: &str, scope: &str) -> ArmError {
        match rights::denial(state, self.caller.object_id, Kind::Action, action, scope) {
            Some(denial) => ArmError::denied(self.caller, action, scope, denial),
            None => ArmError::authorization(self.caller, action, scope),
        }
    }

    fn check_locks(state: &State, action: &str, scope: &str) -> Result<(), ArmError> {
        let verb = action.rsplit('/').next().unwrap_or_default();
        let locked = state.rules.locked(verb, scope);
        if locked.is_empty() {
            Ok(())
        } else {
            Err(ArmError::locked(verb, scope, &locked))
        }
    }

    /// Refuses if a policy denies this resource.
    fn check_policies(state: &State, kind: &str, id: &str, resource: &Value) -> Result<(), ArmError> {
        match state.rules.denied_by_policy(kind, id, resource) {
            None => Ok(()),
            Some(policy) => Err(ArmError::policy(id, policy)),
        }
    }

    /// The version of the interface that is asked for.
    fn version(&self) -> &str {
        self.call.parameter("api-version").unwrap_or_default()
    }

    /// The body as JSON.
    fn body(&self) -> Result<Value, ArmError> {
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
    let spent = world.weather().spend(Service::Arm, call, caller.object_id);
    let ask = Ask {
        world,
        call,
        caller: &caller,
        now: call.now,
    };
    let reply = match spent.refusal {
        Some(refusal) => refusal,
        None => router::route(ask).await.unwrap_or_else(ArmError::into_reply),
    };
    // No POST of this slice changes what is indexed, and queries bring the index up to date themselves.
    if [Method::PUT, Method::PATCH, Method::DELETE].contains(&call.method) {
        graph::index(world, world.clock.now());
    }
    let left = spent.left.into_iter();
    left.fold(reply, |reply, (header, left)| reply.with_header(header, left))
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
