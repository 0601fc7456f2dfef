//! Grants that another team makes, and vaults that cannot be opened by the secret.

use crate::support::{read, setup, write};
use e2e::World;
use e2e::application::{Application, add, uuid};
use e2e::azure::{fleet_group, identities, subscription, vault_id};
use serde_json::json;

/// The vault is somebody else's: one principal, which may not even read it, sets up, and the vault's owner applies the
/// grants and nothing else.
#[test]
fn the_owner_of_a_vault_applies_the_grants_that_another_asks_for() {
    let operator = World::join();
    let mut world = World::join();
    let namespace = world.namespace("grants");
    let (vault, fleet) = (vault_id(&world), fleet_group(&world));
    let pipeline = Application::new(&world, &json!({}), &[("Contributor", &fleet)]);
    let owner = Application::new(
        &world,
        &json!({}),
        &[
            ("Key Vault Data Access Administrator", &vault),
            ("Reader", &vault),
        ],
    );
    let line = format!("{} --secret {vault}/db-password --yes", setup(&namespace));
    pipeline.sign_in(&mut world);
    world.run(&line).expect(8);
    assert_eq!(identities(&operator, &fleet, &namespace), Vec::<String>::new());
    let made = world
        .run(&format!("{line} --export-grants grants.yaml -o json"))
        .expect(0)
        .says("vault kv-central cannot be read from here")
        .json();
    let written = read(&world, "grants.yaml");
    assert!(
        written.contains("kind: Grants") && written.contains(&format!("{vault}/secrets/db-password")),
        "{written}"
    );

    owner.sign_in(&mut world);
    let apply = "kubectl wi setup --only grants -f grants.yaml";
    let plan = world
        .run(&format!("{apply} --dry-run --detailed-exitcode"))
        .expect(2);
    assert!(
        plan.stdout
            .contains("+ create role Key Vault Secrets User at /subscriptions/"),
        "{}",
        plan.stdout
    );
    world.run(apply).expect(64).says("--yes");
    let applied = world.run(&format!("{apply} --yes -o json")).expect(0).json();
    assert_eq!(applied["changes"][0]["object"], "role assignment");
    let again = world.run(&format!("{apply} --yes -o json")).expect(0).json();
    assert_eq!(again["changes"], json!([]));

    // Who sees both finds everything in order, and the secret can be read.
    let settled = operator
        .run(&format!("{line} --wait access -o json"))
        .expect(0)
        .json();
    assert_eq!(
        (&settled["changes"], &settled["clientId"]),
        (&json!([]), &made["clientId"])
    );
}

#[test]
fn a_vault_with_access_policies_is_opened_as_a_whole_only_on_request() {
    let world = World::join();
    let namespace = world.namespace("policies");
    let vault = format!("kv-{}", &uuid()[..8]);
    add(
        &world,
        &json!({"vaults": [{"resourceGroup": "rg-shared", "name": vault, "location": "westeurope",
            "enableRbacAuthorization": false, "secrets": [{"name": "db", "value": uuid()}]}]}),
    );
    let line = format!("{} --secret {vault}/db --yes", setup(&namespace));
    world
        .run(&line)
        .expect(8)
        .says("cannot be limited to a named secret")
        .says("--allow-vault-wide");
    assert_eq!(
        identities(&world, &fleet_group(&world), &namespace),
        Vec::<String>::new()
    );
    let made = world
        .run(&format!("{line} --allow-vault-wide --wait access -o json"))
        .expect(0)
        .says("every secret of it")
        .json();
    let id = format!(
        "{}/resourceGroups/rg-shared/providers/Microsoft.KeyVault/vaults/{vault}",
        subscription(&world)
    );
    assert_eq!(made["vaultPolicies"], json!([id]));
    let again = world
        .run(&format!("{line} --allow-vault-wide -o json"))
        .expect(0)
        .json();
    assert_eq!(again["changes"], json!([]));

    // Its owner is told what a grant at a secret of it is worth, and applies the policy that was asked for.
    let principal = made["principalId"].as_str().expect("an outcome has ids");
    let entry = format!("- {{principalId: {principal}");
    let head = "apiVersion: kubectl-wi/v1alpha1\nkind: Grants\n";
    let role = format!("{head}grants:\n{entry}, role: Key Vault Secrets User, scope: {id}/secrets/db}}\n");
    write(&world, "role.yaml", &role);
    world
        .run("kubectl wi setup --only grants -f role.yaml --yes")
        .expect(8)
        .says("roles mean nothing there");
    let policy = format!("{head}vaultPolicies:\n{entry}, vault: {id}}}\n");
    write(&world, "policy.yaml", &policy);
    world
        .run("kubectl wi setup --only grants -f policy.yaml --dry-run --detailed-exitcode")
        .expect(0)
        .says("= access policy of vault");
}
