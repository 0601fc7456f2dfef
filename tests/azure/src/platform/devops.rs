//! Azure Pipelines: the OIDC token of a service connection, as
//! <https://learn.microsoft.com/rest/api/azure/devops/distributedtask/oidctoken/create> describes it.
//!
//! Connections made since 2025 have Entra as their issuer:
//! <https://learn.microsoft.com/azure/devops/pipelines/release/configure-workload-identity>.

use axum::http::{Method, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use uuid::{Uuid, uuid};

use super::published;
use crate::http::{Call, Reply};
use crate::jwt::SigningKey;
use crate::seed::{PipelineJob, ServiceConnection};
use crate::token::{EXCHANGE_APPLICATION, EXCHANGE_AUDIENCE};
use crate::world::World;

/// The application that Azure DevOps is.
const DEVOPS: Uuid = uuid!("499b84ac-1321-427f-aa17-267ca6975798");
/// Seconds before its issue from which a token is valid already.
const EARLY: i64 = 600;

/// Without a slash at the end, as Azure DevOps has it.
fn issuer(world: &World, organization: Uuid) -> String {
    format!("{}azure-pipelines/{organization}", world.urls.platform)
}

fn key(world: &World) -> Option<&SigningKey> {
    world
        .platform_keys
        .devops
        .get_or_init(|| SigningKey::generate().ok())
        .as_ref()
}

/// Who the token says that it is for: the pipeline, or one of its connections.
fn subject(
    job: &PipelineJob,
    organization: Uuid,
    connection: Option<&ServiceConnection>,
    tenant: Uuid,
) -> String {
    let (owner, project) = (&job.organization, &job.project);
    match connection {
        None => format!("p://{owner}/{project}/{}", job.pipeline),
        Some(connection) if connection.entra_issuer => {
            let short = |id: Uuid| URL_SAFE_NO_PAD.encode(id.to_bytes_le());
            format!(
                "/eid1/c/pub/t/{}/a/{}/sc/{organization}/{}",
                short(tenant),
                short(DEVOPS),
                connection.id
            )
        }
        Some(connection) => format!("sc://{owner}/{project}/{}", connection.name),
    }
}

fn issuer_of(
    world: &World,
    organization: Uuid,
    connection: Option<&ServiceConnection>,
    tenant: Uuid,
) -> String {
    match connection {
        Some(connection) if connection.entra_issuer => world.directory(tenant).issuer(),
        _ => issuer(world, organization),
    }
}

pub(super) fn describe(job: &PipelineJob, organization: Uuid, world: &World, tenant: Uuid) -> Value {
    let connections: Value = job
        .connections
        .iter()
        .map(|connection| {
            json!({
                "id": connection.id,
                "name": connection.name,
                "issuer": issuer_of(world, organization, Some(connection), tenant),
                "subject": subject(job, organization, Some(connection), tenant),
            })
        })
        .collect();
    json!({
        "name": job.name,
        "requestUrl": format!(
            "{}azure-pipelines/{}/{}/_apis/distributedtask/hubs/build/plans/{}/jobs/{}/oidctoken",
            world.urls.platform, job.organization, job.project, organization, job.name
        ),
        "connections": connections,
    })
}

/// Answers one request below Azure DevOps' path; none if nothing is there.
pub(super) fn answer(world: &World, call: &Call, rest: &[&str]) -> Option<Reply> {
    if let [
        owner,
        project,
        "_apis",
        "distributedtask",
        "hubs",
        _,
        "plans",
        _,
        "jobs",
        name,
        "oidctoken",
    ] = rest
    {
        return Some(token(world, call, (owner, project, name)));
    }
    let (organization, rest) = rest.split_first()?;
    let organization = Uuid::parse_str(organization).ok()?;
    let known = world
        .state()
        .running
        .organizations
        .values()
        .any(|id| *id == organization);
    if !known {
        return None;
    }
    published(call, &issuer(world, organization), key(world), rest)
}

fn token(world: &World, call: &Call, (owner, project, name): (&str, &str, &str)) -> Reply {
    if call.method != Method::POST {
        return Reply::empty(StatusCode::METHOD_NOT_ALLOWED);
    }
    let state = world.state();
    let job = state
        .running
        .pipelines
        .iter()
        .find(|job| job.name == name && job.organization == owner && job.project == project);
    let Some(job) = job.filter(|job| call.bearer() == Some(job.access_token.0.as_str())) else {
        return unauthorized(call);
    };
    let Some(version) = call.parameter("api-version") else {
        return refused(
            StatusCode::BAD_REQUEST,
            "VssVersionNotSpecifiedException",
            "No api-version was supplied for the request.",
        );
    };
    if !version.starts_with("7.") {
        return refused(
            StatusCode::BAD_REQUEST,
            "VssVersionOutOfRangeException",
            &format!("The requested REST API version of {version} is out of range for this server."),
        );
    }
    let connection = match call.parameter("serviceConnectionId") {
        None => None,
        Some(id) => {
            let found = job
                .connections
                .iter()
                .find(|connection| Uuid::parse_str(id).is_ok_and(|id| id == connection.id));
            if found.is_none() {
                return refused(
                    StatusCode::NOT_FOUND,
                    "ServiceEndpointNotFoundException",
                    &format!("No service connection found with identifier {id}."),
                );
            }
            found
        }
    };
    let (organization, tenant) = (state.running.organization(job), state.tenant().id);
    let by_entra = connection.is_some_and(|connection| connection.entra_issuer);
    let now = call.now / 1000;
    let claims = json!({
        "jti": Uuid::new_v4(),
        "sub": subject(job, organization, connection, tenant),
        "aud": if by_entra { EXCHANGE_APPLICATION } else { EXCHANGE_AUDIENCE },
        "iss": issuer_of(world, organization, connection, tenant),
        "iat": now,
        "nbf": now - EARLY,
        "exp": now + i64::from(job.token_lifetime_s),
        "org_id": organization,
    });
    let key = if by_entra { Some(&*world.key) } else { key(world) };
    match key.and_then(|key| key.sign(&claims).ok()) {
        Some(token) => Reply::ok(json!({"oidcToken": token})),
        None => Reply::empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// Browsers are sent to the sign-in page; clients that say so are not.
fn unauthorized(call: &Call) -> Reply {
    if call.header("x-tfs-fedauthredirect") == Some("Suppress") {
        let page = "<html><head><title>Access Denied: The access token is not valid</title></head></html>";
        return Reply::html(StatusCode::UNAUTHORIZED, page.to_owned()).with_code("Unauthorized");
    }
    let page = "<html><head><title>Object moved</title></head></html>";
    Reply::html(StatusCode::FOUND, page.to_owned())
        .with_header("location", "https://app.vssps.visualstudio.com/_signin")
        .with_code("SignIn")
}

fn refused(status: StatusCode, kind: &str, message: &str) -> Reply {
    let body = json!({"$id": "1", "typeKey": kind, "message": message, "errorCode": 0, "eventId": 3000});
    Reply::json(status, body).with_code(kind)
}
