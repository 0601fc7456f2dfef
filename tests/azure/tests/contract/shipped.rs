//! The simulator is in nothing that is shipped.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// The programs that users install or that run in their clusters; whatever else is no test is checked like these.
const PROGRAMS: [&str; 3] = ["kubectl-wi", "helm-fleet", "wi-probe"];

#[test]
fn no_shipped_package_depends_on_the_simulator() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let list = |value: &Value| value.as_array().unwrap().clone();
    let names: BTreeMap<String, String> = list(&metadata["packages"])
        .iter()
        .map(|one| (text(&one["id"]), text(&one["name"])))
        .collect();
    // Dependencies of tests are not in the binary.
    let needs: BTreeMap<String, Vec<String>> = list(&metadata["resolve"]["nodes"])
        .iter()
        .map(|node| {
            let built = list(&node["deps"])
                .into_iter()
                .filter(|dependency| {
                    list(&dependency["dep_kinds"])
                        .iter()
                        .any(|kind| kind["kind"] != "dev")
                })
                .map(|dependency| text(&dependency["pkg"]))
                .collect();
            (text(&node["id"]), built)
        })
        .collect();
    let tests = format!("{}/tests/", text(&metadata["workspace_root"]));
    let members = list(&metadata["workspace_members"]);
    let shipped: Vec<String> = list(&metadata["packages"])
        .iter()
        .filter(|one| members.contains(&one["id"]) && !text(&one["manifest_path"]).starts_with(&tests))
        .map(|one| text(&one["id"]))
        .collect();
    for program in PROGRAMS {
        assert!(
            shipped.iter().any(|id| names[id] == program),
            "no package {program}"
        );
    }
    for start in shipped {
        let shipped = &names[&start];
        let mut open = vec![start.clone()];
        let mut seen = BTreeSet::new();
        while let Some(id) = open.pop() {
            if seen.insert(id.clone()) {
                assert_ne!(names[&id], "azure-sim", "{shipped} is built with the simulator");
                open.extend(needs[&id].iter().cloned());
            }
        }
        assert!(seen.len() > 1, "{shipped} depends on nothing: the walk is broken");
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
