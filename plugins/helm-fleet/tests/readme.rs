//! What the README shows is true: its fleet file is one that this binary takes.

#![expect(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::fs;
use std::path::Path;
use std::process::Command;

const KUBECONFIG: &str = "apiVersion: v1\nkind: Config\ncontexts: [{name: aks-weu-1, context: {cluster: c, user: u}}]\n\
    clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\nusers: [{name: u, user: {}}]\n";

/// The YAML block of the README that describes a fleet.
fn fleet() -> String {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let start = readme.find("apiVersion: helmfleet").unwrap();
    let end = readme[start..].find("```").unwrap();
    readme[start..start + end].to_owned()
}

#[test]
fn the_fleet_of_the_readme_is_valid() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    fs::create_dir_all(root.join("values")).unwrap();
    fs::create_dir_all(root.join("charts/orders")).unwrap();
    fs::write(root.join("values/base.yaml"), "replicas: 2\n").unwrap();
    let chart = "apiVersion: v2\nname: orders\nversion: 0.1.0\n";
    fs::write(root.join("charts/orders/Chart.yaml"), chart).unwrap();
    fs::write(root.join("config"), KUBECONFIG).unwrap();
    fs::write(root.join("helm-fleet.yaml"), fleet()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_helm-fleet"))
        .args(["validate", "--kubeconfig", "config"])
        .current_dir(root)
        .output()
        .unwrap();
    let talk = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{talk}");
}
