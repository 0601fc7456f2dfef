//! The main job from outside: `kubectl wi setup`, `kubectl wi verify` and `helm fleet upgrade` as a user runs them,
//! on real clusters, judged by what plain kubectl, plain helm and Azure say afterwards.

use e2e::azure::{IDENTITY_API, credentials, delete_credentials};
use e2e::fleet::{Fleet, statuses, targets};
use e2e::helm::{deployed, failed, release};
use e2e::{World, script};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;

const SECRET: &str = "kv-central/db-password";
const CONTEXTS: [&str; 3] = ["aks-weu-1", "aks-neu-1", "aks-sdc-1"];

/// The finding with a code, of one cluster's verification.
fn finding<'a>(document: &'a Value, code: &str) -> &'a Value {
    let findings = document["clusters"][0]["report"]["findings"]
        .as_array()
        .expect("a report has findings");
    findings
        .iter()
        .find(|finding| finding["code"] == code)
        .unwrap_or_else(|| panic!("no finding {code} in {findings:#?}"))
}

/// Nothing that is printed or written may hold a secret.
fn assert_nothing_secret(world: &World, text: &str, what: &str) {
    for (name, secret) in world.secrets() {
        assert!(!text.contains(&secret), "{what} holds the {name}");
    }
    // Every token of Kubernetes and of Entra is a JWT, and every JWT begins like this.
    assert!(!text.contains("eyJ"), "{what} holds a token");
}

/// The service account of the application.
fn account(world: &World, context: &str, namespace: &str) -> Value {
    let line = format!("kubectl --context {context} -n {namespace} get sa orders -o json");
    world.run(&line).expect(0).json()
}

#[test]
fn setup_is_idempotent_and_verify_names_what_is_broken() {
    let world = World::join();
    let (context, namespace) = (CONTEXTS[0], world.namespace("by-hand"));
    let workload = format!("--context {context} -n {namespace} --service-account orders --secret {SECRET}");
    let setup = format!("kubectl wi setup {workload} --service-account-owner setup --yes");
    let verify = format!("kubectl wi verify {workload}");

    // Without --yes nobody can be asked, and nothing is done.
    let refused = world
        .run(&format!(
            "kubectl wi setup {workload} --service-account-owner setup"
        ))
        .expect(64);
    assert!(refused.stderr.contains("--yes"), "{}", refused.stderr);
    world
        .run(&format!("kubectl --context {context} get namespace {namespace}"))
        .expect(1)
        .says("not found");

    // A dry run says that something is to be done, and does nothing.
    world
        .run(&format!("{setup} --dry-run --detailed-exitcode"))
        .expect(2);
    world
        .run(&format!("kubectl --context {context} get namespace {namespace}"))
        .expect(1)
        .says("not found");

    let made = world.run(&format!("{setup} -o json")).expect(0);
    assert_nothing_secret(
        &world,
        &format!("{}{}", made.stdout, made.stderr),
        "setup's output",
    );
    let made = made.json();
    assert_eq!(made["kind"], "WorkloadIdentity");
    assert_eq!(made["exitCode"], 0);
    let account = account(&world, context, &namespace);
    assert_eq!(
        account["metadata"]["annotations"]["azure.workload.identity/client-id"],
        made["clientId"]
    );

    // Again: the plan is empty, whether looked at or applied.
    world
        .run(&format!("{setup} --dry-run --detailed-exitcode"))
        .expect(0);
    let again = world.run(&format!("{setup} -o json")).expect(0).json();
    assert_eq!(again["changes"], json!([]));
    assert_eq!(again["clientId"], made["clientId"]);

    let proven = world.run(&format!("{verify} -o json")).expect(0);
    assert_nothing_secret(
        &world,
        &format!("{}{}", proven.stdout, proven.stderr),
        "verify's output",
    );
    let proven = proven.json();
    assert_eq!(finding(&proven, "exchange-ok")["verdict"], "pass");
    assert_eq!(finding(&proven, "secret-ok")["verdict"], "pass");
    // The probe is taken away: its job is gone, and its pod goes with it.
    let jobs = world
        .run(&format!(
            "kubectl --context {context} -n {namespace} get jobs -o name"
        ))
        .expect(0);
    assert_eq!(jobs.stdout, "");
    let pods =
        format!("kubectl --context {context} -n {namespace} wait --for=delete pods --all --timeout=60s");
    world.run(&pods).expect(0);

    // Without the credential the exchange fails, and the cause is named.
    let identity = made["identityId"].as_str().expect("an identity has an id");
    delete_credentials(&world, identity);
    let broken = world.run(&format!("{verify} -o json")).expect(1).json();
    assert_eq!(finding(&broken, "no-federated-credential")["verdict"], "fail");
    assert_eq!(
        finding(&broken, "exchange-refused")["becauseOf"],
        "no-federated-credential"
    );

    // Setup repairs just that.
    let repaired = world.run(&format!("{setup} -o json")).expect(0).json();
    assert_eq!(
        repaired["changes"].as_array().map(Vec::len),
        Some(1),
        "{:#}",
        repaired["changes"]
    );
    world.run(&verify).expect(0);
}

#[test]
fn a_mismatch_is_named_with_expected_and_found() {
    let world = World::join();
    let (context, namespace) = (CONTEXTS[1], world.namespace("mismatch"));
    let workload = format!("--context {context} -n {namespace} --service-account orders --secret {SECRET}");
    let setup = format!("kubectl wi setup {workload} --service-account-owner setup --yes -o json");
    let made = world.run(&setup).expect(0).json();
    let identity = made["identityId"].as_str().expect("an identity has an id");
    let original = credentials(&world, identity).remove(0);
    let id = original["id"].as_str().expect("a credential has an id");
    let issuer = original["properties"]["issuer"]
        .as_str()
        .expect("a credential has an issuer");
    let cases = [
        (
            "subject",
            json!(format!("system:serviceaccount:{namespace}:Orders")),
            "subject-mismatch",
        ),
        ("issuer", json!(issuer.trim_end_matches('/')), "issuer-mismatch"),
        ("audiences", json!(["api://SomebodyElse"]), "audience-mismatch"),
    ];
    for (field, wrong, code) in cases {
        let mut properties = original["properties"].clone();
        let right = properties[field].take();
        properties[field] = wrong.clone();
        world.rest(
            "PUT",
            &format!("{id}?{IDENTITY_API}"),
            Some(&json!({"properties": properties})),
        );
        let broken = world
            .run(&format!("kubectl wi verify {workload} --from local -o json"))
            .expect(1)
            .json();
        let found = finding(&broken, code);
        assert_eq!(found["verdict"], "fail");
        let evidence = found["evidence"].to_string();
        for value in [&right, &wrong] {
            let text = value.as_str().or(value[0].as_str()).expect("the field is text");
            assert!(evidence.contains(text), "{code} does not show {text}: {evidence}");
        }
    }
    world.run(&setup).expect(0);
    world
        .run(&format!("kubectl wi verify {workload} --from local"))
        .expect(0);
}

#[test]
fn a_fleet_is_upgraded_proven_left_alone_and_repaired() {
    let mut world = World::join();
    let namespace = &world.namespace("fleet");
    let fleet = Fleet::new(&world, namespace);
    let upgrade = fleet.upgrade("helm fleet");

    let first = world.run(&upgrade).expect(0);
    let report = fleet.report_json();
    assert_eq!(
        (&report["exitCode"], &report["exitName"]),
        (&json!(0), &json!("ok"))
    );
    let clients: BTreeSet<&str> = targets(&report)
        .iter()
        .filter_map(|target| target["clientId"].as_str())
        .collect();
    assert_eq!(clients.len(), 3, "{report:#}");
    let azure = world.sandbox(&["azure", "show", "-o", "json"]).expect(0).stdout;
    for client in &clients {
        assert!(azure.contains(client), "Azure knows no identity {client}");
    }
    for (target, context) in targets(&report).iter().zip(CONTEXTS) {
        assert_eq!(target["context"], context);
        assert_eq!(target["status"], "installed");
        // The report agrees with plain helm and plain kubectl.
        let revision = target["revisionAfter"].as_u64().expect("it has a revision");
        assert_eq!(release(&world, context, namespace), deployed(revision));
        let account = account(&world, context, namespace);
        assert_eq!(
            account["metadata"]["annotations"]["azure.workload.identity/client-id"],
            target["clientId"]
        );
        let pods = world
            .run(&format!(
                "kubectl --context {context} -n {namespace} get pods -o json"
            ))
            .expect(0)
            .json();
        let ready = pods["items"][0]["status"]["conditions"]
            .as_array()
            .is_some_and(|conditions| {
                conditions
                    .iter()
                    .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
            });
        assert!(
            ready,
            "the application in {context} has not read its secret: {pods:#}"
        );
        let findings = target["findings"].to_string();
        assert!(
            findings.contains("exchange-ok") && findings.contains("secret-ok"),
            "{findings}"
        );
    }
    for (text, what) in [
        (first.stdout + &first.stderr, "the output"),
        (fleet.report("report.json"), "report.json"),
        (fleet.report("TEST-fleet.xml"), "TEST-fleet.xml"),
        (fleet.report("report.md"), "report.md"),
    ] {
        assert_nothing_secret(&world, &text, what);
    }

    // A second run has nothing to do, and does not even start helm.
    let witness = world.folder().join("helm-was-started");
    let recorder = world.folder().join("recording-helm");
    let helm = world.find("helm");
    let record = format!(
        "echo \"$@\" >> {}\nexec {} \"$@\"",
        witness.display(),
        helm.display()
    );
    script(&recorder, &record);
    world.set("HELM_BIN", &recorder.display().to_string());
    world
        .run(&fleet.upgrade("helm-fleet"))
        .expect(0)
        .says("nothing to do");
    assert!(
        !witness.exists(),
        "{}",
        fs::read_to_string(&witness).unwrap_or_default()
    );
    let unchanged = fleet.report_json();
    for (before, after) in targets(&report).iter().zip(targets(&unchanged)) {
        assert_eq!(after["status"], "unchanged");
        assert_eq!(before["revisionAfter"], after["revisionAfter"]);
    }

    // A change by hand on one cluster is seen on that cluster alone.
    world.unset("HELM_BIN");
    let chart = fleet.folder().join("charts/orders");
    let by_hand = format!(
        "helm --kube-context {} -n {namespace} upgrade orders {} --reuse-values --set greeting=changed-by-hand",
        CONTEXTS[2],
        chart.display()
    );
    world.run(&by_hand).expect(0);
    let plan = world
        .run(&format!("{upgrade} --dry-run --detailed-exitcode -o json"))
        .expect(2)
        .json();
    let pending: Vec<&str> = targets(&plan)
        .iter()
        .filter(|target| target["action"] != "nothing")
        .filter_map(|target| target["context"].as_str())
        .collect();
    assert_eq!(pending, [CONTEXTS[2]], "{plan:#}");

    // Without its federated credential a cluster is repaired, and helm is not needed for that.
    let identity = targets(&report)[0]["identities"][0]["outcome"]["identityId"]
        .as_str()
        .expect("an identity has an id");
    delete_credentials(&world, identity);
    world
        .run(&format!("{upgrade} --cluster weu-1"))
        .expect(0)
        .says("repaired");
    assert_eq!(targets(&fleet.report_json())[0]["status"], "identity-repaired");
    assert_eq!(credentials(&world, identity).len(), 1);
}

#[test]
fn an_account_that_the_identity_is_not_for_is_refused_before_anything_is_touched() {
    let world = World::join();
    let namespace = &world.namespace("refused");
    let mut fleet = Fleet::new(&world, namespace);
    fleet.change(|document| {
        document["clusters"][1]["values"] = json!(["values/other-account.yaml"]);
        // What the fleet file sets last would win over the cluster's own values.
        document["overrides"]["serviceAccount"] =
            json!({"annotations": {"azure.workload.identity/client-id": "{{ identities.orders.clientId }}"}});
    });
    fs::write(
        fleet.folder().join("values/other-account.yaml"),
        "serviceAccount: {name: somebody-else}\n",
    )
    .expect("the copy can be written to");
    let refused = world.run(&fleet.upgrade("helm fleet")).expect(8);
    for text in ["neu-1", "somebody-else", "orders"] {
        assert!(
            refused.stderr.contains(text),
            "{text} is not named:\n{}",
            refused.stderr
        );
    }
    for context in CONTEXTS {
        world
            .run(&format!("kubectl --context {context} get namespace {namespace}"))
            .expect(1)
            .says("not found");
    }
}

#[test]
fn a_failing_canary_stops_the_rollout() {
    let world = World::join();
    let namespace = &world.namespace("stopped");
    let mut fleet = Fleet::new(&world, namespace);
    fleet.change(|document| {
        document["clusters"][0]["values"] = json!(["values/broken.yaml"]);
        document["helm"]["timeout"] = json!("20s");
    });
    fs::write(
        fleet.folder().join("values/broken.yaml"),
        "image: demo-app.sandbox/absent:dev\n",
    )
    .expect("the copy can be written to");
    world.run(&fleet.upgrade("helm fleet")).expect(4);
    assert_eq!(
        statuses(&fleet.report_json()),
        ["failed", "not-started", "not-started"]
    );
    assert_eq!(release(&world, CONTEXTS[0], namespace), failed(1));
    for context in &CONTEXTS[1..] {
        assert_eq!(release(&world, context, namespace), None, "{context} was touched");
    }
    // Mended, the same command completes what was stopped.
    fs::write(fleet.folder().join("values/broken.yaml"), "{}\n").expect("the copy can be written to");
    fleet.change(|document| document["helm"]["timeout"] = json!("2m"));
    world.run(&fleet.upgrade("helm fleet")).expect(0);
    for context in CONTEXTS {
        let status = release(&world, context, namespace).map(|(_, status)| status);
        assert_eq!(status.as_deref(), Some("deployed"));
    }
}
