//! What goes wrong under a rollout, on real clusters with a real helm: afterwards plain helm says what the report says,
//! the exit code is the one that is documented, and the next run completes what was left.

use e2e::World;
use e2e::plain::{Plain, Running};
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

const CANARY: &str = "aks-weu-1";
const PROD: &str = "aks-neu-1";

#[expect(clippy::unnecessary_wraps, reason = "it is compared with what helm says")]
fn deployed(revision: u64) -> Option<(u64, String)> {
    Some((revision, "deployed".to_owned()))
}

#[expect(clippy::unnecessary_wraps, reason = "it is compared with what helm says")]
fn pending(revision: u64) -> Option<(u64, String)> {
    Some((revision, "pending-upgrade".to_owned()))
}

/// An upgrade whose helm waits, on the cluster named, for what never comes.
fn hanging(plain: &Plain<'_>, cluster: &str, revision: u64) -> Running {
    plain.values("all", &json!({"text": "two"}));
    plain.values(cluster, &json!({"hang": true}));
    let mut run = plain.start("upgrade");
    run.wait_for(&format!("{cluster}: helm upgrade"));
    let context = format!("aks-{cluster}");
    until("a revision that helm has begun", || {
        plain.release(&context) == pending(revision)
    });
    run
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..600 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("it never came to {what}");
}

/// Sends a further signal. One that comes within 0.3 s of the one before is the same wish.
fn insist(run: &Running, signal: &str) {
    std::thread::sleep(Duration::from_millis(400));
    run.signal(signal);
}

#[test]
fn a_killed_helm_leaves_what_the_next_run_names_and_nobody_loses_values() {
    let world = World::with_helm("helm4");
    let namespace = world.namespace("helmless");
    let mut plain = Plain::new(&world, &namespace);
    plain.fleet("upgrade").expect(0);
    // Somebody has set a value by hand.
    let chart = plain.folder().join("chart");
    let line = format!(
        "helm --kube-context {PROD} -n {namespace} upgrade plain {} --reuse-values --set mine=kept",
        chart.display()
    );
    world.run(&line).expect(0);
    plain.values("all", &json!({"text": "two"}));
    plain.fleet("upgrade").expect(8).says("mine");
    assert_eq!(
        (plain.release(CANARY), plain.release(PROD)),
        (deployed(1), deployed(2))
    );
    plain.change(|fleet| fleet["helm"]["valuesPolicy"] = json!("reset-then-reuse"));

    let run = hanging(&plain, "neu-1", 3);
    run.kill_helm();
    run.end()
        .expect(4)
        .says("SIGKILL")
        .says("revision 3 is pending-upgrade");
    assert_eq!(plain.statuses(), ["upgraded", "failed"]);
    assert_eq!(
        (plain.release(CANARY), plain.release(PROD)),
        (deployed(2), pending(3))
    );
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
    let line = format!("helm --kube-context {PROD} -n {namespace} get values plain -o json");
    assert_eq!(
        world.run(&line).expect(0).json(),
        json!({"text": "two", "mine": "kept"})
    );
}

#[test]
fn a_run_that_was_killed_is_resumed_on_a_machine_that_knows_nothing_of_it() {
    let world = World::with_helm("helm4");
    let namespace = world.namespace("moved");
    let plain = Plain::new(&world, &namespace);
    plain.fleet("upgrade").expect(0);
    hanging(&plain, "neu-1", 2).kill_all().expect(128 + 9);
    assert_eq!(
        (plain.release(CANARY), plain.release(PROD)),
        (deployed(2), pending(2))
    );

    // Whoever looks at once is told to wait, and nothing is touched.
    plain.values("neu-1", &json!({}));
    let elsewhere = world.folder().join("elsewhere");
    fs::create_dir(&elsewhere).expect("a folder can be made");
    let resume = || plain.start_in(&elsewhere, "resume --recover-pending 0").end();
    resume().expect(8).says("is at work on it");
    // Hours later.
    let patch = json!({"spec": {"renewTime": "2020-01-01T00:00:00.000000Z"}}).to_string();
    for context in [CANARY, PROD] {
        let line = format!(
            "kubectl --context {context} -n {namespace} patch lease helm-fleet.plain --type merge -p"
        );
        let mut words: Vec<&str> = line.split(' ').collect();
        words.push(&patch);
        world.run_words(&words).expect(0);
    }
    resume().expect(0).says("was left pending by a dead run");
    assert_eq!(plain.statuses(), ["unchanged", "upgraded"]);
    assert_eq!(
        (plain.release(CANARY), plain.release(PROD)),
        (deployed(2), deployed(3))
    );
    assert_eq!(plain.text(PROD).as_deref(), Some("two"));
    plain.agrees_with_helm();
    // It is the run that was killed that has gone on.
    let run = plain.report()["run"]["id"]
        .as_str()
        .expect("a run has an id")
        .to_owned();
    let begun = plain.folder().join(format!(".helm-fleet/runs/{run}.ndjson"));
    assert!(begun.is_file(), "{} is not there", begun.display());
}

/// An API server that dies before its turn, and one that dies under helm; both come back.
fn restarts(world: &World) {
    let mut plain = Plain::new(world, &world.namespace("restarts"));
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
    assert_eq!(
        (plain.release(CANARY), plain.release(PROD)),
        (deployed(3), deployed(2))
    );
    plain.agrees_with_helm();
    // Its Lease could not be given back; it would die by itself.
    plain.fleet("unlock --force").expect(0);
    plain.fleet("resume").expect(0);
    assert_eq!(plain.release(PROD), deployed(3));

    // Killed under helm, which sees it through or fails; what it did is what is told.
    plain.change(|fleet| fleet["helm"]["timeout"] = json!("10s"));
    plain.change(|fleet| fleet["rollout"]["stages"][0]["gates"] = json!([]));
    let run = hanging(&plain, "neu-1", 4);
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

/// A helm that installs nothing, and does not come to an end unless it is asked to.
fn lazy_helm(world: &World) -> PathBuf {
    let path = world.folder().join("lazy-helm");
    let real = world.find("helm");
    let text = format!(
        "#!/bin/sh\n[ \"$1\" != upgrade ] || exec sleep 600\nexec {} \"$@\"\n",
        real.display()
    );
    fs::write(&path, text).expect("the folder can be written to");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
    path
}

#[test]
fn a_helm_that_hangs_is_stopped_by_its_deadline_while_other_runs_are_signalled_and_lose_api_servers() {
    // The deadline of a whole helm is a minute and more, in which all else is tried.
    let slow = World::with_helm("helm3");
    let mut late = Plain::new(&slow, &slow.namespace("late"));
    late.change(|fleet| {
        fleet["clusters"].as_array_mut().expect("it is a list").reverse();
        fleet["rollout"] = json!({"stages": [{"name": "all", "maxConcurrency": 1}]});
        fleet["helm"]["timeout"] = json!("1s");
    });
    late.fleet("upgrade").expect(0);
    late.values("all", &json!({"text": "two"}));
    let mut deadline = late.start(&format!("upgrade --helm-bin {}", lazy_helm(&slow).display()));
    deadline.wait_for("neu-1: helm upgrade");

    signals(&World::with_helm("helm4"));
    restarts(&World::with_helm("helm3"));

    deadline.end().expect(4).says("stopped after 64 s without an end");
    assert_eq!(late.statuses(), ["failed", "not-started"]);
    assert_eq!(
        (late.release(CANARY), late.release(PROD)),
        (deployed(1), deployed(1))
    );
    late.agrees_with_helm();
}

/// Signals in the phases of a run, as often as it takes.
fn signals(world: &World) {
    let mut plain = Plain::new(world, &world.namespace("insist"));
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
    assert_eq!(
        (plain.release(CANARY), plain.release(PROD)),
        (deployed(1), deployed(1))
    );

    // While a gate is open: what is done stays done, and is told.
    plain.change(|fleet| fleet["rollout"]["stages"][0]["gates"] = json!([{"bake": "10m"}]));
    let mut run = plain.start("upgrade");
    run.wait_for("bake for");
    run.signal("-INT");
    run.end().expect(130).says("helm fleet resume");
    assert_eq!(plain.statuses(), ["upgraded", "not-started"]);
    assert_eq!(
        (plain.release(CANARY), plain.release(PROD)),
        (deployed(2), deployed(1))
    );
    plain.agrees_with_helm();
    plain.change(|fleet| fleet["rollout"]["stages"][0]["gates"] = json!([]));
    plain.fleet("resume").expect(0);
    plain.agrees_with_helm();

    // A frozen helm does not see that it is asked to end. The second signal kills it.
    plain.values("all", &json!({"text": "three"}));
    let mut run = hanging(&plain, "weu-1", 3);
    run.signal_helm("-STOP");
    run.signal("-INT");
    run.wait_for("waiting for weu-1");
    insist(&run, "-INT");
    run.end()
        .expect(130)
        .says("killed before it could record its end")
        .says("revision 3 is pending-upgrade");
    assert_eq!(plain.statuses(), ["interrupted", "not-started"]);
    assert_eq!(
        (plain.release(CANARY), plain.release(PROD)),
        (pending(3), deployed(2))
    );
    plain.agrees_with_helm();
    plain.fleet("unlock").expect(0);

    // Where the API server hangs as well, the third one leaves all as it is.
    let mut run = hanging(&plain, "weu-1", 4);
    let hung = world.with_hung_api(CANARY);
    run.signal("-TERM");
    run.wait_for("waiting for weu-1");
    insist(&run, "-TERM");
    until("a dead helm", || !run.has_helm());
    insist(&run, "-INT");
    run.end().expect(143).says("look at it before it is resumed");
    drop(hung);
    assert_eq!(plain.statuses(), ["interrupted", "not-started"]);
    assert_eq!(
        (plain.release(CANARY), plain.release(PROD)),
        (pending(4), deployed(2))
    );
    plain.fleet("unlock --force").expect(0);
    plain.values("all", &json!({"text": "three"}));
    plain.values("weu-1", &json!({}));
    plain.fleet("upgrade").expect(0);
    assert_eq!(plain.statuses(), ["upgraded", "upgraded"]);
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
        let before = (plain.release(CANARY), plain.release(PROD));
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
            assert_eq!(
                (plain.release(CANARY), plain.release(PROD)),
                before,
                "something was touched"
            );
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
