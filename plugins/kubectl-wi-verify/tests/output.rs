//! What the binary prints where, without a cluster that answers.

use serde_json::{Value, json};
use std::process::Command;

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

#[test]
fn with_v_every_step_tells_how_long_it_took() {
    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = directory.path().join("config");
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        // Nobody listens on port 1 of the loopback address.
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {}}],
    });
    std::fs::write(&kubeconfig, text.to_string()).unwrap();
    let told = |flags: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_kubectl-wi-verify"))
            .env_clear()
            .args(["--service-account", "orders", "--from", "local"])
            .args(["--auth", "environment", "--kubeconfig"])
            .arg(&kubeconfig)
            .args(flags)
            .output()
            .unwrap();
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
