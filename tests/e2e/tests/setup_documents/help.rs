//! The examples of the help.

use crate::support::{CONTEXT, SECRET, write};
use e2e::World;
use e2e::azure::{fleet_group, identities};
use std::fs;

/// The command lines of a command's examples.
fn examples(world: &World, command: &str) -> Vec<String> {
    let help = world.run(&format!("{command} --help")).expect(0).stdout;
    let (_, examples) = help.split_once("Examples:\n").expect("the help has examples");
    let examples = examples.replace("\\\n", "");
    let lines = examples.lines().map(str::trim);
    lines
        .filter(|line| line.starts_with("kubectl "))
        .map(str::to_owned)
        .collect()
}

/// Every line of the help's examples is run as it stands there, in a namespace of the test's own: what setup's have
/// made, remove's take away.
#[test]
fn the_examples_of_the_help_work() {
    let mut world = World::join();
    let namespace = world.namespace("help");
    let (setup, remove) = (
        examples(&world, "kubectl wi setup"),
        examples(&world, "kubectl wi remove"),
    );
    assert!(setup.len() >= 5 && remove.len() >= 3, "{setup:?} {remove:?}");
    // The contexts that the examples name, as a person has them.
    let config = world.folder().join("config");
    fs::copy(world.variable("KUBECONFIG"), &config).expect("the kubeconfig can be copied");
    world.set("KUBECONFIG", &config.to_string_lossy());
    world
        .run(&format!("kubectl config rename-context {CONTEXT} aks-prod-1"))
        .expect(0);
    world.run("kubectl config use-context aks-prod-1").expect(0);
    write(
        &world,
        "wi.yaml",
        &format!(
            "apiVersion: kubectl-wi/v1alpha1\nkind: WorkloadIdentities\ncontexts: ['aks-prod-*']\nworkloads:\n\
             - {{namespace: {namespace}, serviceAccount: orders, secrets: [{SECRET}]}}\n"
        ),
    );
    for example in setup.iter().chain(&remove) {
        let mut line = example.replace("-n shop ", &format!("-n {namespace} "));
        if !line.contains("--yes") && !line.contains("--dry-run") {
            // The answer of the person who reads the plan.
            line.push_str(" --yes");
        }
        world.run_words(&["sh", "-c", &line]).expect(0);
        if example == &setup[setup.len() - 1] {
            assert_eq!(identities(&world, &fleet_group(&world), &namespace).len(), 1);
        }
    }
    assert_eq!(
        identities(&world, &fleet_group(&world), &namespace),
        Vec::<String>::new()
    );
}
