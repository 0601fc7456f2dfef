//! `kubectl wi setup` from outside, one behaviour a test: with the built binary, on a real cluster, judged by what
//! Azure and plain kubectl say afterwards.
//!
//! Bad input and faults, each told with a way out and an exit code, and each left by a rerun; by the test that shows it:
//!
//! | what | test |
//! |---|---|
//! | unknown context, invalid names, missing vault or secret, vault of another tenant | `setup_documents`: `bad_input_is_told_with_its_place_and_the_way_out` |
//! | a context that is no AKS cluster, and two clusters that match | `setup_lifecycle`: `of_no_cluster_and_of_two_none_is_chosen` |
//! | a context that is another cluster than the pinned id | `setup_lifecycle`: `the_context_is_proven_by_what_its_user_may_see`, `a_cluster_that_was_built_anew_…` |
//! | wrong tenant, expired login | `signin`: `nobody_is_signed_in_by_accident`, `a_person_signs_in_through_the_cli` |
//! | missing kubelogin, interactive kubelogin without a terminal | `signin`: `a_credential_plugin_that_needs_a_person_or_is_missing_is_told` |
//! | a credential of our name that is somebody else's, 20 reached, role assignments near and over the limit | `setup_documents`: `limits_are_counted_before_the_first_write` |
//! | policy, lock, throttling, propagation, connections lost half-way, interrupted | `setup_lifecycle`: `what_stands_in_the_way_is_named_and_the_next_run_succeeds` |
//! | killed at any step | here: `a_run_that_was_killed_at_any_step_is_completed_by_the_next` |
//! | missing rights in Azure and in the cluster | here and in `rights`; `setup_lifecycle`: `the_context_is_proven_by_what_its_user_may_see` |
//! | an update of the cluster that fails, that meets another one, that is interrupted | `setup_lifecycle`: `a_cluster_without_its_features_…`, `an_update_of_the_cluster_goes_on_…` |

use e2e::application::assign;
use e2e::azure::{
    IDENTITY_API, assignments, calm, credentials, fleet_group, foreign_identity, front, identities,
    identity_id, log, subscription, vault_id,
};
use e2e::{World, signal_at};
use serde_json::{Value, json};
use std::fs;

const CONTEXT: &str = "aks-weu-1";
const SECRET: &str = "kv-central/db-password";
const AUDIENCE: &str = "api://AzureADTokenExchange";

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
    let after = world.rest(
        "GET",
        &format!("{}?{IDENTITY_API}", identity_id(&world, &name)),
        None,
    );
    assert_eq!(after, before);
    assert_eq!(
        identities(&world, &fleet_group(&world), &namespace),
        [name.as_str()]
    );

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
    assert_eq!(
        identities(&world, &fleet_group(&world), &namespace),
        Vec::<String>::new()
    );
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
    let is_one = |entry: &&Value| {
        entry["caller"] == client
            && entry["path"]
                .as_str()
                .is_some_and(|path| path.contains("/Microsoft.Authorization/permissions"))
    };
    log(world).iter().filter(is_one).count()
}

/// A principal with the roles that teams give a pipeline: it may make everything and assign nothing.
#[test]
fn rights_are_asked_for_before_the_first_write() {
    let mut world = World::join();
    let namespace = world.namespace("rights");
    let subscription = subscription(&world);
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
         --service-account-owner setup --yes --wait none --identity-id {}",
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
         --service-account-owner setup --wait none"
    );
    let nothing_was_made = |world: &World| {
        assert_eq!(
            identities(world, &fleet_group(world), &namespace),
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
    assign(&world, &principal, "Reader", &subscription);
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
    assign(&world, &principal, "Contributor", &subscription);
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
    let secret_scope = format!("{}/secrets/db-password", vault_id(&world));
    assert!(
        refused.stderr.contains(&format!("--scope {secret_scope}")),
        "{}",
        refused.stderr
    );
    assign(
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
             --service-account-owner setup --yes --wait none"
        );
        // The wait for the exchange keeps it alive past its last write.
        let killed = setup.replace("--wait none", "--wait exchange");
        let (ended, _) = signal_at(&killed, &format!("{CONTEXT}: {step}"), "-KILL");
        assert_eq!(ended, None, "it had ended before it was killed");
        let made = world.run(&format!("{setup} -o json")).expect(0).json();
        let again = world.run(&format!("{setup} -o json")).expect(0).json();
        assert_eq!(again["changes"], json!([]), "killed at {step}");
        assert_eq!(again["clientId"], made["clientId"]);

        // Nothing is there twice.
        let names = identities(&world, &fleet_group(&world), &namespace);
        assert_eq!(names.len(), 1, "{names:?}");
        let identity = identity_id(&world, &names[0]);
        assert_eq!(credentials(&world, &identity).len(), 1);
        let assigned = assignments(&world, &vault_id(&world), &made["principalId"]);
        assert_eq!(assigned.len(), 1, "killed at {step}");
    }
}

#[test]
fn a_run_that_is_interrupted_finishes_its_write_and_begins_no_other() {
    let world = World::join();
    let namespace = world.namespace("interrupt");
    let setup = format!(
        "kubectl-wi-setup --context {CONTEXT} -n {namespace} --service-account orders --secret {SECRET} \
         --service-account-owner setup --yes --wait none"
    );
    // The first write takes long enough for the signal to arrive while it is under way.
    let name = format!("slow-{namespace}");
    let slow = json!({"faults": [{"service": "arm", "method": "PUT", "delayMs": 3000}]});
    front(&world, &name, &name, &slow);
    let (ended, _) = signal_at(
        &format!("{setup} --identity-name {name}"),
        &format!("{CONTEXT}: managed identity "),
        "-INT",
    );
    calm(&world, &name);
    assert_eq!(ended, Some(130));
    let identity = identity_id(&world, &name);
    assert_eq!(credentials(&world, &identity), Vec::<Value>::new());
    world.run(&format!("{setup} --identity-name {name}")).expect(0);
    assert_eq!(credentials(&world, &identity).len(), 1);
}
