use super::*;
use crate::fleet::amount::Amount;
use proptest::prelude::*;

fn cluster(name: &str, ring: &str) -> ClusterSpec {
    ClusterSpec {
        name: name.to_owned(),
        context: format!("aks-{name}"),
        labels: [("ring".to_owned(), ring.to_owned())].into(),
        ..ClusterSpec::default()
    }
}

fn stage(name: &str, selector: &str, max_concurrency: Amount) -> StageSpec {
    StageSpec {
        name: name.to_owned(),
        selector: selector.parse().unwrap(),
        max_concurrency,
        max_failures: Amount::Count(0),
        max_per_label: BTreeMap::new(),
        gates: Vec::new(),
    }
}

fn rollout(unmatched: Unmatched) -> RolloutSpec {
    RolloutSpec {
        unmatched,
        stages: vec![
            stage("canary", "ring=0", Amount::Count(1)),
            stage("prod", "ring in (1,2)", Amount::Percent(50)),
        ],
        ..RolloutSpec::default()
    }
}

#[test]
fn without_stages_all_clusters_go_at_once() {
    let clusters = [cluster("a", "0"), cluster("b", "1")];
    let stages = stages(&clusters, None).unwrap();
    assert_eq!(stages.len(), 1);
    assert_eq!(
        (stages[0].max_concurrency, stages[0].targets.as_slice()),
        (2, [0, 1].as_slice())
    );
}

#[test]
fn all_clusters_outside_exactly_one_stage_are_listed() {
    let clusters = [cluster("a", "0"), cluster("b", "7"), cluster("c", "8")];
    let Err(TargetError::Stages { offenders }) = stages(&clusters, Some(&rollout(Unmatched::Error))) else {
        panic!("they were accepted")
    };
    assert_eq!(offenders, ["b: in no stage", "c: in no stage"]);
    let mut twice = rollout(Unmatched::Error);
    twice.stages[1].selector = Selector::default();
    let Err(TargetError::Stages { offenders }) = stages(&clusters, Some(&twice)) else {
        panic!("they were accepted")
    };
    assert_eq!(offenders, ["a: in canary and prod"]);
}

#[test]
fn a_selection_keeps_the_stages_and_must_leave_something() {
    let clusters = vec![cluster("a", "0"), cluster("b", "1"), cluster("c", "2")];
    let selection = Selection {
        clusters: vec!["[bc]".into()],
        ..Selection::default()
    };
    assert!(matches!(
        select(clusters.clone(), Some(&rollout(Unmatched::Error)), &selection),
        Err(TargetError::EmptySelection { .. })
    ));
    let selection = Selection {
        selector: "ring!=0".parse().unwrap(),
        ..Selection::default()
    };
    let (left, stages) = select(clusters, Some(&rollout(Unmatched::Error)), &selection).unwrap();
    assert_eq!(left.len(), 2);
    assert_eq!(
        stages.iter().map(|stage| stage.targets.len()).collect::<Vec<_>>(),
        [0, 2]
    );
}

proptest! {
    #[test]
    fn every_cluster_is_in_exactly_one_stage(rings in proptest::collection::vec(0_u8..5, 1..40)) {
        let clusters: Vec<ClusterSpec> = rings
            .iter()
            .enumerate()
            .map(|(index, ring)| cluster(&format!("c{index}"), &ring.to_string()))
            .collect();
        let stages = stages(&clusters, Some(&rollout(Unmatched::Last))).unwrap();
        let mut seen: Vec<usize> = stages.iter().flat_map(|stage| stage.targets.clone()).collect();
        seen.sort_unstable();
        prop_assert_eq!(seen, (0..clusters.len()).collect::<Vec<_>>());
        for stage in &stages {
            prop_assert!(stage.max_concurrency >= 1);
            prop_assert!(stage.max_failures <= stage.targets.len());
        }
    }
}
