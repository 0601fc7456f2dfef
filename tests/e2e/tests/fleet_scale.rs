//! A rollout on many clusters, each an API server of its own in a sandbox that this test brings up.

use e2e::helm::deployed;
use e2e::own::Own;
use e2e::plain::Plain;
use e2e::{World, script};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// How many clusters.
const CLUSTERS: usize = 12;
/// What nobody may see.
const SECRET: &str = "canary-4be1d09c73aa";

/// A Secret from a value, and what fails with the value in its message.
const LEAKY: &str = r#"apiVersion: v1
kind: Secret
metadata: {name: plain}
stringData: {password: {{ .Values.password | quote }}}
{{- if .Values.leak }}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: leak}
data: {"not a key: {{ .Values.password }}": ""}
{{- end }}
{{- if .Values.unrenderableLeak }}{{ fail (printf "wrong password %s" .Values.password) }}{{ end }}
"#;

/// A helm that writes down that it was started.
fn counted_helm(world: &World) -> (PathBuf, PathBuf) {
    let (path, log) = (world.folder().join("counted-helm"), world.folder().join("starts"));
    let real = world.find("helm");
    let text = format!("echo \"$1\" >> {}\nexec {} \"$@\"", log.display(), real.display());
    script(&path, &text);
    (path, log)
}

/// Every text below a folder that is not one of those that hold the secret by their nature.
fn texts(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder)
        .expect("the folder can be read")
        .map_while(Result::ok)
    {
        let path = entry.path();
        if path.is_dir() {
            texts(&path, found);
        } else if path.file_name().is_none_or(|name| name != "all.yaml") {
            let bytes = fs::read(&path).expect("the file can be read");
            found.push((path, String::from_utf8_lossy(&bytes).into_owned()));
        }
    }
}

#[test]
fn a_fleet_is_upgraded_in_three_stages_and_tells_no_secret() {
    let own = Own::up("fleet", CLUSTERS);
    let world = &own.world;
    let mut plain = Plain::new(world, &world.namespace("many"));
    fs::write(plain.folder().join("chart/templates/leaky.yaml"), LEAKY)
        .expect("the folder can be written to");
    let contexts = world.run("kubectl config get-contexts -o name").expect(0).stdout;
    let contexts: Vec<&str> = contexts.lines().collect();
    assert_eq!(contexts.len(), CLUSTERS, "{contexts:?}");
    let ring = |index: usize| ["0", "1", "2"][usize::from(index > 0) + usize::from(index > 3)];
    plain.change(|fleet| {
        let clusters = contexts.iter().enumerate().map(
            |(index, context)| json!({"name": context, "context": context, "labels": {"ring": ring(index)}}),
        );
        fleet["clusters"] = clusters.collect();
        fleet["rollout"]["stages"] = json!([
            {"name": "canary", "selector": "ring=0"},
            {"name": "early", "selector": "ring=1", "maxConcurrency": 2},
            {"name": "prod", "selector": "ring=2", "maxConcurrency": "50%", "maxFailures": 1},
        ]);
        fleet["report"]["formats"] = json!(["json", "junit", "markdown", "html"]);
    });
    plain.values("all", &json!({"text": "one", "password": SECRET}));
    let (helm, starts) = counted_helm(world);
    let started = || {
        fs::read_to_string(&starts)
            .unwrap_or_default()
            .lines()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let with_helm = |words: &str| format!("{words} --helm-bin {}", helm.display());
    let mut outputs = Vec::new();

    let done = plain.fleet(&with_helm("upgrade -v")).expect(0);
    assert_eq!(plain.statuses(), ["installed"; CLUSTERS]);
    assert_eq!(
        started().iter().filter(|command| *command == "upgrade").count(),
        CLUSTERS
    );
    plain.agrees_with_helm();
    let stages: Vec<Value> = plain.report()["stages"]
        .as_array()
        .expect("a report has stages")
        .clone();
    for pair in stages.windows(2) {
        let (end, start) = (pair[0]["finishedAt"].as_str(), pair[1]["startedAt"].as_str());
        assert!(end.is_some() && end <= start, "a stage began early: {stages:#?}");
    }
    outputs.push(done);

    fs::remove_file(&starts).expect("helm was started");
    let again = plain
        .fleet(&with_helm("upgrade -v"))
        .expect(0)
        .says("nothing to do");
    assert_eq!(plain.statuses(), ["unchanged"; CLUSTERS]);
    assert_eq!(started(), Vec::<String>::new(), "helm was started");
    outputs.push(again);

    // By hand, on one.
    let odd = contexts[7];
    plain.upgrade_by_hand(odd, "--set text=mine");
    let status = plain.read("status --exit-code -o json").expect(9);
    let not_there: Vec<Value> = status.json()["clusters"]
        .as_array()
        .expect("a status has clusters")
        .iter()
        .filter(|cluster| cluster["state"] != "at-target")
        .map(|cluster| cluster["cluster"].clone())
        .collect();
    assert_eq!(not_there, [json!(odd)]);
    let planned = plain
        .fleet("upgrade --dry-run --detailed-exitcode -o name")
        .expect(2);
    outputs.extend([status, planned]);
    outputs.push(plain.fleet("upgrade -v").expect(0));
    let changed = |status: &String| *status != "unchanged";
    assert_eq!(
        plain.statuses().iter().filter(|status| changed(status)).count(),
        1
    );
    assert_eq!(plain.statuses()[7], "upgraded");
    assert_eq!(plain.text(odd).as_deref(), Some("one"));

    // What fails says the value itself, and we do not.
    plain.values(
        "all",
        &json!({"text": "two", "password": SECRET, "unrenderableLeak": true}),
    );
    outputs.push(
        plain
            .fleet("upgrade -v")
            .expect(8)
            .says("wrong password [redacted]"),
    );
    plain.values("all", &json!({"text": "two", "password": SECRET, "leak": true}));
    outputs.push(plain.fleet("upgrade -v").expect(4).says("not a key: [redacted]"));
    assert_eq!(plain.statuses()[0], "failed");
    plain.agrees_with_helm();
    outputs.push(plain.fleet("upgrade -o json --dry-run").expect(0));
    for words in ["status -o json", "history -o json"] {
        outputs.push(plain.read(words).expect(0));
    }

    let mut said = Vec::new();
    texts(plain.folder(), &mut said);
    assert!(
        said.iter()
            .any(|(path, _)| path.extension().is_some_and(|kind| kind == "ndjson"))
    );
    assert!(
        said.iter()
            .any(|(path, _)| path.extension().is_some_and(|kind| kind == "html"))
    );
    for output in outputs {
        said.push((PathBuf::from("standard output"), output.stdout));
        said.push((PathBuf::from("standard error"), output.stderr));
    }
    for context in &contexts[..2] {
        let line = format!("kubectl --context {context} get events,leases,configmaps -A -o json");
        said.push((PathBuf::from(line.clone()), world.run(&line).expect(0).stdout));
    }
    for (place, text) in said {
        assert!(
            !text.contains(SECRET),
            "{} holds the secret:\n{text}",
            place.display()
        );
    }
}

/// A helm that writes down when two upgrades run at the same time.
fn lonely_helm(world: &World) -> (PathBuf, PathBuf) {
    let (path, met) = (world.folder().join("lonely-helm"), world.folder().join("met"));
    let (here, real) = (world.folder().join("here"), world.find("helm"));
    // Making a folder that is there fails.
    let text = format!(
        "[ \"$1\" = upgrade ] || exec {real} \"$@\"\nmkdir {here} || echo \"$@\" >> {met}\n{real} \"$@\"\n\
         code=$?\nrmdir {here}\nexit $code",
        real = real.display(),
        here = here.display(),
        met = met.display()
    );
    script(&path, &text);
    (path, met)
}

#[test]
fn no_more_helms_run_at_once_than_there_is_memory_for() {
    let world = World::with_helm("helm4");
    let mut plain = Plain::new(&world, &world.namespace("memory"));
    plain.change(|fleet| fleet["rollout"] = json!({"stages": [{"name": "all"}]}));
    let (helm, met) = lonely_helm(&world);
    let upgrade = format!(
        "helm-fleet upgrade -v --yes --helm-bin {} -f {}",
        helm.display(),
        plain.folder().join("helm-fleet.yaml").display()
    );
    plain.fleet("upgrade").expect(0);

    // A machine that says of itself that it has room for one.
    plain.values("all", &json!({"text": "two"}));
    let poor = world.folder().join("meminfo");
    fs::write(&poor, "MemTotal: 4000000 kB\nMemAvailable: 240000 kB\n").expect("it can be written");
    let line = format!("mount --bind {} /proc/meminfo && exec {upgrade}", poor.display());
    world
        .run_words(&["unshare", "--mount", "sh", "-c", &line])
        .expect(0)
        .says("there is memory for 1 helm at once");
    assert!(!met.exists(), "two upgrades have run at once");
    assert_eq!(plain.releases(), (deployed(2), deployed(2)));
}
