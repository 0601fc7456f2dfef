//! A simulator of a test's own, and its operator, who is signed in and may do everything.

use azure_sim::{Authority, AzureSim, Seed};
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

const OPERATOR: &str = "33333333-3333-4333-8333-333333333333";
const SECRET: &str = "operators-client-secret";

/// Somebody to whom a role can be given.
pub(crate) const PRINCIPAL: &str = "77777777-7777-4777-8777-777777777777";

/// For which service a token is.
#[derive(Clone, Copy)]
pub(crate) enum Service {
    Manager,
    Vault,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

pub(crate) struct Session {
    pub(crate) sim: AzureSim,
    http: reqwest::Client,
    tokens: [String; 2],
}

impl Session {
    /// Starts with one subscription, the operator, somebody else of this object id, and more fields of a seed.
    pub(crate) async fn start(name: &str, subscription: &str, principal: &str, more: &Value) -> Self {
        let authority = Authority::generate().unwrap();
        let root = reqwest::Certificate::from_pem(authority.pem().as_bytes()).unwrap();
        let http = reqwest::Client::builder().tls_certs_only([root]).no_proxy();
        let http = http.build().unwrap();
        let all = format!("/subscriptions/{subscription}");
        let roles = ["Owner", "Key Vault Administrator"]
            .map(|role| json!({"principal": "operator", "role": role, "scope": all}));
        let mut document = serde_json::to_value(Seed::on_loopback(name)).unwrap();
        let own = json!({
            "subscriptions": [{"id": subscription}],
            "servicePrincipals": [
                {"displayName": "operator", "clientId": OPERATOR, "secrets": [SECRET]},
                {"displayName": "principal", "objectId": principal},
            ],
            "roleAssignments": roles,
        });
        let fields = document.as_object_mut().unwrap();
        fields.extend(own.as_object().unwrap().clone());
        fields.extend(more.as_object().unwrap().clone());
        let seed = Seed::from_json(&document.to_string()).unwrap();
        let audiences = [seed.arm_audience.clone(), seed.vault_audience.clone()];
        let tenant = seed.tenant.id;
        let sim = AzureSim::start_with(seed, authority, None).unwrap();
        let url = format!("{}{tenant}/oauth2/v2.0/token", sim.entra_url());
        let mut tokens = [String::new(), String::new()];
        for (token, audience) in tokens.iter_mut().zip(audiences) {
            let form = [
                ("grant_type", "client_credentials"),
                ("client_id", OPERATOR),
                ("client_secret", SECRET),
                ("scope", &format!("{}/.default", audience.trim_end_matches('/'))),
            ];
            let answer = http.post(&url).form(&form).send().await.unwrap();
            let body: Value = answer.json().await.unwrap();
            body["access_token"].as_str().unwrap().clone_into(token);
        }
        Self { sim, http, tokens }
    }

    /// Sends a request as the operator, or without a token.
    pub(crate) async fn send(
        &self,
        signed_in: Option<Service>,
        method: &str,
        url: &str,
        body: Option<&Value>,
    ) -> Answer {
        let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
        let mut request = self.http.request(method, url);
        if let Some(service) = signed_in {
            request = request.bearer_auth(&self.tokens[service as usize]);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.unwrap();
        Answer {
            status: answer.status().as_u16(),
            headers: answer.headers().clone(),
            body: answer.json().await.unwrap_or_default(),
        }
    }
}
