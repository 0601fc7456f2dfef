//! The Job itself, and the wait for its pod against an API server that answers by a script.

use super::*;
use aks_shared::identity::ServiceAccountRef;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn account() -> ServiceAccountRef {
    ServiceAccountRef::new("shop", "orders").unwrap()
}

/// A probe of a minute at most.
fn probe<'a>(account: &'a ServiceAccountRef, input: &'a ProbeInput) -> ProbeJob<'a> {
    ProbeJob {
        pod: PodShape {
            account,
            image: "image",
            pull_secrets: &[],
            placement: None,
        },
        input,
        timeout: Duration::from_mins(1),
    }
}

#[test]
fn the_job_ends_by_itself() {
    let (account, input) = (account(), ProbeInput::new("scope"));
    let spec = job("wi-probe-x", &probe(&account, &input)).unwrap().spec.unwrap();
    assert_eq!(spec.backoff_limit, Some(0));
    assert_eq!(spec.active_deadline_seconds, Some(90));
    assert!(spec.ttl_seconds_after_finished.is_some());
    let pod = spec.template.spec.unwrap();
    assert_eq!(pod.service_account_name.as_deref(), Some("orders"));
    let variable = &pod.containers[0].env.as_ref().unwrap()[0];
    assert_eq!(
        serde_json::from_str::<ProbeInput>(variable.value.as_ref().unwrap()).unwrap(),
        input
    );
}

#[test]
fn an_image_that_cannot_be_pulled_is_final_after_the_first_try() {
    let waiting = |reason: &str| -> ContainerStatus {
        serde_json::from_value(json!({
            "name": CONTAINER, "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": reason, "message": "why"}},
        }))
        .unwrap()
    };
    assert!(cannot_start(&waiting("ErrImagePull")).is_none());
    assert!(cannot_start(&waiting("ImagePullBackOff")).is_some());
}

/// What the scripted API server does with a request.
enum Reply {
    Answer(u16, Value),
    CloseTheConnection,
}

/// A cluster whose API server gives these replies in order, and the request lines that it got.
async fn cluster(replies: Vec<Reply>) -> (Cluster, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let requests = Arc::clone(&seen);
    tokio::spawn(async move {
        for reply in replies {
            let (mut stream, _) = listener.accept().await.unwrap();
            let line = request_line(&mut stream).await;
            requests.lock().unwrap().push(line);
            if let Reply::Answer(status, body) = reply {
                let body = body.to_string();
                let head = format!(
                    "HTTP/1.1 {status} -\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                stream
                    .write_all(format!("{head}{body}").as_bytes())
                    .await
                    .unwrap();
            }
        }
    });
    let client = kube::Client::try_from(kube::Config::new(server.parse().unwrap())).unwrap();
    let cluster = Cluster {
        context: "c".to_owned(),
        server: server.parse().unwrap(),
        client,
        namespace: "default".to_owned(),
    };
    (cluster, seen)
}

/// Reads one request to its end and answers its method and path.
async fn request_line(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    loop {
        let mut part = [0; 4096];
        let length = stream.read(&mut part).await.unwrap();
        text.push_str(&String::from_utf8_lossy(&part[..length]));
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let announced = head.lines().find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix("content-length: ")?
                .parse()
                .ok()
        });
        if body.len() >= announced.unwrap_or(0) {
            let line = head.lines().next().unwrap_or_default();
            return line.split(['?', ' ']).take(2).collect::<Vec<_>>().join(" ");
        }
    }
}

fn failure(code: u16, reason: &str) -> Reply {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": reason, "reason": reason, "code": code,
    });
    Reply::Answer(code, status)
}

fn created() -> Reply {
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "wi-probe-x"}});
    Reply::Answer(201, job)
}

fn deleted() -> Reply {
    Reply::Answer(
        200,
        json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}),
    )
}

async fn try_it(replies: Vec<Reply>) -> (Result<ProbeRecord, ProbeError>, Vec<String>) {
    let (cluster, seen) = cluster(replies).await;
    let (account, input) = (account(), ProbeInput::new("scope"));
    let result = run(&cluster, &probe(&account, &input), &Interrupt::new(), &|_| ()).await;
    let seen = seen.lock().unwrap().clone();
    (result, seen)
}

#[tokio::test]
async fn a_lost_connection_and_a_failing_server_are_outlasted() {
    let record = json!({
        "apiVersion": "wi-probe/v1", "probeVersion": "0", "environment": {}, "tries": 1, "elapsedMs": 1, "clock": 0,
        "assertion": {"result": "malformed"}, "exchange": {"result": "not-tried", "why": "a test"},
    });
    let pods = json!({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": [{
        "metadata": {"name": "wi-probe-x-1"},
        "status": {"containerStatuses": [{
            "name": CONTAINER, "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": 1, "message": record.to_string()}},
        }]},
    }]});
    let (result, seen) = try_it(vec![
        created(),
        Reply::CloseTheConnection,
        failure(500, "InternalError"),
        Reply::Answer(200, pods),
        deleted(),
    ])
    .await;
    assert_eq!(result.unwrap().tries, 1);
    assert_eq!(seen.len(), 5, "{seen:?}");
    assert!(seen[4].starts_with("DELETE "), "{seen:?}");
}

#[tokio::test]
async fn a_refusal_of_the_caller_ends_the_wait() {
    for code in [401, 403] {
        let (result, seen) = try_it(vec![created(), failure(code, "no"), deleted()]).await;
        assert!(
            matches!(result, Err(ProbeError::Request { action: "watch", .. })),
            "{result:?}"
        );
        assert!(seen[2].starts_with("DELETE "), "{seen:?}");
    }
}
