//! What cannot be done, told with its place and the way out.

use crate::support::{CONTEXT, setup, write};
use e2e::World;
use e2e::application::{add, uuid};
use e2e::azure::{
    IDENTITY_API, fleet_group, foreign_identity, identities, identity_id, issuer, subscription, text,
};
use serde_json::{Value, json};

#[test]
fn limits_are_counted_before_the_first_write() {
    let world = World::join();
    let namespace = world.namespace("limits");
    // An identity with 20 federated credentials.
    let full = format!("full-{namespace}");
    let credential = |number: usize| {
        json!({"name": format!("c-{number}"), "issuer": "https://issuer.invalid/",
            "subject": format!("system:serviceaccount:shop:n{number}")})
    };
    let credentials: Vec<Value> = (0..20).map(credential).collect();
    add(
        &world,
        &json!({"identities": [{"resourceGroup": "rg-fleet", "name": full, "location": "westeurope",
            "federatedCredentials": credentials}]}),
    );
    let full = identity_id(&world, &full);
    world
        .run(&format!("{} --identity-id {full} --yes", setup(&namespace)))
        .expect(8)
        .says("has 20 federated credentials, and Azure allows 20");

    // A credential of others that trusts the same account for another audience.
    let trust = |identity: &str, name: &str, subject: &str, audience: &str| {
        let body = json!({"properties": {"issuer": issuer(&world, CONTEXT), "audiences": [audience],
            "subject": format!("system:serviceaccount:{namespace}:{subject}")}});
        let path = format!("{identity}/federatedIdentityCredentials/{name}?{IDENTITY_API}");
        world.rest("PUT", &path, Some(&body));
    };
    foreign_identity(&world, &format!("rival-{namespace}"));
    let rival = identity_id(&world, &format!("rival-{namespace}"));
    trust(&rival, "theirs", "orders", "api://Other");
    world
        .run(&format!("{} --identity-id {rival} --yes", setup(&namespace)))
        .expect(8)
        .says("credential theirs trusts the same issuer and subject for the audience api://Other");

    // A credential of others under the name that setup would give: not taken over, and solved by its removal.
    foreign_identity(&world, &format!("namesake-{namespace}"));
    let namesake = identity_id(&world, &format!("namesake-{namespace}"));
    let line = format!("{} --wait none --identity-id {namesake}", setup(&namespace));
    let looked = world.run(&format!("{line} --dry-run -o json")).expect(0).json();
    let name = text(&looked["federatedCredential"]["wanted"], "name");
    trust(&namesake, name, "others", "api://AzureADTokenExchange");
    world
        .run(&format!("{line} --yes"))
        .expect(8)
        .says(&format!("trusts system:serviceaccount:{namespace}:others"))
        .says("az identity federated-credential show");
    let path = format!("{namesake}/federatedIdentityCredentials/{name}?{IDENTITY_API}");
    let kept = world.rest("GET", &path, None);
    assert_eq!(
        kept["properties"]["subject"],
        format!("system:serviceaccount:{namespace}:others")
    );
    world.rest("DELETE", &path, None);
    world.run(&format!("{line} --yes")).expect(0);

    // A subscription with room for one more role assignment, and one with none.
    for (others, secrets, code, words) in [
        (3998, 1, 0, "will have 4000 of the 4000 role assignments"),
        (3998, 2, 8, "than the 4000 that Azure allows"),
    ] {
        let (other, vault) = (uuid(), format!("kv-{}", &uuid()[..8]));
        add(
            &world,
            &json!({
                "subscriptions": [{"id": other, "displayName": "Nearly full", "otherRoleAssignments": others}],
                "resourceGroups": [{"subscription": other, "name": "rg-x", "location": "westeurope"}],
                "vaults": [{"subscription": other, "resourceGroup": "rg-x", "name": vault, "location": "westeurope",
                    "secrets": [{"name": "s0", "value": uuid()}, {"name": "s1", "value": uuid()}]}],
                "roleAssignments": [{"principal": "sandbox-operator", "role": "Owner", "scope": format!("/subscriptions/{other}")}],
            }),
        );
        let named: Vec<String> = (0..secrets)
            .map(|number| format!("--secret {vault}/s{number}"))
            .collect();
        world
            .run(&format!("{} {} --dry-run", setup(&namespace), named.join(" ")))
            .expect(code)
            .says(words);
    }
}

#[test]
fn bad_input_is_told_with_its_place_and_the_way_out() {
    let world = World::join();
    let namespace = world.namespace("bad");
    let abroad = format!("kv-{}", &uuid()[..8]);
    add(
        &world,
        &json!({"vaults": [{"resourceGroup": "rg-shared", "name": abroad, "location": "westeurope", "tenant": uuid(),
            "secrets": [{"name": "db", "value": uuid()}]}]}),
    );
    let line = setup(&namespace);
    let group = format!("{}/resourceGroups/rg-shared", subscription(&world));
    let head = "apiVersion: kubectl-wi/v1alpha1\nkind: WorkloadIdentities\n";
    for (name, text) in [
        (
            "unknown.yaml",
            format!("{head}workloads:\n- serviceAccount: orders\n  secret: [kv/db]\n"),
        ),
        (
            "kind.yaml",
            "apiVersion: kubectl-wi/v1alpha1\nkind: Workloads\n".to_owned(),
        ),
        (
            "secret.yaml",
            format!("{head}workloads:\n- serviceAccount: orders\n  secrets: [db]\n"),
        ),
        (
            "twice.yaml",
            format!("{head}workloads:\n- {{serviceAccount: a}}\n- {{serviceAccount: a}}\n"),
        ),
        (
            "context.yaml",
            format!("{head}workloads:\n- {{serviceAccount: a, contexts: [aks-nowhere]}}\n"),
        ),
        ("broken.yaml", "apiVersion: [\n".to_owned()),
    ] {
        write(&world, name, &text);
    }
    let file = |name: &str| format!("kubectl wi setup --context {CONTEXT} -f {name} --yes");
    for (command, code, words) in [
        (
            format!("{line} -n Shop --dry-run").replace(&format!("-n {namespace} "), ""),
            64,
            vec!["\"Shop\" is no namespace"],
        ),
        (
            format!("{line} --secret db --dry-run"),
            64,
            vec!["it must be VAULT/NAME"],
        ),
        (
            format!("{line} --secret kv-none-such/db --yes"),
            8,
            vec!["vault \"kv-none-such\" does not exist", "hint: "],
        ),
        (
            format!("{line} --secret kv-central/none --yes"),
            8,
            vec![
                "does not exist",
                "az keyvault secret set --vault-name kv-central --name none",
            ],
        ),
        (
            format!("{line} --secret {abroad}/db --yes"),
            8,
            vec!["accepts tokens of tenant", "use a vault of the identity's tenant"],
        ),
        (
            format!("{line} --grant Reader --dry-run"),
            64,
            vec!["must be ROLE@SCOPE"],
        ),
        (
            format!("{line} --grant Reader@rg-shared --dry-run"),
            64,
            vec!["is no scope"],
        ),
        (
            format!("{line} --grant Emperor@{group} --yes"),
            8,
            vec![
                "role \"Emperor\" cannot be assigned at",
                "az role definition list --scope",
            ],
        ),
        (
            format!("{line} --values-map a=clientId --yes"),
            64,
            vec!["-o values"],
        ),
        (
            format!("{line} --dry-run -o values"),
            64,
            vec!["known after apply"],
        ),
        (
            format!("{line} --only cluster --yes"),
            64,
            vec!["--enable-oidc-issuer"],
        ),
        (format!("{line} -f unknown.yaml"), 64, vec!["cannot be used with"]),
        ("kubectl wi setup".to_owned(), 64, vec!["--service-account"]),
        (
            file("none.yaml"),
            64,
            vec!["cannot read none.yaml", "--print-schema"],
        ),
        (
            file("unknown.yaml"),
            64,
            vec!["unknown.yaml:5:3: workloads[0]: unknown field `secret`, expected one of"],
        ),
        (
            file("kind.yaml"),
            64,
            vec!["kind \"Workloads\"", "WorkloadIdentities or Grants"],
        ),
        (
            file("secret.yaml"),
            64,
            vec!["secret.yaml:5:13: workloads[0].secrets[0]: \"db\" is no secret"],
        ),
        (
            file("twice.yaml"),
            64,
            vec![
                "workloads[1] is service account",
                "which another workload is already",
            ],
        ),
        (
            file("context.yaml").replace(&format!("--context {CONTEXT} "), ""),
            64,
            vec!["no context matches \"aks-nowhere\""],
        ),
        (file("broken.yaml"), 64, vec!["broken.yaml:"]),
        (
            line.replace(CONTEXT, "aks-nowhere"),
            64,
            vec!["no context matches \"aks-nowhere\"", "hint: "],
        ),
        (
            "kubectl wi remove -f none.yaml".to_owned(),
            64,
            vec!["cannot read none.yaml"],
        ),
        (
            "kubectl wi remove -f kind.yaml".to_owned(),
            64,
            vec!["kind \"Workloads\"", "WorkloadIdentities"],
        ),
        (
            "kubectl wi remove --service-account orders -f unknown.yaml".to_owned(),
            64,
            vec!["cannot be used with"],
        ),
    ] {
        let mut told = world.run(&command).expect(code);
        for part in words {
            told = told.says(part);
        }
    }
    let schema = world.run("kubectl wi setup --print-schema").expect(0).json();
    assert!(
        schema["$defs"]["WorkloadSpec"]["properties"]["serviceAccount"].is_object(),
        "{schema}"
    );
    assert_eq!(
        identities(&world, &fleet_group(&world), &namespace),
        Vec::<String>::new()
    );
}
