//! Listening, and what every answer goes through: reading, weather, request ids, log.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request};
use axum::http::{Response, StatusCode};
use axum_server::Handle;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::http::{Call, Reply};
use crate::log::{Answered, Service};
use crate::tls::Authority;
use crate::world::World;
use crate::{arm, entra, sim, vault};

/// The largest body that is read, 4 MiB as the resource manager has it.
const LARGEST: usize = 4 << 20;

/// A service at an address.
#[derive(Debug, Clone)]
pub(crate) enum Role {
    Entra,
    Arm,
    /// The vault with this key.
    Vault(String),
}

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Running {
    handle: Handle<SocketAddr>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.shutdown();
        self.task.abort();
    }
}

/// Takes an address, so that it is known before anything is answered.
pub(crate) fn bind(address: SocketAddr) -> Result<TcpListener, sim::StartError> {
    let error = |source| sim::StartError::Bind { address, source };
    let listener = TcpListener::bind(address).map_err(error)?;
    listener.set_nonblocking(true).map_err(error)?;
    Ok(listener)
}

/// Serves a role at an address that was taken.
pub(crate) fn serve(
    world: &Arc<World>,
    authority: &Authority,
    listener: TcpListener,
    role: Role,
) -> Result<Running, sim::StartError> {
    let address = listener.local_addr().map_err(sim::StartError::Listen)?;
    let config = authority.leaf(address.ip())?.server()?;
    let handle = Handle::new();
    let server = axum_server::from_tcp_rustls(listener, config)
        .map_err(sim::StartError::Listen)?
        .handle(handle.clone());
    let world = Arc::clone(world);
    let router = Router::new().fallback(
        move |ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Request| {
            let (world, role) = (Arc::clone(&world), role.clone());
            async move { answer(&world, &role, peer, request).await }
        },
    );
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let task = tokio::spawn(async move {
        if let Err(error) = server.serve(service).await {
            tracing::error!(%address, %error, "server ended");
        }
    });
    Ok(Running { handle, task })
}

async fn answer(world: &World, role: &Role, peer: SocketAddr, request: Request) -> Response<Body> {
    let (start, now) = (Instant::now(), world.clock.now());
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LARGEST).await else {
        return Reply::empty(StatusCode::PAYLOAD_TOO_LARGE).into_response();
    };
    let path = (parts.uri.path(), parts.uri.query().unwrap_or_default());
    let call = Call::new(now, parts.method.clone(), path, parts.headers, body, peer.ip());
    let (service, vault) = match role {
        Role::Entra => (Service::Entra, None),
        Role::Arm => (Service::Arm, None),
        Role::Vault(key) => (
            Service::Vault,
            world.state().vaults.get(key).map(|vault| vault.name.clone()),
        ),
    };
    let strike = world.weather().strike(service, &call);
    let mut struck = None;
    if let Some(strike) = strike {
        tokio::time::sleep(strike.delay).await;
        if strike.drop {
            // Ends the task of the connection, or of its stream, without an answer and without a panic's message.
            std::panic::resume_unwind(Box::new("dropped"));
        }
        struck = strike.reply;
    }
    let reply = match (struck, role) {
        (Some(reply), _) => reply,
        (None, Role::Entra) => entra::answer(world, &call).await,
        (None, Role::Arm) => arm::answer(world, &call).await,
        (None, Role::Vault(key)) => vault::answer(world, key, &call),
    };
    let request_id = Uuid::new_v4().to_string();
    let correlation = call
        .header("x-ms-correlation-request-id")
        .map_or_else(|| request_id.clone(), str::to_owned);
    let caller = caller(service, &call);
    let answered = Answered {
        service,
        vault,
        caller,
        status: reply.status,
        code: reply.code.clone(),
        request_id: request_id.clone(),
        took_ms: u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
    };
    world.log.add(&call, answered);
    let reply = reply.with_header("x-ms-request-id", request_id.clone());
    let reply = match service {
        Service::Arm => reply
            .with_header("x-ms-routing-request-id", format!("WESTEUROPE:{request_id}"))
            .with_header("x-ms-correlation-request-id", correlation),
        Service::Vault => reply.with_header("x-ms-keyvault-service-version", "1.9.2762.1"),
        Service::Entra => reply.with_header("x-ms-ests-server", "2.1.22000.0 - azure-sim"),
    };
    reply.into_response()
}

/// Who says to be calling; the log wants to know it of refused callers too.
fn caller(service: Service, call: &Call) -> Option<String> {
    if service == Service::Entra {
        let form = url::form_urlencoded::parse(&call.body);
        return form
            .into_owned()
            .find(|(name, _)| name == "client_id")
            .map(|(_, value)| value);
    }
    crate::jwt::Jwt::parse(call.bearer()?)?
        .text("appid")
        .map(str::to_owned)
}
