//! What stands in the way: named, told how far it came, and solved by the next run.

use crate::support::{CONTEXT, setup};
use e2e::application::add;
use e2e::azure::{IDENTITY_API, calm, changes, front, subscription, text};
use e2e::{World, signal_at};
use serde_json::{Value, json};

#[test]
fn what_stands_in_the_way_is_named_and_the_next_run_succeeds() {
    let world = World::join();
    let namespace = world.namespace("way");
    let group = format!("{}/resourceGroups/{namespace}", subscription(&world));
    let setup = format!("{} --identity-group {namespace}", setup(&namespace));
    add(
        &world,
        &json!({"resourceGroups": [{"name": namespace, "location": "westeurope"}]}),
    );
    let nothing_was_made = || {
        let path =
            format!("{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities?{IDENTITY_API}");
        assert_eq!(world.rest("GET", &path, None)["value"], json!([]));
    };

    add(
        &world,
        &json!({"locks": [{"name": "frozen", "scope": group, "level": "ReadOnly"}]}),
    );
    world
        .run(&setup)
        .expect(8)
        .says("ScopeLocked")
        .says(&format!("az lock list --resource-group {namespace}"))
        .says("nothing was changed");
    nothing_was_made();
    let lock = format!("{group}/providers/Microsoft.Authorization/locks/frozen");
    world.sandbox(&["azure", "remove", &lock]).expect(0);

    let identities = "Microsoft.ManagedIdentity/userAssignedIdentities";
    add(
        &world,
        &json!({"policies": [{"name": "tagged", "scope": group, "resourceType": identities, "requireTag": "cost"}]}),
    );
    world
        .run(&setup)
        .expect(8)
        .says("RequestDisallowedByPolicy")
        .says("az policy assignment list");
    nothing_was_made();
    let setup = format!("{setup} --tag cost=1");

    // Refused half-way: what was done is told and stays.
    let name = format!("way-{namespace}");
    let credential = json!({"service": "arm", "method": "PUT", "path": "/federatedIdentityCredentials/"});
    let fault = |more: Value| {
        let mut fault = credential.clone();
        let fields = fault.as_object_mut().expect("a fault has fields");
        fields.extend(more.as_object().expect("a fault has fields").clone());
        front(&world, &name, &namespace, &json!({"faults": [fault]}));
    };
    fault(json!({"status": 400, "code": "BadRequest", "times": 1}));
    let failed = world
        .run(&format!("{setup} -o json"))
        .expect(1)
        .says("run the command again to continue");
    assert_eq!(changes(&failed.json()), ["create managed identity"]);

    // Connections are lost, and the service asks for time: the same run goes on.
    fault(json!({"drop": true, "times": 2}));
    let done = world.run(&format!("{setup} -o json")).expect(0).json();
    assert_eq!(changes(&done)[0], "create federated credential");
    let path = format!(
        "{}/federatedIdentityCredentials/{}?{IDENTITY_API}",
        text(&done, "identityId"),
        text(&done, "federatedCredential")
    );
    world.rest("DELETE", &path, None);
    fault(json!({"status": 429, "retryAfter": 1, "times": 1}));
    world.run(&setup).expect(0);

    // Interrupted while one write is tried again: ended between two tries, and what is not known is said.
    world.rest("DELETE", &path, None);
    fault(json!({"status": 503, "retryAfter": 100}));
    let line = setup.replace("kubectl wi setup", "kubectl-wi-setup");
    let (code, said) = signal_at(&line, &format!("{CONTEXT}: federated credential "), "-INT");
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("interrupted between two tries"), "{said}");
    // What Entra learns late is waited for.
    front(&world, &name, &namespace, &json!({"credentialDelayMs": 1000}));
    let waiting = setup.replace("--wait none", "--wait exchange");
    let done = world
        .run(&format!("{waiting} -o json"))
        .expect(0)
        .says("waiting for the token exchange")
        .json();
    calm(&world, &name);
    assert_eq!(changes(&done), ["create federated credential"]);
    assert_eq!(done["exchange"]["state"], "stable");
}
