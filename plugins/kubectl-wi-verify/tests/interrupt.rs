//! A signal ends the binary while it waits for somebody else: for a credential plugin, for the authority.

#![cfg(unix)]

use serde_json::{Value, json};
use std::io::Read;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Far less than what is waited for in vain, far more than a loaded machine needs.
const DEADLINE: Duration = Duration::from_mins(1);

/// Looks until there is an answer.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < DEADLINE, "{what} did not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A kubeconfig with as many contexts as users.
fn kubeconfig(directory: &Path, users: &[Value]) -> PathBuf {
    let named = |kind: &str, inner: &dyn Fn(usize) -> Value| -> Vec<Value> {
        (0..users.len())
            .map(|index| json!({"name": format!("n{index}"), kind: inner(index)}))
            .collect()
    };
    let text = json!({
        "apiVersion": "v1", "kind": "Config",
        "contexts": named("context", &|index| json!({"cluster": format!("n{index}"), "user": format!("n{index}")})),
        "clusters": named("cluster", &|_| json!({"server": "https://127.0.0.1:1"})),
        "users": named("user", &|index| users[index].clone()),
    });
    let path = directory.join("config");
    std::fs::write(&path, text.to_string()).expect("the kubeconfig is written");
    path
}

fn verify(kubeconfig: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-wi-verify"));
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .args(["--service-account", "orders", "--from", "local", "--all-contexts"])
        .args(["--auth", "environment", "--kubeconfig"])
        .arg(kubeconfig)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// Kills what a failing test would leave behind.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn signal(name: &str, pid: u32) {
    let status = Command::new("kill").args([name, &pid.to_string()]).status();
    assert!(status.expect("kill runs").success());
}

fn end(child: &mut Guard) -> ExitStatus {
    until("the end of the binary", || {
        child.0.try_wait().expect("it can be waited for")
    })
}

/// What it wrote to standard error, once it has ended.
fn told(child: &mut Guard) -> String {
    let mut text = String::new();
    if let Some(mut stderr) = child.0.stderr.take() {
        let _ = stderr.read_to_string(&mut text);
    }
    text
}

#[test]
fn a_signal_ends_it_while_credential_plugins_run() {
    let directory = tempfile::tempdir().unwrap();
    let pid_file = |index: usize| directory.path().join(format!("pid{index}"));
    let plugin = |index: usize| {
        let file = pid_file(index);
        let script = format!("echo $$ > {0}.new; mv {0}.new {0}; exec sleep 90", file.display());
        json!({"exec": {
            "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never",
            "command": "/bin/sh", "args": ["-c", script],
        }})
    };
    let kubeconfig = kubeconfig(directory.path(), &[plugin(0), plugin(1)]);
    let mut child = Guard(verify(&kubeconfig).spawn().unwrap());
    // Both at once: one that runs does not keep the other from starting.
    let plugins = [0, 1].map(|index| -> u32 {
        let text = until("the plugin", || std::fs::read_to_string(pid_file(index)).ok());
        text.trim().parse().unwrap()
    });
    signal("-TERM", child.0.id());
    let status = end(&mut child);
    for plugin in plugins {
        signal("-KILL", plugin);
    }
    assert_eq!(status.code(), Some(143));
}

#[test]
fn a_signal_ends_it_while_the_authority_is_silent() {
    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = kubeconfig(directory.path(), &[json!({})]);
    let authority = TcpListener::bind("127.0.0.1:0").unwrap();
    let cloud = directory.path().join("cloud.json");
    let url = format!("https://{}/", authority.local_addr().unwrap());
    let description = json!({
        "name": "AzureStackCloud", "activeDirectoryEndpoint": url, "resourceManagerEndpoint": url,
        "tokenAudience": url, "keyVaultDNSSuffix": "vault.test",
        "resourceIdentifiers": {"keyVault": "https://vault.test"},
    });
    std::fs::write(&cloud, description.to_string()).unwrap();
    let mut command = verify(&kubeconfig);
    command
        .env("AZURE_TENANT_ID", "11111111-1111-1111-1111-111111111111")
        .env("AZURE_CLIENT_ID", "22222222-2222-2222-2222-222222222222")
        .env("AZURE_CLIENT_SECRET", "not-a-secret")
        .arg("--cloud")
        .arg(&cloud);
    let mut child = Guard(command.spawn().unwrap());
    authority.set_nonblocking(true).unwrap();
    let connection = until("the sign-in", || {
        let runs = child.0.try_wait().unwrap().is_none();
        assert!(runs, "it ended by itself: {}", told(&mut child));
        authority.accept().ok()
    });
    signal("-INT", child.0.id());
    assert_eq!(end(&mut child).code(), Some(130));
    // It gave up on the sign-in; it did not wait for the sign-in to fail.
    let told = told(&mut child);
    assert!(
        told.contains("interrupted") && !told.contains("not signed in"),
        "{told}"
    );
    drop(connection);
}
