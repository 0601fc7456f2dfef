//! Listening, and what every answer goes through: reading, weather, request ids, log.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request};
use axum::http::{Response, StatusCode};
use axum_server::Handle;
use futures::stream;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::http::{Call, Reply};
use crate::jwt::Jwt;
use crate::log::{Answered, Service};
use crate::tls::Authority;
use crate::world::World;
use crate::{arm, entra, platform, sim, vault};

/// The largest body that is read, 4 MiB as the resource manager has it.
const LARGEST: usize = 4 << 20;
/// Pieces in which a slow answer comes.
const PIECES: usize = 16;

/// A service at an address.
#[derive(Debug, Clone)]
pub(crate) enum Role {
    Entra,
    Arm,
    /// GitHub and Azure DevOps.
    Platform,
    /// The machine on which pipelines run, the one without TLS.
    Machine,
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
    let handle = Handle::new();
    let (world, plain) = (Arc::clone(world), matches!(role, Role::Machine));
    let router = Router::new().fallback(
        move |ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Request| {
            let (world, role) = (Arc::clone(&world), role.clone());
            async move { answer(&world, &role, peer, request).await }
        },
    );
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let ended = move |result: std::io::Result<()>| {
        if let Err(error) = result {
            tracing::error!(%address, %error, "server ended");
        }
    };
    let task = if plain {
        let server = axum_server::from_tcp(listener)
            .map_err(sim::StartError::Listen)?
            .handle(handle.clone());
        tokio::spawn(async move { ended(server.serve(service).await) })
    } else {
        let config = authority.leaf(address.ip())?.server()?;
        let server = axum_server::from_tcp_rustls(listener, config)
            .map_err(sim::StartError::Listen)?
            .handle(handle.clone());
        tokio::spawn(async move { ended(server.serve(service).await) })
    };
    Ok(Running { handle, task })
}

async fn answer(world: &World, role: &Role, peer: SocketAddr, request: Request) -> Response<Body> {
    let (start, now) = (Instant::now(), world.clock.now());
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LARGEST).await else {
        return Reply::empty(StatusCode::PAYLOAD_TOO_LARGE).into_response();
    };
    let path = (parts.uri.path(), parts.uri.query().unwrap_or_default());
    let mut call = Call::new(now, parts.method.clone(), path, parts.headers, body, peer.ip());
    let (service, vault) = match role {
        Role::Entra => (Service::Entra, None),
        Role::Arm => (Service::Arm, None),
        Role::Platform => (Service::Platform, None),
        Role::Machine => (Service::Machine, None),
        Role::Vault(key) => (
            Service::Vault,
            world.state().vaults.get(key).map(|vault| vault.name.clone()),
        ),
    };
    let caller = mark(&mut call, role);
    let strike = world.weather().strike(service, &call);
    let (mut struck, mut trickle) = (None, None);
    if let Some(strike) = strike {
        trickle = strike.trickle;
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
        (None, Role::Platform) => platform::answer(world, &call),
        (None, Role::Machine) => platform::answer_machine(world, &call),
        (None, Role::Vault(key)) => vault::answer(world, key, &call),
    };
    let request_id = Uuid::new_v4().to_string();
    let correlation = call
        .header("x-ms-correlation-request-id")
        .map_or_else(|| request_id.clone(), str::to_owned);
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
        Service::Platform | Service::Machine => reply,
    };
    let response = reply.into_response();
    match trickle {
        Some(pause) => trickled(response, pause).await,
        None => response,
    }
}

/// Puts marks on a request: the vault, who says to be calling, and the subject of its proof. The caller's client id comes
/// back: the log wants to know it of refused callers too.
fn mark(call: &mut Call, role: &Role) -> Option<String> {
    let (caller, more) = if matches!(role, Role::Entra) {
        let form: Vec<(String, String)> = url::form_urlencoded::parse(&call.body).into_owned().collect();
        let field = |name: &str| {
            form.iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.clone())
        };
        let assertion = field("client_assertion").and_then(|text| Jwt::parse(&text));
        let subject = assertion.and_then(|token| token.text("sub").map(str::to_owned));
        (field("client_id"), subject)
    } else {
        let token = call.bearer().and_then(Jwt::parse);
        let claim = |name: &str| token.as_ref()?.text(name).map(str::to_owned);
        (claim("appid"), claim("oid"))
    };
    if let Role::Vault(key) = role {
        // First, because budgets of vaults are counted by it.
        call.marks.insert(0, key.clone());
    }
    call.marks.extend(caller.iter().cloned().chain(more));
    caller
}

/// The same answer, its body in small pieces with a pause before each.
async fn trickled(response: Response<Body>, pause: Duration) -> Response<Body> {
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, LARGEST).await.unwrap_or_default();
    let size = bytes.len().div_ceil(PIECES).max(1);
    let pieces = stream::unfold(bytes, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(pause).await;
        let piece = rest.split_to(size.min(rest.len()));
        Some((Ok::<_, Infallible>(piece), rest))
    });
    Response::from_parts(parts, Body::from_stream(pieces))
}
