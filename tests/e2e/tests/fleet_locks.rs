//! What a fleet command refuses to work on, what goes wrong in its middle, and how a release is taken away again.

use e2e::helm::{deployed, failed};
use e2e::plain::{CANARY, PROD, Plain};
use e2e::{World, script, until};
use serde_json::{Value, json};
use std::fs;
use std::process::{Command, Stdio};

/// The API server takes no such key, so each of these hooks fails where it is wanted; the last one fails as long as its
/// namespace is not there.
const HOOKS: &str = r#"{{- range $hook, $wanted := .Values.refusedHooks }}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: hook, annotations: {helm.sh/hook: {{ $hook }}}}
data: {"this is no key": ""}
{{- end }}
{{- if .Values.lateNamespace }}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: hook, namespace: {{ .Values.lateNamespace }}, annotations: {helm.sh/hook: pre-delete}}
{{- end }}
"#;

/// No cluster has its node.
const DEPLOYMENT: &str = r"{{- if .Values.neverReady }}
apiVersion: apps/v1
kind: Deployment
metadata: {name: never-ready}
spec:
  selector: {matchLabels: {app: never-ready}}
  template:
    metadata: {labels: {app: never-ready}}
    spec:
      nodeSelector: {there-is: no-such-node}
      containers: [{name: nothing, image: nothing}]
{{- end }}
";

fn plain<'a>(world: &'a World, namespace: &str) -> Plain<'a> {
    let plain = Plain::new(world, namespace);
    let templates = plain.folder().join("chart/templates");
    for (file, text) in [("hooks.yaml", HOOKS), ("deployment.yaml", DEPLOYMENT)] {
        fs::write(templates.join(file), text).expect("the folder can be written to");
    }
    plain
}

fn position(text: &str, part: &str) -> usize {
    text.find(part)
        .unwrap_or_else(|| panic!("{part:?} is not said:\n{text}"))
}

#[test]
fn a_release_is_taken_away_the_last_stage_first() {
    for helm in ["helm3", "helm4"] {
        let world = World::with_helm(helm);
        let namespace = world.namespace("uninstall");
        let late = format!("{namespace}-late");
        let plain = plain(&world, &namespace);
        plain.values("neu-1", &json!({"lateNamespace": late}));
        plain.fleet("upgrade").expect(0);
        plain
            .fleet("uninstall --dry-run --detailed-exitcode")
            .expect(2)
            .says("weu-1 (aks-weu-1): uninstall: revision 1 is deployed");
        assert_eq!(plain.release(CANARY), deployed(1), "{helm}");

        // One that fails keeps no other from its turn, and the next command goes on.
        let failed = plain
            .fleet("uninstall")
            .expect(1)
            .says("1 cluster could not be uninstalled");
        let (first, second) = (
            position(&failed.stderr, "neu-1: failed"),
            position(&failed.stderr, "weu-1: uninstalled"),
        );
        assert!(first < second, "{helm}: {}", failed.stderr);
        assert_eq!(plain.statuses(), ["uninstalled", "failed"], "{helm}");
        assert_eq!(
            (plain.release(CANARY), plain.text(CANARY)),
            (None, None),
            "{helm}"
        );
        assert_eq!(plain.text(PROD).as_deref(), Some("one"), "{helm}");
        plain.agrees_with_helm();
        let create = format!("kubectl --context {PROD} create namespace {late}");
        world.run(&create).expect(0);
        plain.fleet("uninstall").expect(0).says("its identities stay");
        assert_eq!(plain.statuses(), ["unchanged", "uninstalled"], "{helm}");
        assert_eq!((plain.release(PROD), plain.text(PROD)), (None, None), "{helm}");
        assert_eq!(plain.report()["run"]["command"], "uninstall");
        assert_eq!(plain.report()["summary"]["uninstalled"], 1);
        plain.agrees_with_helm();
        // Where nothing is to be done no helm is needed.
        plain
            .fleet("uninstall --helm-bin /there/is/none")
            .expect(0)
            .says("no cluster has the release");
    }
}

#[test]
fn what_cannot_go_well_is_refused_before_anything_is_touched() {
    let world = World::with_helm("helm4");
    let namespace = world.namespace("refused");
    let plain = plain(&world, &namespace);
    plain.values("neu-1", &json!({"unrenderable": true}));
    plain.fleet("upgrade").expect(8).says("this does not render");
    plain.values("neu-1", &json!({}));
    let broken = world.folder().join("broken-helm");
    script(&broken, "echo v4.2.1");
    plain
        .fleet(&format!("upgrade --helm-bin {}", broken.display()))
        .expect(8)
        .says("Helm 4.2.1 cannot be used");
    assert_eq!(plain.releases(), (None, None));

    // Somebody's helm is killed, and nobody but a person can know that.
    plain.values("all", &json!({"text": "one", "hang": true}));
    let chart = plain.folder().join("chart");
    let mut helm = Command::new(world.find("helm"))
        .args([
            "install",
            "plain",
            "--kube-context",
            PROD,
            "-n",
            &namespace,
            "--create-namespace",
        ])
        .args(["--set", "hang=true", "--timeout", "5m"])
        .arg(&chart)
        .env_clear()
        .envs(world.variables())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("helm can be started");
    let pending = Some((1, "pending-install".to_owned()));
    until("a revision that helm has begun", || {
        plain.release(PROD) == pending
    });
    helm.kill().expect("it runs");
    helm.wait().expect("it ends");
    assert_eq!(plain.release(PROD), pending);
    plain.values("all", &json!({"text": "one"}));
    let refused = "upgrade --recover-pending 0s";
    plain
        .fleet(refused)
        .expect(8)
        .says("neu-1: revision 1 of the release is pending-install, and nobody says who is at work on it")
        .says("helm fleet unlock");
    assert_eq!(plain.release(CANARY), None, "something was touched");
    plain.fleet("unlock").expect(0);
    assert_eq!(plain.release(PROD), failed(1));
    plain.fleet("upgrade --on-value-loss drop").expect(0);
    assert_eq!(plain.releases(), (deployed(1), deployed(2)));
    plain.agrees_with_helm();
}

#[test]
fn what_fails_in_its_middle_is_told_and_left_for_the_next_run() {
    for helm in ["helm3", "helm4"] {
        let world = World::with_helm(helm);
        let mut plain = plain(&world, &world.namespace("middle"));
        plain.fleet("upgrade").expect(0);
        plain.change(|fleet| fleet["helm"]["timeout"] = json!("5s"));
        let failures = [
            (json!({"refusedHooks": {"pre-upgrade": true}}), "hook"),
            (json!({"refusedHooks": {"post-upgrade": true}}), "hook"),
            (json!({"neverReady": true}), "deadline exceeded"),
        ];
        for (index, (values, word)) in failures.into_iter().enumerate() {
            let text = format!("text {index}");
            plain.values("all", &json!({"text": text}));
            plain.values("neu-1", &values);
            let failed = plain.fleet("upgrade").expect(4);
            assert_eq!(plain.statuses(), ["upgraded", "failed"], "{helm}: {values}");
            assert_eq!(plain.text(CANARY), Some(text));
            let (revision, status) = plain.release(PROD).expect("it is there");
            assert_eq!(status, "failed", "{helm}: {values}");
            position(&failed.stderr, &format!("revision {revision} is failed"));
            position(&failed.stderr, word);
            plain.agrees_with_helm();
        }
        plain.values("neu-1", &json!({}));
        plain.fleet("upgrade").expect(0);
        assert_eq!(plain.statuses(), ["unchanged", "upgraded"], "{helm}");
        plain.agrees_with_helm();
    }
}

#[test]
fn an_api_server_that_goes_away_after_its_upgrade_is_no_proof_that_what_was_upgraded_works() {
    let world = World::with_helm("helm4");
    let mut plain = plain(&world, &world.namespace("after"));
    plain.change(|fleet| fleet["rollout"]["stages"][0]["gates"] = json!([{"bake": "6s"}]));
    plain.values("all", &json!({"text": "last"}));
    let mut run = plain.start("upgrade --request-timeout 5s");
    run.wait_for("bake for");
    let away = world.without_api(CANARY);
    run.end().expect(4);
    drop(away);
    assert_eq!(plain.statuses(), ["failed", "not-started"]);
    assert_eq!(plain.text(CANARY).as_deref(), Some("last"));
    plain.fleet("resume").expect(0);
    assert_eq!(plain.text(PROD).as_deref(), Some("last"));
    plain.agrees_with_helm();
}

/// A kubeconfig of a service account that may do all that the release needs, and nothing with Leases.
fn without_leases(world: &World, namespace: &str) -> String {
    let kubectl = |words: &[&str]| {
        let mut line = vec!["kubectl", "--context", CANARY, "-n", namespace];
        line.extend(words);
        world.run_words(&line).expect(0).stdout
    };
    let operator = format!("{namespace}:operator");
    kubectl(&["create", "namespace", namespace]);
    kubectl(&["create", "serviceaccount", "operator"]);
    kubectl(&[
        "create",
        "role",
        "operator",
        "--verb=*",
        "--resource=secrets,configmaps",
    ]);
    kubectl(&[
        "create",
        "rolebinding",
        "operator",
        "--role=operator",
        "--serviceaccount",
        &operator,
    ]);
    let uid = format!("{namespace}-uid");
    let own = format!("--resource-name={namespace}");
    let names = ["--resource-name=kube-system", own.as_str()];
    kubectl(
        &[
            [
                "create",
                "clusterrole",
                &uid,
                "--verb=get",
                "--resource=namespaces",
            ]
            .as_slice(),
            &names,
        ]
        .concat(),
    );
    kubectl(&[
        "create",
        "clusterrolebinding",
        &uid,
        "--clusterrole",
        &uid,
        "--serviceaccount",
        &operator,
    ]);
    let token = kubectl(&["create", "token", "operator"]);
    let line = format!("kubectl --context {CANARY} config view --raw --minify -o json");
    let mut config: Value = world.run(&line).expect(0).json();
    config["users"][0]["user"] = json!({"token": token.trim()});
    let path = world.folder().join("without-leases.json");
    fs::write(&path, config.to_string()).expect("the folder can be written to");
    path.display().to_string()
}

#[test]
fn who_may_not_write_leases_is_told_and_goes_on() {
    let mut world = World::with_helm("helm4");
    let namespace = world.namespace("leaseless");
    let kubeconfig = without_leases(&world, &namespace);
    let own = world.variable("KUBECONFIG").to_owned();
    world.set("KUBECONFIG", &kubeconfig);
    {
        let mut plain = plain(&world, &namespace);
        plain.change(|fleet| {
            fleet["clusters"] = json!([{"name": "weu-1", "context": CANARY}]);
            fleet["rollout"] = Value::Null;
            fleet["release"]["createNamespace"] = json!(false);
        });
        plain
            .fleet("upgrade")
            .expect(0)
            .says("weu-1: Leases may not be written there");
        assert_eq!(plain.release(CANARY), deployed(1));
        plain.fleet("uninstall").expect(0);
        assert_eq!(plain.release(CANARY), None);
    }
    world.set("KUBECONFIG", &own);
    let line = format!("kubectl --context {CANARY} delete clusterrole,clusterrolebinding {namespace}-uid");
    world.run(&line).expect(0);
}
