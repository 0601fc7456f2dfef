//! The account: adopted by a release, and repaired after each drift.

use crate::support::{CLIENT_ID, CONTEXT, account, assignments, kubectl, pod, remove, setup};
use e2e::World;
use e2e::azure::{IDENTITY_API, ROLE_API, changes, identity_id, text};
use serde_json::json;
use std::fs;

/// A chart whose only object is the account, annotated from its values as charts do it.
fn chart(world: &World) -> String {
    let folder = world.folder().join("chart");
    fs::create_dir_all(folder.join("templates")).expect("the test's folder can be written to");
    let write = |file: &str, content: &str| {
        fs::write(folder.join(file), content).expect("the test's folder can be written to");
    };
    write("Chart.yaml", "apiVersion: v2\nname: orders\nversion: 1.0.0\n");
    write("values.yaml", "serviceAccount: {annotations: {}, labels: {}}\n");
    write(
        "templates/serviceaccount.yaml",
        "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: orders\n  labels: \
         {{ merge (dict \"chart\" .Chart.Version) .Values.serviceAccount.labels | toJson }}\n  annotations: \
         {{ .Values.serviceAccount.annotations | toJson }}\n",
    );
    folder.display().to_string()
}

#[test]
fn a_release_adopts_the_account_that_was_made_for_it() {
    let world = World::join();
    let chart = chart(&world);
    for version in ["helm3", "helm4"] {
        let helm = world.state().join(version).join("bin/helm").display().to_string();
        let namespace = world.namespace(version);
        let setup = format!(
            "kubectl wi setup --context {CONTEXT} -n {namespace} --service-account orders --helm-release orders --yes --wait none"
        );
        let made = world.run(&format!("{setup} -o json")).expect(0).json();
        let client_id = text(&made, "clientId");
        let values = world.folder().join("values.json");
        let upgrade = |label: &str| {
            let content =
                json!({"serviceAccount": {"annotations": {CLIENT_ID: client_id}, "labels": {"run": label}}});
            fs::write(&values, content.to_string()).expect("the test's folder can be written to");
            world
                .run(&format!(
                    "{helm} --kube-context {CONTEXT} -n {namespace} upgrade --install orders {chart} -f {}",
                    values.display()
                ))
                .expect(0);
        };
        upgrade("one");
        upgrade("two");
        let adopted = account(&world, &namespace);
        assert_eq!(adopted["metadata"]["labels"]["run"], "two", "{version}");
        assert_eq!(adopted["metadata"]["annotations"][CLIENT_ID], client_id);
        let again = world.run(&format!("{setup} -o json")).expect(0).json();
        assert_eq!(again["changes"], json!([]), "{version}");

        // The release keeps its account, and goes on.
        world
            .run(&format!("{} --yes", remove(&namespace)))
            .expect(0)
            .says("belongs to Helm release");
        assert_eq!(account(&world, &namespace)["metadata"]["labels"]["run"], "two");
        upgrade("three");
        world
            .run(&format!(
                "{helm} --kube-context {CONTEXT} -n {namespace} uninstall orders"
            ))
            .expect(0);
        kubectl(&world, &namespace, "get serviceaccount orders")
            .expect(1)
            .says("not found");
    }
}

#[test]
fn a_run_after_each_drift_repairs_only_that() {
    let world = World::join();
    let namespace = world.namespace("drift");
    let setup = format!("{} -o json", setup(&namespace));
    let made = world.run(&setup).expect(0).json();
    let identity = identity_id(&world, text(&made, "identityName"));
    let credential = format!(
        "{identity}/federatedIdentityCredentials/{}?{IDENTITY_API}",
        text(&made, "federatedCredential")
    );
    let repaired = |what: &str, more: &str, expected: &[&str]| {
        let done = world.run(&format!("{setup} {more}")).expect(0).json();
        assert_eq!(changes(&done), expected, "{what}");
        let again = world.run(&setup).expect(0).json();
        assert_eq!(again["changes"], json!([]), "after {what}");
        done
    };

    world.rest("DELETE", &credential, None);
    repaired("a credential is gone", "", &["create federated credential"]);

    let issuer = text(&made["cluster"], "issuer").trim_end_matches('/');
    let body = json!({"properties": {"issuer": issuer, "audiences": ["api://AzureADTokenExchange"],
        "subject": format!("system:serviceaccount:{namespace}:orders")}});
    world.rest("PUT", &credential, Some(&body));
    repaired("a slash is missing", "", &["update federated credential"]);

    let assignment = assignments(&world, &made["principalId"]).pop();
    let assignment = assignment.expect("the role was assigned");
    world.rest("DELETE", &format!("{}?{ROLE_API}", text(&assignment, "id")), None);
    repaired("a role is gone", "", &["create role assignment"]);

    world.apply(CONTEXT, &namespace, &pod("worker", "of-another-time"));
    kubectl(
        &world,
        &namespace,
        &format!("annotate serviceaccount orders {CLIENT_ID}-"),
    )
    .expect(0);
    let done = repaired("the annotation is gone", "", &["update service account"]);
    // The pod was started with something else, and the command that starts it anew is told.
    assert_eq!(
        done["restarts"],
        json!([format!(
            "kubectl delete --context {CONTEXT} -n {namespace} pod/worker"
        )])
    );

    let annotate = format!("annotate serviceaccount orders --overwrite {CLIENT_ID}=another");
    kubectl(&world, &namespace, &annotate).expect(0);
    world.run(&setup).expect(8).says("--replace-identity");
    repaired(
        "the account has another identity",
        "--replace-identity",
        &["update service account"],
    );

    kubectl(&world, &namespace, "delete serviceaccount orders").expect(0);
    repaired("the account is gone", "", &["create service account"]);

    world.rest("DELETE", &format!("{identity}?{IDENTITY_API}"), None);
    repaired(
        "the identity is gone",
        "",
        &[
            "create managed identity",
            "create federated credential",
            "create role assignment",
            "update service account",
        ],
    );
}
