//! The sign-in chain: which link is used, whose token it gives, and what every link answered when none does.

use super::entra::EntraTransport;
use super::{Cloud, Principal};
use crate::args::{AuthMethod, AzureArgs};
use crate::env::{self, Env};
use azure_core::cloud::CustomConfiguration;
use azure_core::credentials::{AccessToken, Secret, TokenCredential};
use azure_core::http::{ClientOptions, ExponentialRetryOptions, RetryOptions, Transport};
use azure_identity::{
    AzureCliCredential, AzureCliCredentialOptions, ClientAssertionCredentialOptions, ClientSecretCredential,
    ClientSecretCredentialOptions, WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::Mutex;

/// The links in the order in which `auto` tries them.
const CHAIN: [AuthMethod; 3] = [
    AuthMethod::Environment,
    AuthMethod::FederatedFile,
    AuthMethod::AzureCli,
];

/// How long before its end a token is replaced.
const EARLY: Duration = Duration::from_mins(5);

/// No link of the chain gave a token.
#[derive(Debug, thiserror::Error)]
#[error("{}", answers.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct SignInError {
    /// What every link answered, in the order in which they were asked.
    pub answers: Vec<LinkAnswer>,
}

/// What one link of the chain answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkAnswer {
    /// The link, as `--auth` names it.
    pub link: &'static str,
    /// Why it gave no token.
    pub answer: String,
    /// Whether it was configured and refused, rather than not configured.
    pub refused: bool,
}

impl fmt::Display for LinkAnswer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.link, self.answer)
    }
}

/// The tokens of one principal: one per scope, minted when first needed and again shortly before it ends.
pub(super) struct Tokens {
    credential: Arc<dyn TokenCredential>,
    cache: Mutex<HashMap<String, AccessToken>>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tokens").finish_non_exhaustive()
    }
}

impl Tokens {
    /// Walks the chain until a link gives a token for ARM.
    ///
    /// A link that is configured and refused ends the walk: going on would sign in as somebody else by accident.
    pub(super) async fn sign_in(
        args: &AzureArgs,
        env: &Env,
        cloud: &Cloud,
        http: &reqwest::Client,
    ) -> Result<(Self, Principal), SignInError> {
        let links = match args.auth {
            AuthMethod::Auto => &CHAIN[..],
            ref one => std::slice::from_ref(one),
        };
        let mut answers = Vec::new();
        for &method in links {
            let link = name_of(method);
            let credential = match credential(method, args, env, cloud, http) {
                Ok(Ok(credential)) => credential,
                Ok(Err(error)) => {
                    answers.push(LinkAnswer {
                        link,
                        answer: describe(&error),
                        refused: true,
                    });
                    break;
                }
                Err(missing) => {
                    answers.push(LinkAnswer {
                        link,
                        answer: format!("not configured: {missing}"),
                        refused: false,
                    });
                    continue;
                }
            };
            let tokens = Self {
                credential,
                cache: Mutex::default(),
            };
            match tokens.token(&cloud.arm_scope).await {
                Ok(token) => {
                    let principal = principal(link, token.secret(), args, env);
                    return Ok((tokens, principal));
                }
                Err(error) => {
                    answers.push(LinkAnswer {
                        link,
                        answer: describe(&error),
                        refused: true,
                    });
                    break;
                }
            }
        }
        Err(SignInError { answers })
    }

    /// A token for a scope.
    pub(super) async fn token(&self, scope: &str) -> Result<Secret, azure_core::Error> {
        let mut cache = self.cache.lock().await;
        if let Some(token) = cache.get(scope)
            && SystemTime::from(token.expires_on) > SystemTime::now() + EARLY
        {
            return Ok(token.token.clone());
        }
        let token = self.credential.get_token(&[scope], None).await?;
        let secret = token.token.clone();
        cache.insert(scope.to_owned(), token);
        Ok(secret)
    }
}

fn name_of(method: AuthMethod) -> &'static str {
    match method {
        AuthMethod::Auto => "auto",
        AuthMethod::Environment => "environment",
        AuthMethod::FederatedFile => "federated-file",
        AuthMethod::AzureCli => "azure-cli",
    }
}

/// The credential of a link; the outer error says what the link lacks.
fn credential(
    method: AuthMethod,
    args: &AzureArgs,
    env: &Env,
    cloud: &Cloud,
    http: &reqwest::Client,
) -> Result<azure_core::Result<Arc<dyn TokenCredential>>, String> {
    let needed = |name: &str| env.get(name).ok_or_else(|| format!("{name} is not set"));
    let tenant = || {
        let given = args.tenant.clone().or_else(|| env.get(env::azure::TENANT_ID));
        given.ok_or_else(|| format!("neither --tenant nor {} is set", env::azure::TENANT_ID))
    };
    match method {
        AuthMethod::Auto => Err("it is no link of the chain".to_owned()),
        AuthMethod::Environment => {
            let secret = Secret::new(needed(env::azure::CLIENT_SECRET)?);
            let client = needed(env::azure::CLIENT_ID)?;
            let options = ClientSecretCredentialOptions {
                client_options: client_options(cloud, http),
            };
            let made = ClientSecretCredential::new(&tenant()?, client, secret, Some(options));
            Ok(made.map(|credential| credential as Arc<dyn TokenCredential>))
        }
        AuthMethod::FederatedFile => {
            let file = PathBuf::from(needed(env::azure::FEDERATED_TOKEN_FILE)?);
            let credential_options = ClientAssertionCredentialOptions {
                client_options: client_options(cloud, http),
            };
            let options = WorkloadIdentityCredentialOptions {
                credential_options,
                client_id: Some(needed(env::azure::CLIENT_ID)?),
                tenant_id: Some(tenant()?),
                token_file_path: Some(file),
            };
            let made = WorkloadIdentityCredential::new(Some(options));
            Ok(made.map(|credential| credential as Arc<dyn TokenCredential>))
        }
        AuthMethod::AzureCli => {
            if which::which("az").is_err() {
                return Err("`az` is not on the PATH".to_owned());
            }
            // `az account get-access-token` takes a tenant or a subscription, not both.
            let tenant = tenant().ok();
            let options = AzureCliCredentialOptions {
                subscription: args.subscription.first().filter(|_| tenant.is_none()).cloned(),
                tenant_id: tenant,
                executor: None,
            };
            let made = AzureCliCredential::new(Some(options));
            Ok(made.map(|credential| credential as Arc<dyn TokenCredential>))
        }
    }
}

/// Every cloud goes by its own authority, and every request through the client that believes `--ca-file`.
fn client_options(cloud: &Cloud, http: &reqwest::Client) -> ClientOptions {
    let mut custom = CustomConfiguration::default();
    custom.authority_host = cloud.authority.to_string();
    ClientOptions {
        cloud: Some(Arc::new(custom.into())),
        // Nobody waits a minute to learn that the authority's name is wrong.
        retry: RetryOptions::exponential(ExponentialRetryOptions {
            max_retries: 3,
            max_total_elapsed: azure_core::time::Duration::seconds(20),
            ..ExponentialRetryOptions::default()
        }),
        transport: Some(Transport::new(Arc::new(EntraTransport(http.clone())))),
        ..ClientOptions::default()
    }
}

/// An error of `azure_identity` as one line: what it says, then its causes, without its advice and its frame.
fn describe(error: &azure_core::Error) -> String {
    const FRAME: [&str; 2] = ["failed to execute `reqwest` request", "retry policy expired"];
    let own = error.to_string();
    let own = own.split("\nTo troubleshoot").next().unwrap_or_default().trim();
    let own = own
        .split_once(" authentication failed. ")
        .map_or(own, |(_, rest)| rest);
    let mut parts = vec![own.to_owned()];
    parts.extend(crate::failure::causes(error));
    let framed = |part: &String| FRAME.iter().any(|frame| part.starts_with(frame));
    if !parts.iter().all(framed) {
        parts.retain(|part| !framed(part));
    }
    let mut text = String::new();
    for part in &parts {
        if text.contains(part.as_str()) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(part);
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The claims that say who a token is for; the token is ours, so its signature is not checked.
#[derive(Default, Deserialize)]
struct Claims {
    tid: Option<String>,
    oid: Option<String>,
    upn: Option<String>,
    unique_name: Option<String>,
    app_displayname: Option<String>,
    appid: Option<String>,
}

fn principal(link: &str, token: &str, args: &AzureArgs, env: &Env) -> Principal {
    let claims = claims(token).unwrap_or_default();
    let named = args.tenant.clone().or_else(|| env.get(env::azure::TENANT_ID));
    Principal {
        method: link.to_owned(),
        tenant: claims.tid.or(named).unwrap_or_default(),
        object_id: claims.oid,
        name: claims
            .upn
            .or(claims.unique_name)
            .or(claims.app_displayname)
            .or(claims.appid),
    }
}

fn claims(token: &str) -> Option<Claims> {
    let payload = token.split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn fail(args: &AzureArgs, env: &Env) -> Vec<LinkAnswer> {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let cloud = Cloud::resolve(Some("public"), env).unwrap();
        let http = reqwest::Client::new();
        Tokens::sign_in(args, env, &cloud, &http)
            .await
            .unwrap_err()
            .answers
    }

    #[tokio::test]
    async fn a_link_that_is_not_configured_says_what_is_missing() {
        let args = AzureArgs {
            auth: AuthMethod::Environment,
            ..AzureArgs::default()
        };
        let env = Env::of([
            (env::azure::CLIENT_SECRET, "hidden"),
            (env::azure::CLIENT_ID, "app"),
        ]);
        let answers = fail(&args, &env).await;
        assert_eq!(answers.len(), 1);
        assert_eq!(
            answers[0].to_string(),
            "environment: not configured: neither --tenant nor AZURE_TENANT_ID is set"
        );
        assert!(!answers[0].refused);
    }

    #[tokio::test]
    async fn a_configured_link_that_refuses_ends_the_chain() {
        let env = Env::of([
            (env::azure::TENANT_ID, "not a tenant!"),
            (env::azure::CLIENT_ID, "app"),
            (env::azure::CLIENT_SECRET, "hidden"),
        ]);
        let answers = fail(&AzureArgs::default(), &env).await;
        assert_eq!(answers.len(), 1);
        assert!(answers[0].refused);
        assert!(!answers[0].answer.contains("hidden"), "{}", answers[0]);
    }

    #[test]
    fn the_principal_is_who_the_token_names() {
        let payload = URL_SAFE_NO_PAD.encode(r#"{"tid": "t", "oid": "o", "appid": "a"}"#);
        let principal = principal(
            "environment",
            &format!("h.{payload}.s"),
            &AzureArgs::default(),
            &Env::Process,
        );
        assert_eq!(principal.to_string(), "a of tenant t (environment)");
        assert_eq!(principal.object_id.as_deref(), Some("o"));
    }
}
