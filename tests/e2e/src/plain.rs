//! A fleet without identities and without pods: what a rollout does is seen in a config map, and goes wrong on demand.

use crate::fleet::{statuses, targets};
use crate::helm::{self, Release};
use crate::running::Running;
use crate::{Finished, World, until};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The context of the first cluster, `weu-1`.
pub const CANARY: &str = "aks-weu-1";
/// The context of the second cluster, `neu-1`.
pub const PROD: &str = "aks-neu-1";
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
        Running::start(
            words.join(" "),
            Command::new(words[0])
                .args(&words[1..])
                .current_dir(folder)
                .env_clear()
                .envs(self.world.variables()),
        )
    }

    /// Starts an upgrade to the text `two` whose helm waits, on the cluster named, for what never comes; it has begun
    /// the revision.
    ///
    /// # Panics
    /// When it does not come to that.
    pub fn start_hanging(&self, cluster: &str, revision: u64) -> Running {
        self.values("all", &json!({"text": "two"}));
        self.values(cluster, &json!({"hang": true}));
        let mut run = self.start("upgrade");
        run.wait_for(&format!("{cluster}: helm upgrade"));
        let context = format!("aks-{cluster}");
        until("a revision that helm has begun", || {
            self.release(&context) == helm::pending(revision)
        });
        run
    }

    /// Another folder, as on a machine that knows nothing of earlier runs.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn elsewhere(&self) -> PathBuf {
        let folder = self.world.folder().join("elsewhere");
        fs::create_dir_all(&folder).expect("a folder can be made");
        folder
    }

    /// The Leases of the release's namespace on a cluster, each in a line.
    pub fn leases(&self, context: &str) -> String {
        let line = format!(
            "kubectl --context {context} -n {} get leases -o name",
            self.namespace
        );
        self.world.run(&line).expect(0).stdout
    }

    /// Makes the Leases look as if nobody had renewed them for hours.
    pub fn age_leases(&self) {
        let patch = json!({"spec": {"renewTime": "2020-01-01T00:00:00.000000Z"}}).to_string();
        for context in [CANARY, PROD] {
            for lease in self.leases(context).lines() {
                let line = format!(
                    "kubectl --context {context} -n {} patch {lease} --type merge -p {patch}",
                    self.namespace
                );
                self.world.run(&line).expect(0);
            }
        }
    }

    /// Somebody upgrades the release on a cluster by hand, over the values that are there.
    pub fn upgrade_by_hand(&self, context: &str, flags: &str) {
        let chart = self.folder.join("chart");
        let line = format!(
            "helm --kube-context {context} -n {} upgrade {RELEASE} {} --reuse-values {flags}",
            self.namespace,
            chart.display()
        );
        self.world.run(&line).expect(0);
    }

    /// What plain helm says of the release on a cluster.
    pub fn release(&self, context: &str) -> Release {
        helm::release(self.world, context, &self.namespace)
    }

    /// What it says of the release on both clusters.
    pub fn releases(&self) -> (Release, Release) {
        (self.release(CANARY), self.release(PROD))
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
        statuses(&self.report())
    }

    /// Demands that the report's last word on a release is what plain helm says.
    ///
    /// # Panics
    /// When it is not.
    pub fn agrees_with_helm(&self) {
        for target in targets(&self.report()) {
            let context = target["context"].as_str().expect("a target has a context");
            let revision = self.release(context).map(|(revision, _)| revision);
            assert_eq!(
                target["revisionAfter"].as_u64(),
                revision,
                "{context}: {target:#}"
            );
        }
    }

    fn write(&self) {
        // JSON is YAML, and what this builds must not depend on how YAML quotes.
        let text = format!("{:#}\n", self.document);
        fs::write(self.folder.join("helm-fleet.yaml"), text).expect("the folder can be written to");
    }
}
