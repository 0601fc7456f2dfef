//! A machine with managed identities: the endpoint of App Service and that of virtual machines.
//!
//! <https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference> and
//! <https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token>.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::entra;
use crate::http::{Call, Reply};
use crate::state::{Principal, State};
use crate::token::{self, Proof};
use crate::world::World;

/// Which of the two endpoints was asked; they differ in their refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    AppService,
    VirtualMachine,
}

/// Answers one request to the machine.
pub(crate) fn answer(world: &World, call: &Call) -> Reply {
    let segments: Vec<&str> = call.segments.iter().map(String::as_str).collect();
    let endpoint = match (&call.method, segments.as_slice()) {
        (&Method::GET, ["msi", "token"]) => Endpoint::AppService,
        (&Method::GET, ["metadata", "identity", "oauth2", "token"]) => Endpoint::VirtualMachine,
        _ => return Reply::empty(StatusCode::NOT_FOUND),
    };
    token(world, call, endpoint).unwrap_or_else(|(status, message)| refusal(endpoint, status, &message))
}

type Refused = (StatusCode, String);

fn bad(message: &str) -> Refused {
    (StatusCode::BAD_REQUEST, message.to_owned())
}

fn token(world: &World, call: &Call, endpoint: Endpoint) -> Result<Reply, Refused> {
    let state = world.state();
    match endpoint {
        Endpoint::AppService => {
            let given = call.header("x-identity-header");
            if given.is_none() || given != state.running.identity_header.as_deref() {
                return Err((
                    StatusCode::UNAUTHORIZED,
                    "The X-IDENTITY-HEADER is not valid.".to_owned(),
                ));
            }
        }
        Endpoint::VirtualMachine => {
            // Keeps requests out that somebody was talked into making.
            let metadata = call
                .header("metadata")
                .is_some_and(|value| value.eq_ignore_ascii_case("true"));
            if !metadata || call.header("x-forwarded-for").is_some() {
                return Err(bad("Required metadata header not specified"));
            }
        }
    }
    call.parameter("api-version")
        .ok_or_else(|| bad("Required query variable 'api-version' is missing"))?;
    let resource = call
        .parameter("resource")
        .ok_or_else(|| bad("Required query variable 'resource' is missing"))?;
    let principal = identity(&state, call, endpoint)?;
    let tenant = state.tenant().id;
    drop(state);
    let Some(audience) = entra::audience(world, tenant, resource) else {
        let message = format!(
            "AADSTS500011: The resource principal named {resource} was not found in the tenant named {tenant}."
        );
        return Err(bad(&message));
    };
    let now = call.now;
    let issued = token::issue(
        &world.key,
        now,
        world.directory(tenant),
        &principal,
        &audience,
        Proof::Machine,
    )
    .map_err(|_| (StatusCode::INTERNAL_SERVER_ERROR, "no token".to_owned()))?;
    let lifetime = token::lifetime(&principal);
    let mut body = json!({
        "access_token": issued,
        "client_id": principal.client_id,
        // Seconds since the epoch, as text at both endpoints.
        "expires_on": (now / 1000 + lifetime).to_string(),
        "resource": resource,
        "token_type": "Bearer",
    });
    if endpoint == Endpoint::VirtualMachine {
        body["expires_in"] = Value::from((lifetime - 1).to_string());
        body["ext_expires_in"] = Value::from((lifetime - 1).to_string());
        body["not_before"] = Value::from((now / 1000).to_string());
    }
    Ok(Reply::ok(body))
}

/// The identity that is asked for; the only one if none is.
fn identity(state: &State, call: &Call, endpoint: Endpoint) -> Result<Principal, Refused> {
    let assigned: Vec<Principal> = state
        .principals()
        .filter(|principal| principal.managed_identity.is_some())
        .filter(|principal| state.running.machine.contains(&principal.name))
        .collect();
    // A parameter of the other endpoint is one that this endpoint does not know.
    let known = match endpoint {
        Endpoint::AppService => ["client_id", "object_id", "principal_id", "mi_res_id"],
        Endpoint::VirtualMachine => ["client_id", "object_id", "msi_res_id", "mi_res_id"],
    };
    let wanted = known
        .into_iter()
        .find_map(|name| Some((name, call.parameter(name)?)));
    let is = |principal: &Principal, (name, value): (&str, &str)| {
        let id = Uuid::parse_str(value).ok();
        match name {
            "client_id" => id == Some(principal.client_id),
            "object_id" | "principal_id" => id == Some(principal.object_id),
            _ => principal
                .managed_identity
                .as_ref()
                .is_some_and(|own| own.eq_ignore_ascii_case(value)),
        }
    };
    match (wanted, assigned.as_slice()) {
        (Some(wanted), _) => assigned
            .iter()
            .find(|principal| is(principal, wanted))
            .cloned()
            .ok_or_else(|| bad("Identity not found")),
        (None, [only]) => Ok(only.clone()),
        (None, []) => Err(bad("Identity not found")),
        (None, _) => Err(bad(
            "Multiple user assigned identities exist, please specify the clientId / resourceId of the identity in the token request",
        )),
    }
}

fn refusal(endpoint: Endpoint, status: StatusCode, message: &str) -> Reply {
    let body = match endpoint {
        Endpoint::AppService => json!({"statusCode": status.as_u16(), "message": message}),
        Endpoint::VirtualMachine => json!({"error": "invalid_request", "error_description": message}),
    };
    Reply::json(status, body).with_code("invalid_request")
}
