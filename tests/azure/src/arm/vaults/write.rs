//! Vaults and their secrets, written through the resource manager.

use std::net::IpAddr;

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::Ask;
use super::super::error::ArmError;
use super::super::groups::{location, tags};
use super::super::router::Place;
use super::{KIND, document, find, secret_document};
use crate::http::Reply;
use crate::seed;
use crate::state::{Vault, key};

/// The first version in which roles rule a vault that does not say.
const ROLES_BY_DEFAULT: &str = "2026-02-01";
const SECRETS: &str = "Microsoft.KeyVault/vaults/secrets";

fn invalid(message: impl Into<String>) -> ArmError {
    ArmError::bad_request("BadRequest", message)
}

/// Makes a vault, or puts all its settings in the place of those it has: what is left out goes back to its default.
pub(in super::super) fn put(ask: Ask<'_>, place: Place<'_>) -> Result<Reply, ArmError> {
    let (id, body) = (place.id(KIND), ask.body()?);
    let known = {
        let state = ask.world.state();
        ask.require(&state, &format!("{KIND}/write"), &id)?;
        place.require_group(&state)?;
        Ask::check_policies(&state, KIND, &id, &body)?;
        check_name(place.name)?;
        let taken = |one: &Vault| one.name.eq_ignore_ascii_case(place.name) && key(&one.id) != key(&id);
        if state.vaults.values().any(taken) {
            let message = format!("The vault name '{}' is already in use.", place.name);
            return Err(ArmError::conflict("VaultAlreadyExists", message));
        }
        state.vaults.contains_key(&key(&id))
    };
    let location = location(&body)?;
    let properties = &body["properties"];
    if properties["tenantId"]
        .as_str()
        .and_then(|id| Uuid::parse_str(id).ok())
        .is_none()
    {
        return Err(invalid("tenantId is required and must be a GUID."));
    }
    if !known {
        let fresh = json!({
            "subscription": place.subscription, "resourceGroup": place.group, "name": place.name, "location": location,
        });
        let fresh: seed::Vault = serde_json::from_value(fresh).map_err(|error| invalid(error.to_string()))?;
        let host = ask.world.host().ok_or_else(|| ArmError::path(&ask.call.path))?;
        host.add_vault(&fresh, ask.now)
            .map_err(|error| invalid(error.to_string()))?;
    }
    let mut settings = properties.clone();
    if settings["enableRbacAuthorization"].is_null() {
        settings["enableRbacAuthorization"] = (ask.version() >= ROLES_BY_DEFAULT).into();
    }
    for (field, value) in [
        ("networkAcls", json!({"defaultAction": "Allow"})),
        ("accessPolicies", json!([])),
    ] {
        if settings[field].is_null() {
            settings[field] = value;
        }
    }
    settings["tags"] = json!(tags(&body)?);
    let status = if known {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    apply(ask, &id, &settings, status)
}

/// Changes the settings that are given.
pub(in super::super) fn patch(ask: Ask<'_>, place: Place<'_>) -> Result<Reply, ArmError> {
    let body = ask.body()?;
    find(ask, &ask.world.state(), place, "write")?;
    let mut settings = body["properties"].clone();
    if !body["tags"].is_null() {
        settings["tags"] = json!(tags(&body)?);
    }
    apply(ask, &place.id(KIND), &settings, StatusCode::OK)
}

pub(in super::super) fn delete(ask: Ask<'_>, place: Place<'_>) -> Result<Reply, ArmError> {
    let mut state = ask.world.state();
    let id = place.id(KIND);
    ask.require(&state, &format!("{KIND}/delete"), &id)?;
    Ok(Reply::empty(if state.delete(&id) {
        StatusCode::OK
    } else {
        StatusCode::NO_CONTENT
    }))
}

/// Whether a name is free, over all that there is.
pub(in super::super) fn check_availability(ask: Ask<'_>) -> Result<Reply, ArmError> {
    let body = ask.body()?;
    let name = body["name"].as_str().unwrap_or_default();
    if let Err(error) = check_name(name) {
        let message = error.message();
        return Ok(Reply::ok(
            json!({"nameAvailable": false, "reason": "AccountNameInvalid", "message": message}),
        ));
    }
    let state = ask.world.state();
    let taken = state
        .vaults
        .values()
        .any(|one| one.name.eq_ignore_ascii_case(name));
    let message = format!("The vault name '{name}' is already in use.");
    Ok(Reply::ok(if taken {
        json!({"nameAvailable": false, "reason": "AlreadyExists", "message": message})
    } else {
        json!({"nameAvailable": true})
    }))
}

/// A secret: PUT makes it or a new version, PATCH a new version or other settings.
pub(in super::super) fn secret(ask: Ask<'_>, place: Place<'_>, name: &str) -> Result<Reply, ArmError> {
    let body = ask.body()?;
    let mut state = ask.world.state();
    find(ask, &state, place, "secrets/write")?;
    let vault = key(&place.id(KIND));
    let known = state
        .vaults
        .get(&vault)
        .is_some_and(|vault| vault.secrets.contains_key(&key(name)));
    let (properties, put) = (&body["properties"], ask.call.method == Method::PUT);
    let mut settings = json!({});
    let attributes = &properties["attributes"];
    let fields = [
        ("value", &properties["value"]),
        ("enabled", &attributes["enabled"]),
        ("notBefore", &attributes["nbf"]),
        ("expires", &attributes["exp"]),
    ];
    for (field, value) in fields {
        if !value.is_null() {
            settings[field] = value.clone();
        }
    }
    let changed = if known {
        state.change(&format!("{vault}/secrets/{name}"), &settings, ask.now)
    } else if put {
        settings["name"] = name.into();
        if settings["value"].is_null() {
            settings["value"] = "".into();
        }
        state.change(&vault, &json!({"secrets": [settings]}), ask.now)
    } else {
        let name = format!("{}/{name}", place.name);
        return Err(ArmError::resource(SECRETS, &name, place.group));
    };
    changed.map_err(|error| invalid(error.to_string()))?;
    let missing = || ArmError::resource(KIND, place.name, place.group);
    let vault = state.vaults.get(&vault).ok_or_else(missing)?;
    let secret = vault.secrets.get(&key(name)).ok_or_else(missing)?;
    let status = if known {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    Ok(Reply::json(status, secret_document(vault, secret)))
}

/// Applies settings as the interface names them.
fn apply(ask: Ask<'_>, id: &str, settings: &Value, status: StatusCode) -> Result<Reply, ArmError> {
    let mut change = json!({});
    for field in ["tags", "enableRbacAuthorization", "publicNetworkAccess"] {
        if !settings[field].is_null() {
            change[field] = settings[field].clone();
        }
    }
    if let Some(policies) = settings["accessPolicies"].as_array() {
        let policy = |policy: &Value| {
            let secrets = policy["permissions"]["secrets"].as_array().cloned();
            json!({"principal": policy["objectId"], "secrets": secrets.unwrap_or_default()})
        };
        change["accessPolicies"] = policies.iter().map(policy).collect();
    }
    if let Some(action) = settings["networkAcls"]["defaultAction"].as_str() {
        let rules = settings["networkAcls"]["ipRules"].as_array();
        let rules: Result<Vec<IpAddr>, ArmError> = rules.into_iter().flatten().map(address).collect();
        change["allowedIps"] = if action.eq_ignore_ascii_case("deny") {
            json!(rules?)
        } else {
            Value::Null
        };
    }
    let tenant = settings["tenantId"]
        .as_str()
        .and_then(|id| Uuid::parse_str(id).ok());
    let mut state = ask.world.state();
    if let Some(tenant) = tenant {
        change["tenant"] = json!(tenant);
    }
    state
        .change(id, &change, ask.now)
        .map_err(|error| invalid(error.to_string()))?;
    let reply = state.vaults.get(&key(id)).map(|vault| document(&state, vault));
    Ok(Reply::json(status, reply.unwrap_or_default()))
}

/// The address of a network rule: one address alone is understood, no range.
fn address(rule: &Value) -> Result<IpAddr, ArmError> {
    let text = rule["value"].as_str().unwrap_or_default();
    let alone = text.strip_suffix("/32").unwrap_or(text);
    alone
        .parse()
        .map_err(|_| invalid(format!("The simulator understands no network rule '{text}'.")))
}

fn check_name(name: &str) -> Result<(), ArmError> {
    let proper = (3..=24).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.ends_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && !name.contains("--");
    if proper {
        return Ok(());
    }
    let message = format!(
        "The vault name '{name}' is invalid. A vault's name must be between 3-24 alphanumeric characters. The name must \
         begin with a letter, end with a letter or digit, and not contain consecutive hyphens."
    );
    Err(ArmError::bad_request("VaultNameNotValid", message))
}
