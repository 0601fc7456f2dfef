//! What goes wrong under a rollout, on real clusters with a real helm: afterwards plain helm says what the report says,
//! the exit code is the one that is documented, and nothing is lost: the next run completes what was left.
//!
//! | what | test |
//! |---|---|
//! | the chart fails to render, for one cluster or for all | `fleet_locks`: `what_cannot_go_well_is_refused_…`; `fleet_scale`: `a_fleet_is_upgraded_in_three_stages_…` |
//! | a hook fails; pods are never ready | `fleet_locks`: `what_fails_in_its_middle_…`; what the pods say of it in `fleet_evidence` |
//! | verification fails: of the release; of one of two identities | `fleet_verify`: `a_release_that_does_not_work_is_not_done`; `fleet_identities` |
//! | an API server is away before the run | `fleet_rollout`: `an_unreachable_cluster_fails_is_left_out_or_tried_once_more` |
//! | … is killed or goes away before its cluster's turn, is killed under helm | here: `an_api_server_that_dies_and_comes_back_…` |
//! | … goes away under helm | `fleet_rollout`: `an_api_server_that_goes_away_under_helm_…` |
//! | … goes away after its cluster was upgraded | `fleet_locks`: `an_api_server_that_goes_away_after_…` |
//! | helm is killed by SIGKILL, with a rollback and without one | `fleet_rollout`: `a_signal_stops_helm_in_order_…`; here: `a_killed_helm_leaves_…` |
//! | helm hangs past its deadline, and does not hear that it is asked to end | `fleet_signals`: `a_helm_that_hangs_is_stopped_…` |
//! | a pending release left by another, by a dead run of ours, by a living one | `fleet_locks`: `what_cannot_go_well_…`; `fleet_resume`: `what_a_killed_run_left_…`, `a_second_run_…` |
//! | the revision to go back to is pruned | `fleet_rollout`: `a_rollback_whose_revision_is_gone_…` |
//! | the disk is full before, during and between the events of the run file | here: `a_disk_may_be_full_at_any_event`; `fleet_resume`: `what_cannot_be_written_down_is_not_done` |
//! | SIGINT and SIGTERM, once: in the preflight, at a gate, in a rollback, under helm | `fleet_signals`: `one_signal_…`; `fleet_rollout`: `a_signal_stops_helm_in_order_…` |
//! | SIGINT and SIGTERM, twice and three times | `fleet_signals`: `who_insists_…` |
//! | everything is killed by SIGKILL, and resumed elsewhere | here: `a_run_that_was_killed_is_resumed_…` |

use e2e::World;
use e2e::helm::{deployed, pending, values};
use e2e::plain::{CANARY, PROD, Plain, RELEASE};
use serde_json::json;
use std::fs;

#[test]
fn a_killed_helm_leaves_what_the_next_run_names_and_nobody_loses_values() {
    let world = World::with_helm("helm4");
    let namespace = world.namespace("helmless");
    let mut plain = Plain::new(&world, &namespace);
    plain.fleet("upgrade").expect(0);
    // Somebody has set a value by hand.
    plain.upgrade_by_hand(PROD, "--set mine=kept");
    plain.values("all", &json!({"text": "two"}));
    plain.fleet("upgrade").expect(8).says("mine");
    assert_eq!(plain.releases(), (deployed(1), deployed(2)));
    plain.change(|fleet| fleet["helm"]["valuesPolicy"] = json!("reset-then-reuse"));

    let run = plain.start_hanging("neu-1", 3);
    run.kill_helm();
    run.end()
        .expect(4)
        .says("SIGKILL")
        .says("revision 3 is pending-upgrade");
    assert_eq!(plain.statuses(), ["upgraded", "failed"]);
    assert_eq!(plain.releases(), (deployed(2), pending(3)));
    plain.agrees_with_helm();

    // The run gave its Lease back, so nobody but a person may say that nobody is at work.
    plain.values("neu-1", &json!({}));
    for words in ["upgrade --recover-pending 0", "resume --recover-pending 0"] {
        plain
            .fleet(words)
            .expect(8)
            .says("revision 3 of the release is pending-upgrade")
            .says("helm fleet unlock");
    }
    assert_eq!(plain.release(CANARY), deployed(2));
    plain.fleet("unlock").expect(0);
    plain.fleet("upgrade").expect(0);
    assert_eq!(plain.statuses(), ["unchanged", "upgraded"]);
    assert_eq!(plain.release(PROD), deployed(4));
    plain.agrees_with_helm();
    assert_eq!(
        values(&world, PROD, &namespace, RELEASE),
        json!({"text": "two", "mine": "kept"})
    );
}

#[test]
fn a_run_that_was_killed_is_resumed_on_a_machine_that_knows_nothing_of_it() {
    let mut world = World::with_helm("helm4");
    let private = world.folder().join("private");
    fs::create_dir(&private).expect("a folder can be made");
    world.set("TMPDIR", &private.display().to_string());
    let left = || {
        let folders = fs::read_dir(&private).expect("it is there");
        folders.map_while(Result::ok).count()
    };
    let plain = Plain::new(&world, &world.namespace("moved"));
    plain.fleet("upgrade").expect(0);
    assert_eq!(left(), 0, "a run that ends leaves nothing");
    plain.start_hanging("neu-1", 2).kill_all().expect(128 + 9);
    assert_eq!(left(), 1, "nobody could take its private folder away");
    assert_eq!(plain.releases(), (deployed(2), pending(2)));

    // Whoever looks at once is told to wait, and nothing is touched.
    plain.values("neu-1", &json!({}));
    let elsewhere = plain.elsewhere();
    let resume = || plain.start_in(&elsewhere, "resume --recover-pending 0").end();
    resume().expect(8).says("is at work on it");
    // Hours later.
    plain.age_leases();
    resume().expect(0).says("was left pending by a dead run");
    assert_eq!(plain.statuses(), ["unchanged", "upgraded"]);
    assert_eq!(plain.releases(), (deployed(2), deployed(3)));
    assert_eq!(plain.text(PROD).as_deref(), Some("two"));
    plain.agrees_with_helm();
    assert_eq!(left(), 0, "what the killed run kept for itself is still there");
    // It is the run that was killed that has gone on.
    let run = plain.report()["run"]["id"]
        .as_str()
        .expect("a run has an id")
        .to_owned();
    let begun = plain.folder().join(format!(".helm-fleet/runs/{run}.ndjson"));
    assert!(begun.is_file(), "{} is not there", begun.display());
}

/// One dies before its turn, and one under helm; both come back.
#[test]
fn an_api_server_that_dies_and_comes_back_costs_nothing_but_its_turn() {
    let world = World::with_helm("helm3");
    let mut plain = Plain::new(&world, &world.namespace("restarts"));
    plain.change(|fleet| fleet["rollout"]["stages"][0]["gates"] = json!([{"bake": "5s"}]));
    plain.fleet("upgrade").expect(0);

    // Killed and back before its turn: nobody notices.
    plain.values("all", &json!({"text": "two"}));
    let mut run = plain.start("upgrade");
    run.wait_for("bake for");
    world.sandbox(&["fault", "api", PROD, "kill"]).expect(0);
    run.end().expect(0);
    assert_eq!(plain.statuses(), ["upgraded", "upgraded"]);
    plain.agrees_with_helm();

    // Gone after the preflight and before its turn: it is as it was, and the report says so.
    plain.values("all", &json!({"text": "three"}));
    let mut run = plain.start("upgrade --request-timeout 5s");
    run.wait_for("bake for");
    let away = world.without_api(PROD);
    run.end().expect(4).says("neu-1: unreachable");
    drop(away);
    assert_eq!(plain.statuses(), ["upgraded", "unreachable"]);
    assert_eq!(plain.releases(), (deployed(3), deployed(2)));
    plain.agrees_with_helm();
    // Its Lease could not be given back; it would die by itself.
    plain.fleet("unlock --force").expect(0);
    plain.fleet("resume").expect(0);
    assert_eq!(plain.release(PROD), deployed(3));

    // Killed under helm, which sees it through or fails; what it did is what is told.
    plain.change(|fleet| fleet["helm"]["timeout"] = json!("10s"));
    plain.change(|fleet| fleet["rollout"]["stages"][0]["gates"] = json!([]));
    let run = plain.start_hanging("neu-1", 4);
    world.sandbox(&["fault", "api", PROD, "kill"]).expect(0);
    run.end().expect(4);
    assert_eq!(plain.statuses(), ["upgraded", "failed"]);
    plain.agrees_with_helm();
    assert_eq!(plain.text(PROD).as_deref(), Some("three"));
    plain.values("all", &json!({"text": "four"}));
    plain.values("neu-1", &json!({}));
    plain.fleet("unlock --force").expect(0);
    plain.fleet("upgrade").expect(0);
    assert_eq!(
        (plain.text(CANARY), plain.text(PROD)),
        (Some("four".to_owned()), Some("four".to_owned()))
    );
    plain.agrees_with_helm();
}

#[test]
fn a_disk_may_be_full_at_any_event() {
    let world = World::with_helm("helm3");
    let mut plain = Plain::new(&world, &world.namespace("disk"));
    plain.fleet("upgrade").expect(0);
    let folder = plain.folder().display().to_string();
    // The longer a stage's name, the earlier the one page of the disk is full; at first there is none.
    let mut codes = Vec::new();
    for (round, length) in [0_usize, 1300, 1000, 700].into_iter().enumerate() {
        let text = format!("round {round}");
        plain.values("all", &json!({"text": text}));
        plain.change(|fleet| {
            fleet["rollout"]["stages"][1]["name"] = json!(format!("prod{}", "x".repeat(length)));
        });
        let filling = if length == 0 {
            "head -c 4096 /dev/zero > .helm-fleet/full;"
        } else {
            ""
        };
        let script = format!(
            "cd {folder} && mount -t tmpfs -o size=4k none .helm-fleet && {filling} \
             exec helm-fleet upgrade --yes -f helm-fleet.yaml"
        );
        let before = plain.releases();
        let ended = world.run_words(&["unshare", "--mount", "sh", "-c", &script]);
        let statuses = plain.statuses();
        match ended.code {
            0 => assert_eq!(statuses, ["upgraded", "upgraded"]),
            1 => {
                assert!(
                    ended.stderr.contains("No space left on device"),
                    "{}",
                    ended.stderr
                );
                assert_ne!(statuses[1], "upgraded", "{}", ended.stderr);
            }
            code => panic!("it ended with {code}: {}", ended.stderr),
        }
        if length == 0 {
            assert_eq!(plain.releases(), before, "something was touched");
        }
        plain.agrees_with_helm();
        codes.push(ended.code);
        // With room again the next run completes it.
        plain.fleet("upgrade").expect(0);
        assert_eq!(
            (plain.text(CANARY), plain.text(PROD)),
            (Some(text.clone()), Some(text))
        );
    }
    assert_eq!(codes[..2], [1, 1], "the disk was not full");
}
