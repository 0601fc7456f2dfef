//! A fleet whose release has two identities: each reads its own secret, and what is wrong with one is told of that one.

use e2e::application::add;
use e2e::azure::{IDENTITY_API, assignments, calm, credentials, delete_credentials, front, text, vault_id};
use e2e::fleet::{Fleet, statuses, targets};
use e2e::helm::{deployed, release};
use e2e::{World, script};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const CONTEXTS: [&str; 2] = ["aks-weu-1", "aks-neu-1"];

/// Adds a second workload to the demo's chart: the first one once more, with an account and a vault of its own.
fn add_worker(templates: &Path) {
    for file in ["deployment.yaml", "serviceaccount.yaml"] {
        let first = fs::read_to_string(templates.join(file)).expect("the chart can be read");
        let second = first
            .replace(
                "name: {{ .Release.Name }}\n",
                "name: {{ .Release.Name }}-worker\n",
            )
            .replace("app.kubernetes.io/name: orders", "app.kubernetes.io/name: worker")
            .replace(".Values.serviceAccount", ".Values.worker")
            .replace(".Values.keyVault", ".Values.archive");
        fs::write(templates.join(format!("worker-{file}")), second).expect("the copy can be written to");
    }
}

/// A fleet of two clusters, one after the other, with the identities `orders` and `worker`.
fn two_identities(world: &World, namespace: &str, vault: &str) -> Fleet {
    let mut fleet = Fleet::new(world, namespace);
    add_worker(&fleet.folder().join("charts/orders/templates"));
    fleet.change(|file| {
        file["clusters"].as_array_mut().expect("it is a list").truncate(2);
        file["identities"]["worker"] =
            json!({"serviceAccount": "worker", "secrets": [format!("{vault}/ledger")]});
        file["overrides"]["worker"] = json!({"create": true, "name": "worker",
            "annotations": {"azure.workload.identity/client-id": "{{ identities.worker.clientId }}"}});
        file["overrides"]["archive"] = json!({"secret": "ledger",
            "uri": format!("{{{{ identities.worker.vaults['{vault}'].uri }}}}")});
        file["report"]["formats"] = json!(["json", "junit", "markdown", "html"]);
    });
    fleet
}

/// The id of an identity of a target, by its name in the fleet file.
fn identity_of(target: &Value, name: &str) -> String {
    let all = target["identities"].as_array().expect("a target has identities");
    let one = all.iter().find(|one| one["identity"] == name);
    let one = one.unwrap_or_else(|| panic!("no identity {name} in {target:#}"));
    text(&one["outcome"], "identityId").to_owned()
}

#[test]
fn two_accounts_have_an_identity_and_a_secret_each() {
    let world = World::join();
    let namespace = world.namespace("pair");
    // The first secret is in the vault of all, the second one in a vault of its own.
    let vault = format!("kv{}", namespace.trim_start_matches("e2e-pair").replace('-', "x"));
    add(
        &world,
        &json!({"vaults": [{"resourceGroup": "rg-shared", "name": vault, "location": "westeurope",
            "enableRbacAuthorization": true, "secrets": [{"name": "ledger", "value": "value-of-the-ledger"}]}]}),
    );
    let mut fleet = two_identities(&world, &namespace, &vault);
    world.run(&fleet.upgrade("helm-fleet")).expect(0);
    assert_eq!(statuses(&fleet.report_json()), ["installed", "installed"]);
    let first = fleet.report_json();

    // Who may read what, as the report and as Azure say it.
    let archive = vault_id(&world).replace("kv-central", &vault);
    let access = first["access"]
        .as_array()
        .expect("a report has the access matrix");
    let mut rows = Vec::new();
    for row in access {
        rows.push((
            text(row, "cluster"),
            text(row, "identity"),
            row["secrets"].clone(),
        ));
        let subject = format!("system:serviceaccount:{namespace}:{}", text(row, "identity"));
        assert_eq!(row["subject"], subject);
    }
    let ledger = format!("{vault}/ledger");
    let expected = ["weu-1", "neu-1"].map(|cluster| {
        [
            (cluster, "orders", json!(["kv-central/db-password"])),
            (cluster, "worker", json!([ledger])),
        ]
    });
    assert_eq!(rows, expected.concat());
    for target in targets(&first) {
        let findings = target["findings"].to_string();
        for code in ["exchange-ok", "secret-ok"] {
            assert_eq!(findings.matches(&format!("{code:?}")).count(), 2, "{findings}");
        }
        for identity in target["identities"].as_array().expect("a target has identities") {
            let principal = &identity["outcome"]["principalId"];
            let (own, other) = match text(identity, "identity") {
                "orders" => (vault_id(&world) + "/secrets/db-password", &archive),
                _ => (format!("{archive}/secrets/ledger"), &vault_id(&world)),
            };
            assert_eq!(assignments(&world, &own, principal).len(), 1, "{identity:#}");
            assert_eq!(assignments(&world, other, principal).len(), 0, "{identity:#}");
        }
    }
    for form in ["report.md", "report.html"] {
        let report = fleet.report(form);
        for account in ["orders", "worker"] {
            let subject = format!("system:serviceaccount:{namespace}:{account}");
            assert!(report.contains(&subject), "{form} does not tell of {account}");
        }
    }

    // Pods have proven it; from here on it is enough to see it.
    let upgrade = format!("{} --verify-from local", fleet.upgrade("helm-fleet"));
    world.run(&upgrade).expect(0).says("nothing to do");
    assert_eq!(statuses(&fleet.report_json()), ["unchanged", "unchanged"]);
    let file = fleet.folder().join("helm-fleet.yaml").display().to_string();
    let status = format!("helm-fleet status --exit-code -f {file}");
    world.run(&status).expect(0).says("2 at target");

    // Nobody can give one of them its trust back.
    let worker = identity_of(&targets(&first)[1], "worker");
    delete_credentials(&world, &worker);
    let refused = json!({"faults": [{"service": "arm", "method": "PUT", "path": "/federatedIdentityCredentials/",
        "status": 400, "code": "BadRequest"}]});
    front(&world, &namespace, &worker, &refused);
    let failed = world.run(&upgrade).expect(4).says("neu-1");
    assert!(failed.stderr.contains("identity worker"), "{}", failed.stderr);
    calm(&world, &namespace);
    assert_eq!(statuses(&fleet.report_json()), ["unchanged", "failed"]);
    let failure = targets(&fleet.report_json())[1]["failure"].to_string();
    assert!(
        failure.contains("worker") && !failure.contains("orders:"),
        "{failure}"
    );
    assert_eq!(release(&world, CONTEXTS[1], &namespace), deployed(1));
    world.run(&upgrade).expect(0).says("repaired");
    assert_eq!(statuses(&fleet.report_json()), ["unchanged", "identity-repaired"]);
    assert_eq!(credentials(&world, &worker).len(), 1);

    // One that loses it once its pods are ready is found by the proof: the release is there, and is not done.
    let credential = text(&credentials(&world, &worker)[0], "id").to_owned();
    let theft = format!(
        "case \"$*\" in upgrade*aks-neu-1*) {} azure --name {} rest DELETE '{credential}?{IDENTITY_API}' >&2;; esac",
        world.variable("AKS_SANDBOX_PROGRAM"),
        world.variable("AKS_SANDBOX"),
    );
    let helm = world.find("helm").display().to_string();
    let thief = world.folder().join("thief");
    script(&thief, &format!("{helm} \"$@\"; code=$?\n{theft}\nexit $code"));
    fleet.change(|file| file["overrides"]["greeting"] = json!("another"));
    let unproven = format!("{upgrade} --helm-bin {}", thief.display());
    world
        .run(&unproven)
        .expect(4)
        .says("identity worker: no-federated-credential");
    assert_eq!(statuses(&fleet.report_json()), ["upgraded", "failed"]);
    let failure = targets(&fleet.report_json())[1]["failure"].to_string();
    assert!(failure.contains("identity worker"), "{failure}");
    assert!(!failure.contains("identity orders"), "{failure}");
    assert_eq!(release(&world, CONTEXTS[1], &namespace), deployed(2));
    world.run(&status).expect(9).says("1 at target");
    world.run(&upgrade).expect(0);
    assert_eq!(statuses(&fleet.report_json()), ["unchanged", "upgraded"]);
    world.run(&status).expect(0);

    // One that loses it before keeps its pods from becoming ready: helm only knows that it waited, the report knows why.
    let early = world.folder().join("early-thief");
    script(&early, &format!("{theft}\nexec {helm} \"$@\""));
    fleet.change(|file| {
        file["overrides"]["greeting"] = json!("a third one");
        file["helm"]["timeout"] = json!("15s");
    });
    let waited = format!("{upgrade} --helm-bin {}", early.display());
    world
        .run(&waited)
        .expect(4)
        .says("identity worker: no-federated-credential");
    let report = fleet.report_json();
    assert_eq!(statuses(&report), ["upgraded", "failed"]);
    let target = &targets(&report)[1];
    assert_eq!(target["failure"]["step"], "helm");
    // The pod's own words have Entra's code too.
    let evidence = target["failure"]["evidence"].to_string();
    assert!(evidence.contains("AADSTS70025"), "{evidence}");
    world.sandbox(&["azure", "remove", &archive]).expect(0);
}
