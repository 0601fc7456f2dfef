//! What the fleet file says about verification decides: a release that is deployed and does not work is not done.

use e2e::fleet::{Fleet, targets};
use e2e::helm::deployed;
use e2e::plain::{CANARY, PROD, Plain};
use e2e::{World, script};
use serde_json::json;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

/// A value that nobody may see again.
const CANARY_VALUE: &str = "canary-7f3a9c2e51";

/// Kubernetes waits for pods and jobs alone, so this test passes when the API server takes it.
const TEST: &str = r#"apiVersion: v1
kind: ConfigMap
metadata:
  name: test
  annotations: {helm.sh/hook: test, helm.sh/hook-delete-policy: before-hook-creation}
data: {{ if .Values.testFails }}{"this is no key": ""}{{ else }}{"ok": ""}{{ end }}
"#;

const SCRIPT: &str = r#"echo "$HELM_FLEET_CLUSTER $HELM_FLEET_NAMESPACE/$HELM_FLEET_RELEASE $HELM_FLEET_REVISION $1" >> calls
kubectl config current-context >> calls
kubectl -n "$HELM_FLEET_NAMESPACE" get configmap plain -o name >> calls || exit 1
echo "the password is CANARY"
test ! -e broken"#;

/// A server on this machine that answers 503 and then 200; what was asked for.
fn serve() -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it has an address").to_string();
    let (sender, asked) = channel();
    std::thread::spawn(move || {
        for (index, stream) in listener.incoming().enumerate() {
            let Ok(mut stream) = stream else { continue };
            let mut buffer = [0; 2048];
            let count = stream.read(&mut buffer).unwrap_or(0);
            let line = String::from_utf8_lossy(&buffer[..count])
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned();
            let status = if index == 0 {
                "503 Service Unavailable"
            } else {
                "200 OK"
            };
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            );
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    (address, asked)
}

#[test]
fn a_release_that_does_not_work_is_not_done() {
    let world = World::join();
    let namespace = world.namespace("checks");
    let mut plain = Plain::new(&world, &namespace);
    let folder = plain.folder().to_owned();
    fs::write(folder.join("chart/templates/test.yaml"), TEST).expect("the folder can be written to");
    script(&folder.join("smoke.sh"), &SCRIPT.replace("CANARY", CANARY_VALUE));
    let (address, asked) = serve();
    plain.change(|fleet| {
        fleet["verify"] = json!([
            {"helmTest": {}},
            {"http": {"url": format!("http://{address}/{{{{ cluster.name }}}}/healthz"), "interval": "100ms"}},
            {"command": ["./smoke.sh", "{{ cluster.labels.ring }}"]},
        ]);
    });
    plain.values("all", &json!({"text": "one", "password": CANARY_VALUE}));
    plain.fleet("upgrade").expect(0);
    let calls = fs::read_to_string(folder.join("calls")).expect("the script has run");
    let expected = format!(
        "weu-1 {namespace}/plain 1 0\n{CANARY}\nconfigmap/plain\nneu-1 {namespace}/plain 1 1\n{PROD}\nconfigmap/plain\n"
    );
    assert_eq!(calls, expected);
    let asked: Vec<String> = asked.try_iter().collect();
    let paths: Vec<&str> = asked.iter().filter_map(|line| line.split(' ').nth(1)).collect();
    assert_eq!(paths, ["/weu-1/healthz", "/weu-1/healthz", "/neu-1/healthz"]);
    plain.fleet("upgrade").expect(0).says("nothing to do");

    // Deployed, and not working.
    plain.values("all", &json!({"text": "two", "password": CANARY_VALUE}));
    fs::write(folder.join("broken"), "").expect("it can be written to");
    let failed = plain
        .fleet("upgrade")
        .expect(4)
        .says("smoke.sh ended with exit status: 1")
        .says("[redacted]");
    let report = plain.report().to_string();
    for (text, what) in [
        (&failed.stdout, "the table"),
        (&failed.stderr, "the talk"),
        (&report, "the report"),
    ] {
        assert!(!text.contains(CANARY_VALUE), "{what} holds the secret");
    }
    assert_eq!(plain.release(CANARY), deployed(2));
    assert_eq!(plain.release(PROD), deployed(1));
    plain.agrees_with_helm();
    // It is not done, and a rollback goes behind what never worked.
    plain.change(|fleet| fleet["rollout"]["onFailure"] = json!({"strategy": "rollback-failed"}));
    plain
        .fleet("upgrade --dry-run")
        .expect(0)
        .says("revision 2 has not been verified");
    plain.fleet("upgrade").expect(6).says("helm rollback 1");
    assert_eq!(plain.statuses(), ["rollback-failed", "not-started"]);
    assert_eq!(plain.text(CANARY).as_deref(), Some("one"));
    fs::remove_file(folder.join("broken")).expect("it is there");
    plain.values(
        "all",
        &json!({"text": "three", "password": CANARY_VALUE, "testFails": true}),
    );
    plain.fleet("upgrade").expect(5).says("helm test failed");
    assert_eq!(plain.statuses(), ["rolled-back", "not-started"]);
    assert_eq!(plain.text(CANARY).as_deref(), Some("one"));
    plain.values("all", &json!({"text": "three", "password": CANARY_VALUE}));
    plain.fleet("upgrade").expect(0);
    plain.agrees_with_helm();
}

#[test]
fn what_is_rolled_back_is_proven_again() {
    let world = World::join();
    let namespace = world.namespace("again");
    let mut fleet = Fleet::new(&world, &namespace);
    fleet.change(|document| {
        document["rollout"]["onFailure"] = json!({"strategy": "rollback-all"});
        document["clusters"]
            .as_array_mut()
            .expect("there are clusters")
            .truncate(2);
        document["clusters"][1]["values"] = json!([{"file": "values/broken.yaml", "optional": true}]);
    });
    world.run(&fleet.upgrade("helm-fleet")).expect(0);
    fleet.change(|document| {
        document["helm"]["timeout"] = json!("15s");
        document["overrides"]["greeting"] = json!("another");
    });
    let broken = fleet.folder().join("values/broken.yaml");
    fs::write(broken, "image: demo-app.sandbox/absent:dev\n").expect("the copy can be written to");
    let end = world.run(&fleet.upgrade("helm-fleet")).expect(5);
    for cluster in ["weu-1", "neu-1"] {
        let proven = format!("{cluster}: rolled back by revision 3, verified");
        assert!(
            end.stderr.contains(&proven),
            "{proven} is not said:\n{}",
            end.stderr
        );
    }
    // Identities are not rolled back: they serve both revisions.
    for target in targets(&fleet.report_json()) {
        assert_eq!(
            (&target["status"], &target["revisionAfter"]),
            (&json!("rolled-back"), &json!(3))
        );
        assert!(target["clientId"].is_string(), "{target:#}");
    }
}
