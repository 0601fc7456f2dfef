//! Many workloads on many clusters, described by one file.

use crate::support::{CONTEXT, SECRET, read, setup, write};
use e2e::World;
use e2e::application::{add, uuid};
use e2e::azure::{changes, identities, issuer, subscription};
use serde_json::{Value, json};

/// One file: two workloads, three pairs of workload and cluster, clusters of two subscriptions, an identity in a group
/// of its own.
#[test]
fn a_file_sets_many_workloads_up_on_many_clusters_in_one_run() {
    let world = World::join();
    let namespace = world.namespace("file");
    let (other, group) = (
        uuid(),
        format!("{}/resourceGroups/{namespace}", subscription(&world)),
    );
    add(
        &world,
        &json!({
            "subscriptions": [{"id": other, "displayName": "Second"}],
            "resourceGroups": [
                {"subscription": other, "name": "rg-second", "location": "northeurope"},
                {"name": namespace, "location": "westeurope"},
            ],
            "clusters": [{"subscription": other, "resourceGroup": "rg-second", "name": namespace, "location": "northeurope",
                "fqdn": format!("{namespace}.hcp.northeurope.azmk8s.io"), "issuerUrl": issuer(&world, "aks-neu-1")}],
            "roleAssignments": [{"principal": "sandbox-operator", "role": "Contributor", "scope": format!("/subscriptions/{other}")}],
        }),
    );
    let second = format!(
        "/subscriptions/{other}/resourceGroups/rg-second/providers/Microsoft.ContainerService/managedClusters/{namespace}"
    );
    write(
        &world,
        "wi.yaml",
        &format!(
            "apiVersion: kubectl-wi/v1alpha1\nkind: WorkloadIdentities\nworkloads:\n\
             - {{namespace: {namespace}, serviceAccount: orders, contexts: [{CONTEXT}],\n   \
                serviceAccountOwner: setup, secrets: [{SECRET}], identity: {{group: {namespace}}}}}\n\
             - {{namespace: {namespace}, serviceAccount: orders, contexts: [aks-neu-1],\n   \
                clusterId: {second}, serviceAccountOwner: setup}}\n\
             - {{namespace: {namespace}, serviceAccount: reports, contexts: [{CONTEXT}],\n   \
                serviceAccountOwner: setup, secrets: [kv-central/api-key]}}\n"
        ),
    );
    let run = |more: &str| world.run(&format!("kubectl wi setup -f wi.yaml {more}"));

    let plan = run("--dry-run --detailed-exitcode -o json --markdown plan.md")
        .expect(2)
        .json();
    assert_eq!(plan["kind"], "WorkloadIdentityPlanList");
    let actions: Vec<&Value> = (0..3)
        .map(|item| &plan["items"][item]["identity"]["action"])
        .collect();
    assert_eq!(actions, ["create", "create", "create"]);
    assert_eq!(
        plan["items"][0]["knownAfterApply"],
        json!(["clientId", "principalId"])
    );
    let markdown = read(&world, "plan.md");
    assert!(markdown.contains("| create | managed identity "), "{markdown}");
    assert!(markdown.contains("(known after apply)"), "{markdown}");
    assert_eq!(identities(&world, &group, ""), Vec::<String>::new());

    let made = run("--yes -o json").expect(0).json();
    let of = |item: usize, field: &str| made["items"][item][field].as_str().unwrap_or_default().to_owned();
    let names: Vec<String> = (0..3)
        .map(|item| format!("{} {}", of(item, "context"), of(item, "serviceAccount")))
        .collect();
    assert_eq!(
        names,
        ["aks-weu-1 orders", "aks-neu-1 orders", "aks-weu-1 reports"]
    );
    assert!(of(0, "identityId").starts_with(&group), "{}", of(0, "identityId"));
    assert!(
        of(1, "identityId").starts_with(&format!("/subscriptions/{other}/")),
        "{}",
        of(1, "identityId")
    );
    let states: Vec<&Value> = (0..3)
        .map(|item| &made["items"][item]["exchange"]["state"])
        .collect();
    assert_eq!(states, ["stable", "stable", "stable"]);

    let again = run("--yes -o json").expect(0).json();
    assert!(
        (0..3).all(|item| again["items"][item]["changes"] == json!([])),
        "{again}"
    );
    // On the command line a context narrows the file.
    let narrowed = run("--dry-run -o json --context aks-neu-1").expect(0).json();
    assert_eq!(
        (&narrowed["kind"], &narrowed["empty"]),
        (&json!("WorkloadIdentityPlan"), &json!(true))
    );
    // One workload of a file is the one of the flags.
    let flags = world
        .run(&format!(
            "{} --identity-group {namespace} --secret {SECRET} --dry-run -o json",
            setup(&namespace)
        ))
        .expect(0)
        .json();
    assert_eq!(flags["empty"], true, "{flags}");

    // The same file takes away what it has set up, and nothing is left to take away.
    let remove = |more: &str| world.run(&format!("kubectl wi remove -f wi.yaml {more}"));
    let looked = remove("--dry-run --detailed-exitcode").expect(2);
    assert_eq!(
        looked.stdout.matches("x delete managed identity").count(),
        3,
        "{}",
        looked.stdout
    );
    let gone = remove("--yes -o json").expect(0).json();
    for item in 0..3 {
        assert_eq!(
            changes(&gone["items"][item]).last().map(String::as_str),
            Some("delete managed identity")
        );
    }
    assert_eq!(identities(&world, &group, ""), Vec::<String>::new());
    let again = remove("--yes -o json").expect(0).json();
    assert!(
        (0..3).all(|item| again["items"][item]["changes"] == json!([])),
        "{again}"
    );
}
