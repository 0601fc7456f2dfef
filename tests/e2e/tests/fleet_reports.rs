//! What a rollout tells: to the CI system that runs it, to whoever reads its report later, and of where clusters stand;
//! never a secret.

use e2e::plain::{PROD, Plain, RELEASE};
use e2e::{Finished, World};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// A value that nothing may show. The chart makes the API server name it in its refusal.
const CANARY: &str = "canary-5f0a-s3cret";
const LEAK: &str = r#"{{- if .Values.leak }}
apiVersion: v1
kind: ConfigMap
metadata: {name: leak}
data: {"{{ .Values.database.password }} is no key": ""}
{{- end }}
"#;

/// Runs `helm-fleet` with some more variables, in the test's folder.
fn fleet(world: &World, plain: &Plain<'_>, variables: &[String], words: &str) -> Finished {
    let file = plain.folder().join("helm-fleet.yaml").display().to_string();
    let mut line = vec!["env"];
    line.extend(variables.iter().map(String::as_str));
    line.push("helm-fleet");
    line.extend(words.split_whitespace());
    line.extend(["-f", &file]);
    world.run_words(&line)
}

/// Demands that nothing below a folder holds the secret, but the values that the test itself wrote.
fn holds_no_secret(folder: &Path) {
    for entry in fs::read_dir(folder).expect("the folder can be listed") {
        let path = entry.expect("the folder can be listed").path();
        if path.is_dir() {
            holds_no_secret(&path);
        } else if !path.ends_with("plain/all.yaml") {
            let text = fs::read(&path).expect("the file can be read");
            let text = String::from_utf8_lossy(&text);
            assert!(!text.contains(CANARY), "{} holds the secret", path.display());
        }
    }
}

fn says_no_secret(finished: &Finished) {
    assert!(
        !finished.stdout.contains(CANARY) && !finished.stderr.contains(CANARY),
        "{finished:?}"
    );
}

fn states(document: &Value) -> Vec<&str> {
    let clusters = document["clusters"].as_array().expect("it lists clusters");
    clusters.iter().filter_map(|row| row["state"].as_str()).collect()
}

#[test]
fn a_run_is_told_to_every_reader_and_no_secret_with_it() {
    let world = World::with_helm("helm4");
    let mut plain = Plain::new(&world, &world.namespace("reports"));
    plain.change(|fleet| fleet["rollout"]["stages"][0]["gates"] = json!([{"approval": true}]));
    fs::write(plain.folder().join("chart/templates/leak.yaml"), LEAK).expect("the chart can be written to");
    plain.values("all", &json!({"text": "one", "database": {"password": CANARY}}));
    plain.values("neu-1", &json!({"leak": true}));

    // A gate that waits is no failure, and a later step can tell.
    let azure = ["TF_BUILD=True".to_owned()];
    let waiting = fleet(&world, &plain, &azure, "upgrade --yes").expect(7);
    let report = plain.folder().join("report");
    for expected in [
        "##[group]Stage canary: 1 cluster".to_owned(),
        "##[endgroup]".to_owned(),
        "##vso[task.logissue type=warning]helm fleet: waiting: ".to_owned(),
        "##vso[task.setvariable variable=gate;isOutput=true]canary".to_owned(),
        "##vso[task.setvariable variable=exitCode;isOutput=true]7".to_owned(),
        "##vso[task.setvariable variable=exitName;isOutput=true]waiting".to_owned(),
        format!("##vso[task.uploadsummary]{}", report.join("report.md").display()),
    ] {
        assert!(
            waiting.stderr.contains(&expected),
            "{expected}\n{}",
            waiting.stderr
        );
    }
    let run = plain.report()["run"]["id"]
        .as_str()
        .expect("a run has an id")
        .to_owned();

    let (outputs, summary) = (world.folder().join("outputs"), world.folder().join("summary"));
    let github = [
        "GITHUB_ACTIONS=true".to_owned(),
        format!("GITHUB_OUTPUT={}", outputs.display()),
        format!("GITHUB_STEP_SUMMARY={}", summary.display()),
    ];
    let words = format!("resume {run} --approve canary --yes -o ndjson");
    let failed = fleet(&world, &plain, &github, &words).expect(4);
    let events: Vec<Value> = failed
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("every line is a document"))
        .collect();
    let types: Vec<&str> = events.iter().filter_map(|event| event["type"].as_str()).collect();
    assert_eq!(
        (types.first(), types.last()),
        (Some(&"run-started"), Some(&"run-finished"))
    );
    assert_eq!(types.iter().filter(|kind| **kind == "run-finished").count(), 1);
    for expected in [
        "::group::Stage prod: 1 cluster\n",
        "\n::endgroup::\n",
        "::error title=neu-1%3A failed::",
    ] {
        assert!(failed.stderr.contains(expected), "{expected}\n{}", failed.stderr);
    }
    let set = fs::read_to_string(&outputs).expect("the step has outputs");
    for expected in [
        "exitCode=4\n",
        "exitName=stopped\n",
        "failed=1\n",
        &format!("run={run}\n"),
    ] {
        assert!(set.contains(expected), "{expected}\n{set}");
    }
    assert!(
        fs::read_to_string(&summary)
            .expect("the step has a summary")
            .contains("### neu-1")
    );

    // What helm said of the failure is there, without the secret in it, and in every form.
    let failure = plain.report()["targets"][1]["failure"].to_string();
    assert!(failure.contains("[redacted]"), "{failure}");
    for form in ["TEST-fleet.xml", "report.md", "report.html"] {
        let text = fs::read_to_string(report.join(form)).unwrap_or_else(|error| panic!("{form}: {error}"));
        assert!(
            text.contains("[redacted]") || text.contains("\\[redacted\\]"),
            "{form}\n{text}"
        );
    }
    says_no_secret(&waiting);
    says_no_secret(&failed);
    holds_no_secret(world.folder());

    // The run file tells the same as the report, in any form.
    let told = world
        .run(&format!("helm-fleet report {run} -o json"))
        .expect(0)
        .json();
    assert_eq!(told, plain.report());
    let page = world
        .run("helm-fleet report plain/report --format html")
        .expect(0)
        .stdout;
    assert_eq!(
        page,
        fs::read_to_string(report.join("report.html")).expect("the page is there")
    );
}

#[test]
fn status_and_history_tell_where_clusters_stand() {
    let world = World::with_helm("helm3");
    let namespace = world.namespace("status");
    let mut plain = Plain::new(&world, &namespace);
    let status = |plain: &Plain<'_>, code| {
        fleet(&world, plain, &[], "status --exit-code -o json")
            .expect(code)
            .json()
    };
    assert_eq!(states(&status(&plain, 9)), ["not-at-target", "not-at-target"]);
    plain.fleet("upgrade").expect(0);
    let good = status(&plain, 0);
    assert_eq!(states(&good), ["at-target", "at-target"]);
    assert_eq!(good["clusters"][0]["run"], plain.report()["run"]["id"]);

    plain.upgrade_by_hand(PROD, "--set x=y");
    let drifted = status(&plain, 9);
    assert_eq!(states(&drifted), ["at-target", "not-at-target"]);
    assert_eq!(
        drifted["clusters"][1]["reason"],
        "revision 2 was not written by helm fleet"
    );
    plain.values("all", &json!({"text": "two"}));
    assert_eq!(states(&status(&plain, 9)), ["not-at-target", "not-at-target"]);
    plain.values("all", &json!({"text": "one"}));

    // One that nobody can reach hides none of the others.
    let nowhere = world.folder().join("nowhere");
    let content = "apiVersion: v1\nkind: Config\ncontexts: [{name: nowhere, context: {cluster: c, user: u}}]\n\
        clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\nusers: [{name: u, user: {}}]\n";
    fs::write(&nowhere, content).expect("a file can be written");
    plain.change(|fleet| {
        let clusters = fleet["clusters"].as_array_mut().expect("it has clusters");
        clusters.push(json!({"name": "gone", "context": "nowhere", "labels": {"ring": "1"}}));
    });
    let kubeconfig = [format!(
        "KUBECONFIG={}:{}",
        world.variable("KUBECONFIG"),
        nowhere.display()
    )];
    let seen = fleet(&world, &plain, &kubeconfig, "status --exit-code -o json")
        .expect(9)
        .json();
    assert_eq!(states(&seen), ["at-target", "not-at-target", "unreachable"]);
    let history = fleet(&world, &plain, &kubeconfig, "history -o json")
        .expect(0)
        .json();
    assert_eq!(history["runs"][0]["clusters"], 2);
    assert_eq!(history["runs"][0]["current"], 1);
    assert_eq!(history["clusters"][1]["revisions"][0]["run"], Value::Null);
    assert!(history["clusters"][2]["unreachable"].is_string());

    // It is the releases' own, so nobody needs their chart and values for it, nor the file.
    fs::remove_dir_all(plain.folder().join("chart")).expect("it is there");
    fs::remove_file(plain.folder().join("all.yaml")).expect("it is there");
    let without = fleet(&world, &plain, &kubeconfig, "history -o json")
        .expect(0)
        .json();
    assert_eq!(without["runs"], history["runs"]);
    let line = format!("helm-fleet history {RELEASE} -n {namespace} --context aks-*eu-1 -o json");
    let without = world.run(&line).expect(0).json();
    assert_eq!(without["runs"], history["runs"]);
}
