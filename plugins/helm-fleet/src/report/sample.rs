//! One run as hand-made events, for the tests of everything that consumes events.

use super::*;
use crate::event::{Action, Event, EventKind, RunPlan, StagePlan, Step, TargetPlan, TargetResult};
use crate::fleet::{FailureStrategy, FirstInstall};
use crate::rollout::Change;
use kubectl_wi_verify::FindingCode;
use std::time::Duration;

/// A run of two stages in which `weu-1` is upgraded, `neu-1` fails and `neu-2` is never started.
pub(crate) fn events() -> Vec<Event> {
    let target = |cluster: &str, stage: &str| TargetPlan {
        cluster: cluster.to_owned(),
        context: format!("aks-{cluster}"),
        stage: stage.to_owned(),
        uid: String::new(),
        revision: Some(3),
        restore: Some(3),
        action: Action::Upgrade,
        reason: "the chart differs".to_owned(),
        inputs: "i".repeat(64),
        identity_changes: Vec::new(),
        kept_values: Vec::new(),
    };
    let stage = |name: &str, targets: &[&str]| StagePlan {
        name: name.to_owned(),
        max_concurrency: 1,
        max_failures: 0,
        max_per_label: std::collections::BTreeMap::new(),
        gates: Vec::new(),
        targets: targets.iter().map(ToString::to_string).collect(),
    };
    let plan = RunPlan {
        schema: API_VERSION,
        command: "upgrade",
        run: "20261121-1".to_owned(),
        release: "orders".to_owned(),
        namespace: "shop".to_owned(),
        chart: Chart {
            name: "orders".to_owned(),
            version: "0.1.0".to_owned(),
            app_version: None,
            digest: "d".repeat(64),
            path: std::path::PathBuf::new(),
        },
        helm: Some("4.2.4".to_owned()),
        principal: None,
        commit: None,
        pipeline_url: None,
        resumed: false,
        on_failure: FailureStrategy::Pause,
        first_install: FirstInstall::Keep,
        stages: vec![stage("canary", &["weu-1"]), stage("prod", &["neu-1", "neu-2"])],
        targets: vec![
            target("weu-1", "canary"),
            target("neu-1", "prod"),
            target("neu-2", "prod"),
        ],
    };
    let upgraded = TargetResult {
        status: TargetStatus::Upgraded,
        revision_before: Some(3),
        revision_after: Some(4),
        change: Change::Upgrade,
        checks: Vec::new(),
        findings: vec![Finding::new(
            FindingCode::SecretOk,
            Verdict::Pass,
            "kv-central/db-password",
            "read",
        )],
        failure: None,
        took: Duration::from_millis(8200),
    };
    let failed = TargetResult {
        status: TargetStatus::Failed,
        revision_after: Some(4),
        findings: Vec::new(),
        failure: Some(FailureReport {
            output: Some("Error: UPGRADE FAILED: timed out".to_owned()),
            evidence: vec!["pod orders-1: app: ErrImagePull".to_owned()],
            ..FailureReport::new(Step::Helm, "helm upgrade failed (exit status: 1)")
        }),
        ..upgraded.clone()
    };
    let started = |stage: &str, targets| EventKind::StageStarted {
        stage: stage.to_owned(),
        targets,
        max_concurrency: 1,
        max_failures: 0,
    };
    let begun = |cluster: &str, stage: &str| EventKind::TargetStarted {
        cluster: cluster.to_owned(),
        stage: stage.to_owned(),
        revision_before: Some(3),
        restore: Some(3),
    };
    let ended = |cluster: &str, stage: &str, result: TargetResult| EventKind::TargetFinished {
        cluster: cluster.to_owned(),
        stage: stage.to_owned(),
        result: Box::new(result),
    };
    let finished = |stage: &str, failures| EventKind::StageFinished {
        stage: stage.to_owned(),
        failures,
        max_failures: 0,
    };
    [
        EventKind::RunStarted(Box::new(plan)),
        EventKind::IdentityStarted {
            cluster: "weu-1".to_owned(),
            identity: "orders".to_owned(),
        },
        EventKind::IdentityFinished {
            cluster: "weu-1".to_owned(),
            result: identity("weu-1"),
        },
        started("canary", 1),
        begun("weu-1", "canary"),
        EventKind::TargetProgress {
            cluster: "weu-1".to_owned(),
            message: "helm upgrade".to_owned(),
        },
        ended("weu-1", "canary", upgraded),
        finished("canary", 0),
        started("prod", 2),
        begun("neu-1", "prod"),
        ended("neu-1", "prod", failed),
        finished("prod", 1),
        EventKind::TargetSkipped {
            cluster: "neu-2".to_owned(),
            stage: "prod".to_owned(),
            reason: "stage prod had more failures than it may".to_owned(),
        },
        EventKind::RunFinished {
            exit_code: 4,
            exit_name: "stopped",
            reason: "stage prod: 1 failure, 0 allowed".to_owned(),
        },
    ]
    .into_iter()
    .zip(1..)
    .map(|(kind, seq)| {
        let at = Timestamp::from_second(1_795_262_400 + i64::try_from(seq).unwrap_or_default()).unwrap();
        Event { seq, at, kind }
    })
    .collect()
}

/// The identity of a cluster, as it was set up.
pub(crate) fn identity(cluster: &str) -> IdentityResult {
    let vault = "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/kv-central";
    let outcome = serde_json::json!({
        "cluster": {"context": format!("aks-{cluster}"), "name": cluster, "issuer": "https://issuer.example/"},
        "namespace": "shop", "serviceAccount": "orders",
        "clientId": "11111111-0000-4000-8000-000000000001", "identityName": format!("id-{cluster}"),
        "secrets": [{"vault": "kv-central", "name": "db-password"}],
        "grants": [
            {"scope": format!("{vault}/secrets/db-password"), "role": "r", "roleName": "Key Vault Secrets User"},
            {"scope": "/subscriptions/s", "role": "r", "roleName": "Reader"},
        ],
        "changes": [{"object": "managed identity", "action": "create", "name": "id-weu-1", "requestId": "req-1"}],
    });
    IdentityResult {
        identity: "orders".to_owned(),
        client_id: Some("11111111-0000-4000-8000-000000000001".to_owned()),
        changed: 3,
        notes: vec!["a note".to_owned()],
        outcome,
    }
}

/// The report of [`events`].
pub(crate) fn report() -> FleetReport {
    let mut report = None;
    for event in events() {
        FleetReport::fold(&mut report, &event);
    }
    report.unwrap()
}
