//! Results for charts and pipelines.

use crate::support::{CONTEXT, SECRET, read, setup};
use e2e::World;
use serde_json::{Value, json};

#[test]
fn results_go_to_charts_and_pipelines() {
    let mut world = World::join();
    let namespace = world.namespace("results");
    // What a pipeline would take for a command is none, and the document says it all the same.
    world.set("TF_BUILD", "True");
    let hostile = world
        .run_words(&[
            "kubectl-wi-setup",
            "--service-account",
            "orders",
            "--context",
            CONTEXT,
            "--identity-name",
            "##vso[task.complete]{{ no }}",
            "--dry-run",
            "-ojson",
        ])
        .expect(64);
    assert!(!format!("{}{}", hostile.stdout, hostile.stderr).contains("##vso["));
    let told = hostile.json()["error"].to_string();
    assert!(told.contains("##vso[task.complete]"), "{told}");
    world.unset("TF_BUILD");
    let line = format!("{} --secret {SECRET} --yes", setup(&namespace));
    let made = world
        .run(&format!(
            "{line} -o values --values-dir values --markdown done.md"
        ))
        .expect(0)
        .json();
    let client = made["serviceAccount"]["annotations"]["azure.workload.identity/client-id"].clone();
    assert_eq!(made["podLabels"]["azure.workload.identity/use"], "true");
    assert_eq!(made["serviceAccount"]["create"], false);
    let file: Value = serde_json::from_str(&read(&world, "values/aks-weu-1.json")).expect("values are JSON");
    assert_eq!(file, made);
    assert!(read(&world, "done.md").contains("| create | federated credential "));

    let mapped = world
        .run(&format!(
            "{line} -o values --values-map azure.client=clientId --values-map csi=secretProviderClass.kv-central \
             --values-map store=clusterSecretStore.kv-central"
        ))
        .expect(0)
        .json();
    assert_eq!(mapped["azure"]["client"], client);
    assert_eq!(
        (&mapped["csi"]["clientID"], &mapped["csi"]["usePodIdentity"]),
        (&client, &json!("false"))
    );
    assert_eq!(mapped["store"]["serviceAccountRef"]["namespace"], namespace);
    // External Secrets takes the tenant from one place only; the account names none.
    assert_eq!(mapped["store"]["tenantId"], world.variable("AZURE_TENANT_ID"));

    let client = client.as_str().expect("an annotation is a text").to_owned();
    let azure = world.run(&format!("{line} -q --ci azure -o name")).expect(0);
    assert!(
        azure.stderr.contains(&format!(
            "##vso[task.setvariable variable=clientId;isOutput=true]{client}\n"
        )),
        "{}",
        azure.stderr
    );
    assert!(azure.stdout.contains("serviceaccount/orders\n") && !azure.stdout.contains("##vso["));
    world
        .run(&format!("{line} --ci github"))
        .expect(64)
        .says("GITHUB_OUTPUT");
    let output = world.folder().join("output");
    world.set("GITHUB_OUTPUT", &output.to_string_lossy());
    world.run(&format!("{line} --ci github")).expect(0);
    world
        .run(&format!("{line} --ci github --secret kv-none/x"))
        .expect(8);
    let outputs = read(&world, "output");
    assert!(outputs.contains(&format!("clientId={client}\n")), "{outputs}");
    assert!(
        outputs.contains("exitName=ok\n") && outputs.ends_with("exitCode=8\nexitName=refused\n"),
        "{outputs}"
    );
}
