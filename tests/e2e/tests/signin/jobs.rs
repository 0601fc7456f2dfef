//! Jobs of pipelines: without a stored secret, and for as long as they run.

use crate::support::{AUDIENCE, CONTEXT, OFFERS, enter_job, look, reader, signed_out};
use e2e::World;
use e2e::application::{Application, add, uuid};
use e2e::azure::{log, subscription};
use serde_json::{Value, json};

#[test]
fn pipelines_sign_in_without_a_stored_secret() {
    let mut world = signed_out();
    let operator = World::join().variable("AZURE_CLIENT_ID").to_owned();
    for pipeline in ["github", "azure-pipelines"] {
        enter_job(&mut world, pipeline);
        world.set("AZURE_CLIENT_ID", &operator);
        let looked = look(&world, "").expect(0).says(&format!("({pipeline})"));
        assert_eq!(looked.json()["principal"]["method"], pipeline);
        assert_eq!(looked.json()["principal"]["name"], operator);
        // Whom nobody trusts is told what is to be trusted.
        let stranger = reader(&world, &json!({}));
        world.set("AZURE_CLIENT_ID", &stranger.client);
        look(&world, "")
            .expect(8)
            .says("AADSTS70025")
            .says("az ad app federated-credential create");
        for name in OFFERS {
            world.unset(name);
        }
    }
}

/// Everything lives shorter than the run: the job's token for two seconds, Azure's for one minute, which is below the
/// margin at which a token is replaced.
#[test]
fn tokens_that_end_during_a_run_are_asked_for_again() {
    let mut world = signed_out();
    let namespace = world.namespace("renewal");
    let job = format!("job-{namespace}");
    let bearer = uuid();
    enter_job(&mut world, "github");
    let url = world
        .variable("ACTIONS_ID_TOKEN_REQUEST_URL")
        .replace("/deploy/", &format!("/{job}/"));
    let issuer = url
        .split("/jobs/")
        .next()
        .expect("the URL is one of a job")
        .to_owned();
    add(
        &world,
        &json!({"githubJobs": [{"name": job, "repository": format!("contoso/{namespace}"),
            "requestToken": bearer, "tokenLifetimeS": 2}]}),
    );
    let shared = format!("{}/resourceGroups/rg-shared", subscription(&world));
    let application = Application::new(
        &world,
        &json!({"accessTokenLifetimeS": 60, "federatedCredentials": [{"name": "github", "issuer": issuer,
            "subject": format!("repo:contoso/{namespace}:ref:refs/heads/main"), "audiences": [AUDIENCE]}]}),
        &[
            ("Contributor", &subscription(&world)),
            ("Key Vault Data Access Administrator", &shared),
        ],
    );
    world.set("AZURE_CLIENT_ID", &application.client);
    world.set("ACTIONS_ID_TOKEN_REQUEST_URL", &url);
    world.set("ACTIONS_ID_TOKEN_REQUEST_TOKEN", &bearer);
    let made = world
        .run(&format!(
            "kubectl wi setup --context {CONTEXT} -n {namespace} --service-account orders --secret kv-central/db-password \
             --service-account-owner setup --yes -o json"
        ))
        .expect(0)
        .json();
    assert_eq!(made["exitName"], "ok");

    let log = log(&world);
    let is_asked = |entry: &&Value| {
        entry["path"]
            .as_str()
            .is_some_and(|path| path.contains(&format!("/{job}/")))
    };
    let asked = log.iter().filter(is_asked).count();
    let minted = log
        .iter()
        .filter(|entry| entry["caller"] == application.client && entry["service"] == "entra")
        .count();
    assert!(asked > 1, "the job's token was asked for {asked} times");
    assert_eq!(asked, minted, "each token of Azure has an assertion of its own");
}
