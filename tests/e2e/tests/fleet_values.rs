//! Values that somebody gave a release by hand: refused, kept through every later run, or dropped, as the user says.

use e2e::World;
use e2e::helm::values;
use e2e::plain::{CANARY, PROD, Plain, RELEASE};
use serde_json::json;
use std::fs;

/// What was set by hand; nothing may tell of it.
const BY_HAND: &str = "hand-made-canary";

fn revision(plain: &Plain<'_>) -> u64 {
    plain.release(CANARY).expect("it is installed").0
}

#[test]
fn values_set_by_hand_are_kept_until_they_are_dropped() {
    for helm in ["helm3", "helm4"] {
        let world = World::with_helm(helm);
        let namespace = world.namespace("values");
        let plain = Plain::new(&world, &namespace);
        let chart = plain.folder().join("chart");
        let fleet = |words: &str, code: i32| {
            let ended = plain.fleet(words).expect(code);
            let all = format!("{}{}", ended.stdout, ended.stderr);
            assert!(!all.contains(BY_HAND), "{helm}: {all}");
            ended
        };
        plain.values("all", &json!({"text": "one", "ours": {"gone": 1}}));
        fleet("upgrade", 0);
        plain.upgrade_by_hand(CANARY, &format!("--set ours.text={BY_HAND},x\\.y=1"));

        // What the fleet gave the release before is the fleet's to take away.
        plain.values("all", &json!({"text": "two"}));
        let refused = fleet("upgrade", 8).says("weu-1: revision 2 has values that the fleet does not have");
        let refused = refused
            .says("would drop: ours.text, x.y")
            .says("--on-value-loss keep");
        refused.says("--on-value-loss drop");
        assert_eq!(revision(&plain), 2, "{helm}");

        fleet("upgrade --on-value-loss keep", 0).says("values of the cluster that are kept: ours.text, x.y");
        let kept = json!({"text": "two", "ours": {"text": BY_HAND}, "x.y": 1});
        assert_eq!(values(&world, CANARY, &namespace, RELEASE), kept, "{helm}");
        assert_eq!(
            values(&world, PROD, &namespace, RELEASE),
            json!({"text": "two"}),
            "{helm}"
        );
        let report = plain.report();
        assert_eq!(report["targets"][0]["keptValues"], json!(["ours.text", "x.y"]));
        assert_eq!(report["targets"][1].get("keptValues"), None);
        assert!(!report.to_string().contains(BY_HAND));
        fleet("upgrade", 0).says("nothing to do");
        plain.read("status").expect(0).says("2 at target");

        let written = fs::read_to_string(chart.join("Chart.yaml")).expect("it can be read");
        let newer = written.replace("0.1.0", "0.2.0");
        fs::write(chart.join("Chart.yaml"), newer).expect("it can be written");
        fleet("upgrade", 0);
        assert_eq!(
            (revision(&plain), values(&world, CANARY, &namespace, RELEASE)),
            (4, kept.clone()),
            "{helm}"
        );
        // Helm copies what a revision tells of itself, so nobody has to say it again.
        plain.upgrade_by_hand(CANARY, &format!("--set text={BY_HAND}"));
        fleet("upgrade", 0);
        assert_eq!(
            (revision(&plain), values(&world, CANARY, &namespace, RELEASE)),
            (6, kept.clone()),
            "{helm}"
        );

        // The fleet's own wins, and is no loss.
        plain.values("all", &json!({"text": "two", "x.y": 2}));
        fleet("upgrade --on-value-loss drop", 0);
        let dropped = json!({"text": "two", "x.y": 2});
        assert_eq!(values(&world, CANARY, &namespace, RELEASE), dropped, "{helm}");
        fleet("upgrade", 0).says("nothing to do");

        // A revision that kept them still does when it comes back.
        plain.values("all", &json!({"text": "two"}));
        fleet("rollback", 0);
        assert_eq!(values(&world, CANARY, &namespace, RELEASE), kept, "{helm}");
        fleet("upgrade", 0).says("nothing to do");
        assert_eq!(
            (revision(&plain), values(&world, CANARY, &namespace, RELEASE)),
            (8, kept),
            "{helm}"
        );
    }
}
