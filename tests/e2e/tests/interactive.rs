//! `kubectl wi setup --interactive` at a real pseudo-terminal: what it asks, what it does with the answers, and the
//! command that it ends with, which is run.

use e2e::World;
use e2e::terminal::Terminal;
use serde_json::{Value, json};

const CONTEXT: &str = "aks-weu-1";
/// What the command that would not have asked stands after.
const EQUIVALENT: &str = "the same without a question:";

/// A world with a namespace that is the person's.
fn at_a_desk(purpose: &str) -> (World, String) {
    let world = World::join();
    let namespace = world.namespace(purpose);
    world
        .run(&format!(
            "kubectl --context {CONTEXT} create namespace {namespace}"
        ))
        .expect(0);
    (world, namespace)
}

/// The command that a run ended with.
fn equivalent(said: &str) -> String {
    let (_, after) = said
        .rsplit_once(EQUIVALENT)
        .unwrap_or_else(|| panic!("it told no command:\n{said}"));
    let line = after.lines().map(str::trim).find(|line| !line.is_empty());
    line.unwrap_or_default().to_owned()
}

#[test]
fn what_is_missing_is_asked_and_the_command_it_ends_with_does_the_same() {
    let (world, namespace) = at_a_desk("asked");
    let mut person = Terminal::run(&world, "kubectl wi setup --interactive --timeout 10m");
    let contexts = world.run("kubectl config get-contexts -o name").expect(0);
    if contexts.stdout.lines().count() > 1 {
        person.choose("Which cluster", CONTEXT);
    }
    person.choose("Which namespace", &namespace);
    // The namespace may have an account already; the one that is meant has yet to be made.
    let accounts = world
        .run(&format!(
            "kubectl --context {CONTEXT} -n {namespace} get serviceaccounts -o name"
        ))
        .expect(0);
    if accounts.stdout.is_empty() {
        person.type_in("Which service account", "orders");
    } else {
        person.choose("Which service account", "another one");
        person.type_in("Its name", "orders");
    }
    person.choose("who makes it", "setup, now");
    person.choose("Secrets of which vault", "kv-central");
    person.mark("Which secrets", "db-password");
    person.wait_for("Apply this plan?");
    person.press("y");
    let done = person.end().expect(0);
    assert!(!done.stderr.contains("value of"), "{}", done.stderr);

    let command = equivalent(&done.stderr);
    assert_eq!(
        command,
        format!(
            "kubectl wi setup --timeout 10m --context {CONTEXT} --namespace {namespace} --service-account orders \
             --service-account-owner setup --secret kv-central/db-password --yes"
        )
    );
    let again = world.run(&format!("{command} -o json")).expect(0).json();
    assert_eq!(again["changes"], json!([]));
    assert_eq!(again["secrets"][0]["name"], "db-password");
}

#[test]
fn what_is_given_is_not_asked_and_a_no_changes_nothing() {
    let (world, namespace) = at_a_desk("declined");
    let given = format!(
        "kubectl wi setup --interactive --context {CONTEXT} -n {namespace} --service-account orders \
         --service-account-owner setup"
    );
    let mut person = Terminal::run(&world, &given);
    person.choose("Secrets of which vault", "none");
    person.wait_for("Apply this plan?");
    person.press("n");
    let declined = person.end().expect(64).says("declined; nothing was changed");
    for question in [
        "Which cluster",
        "Which namespace",
        "Which service account",
        "who makes it",
    ] {
        assert!(!declined.stderr.contains(question), "{}", declined.stderr);
    }
    assert_eq!(
        equivalent(&declined.stderr),
        format!(
            "kubectl wi setup --context {CONTEXT} -n {namespace} --service-account orders --service-account-owner setup --yes"
        )
    );
    let account = format!("kubectl --context {CONTEXT} -n {namespace} get serviceaccount orders");
    world.run(&account).expect(1).says("not found");

    // Who cannot be asked is told what to name.
    let nobody = world
        .run(&format!("{given} -o json"))
        .expect(64)
        .says("--interactive needs a terminal");
    assert_eq!(nobody.json()["kind"], Value::from("Failure"));
}
