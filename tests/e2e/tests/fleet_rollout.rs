//! A rollout when things go wrong: what plain helm says afterwards is what the report says, the exit code is the one
//! that is documented, and nothing is lost.

use e2e::helm::{deployed, failed, pending};
use e2e::plain::{CANARY, PROD, Plain};
use e2e::terminal::Terminal;
use e2e::{World, until};
use serde_json::json;

#[test]
fn a_failed_rollout_is_rolled_back_to_what_was_recorded() {
    for helm in ["helm3", "helm4"] {
        let world = World::with_helm(helm);
        let mut plain = Plain::new(&world, &world.namespace("rollback"));
        plain.change(|fleet| fleet["rollout"]["onFailure"] = json!({"strategy": "rollback-all"}));
        // A first install that fails is kept, unless it is to be uninstalled.
        plain.values("neu-1", &json!({"refused": true}));
        plain.fleet("upgrade").expect(5);
        assert_eq!(plain.statuses(), ["installed", "failed"]);
        plain.agrees_with_helm();
        plain.change(|fleet| fleet["rollout"]["onFailure"]["firstInstall"] = json!("uninstall"));
        plain.fleet("upgrade").expect(5);
        assert_eq!(plain.release(PROD), None, "{helm}");
        plain.agrees_with_helm();
        plain.values("neu-1", &json!({}));
        plain.fleet("upgrade").expect(0);
        let before = plain.release(CANARY).expect("it is installed").0;

        plain.values("all", &json!({"text": "two"}));
        plain.values("neu-1", &json!({"refused": true}));
        plain.fleet("upgrade").expect(5).says("2 clusters rolled back");
        assert_eq!(plain.statuses(), ["rolled-back", "rolled-back"]);
        plain.agrees_with_helm();
        // The new revision and the one that went back to the old.
        assert_eq!(plain.release(CANARY), deployed(before + 2), "{helm}");
        for context in [CANARY, PROD] {
            assert_eq!(plain.text(context).as_deref(), Some("one"), "{helm}");
        }
        // What was rolled back is where it was, and known to be.
        plain.values("all", &json!({"text": "one"}));
        plain.values("neu-1", &json!({}));
        plain.fleet("upgrade").expect(0).says("nothing to do");
    }
}

#[test]
fn a_rollback_whose_revision_is_gone_calls_for_a_person() {
    let world = World::with_helm("helm4");
    let namespace = world.namespace("pruned");
    let mut plain = Plain::new(&world, &namespace);
    plain.fleet("upgrade").expect(0);
    plain.change(|fleet| {
        fleet["rollout"]["onFailure"] = json!({"strategy": "rollback-all"});
        fleet["helm"]["timeout"] = json!("6s");
    });
    plain.values("all", &json!({"text": "two"}));
    plain.values("neu-1", &json!({"hang": true}));
    let mut run = plain.start("upgrade");
    run.wait_for("neu-1: helm upgrade");
    let line = format!("kubectl --context {CANARY} -n {namespace} delete secret sh.helm.release.v1.plain.v1");
    world.run(&line).expect(0);
    run.end()
        .expect(6)
        .says("revision 1, which was recorded before the run, is no longer kept");
    assert_eq!(plain.statuses(), ["rollback-failed", "rolled-back"]);
    assert_eq!(plain.text(CANARY).as_deref(), Some("two"));
    plain.agrees_with_helm();
}

#[test]
fn a_gate_waits_for_its_approval_and_any_machine_goes_on() {
    let world = World::with_helm("helm3");
    let namespace = world.namespace("gate");
    let mut plain = Plain::new(&world, &namespace);
    plain.change(|fleet| {
        fleet["rollout"]["stages"][0]["gates"] = json!([{"bake": "1s"}, {"approval": true}]);
    });
    let waiting = plain.fleet("upgrade").expect(7);
    assert_eq!(plain.statuses(), ["installed", "not-started"]);
    assert_eq!(plain.release(PROD), None);
    let run = plain.report()["run"]["id"]
        .as_str()
        .expect("a run has an id")
        .to_owned();
    let command = format!("helm fleet resume {run} --approve canary");
    assert!(waiting.stderr.contains(&command), "{}", waiting.stderr);

    // Elsewhere nobody has the run file.
    let elsewhere = plain.elsewhere();
    plain.start_in(&elsewhere, "resume").end().expect(7);
    plain
        .start_in(&elsewhere, "resume --approve canary")
        .end()
        .expect(0);
    assert_eq!(plain.statuses(), ["unchanged", "installed"]);
    assert_eq!(plain.report()["run"]["id"], run);
    plain.agrees_with_helm();
    plain
        .start_in(&elsewhere, "resume")
        .end()
        .expect(8)
        .says("has come to its end");

    // What does not last through the bake stops the rollout.
    plain.change(|fleet| fleet["rollout"]["stages"][0]["gates"] = json!([{"bake": "8s"}]));
    plain.values("all", &json!({"text": "two"}));
    let mut run = plain.start("upgrade");
    run.wait_for("bake for");
    plain.upgrade_by_hand(CANARY, "");
    run.end()
        .expect(4)
        .says("since it was verified somebody made revision 3");
    assert_eq!(plain.statuses(), ["failed", "not-started"]);
    assert_eq!(plain.text(PROD).as_deref(), Some("one"));

    // A run goes on with what it set out to do only.
    plain.values("all", &json!({"text": "three"}));
    plain
        .fleet("resume")
        .expect(8)
        .says("chart or values have changed");
}

#[test]
fn a_signal_stops_helm_in_order_and_a_killed_helm_is_rolled_back() {
    for (helm, signal, code) in [("helm3", "-INT", 130), ("helm4", "-TERM", 143)] {
        let world = World::with_helm(helm);
        let mut plain = Plain::new(&world, &world.namespace("signals"));
        plain.fleet("upgrade").expect(0);

        let run = plain.start_hanging("weu-1", 2);
        run.signal(signal);
        run.end().expect(code).says("helm fleet resume");
        assert_eq!(plain.statuses(), ["interrupted", "not-started"]);
        assert_eq!(plain.release(CANARY), failed(2), "{helm}");
        assert_eq!(plain.release(PROD), deployed(1));
        plain.agrees_with_helm();

        // Nobody asked this one whether it was done.
        plain.change(|fleet| fleet["rollout"]["onFailure"] = json!({"strategy": "rollback-failed"}));
        let run = plain.start_hanging("weu-1", 3);
        run.kill_helm();
        run.end().expect(5).says("revision 3 is pending-upgrade");
        assert_eq!(plain.statuses(), ["rolled-back", "not-started"]);
        assert_eq!(plain.release(CANARY), deployed(4), "{helm}");
        assert_eq!(plain.text(CANARY).as_deref(), Some("one"));
        plain.agrees_with_helm();
    }
}

#[test]
fn an_unreachable_cluster_fails_is_left_out_or_tried_once_more() {
    let world = World::with_helm("helm3");
    let mut plain = Plain::new(&world, &world.namespace("away"));
    let fast = "upgrade --request-timeout 5s";
    let down = world.without_api(PROD);
    plain.fleet(fast).expect(8).says("neu-1");
    assert_eq!(plain.release(CANARY), None, "something was touched");
    plain.change(|fleet| fleet["rollout"]["unreachable"] = json!("skip"));
    plain.fleet(fast).expect(3).says("1 unreachable cluster left out");
    assert_eq!(plain.statuses(), ["installed", "unreachable"]);
    // Back before its turn comes, it is upgraded as if nothing had been.
    plain.values("all", &json!({"text": "two"}));
    plain.change(|fleet| {
        fleet["rollout"]["unreachable"] = json!("defer");
        fleet["rollout"]["stages"][0]["gates"] = json!([{"approval": true}]);
    });
    plain.fleet(fast).expect(7);
    assert_eq!(plain.text(CANARY).as_deref(), Some("two"));
    plain
        .fleet("resume --approve canary --request-timeout 5s")
        .expect(3);
    assert_eq!(plain.statuses(), ["unchanged", "unreachable"]);
    drop(down);
    plain.fleet("resume").expect(0);
    assert_eq!(plain.text(PROD).as_deref(), Some("two"));
    plain.agrees_with_helm();
}

#[test]
fn an_api_server_that_goes_away_under_helm_is_a_failure_of_its_cluster_alone() {
    let world = World::with_helm("helm4");
    let mut plain = Plain::new(&world, &world.namespace("lost"));
    plain.fleet("upgrade").expect(0);
    plain.change(|fleet| fleet["helm"]["timeout"] = json!("10s"));
    plain.values("all", &json!({"text": "two"}));
    plain.values("neu-1", &json!({"hang": true}));
    let mut run = plain.start("upgrade --request-timeout 5s");
    run.wait_for("neu-1: helm upgrade");
    let down = world.without_api(PROD);
    run.end().expect(4).says("is not known");
    drop(down);
    assert_eq!(plain.statuses(), ["upgraded", "failed"]);
    assert_eq!(plain.text(CANARY).as_deref(), Some("two"));
    assert_eq!(plain.text(PROD).as_deref(), Some("one"));
    // Back again, it is completed.
    plain.values("neu-1", &json!({}));
    plain.fleet("unlock --force").expect(0);
    plain.fleet("upgrade").expect(0);
    assert_eq!(plain.statuses(), ["unchanged", "upgraded"]);
    assert_eq!(plain.text(PROD).as_deref(), Some("two"));
    plain.agrees_with_helm();
}

#[test]
fn the_command_goes_back_behind_the_last_run() {
    let world = World::with_helm("helm3");
    let namespace = world.namespace("undo");
    let plain = Plain::new(&world, &namespace);
    plain.fleet("upgrade").expect(0);
    plain.fleet("rollback").expect(8).says("no earlier revision");
    plain.values("all", &json!({"text": "two"}));
    plain.fleet("upgrade").expect(0);
    plain
        .fleet("rollback --dry-run --detailed-exitcode")
        .expect(2)
        .says("roll back revision 2 to 1");
    plain.fleet("rollback").expect(0);
    assert_eq!(plain.statuses(), ["rolled-back", "rolled-back"]);
    plain.agrees_with_helm();
    // Repeated, it neither comes forward again nor goes further back.
    plain.fleet("rollback").expect(0).says("a rollback to 1");
    for context in [CANARY, PROD] {
        assert_eq!(plain.release(context), deployed(3));
        assert_eq!(plain.text(context).as_deref(), Some("one"));
    }
    // What one run did to one cluster is taken back there, and nowhere else.
    plain.values("all", &json!({"text": "three"}));
    plain.fleet("upgrade --cluster weu-1").expect(0);
    assert_eq!(plain.text(CANARY).as_deref(), Some("three"));
    plain.fleet("rollback").expect(0).says("changed nothing here");
    assert_eq!(plain.release(CANARY), deployed(5));
    assert_eq!(plain.text(CANARY).as_deref(), Some("one"));
    assert_eq!(plain.release(PROD), deployed(3));
    // One cluster whose revision is gone keeps none of the others, and nothing is touched before that is known.
    let line = format!("kubectl --context {PROD} -n {namespace} delete secret sh.helm.release.v1.plain.v2");
    world.run(&line).expect(0);
    plain
        .fleet("rollback --revision 2")
        .expect(8)
        .says("neu-1: revision 2 is not kept");
    assert_eq!(plain.release(CANARY), deployed(5));
    plain.fleet("rollback --revision 2 --cluster weu-1").expect(0);
    assert_eq!(plain.text(CANARY).as_deref(), Some("two"));
}

#[test]
fn a_person_at_a_terminal_approves_gates_and_stops_what_hangs() {
    let world = World::with_helm("helm4");
    let mut plain = Plain::new(&world, &world.namespace("terminal"));
    plain.change(|fleet| fleet["rollout"]["stages"][0]["gates"] = json!([{"approval": "after-canary"}]));
    let file = plain.folder().join("helm-fleet.yaml");
    // As a shell does it: the command is the foreground of its terminal.
    let line = format!(
        "setsid --ctty --wait helm fleet upgrade -f {} --yes",
        file.display()
    );
    let mut person = Terminal::run(&world, &line);
    person.wait_for("Approve gate after-canary?");
    person.press("y");
    person.end().expect(0);
    assert_eq!(plain.release(PROD), deployed(1));

    plain.values("all", &json!({"text": "two", "hang": true}));
    let mut person = Terminal::run(&world, &line);
    person.wait_for("helm upgrade");
    until("a revision that helm has begun", || {
        plain.release(CANARY) == pending(2)
    });
    person.press("\u{3}");
    person.end().expect(130);
    assert_eq!(plain.release(CANARY), failed(2));
    plain.agrees_with_helm();
}
