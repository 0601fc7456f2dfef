//! AKS clusters: read, updated by a long-running operation, tagged.

use axum::http::{Method, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::error::ArmError;
use super::groups::{check_location, location, tags};
use super::router::Place;
use super::{Ask, page};
use crate::clock::rfc3339;
use crate::http::Reply;
use crate::state::{Cluster, Operation, State, key, within};

const KIND: &str = "Microsoft.ContainerService/managedClusters";
/// The application behind the API servers of all clusters.
const AKS_SERVER: &str = "6dae42f8-4368-4678-94ff-3960e28e3630";
/// The version that poll URLs name, whatever the request named.
const POLL_VERSION: &str = "2025-03-01";
/// The first version whose clusters have a tag.
const FIRST_WITH_ETAG: &str = "2024-09-01";

/// A cluster as the resource provider shows it.
pub(super) fn document(cluster: &Cluster, version: &str) -> Value {
    let mut document = cluster.extra.clone();
    document.insert("id".to_owned(), cluster.id.clone().into());
    document.insert("name".to_owned(), cluster.name.clone().into());
    document.insert(
        "type".to_owned(),
        "Microsoft.ContainerService/ManagedClusters".into(),
    );
    document.insert("location".to_owned(), cluster.location.clone().into());
    document.insert("tags".to_owned(), json!(cluster.tags));
    if version >= FIRST_WITH_ETAG {
        document.insert("eTag".to_owned(), cluster.etag.to_string().into());
    }
    document.insert("properties".to_owned(), cluster.properties.clone().into());
    document.into()
}

pub(super) fn list(ask: Ask<'_>, scope: &str) -> Result<Reply, ArmError> {
    let mut state = ask.world.state();
    let action = format!("{KIND}/read");
    state.settle(ask.now);
    let readable = ask.readable(&state, &action, scope)?;
    let items = state
        .clusters
        .values()
        .filter(|one| within(&one.id, scope) && readable(&one.id))
        .map(|one| document(one, ask.version()))
        .collect();
    drop(readable);
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
        Method::GET => Ok(Reply::ok(document(&cluster, ask.version()))),
        Method::PATCH => patch(ask, &mut state, cluster),
        _ => put(ask, &mut state, place.group, cluster),
    }
}

/// The kubeconfig by which a user reaches the cluster, who signs in to Entra by a plugin.
pub(super) fn user_credential(ask: Ask<'_>, place: Place<'_>) -> Result<Reply, ArmError> {
    let state = ask.world.state();
    let id = place.id(KIND);
    ask.require(&state, &format!("{KIND}/listClusterUserCredential/action"), &id)?;
    place.require_group(&state)?;
    let cluster = state
        .clusters
        .get(&key(&id))
        .ok_or_else(|| ArmError::resource(KIND, place.name, place.group))?;
    let name = &cluster.name;
    let host = cluster
        .properties
        .get("fqdn")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let user = format!("clusterUser_{}_{name}", place.group);
    let authority = ask.world.host().map(|host| host.authority_pem().to_owned());
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "contexts": [{"name": name, "context": {"cluster": name, "user": user}}],
        "clusters": [{"name": name, "cluster": {
            "server": format!("https://{host}:443"),
            "certificate-authority-data": STANDARD.encode(authority.unwrap_or_default()),
        }}],
        "users": [{"name": user, "user": {"exec": {
            "apiVersion": "client.authentication.k8s.io/v1beta1",
            "command": "kubelogin",
            "args": [
                "get-token", "--environment", "AzurePublicCloud", "--server-id", AKS_SERVER,
                "--client-id", "80faf920-1908-4b52-b5ef-a8e7bedfc67a", "--tenant-id", state.tenant().id,
                "--login", "devicecode",
            ],
            "env": null,
            "provideClusterInfo": false,
        }}}],
    });
    let value = STANDARD.encode(kubeconfig.to_string());
    Ok(Reply::ok(
        json!({"kubeconfigs": [{"name": "clusterUser", "value": value}]}),
    ))
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
fn put(ask: Ask<'_>, state: &mut State, group: &str, mut cluster: Cluster) -> Result<Reply, ArmError> {
    let body = ask.body()?;
    check_location(&cluster.name, group, &cluster.location, location(&body)?)?;
    check_idle(&cluster)?;
    check_match(ask, &cluster)?;
    Ask::check_policies(state, KIND, &cluster.id, &body)?;
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
    if had_issuer {
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
    let here = ask.world.weather().over(&[&cluster_key]);
    let before = state.clusters.get(&cluster_key).unwrap_or(&cluster).clone();
    let operation = Operation {
        id: state.ids.next(&format!("operation/{cluster_key}")),
        cluster: cluster_key.clone(),
        started: ask.now,
        ends: ask.now.saturating_add_unsigned(here.cluster_update_ms),
        fails: here.cluster_update_fails,
        before: Box::new(before),
    };
    cluster.etag = state.ids.next(&format!("etag/{cluster_key}"));
    cluster.operation = Some(operation.id);
    cluster
        .properties
        .insert("provisioningState".to_owned(), "Updating".into());
    let subscription = cluster.id.split('/').nth(2).unwrap_or_default();
    let poll = poll_url(ask, subscription, &cluster.location, operation.id);
    let reply = Reply::ok(document(&cluster, ask.version())).with_header("azure-asyncoperation", poll);
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
    let status = match (done, operation.fails) {
        (false, _) => "InProgress",
        (true, false) => "Succeeded",
        (true, true) => "Failed",
    };
    let mut body = json!({
        "name": operation.id,
        "status": status,
        "startTime": rfc3339(operation.started),
    });
    if done {
        body["endTime"] = rfc3339(operation.ends).into();
    }
    if status == "Failed" {
        body["error"] = json!({"code": "InternalOperationError", "message": "Internal server error"});
    }
    Ok(Reply::ok(body))
}
