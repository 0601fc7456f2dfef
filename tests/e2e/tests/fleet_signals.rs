//! Runs and helms that are asked to end, and those that do not hear it: what they did is told and known, and the next run
//! goes on.

use e2e::helm::{deployed, pending};
use e2e::plain::{CANARY, PROD, Plain};
use e2e::{World, script, until};
use serde_json::json;
use std::path::PathBuf;

/// A helm that installs nothing, and does not come to an end unless it is asked to.
fn lazy_helm(world: &World) -> PathBuf {
    let path = world.folder().join("lazy-helm");
    let real = world.find("helm");
    let text = format!(
        "[ \"$1\" != upgrade ] || exec sleep 600\nexec {} \"$@\"",
        real.display()
    );
    script(&path, &text);
    path
}

#[test]
fn a_helm_that_hangs_is_stopped_at_its_deadline_and_killed_if_it_does_not_hear_that() {
    // A frozen helm has all of its time, in which the others are looked at.
    let worlds = ["helm3", "helm4"].map(World::with_helm);
    let frozen = [(&worlds[0], "frozen-3"), (&worlds[1], "frozen-4")].map(|(world, purpose)| {
        let mut plain = Plain::new(world, &world.namespace(purpose));
        plain.fleet("upgrade").expect(0);
        plain.change(|fleet| fleet["helm"]["deadline"] = json!("10s"));
        let run = plain.start_hanging("neu-1", 2);
        run.signal_helm("-STOP");
        (plain, run)
    });

    let world = World::with_helm("helm3");
    let mut late = Plain::new(&world, &world.namespace("late"));
    late.change(|fleet| {
        fleet["clusters"].as_array_mut().expect("it is a list").reverse();
        fleet["rollout"] = json!({"stages": [{"name": "all", "maxConcurrency": 1}]});
    });
    late.fleet("upgrade").expect(0);
    late.change(|fleet| fleet["helm"]["deadline"] = json!("2s"));
    late.values("all", &json!({"text": "two"}));
    late.fleet(&format!("upgrade --helm-bin {}", lazy_helm(&world).display()))
        .expect(4)
        .says("stopped after 2 s without an end");
    assert_eq!(late.statuses(), ["failed", "not-started"]);
    assert_eq!(late.releases(), (deployed(1), deployed(1)));
    late.agrees_with_helm();
    late.change(|fleet| fleet["helm"]["deadline"] = json!("2m"));
    late.fleet("resume").expect(0);
    assert_eq!(late.releases(), (deployed(2), deployed(2)));

    for (plain, run) in frozen {
        run.end()
            .expect(4)
            .says("killed after 10 s without an end")
            .says("revision 2 is pending-upgrade");
        assert_eq!(plain.statuses(), ["upgraded", "failed"]);
        assert_eq!(plain.releases(), (deployed(2), pending(2)));
        plain.agrees_with_helm();
        plain.values("neu-1", &json!({}));
        plain.fleet("unlock").expect(0);
        plain.fleet("upgrade").expect(0);
        assert_eq!(plain.statuses(), ["unchanged", "upgraded"]);
        assert_eq!(plain.text(PROD).as_deref(), Some("two"));
        plain.agrees_with_helm();
    }
}

#[test]
fn one_signal_ends_a_run_in_any_of_its_phases() {
    let world = World::with_helm("helm4");
    let mut plain = Plain::new(&world, &world.namespace("once"));
    plain.fleet("upgrade").expect(0);

    // While it looks: nothing was touched, and nothing is left.
    plain.values("all", &json!({"text": "two"}));
    let hung = world.with_hung_api(CANARY);
    let mut run = plain.start("upgrade");
    run.wait_for("preflight of 2 clusters");
    run.signal("-TERM");
    run.end()
        .expect(143)
        .says("interrupted before anything was touched");
    drop(hung);
    assert_eq!(plain.releases(), (deployed(1), deployed(1)));

    // While a gate is open: what is done stays done, and is told.
    plain.change(|fleet| fleet["rollout"]["stages"][0]["gates"] = json!([{"bake": "10m"}]));
    let mut run = plain.start("upgrade");
    run.wait_for("bake for");
    run.signal("-INT");
    run.end().expect(130).says("helm fleet resume");
    assert_eq!(plain.statuses(), ["upgraded", "not-started"]);
    assert_eq!(plain.releases(), (deployed(2), deployed(1)));
    plain.agrees_with_helm();
    plain.change(|fleet| fleet["rollout"]["stages"][0]["gates"] = json!([]));
    plain.fleet("resume").expect(0);
    plain.agrees_with_helm();

    // A rollback that has begun comes to its end.
    plain.change(|fleet| fleet["rollout"]["onFailure"] = json!({"strategy": "rollback-all"}));
    let before = (plain.text(CANARY), plain.text(PROD));
    plain.values("all", &json!({"text": "four"}));
    plain.values("neu-1", &json!({"refused": true}));
    let mut run = plain.start("upgrade");
    run.wait_for("neu-1: helm rollback");
    run.signal("-INT");
    run.end().expect(130);
    plain.agrees_with_helm();
    assert_eq!(plain.statuses()[1], "rolled-back");
    assert_eq!(plain.text(PROD), before.1);
    plain.fleet("resume").expect(5);
    assert_eq!((plain.text(CANARY), plain.text(PROD)), before);
    plain.agrees_with_helm();
}

#[test]
fn who_insists_is_heard_by_a_helm_that_is_not_and_by_a_cluster_that_is_not() {
    let (int, term) = (("-INT", 130), ("-TERM", 143));
    for (helm, (one, code_of_one), (other, code_of_other)) in [("helm3", term, int), ("helm4", int, term)] {
        let world = World::with_helm(helm);
        let plain = Plain::new(&world, &world.namespace("insist"));
        plain.fleet("upgrade").expect(0);

        // A frozen helm does not see that it is asked to end. The second signal kills it.
        let mut run = plain.start_hanging("weu-1", 2);
        run.signal_helm("-STOP");
        run.signal(one);
        run.wait_for("waiting for weu-1");
        run.insist(one);
        run.end()
            .expect(code_of_one)
            .says("killed before it could record its end")
            .says("revision 2 is pending-upgrade");
        assert_eq!(plain.statuses(), ["interrupted", "not-started"]);
        assert_eq!(plain.releases(), (pending(2), deployed(1)));
        plain.agrees_with_helm();
        plain.fleet("unlock").expect(0);

        // Where the API server hangs as well, the third one leaves all as it is.
        let mut run = plain.start_hanging("weu-1", 3);
        let hung = world.with_hung_api(CANARY);
        run.signal(other);
        run.wait_for("waiting for weu-1");
        run.insist(other);
        until("a dead helm", || run.helms().is_empty());
        run.insist(one);
        run.end()
            .expect(code_of_other)
            .says("look at it before it is resumed");
        drop(hung);
        assert_eq!(plain.statuses(), ["interrupted", "not-started"]);
        assert_eq!(plain.releases(), (pending(3), deployed(1)));
        plain.fleet("unlock --force").expect(0);
        plain.values("weu-1", &json!({}));
        plain.fleet("upgrade").expect(0);
        assert_eq!(plain.statuses(), ["upgraded", "upgraded"]);
        plain.agrees_with_helm();
    }
}
