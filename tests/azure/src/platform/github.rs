//! GitHub Actions: a job's OIDC token, as
//! <https://docs.github.com/actions/reference/security/oidc> describes it.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::published;
use crate::http::{Call, Reply};
use crate::jwt::SigningKey;
use crate::seed::GithubJob;
use crate::world::World;

/// Seconds before its issue from which a token is valid already.
const EARLY: i64 = 600;

/// Without a slash at the end, as GitHub has it.
fn issuer(world: &World) -> String {
    format!("{}github", world.urls.platform)
}

fn key(world: &World) -> Option<&SigningKey> {
    world
        .platform_keys
        .github
        .get_or_init(|| SigningKey::generate().ok())
        .as_ref()
}

/// The subject: the deployment environment where there is one, else the branch or tag.
fn subject(job: &GithubJob) -> String {
    let filter = job.environment.as_ref().map_or_else(
        || format!("ref:{}", job.reference),
        |name| format!("environment:{name}"),
    );
    format!("repo:{}:{filter}", job.repository)
}

pub(super) fn describe(job: &GithubJob, world: &World) -> Value {
    json!({
        "name": job.name,
        "issuer": issuer(world),
        "subject": subject(job),
        "requestUrl": format!("{}/jobs/{}/idtoken?api-version=2.0", issuer(world), job.name),
    })
}

/// Answers one request below GitHub's path; none if nothing is there.
pub(super) fn answer(world: &World, call: &Call, rest: &[&str]) -> Option<Reply> {
    match rest {
        ["jobs", name, "idtoken"] => Some(token(world, call, name)),
        _ => published(call, &issuer(world), key(world), rest),
    }
}

fn token(world: &World, call: &Call, name: &str) -> Reply {
    if call.method != Method::GET {
        return Reply::empty(StatusCode::METHOD_NOT_ALLOWED);
    }
    let state = world.state();
    let job = state.running.github.iter().find(|job| job.name == name);
    let Some(job) = job.filter(|job| call.bearer() == Some(job.request_token.0.as_str())) else {
        let body =
            json!({"typeKey": "NotAuthorizedException", "message": "The request token is not of this job."});
        return Reply::json(StatusCode::UNAUTHORIZED, body).with_code("NotAuthorizedException");
    };
    let owner = job.repository.split('/').next().unwrap_or_default();
    let audience = call
        .parameter("audience")
        .map_or_else(|| format!("https://github.com/{owner}"), str::to_owned);
    let now = call.now / 1000;
    let mut claims = json!({
        "jti": Uuid::new_v4(),
        "sub": subject(job),
        "aud": audience,
        "iss": issuer(world),
        "iat": now,
        "nbf": now - EARLY,
        "exp": now + i64::from(job.token_lifetime_s),
        "ref": job.reference,
        "ref_type": if job.reference.starts_with("refs/tags/") { "tag" } else { "branch" },
        "repository": job.repository,
        "repository_owner": owner,
        "event_name": "push",
        "runner_environment": "github-hosted",
    });
    if let Some(environment) = &job.environment {
        claims["environment"] = environment.clone().into();
    }
    match key(world).and_then(|key| key.sign(&claims).ok()) {
        Some(value) => Reply::ok(json!({"count": value.len(), "value": value})),
        None => Reply::empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}
