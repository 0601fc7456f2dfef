//! The sign-in chain: which link is used, whose token it gives, and what every link answered when none does.

mod advice;
mod assertion;
mod link;

use super::{Cloud, Principal};
use crate::args::{AuthMethod, AzureArgs};
use crate::env::Env;
use azure_core::credentials::{AccessToken, Secret, TokenCredential};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use link::{CHAIN, Place, is_ambient, name_of};
use serde::Deserialize;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::Mutex;

/// How long before its end a token is replaced.
const EARLY: Duration = Duration::from_mins(5);

/// Nobody is signed in.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// No link of the chain gave a token.
    #[error("{}", answers.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    NoToken {
        /// What every link answered, in the order in which they were asked.
        answers: Vec<LinkAnswer>,
    },
    /// Two links of the chain give tokens of different principals, and no person is there to see which one is used.
    #[error("two sign-ins are possible, as different principals: {first} and {second}")]
    SeveralPrincipals {
        /// Who the first link signs in.
        first: Box<Principal>,
        /// Who a later one does.
        second: Box<Principal>,
    },
}

impl SignInError {
    /// What every link that was asked answered, where none gave a token.
    pub fn answers(&self) -> &[LinkAnswer] {
        match self {
            Self::NoToken { answers } => answers,
            Self::SeveralPrincipals { .. } => &[],
        }
    }
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
    /// Whether it is there without anybody having put it there for this command.
    pub is_ambient: bool,
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
    /// A link that was set up and refused ends the walk: going on would sign in as somebody else by accident. In CI,
    /// where nobody looks at the name, the links behind the first that works must not be somebody else either.
    pub(super) async fn sign_in(
        args: &AzureArgs,
        env: &Env,
        cloud: &Cloud,
        http: &reqwest::Client,
    ) -> Result<(Self, Principal), SignInError> {
        let place = Place {
            args,
            env,
            cloud,
            http,
        };
        let links = match args.auth {
            AuthMethod::Auto => &CHAIN[..],
            ref one => std::slice::from_ref(one),
        };
        let mut answers = Vec::new();
        let mut signed_in: Option<(Self, Principal)> = None;
        for &method in links {
            if signed_in.is_some() && !place.is_offered(method) {
                continue;
            }
            match (Self::of_link(method, place).await, &signed_in) {
                (Ok(first), None) if env.is_ci() => signed_in = Some(first),
                (Ok(only), None) => return Ok(only),
                (Ok((_, second)), Some((_, first))) if !first.is_same(&second) => {
                    return Err(SignInError::SeveralPrincipals {
                        first: Box::new(first.clone()),
                        second: Box::new(second),
                    });
                }
                (Err(answer), None) => {
                    let ends = answer.refused && !answer.is_ambient;
                    answers.push(answer);
                    if ends {
                        break;
                    }
                }
                (Ok(_) | Err(_), Some(_)) => {}
            }
        }
        signed_in.ok_or(SignInError::NoToken { answers })
    }

    /// The tokens of one link and whose they are.
    async fn of_link(method: AuthMethod, place: Place<'_>) -> Result<(Self, Principal), LinkAnswer> {
        let link = name_of(method);
        let refused = |answer: String| LinkAnswer {
            link,
            answer,
            refused: true,
            is_ambient: is_ambient(method),
        };
        let credential = place.credential(method).await.map_err(|missing| LinkAnswer {
            link,
            answer: format!("not configured: {missing}"),
            refused: false,
            is_ambient: is_ambient(method),
        })?;
        let tokens = Self {
            credential: credential.map_err(|error| refused(describe(&error)))?,
            cache: Mutex::default(),
        };
        let token = tokens.token(&place.cloud.arm_scope).await;
        let token = token.map_err(|error| refused(describe(&error)))?;
        let principal = principal(link, token.secret(), place.named_tenant());
        match place.named_tenant() {
            Some(named) if is_another(&named, &principal.tenant) => Err(refused(format!(
                "it gives tokens of tenant {}, and tenant {named} is asked for",
                principal.tenant
            ))),
            _ => Ok((tokens, principal)),
        }
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

#[cfg(test)]
impl Tokens {
    /// A token that is nobody's, for tests of what is sent with it.
    pub(super) fn fixed(scope: &str) -> Self {
        let end = SystemTime::now() + Duration::from_hours(1);
        let token = AccessToken::new("nobody's", end.into());
        Self {
            credential: azure_identity::ManagedIdentityCredential::new(None).unwrap(),
            cache: Mutex::new(HashMap::from([(scope.to_owned(), token)])),
        }
    }
}

/// Whether a tenant that was asked for is certainly not the one of a token: tenants have names besides their ids, and
/// those cannot be compared.
fn is_another(named: &str, tenant: &str) -> bool {
    let id = |text: &str| uuid::Uuid::parse_str(text).ok();
    matches!((id(named), id(tenant)), (Some(named), Some(tenant)) if named != tenant)
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

fn principal(link: &str, token: &str, named_tenant: Option<String>) -> Principal {
    let claims = claims(token).unwrap_or_default();
    Principal {
        method: link.to_owned(),
        tenant: claims.tid.or(named_tenant).unwrap_or_default(),
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
    use crate::env;
    use clap::ValueEnum;

    async fn fail(args: &AzureArgs, env: &Env) -> Vec<LinkAnswer> {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let cloud = Cloud::resolve(Some("public"), env).unwrap();
        let http = reqwest::Client::new();
        let error = Tokens::sign_in(args, env, &cloud, &http).await.unwrap_err();
        error.answers().to_vec()
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

    #[tokio::test]
    async fn a_token_that_the_webhook_mounted_is_the_pods_own() {
        let env = Env::of([
            (env::azure::TENANT_ID, "t"),
            (env::azure::CLIENT_ID, "app"),
            (
                env::azure::FEDERATED_TOKEN_FILE,
                "/var/run/secrets/azure/wi/token/absent-in-this-test",
            ),
        ]);
        let answers = fail(&AzureArgs::default(), &env).await;
        let told: Vec<String> = answers.iter().map(ToString::to_string).collect();
        let file = told.iter().find(|answer| answer.starts_with("federated-file: "));
        assert!(file.unwrap().ends_with("that is workload-identity"), "{told:?}");
        // It was set up and cannot be read: nobody behind it is signed in instead.
        let last = answers.last().unwrap();
        assert_eq!((last.link, last.refused), ("workload-identity", true), "{told:?}");
    }

    #[test]
    fn the_chain_has_every_link_in_the_order_of_the_help() {
        let offered = AuthMethod::value_variants();
        assert_eq!(offered[0], AuthMethod::Auto);
        assert_eq!(offered[1..], CHAIN);
        for method in offered {
            assert_eq!(method.to_possible_value().unwrap().get_name(), name_of(*method));
        }
    }

    #[test]
    fn tenants_are_told_apart_by_their_ids_alone() {
        let (one, other) = (
            "11111111-1111-4111-8111-111111111111",
            "22222222-2222-4222-8222-222222222222",
        );
        assert!(is_another(one, other));
        assert!(!is_another(one, &one.to_uppercase()));
        assert!(!is_another("contoso.onmicrosoft.com", one));
    }

    #[test]
    fn the_principal_is_who_the_token_names() {
        let payload = URL_SAFE_NO_PAD.encode(r#"{"tid": "t", "oid": "o", "appid": "a"}"#);
        let principal = principal("environment", &format!("h.{payload}.s"), None);
        assert_eq!(principal.to_string(), "a of tenant t (environment)");
        assert_eq!(principal.object_id.as_deref(), Some("o"));
    }
}
