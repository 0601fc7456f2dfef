//! Runs that meet each other, and runs that were killed: who holds a release is told, and what was left is completed.

use e2e::World;
use e2e::plain::{Plain, Running};
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;

const CANARY: &str = "aks-weu-1";
const PROD: &str = "aks-neu-1";

fn lease(world: &World, namespace: &str) -> String {
    let line = format!("kubectl --context {CANARY} -n {namespace} get leases -o name");
    world.run(&line).expect(0).stdout
}

/// Makes the Leases look as if nobody had renewed them for hours.
fn age_leases(world: &World, namespace: &str) {
    let patch = json!({"spec": {"renewTime": "2020-01-01T00:00:00.000000Z"}}).to_string();
    for context in [CANARY, PROD] {
        let line = format!(
            "kubectl --context {context} -n {namespace} patch lease helm-fleet.plain --type merge -p"
        );
        let mut words: Vec<&str> = line.split(' ').collect();
        words.push(&patch);
        world.run_words(&words).expect(0);
    }
}

/// An upgrade whose helm waits on the canary for what never comes.
fn hanging(plain: &Plain<'_>, revision: u64) -> Running {
    plain.values("all", &json!({"text": "two", "hang": true}));
    let mut run = plain.start("upgrade");
    run.wait_for("weu-1: helm upgrade");
    for _ in 0..600 {
        if plain
            .release(CANARY)
            .is_some_and(|(newest, _)| newest == revision)
        {
            return run;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("helm has not begun revision {revision}");
}

fn elsewhere(world: &World) -> PathBuf {
    let folder = world.folder().join("elsewhere");
    std::fs::create_dir_all(&folder).expect("a folder can be made");
    folder
}

#[test]
fn a_second_run_is_told_who_holds_the_release() {
    let world = World::join();
    let namespace = world.namespace("two-runs");
    let plain = Plain::new(&world, &namespace);
    plain.fleet("upgrade").expect(0);
    assert_eq!(lease(&world, &namespace), "", "a Lease was left");

    let first = hanging(&plain, 2);
    assert_eq!(
        lease(&world, &namespace),
        "lease.coordination.k8s.io/helm-fleet.plain\n"
    );
    let second = plain.start_in(&elsewhere(&world), "upgrade").end().expect(8);
    for text in [
        "weu-1",
        "revision 2 of the release is pending-upgrade",
        "run 20",
        "last seen",
        "--lock-timeout",
    ] {
        assert!(
            second.stderr.contains(text),
            "{text} is not said:\n{}",
            second.stderr
        );
    }
    plain.fleet("rollback").expect(8).says("is at work on it");
    plain.fleet("unlock").expect(8).says("is at work on it");
    // Who waits comes next.
    plain.values("all", &json!({"text": "three"}));
    let mut waiting = plain.start_in(&elsewhere(&world), "upgrade --lock-timeout 2m");
    waiting.wait_for("waiting for run");
    first.signal("-INT");
    first.end().expect(130);
    waiting.end().expect(0);
    assert_eq!(plain.text(PROD).as_deref(), Some("three"));
    assert_eq!(lease(&world, &namespace), "", "a Lease was left");
}

#[test]
fn what_a_killed_run_left_is_completed_elsewhere() {
    let world = World::join();
    let namespace = world.namespace("killed");
    let plain = Plain::new(&world, &namespace);
    plain.fleet("upgrade").expect(0);

    hanging(&plain, 2).kill_all().expect(128 + 9);
    assert_eq!(plain.release(CANARY), Some((2, "pending-upgrade".to_owned())));
    // The revision that it would have gone back to is on disk.
    let runs = plain.folder().join(".helm-fleet/runs");
    let newest = std::fs::read_dir(runs)
        .expect("there are run files")
        .filter_map(Result::ok)
        .map(|entry| entry.path());
    let file = std::fs::read_to_string(newest.max().expect("there is one")).expect("it is text");
    assert!(
        file.contains(
            r#""type":"target-started","cluster":"weu-1","stage":"canary","revisionBefore":1,"restore":1"#
        ),
        "{file}"
    );

    plain.values("all", &json!({"text": "two"}));
    let elsewhere = elsewhere(&world);
    let again = |words: &str| plain.start_in(&elsewhere, words).end();
    age_leases(&world, &namespace);
    again("upgrade").expect(8).says("it is recovered after 900 s");
    again("upgrade --recover-pending 0")
        .expect(0)
        .says("was left pending by a dead run");
    assert_eq!(plain.release(CANARY), Some((3, "deployed".to_owned())));
    plain.agrees_with_helm();
    assert_eq!(lease(&world, &namespace), "", "a Lease was left");

    // Or by hand.
    hanging(&plain, 4).kill_all().expect(128 + 9);
    age_leases(&world, &namespace);
    plain
        .fleet("unlock --dry-run --detailed-exitcode")
        .expect(2)
        .says("mark pending revision 4 as failed");
    plain.fleet("unlock").expect(0);
    assert_eq!(plain.release(CANARY), Some((4, "failed".to_owned())));
    assert_eq!(lease(&world, &namespace), "");
    // The run goes on where it was killed; it still hangs, and says how it ended.
    let mut resumed = plain.start("resume");
    resumed.wait_for("weu-1: helm upgrade");
    resumed.signal("-TERM");
    resumed.end().expect(143);
    assert_eq!(plain.statuses(), ["interrupted", "not-started"]);
}

#[test]
fn what_cannot_be_written_down_is_not_done() {
    let world = World::join();
    let namespace = world.namespace("full");
    let mut plain = Plain::new(&world, &namespace);
    let state = plain.folder().join(".helm-fleet");
    std::fs::write(&state, "").expect("the folder can be written to");
    plain
        .fleet("upgrade")
        .expect(8)
        .says("the run file cannot be written");
    assert_eq!(
        (plain.release(CANARY), lease(&world, &namespace)),
        (None, String::new())
    );
    std::fs::remove_file(&state).expect("it is there");
    plain.fleet("upgrade").expect(0);

    // The disk fills up while the run is on: what has begun comes to its end, and nothing else begins.
    plain.change(|fleet| fleet["rollout"]["stages"][0]["gates"] = json!([{"bake": "3s"}]));
    plain.values("all", &json!({"text": "two"}));
    let mut full = plain.start_without_signal("upgrade");
    full.wait_for("bake for");
    full.fill_disk();
    let full = full.end().expect(1);
    assert!(
        full.stderr.contains("the run file cannot be written"),
        "{}",
        full.stderr
    );
    assert_eq!(plain.text(CANARY).as_deref(), Some("two"));
    assert_eq!(plain.text(PROD).as_deref(), Some("one"));
    assert_eq!(lease(&world, &namespace), "", "a Lease was left");
    plain.fleet("upgrade").expect(0);
    plain.agrees_with_helm();
}
