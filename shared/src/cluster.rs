//! One cluster reached through one kubeconfig context, and what every command reads from it.

use crate::args::KubeArgs;
use crate::env::{self, Env};
use crate::exec_plugin::{Plugin, PluginError};
use crate::identity::{Audience, Issuer, ServiceAccountRef};
use crate::kubeconfig::Kubeconfig;
use crate::trust::TrustedRoots;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::PostParams;
use kube::client::ClientBuilder;
use kube::config::KubeConfigOptions;
use kube::{Api, Client};
use serde::Deserialize;
use std::io::IsTerminal;
use std::time::Duration;
use tower::util::{MapErrLayer, MapRequestLayer};
use url::Url;

/// A cluster that requests can be sent to.
#[derive(Clone)]
pub struct Cluster {
    /// The kubeconfig context.
    pub context: String,
    /// The URL of its API server.
    pub server: Url,
    /// Sends the requests.
    pub client: Client,
    /// The context's namespace, else `default`.
    pub namespace: String,
}

/// How clusters are reached; the same for all of a run.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Bound on one request; `None` waits for ever.
    pub request_timeout: Option<Duration>,
    /// Roots believed besides those of the kubeconfig.
    pub roots: TrustedRoots,
    /// Where proxies are configured.
    pub env: Env,
}

impl Connection {
    /// The connection that the flags ask for; a request timeout of zero is none.
    pub fn new(args: &KubeArgs, roots: TrustedRoots, env: &Env) -> Self {
        let request_timeout = Some(args.request_timeout).filter(|timeout| !timeout.is_zero());
        Self {
            request_timeout,
            roots,
            env: env.clone(),
        }
    }
}

/// A cluster cannot be reached or does not answer as one.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The context does not lead to a usable client.
    #[error("context {context:?} cannot be used")]
    Config {
        /// The context.
        context: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A request failed.
    #[error("cannot read {what} of cluster {context:?}")]
    Request {
        /// The context.
        context: String,
        /// What was asked for.
        what: String,
        /// Why.
        source: Box<kube::Error>,
    },
}

impl ClusterError {
    /// The status code that the API server answered.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Request { source, .. } => match source.as_ref() {
                kube::Error::Api(status) => Some(status.code),
                _ => None,
            },
            Self::Config { .. } => None,
        }
    }

    /// Whether the API server denied a right.
    pub fn is_forbidden(&self) -> bool {
        self.code() == Some(403)
    }

    /// Whether the API server did not answer at all, rather than with a refusal.
    pub fn is_unreachable(&self) -> bool {
        match self {
            // Whoever has no credential does not even ask.
            _ if PluginError::among_causes(self).is_some() => false,
            Self::Config { .. } => false,
            Self::Request { source, .. } => match source.as_ref() {
                // A gateway before an API server that is down.
                kube::Error::Api(status) => matches!(status.code, 502..=504),
                kube::Error::HyperError(_) | kube::Error::Service(_) | kube::Error::ReadEvents(_) => true,
                _ => false,
            },
        }
    }
}

/// What the API server publishes about its tokens, from `/.well-known/openid-configuration`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Discovery {
    /// The issuer of the cluster's tokens.
    pub issuer: Issuer,
    /// Where the public keys are.
    pub jwks_uri: String,
}

/// A service account token. It has no `Debug`: it must not reach a log.
#[derive(Clone)]
pub struct AccountToken(String);

impl AccountToken {
    /// Wraps a token.
    pub const fn new(token: String) -> Self {
        Self(token)
    }

    /// The token itself, for the one request that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Cluster")
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// Makes a client for a context; sends nothing yet. An exec credential plugin may run, on a thread of its own: a
    /// caller that stops waiting is free at once.
    pub async fn connect(
        kubeconfig: &Kubeconfig,
        context: &str,
        connection: &Connection,
    ) -> Result<Self, ClusterError> {
        let error = |source: Box<dyn std::error::Error + Send + Sync>| ClusterError::Config {
            context: context.to_owned(),
            source,
        };
        let options = KubeConfigOptions {
            context: Some(context.to_owned()),
            ..KubeConfigOptions::default()
        };
        let mut config = kube::Config::from_custom_kubeconfig(kubeconfig.file().clone(), &options)
            .await
            .map_err(|source| error(source.into()))?;
        config.connect_timeout = Some(Duration::from_secs(10));
        config.read_timeout = connection.request_timeout;
        config.write_timeout = connection.request_timeout;
        config.reset_reader_on_write = true;
        config.root_cert = connection.roots.beside(config.root_cert.take());
        let server = Url::parse(&config.cluster_url.to_string()).map_err(|source| error(source.into()))?;
        // kube matches NO_PROXY against the proxy's own address, so the choice is made here.
        let own_proxy = kubeconfig_proxy(kubeconfig, context);
        config.proxy_url = match own_proxy.or_else(|| environment_proxy(&server, &connection.env)) {
            Some(proxy) => Some(
                proxy
                    .parse()
                    .map_err(|source: http::uri::InvalidUri| error(source.into()))?,
            ),
            None => None,
        };
        let namespace = config.default_namespace.clone();
        let plugin = Plugin::prepare(&mut config.auth_info, std::io::stdin().is_terminal())
            .map_err(|source| error(source.into()))?;
        let client = tokio::task::spawn_blocking(move || client(config, plugin))
            .await
            .map_err(|source| error(source.into()))?
            .map_err(error)?;
        Ok(Self {
            context: context.to_owned(),
            server,
            client,
            namespace,
        })
    }

    /// The issuer discovery document of the API server itself.
    pub async fn discovery(&self) -> Result<Discovery, ClusterError> {
        let request = http::Request::get("/.well-known/openid-configuration")
            .body(Vec::new())
            .map_err(|source| self.request_error("issuer discovery", kube::Error::HttpError(source)))?;
        self.client
            .request(request)
            .await
            .map_err(|source| self.request_error("issuer discovery", source))
    }

    /// The UID of `kube-system`: the identity of the cluster itself, whatever context leads to it.
    pub async fn uid(&self) -> Result<String, ClusterError> {
        let namespace = Api::<Namespace>::all(self.client.clone())
            .get("kube-system")
            .await
            .map_err(|source| self.request_error("namespace kube-system", source))?;
        Ok(namespace.metadata.uid.unwrap_or_default())
    }

    /// A service account, or none.
    pub async fn service_account(
        &self,
        account: &ServiceAccountRef,
    ) -> Result<Option<ServiceAccount>, ClusterError> {
        Api::<ServiceAccount>::namespaced(self.client.clone(), &account.namespace)
            .get_opt(&account.name)
            .await
            .map_err(|source| self.request_error(&format!("service account {account}"), source))
    }

    /// Whether a namespace exists.
    pub async fn has_namespace(&self, name: &str) -> Result<bool, ClusterError> {
        let found = Api::<Namespace>::all(self.client.clone())
            .get_opt(name)
            .await
            .map_err(|source| self.request_error(&format!("namespace {name}"), source))?;
        Ok(found.is_some())
    }

    /// A fresh token of a service account for one audience, by the `TokenRequest` API; bound to nothing but
    /// the account. Kubernetes gives no token of less than ten minutes.
    pub async fn account_token(
        &self,
        account: &ServiceAccountRef,
        audience: &Audience,
    ) -> Result<AccountToken, ClusterError> {
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: vec![audience.0.clone()],
                expiration_seconds: Some(600),
                bound_object_ref: None,
            },
            ..TokenRequest::default()
        };
        let reply = Api::<ServiceAccount>::namespaced(self.client.clone(), &account.namespace)
            .create_token_request(&account.name, &PostParams::default(), &request)
            .await
            .map_err(|source| self.request_error(&format!("a token of service account {account}"), source))?;
        Ok(AccountToken(
            reply.status.map(|status| status.token).unwrap_or_default(),
        ))
    }

    /// An error about a request to this cluster.
    pub fn request_error(&self, what: &str, source: kube::Error) -> ClusterError {
        ClusterError::Request {
            context: self.context.clone(),
            what: what.to_owned(),
            source: Box::new(source),
        }
    }
}

/// A client whose errors, now and at every later refresh of its credential, tell nothing of what a plugin was given
/// or printed.
fn client(config: kube::Config, plugin: Plugin) -> Result<Client, Box<dyn std::error::Error + Send + Sync>> {
    let builder = ClientBuilder::try_from(config).map_err(|error| plugin.mask(error.into()))?;
    let mask = MapErrLayer::new(move |error| plugin.mask(error));
    let count = MapRequestLayer::new(|request: http::Request<_>| {
        crate::requests::count_cluster();
        request
    });
    Ok(builder.with_layer(&count).with_layer(&mask).build())
}

fn kubeconfig_proxy(kubeconfig: &Kubeconfig, context: &str) -> Option<String> {
    let file = kubeconfig.file();
    let context = file
        .contexts
        .iter()
        .find(|named| named.name == context)?
        .context
        .as_ref()?;
    let cluster = file
        .clusters
        .iter()
        .find(|named| named.name == context.cluster)?
        .cluster
        .as_ref()?;
    cluster.proxy_url.clone().filter(|url| !url.is_empty())
}

/// The proxy that the environment sets for a server, if any.
fn environment_proxy(server: &Url, env: &Env) -> Option<String> {
    let proxy = env.get_any_case(env::kube::HTTPS_PROXY)?;
    let exempt = env.get_any_case(env::kube::NO_PROXY).unwrap_or_default();
    let host = server.host_str()?.trim_matches(['[', ']']);
    (!is_exempt(host, &exempt)).then_some(proxy)
}

/// Whether a `NO_PROXY` list names a host: by name, by domain, by address or by network in CIDR notation.
fn is_exempt(host: &str, list: &str) -> bool {
    list.split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .any(|entry| {
            if entry == "*" || entry.eq_ignore_ascii_case(host) {
                return true;
            }
            if let Some((network, bits)) = entry.split_once('/') {
                return in_network(host, network, bits);
            }
            let domain = entry.trim_start_matches('.').to_ascii_lowercase();
            host.to_ascii_lowercase()
                .strip_suffix(&domain)
                .is_some_and(|rest| rest.ends_with('.'))
        })
}

fn in_network(host: &str, network: &str, bits: &str) -> bool {
    let (Ok(host), Ok(network), Ok(bits)) = (
        host.parse::<std::net::Ipv4Addr>(),
        network.parse::<std::net::Ipv4Addr>(),
        bits.parse::<u32>(),
    ) else {
        return false;
    };
    let mask = u32::MAX.checked_shl(32_u32.saturating_sub(bits)).unwrap_or(0);
    bits <= 32 && host.to_bits() & mask == network.to_bits() & mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_proxy_names_hosts_domains_and_networks() {
        for (host, list, exempt) in [
            ("a.hcp.weu.azmk8s.io", "azmk8s.io", true),
            ("a.hcp.weu.azmk8s.io", ".azmk8s.io,x", true),
            ("evilazmk8s.io", "azmk8s.io", false),
            ("10.1.2.3", "10.1.0.0/16", true),
            ("10.2.2.3", "10.1.0.0/16", false),
            ("10.1.2.3", "0.0.0.0/0", true),
            ("a.io", "*", true),
            ("a.io", "", false),
        ] {
            assert_eq!(is_exempt(host, list), exempt, "{host} in {list}");
        }
    }

    #[test]
    fn the_proxy_of_the_environment_is_used_unless_the_server_is_exempt() {
        let server = Url::parse("https://10.1.2.3:443").unwrap();
        let env = Env::of([("https_proxy", "http://127.0.0.1:3128")]);
        assert_eq!(
            environment_proxy(&server, &env).as_deref(),
            Some("http://127.0.0.1:3128")
        );
        let env = Env::of([
            ("https_proxy", "http://127.0.0.1:3128"),
            ("NO_PROXY", "10.0.0.0/8"),
        ]);
        assert_eq!(environment_proxy(&server, &env), None);
    }
}
