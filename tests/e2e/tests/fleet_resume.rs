//! Runs that meet each other, and runs that were killed: who holds a release is told, and what was left is completed.

use e2e::World;
use e2e::helm::{deployed, failed, pending};
use e2e::plain::{CANARY, PROD, Plain};
use serde_json::json;

#[test]
fn a_second_run_is_told_who_holds_the_release() {
    let world = World::join();
    let plain = Plain::new(&world, &world.namespace("two-runs"));
    plain.fleet("upgrade").expect(0);
    assert_eq!(plain.leases(CANARY), "", "a Lease was left");

    let first = plain.start_hanging("weu-1", 2);
    assert_eq!(
        plain.leases(CANARY),
        "lease.coordination.k8s.io/helm-fleet.plain\n"
    );
    let second = plain.start_in(&plain.elsewhere(), "upgrade").end().expect(8);
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
    plain.values("weu-1", &json!({}));
    let mut waiting = plain.start_in(&plain.elsewhere(), "upgrade --lock-timeout 2m");
    waiting.wait_for("waiting for run");
    first.signal("-INT");
    first.end().expect(130);
    waiting.end().expect(0);
    assert_eq!(plain.text(PROD).as_deref(), Some("three"));
    assert_eq!(plain.leases(CANARY), "", "a Lease was left");
}

#[test]
fn what_a_killed_run_left_is_completed_elsewhere() {
    let world = World::join();
    let plain = Plain::new(&world, &world.namespace("killed"));
    plain.fleet("upgrade").expect(0);

    plain.start_hanging("weu-1", 2).kill_all().expect(128 + 9);
    assert_eq!(plain.release(CANARY), pending(2));
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

    plain.values("weu-1", &json!({}));
    let elsewhere = plain.elsewhere();
    let again = |words: &str| plain.start_in(&elsewhere, words).end();
    plain.age_leases();
    again("upgrade").expect(8).says("it is recovered after 900 s");
    again("upgrade --recover-pending 0")
        .expect(0)
        .says("was left pending by a dead run");
    assert_eq!(plain.release(CANARY), deployed(3));
    plain.agrees_with_helm();
    assert_eq!(plain.leases(CANARY), "", "a Lease was left");

    // Or by hand.
    plain.start_hanging("weu-1", 4).kill_all().expect(128 + 9);
    plain.age_leases();
    plain
        .fleet("unlock --dry-run --detailed-exitcode")
        .expect(2)
        .says("mark pending revision 4 as failed");
    plain.fleet("unlock").expect(0);
    assert_eq!(plain.release(CANARY), failed(4));
    assert_eq!(plain.leases(CANARY), "");
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
    let mut plain = Plain::new(&world, &world.namespace("full"));
    let state = plain.folder().join(".helm-fleet");
    std::fs::write(&state, "").expect("the folder can be written to");
    plain
        .fleet("upgrade")
        .expect(8)
        .says("the run file cannot be written");
    assert_eq!(
        (plain.release(CANARY), plain.leases(CANARY)),
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
    assert_eq!(plain.leases(CANARY), "", "a Lease was left");
    plain.fleet("upgrade").expect(0);
    plain.agrees_with_helm();
}
