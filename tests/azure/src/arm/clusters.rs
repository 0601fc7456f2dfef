//! AKS clusters: read, updated by a long-running operation, tagged.

use axum::http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::error::ArmError;
use super::groups::{location_required, tags};
use super::router::Place;
use super::{Ask, page};
use crate::clock::rfc3339;
use crate::http::Reply;
use crate::state::{Cluster, Operation, State, key, within};

const KIND: &str = "Microsoft.ContainerService/managedClusters";
/// The version that poll URLs name, whatever the request named.
const POLL_VERSION: &str = "2025-03-01";

/// A cluster as the resource provider shows it.
pub(super) fn document(cluster: &Cluster) -> Value {
    let mut document = cluster.extra.clone();
    document.insert("id".to_owned(), cluster.id.clone().into());
    document.insert("name".to_owned(), cluster.name.clone().into());
    document.insert(
        "type".to_owned(),
        "Microsoft.ContainerService/ManagedClusters".into(),
    );
    document.insert("location".to_owned(), cluster.location.clone().into());
    document.insert("tags".to_owned(), json!(cluster.tags));
    document.insert("eTag".to_owned(), cluster.etag.to_string().into());
    document.insert("properties".to_owned(), cluster.properties.clone().into());
    document.into()
}

pub(super) fn list(ask: Ask<'_>, scope: &str) -> Result<Reply, ArmError> {
    let mut state = ask.world.state();
    ask.require(&state, &format!("{KIND}/read"), scope)?;
    state.settle(ask.now);
    let items = state
        .clusters
        .values()
        .filter(|one| within(&one.id, scope))
        .map(document)
        .collect();
    drop(state);
    page::reply(ask, items)
}

/// One cluster.
pub(super) fn one(ask: Ask<'_>, place: Place<'_>) -> Result<Reply, ArmError> {
    let mut state = ask.world.state();
    state.settle(ask.now);
    let id = place.id(KIND);
    let verb = match ask.call.method {
        Method::GET => "read",
        Method::PUT | Method::PATCH => "write",
        ref other => return Err(ArmError::method(other.as_str())),
    };
    ask.require(&state, &format!("{KIND}/{verb}"), &id)?;
    place.require_group(&state)?;
    let found = state.clusters.get(&key(&id)).cloned();
    let Some(cluster) = found else {
        return Err(if ask.call.method == Method::GET {
            ArmError::resource(KIND, place.name, place.group)
        } else {
            // A cluster is more than its document, and nobody would bring the rest of it up.
            ArmError::new(
                StatusCode::NOT_IMPLEMENTED,
                "SimulatorMakesNoClusters",
                "Clusters come from the seed or from the simulator's admin interface.".to_owned(),
            )
        });
    };
    match ask.call.method {
        Method::GET => Ok(Reply::ok(document(&cluster)).with_header("etag", cluster.etag.to_string())),
        Method::PATCH => patch(ask, &mut state, cluster),
        _ => put(ask, &mut state, cluster),
    }
}

/// PATCH knows tags alone.
fn patch(ask: Ask<'_>, state: &mut State, mut cluster: Cluster) -> Result<Reply, ArmError> {
    let body = ask.body()?;
    if body
        .as_object()
        .is_none_or(|fields| fields.keys().any(|field| field != "tags"))
    {
        return Err(ArmError::bad_request(
            "BadRequest",
            "Only tags can be changed by PATCH.",
        ));
    }
    check_idle(&cluster)?;
    check_match(ask, &cluster)?;
    cluster.tags = tags(&body)?;
    Ok(start(ask, state, cluster))
}

/// PUT takes the whole document.
fn put(ask: Ask<'_>, state: &mut State, mut cluster: Cluster) -> Result<Reply, ArmError> {
    let body = ask.body()?;
    let location = body["location"].as_str().ok_or_else(location_required)?;
    if !location.eq_ignore_ascii_case(&cluster.location) {
        let message = format!(
            "The resource '{}' already exists in location '{}'. A resource with the same name cannot be created in \
             location '{location}'.",
            cluster.name, cluster.location
        );
        return Err(ArmError::conflict("InvalidResourceLocation", message));
    }
    check_idle(&cluster)?;
    check_match(ask, &cluster)?;
    cluster.tags = tags(&body)?;
    let given = body
        .get("properties")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    cluster.properties = merge(&cluster, given)?;
    for (field, value) in body.as_object().into_iter().flatten() {
        if cluster.extra.contains_key(field) {
            cluster.extra.insert(field.clone(), value.clone());
        }
    }
    Ok(start(ask, state, cluster))
}

/// What the caller sent, with the fields that only Azure sets kept, and the rules about those that change once.
fn merge(cluster: &Cluster, mut given: Map<String, Value>) -> Result<Map<String, Value>, ArmError> {
    let old = &cluster.properties;
    for field in ["dnsPrefix", "nodeResourceGroup"] {
        if given
            .get(field)
            .is_some_and(|value| !value.is_null() && Some(value) != old.get(field))
        {
            return Err(fixed(field));
        }
    }
    let enabled = |properties: &Map<String, Value>, at: &str| -> Option<bool> {
        Value::from(properties.clone()).pointer(at)?.as_bool()
    };
    let (issuer, workload) = (
        "/oidcIssuerProfile/enabled",
        "/securityProfile/workloadIdentity/enabled",
    );
    let had_issuer = enabled(old, issuer).unwrap_or(false);
    let wants_issuer = enabled(&given, issuer).unwrap_or(had_issuer);
    if had_issuer && !wants_issuer {
        return Err(fixed("oidcIssuerProfile.enabled"));
    }
    if enabled(&given, workload) == Some(true) && !wants_issuer {
        let message = "Workload identity requires the OIDC issuer: oidcIssuerProfile.enabled must be true.";
        return Err(ArmError::bad_request("BadRequest", message));
    }
    let read_only = [
        "fqdn",
        "privateFQDN",
        "currentKubernetesVersion",
        "nodeResourceGroup",
        "powerState",
        "dnsPrefix",
        "agentPoolProfiles",
        "networkProfile",
        "securityProfile",
        "kubernetesVersion",
        "enableRBAC",
        "disableLocalAccounts",
    ];
    for field in read_only {
        let set_by_azure = matches!(
            field,
            "fqdn" | "privateFQDN" | "currentKubernetesVersion" | "powerState"
        );
        if let Some(value) = old.get(field)
            && (set_by_azure || given.get(field).is_none_or(Value::is_null))
        {
            given.insert(field.to_owned(), value.clone());
        }
    }
    let mut profile = json!({"enabled": wants_issuer});
    if wants_issuer {
        profile["issuerURL"] = cluster.issuer_url.clone().into();
    }
    given.insert("oidcIssuerProfile".to_owned(), profile);
    Ok(given)
}

fn fixed(field: &str) -> ArmError {
    let message = format!("Changing property 'properties.{field}' is not allowed.");
    ArmError::bad_request("PropertyChangeNotAllowed", message)
}

fn check_idle(cluster: &Cluster) -> Result<(), ArmError> {
    if cluster.operation.is_none() {
        return Ok(());
    }
    let message = format!(
        "Operation is not allowed: Another operation ({} - Updating) is in progress, please wait for it to finish \
         before starting a new operation. See https://aka.ms/aks-pending-operation for more details",
        cluster.name
    );
    Err(ArmError::conflict("OperationNotAllowed", message).bare())
}

fn check_match(ask: Ask<'_>, cluster: &Cluster) -> Result<(), ArmError> {
    let expected = ask.call.header("if-match").map(|tag| tag.trim_matches('"'));
    if expected.is_some_and(|tag| tag != "*" && tag != cluster.etag.to_string()) {
        let message = "Operation is not allowed: Etag mismatched; read the cluster again.";
        return Err(ArmError::conflict("EtagMismatch", message).bare());
    }
    Ok(())
}

/// Starts the update: the document shows it at once, as being updated.
fn start(ask: Ask<'_>, state: &mut State, mut cluster: Cluster) -> Reply {
    let cluster_key = key(&cluster.id);
    let takes = ask.world.weather().weather.cluster_update_ms;
    let operation = Operation {
        id: state.ids.next(&format!("operation/{cluster_key}")),
        cluster: cluster_key.clone(),
        started: ask.now,
        ends: ask.now.saturating_add_unsigned(takes),
    };
    cluster.etag = state.ids.next(&format!("etag/{cluster_key}"));
    cluster.operation = Some(operation.id);
    cluster
        .properties
        .insert("provisioningState".to_owned(), "Updating".into());
    let subscription = cluster.id.split('/').nth(2).unwrap_or_default();
    let poll = poll_url(ask, subscription, &cluster.location, operation.id);
    let reply = Reply::ok(document(&cluster)).with_header("azure-asyncoperation", poll);
    state.operations.insert(operation.id, operation);
    state.clusters.insert(cluster_key, cluster);
    reply
}

/// A long URL that only works whole.
fn poll_url(ask: Ask<'_>, subscription: &str, location: &str, operation: Uuid) -> String {
    let certificate = format!("{:x}", Sha256::digest(operation.as_bytes())).repeat(32);
    let (t, signature) = (ask.now, signature(&ask.world.pepper, operation, &certificate));
    format!(
        "{}subscriptions/{subscription}/providers/Microsoft.ContainerService/locations/{location}/operations/\
         {operation}?api-version={POLL_VERSION}&t={t}&c={certificate}&s=azure-sim&h={signature}",
        ask.world.urls.arm
    )
}

fn signature(pepper: &str, operation: Uuid, certificate: &str) -> String {
    format!(
        "{:x}",
        Sha256::digest(format!("{pepper}/{operation}/{certificate}"))
    )
}

/// How an update goes.
pub(super) fn operation(ask: Ask<'_>, subscription: &str, id: &str) -> Result<Reply, ArmError> {
    let mut state = ask.world.state();
    state.settle(ask.now);
    let scope = format!("/subscriptions/{subscription}");
    let missing = || ArmError::not_found("NotFound", format!("The entity '{id}' was not found."));
    let operation = Uuid::parse_str(id)
        .ok()
        .and_then(|id| state.operations.get(&id))
        .ok_or_else(missing)?;
    let certificate = ask.call.parameter("c").unwrap_or_default();
    if ask.call.parameter("h") != Some(signature(&ask.world.pepper, operation.id, certificate).as_str()) {
        let message = "The signature of the operation's URL is not valid: it must be used as it was given.";
        return Err(ArmError::new(
            StatusCode::FORBIDDEN,
            "InvalidOperationSignature",
            message.to_owned(),
        ));
    }
    // The group's read right is enough; the cluster's alone is not.
    let group = operation.cluster.split("/providers/").next().unwrap_or(&scope);
    ask.require(
        &state,
        "Microsoft.ContainerService/locations/operations/read",
        group,
    )?;
    let done = operation.ends <= ask.now;
    let mut body = json!({
        "name": operation.id,
        "status": if done { "Succeeded" } else { "InProgress" },
        "startTime": rfc3339(operation.started),
    });
    if done {
        body["endTime"] = rfc3339(operation.ends).into();
    }
    Ok(Reply::ok(body))
}
