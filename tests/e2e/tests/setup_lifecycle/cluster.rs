//! The cluster: prepared on request, and proven by what its user may see.

use crate::support::{CONTEXT, account, kubectl, remove, setup};
use e2e::application::{Application, add};
use e2e::azure::{CLUSTER_API, calm, changes, cluster_id, front, subscription, text};
use e2e::user::{allow, kubeconfig_of};
use e2e::{World, signal_at};
use serde_json::{Value, json};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::{fs, io, thread};

/// A cluster that Azure shows beside the real one, which its context leads to: with the same issuer and the same
/// machines, and without its features.
fn bare_cluster(world: &World, name: &str) -> String {
    let real = world.rest(
        "GET",
        &format!("{}?{CLUSTER_API}", cluster_id(world, CONTEXT)),
        None,
    );
    let real = &real["properties"];
    let more = json!({"clusters": [{
        "resourceGroup": "rg-fleet", "name": name, "location": "westeurope",
        "fqdn": format!("{name}.hcp.westeurope.azmk8s.io"),
        "issuerUrl": real["oidcIssuerProfile"]["issuerURL"], "nodeResourceGroup": real["nodeResourceGroup"],
        "oidcIssuerEnabled": false, "workloadIdentityEnabled": false,
    }]});
    add(world, &more);
    cluster_id(world, name)
}

#[test]
fn a_cluster_without_its_features_is_prepared_only_on_request() {
    let world = World::join();
    let namespace = world.namespace("enable");
    let id = bare_cluster(&world, &namespace);
    let setup = format!("{} --cluster-id {id}", setup(&namespace));
    let enable = format!("{setup} --enable-oidc-issuer --enable-workload-identity");
    let features = |world: &World| {
        let cluster = world.rest("GET", &format!("{id}?{CLUSTER_API}"), None);
        let is_on = |pointer: &str| cluster.pointer(pointer).is_some_and(|on| on == &json!(true));
        (
            is_on("/properties/oidcIssuerProfile/enabled"),
            is_on("/properties/securityProfile/workloadIdentity/enabled"),
            cluster["tags"]["touched"].clone(),
        )
    };
    world
        .run(&setup)
        .expect(8)
        .says("az aks update")
        .says("Bicep: oidcIssuerProfile")
        .says("Terraform")
        .says("--enable-oidc-issuer");
    world
        .run(&format!("{setup} --enable-workload-identity"))
        .expect(8)
        .says("add --enable-oidc-issuer");
    let looked = world
        .run(&format!("{enable} --dry-run --detailed-exitcode -o json"))
        .expect(2)
        .json();
    assert_eq!(looked["enable"], json!(["oidc-issuer", "workload-identity"]));
    assert_eq!(features(&world), (false, false, Value::Null));

    // An update that fails leaves a cluster from which the same command goes on.
    front(
        &world,
        &namespace,
        &id,
        &json!({"clusterUpdateFails": true, "clusterUpdateMs": 100}),
    );
    world
        .run(&enable)
        .expect(1)
        .says(&format!("cannot update cluster {namespace}"));
    // What somebody else has begun is waited for, and its result is kept.
    front(&world, &namespace, &id, &json!({"clusterUpdateMs": 1500}));
    let touched = json!({"tags": {"touched": "yes"}});
    world.rest("PATCH", &format!("{id}?{CLUSTER_API}"), Some(&touched));
    let made = world
        .run(&format!("{enable} -o json"))
        .expect(0)
        .says("waiting for another operation")
        .json();
    calm(&world, &namespace);
    assert_eq!(features(&world), (true, true, json!("yes")));
    assert_eq!(changes(&made)[..2], ["update cluster", "create managed identity"]);
    let again = world.run(&format!("{enable} -o json")).expect(0).json();
    assert_eq!(again["changes"], json!([]));
    world
        .run(&format!("{} --cluster-id {id} --yes", remove(&namespace)))
        .expect(0);
}

#[test]
fn an_update_of_the_cluster_goes_on_when_the_command_is_interrupted() {
    let world = World::join();
    let namespace = world.namespace("cut");
    let id = bare_cluster(&world, &namespace);
    front(&world, &namespace, &id, &json!({"clusterUpdateMs": 4000}));
    let enable = format!(
        "{} --cluster-id {id} --enable-oidc-issuer --enable-workload-identity",
        setup(&namespace)
    );
    let line = enable.replace("kubectl wi setup", "kubectl-wi-setup");
    let (code, said) = signal_at(&line, "updating the cluster", "-INT");
    calm(&world, &namespace);
    assert_eq!(code, Some(130), "{said}");
    for part in [
        &format!("interrupted while cluster {namespace} is updated"),
        "what Azure has begun goes on",
        "az aks show --ids /subscriptions/",
    ] {
        assert!(said.contains(part), "{part}\nis missing in\n{said}");
    }
    // The next run waits for what goes on, and does the rest.
    let made = world.run(&format!("{enable} -o json")).expect(0).json();
    assert_eq!(
        changes(&made).first().map(String::as_str),
        Some("create managed identity")
    );
    world
        .run(&format!("{} --cluster-id {id} --yes", remove(&namespace)))
        .expect(0);
}

#[test]
fn the_context_is_proven_by_what_its_user_may_see() {
    let world = World::join();
    let namespace = world.namespace("proof");
    kubectl(&world, &namespace, &format!("create namespace {namespace}")).expect(0);
    kubectl(&world, &namespace, "create serviceaccount orders").expect(0);
    let plain = format!(
        "kubectl wi setup --context {CONTEXT} -n {namespace} --service-account orders --yes --wait none"
    );
    let proof = |config: &str, more: &str| {
        let line = format!("{plain} --kubeconfig {config} --dry-run -o json {more}");
        text(&world.run(&line).expect(0).json()["cluster"], "proof").to_owned()
    };
    let core = |resources: &[&str], verbs: &[&str]| json!([{"apiGroups": [""], "resources": resources, "verbs": verbs}]);

    // Who administers the cluster.
    assert_eq!(proof(world.variable("KUBECONFIG"), ""), "discovery");

    // Who owns a namespace.
    let operator = format!("operator-{namespace}");
    let own = ["serviceaccounts", "serviceaccounts/token", "pods"];
    allow(
        &world,
        CONTEXT,
        &namespace,
        &operator,
        "Role",
        &core(&own, &["get", "list", "create", "patch"]),
    );
    let operator_config = kubeconfig_of(&world, &operator);
    assert_eq!(proof(&operator_config, ""), "token");

    // Who may read and no more: the nodes tell whose machines they are.
    let reader = format!("reader-{namespace}");
    allow(
        &world,
        CONTEXT,
        &namespace,
        &reader,
        "ClusterRole",
        &core(&["serviceaccounts", "nodes"], &["get", "list"]),
    );
    let reader_config = kubeconfig_of(&world, &reader);
    assert_eq!(proof(&reader_config, ""), "nodes");
    // What the plan needs in the cluster is missed before the first write.
    world
        .run(&format!("{plain} --kubeconfig {reader_config}"))
        .expect(8)
        .says("patch serviceaccounts in namespace")
        .says("kubectl auth can-i patch serviceaccounts");
    assert_eq!(
        account(&world, &namespace)["metadata"]["annotations"],
        Value::Null
    );

    // Who may see nothing that proves it goes on only on request.
    let blind = format!("blind-{namespace}");
    allow(
        &world,
        CONTEXT,
        &namespace,
        &blind,
        "Role",
        &core(&["serviceaccounts"], &["get"]),
    );
    let blind_config = kubeconfig_of(&world, &blind);
    world
        .run(&format!("{plain} --kubeconfig {blind_config} --dry-run"))
        .expect(8)
        .says("nothing proves that the context leads to")
        .says("--accept-unproven");
    assert_eq!(proof(&blind_config, "--accept-unproven"), "accepted");

    // A cluster that is pinned and is another one is refused, by its issuer and by its nodes.
    let other = cluster_id(&world, &namespace);
    let more = json!({"clusters": [{
        "resourceGroup": "rg-fleet", "name": namespace, "location": "westeurope",
        "fqdn": format!("{namespace}.hcp.westeurope.azmk8s.io"), "issuerUrl": "https://issuer.invalid/other/",
    }]});
    add(&world, &more);
    world
        .run(&format!("{plain} --cluster-id {other}"))
        .expect(8)
        .says("https://issuer.invalid/other/");
    world
        .run(&format!(
            "{plain} --cluster-id {other} --kubeconfig {reader_config}"
        ))
        .expect(8)
        .says("machines of");

    // Who may neither query nor list clusters names the cluster by its id.
    let mut hidden = World::join();
    Application::new(&world, &json!({}), &[("Reader", &subscription(&world))]).sign_in(&mut hidden);
    let refuse =
        |path: &str| json!({"service": "arm", "path": path, "status": 403, "code": "AuthorizationFailed"});
    let closed = [
        refuse("/Microsoft.ResourceGraph/"),
        refuse(&format!(
            "{}/providers/Microsoft.ContainerService",
            subscription(&world)
        )),
    ];
    front(
        &world,
        &namespace,
        hidden.variable("AZURE_CLIENT_ID"),
        &json!({"faults": closed}),
    );
    hidden
        .run(&format!("{plain} --dry-run"))
        .expect(8)
        .says("cannot be looked for")
        .says("--cluster-id ARM-ID");
    let id = cluster_id(&world, CONTEXT);
    hidden
        .run(&format!("{plain} --dry-run --cluster-id {id}"))
        .expect(0);
    calm(&world, &namespace);
    kubectl(
        &world,
        &namespace,
        &format!("delete clusterrole,clusterrolebinding {reader}"),
    )
    .expect(0);
}

/// Forwards every connection to a port of its own to the cluster's API server, as a proxy or a tunnel does; the port.
fn forward(server: String) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
    let port = listener.local_addr().expect("it has an address").port();
    thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let Ok(far) = TcpStream::connect(&server) else {
                continue;
            };
            for (mut from, mut to) in [(near.try_clone(), far.try_clone()), (Ok(far), Ok(near))]
                .into_iter()
                .filter_map(|(from, to)| Some((from.ok()?, to.ok()?)))
            {
                thread::spawn(move || {
                    let _ = io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Write);
                });
            }
        }
    });
    port
}

#[test]
fn of_no_cluster_and_of_two_none_is_chosen() {
    let world = World::join();
    let namespace = world.namespace("two");
    // A server's name that no cluster of Azure has, and then two.
    let mut config = world.run("kubectl config view --raw -o json").expect(0).json();
    for entry in config["clusters"].as_array_mut().expect("there are clusters") {
        if entry["name"] == CONTEXT {
            let server = text(&entry["cluster"], "server").to_owned();
            let address = server.trim_start_matches("https://").to_owned();
            entry["cluster"]["server"] = json!(format!("https://127.0.0.1:{}", forward(address)));
            entry["cluster"]["tls-server-name"] = json!("kubernetes");
        }
    }
    let file = world.folder().join("forwarded.kubeconfig");
    fs::write(&file, config.to_string()).expect("the test's folder can be written to");
    let setup = format!("{} --kubeconfig {}", setup(&namespace), file.display());
    world
        .run(&setup)
        .expect(8)
        .says("is served at 127.0.0.1; it may read")
        .says(CONTEXT)
        .says("--cluster-id ARM-ID");
    let twins = [format!("{namespace}-1"), format!("{namespace}-2")];
    let clusters = twins.each_ref().map(|name| {
        json!({"resourceGroup": "rg-fleet", "name": name, "location": "westeurope", "fqdn": "127.0.0.1",
            "issuerUrl": format!("https://issuer.invalid/{name}/")})
    });
    let more = json!({"clusters": clusters});
    add(&world, &more);
    world
        .run(&setup)
        .expect(8)
        .says("2 AKS clusters say that they are served at 127.0.0.1")
        .says(&twins[0])
        .says(&twins[1])
        .says("choose one with --cluster-id");
    // The one that is chosen is still proven.
    let id = cluster_id(&world, &twins[0]);
    world
        .run(&format!("{setup} --cluster-id {id}"))
        .expect(8)
        .says("the context leads to the issuer");
    let id = cluster_id(&world, CONTEXT);
    world
        .run(&format!("{setup} --cluster-id {id} --dry-run"))
        .expect(0);
    for name in &twins {
        world
            .sandbox(&["azure", "remove", &cluster_id(&world, name)])
            .expect(0);
    }
}
