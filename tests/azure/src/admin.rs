//! The admin interface: state, log, weather and resources of the running simulator. Plain HTTP, meant for a Unix
//! socket or a loopback address only.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use axum::extract::{Path as Segment, Query, State};
use axum::http::StatusCode;
use axum::routing::{delete, get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::{TcpListener, UnixListener};

use crate::faults::{Front, Weather};
use crate::sim::{Addition, AzureSim};

type Answer = Result<Json<Value>, (StatusCode, Json<Value>)>;

/// Why the admin interface does not run.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve the admin interface at {place}")]
pub struct AdminError {
    place: String,
    source: std::io::Error,
}

/// Where the admin interface listens, once it does.
#[derive(Debug)]
pub enum AdminListener {
    /// A Unix socket.
    Socket(UnixListener),
    /// A loopback address.
    Address(TcpListener),
}

impl AdminListener {
    /// A Unix socket that only its owner can use; one that a dead simulator left is replaced.
    pub fn socket(path: &Path) -> Result<Self, AdminError> {
        use std::os::unix::fs::PermissionsExt as _;
        let error = |source| AdminError {
            place: path.display().to_string(),
            source,
        };
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(error(std::io::ErrorKind::AddrInUse.into()));
        }
        match std::fs::remove_file(path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => return Err(error(source)),
            _ => {}
        }
        let listener = UnixListener::bind(path).map_err(error)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(error)?;
        Ok(Self::Socket(listener))
    }

    /// An address.
    pub async fn address(address: SocketAddr) -> Result<Self, AdminError> {
        let listener = TcpListener::bind(address).await;
        listener.map(Self::Address).map_err(|source| AdminError {
            place: address.to_string(),
            source,
        })
    }

    /// Serves until the listener fails.
    pub async fn serve(self, sim: Arc<AzureSim>) -> Result<(), AdminError> {
        let router = router(sim);
        let served = match self {
            Self::Socket(listener) => axum::serve(listener, router).await,
            Self::Address(listener) => axum::serve(listener, router).await,
        };
        served.map_err(|source| AdminError {
            place: "its listener".to_owned(),
            source,
        })
    }
}

fn router(sim: Arc<AzureSim>) -> Router {
    Router::new()
        .route("/endpoints", get(endpoints))
        .route("/state", get(state))
        .route("/log", get(log))
        .route("/faults", get(weather).post(change_weather).delete(reset_weather))
        .route("/faults/{name}", put(set_front).delete(clear_front))
        .route("/resources", post(add).patch(change).delete(remove))
        .route("/clock", post(clock))
        .route("/issuers", delete(forget_issuers))
        .with_state(sim)
}

/// Where the services listen that no resource names.
async fn endpoints(State(sim): State<Arc<AzureSim>>) -> Json<Value> {
    Json(json!({"entra": sim.entra_url(), "arm": sim.arm_url()}))
}

async fn state(State(sim): State<Arc<AzureSim>>) -> Json<Value> {
    Json(sim.state())
}

/// Which entries of the log.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct After {
    #[serde(default)]
    after: u64,
}

async fn log(State(sim): State<Arc<AzureSim>>, Query(query): Query<After>) -> Json<Value> {
    Json(json!(sim.log_after(query.after)))
}

async fn weather(State(sim): State<Arc<AzureSim>>) -> Json<Value> {
    Json(json!(sim.weather()))
}

/// Changes the fields that are given and leaves the others.
async fn change_weather(State(sim): State<Arc<AzureSim>>, Json(change): Json<Value>) -> Answer {
    let mut document = json!(sim.weather());
    if let (Value::Object(old), Value::Object(new)) = (&mut document, change) {
        old.extend(new);
    } else {
        return Err(refused("the weather must be an object"));
    }
    let weather: Weather = serde_json::from_value(document).map_err(|error| refused(&error.to_string()))?;
    sim.set_weather(weather);
    Ok(Json(json!(sim.weather())))
}

async fn reset_weather(State(sim): State<Arc<AzureSim>>) -> Json<Value> {
    sim.reset_weather();
    Json(json!(sim.weather()))
}

/// Weather over one place, by a name that the caller chooses.
async fn set_front(
    State(sim): State<Arc<AzureSim>>,
    Segment(name): Segment<String>,
    Json(front): Json<Value>,
) -> Answer {
    let front: Front = serde_json::from_value(front).map_err(|error| refused(&error.to_string()))?;
    sim.set_front(&name, front);
    Ok(Json(json!(sim.weather())))
}

async fn clear_front(State(sim): State<Arc<AzureSim>>, Segment(name): Segment<String>) -> Answer {
    if sim.clear_front(&name) {
        Ok(Json(json!(sim.weather())))
    } else {
        Err(missing(&format!("there is no weather of the name {name}")))
    }
}

async fn change(
    State(sim): State<Arc<AzureSim>>,
    Query(which): Query<Which>,
    Json(fields): Json<Value>,
) -> Answer {
    sim.change(&which.id, &fields)
        .map_err(|error| refused(&chain(&error)))?;
    Ok(Json(json!({"changed": which.id})))
}

async fn add(State(sim): State<Arc<AzureSim>>, Json(more): Json<Value>) -> Answer {
    let more: Addition = serde_json::from_value(more).map_err(|error| refused(&error.to_string()))?;
    sim.add(&more).map_err(|error| refused(&chain(&error)))?;
    Ok(Json(sim.state()))
}

/// What to delete.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    id: String,
}

async fn remove(State(sim): State<Arc<AzureSim>>, Query(which): Query<Which>) -> Answer {
    if sim.delete(&which.id) {
        Ok(Json(json!({"deleted": which.id})))
    } else {
        Err(missing(&format!("nothing has the id {}", which.id)))
    }
}

/// How the clock is moved.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Move {
    /// Milliseconds before or after the machine's clock.
    offset_ms: i64,
}

async fn clock(State(sim): State<Arc<AzureSim>>, Json(by): Json<Move>) -> Json<Value> {
    sim.clock().set_offset(by.offset_ms);
    Json(json!({"offsetMs": by.offset_ms}))
}

async fn forget_issuers(State(sim): State<Arc<AzureSim>>) -> StatusCode {
    sim.forget_issuers().await;
    StatusCode::NO_CONTENT
}

fn refused(message: &str) -> (StatusCode, Json<Value>) {
    (StatusCode::BAD_REQUEST, Json(json!({"error": message})))
}

fn missing(message: &str) -> (StatusCode, Json<Value>) {
    (StatusCode::NOT_FOUND, Json(json!({"error": message})))
}

/// An error with its causes: what is wrong with a seed stands in the last one.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += ": ";
        text += &error.to_string();
        cause = error.source();
    }
    text
}
