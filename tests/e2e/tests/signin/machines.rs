//! Those who sign in without a person: with a secret, a certificate, a federated token, as a machine.

use crate::support::{AUDIENCE, CONTEXT, is_signed_in, look, reader, signed_out};
use e2e::World;
use e2e::application::add;
use e2e::azure::{foreign_identity, issuer, subscription};
use serde_json::json;
use std::fs;

#[test]
fn a_secret_and_a_certificate_sign_in() {
    let mut world = signed_out();
    world
        .run_words(&[
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            "/CN=pipeline",
            "-days",
            "2",
            "-keyout",
            "key.pem",
            "-out",
            "certificate.pem",
        ])
        .expect(0);
    let read = |name: &str| fs::read_to_string(world.folder().join(name)).expect("openssl wrote it");
    let (key, certificate) = (read("key.pem"), read("certificate.pem"));
    let application = reader(&world, &json!({"certificates": [certificate]}));
    application.sign_in(&mut world);
    is_signed_in(&world, "", "environment", &application.object);

    world.unset("AZURE_CLIENT_SECRET");
    let both = world.folder().join("both.pem");
    fs::write(&both, format!("{certificate}{key}")).expect("the test's folder can be written to");
    world.set("AZURE_CLIENT_CERTIFICATE_PATH", &both.to_string_lossy());
    is_signed_in(&world, "", "environment", &application.object);

    // Half of it is not enough, and a certificate that nobody registered is refused by its code.
    let half = world.folder().join("key.pem");
    world.set("AZURE_CLIENT_CERTIFICATE_PATH", &half.to_string_lossy());
    look(&world, "").expect(8).says("openssl pkcs12 -in FILE.pfx");
    let stranger = reader(&world, &json!({}));
    world.set("AZURE_CLIENT_CERTIFICATE_PATH", &both.to_string_lossy());
    world.set("AZURE_CLIENT_ID", &stranger.client);
    look(&world, "")
        .expect(8)
        .says("AADSTS700027")
        .says("az ad app credential reset");
}

#[test]
fn a_federated_token_signs_in_from_a_file_and_from_a_pod() {
    let mut world = signed_out();
    let namespace = world.namespace("token");
    let application = reader(
        &world,
        &json!({"federatedCredentials": [{"name": "runner", "issuer": issuer(&world, CONTEXT),
            "subject": format!("system:serviceaccount:{namespace}:runner"), "audiences": [AUDIENCE]}]}),
    );
    let kubectl = |words: &str| {
        world
            .run(&format!("kubectl --context {CONTEXT} {words}"))
            .expect(0)
    };
    kubectl(&format!("create namespace {namespace}"));
    kubectl(&format!("-n {namespace} create serviceaccount runner"));
    let token = kubectl(&format!(
        "-n {namespace} create token runner --audience {AUDIENCE}"
    ));
    let file = world.folder().join("token");
    // As a shell leaves it, with a line break.
    fs::write(&file, token.stdout).expect("the test's folder can be written to");
    world.set("AZURE_CLIENT_ID", &application.client);
    world.set("AZURE_FEDERATED_TOKEN_FILE", &file.to_string_lossy());
    is_signed_in(&world, "", "federated-file", &application.object);
    is_signed_in(
        &world,
        "--auth workload-identity",
        "workload-identity",
        &application.object,
    );

    fs::write(&file, "").expect("the test's folder can be written to");
    look(&world, "").expect(8).says("token is empty");
}

#[test]
fn a_machine_signs_in_as_the_identity_that_is_chosen() {
    let mut world = signed_out();
    let operator = World::join();
    let name = format!("id-{}", world.namespace("machine"));
    let identity = foreign_identity(&operator, &name);
    let property = |field: &str| {
        identity["properties"][field]
            .as_str()
            .expect("it has ids")
            .to_owned()
    };
    add(
        &world,
        &json!({"machineIdentities": [name], "roleAssignments": [{"principal": property("principalId"),
            "role": "Reader", "scope": subscription(&world)}]}),
    );
    let platform = &world.seed()["platform"];
    let text = |field: &str| {
        platform[field]
            .as_str()
            .expect("the seed has a machine")
            .to_owned()
    };
    world.set(
        "IDENTITY_ENDPOINT",
        &format!("http://{}/msi/token", text("metadataAddress")),
    );
    world.set("IDENTITY_HEADER", &text("identityHeader"));
    world.set("AZURE_CLIENT_ID", &property("clientId"));
    is_signed_in(&world, "", "managed-identity", &property("principalId"));
}
