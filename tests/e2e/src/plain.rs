//! A fleet without identities and without pods: what a rollout does is seen in a config map, and goes wrong on demand.

use crate::{Finished, World};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long a command may take until it says what is waited for; it fails the test, and never makes it pass.
const PATIENCE: Duration = Duration::from_mins(2);

/// The release.
pub const RELEASE: &str = "plain";

const CONFIG_MAP: &str = r#"apiVersion: v1
kind: ConfigMap
metadata: {name: plain}
data: {text: {{ .Values.text | quote }}}
{{- if .Values.refused }}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: refused}
data: {"this is no key": ""}
{{- end }}
{{- if .Values.unrenderable }}{{ fail "this does not render" }}{{ end }}
"#;

/// Its pod fits no node, so helm waits for it as long as it may.
const HOOK: &str = r"{{- if .Values.hang }}
apiVersion: batch/v1
kind: Job
metadata:
  name: hang
  annotations:
    helm.sh/hook: pre-install,pre-upgrade
    helm.sh/hook-delete-policy: before-hook-creation,hook-failed,hook-succeeded
spec:
  template:
    spec:
      restartPolicy: Never
      nodeSelector: {there-is: no-such-node}
      containers: [{name: hang, image: nothing}]
{{- end }}
";

/// A fleet file in a folder of the test's own, and what is known of its clusters.
#[derive(Debug)]
pub struct Plain<'a> {
    world: &'a World,
    folder: PathBuf,
    namespace: String,
    document: Value,
}

impl<'a> Plain<'a> {
    /// Two clusters, one after the other, in a namespace of the test's own.
    ///
    /// # Panics
    /// When the folder cannot be written to.
    pub fn new(world: &'a World, namespace: &str) -> Self {
        let folder = world.folder().join("plain");
        let templates = folder.join("chart/templates");
        fs::create_dir_all(&templates).expect("the folder can be made");
        let write = |path: PathBuf, text: &str| fs::write(path, text).expect("the folder can be written to");
        write(
            folder.join("chart/Chart.yaml"),
            "apiVersion: v2\nname: plain\nversion: 0.1.0\n",
        );
        write(folder.join("chart/values.yaml"), "text: none\n");
        write(templates.join("configmap.yaml"), CONFIG_MAP);
        write(templates.join("hook.yaml"), HOOK);
        let document = json!({
            "apiVersion": "helmfleet/v1alpha1",
            "kind": "Fleet",
            "release": {"name": RELEASE, "namespace": namespace, "createNamespace": true},
            "chart": {"ref": "./chart"},
            "helm": {"timeout": "2m"},
            "values": ["all.yaml", {"file": "{{ cluster.name }}.yaml", "optional": true}],
            "clusters": [
                {"name": "weu-1", "context": "aks-weu-1", "labels": {"ring": "0"}},
                {"name": "neu-1", "context": "aks-neu-1", "labels": {"ring": "1"}},
            ],
            "rollout": {"stages": [{"name": "canary", "selector": "ring=0"}, {"name": "prod", "selector": "ring!=0"}]},
            "report": {"dir": "report"},
        });
        let plain = Self {
            world,
            folder,
            namespace: namespace.to_owned(),
            document,
        };
        plain.write();
        plain.values("all", &json!({"text": "one"}));
        plain
    }

    /// Changes the file.
    pub fn change(&mut self, change: impl FnOnce(&mut Value)) {
        change(&mut self.document);
        self.write();
    }

    /// Sets the values of a cluster, or of `all`.
    ///
    /// # Panics
    /// When they cannot be written.
    pub fn values(&self, cluster: &str, values: &Value) {
        fs::write(self.folder.join(format!("{cluster}.yaml")), values.to_string())
            .expect("values can be written");
    }

    /// The folder of the file.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs `helm-fleet` with the fleet file in the file's folder.
    #[must_use = "look at the exit code"]
    pub fn fleet(&self, words: &str) -> Finished {
        self.start(words).end()
    }

    /// Runs a command of `helm-fleet` that asks for nothing, because it only reads.
    #[must_use = "look at the exit code"]
    pub fn read(&self, words: &str) -> Finished {
        let file = self.folder.join("helm-fleet.yaml");
        let line = format!("helm-fleet {words} -f {}", file.display());
        self.launch(&self.folder, &line.split_whitespace().collect::<Vec<_>>())
            .end()
    }

    /// Starts `helm-fleet` with the fleet file in the file's folder.
    pub fn start(&self, words: &str) -> Running {
        self.start_in(&self.folder, words)
    }

    /// Starts it in another folder, as on a machine that knows nothing of earlier runs.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_in(&self, folder: &Path, words: &str) -> Running {
        let file = self.folder.join("helm-fleet.yaml");
        let line = format!("helm-fleet {words} -f {} --yes", file.display());
        self.launch(folder, &line.split_whitespace().collect::<Vec<_>>())
    }

    /// Starts it so that [`Running::fill_disk`] does not end it.
    pub fn start_without_signal(&self, words: &str) -> Running {
        let file = self.folder.join("helm-fleet.yaml");
        let script = format!(
            "trap '' XFSZ; exec helm-fleet {words} -f {} --yes",
            file.display()
        );
        self.launch(&self.folder, &["sh", "-c", &script])
    }

    fn launch(&self, folder: &Path, words: &[&str]) -> Running {
        let line = words.join(" ");
        let mut child = Command::new(words[0])
            .args(&words[1..])
            .current_dir(folder)
            .env_clear()
            .envs(self.world.variables())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{line}: {error}"));
        let talk = BufReader::new(child.stderr.take().expect("its talk is piped"));
        let (sender, said) = channel();
        std::thread::spawn(move || {
            let lines = talk.lines().map_while(Result::ok);
            lines.map_while(|line| sender.send(line).ok()).for_each(drop);
        });
        Running {
            line,
            child,
            said,
            heard: String::new(),
        }
    }

    /// What plain helm says of the release on a cluster: its revision and status; none when there is none.
    ///
    /// # Panics
    /// When helm cannot be asked.
    pub fn release(&self, context: &str) -> Option<(u64, String)> {
        let line = format!(
            "helm --kube-context {context} -n {} list -a -o json",
            self.namespace
        );
        let line = if self.is_helm_4() {
            line.replace(" -a ", " ")
        } else {
            line
        };
        let list = self.world.run(&line).expect(0).json();
        let release = list.as_array()?.first()?;
        let revision = release["revision"].as_str()?.parse().ok()?;
        Some((revision, release["status"].as_str()?.to_owned()))
    }

    /// What the release has put on a cluster; none when there is nothing.
    pub fn text(&self, context: &str) -> Option<String> {
        let line = format!(
            "kubectl --context {context} -n {} get configmap plain --ignore-not-found -o jsonpath={{.data.text}}",
            self.namespace
        );
        Some(self.world.run(&line).expect(0).stdout).filter(|text| !text.is_empty())
    }

    /// The report of the last run.
    ///
    /// # Panics
    /// When it is not there or no JSON.
    pub fn report(&self) -> Value {
        let path = self.folder.join("report/report.json");
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        serde_json::from_str(&text).expect("the report is JSON")
    }

    /// How the report says that each target ended, in the order of the file.
    ///
    /// # Panics
    /// When it does not.
    pub fn statuses(&self) -> Vec<String> {
        let report = self.report();
        let targets = report["targets"].as_array().expect("a report has targets");
        let status = |target: &Value| target["status"].as_str().unwrap_or_default().to_owned();
        targets.iter().map(status).collect()
    }

    /// Demands that the report's last word on a release is what plain helm says.
    ///
    /// # Panics
    /// When it is not.
    pub fn agrees_with_helm(&self) {
        for target in self.report()["targets"].as_array().into_iter().flatten() {
            let context = target["context"].as_str().expect("a target has a context");
            let revision = self.release(context).map(|(revision, _)| revision);
            assert_eq!(
                target["revisionAfter"].as_u64(),
                revision,
                "{context}: {target:#}"
            );
        }
    }

    fn is_helm_4(&self) -> bool {
        self.world
            .run("helm version --short")
            .expect(0)
            .stdout
            .starts_with("v4")
    }

    fn write(&self) {
        // JSON is YAML, and what this builds must not depend on how YAML quotes.
        let text = format!("{:#}\n", self.document);
        fs::write(self.folder.join("helm-fleet.yaml"), text).expect("the folder can be written to");
    }
}

/// A command that runs.
#[derive(Debug)]
pub struct Running {
    line: String,
    child: Child,
    said: Receiver<String>,
    heard: String,
}

impl Running {
    /// Waits until the command says something that it has not said before.
    ///
    /// # Panics
    /// When it ends before, or says nothing like it for too long.
    pub fn wait_for(&mut self, text: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = self.said.recv_timeout(left);
            let line = line.unwrap_or_else(|error| {
                panic!("`{}` did not say {text:?} ({error}):\n{}", self.line, self.heard)
            });
            self.heard.push_str(&line);
            self.heard.push('\n');
            if line.contains(text) {
                return;
            }
        }
    }

    /// Sends it a signal, by its name.
    ///
    /// # Panics
    /// When it cannot be signalled.
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status();
        assert!(
            sent.is_ok_and(|sent| sent.success()),
            "`{}` cannot be signalled",
            self.line
        );
    }

    /// Kills its helm.
    ///
    /// # Panics
    /// When there is none.
    pub fn kill_helm(&self) {
        self.signal_helm("-KILL");
    }

    /// Sends its helm a signal, by its name.
    ///
    /// # Panics
    /// When there is none.
    pub fn signal_helm(&self, signal: &str) {
        let parent = self.child.id().to_string();
        let sent = Command::new("pkill")
            .args([signal, "-P", &parent, "-x", "helm"])
            .status();
        assert!(
            sent.is_ok_and(|sent| sent.success()),
            "`{}` has no helm",
            self.line
        );
    }

    /// Whether it has a helm.
    ///
    /// # Panics
    /// When processes cannot be listed.
    pub fn has_helm(&self) -> bool {
        let parent = self.child.id().to_string();
        let found = Command::new("pgrep").args(["-P", &parent, "-x", "helm"]).output();
        !found.expect("processes can be listed").stdout.is_empty()
    }

    /// From here on none of its files grows, as on a disk that is full.
    ///
    /// # Panics
    /// When its limits cannot be set.
    pub fn fill_disk(&self) {
        let process = self.child.id().to_string();
        let limited = Command::new("prlimit")
            .args(["--fsize=1", "--pid", &process])
            .status();
        assert!(
            limited.is_ok_and(|limited| limited.success()),
            "its limits cannot be set"
        );
    }

    /// Kills it and its helm, as a machine that is taken away does.
    ///
    /// # Panics
    /// When it has no helm.
    pub fn kill_all(self) -> Finished {
        let parent = self.child.id().to_string();
        let found = Command::new("pgrep").args(["-P", &parent, "-x", "helm"]).output();
        let helms = String::from_utf8_lossy(&found.expect("processes can be listed").stdout).into_owned();
        assert!(!helms.is_empty(), "`{}` has no helm", self.line);
        self.signal("-KILL");
        let killed = Command::new("kill")
            .arg("-KILL")
            .args(helms.split_whitespace())
            .status();
        assert!(
            killed.is_ok_and(|killed| killed.success()),
            "its helm cannot be killed"
        );
        self.end()
    }

    /// Waits for its end; a signal that ended it makes a code as in a shell.
    ///
    /// # Panics
    /// When its outputs cannot be read.
    pub fn end(mut self) -> Finished {
        use std::os::unix::process::ExitStatusExt as _;
        let mut stdout = String::new();
        let mut pipe = self.child.stdout.take().expect("its data is piped");
        pipe.read_to_string(&mut stdout).expect("its data is text");
        let status = self.child.wait().expect("it ends");
        for line in self.said {
            self.heard.push_str(&line);
            self.heard.push('\n');
        }
        Finished {
            code: status
                .code()
                .or(status.signal().map(|signal| 128 + signal))
                .unwrap_or(-1),
            stdout,
            stderr: self.heard,
            line: self.line,
        }
    }
}
