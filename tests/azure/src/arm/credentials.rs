//! Federated credentials of managed identities, with their rules: at most 20, one audience, each issuer and subject
//! once, one write at a time.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::error::ArmError;
use super::identities::KIND as PARENT;
use super::router::Place;
use super::{Ask, page};
use crate::http::Reply;
use crate::seed::FederatedCredential;
use crate::state::{Identity, State, key};

const KIND: &str = "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials";
/// Credentials that an identity may have.
const MOST: usize = 20;
/// Regions whose identities can have none, as documented.
const WITHOUT: [&str; 2] = ["malaysiasouth", "newzealandnorth"];
/// Characters that issuer, subject and audience may have.
const LONGEST: usize = 600;

fn document(identity: &Identity, credential: &FederatedCredential) -> Value {
    json!({
        "id": format!("{}/federatedIdentityCredentials/{}", identity.id, credential.name),
        "name": credential.name,
        "type": KIND,
        "properties": {
            "issuer": credential.issuer,
            "subject": credential.subject,
            "audiences": credential.audiences,
        },
    })
}

fn parent<'a>(state: &'a State, place: Place<'_>, verb: &str) -> Result<&'a Identity, ArmError> {
    place.require_group(state)?;
    let id = place.id(PARENT);
    state
        .identities
        .get(&key(&id))
        .ok_or_else(|| ArmError::parent(verb, KIND, &id))
}

pub(super) fn list(ask: Ask<'_>, place: Place<'_>) -> Result<Reply, ArmError> {
    let state = ask.world.state();
    ask.require(&state, &format!("{KIND}/read"), &place.id(PARENT))?;
    let identity = parent(&state, place, "read")?;
    let items = identity
        .credentials
        .values()
        .map(|one| document(identity, one))
        .collect();
    drop(state);
    page::reply(ask, items)
}

/// One credential. Writes take a while, in which a second one to the same identity is refused.
pub(super) async fn one(ask: Ask<'_>, place: Place<'_>, name: &str) -> Result<Reply, ArmError> {
    let id = format!("{}/federatedIdentityCredentials/{name}", place.id(PARENT));
    match ask.call.method {
        Method::GET => {
            let state = ask.world.state();
            ask.require(&state, &format!("{KIND}/read"), &id)?;
            let identity = parent(&state, place, "read")?;
            let found = identity.credentials.get(&key(name));
            found
                .map(|one| Reply::ok(document(identity, one)))
                .ok_or_else(|| {
                    let message = format!("The federated identity credential '{name}' was not found.");
                    ArmError::not_found("NotFound", message)
                })
        }
        Method::PUT => {
            let wanted = begin_put(ask, place, name, &id)?;
            Writing::start(ask, place)
                .finish(ask, place, |identity, now, delay| {
                    check_set(identity, &wanted)?;
                    let known = identity.credentials.get(&key(name)).is_some();
                    let status = if known {
                        StatusCode::OK
                    } else {
                        StatusCode::CREATED
                    };
                    identity.credentials.insert(now, delay, key(name), wanted.clone());
                    let shown = document(identity, &wanted);
                    let location = shown["id"].as_str().unwrap_or_default().to_owned();
                    let reply = Reply::json(status, shown);
                    Ok(if status == StatusCode::CREATED {
                        reply.with_header("location", location)
                    } else {
                        reply
                    })
                })
                .await
        }
        Method::DELETE => {
            begin(ask, place, "delete", &id)?;
            Writing::start(ask, place)
                .finish(ask, place, |identity, now, delay| {
                    let known = identity.credentials.remove(now, delay, &key(name));
                    Ok(Reply::empty(if known {
                        StatusCode::OK
                    } else {
                        StatusCode::NO_CONTENT
                    }))
                })
                .await
        }
        ref other => Err(ArmError::method(other.as_str())),
    }
}

/// Rights, parent, and nobody else writing; on success the identity is marked as being written.
fn begin(ask: Ask<'_>, place: Place<'_>, verb: &str, id: &str) -> Result<(), ArmError> {
    let mut state = ask.world.state();
    ask.require(&state, &format!("{KIND}/{verb}"), id)?;
    let identity = parent(&state, place, verb)?;
    if identity.writing {
        let message = format!(
            "Too many Federated Identity Credentials are written concurrently for the managed identity '{}'. \
             Concurrent Federated Identity Credentials writes under the same managed identity are not supported.",
            identity.id
        );
        let code = "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity";
        return Err(ArmError::conflict(code, message));
    }
    if let Some(identity) = state.identities.get_mut(&key(&place.id(PARENT))) {
        identity.writing = true;
    }
    Ok(())
}

fn begin_put(ask: Ask<'_>, place: Place<'_>, name: &str, id: &str) -> Result<FederatedCredential, ArmError> {
    // Form first: what is wrong in itself does not need the identity.
    ask.require(&ask.world.state(), &format!("{KIND}/write"), id)?;
    let (location, created) = {
        let state = ask.world.state();
        let identity = parent(&state, place, "write")?;
        (identity.location.to_lowercase(), identity.created)
    };
    let delay = ask.world.weather().over(&[id]).identity_delay_ms;
    if created.saturating_add_unsigned(delay) > ask.now {
        return Err(ArmError::parent("write", KIND, &place.id(PARENT)));
    }
    if WITHOUT.contains(&location.as_str()) {
        // The status is documented, the words are not.
        let message = format!("Federated identity credentials are not supported in region '{location}'.");
        return Err(ArmError::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "MethodNotAllowed",
            message,
        ));
    }
    let body = ask.body()?;
    let wanted = parse(name, &body)?;
    Ask::check_policies(&ask.world.state(), KIND, id, &body)?;
    begin(ask, place, "write", id)?;
    Ok(wanted)
}

/// A write that runs; the mark goes with it, also when the client hangs up.
struct Writing<'a> {
    world: &'a crate::world::World,
    identity: String,
}

impl<'a> Writing<'a> {
    fn start(ask: Ask<'a>, place: Place<'_>) -> Self {
        Self {
            world: ask.world,
            identity: key(&place.id(PARENT)),
        }
    }

    async fn finish(
        self,
        ask: Ask<'_>,
        place: Place<'_>,
        write: impl FnOnce(&mut Identity, crate::clock::Millis, u64) -> Result<Reply, ArmError>,
    ) -> Result<Reply, ArmError> {
        let here = ask.world.weather().over(&[&self.identity, &ask.call.path]);
        tokio::time::sleep(Duration::from_millis(here.credential_write_ms)).await;
        let delay = here.credential_delay_ms;
        let mut state = ask.world.state();
        parent(&state, place, "write")?;
        let now = ask.world.clock.now();
        match state.identities.get_mut(&self.identity) {
            Some(identity) => write(identity, now, delay),
            None => Err(ArmError::resource(PARENT, place.name, place.group)),
        }
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        if let Some(identity) = self.world.state().identities.get_mut(&self.identity) {
            identity.writing = false;
        }
    }
}

/// The rules that one credential keeps by itself.
fn parse(name: &str, body: &Value) -> Result<FederatedCredential, ArmError> {
    let refuse = |message: String| Err(ArmError::bad_request("BadRequest", message));
    let proper = (3..=120).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if !proper {
        return refuse(format!(
            "The name '{name}' of the federated identity credential is not valid: it must match \
             ^[a-zA-Z0-9]{{1}}[a-zA-Z0-9-_]{{2,119}}$."
        ));
    }
    let text = |field: &'static str| body["properties"][field].as_str().unwrap_or_default().to_owned();
    let (issuer, subject) = (text("issuer"), text("subject"));
    let audiences: Vec<String> =
        serde_json::from_value(body["properties"]["audiences"].clone()).unwrap_or_default();
    for (field, value) in [("issuer", &issuer), ("subject", &subject)] {
        if value.is_empty() {
            return refuse(format!(
                "The property '{field}' of the federated identity credential cannot be empty."
            ));
        }
        if value.len() > LONGEST {
            return refuse(format!(
                "The property '{field}' has more than {LONGEST} characters."
            ));
        }
        if value.contains('*') {
            return refuse(format!("The property '{field}' must not contain wildcards."));
        }
    }
    match audiences.as_slice() {
        [one] if !one.is_empty() && one.len() <= LONGEST => {}
        _ => return refuse("The federated identity credential must have exactly one audience.".to_owned()),
    }
    if !issuer.starts_with("https://") {
        return refuse(format!(
            "The issuer '{issuer}' of the federated identity credential must be an https URL."
        ));
    }
    Ok(FederatedCredential {
        name: name.to_owned(),
        issuer,
        subject,
        audiences,
    })
}

/// The rules that the credentials of one identity keep together.
fn check_set(identity: &Identity, wanted: &FederatedCredential) -> Result<(), ArmError> {
    let known = &identity.credentials;
    let own = key(&wanted.name);
    let same = |one: &FederatedCredential| one.issuer == wanted.issuer && one.subject == wanted.subject;
    if known.iter().any(|(name, one)| name != own && same(one)) {
        let message = "Issuer and subject combination already exists for this Managed Identity.";
        return Err(ArmError::bad_request("BadRequest", message));
    }
    if known.get(&own).is_none() && known.len() >= MOST {
        let message = format!(
            "Too many Federated Identity Credentials: the managed identity '{}' may have at most {MOST}.",
            identity.id
        );
        return Err(ArmError::bad_request("BadRequest", message));
    }
    Ok(())
}
