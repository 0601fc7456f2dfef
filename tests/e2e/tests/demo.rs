//! The demo as a newcomer runs it: also on a machine on which an earlier one was killed.

use e2e::{World, repository};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

const NAME: &str = "e2e-demo";

#[test]
fn the_demo_succeeds_after_one_that_was_killed_and_leaves_only_its_reports() {
    let world = World::join();
    let program = world.variable("AKS_SANDBOX_PROGRAM").to_owned();

    // The first one dies in the middle of the job, with no chance to clean up.
    let mut killed = Command::new(&program)
        .args(["demo", "--name", NAME])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the demo starts");
    let talk = BufReader::new(killed.stderr.take().expect("its talk is piped"));
    let reached = talk
        .lines()
        .map_while(Result::ok)
        .any(|line| line.starts_with("== 1."));
    killed.kill().expect("it can be killed");
    killed.wait().expect("it ends");
    assert!(reached, "the first demo ended before its first step");

    let demo = world.run_words(&[&program, "demo", "--name", NAME]);
    let demo = demo.expect(0);
    for step in ["== 1.", "== 2.", "== 3.", "== 4.", "== 5.", "== Done"] {
        assert!(demo.stderr.contains(step), "{step} is missing:\n{}", demo.stderr);
    }
    assert!(
        !demo.stderr.contains("eyJ") && !demo.stdout.contains("eyJ"),
        "the demo printed a token"
    );

    let report = std::fs::read_to_string(repository().join("target/demo/report.json")).expect("a report");
    let report: Value = serde_json::from_str(&report).expect("the report is JSON");
    let targets = report["targets"].as_array().expect("a report has targets");
    let clients: BTreeSet<&str> = targets
        .iter()
        .filter_map(|target| target["clientId"].as_str())
        .collect();
    assert_eq!((targets.len(), clients.len()), (3, 3));

    // Nothing of the sandbox is left.
    let down = world.run_words(&[&program, "down", "--name", NAME]).expect(0);
    assert!(down.stderr.contains("was not there"), "{}", down.stderr);
}
