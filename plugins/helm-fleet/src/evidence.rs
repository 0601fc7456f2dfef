//! Why a release did not become ready: the pods that are not, in their own words. Helm says only that it waited.

use crate::helm::redact::Redaction;
use aks_shared::cluster::Cluster;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Event, Pod};
use kube::Api;
use kube::api::{ListParams, LogParams};
use std::time::Duration;

/// How many pods are told of; the rest fails for the same reasons.
const PODS: usize = 5;
/// How many events are told of, the newest ones.
const EVENTS: usize = 5;
/// How many lines of a log are kept.
const LOG_LINES: i64 = 5;
/// How long a line may be: an SDK's refused sign-in names its code after some 600 characters.
const LINE_LENGTH: usize = 1000;
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
    let events = Api::<Event>::namespaced(cluster.client.clone(), namespace);
    tokio::time::timeout(DEADLINE, collect(&pods, &events, release, redaction))
        .await
        .unwrap_or_default()
}

async fn collect(pods: &Api<Pod>, events: &Api<Event>, release: &str, redaction: &Redaction) -> Vec<String> {
    let (all, warnings) = (
        ListParams::default(),
        ListParams::default().fields("type=Warning"),
    );
    let (list, warnings) = futures::join!(pods.list(&all), events.list(&warnings));
    // Who may not read the one may still read the other.
    let list = list.map_or_else(|_| Vec::new(), |list| list.items);
    let warnings = warnings.map_or_else(|_| Vec::new(), |list| list.items);
    let mut lines = Vec::new();
    for pod in suspects(&list, release).into_iter().take(PODS) {
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
    lines.extend(warnings_of(&warnings, release));
    let mut lines: Vec<String> = lines
        .into_iter()
        .map(|line| shorten(&redaction.apply(&line)))
        .collect();
    // What is withheld is said once.
    lines.dedup();
    lines
}

/// The newest warnings, each message once: about objects that are named after the release if there are any, else about
/// all of the namespace. Where no pod was made at all, these alone tell why.
fn warnings_of(events: &[Event], release: &str) -> Vec<String> {
    let is_named = |event: &&Event| {
        let name = event.involved_object.name.as_deref();
        name.is_some_and(|name| name.contains(release))
    };
    let mut candidates: Vec<&Event> = events.iter().filter(is_named).collect();
    if candidates.is_empty() {
        candidates = events.iter().collect();
    }
    candidates.sort_by_key(|event| std::cmp::Reverse(time_of(event)));
    let mut told = Vec::new();
    for event in candidates {
        let text = |text: &Option<String>| text.as_deref().unwrap_or_default().trim().to_owned();
        let object = &event.involved_object;
        let line = format!(
            "event {} {}: {}: {}",
            text(&object.kind).to_lowercase(),
            text(&object.name),
            text(&event.reason),
            text(&event.message)
        );
        if !told.contains(&line) {
            told.push(line);
        }
    }
    told.truncate(EVENTS);
    told
}

/// When an event happened last, comparable as text.
fn time_of(event: &Event) -> Option<String> {
    let seen = event.last_timestamp.as_ref().map(|time| time.0.to_string());
    seen.or_else(|| event.event_time.as_ref().map(|time| time.0.to_string()))
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
        let last = container
            .last_state
            .as_ref()
            .and_then(|state| state.terminated.as_ref());
        let last = last.map(|ended| format!("; before that {}", ending(ended)));
        return Some(format!(
            "{reason}{}{}",
            detail(&waiting.message),
            last.unwrap_or_default()
        ));
    }
    if let Some(ended) = state.terminated.as_ref().filter(|ended| ended.exit_code != 0) {
        return Some(format!("{}{}", ending(ended), detail(&ended.message)));
    }
    (state.running.is_some() && !container.ready).then(|| "running and not ready".to_owned())
}

fn ending(ended: &ContainerStateTerminated) -> String {
    let reason = ended.reason.as_deref().unwrap_or("ended");
    format!("{reason}, exit code {}", ended.exit_code)
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
    fn a_container_that_starts_again_and_again_tells_how_it_ended() {
        let mut crashing = container(false, &json!({"waiting": {"reason": "CrashLoopBackOff"}}));
        crashing["lastState"] = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
        assert_eq!(
            sayings(&pod("a", "orders", &crashing)),
            ["app: CrashLoopBackOff; before that OOMKilled, exit code 137"]
        );
    }

    #[test]
    fn warnings_are_told_once_the_newest_first() {
        let event = |object: &str, at: &str, message: &str| -> Event {
            serde_json::from_value(json!({
                "metadata": {}, "type": "Warning", "reason": "FailedCreate", "message": message,
                "involvedObject": {"kind": "ReplicaSet", "name": object}, "lastTimestamp": at,
            }))
            .unwrap()
        };
        let events = [
            event("orders-7d", "2026-11-21T15:00:01Z", "quota"),
            event("orders-7d", "2026-11-21T15:00:03Z", "refused"),
            event("orders-7d", "2026-11-21T15:00:02Z", "quota"),
            event("other-1", "2026-11-21T15:00:04Z", "theirs"),
        ];
        assert_eq!(
            warnings_of(&events, "orders"),
            [
                "event replicaset orders-7d: FailedCreate: refused",
                "event replicaset orders-7d: FailedCreate: quota",
            ]
        );
        assert_eq!(warnings_of(&events, "unnamed").len(), 3);
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
