//! Key Vault: secrets, read by those who may.

mod access;
mod error;

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::http::{Call, Reply};
use crate::state::{Secret, SecretVersion, State, Vault, key};
use crate::token::{self, TokenFault};
use crate::world::World;

use access::Right;
use error::Refusal;

/// Secrets on one page, unless the request asks for fewer.
const PAGE: usize = 25;

/// Answers one request to the vault with this key.
pub(crate) fn answer(world: &World, vault: &str, call: &Call) -> Reply {
    let mut state = world.state();
    if !state.vaults.contains_key(vault) {
        // A vault that was deleted has no address; this is as near as it gets.
        return Refusal::Gone.reply();
    }
    match route(world, &mut state, vault, call) {
        Ok(reply) => reply.with_header("strict-transport-security", "max-age=31536000;includeSubDomains"),
        Err(refusal) => refusal.reply(),
    }
}

fn route(world: &World, state: &mut State, vault_key: &str, call: &Call) -> Result<Reply, Refusal> {
    let tenant = state.tenant().id;
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
    let ask = access::Ask {
        state,
        vault_key,
        caller: &caller,
        call,
    };
    let segments: Vec<&str> = call.segments.iter().map(String::as_str).collect();
    match (&call.method, segments.as_slice()) {
        (&Method::GET, ["secrets"]) => {
            ask.require(Right::List, None)?;
            Ok(list(call, ask.vault()?))
        }
        (&Method::GET, ["secrets", name, "versions"]) => {
            ask.require(Right::List, Some(name))?;
            let vault = ask.vault()?;
            let secret = find(vault, name)?;
            let items = secret
                .versions
                .iter()
                .map(|version| item(vault, secret, version, true))
                .collect();
            Ok(Reply::ok(json!({"value": Value::Array(items), "nextLink": null})))
        }
        (&Method::GET, ["secrets", name]) => {
            ask.require(Right::Get, Some(name))?;
            read(ask.vault()?, name, None)
        }
        (&Method::GET, ["secrets", name, version]) => {
            ask.require(Right::Get, Some(name))?;
            read(ask.vault()?, name, Some(version))
        }
        (&Method::PUT, ["secrets", name]) => {
            ask.require(Right::Set, Some(name))?;
            set(state, vault_key, call, name)
        }
        (_, ["secrets", ..]) => Err(Refusal::Method(call.method.to_string())),
        _ => Err(Refusal::BadParameter(format!(
            "The simulator serves no operation at '{}'.",
            call.path
        ))),
    }
}

fn find<'a>(vault: &'a Vault, name: &str) -> Result<&'a Secret, Refusal> {
    vault
        .secrets
        .get(&key(name))
        .ok_or_else(|| Refusal::NotFound(name.to_owned()))
}

fn attributes(version: &SecretVersion) -> Value {
    json!({
        "enabled": version.enabled,
        "created": version.created / 1000,
        "updated": version.created / 1000,
        "recoveryLevel": "Recoverable+Purgeable",
        "recoverableDays": 90,
    })
}

fn item(vault: &Vault, secret: &Secret, version: &SecretVersion, versioned: bool) -> Value {
    let id = format!("{}secrets/{}", vault.uri, secret.name);
    let id = if versioned {
        format!("{id}/{}", version.id)
    } else {
        id
    };
    let mut item = json!({"id": id, "attributes": attributes(version)});
    if let Some(kind) = &version.content_type {
        item["contentType"] = kind.clone().into();
    }
    item
}

fn list(call: &Call, vault: &Vault) -> Reply {
    let from = call
        .parameter("$skiptoken")
        .and_then(|token| token.parse().ok())
        .unwrap_or(0);
    let size = call
        .parameter("maxresults")
        .and_then(|count| count.parse().ok())
        .unwrap_or(PAGE)
        .clamp(1, PAGE);
    let items: Vec<Value> = vault
        .secrets
        .values()
        .skip(from)
        .take(size)
        .filter_map(|secret| Some(item(vault, secret, secret.current()?, false)))
        .collect();
    let mut next = Value::Null;
    if from + size < vault.secrets.len() {
        let version = call.parameter("api-version").unwrap_or_default();
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("api-version", version);
        query.append_pair("$skiptoken", &(from + size).to_string());
        query.append_pair("maxresults", &size.to_string());
        next = format!("{}secrets?{}", vault.uri, query.finish()).into();
    }
    Reply::ok(json!({"value": items, "nextLink": next}))
}

fn read(vault: &Vault, name: &str, wanted: Option<&str>) -> Result<Reply, Refusal> {
    let secret = find(vault, name)?;
    let version = match wanted {
        None => secret.current(),
        Some(id) => secret
            .versions
            .iter()
            .find(|version| version.id.eq_ignore_ascii_case(id)),
    };
    let version = version.ok_or_else(|| Refusal::NotFound(name.to_owned()))?;
    if !version.enabled {
        return Err(Refusal::Disabled);
    }
    let mut body = item(vault, secret, version, true);
    body["value"] = version.value.clone().into();
    Ok(Reply::ok(body))
}

/// A new version.
fn set(state: &mut State, vault_key: &str, call: &Call, name: &str) -> Result<Reply, Refusal> {
    let proper =
        (1..=127).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let body: Value = serde_json::from_slice(&call.body).unwrap_or_default();
    let Some(value) = body["value"].as_str().filter(|_| proper) else {
        return Err(Refusal::BadParameter(
            "The request URI or body contains an invalid value.".to_owned(),
        ));
    };
    let version = SecretVersion {
        id: state
            .ids
            .next(&format!("secret/{vault_key}/{name}"))
            .simple()
            .to_string(),
        value: value.to_owned(),
        content_type: body["contentType"].as_str().map(str::to_owned),
        enabled: body["attributes"]["enabled"].as_bool().unwrap_or(true),
        created: call.now,
    };
    let vault = state.vaults.get_mut(vault_key).ok_or(Refusal::Gone)?;
    let fresh = || Secret {
        name: name.to_owned(),
        versions: Vec::new(),
    };
    let secret = vault.secrets.entry(key(name)).or_insert_with(fresh);
    secret.versions.push(version.clone());
    let secret = secret.clone();
    let mut body = item(vault, &secret, &version, true);
    body["value"] = version.value.into();
    Ok(Reply::json(StatusCode::OK, body))
}
