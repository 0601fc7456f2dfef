//! Why a release did not become ready: the pods that are not, in their own words. Helm says only that it waited.

use crate::helm::redact::Redaction;
use aks_shared::cluster::Cluster;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::Api;
use kube::api::{ListParams, LogParams};
use std::time::Duration;

/// How many pods are told of; the rest fails for the same reasons.
const PODS: usize = 5;
/// How many lines of a log are kept.
const LOG_LINES: i64 = 5;
/// How long a line may be.
const LINE_LENGTH: usize = 400;
/// Bound on all of it: evidence must not hold up a rollout.
const DEADLINE: Duration = Duration::from_secs(20);
/// By which charts name their release.
const INSTANCE_LABEL: &str = "app.kubernetes.io/instance";

/// What the pods of a release say, redacted; nothing when they cannot be asked.
pub async fn of_release(
    cluster: &Cluster,
    namespace: &str,
    release: &str,
    redaction: &Redaction,
) -> Vec<String> {
    let pods = Api::<Pod>::namespaced(cluster.client.clone(), namespace);
    tokio::time::timeout(DEADLINE, collect(&pods, release, redaction))
        .await
        .unwrap_or_default()
}

async fn collect(pods: &Api<Pod>, release: &str, redaction: &Redaction) -> Vec<String> {
    let Ok(list) = pods.list(&ListParams::default()).await else {
        return Vec::new();
    };
    let mut lines = Vec::new();
    for pod in suspects(&list.items, release).into_iter().take(PODS) {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        lines.extend(
            sayings(pod)
                .into_iter()
                .map(|saying| format!("pod {name}: {saying}")),
        );
        let Some(container) = talkative(pod) else { continue };
        let parameters = LogParams {
            container: Some(container.to_owned()),
            tail_lines: Some(LOG_LINES),
            ..LogParams::default()
        };
        if let Ok(log) = pods.logs(name, &parameters).await {
            lines.extend(
                log.lines()
                    .map(|line| format!("pod {name}: {container}: log: {line}")),
            );
        }
    }
    let mut lines: Vec<String> = lines
        .into_iter()
        .map(|line| shorten(&redaction.apply(&line)))
        .collect();
    // What is withheld is said once.
    lines.dedup();
    lines
}

/// The pods that are not as they should be, of the release if its pods name it, else of the whole namespace.
fn suspects<'a>(pods: &'a [Pod], release: &str) -> Vec<&'a Pod> {
    let names_release = |pod: &&Pod| {
        pod.metadata
            .labels
            .as_ref()
            .and_then(|labels| labels.get(INSTANCE_LABEL))
            .is_some_and(|name| name == release)
    };
    let of_release: Vec<&Pod> = pods.iter().filter(names_release).collect();
    let candidates = if of_release.is_empty() {
        pods.iter().collect()
    } else {
        of_release
    };
    let mut suspects: Vec<&Pod> = candidates
        .into_iter()
        .filter(|pod| !sayings(pod).is_empty())
        .collect();
    // The newest first: it belongs to what was just deployed.
    suspects.sort_by_key(|pod| {
        std::cmp::Reverse(
            pod.metadata
                .creation_timestamp
                .as_ref()
                .map(|time| time.0.to_string()),
        )
    });
    suspects
}

/// What is wrong with a pod, as its status tells it.
fn sayings(pod: &Pod) -> Vec<String> {
    let Some(status) = &pod.status else {
        return Vec::new();
    };
    if status.phase.as_deref() == Some("Succeeded") {
        return Vec::new();
    }
    let unscheduled = status
        .conditions
        .iter()
        .flatten()
        .filter(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    let mut sayings: Vec<String> = unscheduled
        .map(|condition| {
            format!(
                "not scheduled: {}",
                condition.message.as_deref().unwrap_or("no reason given")
            )
        })
        .collect();
    let containers = status
        .init_container_statuses
        .iter()
        .chain(&status.container_statuses)
        .flatten();
    sayings.extend(
        containers.filter_map(|container| Some(format!("{}: {}", container.name, saying(container)?))),
    );
    sayings
}

fn saying(container: &ContainerStatus) -> Option<String> {
    let state = container.state.as_ref()?;
    let detail = |message: &Option<String>| {
        message
            .as_deref()
            .map(|text| format!(": {text}"))
            .unwrap_or_default()
    };
    if let Some(waiting) = &state.waiting {
        let reason = waiting.reason.as_deref().unwrap_or("waiting");
        return Some(format!("{reason}{}", detail(&waiting.message)));
    }
    if let Some(ended) = state.terminated.as_ref().filter(|ended| ended.exit_code != 0) {
        let reason = ended.reason.as_deref().unwrap_or("ended");
        return Some(format!(
            "{reason}, exit code {}{}",
            ended.exit_code,
            detail(&ended.message)
        ));
    }
    (state.running.is_some() && !container.ready).then(|| "running and not ready".to_owned())
}

/// The container whose log may tell more.
fn talkative(pod: &Pod) -> Option<&str> {
    let status = pod.status.as_ref()?;
    let started = |container: &&ContainerStatus| {
        let state = container.state.as_ref();
        let has_run = state.is_some_and(|state| state.running.is_some() || state.terminated.is_some());
        has_run || container.restart_count > 0
    };
    let containers = status
        .init_container_statuses
        .iter()
        .chain(&status.container_statuses)
        .flatten();
    containers
        .filter(|container| saying(container).is_some())
        .find(started)
        .map(|container| container.name.as_str())
}

fn shorten(line: &str) -> String {
    match line.char_indices().nth(LINE_LENGTH) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, instance: &str, container: &serde_json::Value) -> Pod {
        let status = json!({"phase": "Running", "containerStatuses": [container]});
        serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {INSTANCE_LABEL: instance}},
            "status": status,
        }))
        .unwrap()
    }

    fn container(ready: bool, state: &serde_json::Value) -> serde_json::Value {
        json!({"name": "app", "ready": ready, "restartCount": 0, "image": "", "imageID": "", "state": state})
    }

    #[test]
    fn a_pod_tells_what_keeps_it() {
        for (ready, state, expected) in [
            (
                false,
                json!({"waiting": {"reason": "ErrImagePull", "message": "no such host"}}),
                vec!["app: ErrImagePull: no such host"],
            ),
            (
                false,
                json!({"terminated": {"exitCode": 3, "reason": "Error"}}),
                vec!["app: Error, exit code 3"],
            ),
            (false, json!({"running": {}}), vec!["app: running and not ready"]),
            (true, json!({"running": {}}), vec![]),
            (false, json!({"terminated": {"exitCode": 0}}), vec![]),
        ] {
            assert_eq!(sayings(&pod("a", "orders", &container(ready, &state))), expected);
        }
    }

    #[test]
    fn only_pods_of_the_release_are_suspects_where_pods_name_it() {
        let broken = container(false, &json!({"waiting": {"reason": "CrashLoopBackOff"}}));
        let pods = [pod("ours", "orders", &broken), pod("theirs", "other", &broken)];
        let names = |release| -> Vec<_> {
            suspects(&pods, release)
                .into_iter()
                .filter_map(|pod| pod.metadata.name.as_deref())
                .collect()
        };
        assert_eq!(names("orders"), ["ours"]);
        assert_eq!(names("unnamed").len(), 2);
    }

    #[test]
    fn long_lines_are_cut_at_characters() {
        let line = "ä".repeat(LINE_LENGTH + 1);
        assert_eq!(shorten(&line).chars().count(), LINE_LENGTH + 1);
        assert_eq!(shorten("short"), "short");
    }
}
