//! Pipelines and machines: what vouches for them gives tokens, and Entra takes those for what they say.

use azure_sim::Addition;
use reqwest::Method;
use serde_json::{Value, json};

use crate::issuer::AUDIENCE;
use crate::refusal::{assert_refused, text};
use crate::support::{ARM_SCOPE, ASSERTION_TYPE, Answer, CLIENT, PRINCIPAL, Setup};

const PIPELINE: &str = "88888888-8888-4888-8888-888888888888";
const CONNECTION: &str = "99999999-9999-4999-8999-999999999999";
const NEWER_CONNECTION: &str = "aaaaaaaa-9999-4999-8999-999999999999";
const PASS: &str = "token-of-the-job";

/// A simulator with a job of each kind, and an application that trusts all of them.
fn setup() -> (Setup, Value) {
    let setup = Setup::new();
    add(
        &setup,
        &json!({
            "githubJobs": [
                {"name": "deploy", "repository": "contoso/shop", "requestToken": PASS},
                {"name": "release", "repository": "contoso/shop", "environment": "prod", "requestToken": PASS},
            ],
            "pipelineJobs": [{
                "name": "deploy", "organization": "contoso", "project": "shop", "accessToken": PASS,
                "connections": [
                    {"id": CONNECTION, "name": "azure"},
                    {"id": NEWER_CONNECTION, "name": "azure-2", "entraIssuer": true},
                ],
            }],
            "machineIdentities": ["id-orders"],
        }),
    );
    let state = setup.sim.state();
    let trusted = [
        &state["githubJobs"][0],
        &state["githubJobs"][1],
        &state["pipelineJobs"][0]["connections"][0],
        &state["pipelineJobs"][0]["connections"][1],
    ];
    let credentials: Vec<Value> = trusted
        .iter()
        .enumerate()
        .map(|(number, job)| {
            json!({"name": format!("c{number}"), "issuer": job["issuer"], "subject": job["subject"],
                   "audiences": [AUDIENCE]})
        })
        .collect();
    add(
        &setup,
        &json!({"servicePrincipals": [
            {"displayName": "pipeline", "clientId": PIPELINE, "federatedCredentials": credentials},
        ]}),
    );
    (setup, state)
}

fn add(setup: &Setup, more: &Value) {
    let more: Addition = serde_json::from_value(more.clone()).unwrap();
    setup.sim.add(&more).unwrap();
}

async fn exchange(setup: &Setup, client: &str, assertion: &str) -> Answer {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", client),
        ("scope", ARM_SCOPE),
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", assertion),
    ];
    setup.token_of(&setup.tenant, &form).await
}

async fn github(setup: &Setup, job: &Value, audience: &str) -> String {
    let url = format!("{}&audience={audience}", text(job, "requestUrl"));
    let answer = setup.send(Method::GET, &url, Some(PASS), None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    text(&answer.body, "value").to_owned()
}

async fn devops(setup: &Setup, job: &Value, query: &str) -> Answer {
    let url = format!("{}?{query}", text(job, "requestUrl"));
    let suppress = [("x-tfs-fedauthredirect", "Suppress"), ("content-length", "0")];
    setup
        .send_with(Method::POST, &url, Some(PASS), None, &suppress)
        .await
}

#[tokio::test]
async fn a_github_job_signs_in_by_its_branch_or_its_environment() {
    let (setup, state) = setup();
    let jobs = state["githubJobs"].as_array().unwrap();
    assert_eq!(text(&jobs[0], "subject"), "repo:contoso/shop:ref:refs/heads/main");
    assert_eq!(text(&jobs[1], "subject"), "repo:contoso/shop:environment:prod");
    for job in jobs {
        let token = github(&setup, job, AUDIENCE).await;
        let answer = exchange(&setup, PIPELINE, &token).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

#[tokio::test]
async fn a_github_job_that_asks_for_no_audience_or_waits_too_long_is_refused() {
    let (setup, state) = setup();
    let job = &state["githubJobs"][0];
    let token = setup
        .send(Method::GET, text(job, "requestUrl"), Some(PASS), None)
        .await;
    let refused = exchange(&setup, PIPELINE, text(&token.body, "value")).await;
    assert_refused(&refused, 700_212, 401, "invalid_client");
    assert!(text(&refused.body, "error_description").contains("'https://github.com/contoso'"));
    // Five minutes of its own, and five by which clocks may differ.
    let token = github(&setup, job, AUDIENCE).await;
    setup.sim.clock().advance(std::time::Duration::from_mins(10));
    let late = exchange(&setup, PIPELINE, &token).await;
    assert_refused(&late, 700_024, 401, "invalid_client");
    let anew = github(&setup, job, AUDIENCE).await;
    assert_eq!(exchange(&setup, PIPELINE, &anew).await.status, 200);
}

#[tokio::test]
async fn a_github_job_with_another_token_gets_none() {
    let (setup, state) = setup();
    let url = text(&state["githubJobs"][0], "requestUrl");
    for token in [None, Some("wrong")] {
        let answer = setup.send(Method::GET, url, token, None).await;
        assert_eq!(answer.status, 401, "{answer:?}");
    }
    let nobody = url.replace("/deploy/", "/nobody/");
    assert_eq!(
        setup.send(Method::GET, &nobody, Some(PASS), None).await.status,
        401
    );
}

#[tokio::test]
async fn a_service_connection_signs_in_by_either_issuer() {
    let (setup, state) = setup();
    let job = &state["pipelineJobs"][0];
    let [older, newer] = [&job["connections"][0], &job["connections"][1]];
    assert_eq!(text(older, "subject"), "sc://contoso/shop/azure");
    assert!(text(newer, "subject").starts_with("/eid1/c/pub/t/"));
    assert!(text(newer, "subject").contains("/a/rISbSSETf0KqFyZ8ppdXmA/sc/"));
    assert_eq!(
        text(newer, "issuer"),
        format!("{}{}/v2.0", setup.sim.entra_url(), setup.tenant)
    );
    for id in [CONNECTION, NEWER_CONNECTION] {
        let answer = devops(&setup, job, &format!("api-version=7.1&serviceConnectionId={id}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let answer = exchange(&setup, PIPELINE, text(&answer.body, "oidcToken")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

#[tokio::test]
async fn azure_devops_refuses_what_it_does_not_know() {
    let (setup, state) = setup();
    let job = &state["pipelineJobs"][0];
    let unknown = devops(
        &setup,
        job,
        &format!("api-version=7.1&serviceConnectionId={PIPELINE}"),
    )
    .await;
    assert_eq!(unknown.status, 404, "{unknown:?}");
    assert_eq!(
        devops(&setup, job, &format!("serviceConnectionId={CONNECTION}"))
            .await
            .status,
        400
    );
    // A token of the pipeline itself, which the application does not trust.
    let own = devops(&setup, job, "api-version=7.1").await;
    let refused = exchange(&setup, PIPELINE, text(&own.body, "oidcToken")).await;
    assert_refused(&refused, 700_213, 401, "invalid_client");
    assert!(text(&refused.body, "error_description").contains("p://contoso/shop/deploy"));
    let url = format!("{}?api-version=7.1", text(job, "requestUrl"));
    let length = ("content-length", "0");
    let suppress = ("x-tfs-fedauthredirect", "Suppress");
    let refused = setup
        .send_with(Method::POST, &url, Some("wrong"), None, &[suppress, length])
        .await;
    assert_eq!(refused.status, 401);
}

#[tokio::test]
async fn a_machine_signs_in_as_the_identity_that_is_assigned_to_it() {
    let (setup, _) = setup();
    let resource = "resource=https://vault.azure.net";
    let service = format!(
        "{}msi/token?api-version=2019-08-01&{resource}",
        setup.sim.machine_url()
    );
    let machine = format!(
        "{}metadata/identity/oauth2/token?api-version=2018-02-01&{resource}",
        setup.sim.machine_url()
    );
    let header = [("x-identity-header", "identity-header")];
    let metadata = [("metadata", "true")];
    let ask = async |url: &str, headers: &[(&str, &str)]| {
        setup.send_with(Method::GET, url, None, None, headers).await
    };
    for (url, headers) in [(&service, &header), (&machine, &metadata)] {
        let answer = ask(url, headers).await;
        assert_eq!(
            (answer.status, text(&answer.body, "client_id")),
            (200, CLIENT),
            "{answer:?}"
        );
        // Text, as in Azure.
        let expires: i64 = text(&answer.body, "expires_on").parse().unwrap();
        assert!(expires > crate::issuer::now() + 80_000);
        let token = text(&answer.body, "access_token");
        let path = "secrets/db-password?api-version=7.5";
        assert_eq!(
            setup.ask_vault(Method::GET, path, Some(token), None).await.status,
            200
        );
    }
    // Without the header that others cannot send.
    assert_eq!(ask(&service, &[]).await.status, 401);
    let refused = ask(&machine, &[]).await;
    assert_eq!(
        (refused.status, text(&refused.body, "error")),
        (400, "invalid_request")
    );
    for (name, value, status) in [
        ("client_id", CLIENT, 200),
        ("client_id", PRINCIPAL, 400),
        ("object_id", PRINCIPAL, 200),
        ("msi_res_id", &format!("/{}", setup.identity()), 200),
    ] {
        let answer = ask(&format!("{machine}&{name}={value}"), &metadata).await;
        assert_eq!(answer.status, status, "{name} {answer:?}");
    }
}

#[tokio::test]
async fn a_seed_trusts_its_own_platform_at_whatever_port_it_gets() {
    let setup = Setup::with(|seed| {
        let meant = format!("https://{}/github", seed.platform.as_ref().unwrap().address);
        let job = json!({"name": "deploy", "repository": "contoso/shop", "requestToken": PASS});
        let job = serde_json::from_value(job).unwrap();
        seed.platform.as_mut().unwrap().github_jobs.push(job);
        seed.identities[0].federated_credentials[0].issuer = meant;
        seed.identities[0].federated_credentials[0].subject =
            "repo:contoso/shop:ref:refs/heads/main".to_owned();
    });
    let state = setup.sim.state();
    let token = github(&setup, &state["githubJobs"][0], AUDIENCE).await;
    let answer = exchange(&setup, CLIENT, &token).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn jobs_end_and_a_machine_loses_its_identity() {
    let (setup, state) = setup();
    let job = state["githubJobs"][0].clone();
    let asked = format!("{}&audience={AUDIENCE}", text(&job, "requestUrl"));
    let url = format!(
        "{}metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://vault.azure.net",
        setup.sim.machine_url()
    );
    let machine = async || {
        setup
            .send_with(Method::GET, &url, None, None, &[("metadata", "true")])
            .await
            .status
    };
    assert_eq!(
        setup.send(Method::GET, &asked, Some(PASS), None).await.status,
        200
    );
    assert_eq!(
        devops(&setup, &state["pipelineJobs"][0], "api-version=7.1")
            .await
            .status,
        200
    );
    assert_eq!(machine().await, 200);
    for id in [
        "githubJobs/deploy",
        "pipelineJobs/deploy",
        "machineIdentities/id-orders",
    ] {
        assert!(setup.sim.delete(id) && !setup.sim.delete(id), "{id}");
    }
    assert_ne!(
        setup.send(Method::GET, &asked, Some(PASS), None).await.status,
        200
    );
    assert_ne!(
        devops(&setup, &state["pipelineJobs"][0], "api-version=7.1")
            .await
            .status,
        200
    );
    assert_eq!(machine().await, 400);
    // The other job runs on.
    let other = format!(
        "{}&audience={AUDIENCE}",
        text(&state["githubJobs"][1], "requestUrl")
    );
    assert_eq!(
        setup.send(Method::GET, &other, Some(PASS), None).await.status,
        200
    );
}

#[tokio::test]
async fn a_machine_with_several_identities_wants_to_know_which() {
    let (setup, _) = setup();
    let url = format!(
        "{}metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://vault.azure.net",
        setup.sim.machine_url()
    );
    let ask = async |query: &str| {
        setup
            .send_with(
                Method::GET,
                &format!("{url}{query}"),
                None,
                None,
                &[("metadata", "true")],
            )
            .await
    };
    add(
        &setup,
        &json!({
            "identities": [{"resourceGroup": "rg", "name": "id-2", "location": "westeurope"}],
            "machineIdentities": ["id-2"],
        }),
    );
    let refused = ask("").await;
    assert_eq!(refused.status, 400);
    assert!(text(&refused.body, "error_description").starts_with("Multiple user assigned identities exist"));
    assert_eq!(ask(&format!("&client_id={CLIENT}")).await.status, 200);
    assert!(setup.sim.delete(&format!("/{}", setup.identity())));
    let gone = ask(&format!("&client_id={CLIENT}")).await;
    assert_eq!(
        (gone.status, text(&gone.body, "error_description")),
        (400, "Identity not found")
    );
}
