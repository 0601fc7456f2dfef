//! What an application logs for a broken thing, and what the page of findings says that it logs and that verify says.

use crate::case::{CONTEXT, Case};
use e2e::repository;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A row of the page's table: what an application logs, as alternatives, and what verify says.
struct Documented {
    logs: Vec<String>,
    says: String,
}

impl Case {
    /// Holds the page against a real application and against what verify said first. Codes that the table does not have,
    /// and those that an application says nothing of, are not held.
    pub(crate) fn hold_documented(&self, first: &Value) {
        let code = first["code"].as_str().unwrap_or_default();
        let rows: Vec<Documented> = documented(code)
            .into_iter()
            .filter(|row| !row.logs.is_empty())
            .collect();
        if rows.is_empty() {
            return;
        }
        let logged = self.application_error();
        let message = first["message"].as_str().unwrap_or_default();
        let fits = |row: &Documented| {
            row.logs.iter().any(|text| self.is_like(text, &logged)) && self.is_like(&row.says, message)
        };
        assert!(
            rows.iter().any(fits),
            "the page's row for {code} is not what happens\n--- an application logs\n{logged}\n--- verify says\n{message}"
        );
    }

    /// Whether a text is as documented: `…` stands for anything, and the names are those of the page.
    fn is_like(&self, documented: &str, text: &str) -> bool {
        let identity = self.made("identityId").rsplit('/').next().unwrap_or_default();
        let credential = self.credential["name"].as_str().unwrap_or_default();
        let documented = documented
            .replace(
                "serviceaccount:shop:",
                &format!("serviceaccount:{}:", self.namespace),
            )
            .replace("fc of id-orders", &format!("{credential} of id-orders"))
            .replace("id-orders", identity)
            .replace("kv-central/db-password", &format!("{}/db", self.vault))
            .replace("kv-central", &self.vault);
        let mut rest = text;
        documented
            .split('…')
            .map(str::trim)
            .all(|part| match rest.split_once(part) {
                Some((_, after)) => {
                    rest = after;
                    true
                }
                None => false,
            })
    }

    /// What the demo application, which uses Azure's SDK for Go, logs with the settings and the token of a pod.
    fn application_error(&self) -> String {
        let token = self.world.folder().join("token");
        let made = self.kubectl("create token orders --audience api://AzureADTokenExchange");
        std::fs::write(&token, made.trim()).expect("the token can be written");
        let vault = self.world.rest(
            "GET",
            &format!("{}?api-version=2023-07-01", self.vault_id()),
            None,
        );
        let mut settings = self.injected();
        for (name, value) in [
            ("AZURE_FEDERATED_TOKEN_FILE", token.display().to_string()),
            (
                "VAULT_URL",
                vault["properties"]["vaultUri"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
            ),
            ("SECRET_NAME", "db".to_owned()),
            ("LISTEN", "127.0.0.1:0".to_owned()),
            ("SSL_CERT_FILE", self.world.variable("SSL_CERT_FILE").to_owned()),
        ] {
            settings.insert(name.to_owned(), value);
        }
        let mut application = Command::new(program(self.world.variable("HOME")))
            .env_clear()
            .envs(settings)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the demo application starts");
        let log = BufReader::new(application.stdout.take().expect("its log is piped"));
        let line = log.lines().map_while(Result::ok).next().unwrap_or_default();
        let _ = application.kill();
        let _ = application.wait();
        let line: Value = serde_json::from_str(&line).expect("the log is JSON");
        let error = line["error"].as_str();
        error
            .unwrap_or_else(|| panic!("it read the secret: {line}"))
            .to_owned()
    }

    /// The variables that a pod of the account would get.
    fn injected(&self) -> BTreeMap<String, String> {
        let admitted = self.admitted();
        let variables = admitted["spec"]["containers"][0]["env"].as_array();
        let variables = variables.into_iter().flatten();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        variables
            .map(|variable| (text(&variable["name"]), text(&variable["value"])))
            .collect()
    }

    /// What a pod of the account would become; nothing is created.
    pub(crate) fn admitted(&self) -> Value {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "application", "labels": {"azure.workload.identity/use": "true"}},
            "spec": {"serviceAccountName": "orders", "containers": [{"name": "main", "image": "demo-app.sandbox/absent:dev"}]},
        });
        let file = self.world.folder().join("pod.json");
        std::fs::write(&file, pod.to_string()).expect("the file can be written");
        let line = format!(
            "kubectl --context {CONTEXT} -n {} create --dry-run=server -o json -f {}",
            self.namespace,
            file.display()
        );
        self.world.run(&line).expect(0).json()
    }
}

/// The page of findings.
pub(crate) fn page() -> String {
    let page = repository().join("shared/docs/findings.md");
    std::fs::read_to_string(page).expect("the page of findings can be read")
}

/// The rows of the page's table whose finding is this one.
fn documented(code: &str) -> Vec<Documented> {
    let page = page();
    let lines = page.lines().filter(|line| line.starts_with("| "));
    lines
        .filter_map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let [_, _, logs, says, ..] = cells.as_slice() else {
                return None;
            };
            let says = says.strip_prefix(&format!("`{code}`"))?;
            // Every other piece between backquotes is quoted.
            let logs = logs.split('`').skip(1).step_by(2).map(str::to_owned);
            Some(Documented {
                logs: logs.collect(),
                says: says.replace('`', ""),
            })
        })
        .collect()
}

/// The demo application that the sandbox was brought up with: the one that was built last.
fn program(home: &str) -> PathBuf {
    let tools = Path::new(home).join(".cache/aks-sandbox/tools");
    let entries = std::fs::read_dir(&tools).expect("the sandbox's tools are there");
    let mut built: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path().join("demo-app")))
        .filter(|program| program.is_file())
        .collect();
    built.sort_by_key(|program| program.metadata().and_then(|found| found.modified()).ok());
    built.pop().expect("the demo application was built")
}
