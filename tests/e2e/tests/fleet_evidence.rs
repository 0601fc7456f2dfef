//! What a failed upgrade tells of the pods that did not become ready, in every form of the report, and never a secret.

use e2e::World;
use e2e::helm::failed;
use e2e::plain::{CANARY, Plain};
use serde_json::{Value, json};
use std::fs;

/// A value that nobody may see again.
const SECRET: &str = "canary-9d41e7b05c";

/// The formats of a report, and the files that they are written to.
const FORMATS: [(&str, &str); 4] = [
    ("json", "report.json"),
    ("junit", "TEST-fleet.xml"),
    ("markdown", "report.md"),
    ("html", "report.html"),
];

/// Three workloads, one for each way of not becoming ready; one of them says the secret before it ends.
const WORKLOADS: &str = r"{{- range $name, $pod := .Values.workloads }}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: plain-{{ $name }}}
spec:
  selector: {matchLabels: {app: {{ $name }}}}
  template:
    metadata: {labels: {app: {{ $name }}, app.kubernetes.io/instance: plain}}
    spec: {{ tpl (toJson $pod) $ }}
{{- end }}
";

fn pods() -> Value {
    let image = "busybox.sandbox/busybox:dev";
    let crashes = "echo opening the database; echo the password is {{ .Values.password }}; exit 7";
    json!({
        "crashing": {"containers": [{"name": "app", "image": image, "imagePullPolicy": "IfNotPresent",
            "command": ["sh", "-c", crashes]}]},
        "imageless": {"containers": [{"name": "app", "image": "busybox.sandbox/absent:dev"}]},
        "homeless": {"containers": [{"name": "app", "image": image}], "nodeSelector": {"there-is": "no-such-node"}},
    })
}

#[test]
fn pods_that_do_not_become_ready_say_why_in_every_report() {
    // Each waits until helm gives up, so they do at once.
    let worlds = ["helm3", "helm4"].map(|helm| (helm, World::with_helm(helm)));
    let running = worlds.each_ref().map(|(helm, world)| {
        let mut plain = Plain::new(world, &world.namespace(helm));
        let template = plain.folder().join("chart/templates/workloads.yaml");
        fs::write(template, WORKLOADS).expect("the folder can be written to");
        plain.change(|fleet| {
            fleet["helm"] = json!({"timeout": "20s", "wait": true});
            fleet["report"]["formats"] = json!(FORMATS.map(|(format, _)| format));
        });
        let values = json!({"text": "one", "password": SECRET, "workloads": pods()});
        plain.values("all", &values);
        let run = plain.start("upgrade");
        (helm, plain, run)
    });
    for (helm, plain, run) in running {
        let told = run.end().expect(4);
        assert_eq!(plain.statuses(), ["failed", "not-started"], "{helm}");
        assert_eq!(plain.release(CANARY), failed(1), "{helm}");
        plain.agrees_with_helm();

        let evidence = plain.report()["targets"][0]["failure"]["evidence"].clone();
        let lines = evidence.as_array().expect("a failure has evidence");
        for (pod, words) in [
            ("crashing", "Error, exit code 7"),
            ("crashing", "app: log: opening the database"),
            ("crashing", "app: log: the password is [redacted]"),
            ("imageless", "busybox.sandbox/absent:dev"),
            ("homeless", "not scheduled: "),
        ] {
            let pod = format!("pod plain-{pod}-");
            let is_said = lines
                .iter()
                .filter_map(Value::as_str)
                .any(|line| line.starts_with(&pod) && line.contains(words));
            assert!(is_said, "{helm}: {pod}: {words}\n{evidence:#}");
        }

        for (_, file) in FORMATS {
            let path = plain.folder().join("report").join(file);
            let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
            for words in ["exit code 7", "opening the database", "not scheduled"] {
                assert!(
                    text.contains(words),
                    "{helm}: {file} does not say {words:?}\n{text}"
                );
            }
            assert!(!text.contains(SECRET), "{helm}: {file} holds the secret");
        }
        let all = format!("{}{}", told.stdout, told.stderr);
        assert!(
            all.contains("exit code 7") && !all.contains(SECRET),
            "{helm}: {all}"
        );
    }
}
