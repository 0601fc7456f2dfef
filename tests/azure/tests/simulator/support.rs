//! A simulator with a tenant, an operator, a cluster, a vault and an identity, and a client that asks it.

use azure_sim::{Authority, AzureSim, Seed, Weather};
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use crate::issuer::{AUDIENCE, Issuer, SUBJECT};

pub(crate) const ARM_SCOPE: &str = "https://management.azure.com/.default";
pub(crate) const VAULT_SCOPE: &str = "https://vault.azure.net/.default";
pub(crate) const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

pub(crate) const OPERATOR: &str = "33333333-3333-4333-8333-333333333333";
pub(crate) const OPERATOR_OBJECT: &str = "44444444-4444-4444-8444-444444444444";
pub(crate) const READER: &str = "55555555-5555-4555-8555-555555555555";
pub(crate) const OPERATOR_SECRET: &str = "operators-client-secret";
pub(crate) const SECRET_VALUE: &str = "value-of-the-secret";
pub(crate) const CLIENT: &str = "66666666-6666-4666-8666-666666666666";
pub(crate) const PRINCIPAL: &str = "77777777-7777-4777-8777-777777777777";

pub(crate) const SECRETS_USER: &str = "4633458b-17de-408a-b874-0445c86b69e6";
pub(crate) const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// Null if there was no JSON.
    pub(crate) body: Value,
    pub(crate) text: String,
}

impl Answer {
    /// The error code of the body, in either shape.
    pub(crate) fn code(&self) -> &str {
        self.body["error"]["code"]
            .as_str()
            .or_else(|| self.body["code"].as_str())
            .unwrap_or_default()
    }

    /// The error message of the body.
    pub(crate) fn message(&self) -> &str {
        self.body["error"]["message"].as_str().unwrap_or_default()
    }

    /// Key Vault's inner code.
    pub(crate) fn inner(&self) -> &str {
        self.body["error"]["innererror"]["code"]
            .as_str()
            .unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map(|value| value.to_str().unwrap())
            .unwrap_or_default()
    }
}

/// A running simulator with an issuer.
pub(crate) struct Setup {
    pub(crate) sim: AzureSim,
    pub(crate) issuer: Issuer,
    pub(crate) tenant: String,
    pub(crate) subscription: String,
    http: reqwest::Client,
}

impl Setup {
    /// The usual one.
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// The usual one under this weather.
    pub(crate) fn in_weather(weather: Weather) -> Self {
        Self::with(|seed| seed.weather = weather)
    }

    /// With a changed seed.
    pub(crate) fn with(change: impl FnOnce(&mut Seed)) -> Self {
        let authority = Authority::generate().unwrap();
        let issuer = Issuer::start(&authority);
        let mut seed = seed(&issuer);
        change(&mut seed);
        let (tenant, subscription) = (seed.tenant.id.to_string(), seed.subscriptions[0].id.to_string());
        let root = reqwest::Certificate::from_pem(authority.pem().as_bytes()).unwrap();
        let http = reqwest::Client::builder()
            .tls_certs_only([root])
            .no_proxy()
            .build()
            .unwrap();
        let sim = AzureSim::start_with(seed, authority, None).unwrap();
        Self {
            sim,
            issuer,
            tenant,
            subscription,
            http,
        }
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        url: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Answer {
        self.send_with(method, url, token, body, &[]).await
    }

    pub(crate) async fn send_with(
        &self,
        method: Method,
        url: &str,
        token: Option<&str>,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = self.http.request(method, url);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer(request).await
    }

    /// Whether a request ends without an answer.
    pub(crate) async fn is_unanswered(&self, url: &str) -> bool {
        let error = self.http.get(url).send().await.err();
        error.is_some_and(|error| error.is_request() && !error.is_connect() && !error.is_timeout())
    }

    /// Posts a form to the token endpoint.
    pub(crate) async fn token_of(&self, tenant: &str, form: &[(&str, &str)]) -> Answer {
        let url = format!("{}{tenant}/oauth2/v2.0/token", self.sim.entra_url());
        answer(self.http.post(url).form(form)).await
    }

    /// Exchanges an assertion for a token of the identity.
    pub(crate) async fn exchange(&self, assertion: &str) -> Answer {
        self.exchange_as(CLIENT, assertion).await
    }

    pub(crate) async fn exchange_as(&self, client: &str, assertion: &str) -> Answer {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", client),
            ("scope", VAULT_SCOPE),
            ("client_assertion_type", ASSERTION_TYPE),
            ("client_assertion", assertion),
        ];
        self.token_of(&self.tenant, &form).await
    }

    /// A token by client secret.
    pub(crate) async fn sign_in(&self, client: &str, scope: &str) -> String {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", client),
            ("scope", scope),
            ("client_secret", OPERATOR_SECRET),
        ];
        let answer = self.token_of(&self.tenant, &form).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body["access_token"].as_str().unwrap().to_owned()
    }

    /// Asks the resource manager as the operator; the path may have a query.
    pub(crate) async fn arm(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        self.arm_as(OPERATOR, method, path, body).await
    }

    pub(crate) async fn arm_as(
        &self,
        client: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Answer {
        let token = self.sign_in(client, ARM_SCOPE).await;
        self.send(method, &self.arm_url(path), Some(&token), body).await
    }

    /// The URL of a path, with the version that its provider serves.
    pub(crate) fn arm_url(&self, path: &str) -> String {
        let version = match path {
            path if path.contains("api-version=") => return format!("{}{path}", self.sim.arm_url()),
            path if path.contains("Microsoft.Authorization/") => "2022-04-01",
            path if path.contains("Microsoft.ContainerService/") => "2026-04-01",
            path if path.contains("Microsoft.KeyVault/") => "2023-07-01",
            path if path.contains("Microsoft.ManagedIdentity/") => "2024-11-30",
            path if path.contains("Microsoft.ResourceGraph/") => "2024-04-01",
            _ => "2022-12-01",
        };
        let separator = if path.contains('?') { '&' } else { '?' };
        format!("{}{path}{separator}api-version={version}", self.sim.arm_url())
    }

    /// The identity's id.
    pub(crate) fn identity(&self) -> String {
        self.resource("Microsoft.ManagedIdentity/userAssignedIdentities/id-orders")
    }

    /// An id in the resource group, without a leading slash.
    pub(crate) fn resource(&self, rest: &str) -> String {
        format!(
            "subscriptions/{}/resourceGroups/rg/providers/{rest}",
            self.subscription
        )
    }

    /// A role assignment's path at a scope.
    pub(crate) fn assignment(scope: &str, name: &str) -> String {
        format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}")
    }

    /// The body of a role assignment.
    pub(crate) fn grant(role: &str, principal: &str) -> Value {
        let role = format!("/providers/Microsoft.Authorization/roleDefinitions/{role}");
        json!({"properties": {
            "roleDefinitionId": role, "principalId": principal, "principalType": "ServicePrincipal",
        }})
    }

    /// Reads a secret of the vault as the identity.
    pub(crate) async fn read_secret(&self, name: &str) -> Answer {
        let token = self.exchange(&self.issuer.token()).await;
        let token = token.body["access_token"]
            .as_str()
            .unwrap_or_else(|| panic!("{token:?}"))
            .to_owned();
        self.ask_vault(
            Method::GET,
            &format!("secrets/{name}?api-version=7.5"),
            Some(&token),
            None,
        )
        .await
    }

    pub(crate) async fn ask_vault(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Answer {
        let url = format!("{}{path}", self.sim.vault_url("kv-central").unwrap());
        self.send(method, &url, token, body).await
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await.unwrap();
    Answer {
        status,
        headers,
        body: serde_json::from_str(&text).unwrap_or_default(),
        text,
    }
}

/// A cluster, a vault with three secrets, an identity with a federated credential and a role on one secret.
fn seed(issuer: &Issuer) -> Seed {
    let mut document = serde_json::to_value(Seed::on_loopback("test")).unwrap();
    let subscription = format!(
        "/subscriptions/{}",
        document["subscriptions"][0]["id"].as_str().unwrap()
    );
    let change = json!({
        "servicePrincipals": [
            {"displayName": "operator", "clientId": OPERATOR, "objectId": OPERATOR_OBJECT,
             "secrets": [OPERATOR_SECRET]},
            {"displayName": "reader", "clientId": READER, "secrets": [OPERATOR_SECRET]},
        ],
        "resourceGroups": [{"name": "rg", "location": "westeurope"}],
        "clusters": [{
            "resourceGroup": "rg", "name": "aks-weu-1", "location": "westeurope", "fqdn": "198.18.1.1",
            "issuerUrl": issuer.url, "oidcIssuerEnabled": false, "workloadIdentityEnabled": false,
        }],
        "vaults": [{
            "resourceGroup": "rg", "name": "kv-central", "location": "westeurope", "address": "127.0.0.1:0",
            "secrets": [
                {"name": "db-password", "value": SECRET_VALUE},
                {"name": "db-password-2", "value": SECRET_VALUE},
                {"name": "off", "value": SECRET_VALUE, "enabled": false},
            ],
        }],
        "identities": [{
            "resourceGroup": "rg", "name": "id-orders", "location": "westeurope", "clientId": CLIENT,
            "principalId": PRINCIPAL,
            "federatedCredentials": [
                {"name": "orders", "issuer": issuer.url, "subject": SUBJECT, "audiences": [AUDIENCE]},
            ],
        }],
        "roleAssignments": [
            {"principal": "operator", "role": "Owner", "scope": subscription},
            {"principal": "reader", "role": "Reader", "scope": subscription},
            {"principal": "id-orders", "role": "Key Vault Secrets User",
             "scope": format!("{subscription}/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/kv-central\
                               /secrets/db-password")},
        ],
        "weather": {"clusterUpdateMs": 0, "credentialWriteMs": 0},
    });
    document
        .as_object_mut()
        .unwrap()
        .extend(change.as_object().unwrap().clone());
    Seed::from_json(&document.to_string()).unwrap()
}
