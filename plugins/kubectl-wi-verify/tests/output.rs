//! What the binary prints where, without a cluster that answers.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

#[test]
fn a_usage_error_is_a_document_when_one_is_asked_for() {
    let output = Command::new(env!("CARGO_BIN_EXE_kubectl-wi-verify"))
        .args(["--nonsense", "-o", "json"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["apiVersion"], "kubectl-wi/v1alpha1");
    assert_eq!(document["kind"], "Failure");
    assert_eq!(document["exitCode"], 64);
    let message = document["error"]["message"].as_str().unwrap();
    assert!(message.contains("--nonsense"), "{message}");
    assert!(!output.stderr.is_empty());
}

#[test]
fn a_usage_error_without_a_wish_prints_no_data() {
    let output = Command::new(env!("CARGO_BIN_EXE_kubectl-wi-verify"))
        .arg("--nonsense")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(output.stdout.is_empty());
}

/// A kubeconfig whose one cluster does not answer: nobody listens on port 1 of the loopback address.
fn silent_cluster(directory: &Path) -> PathBuf {
    let path = directory.join("config");
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {}}],
    });
    std::fs::write(&path, text.to_string()).expect("the kubeconfig is written");
    path
}

/// Verifies from here, as nobody.
fn verify(kubeconfig: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-wi-verify"));
    command
        .env_clear()
        .args(["--service-account", "orders", "--from", "local"])
        .args(["--auth", "environment", "--kubeconfig"])
        .arg(kubeconfig);
    command
}

#[test]
fn with_v_every_step_tells_how_long_it_took() {
    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = silent_cluster(directory.path());
    let told = |flags: &[&str]| {
        let output = verify(&kubeconfig).args(flags).output().unwrap();
        assert_eq!(output.status.code(), Some(8));
        String::from_utf8(output.stderr).unwrap()
    };
    let verbose = told(&["-v"]);
    for step in [
        "signing in to Azure",
        "c: connecting",
        "c: reading the cluster and Azure",
    ] {
        assert!(verbose.contains(&format!("{step} took ")), "{verbose}");
    }
    assert!(!told(&[]).contains(" took "));
}

#[test]
fn the_files_for_a_pipeline_are_written_also_when_the_only_cluster_does_not_answer() {
    let directory = tempfile::tempdir().unwrap();
    let (junit, markdown) = (directory.path().join("j.xml"), directory.path().join("m.md"));
    let output = verify(&silent_cluster(directory.path()))
        .arg("--junit")
        .arg(&junit)
        .arg("--markdown")
        .arg(&markdown)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(8));
    for (path, expected) in [(junit, "<error "), (markdown, "## c")] {
        let text = std::fs::read_to_string(path).unwrap();
        assert!(
            text.contains(expected) && text.contains("kubectl --context c"),
            "{text}"
        );
    }
}

#[test]
fn a_watch_tells_its_steps_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut watch = verify(&silent_cluster(directory.path()))
        .args(["--watch", "--interval", "0", "-v"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(watch.stderr.take().unwrap()).lines();
    // Each round ends with the number of its requests.
    let (mut told, mut rounds) = (0, 0);
    for line in lines.map_while(Result::ok) {
        told += u32::from(line == "c: connecting");
        rounds += u32::from(line.contains("requests to clusters"));
        if rounds == 3 {
            break;
        }
    }
    watch.kill().unwrap();
    watch.wait().unwrap();
    assert_eq!((told, rounds), (1, 3));
}
