//! A sandbox comes up, can be repeated, runs beside others, and leaves nothing behind, whatever was killed when.
//!
//! Real namespaces, links and API servers: root is needed. Light clusters, so that it takes seconds.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
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

/// A process that does not outlive its test, however that ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
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

/// Waits for what may have to wait for a build first.
fn wait(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(5);
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
fn an_api_server_is_killed_frozen_and_kept_away_on_demand() {
    let home = Home::new();
    let name = unique("weather");
    home.succeed(&format!("up --name {name} --api-only --clusters 1"));
    let fault = |words: &str| home.succeed(&format!("fault --name {name}{words}"));
    let answers = || home.status(&name)["clusters"][0]["answers"].clone();
    let unit = || home.status(&name)["units"]["aks-weu-1-kube-apiserver"].clone();
    assert_eq!(fault(""), "");

    fault(" api aks-weu-1 stop");
    assert_eq!(answers(), false);
    assert_eq!(fault(""), "aks-weu-1-kube-apiserver is stopped\n");
    fault(" api aks-weu-1 start");
    assert_eq!(answers(), true);

    let before = unit();
    fault(" api aks-weu-1 kill");
    assert_eq!(answers(), true);
    assert_ne!(unit()["pid"], before["pid"]);

    fault(" api aks-weu-1 pause");
    assert_eq!(fault(""), "aks-weu-1-kube-apiserver is frozen\n");
    fault(" calm");
    let after = home.status(&name);
    assert_eq!(
        (&after["ready"], &after["faults"]),
        (&true.into(), &Value::Array(vec![]))
    );

    for (words, said) in [
        ("api aks-neu-1 stop", "there is no cluster aks-neu-1"),
        ("egress aks-weu-1 block", "api-only have no node"),
    ] {
        let output = home.run(&format!("fault --name {name} {words}"));
        assert_eq!(output.status.code(), Some(1), "{words}");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains(said) && text.contains("hint: "), "{text}");
    }
}

#[test]
fn the_simulated_azure_serves_alone_until_it_is_told_to_end() {
    let home = Home::new();
    let name = unique("alone");
    let mut serve = home.command(&format!("azure --name {name} serve"));
    let mut serve = Running(serve.stdout(Stdio::null()).spawn().expect("it starts"));
    let env = format!("env --name {name}");
    // It may have to be built first, which takes its time.
    while !home.run(&env).status.success() {
        assert!(
            serve.0.try_wait().expect("it can be asked").is_none(),
            "it serves"
        );
        thread::sleep(Duration::from_millis(50));
    }
    let env = home.succeed(&env);
    assert!(
        env.contains("export AZURE_CLIENT_SECRET='only-in-the-sandbox'\n"),
        "{env}"
    );
    assert_eq!(home.status(&name)["ready"], true);

    let azure = |words: &str| home.succeed(&format!("azure --name {name} {words}"));
    let groups = "/subscriptions/22222222-2222-4222-8222-222222222222/resourceGroups?api-version=2021-04-01";
    assert!(azure(&format!("rest GET {groups}")).contains("rg-shared"));
    azure("set cluster/aks-weu-1 oidcIssuerEnabled=false");
    let state: Value = serde_json::from_str(&azure("show -o json")).expect("the state is JSON");
    let clusters = state["clusters"].as_array().expect("clusters").iter();
    assert!(
        clusters
            .into_iter()
            .all(|cluster| cluster["oidcIssuerProfile"]["enabled"] == false)
    );
    azure("fault {\"roleDelayMs\":5000} --over id-legacy --as mine");
    assert!(azure("fault").contains("\"mine\""));
    azure("fault --end mine");
    assert!(!azure("fault").contains("\"mine\""));

    // A job of GitHub Actions gets in without the secret, at whatever port its issuer is.
    assert_eq!(
        state["githubJobs"][0]["issuer"], state["servicePrincipals"][0]["federatedCredentials"][0]["issuer"],
        "{state}"
    );
    let job = home.succeed(&format!("env --name {name} --pipeline github"));
    let url = state["githubJobs"][0]["requestUrl"].as_str().expect("a URL");
    assert!(
        job.contains(&format!("ACTIONS_ID_TOKEN_REQUEST_URL='{url}'\n"))
            && job.contains("AZURE_CLIENT_SECRET=''\n"),
        "{job}"
    );
    let none = home.run(&format!("env --name {name} --pipeline azure-pipelines"));
    assert!(String::from_utf8_lossy(&none.stderr).contains("hint: put one under `platform`"));

    let again = home.run(&format!("azure --name {name} serve"));
    assert_eq!(again.status.code(), Some(1), "it serves already");
    home.succeed(&format!("down --name {name}"));
    assert!(serve.0.wait().expect("it ends").success());
    assert_eq!(traces(&name), Vec::<String>::new());
}

#[test]
fn up_may_be_killed_at_any_moment() {
    let home = Home::new();
    let name = unique("half");
    let moments = ["spec.json", "kubeconfig", "logs/supervisor.log", "status.json"];
    for moment in moments {
        let mut up = home.command(&format!("up --name {name} --api-only --clusters 1"));
        let up = Running(up.stderr(Stdio::null()).spawn().expect("up starts"));
        wait(moment, || home.file(&name, moment).exists());
        drop(up);
        home.succeed(&format!("down --name {name}"));
        assert_eq!(traces(&name), Vec::<String>::new(), "killed at {moment}");
    }
    home.succeed(&format!("up --name {name} --api-only --clusters 1"));
}
