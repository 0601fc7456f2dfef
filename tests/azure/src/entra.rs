//! Entra: discovery, keys and the token endpoint.

mod assertion;
mod certificate;
mod error;
pub(crate) mod issuers;
mod token;

use axum::http::{Method, StatusCode};
use serde_json::json;
use uuid::Uuid;

use crate::http::{Call, Reply};
use crate::state::State;
use crate::world::World;

pub(crate) use certificate::Certificate;
use error::Refusal;
pub(crate) use error::outage;

/// The audience of tokens for a resource that the directory knows; none if it knows none.
pub(crate) fn audience(world: &World, tenant: Uuid, resource: &str) -> Option<String> {
    token::audience(world, tenant, resource).ok()
}

/// Answers one request.
pub(crate) async fn answer(world: &World, call: &Call) -> Reply {
    let segments: Vec<&str> = call.segments.iter().map(String::as_str).collect();
    let published = |tenant: &str, document: fn(&World, Uuid) -> Reply| {
        let tenant = tenant_of(&world.state(), tenant);
        tenant.map_or_else(|refusal| refusal.reply(call), |tenant| document(world, tenant))
    };
    match (&call.method, segments.as_slice()) {
        (&Method::POST, [tenant, "oauth2", "v2.0", "token"]) => {
            let answer = token::answer(world, call, tenant).await;
            answer.unwrap_or_else(|refusal| refusal.reply(call))
        }
        (&Method::GET, [tenant, "v2.0", ".well-known", "openid-configuration"]) => {
            published(tenant, discovery)
        }
        // For who takes tokens of version 1.0, whose issuer is named otherwise.
        (&Method::GET, [tenant, ".well-known", "openid-configuration"]) => {
            published(tenant, discovery_of_version_1)
        }
        (&Method::GET, [tenant, "discovery", "keys"] | [tenant, "discovery", "v2.0", "keys"]) => {
            published(tenant, keys)
        }
        (&Method::GET, ["common", "discovery", "instance"]) => instance_discovery(world, call),
        (_, [_, "oauth2", "v2.0", "token"]) => Refusal::Method.reply(call),
        _ => Reply::html(
            StatusCode::NOT_FOUND,
            "<html><body>Not found</body></html>".to_owned(),
        ),
    }
}

/// By what tokens of every tenant are signed.
fn keys(world: &World, _tenant: Uuid) -> Reply {
    Reply::ok(json!({"keys": [world.key.jwk()]}))
}

/// The tenant with that id, if it is one.
fn tenant_of(state: &State, given: &str) -> Result<Uuid, Refusal> {
    let Ok(id) = Uuid::parse_str(given) else {
        // A verified domain would do as well; this directory has none.
        return Err(if given.contains('.') {
            Refusal::TenantNotFound(given.to_owned())
        } else {
            Refusal::TenantInvalid(given.to_owned())
        });
    };
    if id.is_nil() {
        return Err(Refusal::TenantEmpty(given.to_owned()));
    }
    match state.tenants.iter().find(|tenant| tenant.id == id) {
        None => Err(Refusal::TenantNotFound(given.to_owned())),
        Some(tenant) => match &tenant.national_cloud {
            None => Ok(id),
            Some(cloud) => Err(Refusal::OtherCloud(given.to_owned(), cloud.clone())),
        },
    }
}

fn discovery(world: &World, tenant: Uuid) -> Reply {
    let base = format!("{}{tenant}", world.urls.entra);
    Reply::ok(json!({
        "issuer": format!("{base}/v2.0"),
        "token_endpoint": format!("{base}/oauth2/v2.0/token"),
        "authorization_endpoint": format!("{base}/oauth2/v2.0/authorize"),
        "device_authorization_endpoint": format!("{base}/oauth2/v2.0/devicecode"),
        "jwks_uri": format!("{base}/discovery/v2.0/keys"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
        "response_types_supported": ["code", "id_token"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "tenant_region_scope": "EU",
        "cloud_instance_name": world.urls.entra.trim_start_matches("https://").trim_end_matches('/'),
    }))
}

fn discovery_of_version_1(world: &World, tenant: Uuid) -> Reply {
    let base = format!("{}{tenant}", world.urls.entra);
    Reply::ok(json!({
        "issuer": crate::token::issuer(tenant),
        "token_endpoint": format!("{base}/oauth2/token"),
        "authorization_endpoint": format!("{base}/oauth2/authorize"),
        "jwks_uri": format!("{base}/discovery/keys"),
        "response_types_supported": ["code", "id_token"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
    }))
}

/// Which hosts are one cloud; asked by clients that were not told that the authority is trusted.
fn instance_discovery(world: &World, call: &Call) -> Reply {
    let endpoint = call.parameter("authorization_endpoint").unwrap_or_default();
    let Some(tenant) = endpoint
        .strip_prefix(&world.urls.entra)
        .and_then(|rest| rest.split('/').next())
    else {
        return Refusal::UnknownInstance.reply(call);
    };
    let host = world
        .urls
        .entra
        .trim_start_matches("https://")
        .trim_end_matches('/');
    Reply::ok(json!({
        "tenant_discovery_endpoint": format!("{}{tenant}/v2.0/.well-known/openid-configuration", world.urls.entra),
        "api-version": "1.1",
        "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}],
    }))
}
