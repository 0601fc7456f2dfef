//! The probe's pod among a workload's own: no Service and no `ReplicaSet` takes it, and none is left behind whoever dies
//! meanwhile: the client, the node's containerd, or the API server.

use e2e::{World, act_at, send, signal_at};
use serde_json::{Value, json};

const CONTEXT: &str = "aks-weu-1";

#[test]
fn nobody_takes_the_probe_and_it_outlives_no_killed_client() {
    let world = World::join();
    let namespace = world.namespace("probe");
    let kubectl = |words: &str| {
        let line = format!("kubectl --context {CONTEXT} -n {namespace} {words}");
        world.run(&line).expect(0).stdout
    };
    let read = |words: &str| -> Value {
        let text = kubectl(&format!("get {words} -o json"));
        serde_json::from_str(&text).expect("kubectl prints JSON")
    };
    let setup = format!(
        "kubectl wi setup --context {CONTEXT} -n {namespace} --service-account orders --service-account-owner setup --yes"
    );
    world.run(&setup).expect(0);
    // The worst case: a Service and a ReplicaSet that select by the one label that the probe must have. A ReplicaSet
    // without replicas would delete a pod that it adopts.
    let selector = json!({"azure.workload.identity/use": "true"});
    let labels = json!({"azure.workload.identity/use": "true", "app": "orders"});
    let objects = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "orders"},
            "spec": {"selector": selector, "ports": [{"port": 80}]}},
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "orders"}, "spec": {
            "replicas": 0, "selector": {"matchLabels": selector},
            "template": {"metadata": {"labels": labels}, "spec": {
                "serviceAccountName": "orders", "containers": [{"name": "main", "image": "demo-app.sandbox/absent:dev"}]}}}},
    ]});
    let file = world.folder().join("objects.json");
    std::fs::write(&file, objects.to_string()).expect("the file can be written");
    kubectl(&format!("apply -f {}", file.display()));

    // It runs to its end all the same, and is taken away.
    let verify = format!("kubectl-wi verify --context {CONTEXT} -n {namespace} rs/orders");
    world.run(&verify).expect(0).says("exchange-ok");
    assert_eq!(kubectl("get jobs -o name"), "");
    kubectl("wait --for=delete pods --all --timeout=60s");

    // A client that is killed cannot clean up.
    let (code, _) = signal_at(&verify, "created", "-KILL");
    assert_eq!(code, None, "it was killed");
    kubectl("wait --for=create pod -l app.kubernetes.io/name=wi-probe --timeout=60s");
    let pod = &read("pods -l app.kubernetes.io/name=wi-probe")["items"][0];
    let owner = &pod["metadata"]["ownerReferences"][0];
    assert_eq!(
        (&owner["kind"], &owner["controller"]),
        (&json!("Job"), &json!(true)),
        "{owner}"
    );
    assert_eq!(pod["metadata"]["labels"]["app"], Value::Null);
    let slices = read("endpointslices");
    let endpoints = slices["items"].as_array().into_iter().flatten();
    let endpoints = endpoints.flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten());
    for endpoint in endpoints {
        assert_eq!(endpoint["conditions"]["ready"], json!(false), "{endpoint}");
    }
    let jobs = read("jobs");
    let job = &jobs["items"][0];
    assert!(job["spec"]["activeDeadlineSeconds"].is_u64(), "{job:#}");
    assert_eq!(job["spec"]["ttlSecondsAfterFinished"], 120, "{job:#}");
    goes_by_itself(&world, &namespace);
}

#[test]
fn no_probe_is_left_when_the_cluster_fails_meanwhile() {
    let world = World::join();
    let namespace = world.namespace("left");
    let kubectl = |words: &str| {
        let line = format!("kubectl --context {CONTEXT} -n {namespace} {words}");
        world.run(&line).expect(0).stdout
    };
    let setup = format!(
        "kubectl wi setup --context {CONTEXT} -n {namespace} --service-account orders --service-account-owner setup --yes"
    );
    world.run(&setup).expect(0);
    // It takes long enough to be disturbed.
    let verify = format!(
        "kubectl-wi verify --context {CONTEXT} -n {namespace} --service-account orders --repeat 2000 --timeout 60s"
    );

    // The container goes on without its containerd, or it does not: either way the answer comes and the probe goes.
    let (code, said) = act_at(&verify, "created", |_| {
        kubectl("wait --for=condition=PodScheduled pod -l app.kubernetes.io/name=wi-probe --timeout=60s");
        world.sandbox(&["fault", "containerd", CONTEXT, "kill"]).expect(0);
    });
    assert!(matches!(code, Some(0 | 1)), "{said}");
    assert_eq!(kubectl("get jobs -o name"), "");
    kubectl("wait --for=delete pods --all --timeout=90s");

    // The API server is away when the client wants to clean up. It says what it leaves behind.
    let mut away = None;
    let (code, said) = act_at(&verify, "Running", |process| {
        away = Some(world.without_api(CONTEXT));
        send("-INT", process);
    });
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("could not be deleted and goes by itself"), "{said}");
    drop(away);
    assert!(kubectl("get jobs -o name").starts_with("job.batch/wi-probe-"));
    goes_by_itself(&world, &namespace);

    // Client, containerd and API server at once.
    let (code, said) = act_at(&verify, "Running", |process| {
        send("-KILL", process);
        world.sandbox(&["fault", "containerd", CONTEXT, "kill"]).expect(0);
        world.sandbox(&["fault", "api", CONTEXT, "kill"]).expect(0);
    });
    assert_eq!(code, None, "it was killed: {said}");
    goes_by_itself(&world, &namespace);
}

/// Waits until the cluster itself has taken the only probe away. Nobody waits for all of its time here: the mechanism
/// is the same when that is short.
fn goes_by_itself(world: &World, namespace: &str) {
    let kubectl = |words: &str| {
        let line = format!("kubectl --context {CONTEXT} -n {namespace} {words}");
        world.run(&line).expect(0).stdout
    };
    let job = kubectl("get jobs -o name");
    let job = job.trim();
    kubectl(&format!(
        "patch {job} --type merge -p {{\"spec\":{{\"ttlSecondsAfterFinished\":1}}}}"
    ));
    kubectl(&format!("wait --for=delete {job} --timeout=150s"));
    kubectl("wait --for=delete pods --all --timeout=60s");
}
