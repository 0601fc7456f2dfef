//! A sandbox comes up, can be repeated, runs beside others, and leaves nothing behind, whatever was killed when.
//!
//! Real namespaces, links and API servers: root is needed. Light clusters, so that it takes seconds.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// A state folder of its own, whose sandboxes end with it.
struct Home {
    folder: TempDir,
}

impl Home {
    fn new() -> Self {
        Self {
            folder: TempDir::new().expect("a temporary folder"),
        }
    }

    fn command(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sandbox"));
        command
            .args(words.split(' '))
            .env("XDG_STATE_HOME", self.folder.path())
            .stdin(Stdio::null());
        command
    }

    fn run(&self, words: &str) -> Output {
        self.command(words).output().expect("the sandbox program runs")
    }

    fn succeed(&self, words: &str) -> String {
        let output = self.run(words);
        assert!(
            output.status.success(),
            "{words}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn status(&self, name: &str) -> Value {
        let output = self.run(&format!("status --name {name} -o json"));
        let reports: Value = serde_json::from_slice(&output.stdout).expect("status is JSON");
        reports[0].clone()
    }

    fn file(&self, name: &str, file: &str) -> PathBuf {
        self.folder.path().join("aks-sandbox").join(name).join(file)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = self.run("down --all");
    }
}

/// What the sandbox `name` has on this machine: processes, groups, mounts. Links carry no name: see [`links`].
fn traces(name: &str) -> Vec<String> {
    let mut traces = Vec::new();
    for entry in fs::read_dir("/proc")
        .expect("/proc is there")
        .filter_map(Result::ok)
    {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(&format!("/aks-sandbox/{name}/"))
            || line.trim_end().ends_with(&format!("internal init {name}"))
        {
            traces.push(format!("process {line}"));
        }
    }
    for hierarchy in fs::read_dir("/sys/fs/cgroup")
        .expect("control groups are mounted")
        .filter_map(Result::ok)
    {
        let groups = fs::read_dir(hierarchy.path().join("aks-sandbox"))
            .into_iter()
            .flatten()
            .filter_map(Result::ok);
        let ours = groups.filter(|group| {
            group
                .file_name()
                .to_string_lossy()
                .starts_with(&format!("{name}-"))
        });
        traces.extend(ours.map(|group| group.path().display().to_string()));
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts can be read");
    traces.extend(
        mounts
            .lines()
            .filter(|line| line.contains(&format!("/aks-sandbox/{name}")))
            .map(str::to_owned),
    );
    traces
}

/// The link of the sandbox `name`, by its addresses.
fn has_route(range: &str) -> bool {
    let output = Command::new("ip")
        .args(["-4", "route", "show", range])
        .output()
        .expect("ip runs");
    !output.stdout.is_empty()
}

fn supervisor(name: &str) -> Option<i32> {
    fs::read_dir("/proc")
        .ok()?
        .filter_map(Result::ok)
        .find_map(|entry| {
            let line =
                String::from_utf8_lossy(&fs::read(entry.path().join("cmdline")).ok()?).replace('\0', " ");
            let is_it = line.trim_end().ends_with(&format!("internal supervise {name}"));
            is_it.then(|| entry.file_name().to_str()?.parse().ok())?
        })
}

fn kill(pid: i32) {
    let status = Command::new("kill")
        .args(["-9", &pid.to_string()])
        .status()
        .expect("kill runs");
    assert!(status.success());
}

fn wait(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        thread::sleep(Duration::from_millis(5));
    }
}

fn unique(prefix: &str) -> String {
    format!("{prefix}-{}", std::process::id())
}

#[test]
fn up_is_safe_to_repeat_and_refuses_to_become_another() {
    let home = Home::new();
    let name = unique("repeat");
    home.succeed(&format!("up --name {name} --api-only --clusters 2"));
    let first = home.status(&name);
    assert_eq!(first["ready"], true, "{first:#}");
    assert_eq!(first["clusters"].as_array().map(Vec::len), Some(2));

    home.succeed(&format!("up --name {name} --api-only --clusters 2"));
    assert_eq!(
        home.status(&name)["units"],
        first["units"],
        "the same processes still run"
    );

    let output = home.run(&format!("up --name {name} --workloads --clusters 2"));
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("runs already with 2 clusters of kind api-only") && said.contains("hint: "),
        "{said}"
    );

    home.succeed(&format!("down --name {name}"));
    assert_eq!(traces(&name), Vec::<String>::new());
    assert!(!has_route(first["range"].as_str().expect("a range")));
    home.succeed(&format!("down --name {name}"));
}

#[test]
fn sandboxes_run_side_by_side() {
    let home = Home::new();
    let names = [unique("left"), unique("right")];
    thread::scope(|scope| {
        for name in &names {
            let home = &home;
            scope.spawn(move || home.succeed(&format!("up --name {name} --api-only --clusters 1")));
        }
    });
    let ranges: BTreeSet<String> = names
        .iter()
        .map(|name| home.status(name)["range"].to_string())
        .collect();
    assert_eq!(ranges.len(), 2, "{ranges:?}");
    home.succeed(&format!("down --name {}", names[0]));
    assert_eq!(home.status(&names[1])["ready"], true);
    assert_eq!(home.status(&names[0])["alive"], false);
}

#[test]
fn a_killed_sandbox_leaves_no_process_and_the_next_up_works() {
    let home = Home::new();
    let name = unique("killed");
    home.succeed(&format!("up --name {name} --api-only --clusters 1"));
    kill(supervisor(&name).expect("a supervisor"));
    wait("the end of all processes", || {
        !traces(&name).iter().any(|trace| trace.starts_with("process"))
    });
    let report = home.status(&name);
    assert_eq!(
        (&report["alive"], &report["ready"]),
        (&false.into(), &false.into())
    );

    home.succeed(&format!("up --name {name} --api-only --clusters 1"));
    assert_eq!(home.status(&name)["ready"], true);
    home.succeed(&format!("down --name {name}"));
    assert_eq!(traces(&name), Vec::<String>::new());
}

#[test]
fn up_may_be_killed_at_any_moment() {
    let home = Home::new();
    let name = unique("half");
    let moments = ["spec.json", "kubeconfig", "logs/supervisor.log", "status.json"];
    for moment in moments {
        let mut up = home.command(&format!("up --name {name} --api-only --clusters 1"));
        let mut up = up.stderr(Stdio::null()).spawn().expect("up starts");
        wait(moment, || home.file(&name, moment).exists());
        up.kill().expect("it can be killed");
        up.wait().expect("it ends");
        home.succeed(&format!("down --name {name}"));
        assert_eq!(traces(&name), Vec::<String>::new(), "killed at {moment}");
    }
    home.succeed(&format!("up --name {name} --api-only --clusters 1"));
}
