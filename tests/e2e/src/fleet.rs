//! The demo's fleet as the tests vary it: the same chart and clusters, another namespace, other values.

use crate::azure::text;
use crate::{World, repository};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;

/// A fleet file in a folder of the test's own.
#[derive(Debug)]
pub struct Fleet {
    folder: PathBuf,
    document: Value,
}

impl Fleet {
    /// The demo's fleet in a namespace of the test's own.
    ///
    /// # Panics
    /// When the demo's material is not there.
    pub fn new(world: &World, namespace: &str) -> Self {
        let folder = world.copy_in(&repository().join("tests/sandbox/demo"), "fleet");
        let authority =
            fs::read_to_string(world.variable("AKS_WI_CA_FILE")).expect("the sandbox has an authority");
        fs::write(
            folder.join("values/sandbox.yaml"),
            json!({"caBundle": authority}).to_string(),
        )
        .expect("the copy can be written to");
        let document = json!({
            "apiVersion": "helmfleet/v1alpha1",
            "kind": "Fleet",
            "release": {"name": "orders", "namespace": namespace, "createNamespace": true},
            "chart": {"ref": "./charts/orders"},
            "helm": {"timeout": "2m", "wait": true},
            "values": ["values/base.yaml", "values/sandbox.yaml"],
            "identities": {"orders": {"serviceAccount": "orders", "secrets": ["kv-central/db-password"]}},
            "overrides": {
                "serviceAccount": {
                    "name": "orders",
                    "annotations": {"azure.workload.identity/client-id": "{{ identities.orders.clientId }}"},
                },
                "keyVault": {
                    "name": "{{ identities.orders.vaults['kv-central'].name }}",
                    "uri": "{{ identities.orders.vaults['kv-central'].uri }}",
                    "tenantId": "{{ identities.orders.tenantId }}",
                },
            },
            "clusters": [
                {"name": "weu-1", "context": "aks-weu-1", "labels": {"ring": "0"}},
                {"name": "neu-1", "context": "aks-neu-1", "labels": {"ring": "1"}},
                {"name": "sdc-1", "context": "aks-sdc-1", "labels": {"ring": "1"}},
            ],
            "rollout": {"stages": [
                {"name": "canary", "selector": "ring=0", "maxConcurrency": 1, "maxFailures": 0},
                {"name": "prod", "selector": "ring!=0", "maxConcurrency": 2, "maxFailures": 0},
            ]},
            "report": {"dir": "report", "formats": ["json", "junit", "markdown"]},
        });
        let fleet = Self { folder, document };
        fleet.write();
        fleet
    }

    /// Changes the file.
    pub fn change(&mut self, change: impl FnOnce(&mut Value)) {
        change(&mut self.document);
        self.write();
    }

    /// The command line of an upgrade by `program`, `helm fleet` or `helm-fleet`.
    pub fn upgrade(&self, program: &str) -> String {
        format!(
            "{program} upgrade -f {} --yes",
            self.folder.join("helm-fleet.yaml").display()
        )
    }

    /// What a report file says.
    ///
    /// # Panics
    /// When it is not there.
    pub fn report(&self, file: &str) -> String {
        fs::read_to_string(self.folder.join("report").join(file))
            .unwrap_or_else(|error| panic!("{file}: {error}"))
    }

    /// The report.
    ///
    /// # Panics
    /// When it is not there or no JSON.
    pub fn report_json(&self) -> Value {
        serde_json::from_str(&self.report("report.json")).expect("the report is JSON")
    }

    /// The folder of the file.
    pub const fn folder(&self) -> &PathBuf {
        &self.folder
    }

    fn write(&self) {
        // JSON is YAML, and what this builds must not depend on how YAML quotes.
        fs::write(
            self.folder.join("helm-fleet.yaml"),
            format!("{:#}\n", self.document),
        )
        .expect("the copy can be written to");
    }
}

/// The targets of a report.
///
/// # Panics
/// When there are none.
pub fn targets(report: &Value) -> &Vec<Value> {
    report["targets"].as_array().expect("a report has targets")
}

/// How a report says that each target ended, in the order of the file.
///
/// # Panics
/// When it does not.
pub fn statuses(report: &Value) -> Vec<String> {
    let status = |target: &Value| text(target, "status").to_owned();
    targets(report).iter().map(status).collect()
}
