//! What goes wrong in a cluster on demand goes wrong for its pods, only there, and is over when it is told to be.

use e2e::azure::endpoint;
use e2e::{Finished, World};
use std::thread;
use std::time::{Duration, Instant};

const CLUSTER: &str = "aks-weu-1";
const OTHER: &str = "aks-neu-1";
const WEBHOOKS: &str = "mutatingwebhookconfigurations";

/// A namespace on two clusters with a pod that can be sent to places; calm again when it ends, however it ends.
struct Field {
    world: World,
    namespace: String,
}

impl Field {
    fn new() -> Self {
        let world = World::join();
        let namespace = world.namespace("weather");
        let field = Self { world, namespace };
        let namespace = &field.namespace;
        for cluster in [CLUSTER, OTHER] {
            let kubectl = |words: &str| field.kubectl(cluster, words).expect(0);
            kubectl(&format!("create namespace {namespace}"));
            kubectl("wait --for=create serviceaccount/default --timeout=60s");
            kubectl(
                "run box --image=busybox.sandbox/busybox:dev --image-pull-policy=IfNotPresent --restart=Never \
                 --command -- sleep 3600",
            );
        }
        for cluster in [CLUSTER, OTHER] {
            field
                .kubectl(cluster, "wait --for=condition=Ready pod/box --timeout=120s")
                .expect(0);
        }
        field
    }

    fn kubectl(&self, cluster: &str, words: &str) -> Finished {
        let namespace = &self.namespace;
        self.world.run(&format!(
            "kubectl --context {cluster} --namespace {namespace} {words}"
        ))
    }

    fn fault(&self, words: &str) -> Finished {
        let words: Vec<&str> = std::iter::once("fault").chain(words.split_whitespace()).collect();
        self.world.sandbox(&words).expect(0)
    }

    /// Whether a pod of the cluster gets a connection to the host of this URL.
    fn reaches(&self, cluster: &str, url: &str) -> bool {
        let host = url.trim_start_matches("https://").trim_end_matches('/');
        let script = format!("nc -w 2 {host} 443 </dev/null >/dev/null");
        let mut words = vec!["kubectl", "--context", cluster, "--namespace", &self.namespace];
        words.extend(["exec", "box", "--", "sh", "-c", &script]);
        let end = self.world.run_words(&words);
        assert!(
            end.code == 0 || end.stderr.contains("exit code 1"),
            "{}",
            end.stderr
        );
        end.code == 0
    }

    /// What the API server says to a pod that asks for workload identity.
    fn labelled_pod(&self, cluster: &str) -> Finished {
        self.kubectl(
            cluster,
            "run wi --image=x --labels azure.workload.identity/use=true --dry-run=server -o json",
        )
    }
}

impl Drop for Field {
    fn drop(&mut self) {
        // A failed test has failed already; what comes after it needs calm clusters.
        let _ = self.world.sandbox(&["fault", "calm"]);
        for cluster in [CLUSTER, OTHER] {
            let line = format!(
                "kubectl --context {cluster} delete namespace {} --wait=false",
                self.namespace
            );
            let _ = self.world.run(&line);
        }
    }
}

fn server(world: &World, cluster: &str) -> String {
    let path = format!("jsonpath={{.clusters[?(@.name==\"{cluster}\")].cluster.server}}");
    let words = ["kubectl", "config", "view", "-o", &path];
    let server = world.run_words(&words).expect(0).stdout;
    server.trim_end_matches(":443").to_owned()
}

#[test]
fn faults_of_a_cluster_strike_its_pods_and_end() {
    let field = Field::new();
    let (entra, issuer) = (
        endpoint(&field.world, "activeDirectoryEndpoint"),
        server(&field.world, CLUSTER),
    );
    let seen = || [CLUSTER, OTHER].map(|cluster| field.reaches(cluster, &entra));

    assert_eq!(seen(), [true, true]);
    field.fault(&format!("egress {CLUSTER} block --to azure --reject"));
    assert_eq!(seen(), [false, true], "only the pods of one cluster are cut off");
    assert!(field.reaches(CLUSTER, &issuer), "and only from Azure");
    field.fault(&format!("egress {CLUSTER} block --to issuer"));
    assert!(!field.reaches(CLUSTER, &issuer));
    let listed = field.fault("").stdout;
    assert_eq!(listed.lines().count(), 2, "{listed}");
    field.fault(&format!("egress {CLUSTER} open"));
    assert_eq!((seen(), field.reaches(CLUSTER, &issuer)), ([true, true], true));

    field.fault(&format!("webhook {CLUSTER} stop"));
    field
        .labelled_pod(CLUSTER)
        .expect(1)
        .says("failed calling webhook");
    field
        .labelled_pod(OTHER)
        .expect(0)
        .says("AZURE_FEDERATED_TOKEN_FILE");
    field.fault(&format!("webhook {CLUSTER} remove"));
    let unchanged = field.labelled_pod(CLUSTER).expect(0);
    assert!(!unchanged.stdout.contains("AZURE_FEDERATED_TOKEN_FILE"));
    field.fault(&format!("webhook {CLUSTER} start"));
    field.fault(&format!("webhook {CLUSTER} double"));
    let count = || {
        field
            .kubectl(CLUSTER, &format!("get {WEBHOOKS} -o name"))
            .expect(0)
            .stdout
            .lines()
            .count()
    };
    assert_eq!(count(), 2);
    field.fault(&format!("webhook {CLUSTER} start"));
    assert_eq!(count(), 1);
    field
        .labelled_pod(CLUSTER)
        .expect(0)
        .says("AZURE_FEDERATED_TOKEN_FILE");

    field.fault(&format!("containerd {CLUSTER} kill"));
    let restarts = "get pod box -o jsonpath={.status.phase}{.status.containerStatuses[0].restartCount}";
    assert_eq!(
        field.kubectl(CLUSTER, restarts).expect(0).stdout,
        "Running0",
        "containers outlive their engine"
    );
    // The kubelet takes a moment to find the new engine.
    let deadline = Instant::now() + Duration::from_mins(1);
    while field.kubectl(CLUSTER, "exec box -- true").code != 0 {
        assert!(
            Instant::now() < deadline,
            "the kubelet and the new engine do not meet"
        );
        thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(field.fault("").stdout, "");
}
