//! Clients that are not ours, driven against the simulator: Azure's SDKs for Rust.
//!
//! | Crate | Client | Here |
//! |---|---|---|
//! | `azure_identity` | `WorkloadIdentityCredential` | a federated token from a file becomes an identity's token |
//! | | `ClientAssertionCredential` | a job of GitHub Actions asks for an assertion each time |
//! | | `ClientSecretCredential` | a secret, a wrong one, an application that is gone |
//! | | `ManagedIdentityCredential` | the machine's endpoint at its fixed address, through `HTTP_PROXY` |
//! | | `AzurePipelinesCredential` | not here: it takes its address from the environment of the process alone |
//! | | `ClientCertificateCredential` | not here: it needs OpenSSL; the simulator's own tests sign such assertions |
//! | | `AzureCliCredential`, `AzureDeveloperCliCredential` | not here: they start another program |
//! | `azure_security_keyvault_secrets` | `SecretClient` | sets, gets, lists, and is refused |
//! | | its deleting, backing up and restoring | not served: a vault here has no such operations |
//!
//! The vault's challenge names `https://vault.azure.net`, as Azure's does, and the vault is at an address: the client has
//! to be told not to compare the two.

#![expect(
    clippy::unwrap_used,
    reason = "a panic is how a test fails, also in its helpers"
)]

#[expect(dead_code, reason = "the other tests break more of it")]
#[path = "../simulator/issuer.rs"]
mod issuer;

use std::sync::Arc;

use azure_core::cloud::CustomConfiguration;
use azure_core::credentials::{Secret, TokenCredential};
use azure_core::error::{Error, ErrorKind, ErrorResponse};
use azure_core::http::{ClientMethodOptions, ClientOptions, StatusCode, Transport};
use azure_identity::{
    ClientAssertion, ClientAssertionCredential, ClientAssertionCredentialOptions, ClientSecretCredential,
    ClientSecretCredentialOptions, ManagedIdentityCredential, ManagedIdentityCredentialOptions,
    UserAssignedId, WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};
use azure_security_keyvault_secrets::models::SetSecretParameters;
use azure_security_keyvault_secrets::{SecretClient, SecretClientOptions};
use azure_sim::{Addition, Authority, AzureSim, Seed};
use futures::TryStreamExt as _;
use serde_json::{Value, json};

const ARM: &str = "https://management.azure.com/.default";
const IDENTITY: &str = "66666666-6666-4666-8666-666666666666";
const OPERATOR: &str = "33333333-3333-4333-8333-333333333333";
const OPERATOR_SECRET: &str = "operators-client-secret";
const PASS: &str = "token-of-the-job";
const SECRET: &str = "value-of-the-secret";

/// A simulator, an issuer that it trusts, and how the SDKs reach it.
struct Setup {
    sim: AzureSim,
    issuer: issuer::Issuer,
    tenant: String,
    http: reqwest::Client,
}

impl Setup {
    fn new() -> Self {
        let authority = Authority::generate().unwrap();
        let issuer = issuer::Issuer::start(&authority);
        let mut seed = serde_json::to_value(Seed::on_loopback("clients")).unwrap();
        let subscription = format!(
            "/subscriptions/{}",
            seed["subscriptions"][0]["id"].as_str().unwrap()
        );
        let vault = format!("{subscription}/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/kv");
        let more = json!({
            "servicePrincipals": [
                {"displayName": "operator", "clientId": OPERATOR, "secrets": [OPERATOR_SECRET]},
            ],
            "resourceGroups": [{"name": "rg", "location": "westeurope"}],
            "vaults": [{"resourceGroup": "rg", "name": "kv", "location": "westeurope", "address": "127.0.0.1:0",
                        "secrets": [{"name": "db-password", "value": SECRET}, {"name": "other", "value": SECRET}]}],
            "identities": [{
                "resourceGroup": "rg", "name": "id-orders", "location": "westeurope", "clientId": IDENTITY,
                "federatedCredentials": [{"name": "orders", "issuer": issuer.url, "subject": issuer::SUBJECT,
                                          "audiences": [issuer::AUDIENCE]}],
            }],
            "roleAssignments": [
                {"principal": "operator", "role": "Key Vault Secrets Officer", "scope": vault},
                {"principal": "id-orders", "role": "Key Vault Secrets User",
                 "scope": format!("{vault}/secrets/db-password")},
            ],
        });
        seed.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let seed = Seed::from_json(&seed.to_string()).unwrap();
        let sim = AzureSim::start_with(seed, authority, None).unwrap();
        let http = client(&sim, reqwest::Client::builder().no_proxy());
        let tenant = sim.state()["tenant"]["id"].as_str().unwrap().to_owned();
        Self {
            sim,
            issuer,
            tenant,
            http,
        }
    }

    /// The options of every client: this cloud, by this transport.
    fn options(&self) -> ClientOptions {
        options(&self.sim, &self.http)
    }

    fn operator(&self, secret: &str) -> Arc<ClientSecretCredential> {
        let options = ClientSecretCredentialOptions {
            client_options: self.options(),
        };
        let secret = Secret::new(secret.to_owned());
        ClientSecretCredential::new(&self.tenant, OPERATOR.to_owned(), secret, Some(options)).unwrap()
    }

    fn vault(&self, credential: Arc<dyn TokenCredential>) -> SecretClient {
        let options = SecretClientOptions {
            client_options: self.options(),
            verify_challenge_resource: Some(false),
            ..SecretClientOptions::default()
        };
        SecretClient::new(&self.sim.vault_url("kv").unwrap(), credential, Some(options)).unwrap()
    }

    fn add(&self, more: &Value) {
        let more: Addition = serde_json::from_value(more.clone()).unwrap();
        self.sim.add(&more).unwrap();
    }
}

fn client(sim: &AzureSim, builder: reqwest::ClientBuilder) -> reqwest::Client {
    let root = reqwest::Certificate::from_pem(sim.ca_pem().as_bytes()).unwrap();
    builder.tls_certs_only([root]).build().unwrap()
}

fn options(sim: &AzureSim, http: &reqwest::Client) -> ClientOptions {
    let mut cloud = CustomConfiguration::default();
    sim.entra_url().clone_into(&mut cloud.authority_host);
    ClientOptions {
        cloud: Some(Arc::new(cloud.into())),
        transport: Some(Transport::new(Arc::new(http.clone()))),
        ..ClientOptions::default()
    }
}

/// The value of a secret.
async fn read(vault: &SecretClient, name: &str) -> Option<String> {
    let answer = vault.get_secret(name, None).await.unwrap();
    answer.into_model().unwrap().value
}

/// The code by which Entra refused, as the SDK hands it on.
fn entra_code(error: &Error) -> String {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(one) = cause {
        if let Some(ErrorKind::HttpResponse {
            error_code: Some(code),
            ..
        }) = one.downcast_ref::<Error>().map(Error::kind)
        {
            return code.clone();
        }
        cause = one.source();
    }
    panic!("no code: {error:?}");
}

#[tokio::test]
async fn a_workload_identity_reads_the_one_secret_that_it_may() {
    let setup = Setup::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, setup.issuer.token()).unwrap();
    let options = WorkloadIdentityCredentialOptions {
        credential_options: ClientAssertionCredentialOptions {
            client_options: setup.options(),
        },
        client_id: Some(IDENTITY.to_owned()),
        tenant_id: Some(setup.tenant.clone()),
        token_file_path: Some(file),
    };
    let vault = setup.vault(WorkloadIdentityCredential::new(Some(options)).unwrap());
    assert_eq!(read(&vault, "db-password").await.as_deref(), Some(SECRET));
    let refused = vault.get_secret("other", None).await.unwrap_err();
    assert_eq!(refused.http_status(), Some(StatusCode::Forbidden));
    let refused = ErrorResponse::try_from(refused).unwrap().error.unwrap();
    let inner = refused.inner_error.unwrap();
    assert_eq!(
        (refused.code.as_deref(), inner.code.as_deref()),
        (Some("Forbidden"), Some("ForbiddenByRbac"))
    );
}

/// A job that asks GitHub for an assertion whenever one is needed.
#[derive(Debug)]
struct Job {
    http: reqwest::Client,
    url: String,
}

#[async_trait::async_trait]
impl ClientAssertion for Job {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        let answer: Value = async {
            self.http
                .get(&self.url)
                .bearer_auth(PASS)
                .send()
                .await?
                .json()
                .await
        }
        .await
        .map_err(|error: reqwest::Error| Error::new(ErrorKind::Io, error))?;
        Ok(answer["value"].as_str().unwrap_or_default().to_owned())
    }
}

#[tokio::test]
async fn a_github_job_gets_a_new_assertion_for_each_token() {
    let setup = Setup::new();
    setup.add(&json!({"githubJobs": [
        {"name": "deploy", "repository": "contoso/shop", "requestToken": PASS, "tokenLifetimeS": 1},
    ]}));
    let job = setup.sim.state()["githubJobs"][0].clone();
    setup.add(&json!({"servicePrincipals": [{
        "displayName": "pipeline", "clientId": "88888888-8888-4888-8888-888888888888",
        // Ends before the SDK would use it again.
        "accessTokenLifetimeS": 60,
        "federatedCredentials": [{"name": "github", "issuer": job["issuer"], "subject": job["subject"],
                                  "audiences": [issuer::AUDIENCE]}],
    }]}));
    let url = format!(
        "{}&audience={}",
        job["requestUrl"].as_str().unwrap(),
        issuer::AUDIENCE
    );
    let assertion = Job {
        http: setup.http.clone(),
        url,
    };
    let options = ClientAssertionCredentialOptions {
        client_options: setup.options(),
    };
    let client = "88888888-8888-4888-8888-888888888888".to_owned();
    let credential =
        ClientAssertionCredential::new(setup.tenant.clone(), client, assertion, Some(options)).unwrap();
    for minutes in [0, 10, 60] {
        setup.sim.clock().advance(std::time::Duration::from_mins(minutes));
        credential.get_token(&[ARM], None).await.unwrap();
    }
    let asked = setup.sim.log_after(0);
    let asked = asked
        .iter()
        .filter(|entry| entry.path.contains("/idtoken"))
        .count();
    assert_eq!(asked, 3);
}

#[tokio::test]
async fn a_refusal_by_entra_keeps_its_code() {
    let setup = Setup::new();
    let wrong = setup.operator("wrong").get_token(&[ARM], None).await.unwrap_err();
    assert_eq!(entra_code(&wrong), "7000215");
    assert!(
        setup
            .operator(OPERATOR_SECRET)
            .get_token(&[ARM], None)
            .await
            .is_ok()
    );
    let scope = "https://vault.azure.cn/.default";
    let elsewhere = setup
        .operator(OPERATOR_SECRET)
        .get_token(&[scope], None)
        .await
        .unwrap_err();
    assert_eq!(entra_code(&elsewhere), "500011");
    assert!(setup.sim.delete(OPERATOR));
    let gone = setup
        .operator(OPERATOR_SECRET)
        .get_token(&[ARM], None)
        .await
        .unwrap_err();
    assert_eq!(entra_code(&gone), "700016");
}

#[tokio::test]
async fn a_secret_is_set_read_and_listed() {
    let setup = Setup::new();
    let vault = setup.vault(setup.operator(OPERATOR_SECRET));
    let body = SetSecretParameters {
        value: Some("new-value".to_owned()),
        ..SetSecretParameters::default()
    };
    vault
        .set_secret("db-password", body.try_into().unwrap(), None)
        .await
        .unwrap();
    assert_eq!(read(&vault, "db-password").await.as_deref(), Some("new-value"));
    let versions = vault
        .list_secret_properties_versions("db-password", None)
        .unwrap();
    assert_eq!(versions.try_collect::<Vec<_>>().await.unwrap().len(), 2);
    let listed = vault.list_secret_properties(None).unwrap();
    let listed: Vec<_> = listed.try_collect().await.unwrap();
    let names: Vec<_> = listed
        .iter()
        .map(|one| one.id.as_deref().unwrap().rsplit('/').next().unwrap())
        .collect();
    assert_eq!(names, ["db-password", "other"]);
    let missing = vault.get_secret("nothing", None).await.unwrap_err();
    assert_eq!(missing.http_status(), Some(StatusCode::NotFound));
}

#[tokio::test]
async fn a_managed_identity_signs_in_at_the_fixed_address_of_its_machine() {
    let setup = Setup::new();
    setup.add(&json!({"machineIdentities": ["id-orders"]}));
    let proxy = reqwest::Proxy::http(setup.sim.machine_url()).unwrap();
    let http = client(&setup.sim, reqwest::Client::builder().proxy(proxy));
    let credential = |id: &str| {
        let options = ManagedIdentityCredentialOptions {
            user_assigned_id: Some(UserAssignedId::ClientId(id.to_owned())),
            client_options: options(&setup.sim, &http),
        };
        ManagedIdentityCredential::new(Some(options)).unwrap()
    };
    let vault = setup.vault(credential(IDENTITY));
    assert_eq!(read(&vault, "db-password").await.as_deref(), Some(SECRET));
    let refused = credential(OPERATOR).get_token(&[ARM], None).await.unwrap_err();
    assert!(
        format!("{refused:?}").contains("has not been assigned"),
        "{refused:?}"
    );
}
