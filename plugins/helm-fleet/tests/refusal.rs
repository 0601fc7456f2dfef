//! What the binary refuses before it reaches for any cluster, and what it leaves behind then.

#![expect(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const FLEET: &str = "apiVersion: helmfleet/v1alpha1\nkind: Fleet\nrelease: {name: orders, namespace: shop}\n\
    chart: {ref: orders}\nclusters: [{name: weu-1, context: aks-weu-1}]\nreport: {dir: out}\n";
// Nothing listens there, and nothing may ask.
const KUBECONFIG: &str = "apiVersion: v1\nkind: Config\ncontexts: [{name: aks-weu-1, context: {cluster: c, user: u}}]\n\
    clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\nusers: [{name: u, user: {}}]\n";

fn upgrade(directory: &Path, arguments: &[&str], driver: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_helm-fleet"))
        .args(["upgrade", "-f", "fleet.yaml", "--kubeconfig", "config"])
        .args(arguments)
        .env("HELM_DRIVER", driver)
        .env_remove("HELM_PLUGIN_NAME")
        .current_dir(directory)
        .output()
        .unwrap()
}

fn prepared(fleet: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    fs::create_dir(directory.path().join("orders")).unwrap();
    fs::create_dir(directory.path().join("out")).unwrap();
    write(
        "orders/Chart.yaml",
        "apiVersion: v2\nname: orders\nversion: 0.1.0\n",
    );
    write("fleet.yaml", fleet);
    write("config", KUBECONFIG);
    write("out/TEST-fleet.xml", "all green");
    write("out/report.json", "{}");
    directory
}

#[test]
fn releases_outside_of_secrets_are_refused_and_no_earlier_report_stays() {
    let directory = prepared(FLEET);
    let output = upgrade(directory.path(), &["--yes"], "sql");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(8), "{told}");
    assert!(told.contains("HELM_DRIVER"), "{told}");
    assert_eq!(fs::read_dir(directory.path().join("out")).unwrap().count(), 0);
}

#[test]
fn a_dry_run_leaves_reports_alone() {
    let directory = prepared(FLEET);
    let output = upgrade(directory.path(), &["--dry-run"], "configmap");
    assert_eq!(output.status.code(), Some(8));
    assert_eq!(fs::read_dir(directory.path().join("out")).unwrap().count(), 2);
}

#[test]
fn a_fleet_file_that_cannot_be_read_leaves_no_earlier_report_either() {
    let directory = prepared("kind: [");
    let output = upgrade(directory.path(), &["--yes", "--report-dir", "out"], "");
    assert_eq!(output.status.code(), Some(64));
    assert_eq!(fs::read_dir(directory.path().join("out")).unwrap().count(), 0);
}

#[test]
fn an_id_that_is_none_is_told_with_its_place() {
    let directory =
        prepared(&FLEET.replace("context: aks-weu-1", "context: aks-weu-1, id: /subscriptions/s"));
    let output = upgrade(directory.path(), &["--yes"], "secret");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(64), "{told}");
    assert!(told.contains("fleet.yaml:5:50: clusters[0].id: "), "{told}");
}
