//! What the tests of signing in share: a world without a principal, ways to become one, and a run that needs no more.

use e2e::application::Application;
use e2e::azure::{endpoint, subscription};
use e2e::{Finished, World};
use serde_json::{Value, json};
use std::fs;

pub(crate) const CONTEXT: &str = "aks-weu-1";
pub(crate) const AUDIENCE: &str = "api://AzureADTokenExchange";
const ARM_SCOPE: &str = "https://management.azure.com/.default";

/// What would sign somebody in, or say that a CI system runs the test.
pub(crate) const OFFERS: [&str; 13] = [
    "CI",
    "TF_BUILD",
    "GITHUB_ACTIONS",
    "ACTIONS_ID_TOKEN_REQUEST_URL",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
    "SYSTEM_OIDCREQUESTURI",
    "SYSTEM_ACCESSTOKEN",
    "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID",
    "IDENTITY_ENDPOINT",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_CLIENT_CERTIFICATE_PATH",
    "AZURE_FEDERATED_TOKEN_FILE",
];

/// A world in which nobody is signed in.
pub(crate) fn signed_out() -> World {
    let mut world = World::join();
    for name in OFFERS {
        world.unset(name);
    }
    world
}

/// An application that may read the fleet.
pub(crate) fn reader(world: &World, more: &Value) -> Application {
    Application::new(world, more, &[("Reader", &subscription(world))])
}

/// Looks at the cluster: a run that needs nothing but a sign-in and a reader's rights.
pub(crate) fn look(world: &World, flags: &str) -> Finished {
    world.run(&format!(
        "kubectl wi setup --context {CONTEXT} -n default --service-account nobody --dry-run -o json {flags}"
    ))
}

/// Demands that a link signs in as a principal, and that people and programs are told so.
pub(crate) fn is_signed_in(world: &World, flags: &str, link: &str, object: &str) {
    let looked = look(world, flags).expect(0).says(&format!("({link})"));
    let principal = &looked.json()["principal"];
    assert_eq!(
        (&principal["method"], &principal["objectId"], &principal["tenant"]),
        (
            &json!(link),
            &json!(object),
            &json!(world.variable("AZURE_TENANT_ID"))
        ),
    );
}

/// What a job of a pipeline has in its environment.
pub(crate) fn enter_job(world: &mut World, pipeline: &str) {
    let exports = world.sandbox(&["env", "--pipeline", pipeline]).expect(0);
    for (name, value) in exports.exports() {
        if OFFERS.contains(&name) && name != "AZURE_CLIENT_SECRET" {
            world.set(name, value);
        }
    }
}

/// A program that prints what the Azure CLI, or the Azure Developer CLI, prints: a token of an application, fetched as
/// it is asked for.
pub(crate) fn install_cli(world: &mut World, name: &str, application: &Application) {
    let tenant = world.variable("AZURE_TENANT_ID");
    let fetch = format!(
        "token=$(curl -sSf --cacert \"$AKS_WI_CA_FILE\" -d grant_type=client_credentials -d client_id={} \
         -d client_secret={} -d scope={ARM_SCOPE} {}/{tenant}/oauth2/v2.0/token | sed 's/.*\"access_token\":\"\\([^\"]*\\)\".*/\\1/')",
        application.client,
        application.secret,
        endpoint(world, "activeDirectoryEndpoint"),
    );
    let answer = match name {
        "az" => {
            r#"printf '{"accessToken":"%s","expires_on":%s,"tokenType":"Bearer"}' "$token" "$(date -d '+1 hour' +%s)""#
        }
        _ => r#"printf '{"token":"%s","expiresOn":"%s"}' "$token" "$(date -u -d '+1 hour' +%FT%TZ)""#,
    };
    install(world, name, &format!("{fetch}\n{answer}"));
}

pub(crate) fn install(world: &mut World, name: &str, script: &str) {
    let folder = world.folder().join("bin");
    fs::create_dir_all(&folder).expect("the test's folder can be written to");
    e2e::script(&folder.join(name), script);
    let path = world.variable("PATH").to_owned();
    if !path.starts_with(&*folder.to_string_lossy()) {
        world.set("PATH", &format!("{}:{path}", folder.display()));
    }
}

pub(crate) fn uninstall(world: &World, name: &str) {
    fs::remove_file(world.folder().join("bin").join(name)).expect("the program was there");
}
