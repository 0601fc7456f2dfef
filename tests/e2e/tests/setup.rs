//! `kubectl wi setup` from outside, one behaviour a test: with the built binary, on a real cluster, judged by what
//! Azure and plain kubectl say afterwards.

use e2e::World;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

const CONTEXT: &str = "aks-weu-1";
const SECRET: &str = "kv-central/db-password";
const API: &str = "api-version=2024-11-30";
const AUDIENCE: &str = "api://AzureADTokenExchange";

/// The id under which an identity of that name is or will be in the fleet's resource group.
fn identity_id(world: &World, name: &str) -> String {
    format!(
        "/subscriptions/{}/resourceGroups/rg-fleet/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}",
        world.variable("AZURE_SUBSCRIPTION_ID")
    )
}

/// Makes an identity as another tool does; what Azure says of it.
fn foreign_identity(world: &World, name: &str) -> Value {
    let body = json!({"location": "westeurope", "tags": {"made-by": "terraform"}});
    world.rest("PUT", &format!("{}?{API}", identity_id(world, name)), Some(&body))
}

fn credentials(world: &World, identity: &str) -> Vec<Value> {
    let path = format!("{identity}/federatedIdentityCredentials?{API}");
    let list = world.rest("GET", &path, None);
    list["value"].as_array().cloned().unwrap_or_default()
}

/// The names of the identities in the fleet's resource group that hold a text.
fn identities_named_like(world: &World, text: &str) -> Vec<String> {
    let path = format!(
        "/subscriptions/{}/resourceGroups/rg-fleet/providers/Microsoft.ManagedIdentity/userAssignedIdentities?{API}",
        world.variable("AZURE_SUBSCRIPTION_ID")
    );
    let list = world.rest("GET", &path, None);
    let names = list["value"].as_array().into_iter().flatten();
    names
        .filter_map(|identity| identity["name"].as_str())
        .filter(|name| name.contains(text))
        .map(str::to_owned)
        .collect()
}

/// Assigns a role as somebody with more rights than the operator: through the simulator's own door.
fn assign_as_admin(world: &World, principal: &str, role: &str, scope: &str) {
    let folder = Path::new(world.variable("KUBECONFIG"))
        .parent()
        .expect("the kubeconfig is in a folder");
    let body =
        json!({"roleAssignments": [{"principal": principal, "role": role, "scope": scope}]}).to_string();
    let mut door = UnixStream::connect(folder.join("azure.sock")).expect("the simulated Azure is there");
    write!(
        door,
        "POST /resources HTTP/1.1\r\nHost: azure\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .expect("the request is sent");
    let mut answer = String::new();
    door.read_to_string(&mut answer).expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn an_identity_of_terraform_is_adopted_as_it_is() {
    let world = World::join();
    let namespace = world.namespace("adopted");
    let name = format!("id-{namespace}");
    let before = foreign_identity(&world, &name);
    // ARM spells ids in several ways; the same identity is meant.
    let id = identity_id(&world, &name).replace("/resourceGroups/", "/resourcegroups/");
    let setup = format!(
        "kubectl wi setup --context {CONTEXT} -n {namespace} --service-account orders --secret {SECRET} \
         --service-account-owner setup --identity-id {id} --yes -o json"
    );

    let made = world.run(&setup).expect(0).json();
    assert_eq!(made["clientId"], before["properties"]["clientId"]);
    let objects: Vec<&str> = made["changes"]
        .as_array()
        .expect("an outcome lists its changes")
        .iter()
        .filter_map(|change| change["object"].as_str())
        .collect();
    assert_eq!(
        objects,
        [
            "federated credential",
            "role assignment",
            "namespace",
            "service account"
        ]
    );
    let after = world.rest("GET", &format!("{}?{API}", identity_id(&world, &name)), None);
    assert_eq!(after, before);
    assert_eq!(identities_named_like(&world, &namespace), [name.as_str()]);

    let again = world.run(&setup).expect(0).json();
    assert_eq!(again["changes"], json!([]));
    assert_eq!(credentials(&world, &identity_id(&world, &name)).len(), 1);
}

#[test]
fn an_identity_that_does_not_exist_is_not_made_under_a_given_id() {
    let world = World::join();
    let namespace = world.namespace("absent");
    let id = identity_id(&world, &format!("id-{namespace}"));
    let setup = format!(
        "kubectl wi setup --context {CONTEXT} -n {namespace} --service-account orders \
         --service-account-owner setup --yes --identity-id"
    );
    world
        .run(&format!("{setup} {id}"))
        .expect(8)
        .says("does not exist")
        .says("az identity list");
    assert_eq!(identities_named_like(&world, &namespace), Vec::<String>::new());
    let vault = id.replace(
        "Microsoft.ManagedIdentity/userAssignedIdentities",
        "Microsoft.KeyVault/vaults",
    );
    world
        .run(&format!("{setup} {vault}"))
        .expect(64)
        .says("user-assigned identity");
    world
        .run(&format!("{setup} {id} --tag team=shop"))
        .expect(64)
        .says("cannot be used with");
}

/// How often a client has asked the resource manager what it may do.
fn questions_about_rights(world: &World, client: &str) -> usize {
    let log = world.sandbox(&["azure", "log", "-o", "json"]).expect(0).json();
    let entries = log.as_array().expect("the log is a list");
    let is_one = |entry: &&Value| {
        entry["caller"] == client
            && entry["path"]
                .as_str()
                .is_some_and(|path| path.contains("/Microsoft.Authorization/permissions"))
    };
    entries.iter().filter(is_one).count()
}

/// A principal with the roles that teams give a pipeline: it may make everything and assign nothing.
#[test]
fn rights_are_asked_for_before_the_first_write() {
    let mut world = World::join();
    let namespace = world.namespace("rights");
    let subscription = format!("/subscriptions/{}", world.variable("AZURE_SUBSCRIPTION_ID"));
    // The pipeline is a managed identity that trusts an account of the cluster.
    let pipeline = foreign_identity(&world, &format!("pipeline-{namespace}"));
    let property = |name: &str| {
        pipeline["properties"][name]
            .as_str()
            .expect("an identity has ids")
            .to_owned()
    };
    let (client, principal) = (property("clientId"), property("principalId"));
    let sign_in = format!(
        "kubectl wi setup --context {CONTEXT} -n {namespace} --service-account pipeline \
         --service-account-owner setup --yes --identity-id {}",
        identity_id(&world, &format!("pipeline-{namespace}"))
    );
    world.run(&sign_in).expect(0);
    let token = world
        .run(&format!(
            "kubectl --context {CONTEXT} -n {namespace} create token pipeline --audience {AUDIENCE}"
        ))
        .expect(0);
    let file = world.folder().join("token");
    fs::write(&file, token.stdout.trim()).expect("the test's folder can be written to");
    let operator = world.variable("AZURE_CLIENT_ID").to_owned();
    let secret = world.variable("AZURE_CLIENT_SECRET").to_owned();
    let as_pipeline = |world: &mut World| {
        world.set("AZURE_CLIENT_ID", &client);
        world.unset("AZURE_CLIENT_SECRET");
        world.set("AZURE_FEDERATED_TOKEN_FILE", &file.to_string_lossy());
    };
    let as_operator = |world: &mut World| {
        world.set("AZURE_CLIENT_ID", &operator);
        world.set("AZURE_CLIENT_SECRET", &secret);
        world.unset("AZURE_FEDERATED_TOKEN_FILE");
    };
    let setup = format!(
        "kubectl wi setup --context {CONTEXT} -n {namespace} --service-account orders --secret {SECRET} \
         --service-account-owner setup"
    );
    let nothing_was_made = |world: &World| {
        assert_eq!(
            identities_named_like(world, &namespace),
            [format!("pipeline-{namespace}")]
        );
        world
            .run(&format!(
                "kubectl --context {CONTEXT} -n {namespace} get serviceaccount orders"
            ))
            .expect(1)
            .says("not found");
    };

    // Who only reads lacks every write, each named; looking is allowed.
    assign_as_admin(&world, &principal, "Reader", &subscription);
    as_pipeline(&mut world);
    world
        .run(&format!("{setup} --dry-run --detailed-exitcode"))
        .expect(2);
    assert_eq!(questions_about_rights(&world, &client), 0);
    let refused = world
        .run(&format!("{setup} --yes"))
        .expect(8)
        .says("Microsoft.ManagedIdentity/userAssignedIdentities/write at")
        .says("userAssignedIdentities/federatedIdentityCredentials/write at")
        .says("Microsoft.Authorization/roleAssignments/write at");
    let line = format!(
        "az role assignment create --role \"Managed Identity Contributor\" --assignee {principal} \
         --scope {subscription}/resourceGroups/rg-fleet"
    );
    assert!(
        refused.stderr.contains(&line),
        "{line}\nis missing in\n{}",
        refused.stderr
    );
    as_operator(&mut world);
    nothing_was_made(&world);

    // A contributor makes everything but role assignments.
    assign_as_admin(&world, &principal, "Contributor", &subscription);
    as_pipeline(&mut world);
    let refused = world
        .run(&format!("{setup} --yes"))
        .expect(8)
        .says("Microsoft.Authorization/roleAssignments/write at")
        .says("--role \"Key Vault Data Access Administrator\"");
    assert!(
        !refused.stderr.contains("userAssignedIdentities/write"),
        "{}",
        refused.stderr
    );
    as_operator(&mut world);
    nothing_was_made(&world);

    // With the role that the message names, at the scope that it names, the same command does it all; and an empty
    // plan then asks for no right.
    let secret_scope = format!(
        "{subscription}/resourceGroups/rg-shared/providers/Microsoft.KeyVault/vaults/kv-central/secrets/db-password"
    );
    assert!(
        refused.stderr.contains(&format!("--scope {secret_scope}")),
        "{}",
        refused.stderr
    );
    assign_as_admin(
        &world,
        &principal,
        "Key Vault Data Access Administrator",
        &secret_scope,
    );
    as_pipeline(&mut world);
    world.run(&format!("{setup} --yes")).expect(0);
    let asked = questions_about_rights(&world, &client);
    assert!(asked > 0);
    let again = world.run(&format!("{setup} --yes -o json")).expect(0).json();
    assert_eq!(again["changes"], json!([]));
    assert_eq!(questions_about_rights(&world, &client), asked);
}

/// Starts a command line and sends it a signal when it says that it begins with something; how it ended.
fn signal_at(line: &str, beginning: &str, signal: &str) -> ExitStatus {
    let mut words = line.split_whitespace();
    let mut child = Command::new(words.next().expect("a line names a program"))
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let talk = BufReader::new(child.stderr.take().expect("its talk is read"));
    let mut said = Vec::new();
    for line in talk.lines() {
        let line = line.expect("its talk is text");
        let is_it = line.starts_with(&format!("{CONTEXT}: ")) && line.contains(beginning);
        said.push(line);
        if is_it {
            let sent = Command::new("kill")
                .args([signal, &child.id().to_string()])
                .status();
            assert!(sent.is_ok_and(|sent| sent.success()), "it cannot be signalled");
            return child.wait().expect("it ends");
        }
    }
    let _ = child.wait();
    panic!("`{line}` never began with {beginning:?}:\n{}", said.join("\n"));
}

/// A run says what it begins with, so at each of these everything before is written.
#[test]
fn a_run_that_was_killed_at_any_step_is_completed_by_the_next() {
    let world = World::join();
    let steps = [
        "managed identity ",
        "federated credential ",
        "role at secret ",
        "namespace ",
        "service account ",
    ];
    for (number, step) in steps.into_iter().enumerate() {
        let namespace = world.namespace(&format!("kill-{number}"));
        let setup = format!(
            "kubectl-wi-setup --context {CONTEXT} -n {namespace} --service-account orders --secret {SECRET} \
             --service-account-owner setup --yes"
        );
        let ended = signal_at(&setup, step, "-KILL");
        assert_eq!(ended.code(), None, "it had ended before it was killed");
        let made = world.run(&format!("{setup} -o json")).expect(0).json();
        let again = world.run(&format!("{setup} -o json")).expect(0).json();
        assert_eq!(again["changes"], json!([]), "killed at {step}");
        assert_eq!(again["clientId"], made["clientId"]);

        // Nothing is there twice.
        let names = identities_named_like(&world, &namespace);
        assert_eq!(names.len(), 1, "{names:?}");
        let identity = identity_id(&world, &names[0]);
        assert_eq!(credentials(&world, &identity).len(), 1);
        let principal = made["principalId"].as_str().expect("an outcome has ids");
        let path = format!(
            "/subscriptions/{}/resourceGroups/rg-shared/providers/Microsoft.KeyVault/vaults/kv-central/providers/\
             Microsoft.Authorization/roleAssignments?api-version=2022-04-01&$filter=principalId%20eq%20'{principal}'",
            world.variable("AZURE_SUBSCRIPTION_ID")
        );
        let assignments = world.rest("GET", &path, None);
        assert_eq!(
            assignments["value"].as_array().map(Vec::len),
            Some(1),
            "killed at {step}"
        );
    }
}

#[test]
fn a_run_that_is_interrupted_finishes_its_write_and_begins_no_other() {
    let world = World::join();
    let namespace = world.namespace("interrupt");
    let setup = format!(
        "kubectl-wi-setup --context {CONTEXT} -n {namespace} --service-account orders --secret {SECRET} \
         --service-account-owner setup --yes"
    );
    // The first write takes long enough for the signal to arrive while it is under way.
    let slow = r#"{"faults": [{"service": "arm", "method": "PUT", "path": "/e2e-slow-", "delayMs": 3000}]}"#;
    let name = format!("e2e-slow-{namespace}");
    world.sandbox(&["azure", "fault", slow]).expect(0);
    let ended = signal_at(
        &format!("{setup} --identity-name {name}"),
        "managed identity ",
        "-INT",
    );
    world.sandbox(&["azure", "fault", "--calm"]).expect(0);
    assert_eq!(ended.code(), Some(130));
    let identity = identity_id(&world, &name);
    assert_eq!(credentials(&world, &identity), Vec::<Value>::new());
    world.run(&format!("{setup} --identity-name {name}")).expect(0);
    assert_eq!(credentials(&world, &identity).len(), 1);
}
