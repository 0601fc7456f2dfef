//! What an operator may do in Azure, with the built binary: the roles that teams usually give and what each lacks, the
//! delegation that an administrator can paste, and a vault in a subscription of its own.

use e2e::World;
use e2e::application::{Application, add, uuid};
use e2e::azure::{ROLE_API, endpoint, fleet_group, identities, subscription, vault_id};
use e2e::fleet::Fleet;
use e2e::user::{allow, kubeconfig_of};
use serde_json::{Value, json};

const CONTEXT: &str = "aks-weu-1";
const SECRETS_USER: &str = "4633458b-17de-408a-b874-0445c86b69e6";

fn setup(namespace: &str, secret: &str) -> String {
    format!(
        "kubectl wi setup --context {CONTEXT} -n {namespace} --service-account orders --secret {secret} \
         --service-account-owner setup"
    )
}

#[test]
fn the_roles_of_a_usual_service_connection_are_named_with_what_they_lack() {
    let mut world = World::join();
    let namespace = world.namespace("roles");
    let (scope, shared) = (
        subscription(&world),
        format!("{}/resourceGroups/rg-shared", subscription(&world)),
    );
    let operator = Application::new(
        &world,
        &json!({}),
        &[
            ("Azure Kubernetes Service Cluster Admin Role", &scope),
            ("Managed Identity Operator", &scope),
            ("Key Vault Administrator", &scope),
        ],
    );
    operator.sign_in(&mut world);
    let line = setup(&namespace, "kv-central/db-password");
    let refused = world
        .run(&format!("{line} --yes"))
        .expect(8)
        .says("Microsoft.ManagedIdentity/userAssignedIdentities/write at")
        .says("Microsoft.Authorization/roleAssignments/write at")
        .says("\"Azure Kubernetes Service Cluster Admin Role\", which is assigned, fetches a cluster")
        .says("\"Managed Identity Operator\", which is assigned, reads identities and gives them to resources; it neither")
        .says("\"Key Vault Administrator\", which is assigned, does everything with the content of vaults; it lets nobody");
    for (role, at) in [
        (
            "Managed Identity Contributor",
            format!("{scope}/resourceGroups/rg-fleet"),
        ),
        (
            "Key Vault Data Access Administrator",
            format!("{shared}/providers/Microsoft.KeyVault/vaults/kv-central/secrets/db-password"),
        ),
    ] {
        let command = format!(
            "az role assignment create --role {role:?} --assignee {} --scope {at}",
            operator.object
        );
        assert!(
            refused.stderr.contains(&command),
            "{command}\nis missing in\n{}",
            refused.stderr
        );
        operator.assign(&world, role, &at);
    }
    // With what the message asked for, the same command does it all.
    world.run(&format!("{line} --yes")).expect(0);
}

#[test]
fn a_fleet_is_refused_before_anything_is_touched() {
    let mut world = World::join();
    let namespace = world.namespace("fleet");
    let mut fleet = Fleet::new(&world, &namespace);
    fleet.change(|file| {
        file["clusters"] = json!([{"name": "weu-1", "context": CONTEXT}]);
        file["rollout"] = Value::Null;
    });
    let operator = Application::new(&world, &json!({}), &[("Reader", &subscription(&world))]);
    operator.sign_in(&mut world);
    world
        .run(&fleet.upgrade("helm-fleet"))
        .expect(8)
        .says("Microsoft.ManagedIdentity/userAssignedIdentities/write at")
        .says("\"Reader\", which is assigned, reads everything and writes nothing")
        .says("az role assignment create --role \"Managed Identity Contributor\"");
    world
        .run(&format!("kubectl --context {CONTEXT} get namespace {namespace}"))
        .expect(1)
        .says("not found");
    // Who only reads may still look.
    let look = fleet
        .upgrade("helm-fleet")
        .replace("--yes", "--dry-run --detailed-exitcode");
    world.run(&look).expect(2);

    // Nor does it begin for who may do it all in Azure, and in the cluster may only look.
    let mut world = World::join();
    let user = format!("reader-{namespace}");
    let look = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]},
        {"nonResourceURLs": ["*"], "verbs": ["get"]}]);
    allow(&world, CONTEXT, "default", &user, "ClusterRole", &look);
    let config = kubeconfig_of(&world, &user);
    world.set("KUBECONFIG", &config);
    world
        .run(&fleet.upgrade("helm-fleet"))
        .expect(8)
        .says("create namespaces")
        .says(&format!("patch serviceaccounts in namespace {namespace}"))
        .says(&format!(
            "kubectl auth can-i patch serviceaccounts --context {CONTEXT} -n {namespace}"
        ));
    let group = fleet_group(&world);
    assert_eq!(identities(&world, &group, &namespace), Vec::<String>::new());
    World::join()
        .run(&format!(
            "kubectl --context {CONTEXT} delete clusterrole,clusterrolebinding {user}"
        ))
        .expect(0);
}

#[test]
fn a_printed_delegation_allows_what_setup_grants_and_nothing_else() {
    let mut world = World::join();
    let namespace = world.namespace("delegated");
    let scope = subscription(&world);
    let operator = Application::new(&world, &json!({}), &[("Contributor", &scope)]);
    operator.sign_in(&mut world);
    let line = setup(&namespace, "kv-central/db-password");
    world
        .run(&format!("{line} --yes"))
        .expect(8)
        .says("Microsoft.Authorization/roleAssignments/write at");

    // It needs no cluster and no account: it is about the vault and who is signed in.
    let print = "kubectl wi setup --secret kv-central/db-password --print-delegation";
    let vault = vault_id(&world);
    let text = world.run(print).expect(0).stdout;
    assert!(
        text.contains(&format!(
            "--assignee-object-id {} --scope {vault} --condition-version 2.0 --condition",
            operator.object
        )),
        "{text}"
    );
    let delegation = world.run(&format!("{print} -o json")).expect(0).json();
    let of = |field: &str| delegation[field].clone();
    assert!(text.contains(of("condition").as_str().expect("it has a condition")));
    assert_eq!(of("scopes"), json!([vault]));

    // An administrator assigns it, word by word.
    add(
        &world,
        &json!({"roleAssignments": [{"principal": of("principalId"), "role": of("role"), "scope": vault,
            "condition": of("condition")}]}),
    );
    let made = world.run(&format!("{line} --yes -o json")).expect(0).json();
    let principal = &made["principalId"];

    // Any other role is refused to the operator, and taken from nobody.
    let assign = |role: &str| {
        let path = format!(
            "{vault}/providers/Microsoft.Authorization/roleAssignments/{}?{ROLE_API}",
            uuid()
        );
        let body = json!({"properties": {"principalId": principal, "principalType": "ServicePrincipal",
            "roleDefinitionId": format!("{scope}/providers/Microsoft.Authorization/roleDefinitions/{role}")}});
        put_as(&world, &operator, &path, &body)
    };
    assert_eq!(assign("00482a5a-887f-4fb3-b363-3b7fe8e74483"), "403");
    assert_eq!(assign(SECRETS_USER), "201");
}

/// Writes to the resource manager as an application, with plain curl; the status that it answers.
fn put_as(world: &World, application: &Application, path: &str, body: &Value) -> String {
    let ca = world.variable("AKS_WI_CA_FILE");
    let form = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}&scope=https://management.azure.com/.default",
        application.client, application.secret
    );
    let token_url = format!(
        "{}/{}/oauth2/v2.0/token",
        endpoint(world, "activeDirectoryEndpoint"),
        world.variable("AZURE_TENANT_ID")
    );
    let token = world
        .run_words(&["curl", "-sSf", "--cacert", ca, "-d", &form, &token_url])
        .expect(0)
        .json();
    let bearer = format!(
        "Authorization: Bearer {}",
        token["access_token"].as_str().expect("it is a token")
    );
    let url = format!("{}{path}", endpoint(world, "resourceManagerEndpoint"));
    world
        .run_words(&[
            "curl",
            "-sS",
            "--cacert",
            ca,
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "-X",
            "PUT",
            "-H",
            &bearer,
            "-H",
            "Content-Type: application/json",
            "-d",
            &body.to_string(),
            &url,
        ])
        .expect(0)
        .stdout
}

#[test]
fn a_vault_is_found_in_a_subscription_that_the_environment_does_not_name() {
    let world = World::join();
    let namespace = world.namespace("elsewhere");
    let (other, vault) = (uuid(), format!("kv-{}", &uuid()[..8]));
    add(
        &world,
        &json!({
            "subscriptions": [{"id": other, "displayName": "Security"}],
            "resourceGroups": [{"subscription": other, "name": "rg-security", "location": "westeurope"}],
            "vaults": [{"subscription": other, "resourceGroup": "rg-security", "name": vault, "location": "westeurope",
                "secrets": [{"name": "db-password", "value": uuid()}]}],
            "roleAssignments": [{"principal": "sandbox-operator", "role": "Reader", "scope": format!("/subscriptions/{other}")}],
        }),
    );
    // The sandbox's environment names the fleet's subscription, as a pipeline's does.
    assert_ne!(world.variable("AZURE_SUBSCRIPTION_ID"), other);
    let plan = world
        .run(&format!(
            "{} --dry-run",
            setup(&namespace, &format!("{vault}/db-password"))
        ))
        .expect(0)
        .says(&vault);
    assert!(
        plan.stdout.contains(&format!("{vault}/db-password")),
        "{}",
        plan.stdout
    );
    // A subscription that is named by flag is meant.
    world
        .run(&format!(
            "{} --dry-run --subscription {}",
            setup(&namespace, &format!("{vault}/db-password")),
            world.variable("AZURE_SUBSCRIPTION_ID")
        ))
        .expect(8)
        .says("--subscription");
}
