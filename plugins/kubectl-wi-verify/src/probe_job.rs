//! The probe as a Job: created, watched until its pod has spoken, and deleted on every path. Its own deadline and
//! TTL end it should this process die.

use crate::facts::injection::{CONTAINER, PodShape, labels, lacks_right, pod_template};
use aks_shared::cluster::Cluster;
use aks_shared::interrupt::Interrupt;
use aks_shared::labels::FIELD_MANAGER;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Event, Pod};
use kube::Api;
use kube::api::{DeleteParams, ListParams, LogParams, PostParams};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;
use wi_probe::record::INPUT_VARIABLE;
use wi_probe::{ProbeInput, ProbeRecord};

/// How often the pod is looked at.
const PAUSE: Duration = Duration::from_millis(500);
/// How long a finished probe stays should nobody delete it.
const TTL_SECONDS: u32 = 120;
/// How much later than this process the cluster itself gives the probe up.
const GRACE_SECONDS: u64 = 30;
/// Bound on the clean-up.
const DELETE_TIMEOUT: Duration = Duration::from_secs(15);

/// The probe in a pod gave no record.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The caller may not create Jobs.
    #[error("you may not create jobs in namespace {namespace}")]
    NotAllowed {
        /// The namespace.
        namespace: String,
    },
    /// The Job could not be created or looked at.
    #[error("cannot {action} the probe: {why}")]
    Request {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        why: String,
    },
    /// The Job's pod is refused.
    #[error("its pod is refused: {message}")]
    PodRefused {
        /// The message of the cluster's event.
        message: String,
    },
    /// The container cannot start.
    #[error("its container cannot start: {reason}: {message}")]
    CannotStart {
        /// The kubelet's reason.
        reason: String,
        /// The kubelet's message.
        message: String,
    },
    /// It ended without a record.
    #[error("it ended without a record ({reason}, exit code {code}): {output}")]
    NoRecord {
        /// The kubelet's reason.
        reason: String,
        /// The exit code.
        code: i32,
        /// The last line of its output.
        output: String,
    },
    /// It took too long.
    #[error("it did not end within {seconds} s; last seen: {state}")]
    TimedOut {
        /// The bound.
        seconds: u64,
        /// What its pod was doing.
        state: String,
    },
    /// The command was asked to stop.
    #[error("interrupted")]
    Interrupted {
        /// The Job that could not be deleted.
        left: Option<String>,
    },
}

/// What to run.
#[derive(Debug, Clone)]
pub struct ProbeJob<'a> {
    /// Its pod.
    pub pod: PodShape<'a>,
    /// What it is to try.
    pub input: &'a ProbeInput,
    /// Bound on all of it, scheduling and image pull included.
    pub timeout: Duration,
}

/// Runs the probe and answers its record. Whatever happens, the Job is deleted before this returns.
pub async fn run(
    cluster: &Cluster,
    probe: &ProbeJob<'_>,
    interrupt: &Interrupt,
    say: &(dyn Fn(&str) + Sync),
) -> Result<ProbeRecord, ProbeError> {
    let name = format!("wi-probe-{}", &uuid::Uuid::new_v4().simple().to_string()[..10]);
    let jobs = Api::<Job>::namespaced(cluster.client.clone(), &probe.pod.account.namespace);
    let result = tokio::select! {
        result = create_and_wait(cluster, &jobs, &name, probe, say) => Some(result),
        () = interrupt.cancelled() => None,
    };
    // An answer may have got lost on the way, so even a failed creation may have left a Job.
    let is_gone =
        matches!(result, Some(Err(ProbeError::NotAllowed { .. }))) || is_deleted(&jobs, &name).await;
    if !is_gone {
        say(&format!(
            "the probe {name} could not be deleted; it goes by itself {TTL_SECONDS} s after its end"
        ));
    }
    result.unwrap_or_else(|| {
        Err(ProbeError::Interrupted {
            left: (!is_gone).then_some(name),
        })
    })
}

async fn is_deleted(jobs: &Api<Job>, name: &str) -> bool {
    match tokio::time::timeout(DELETE_TIMEOUT, jobs.delete(name, &DeleteParams::background())).await {
        Ok(Ok(_)) => true,
        Ok(Err(kube::Error::Api(status))) => status.is_not_found(),
        Ok(Err(_)) | Err(_) => false,
    }
}

async fn create_and_wait(
    cluster: &Cluster,
    jobs: &Api<Job>,
    name: &str,
    probe: &ProbeJob<'_>,
    say: &(dyn Fn(&str) + Sync),
) -> Result<ProbeRecord, ProbeError> {
    let job = job(name, probe)?;
    let options = PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    match jobs.create(&options, &job).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.is_forbidden() && lacks_right(&status.message) => {
            return Err(ProbeError::NotAllowed {
                namespace: probe.pod.account.namespace.clone(),
            });
        }
        Err(error) => return Err(request("create", &error)),
    }
    say(&format!("probe {name} created"));
    let deadline = Instant::now() + probe.timeout;
    let mut state = String::from("no pod yet");
    loop {
        match observe(cluster, name, probe).await? {
            Seen::Record(record) => return Ok(*record),
            Seen::State(next) if next != state => {
                say(&format!("probe {name}: {next}"));
                state = next;
            }
            Seen::State(_) => {}
        }
        if Instant::now() >= deadline {
            return Err(ProbeError::TimedOut {
                seconds: probe.timeout.as_secs(),
                state,
            });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

enum Seen {
    Record(Box<ProbeRecord>),
    State(String),
}

async fn observe(cluster: &Cluster, name: &str, probe: &ProbeJob<'_>) -> Result<Seen, ProbeError> {
    let pods = Api::<Pod>::namespaced(cluster.client.clone(), &probe.pod.account.namespace);
    let options = ListParams::default().labels(&format!("job-name={name}"));
    let found = match pods.list(&options).await {
        Ok(found) => found,
        Err(error) => return no_answer(&error),
    };
    let Some(pod) = found.items.into_iter().next() else {
        return match refusal(cluster, name, probe).await {
            Some(message) => Err(ProbeError::PodRefused { message }),
            None => Ok(Seen::State("no pod yet".to_owned())),
        };
    };
    let status = pod.status.clone().unwrap_or_default();
    let container = status
        .container_statuses
        .iter()
        .flatten()
        .find(|container| container.name == CONTAINER);
    if let Some(terminated) = container.and_then(|container| container.state.as_ref()?.terminated.as_ref()) {
        let pod_name = pod.metadata.name.unwrap_or_default();
        return record(&pods, &pod_name, terminated).await;
    }
    if let Some(failure) = container.and_then(cannot_start) {
        return Err(failure);
    }
    let unschedulable = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")
        .and_then(|condition| condition.message.clone());
    Ok(Seen::State(match unschedulable {
        Some(why) => format!("not scheduled: {why}"),
        None => container
            .and_then(waiting_reason)
            .unwrap_or_else(|| status.phase.unwrap_or_default()),
    }))
}

/// The record, from the termination message, else from the log.
async fn record(
    pods: &Api<Pod>,
    pod: &str,
    terminated: &ContainerStateTerminated,
) -> Result<Seen, ProbeError> {
    let message = terminated.message.as_deref().unwrap_or_default();
    if let Some(record) = ProbeRecord::find(message) {
        return Ok(Seen::Record(Box::new(record)));
    }
    let options = LogParams {
        container: Some(CONTAINER.to_owned()),
        ..LogParams::default()
    };
    let log = match pods.logs(pod, &options).await {
        Ok(log) => log,
        // A log that is gone, or not ours to read, holds no record.
        Err(kube::Error::Api(status)) if matches!(status.code, 400 | 403 | 404) => String::new(),
        Err(error) => return no_answer(&error),
    };
    let found = ProbeRecord::find(&log).map(|record| Seen::Record(Box::new(record)));
    found.ok_or_else(|| {
        let output = log
            .lines()
            .chain(message.lines())
            .rfind(|line| !line.trim().is_empty());
        ProbeError::NoRecord {
            reason: terminated.reason.clone().unwrap_or_default(),
            code: terminated.exit_code,
            output: output.unwrap_or("no output").chars().take(300).collect(),
        }
    })
}

fn waiting_reason(container: &ContainerStatus) -> Option<String> {
    container.state.as_ref()?.waiting.as_ref()?.reason.clone()
}

/// Whether a container waits for something that will not come by itself. A first failed pull may pass; a kubelet
/// that backs off has tried more than once.
fn cannot_start(container: &ContainerStatus) -> Option<ProbeError> {
    const FINAL: [&str; 6] = [
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "InvalidImageName",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
    ];
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting
        .reason
        .clone()
        .filter(|reason| FINAL.contains(&reason.as_str()))?;
    Some(ProbeError::CannotStart {
        reason,
        message: waiting.message.clone().unwrap_or_default(),
    })
}

/// Why the Job has no pod, from the Job controller's event. Without the right to read events nothing is known.
async fn refusal(cluster: &Cluster, name: &str, probe: &ProbeJob<'_>) -> Option<String> {
    let events = Api::<Event>::namespaced(cluster.client.clone(), &probe.pod.account.namespace);
    let options = ListParams::default().fields(&format!("involvedObject.name={name},reason=FailedCreate"));
    events
        .list(&options)
        .await
        .ok()?
        .items
        .into_iter()
        .find_map(|event| event.message)
}

fn job(name: &str, probe: &ProbeJob<'_>) -> Result<Job, ProbeError> {
    let unwritable = |error: serde_json::Error| ProbeError::Request {
        action: "write",
        why: error.to_string(),
    };
    let input = serde_json::to_string(probe.input).map_err(unwritable)?;
    let environment = json!([{"name": INPUT_VARIABLE, "value": input}]);
    let object: Value = json!({
        "metadata": {"name": name, "namespace": probe.pod.account.namespace, "labels": labels()},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": probe.timeout.as_secs() + GRACE_SECONDS,
            "ttlSecondsAfterFinished": TTL_SECONDS,
            "template": pod_template(&probe.pod, &environment),
        },
    });
    serde_json::from_value(object).map_err(unwritable)
}

/// What a question without an answer means. A connection may get lost and an API server may restart while the probe goes
/// on; a refusal of the caller stays.
fn no_answer(error: &kube::Error) -> Result<Seen, ProbeError> {
    match error {
        kube::Error::Api(status) if matches!(status.code, 401 | 403) => Err(request("watch", error)),
        _ => Ok(Seen::State(format!(
            "the cluster does not answer: {}",
            crate::facts::one_line(error)
        ))),
    }
}

fn request(action: &'static str, error: &kube::Error) -> ProbeError {
    ProbeError::Request {
        action,
        why: crate::facts::one_line(error),
    }
}

#[cfg(test)]
mod tests;
