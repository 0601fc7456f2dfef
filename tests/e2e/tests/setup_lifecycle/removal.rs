//! The end: what setup made is removed, stale credentials are pruned, and nothing else is touched.

use crate::support::{CONTEXT, account, assignments, kubectl, pod, remove, setup};
use e2e::azure::{
    CLUSTER_API, IDENTITY_API, calm, changes, cluster_id, credentials, endpoint, foreign_identity, front,
    identity_id, text,
};
use e2e::{World, signal_at};
use serde_json::{Value, json};

#[test]
fn what_setup_made_is_removed_and_nothing_else() {
    let world = World::join();
    let namespace = world.namespace("remove");
    let (setup, remove) = (setup(&namespace), remove(&namespace));
    let made = world.run(&format!("{setup} -o json")).expect(0).json();
    let identity = identity_id(&world, text(&made, "identityName"));
    world.apply(CONTEXT, &namespace, &pod("worker", text(&made, "clientId")));

    // Looked at, it is all there still.
    world.run(&remove).expect(64).says("--yes");
    let looked = world
        .run(&format!("{remove} --dry-run --detailed-exitcode"))
        .expect(2)
        .says("running pod worker uses it");
    for part in [
        "x delete service account",
        "x delete role assignment",
        "x delete federated credential",
        "x delete managed identity",
    ] {
        assert!(looked.stdout.contains(part), "{part} in {}", looked.stdout);
    }
    assert_eq!(credentials(&world, &identity).len(), 1);

    let gone = world.run(&format!("{remove} --yes -o json")).expect(0).json();
    assert_eq!(
        changes(&gone),
        [
            "delete service account",
            "delete role assignment",
            "delete federated credential",
            "delete managed identity"
        ]
    );
    assert_eq!(gone["pods"], json!(["worker"]));
    kubectl(&world, &namespace, "get serviceaccount orders")
        .expect(1)
        .says("not found");
    assert_eq!(assignments(&world, &made["principalId"]), Vec::<Value>::new());
    let again = world.run(&format!("{remove} --yes -o json")).expect(0).json();
    assert_eq!(again["changes"], json!([]));

    // A removal that was killed is completed by the next.
    let made = world.run(&format!("{setup} -o json")).expect(0).json();
    let line = remove.replace("kubectl wi", "kubectl-wi");
    let step = format!("{CONTEXT}: delete federated credential ");
    let slow = json!({"faults": [{"service": "arm", "method": "DELETE", "delayMs": 2000}]});
    front(&world, &namespace, &namespace, &slow);
    let (ended, _) = signal_at(&format!("{line} --yes"), &step, "-KILL");
    assert_eq!(ended, None, "it had ended before it was killed");
    calm(&world, &namespace);
    let gone = world.run(&format!("{remove} --yes -o json")).expect(0).json();
    assert_eq!(
        changes(&gone).last().map(String::as_str),
        Some("delete managed identity")
    );
    assert_eq!(assignments(&world, &made["principalId"]), Vec::<Value>::new());

    // Parts of others stay: their identity, their annotations, and an identity that trusts something of theirs.
    let shared = identity_id(&world, &format!("id-{namespace}"));
    foreign_identity(&world, &format!("id-{namespace}"));
    let theirs =
        json!({"properties": {"issuer": "https://issuer.invalid/", "subject": "them", "audiences": ["a"]}});
    let path = format!("{shared}/federatedIdentityCredentials/theirs?{IDENTITY_API}");
    world.rest("PUT", &path, Some(&theirs));
    kubectl(&world, &namespace, "create serviceaccount orders").expect(0);
    kubectl(&world, &namespace, "annotate serviceaccount orders team=shop").expect(0);
    let shared_setup = format!("{setup} --identity-id {shared}");
    let made = world.run(&format!("{shared_setup} -o json")).expect(0).json();
    let gone = world
        .run(&format!("{remove} --identity-id {shared} --yes -o json"))
        .expect(0)
        .json();
    assert_eq!(
        changes(&gone),
        ["update service account", "delete federated credential"]
    );
    let annotations = account(&world, &namespace)["metadata"]["annotations"].clone();
    assert_eq!(annotations, json!({"team": "shop"}));
    assert_eq!(credentials(&world, &shared).len(), 1);
    assert_eq!(assignments(&world, &made["principalId"]).len(), 1);
}

#[test]
fn stale_credentials_are_told_and_pruned_when_their_issuer_is_gone() {
    let world = World::join();
    let namespace = world.namespace("prune");
    let setup = setup(&namespace);
    let made = world.run(&format!("{setup} -o json")).expect(0).json();
    let identity = identity_id(&world, text(&made, "identityName"));
    let subject = format!("system:serviceaccount:{namespace}:orders");
    // As setup named it when the cluster had that issuer.
    let trust = |issuer: &str| {
        let hash = world
            .run_words(&[
                "sh",
                "-c",
                &format!("printf '%s\\n%s' '{issuer}' '{subject}' | sha256sum"),
            ])
            .expect(0);
        let name = format!("wi-{namespace}-orders-{}", &hash.stdout[..10]);
        let body = json!({"properties": {"issuer": issuer, "subject": subject,
            "audiences": ["api://AzureADTokenExchange"]}});
        let path = format!("{identity}/federatedIdentityCredentials/{name}?{IDENTITY_API}");
        world.rest("PUT", &path, Some(&body));
        name
    };
    // The address of an issuer that was deleted answers, and knows it no more; another one does not answer.
    let cloud = world.rest(
        "GET",
        &format!("{}?{CLUSTER_API}", cluster_id(&world, CONTEXT)),
        None,
    );
    assert_eq!(cloud["name"], CONTEXT);
    // An address of the simulated Azure that answers 404 to what it does not know.
    let gone = endpoint(&world, "activeDirectoryEndpoint");
    let gone = trust(&format!("{gone}/gone/{namespace}/"));
    let silent = trust("https://issuer.invalid/silent/");

    // As after the cluster was built anew: no credential knows its issuer.
    let own = format!(
        "{identity}/federatedIdentityCredentials/{}?{IDENTITY_API}",
        text(&made, "federatedCredential")
    );
    world.rest("DELETE", &own, None);
    let pointed = world
        .run(&format!("{setup} -o json"))
        .expect(0)
        .says(&gone)
        .says(&silent)
        .says("--prune");
    assert_eq!(changes(&pointed.json()), ["create federated credential"]);
    assert_eq!(credentials(&world, &identity).len(), 3);
    let pruned = world.run(&format!("{setup} --prune -o json")).expect(0);
    assert!(
        pruned.stderr.contains("may still be one of a cluster"),
        "{}",
        pruned.stderr
    );
    let pruned = pruned.json();
    assert_eq!(changes(&pruned), ["delete federated credential"]);
    assert_eq!(pruned["changes"][0]["name"], gone.as_str());
    let left: Vec<String> = credentials(&world, &identity)
        .iter()
        .map(|one| text(one, "name").to_owned())
        .collect();
    assert!(left.contains(&silent) && left.len() == 2, "{left:?}");
    let again = world.run(&format!("{setup} --prune -o json")).expect(0).json();
    assert_eq!(again["changes"], json!([]));
}
