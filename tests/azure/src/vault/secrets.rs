//! What is done with secrets: read, listed, written, deleted and brought back.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::access::Right;
use super::error::Refusal;
use crate::http::{Call, Reply};
use crate::state::{Deleted, Secret, SecretVersion, State, Vault, key};

/// Secrets on one page, unless the request asks for fewer.
const PAGE: usize = 25;
/// Days that a deleted secret can be brought back.
const RECOVERABLE_DAYS: i64 = 90;

/// One operation of the interface.
#[derive(Debug, Clone, Copy)]
pub(super) enum Operation<'a> {
    List,
    Versions(&'a str),
    Get(&'a str, Option<&'a str>),
    Set(&'a str),
    Update(&'a str, &'a str),
    Delete(&'a str),
    GetDeleted(&'a str),
    Recover(&'a str),
    Purge(&'a str),
}

impl<'a> Operation<'a> {
    /// The operation that is asked for.
    pub(super) fn of(call: &'a Call) -> Result<Self, Refusal> {
        let segments: Vec<&str> = call.segments.iter().map(String::as_str).collect();
        Ok(match (&call.method, segments.as_slice()) {
            (&Method::GET, ["secrets"]) => Self::List,
            (&Method::GET, ["secrets", name, "versions"]) => Self::Versions(name),
            (&Method::GET, ["secrets", name]) => Self::Get(name, None),
            (&Method::GET, ["secrets", name, version]) => Self::Get(name, Some(version)),
            (&Method::PUT, ["secrets", name]) => Self::Set(name),
            (&Method::PATCH, ["secrets", name]) => Self::Update(name, ""),
            (&Method::PATCH, ["secrets", name, version]) => Self::Update(name, version),
            (&Method::DELETE, ["secrets", name]) => Self::Delete(name),
            (&Method::GET, ["deletedsecrets", name]) => Self::GetDeleted(name),
            (&Method::DELETE, ["deletedsecrets", name]) => Self::Purge(name),
            (&Method::POST, ["deletedsecrets", name, "recover"]) => Self::Recover(name),
            (_, ["secrets" | "deletedsecrets", ..]) => return Err(Refusal::Method(call.method.to_string())),
            _ => {
                let message = format!("The simulator serves no operation at '{}'.", call.path);
                return Err(Refusal::BadParameter(message));
            }
        })
    }

    /// What one must be allowed to do.
    pub(super) fn right(self) -> Right {
        match self {
            Self::List | Self::Versions(_) => Right::List,
            Self::Get(..) | Self::GetDeleted(_) => Right::Get,
            Self::Set(_) => Right::Set,
            Self::Update(..) => Right::Update,
            Self::Delete(_) => Right::Delete,
            Self::Recover(_) => Right::Recover,
            Self::Purge(_) => Right::Purge,
        }
    }

    /// The secret with which it is done.
    pub(super) fn secret(self) -> Option<&'a str> {
        match self {
            Self::List => None,
            Self::Versions(name)
            | Self::Get(name, _)
            | Self::Set(name)
            | Self::Update(name, _)
            | Self::Delete(name)
            | Self::GetDeleted(name)
            | Self::Recover(name)
            | Self::Purge(name) => Some(name),
        }
    }

    /// Does it.
    pub(super) fn perform(self, state: &mut State, vault_key: &str, call: &Call) -> Result<Reply, Refusal> {
        let vault = state.vaults.get_mut(vault_key).ok_or(Refusal::Gone)?;
        match self {
            Self::List => Ok(list(call, vault)),
            Self::Versions(name) => {
                let secret = find(vault, name)?;
                let versions = secret.versions.iter();
                let items = versions
                    .map(|version| item(vault, secret, version, true))
                    .collect();
                Ok(Reply::ok(json!({"value": Value::Array(items), "nextLink": null})))
            }
            Self::Get(name, version) => read(vault, name, version),
            Self::Set(name) => set(state, vault_key, call, name),
            Self::Update(name, version) => update(vault, call, name, version),
            Self::Delete(name) => delete(vault, call, name),
            Self::GetDeleted(name) => {
                let deleted = vault.deleted.get(&key(name));
                let deleted = deleted.ok_or_else(|| Refusal::NotFound(name.to_owned()))?;
                Ok(Reply::ok(deleted_item(vault, deleted)))
            }
            Self::Recover(name) => {
                let deleted = vault.deleted.remove(&key(name));
                let secret = deleted.ok_or_else(|| Refusal::NotFound(name.to_owned()))?.secret;
                vault.secrets.insert(key(name), secret);
                let secret = find(vault, name)?;
                let shown = secret.current().map(|version| item(vault, secret, version, true));
                Ok(Reply::ok(shown.unwrap_or_default()))
            }
            Self::Purge(name) => match vault.deleted.remove(&key(name)) {
                Some(_) => Ok(Reply::empty(StatusCode::NO_CONTENT)),
                None => Err(Refusal::NotFound(name.to_owned())),
            },
        }
    }
}

fn find<'a>(vault: &'a Vault, name: &str) -> Result<&'a Secret, Refusal> {
    vault
        .secrets
        .get(&key(name))
        .ok_or_else(|| Refusal::NotFound(name.to_owned()))
}

fn attributes(version: &SecretVersion) -> Value {
    let mut attributes = json!({
        "enabled": version.enabled,
        "created": version.created / 1000,
        "updated": version.updated / 1000,
        "recoveryLevel": "Recoverable+Purgeable",
        "recoverableDays": RECOVERABLE_DAYS,
    });
    for (field, time) in [("nbf", version.not_before), ("exp", version.expires)] {
        if let Some(time) = time {
            attributes[field] = time.into();
        }
    }
    attributes
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
    if !version.tags.is_empty() {
        item["tags"] = json!(version.tags);
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
        tags: serde_json::from_value(body["tags"].clone()).unwrap_or_default(),
        enabled: body["attributes"]["enabled"].as_bool().unwrap_or(true),
        not_before: body["attributes"]["nbf"].as_i64(),
        expires: body["attributes"]["exp"].as_i64(),
        created: call.now,
        updated: call.now,
    };
    let vault = state.vaults.get_mut(vault_key).ok_or(Refusal::Gone)?;
    if vault.deleted.contains_key(&key(name)) {
        return Err(Refusal::Deleted(name.to_owned()));
    }
    let secret = vault.secret(name);
    secret.versions.push(version.clone());
    let secret = secret.clone();
    let mut body = item(vault, &secret, &version, true);
    body["value"] = version.value.into();
    Ok(Reply::json(StatusCode::OK, body))
}

/// Settings of a version; without one, of the current.
fn update(vault: &mut Vault, call: &Call, name: &str, wanted: &str) -> Result<Reply, Refusal> {
    let body: Value = serde_json::from_slice(&call.body).unwrap_or_default();
    let missing = || Refusal::NotFound(name.to_owned());
    let secret = vault.secrets.get_mut(&key(name)).ok_or_else(missing)?;
    let found = if wanted.is_empty() {
        secret.versions.last_mut()
    } else {
        let mut versions = secret.versions.iter_mut();
        versions.find(|version| version.id.eq_ignore_ascii_case(wanted))
    };
    let version = found.ok_or_else(missing)?;
    if let Some(kind) = body["contentType"].as_str() {
        version.content_type = Some(kind.to_owned());
    }
    if let Ok(tags) = serde_json::from_value(body["tags"].clone()) {
        version.tags = tags;
    }
    let attributes = &body["attributes"];
    if let Some(enabled) = attributes["enabled"].as_bool() {
        version.enabled = enabled;
    }
    version.not_before = attributes["nbf"].as_i64().or(version.not_before);
    version.expires = attributes["exp"].as_i64().or(version.expires);
    version.updated = call.now;
    let version = version.clone();
    let secret = find(vault, name)?;
    Ok(Reply::ok(item(vault, secret, &version, true)))
}

/// Deletes it with all its versions; it can be brought back for a while.
fn delete(vault: &mut Vault, call: &Call, name: &str) -> Result<Reply, Refusal> {
    let secret = vault
        .secrets
        .remove(&key(name))
        .ok_or_else(|| Refusal::NotFound(name.to_owned()))?;
    let deleted = Deleted { secret, at: call.now };
    let reply = Reply::ok(deleted_item(vault, &deleted));
    vault.deleted.insert(key(name), deleted);
    Ok(reply)
}

fn deleted_item(vault: &Vault, deleted: &Deleted) -> Value {
    let secret = &deleted.secret;
    let shown = secret.current().map(|version| item(vault, secret, version, true));
    let mut shown = shown.unwrap_or_else(|| json!({}));
    let seconds = deleted.at / 1000;
    shown["recoveryId"] = format!("{}deletedsecrets/{}", vault.uri, secret.name).into();
    shown["deletedDate"] = seconds.into();
    shown["scheduledPurgeDate"] = (seconds + RECOVERABLE_DAYS * 86_400).into();
    shown
}
