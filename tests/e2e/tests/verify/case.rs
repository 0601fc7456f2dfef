//! A workload that works, the ways to break it, and what must be said of each.

use e2e::World;
use serde_json::{Value, json};

pub(crate) const CONTEXT: &str = "aks-weu-1";
pub(crate) const API: &str = "api-version=2024-11-30";
pub(crate) const CLIENT: &str = "azure.workload.identity/client-id";
pub(crate) const TENANT: &str = "azure.workload.identity/tenant-id";
/// What lets everybody read an issuer's documents on the sandbox.
const PUBLISHED: &str = "sandbox-issuer-discovery";
/// An id that nobody has.
pub(crate) const ELSEWHERE: &str = "99999999-9999-4999-8999-999999999999";

/// A workload that works, on a vault of its own.
pub(crate) struct Case {
    pub(crate) world: World,
    pub(crate) namespace: String,
    pub(crate) vault: String,
    /// What setup said of it.
    made: Value,
    /// Its federated credential, as Azure has it.
    pub(crate) credential: Value,
}

/// How a broken thing is mended.
pub(crate) enum Mend {
    /// By the command that is printed.
    Printed,
    /// By the command that is printed, once something has come about.
    PrintedAfter(fn(&Case)),
    /// By hand.
    Undo(fn(&Case)),
}

/// One way to break it.
pub(crate) struct Row {
    /// Breaks it.
    pub(crate) breaking: fn(&Case),
    /// What is verified, and from where.
    pub(crate) flags: &'static str,
    /// The finding that must come first.
    pub(crate) code: &'static str,
    /// Its verdict.
    pub(crate) verdict: &'static str,
    /// What the first fix must hold.
    pub(crate) fix: &'static str,
    /// What else is found, with its verdict; whatever fails or is skipped refers to the first finding.
    pub(crate) then: &'static [(&'static str, &'static str)],
    pub(crate) mend: Mend,
}

/// Stands in a row's flags for the kubeconfig of somebody with few rights.
const LIMITED: &str = "LIMITED";

pub(crate) const HERE: &str = "--service-account orders --from local";
pub(crate) const POD: &str = "--service-account orders --from pod";
pub(crate) const WORKLOAD: &str = "deploy/orders --from local";

pub(crate) const fn fails(breaking: fn(&Case), code: &'static str, fix: &'static str, mend: Mend) -> Row {
    Row {
        breaking,
        flags: HERE,
        code,
        verdict: "fail",
        fix,
        then: &[],
        mend,
    }
}

impl Case {
    pub(crate) fn new(purpose: &str) -> Self {
        let world = World::join();
        let namespace = world.namespace(purpose);
        let digits: String = namespace.chars().filter(char::is_ascii_hexdigit).collect();
        let vault = format!("kv{}", &digits[digits.len().saturating_sub(16)..]);
        let mut case = Self {
            world,
            namespace,
            vault,
            made: Value::Null,
            credential: Value::Null,
        };
        case.add_vault();
        let setup = format!(
            "{} --service-account-owner setup --yes --wait none -o json",
            case.setup()
        );
        case.made = case.world.run(&setup).expect(0).json();
        case.credential = case.credentials().remove(0);
        case
    }

    /// Makes the vault with its secrets.
    pub(crate) fn add_vault(&self) {
        let more = json!({"vaults": [{
            "resourceGroup": "rg-shared", "name": self.vault, "location": "westeurope", "enableRbacAuthorization": true,
            "secrets": [{"name": "db", "value": "value-of-the-secret"}, {"name": "other", "value": "value-of-the-other"}],
        }]});
        self.azure(&["add", &more.to_string()]);
    }

    pub(crate) fn setup(&self) -> String {
        format!(
            "kubectl wi setup --context {CONTEXT} -n {} --service-account orders --secret {}/db",
            self.namespace, self.vault
        )
    }

    pub(crate) fn made(&self, field: &str) -> &str {
        self.made[field]
            .as_str()
            .unwrap_or_else(|| panic!("setup told no {field}: {:#}", self.made))
    }

    pub(crate) fn vault_id(&self) -> String {
        format!(
            "/subscriptions/{}/resourceGroups/rg-shared/providers/Microsoft.KeyVault/vaults/{}",
            self.world.variable("AZURE_SUBSCRIPTION_ID"),
            self.vault
        )
    }

    pub(crate) fn credentials(&self) -> Vec<Value> {
        let path = format!("{}/federatedIdentityCredentials?{API}", self.made("identityId"));
        let list = self.world.rest("GET", &path, None);
        list["value"].as_array().cloned().unwrap_or_default()
    }

    /// Writes the credential with one field changed.
    pub(crate) fn put_credential(&self, field: &str, value: &Value) {
        let mut properties = self.credential["properties"].clone();
        properties[field] = value.clone();
        let id = self.credential["id"].as_str().expect("a credential has an id");
        let body = json!({"properties": properties});
        self.world.rest("PUT", &format!("{id}?{API}"), Some(&body));
    }

    pub(crate) fn delete_credentials(&self) {
        for credential in self.credentials() {
            let id = credential["id"].as_str().expect("a credential has an id");
            self.world.rest("DELETE", &format!("{id}?{API}"), None);
        }
    }

    pub(crate) fn kubectl(&self, words: &str) -> String {
        let line = format!("kubectl --context {CONTEXT} -n {} {words}", self.namespace);
        self.world.run(&line).expect(0).stdout
    }

    /// Applies an object that is given as JSON.
    pub(crate) fn apply(&self, object: &Value) {
        let file = self.world.folder().join("object.json");
        std::fs::write(&file, object.to_string()).expect("the file can be written");
        self.kubectl(&format!("apply -f {}", file.display()));
    }

    pub(crate) fn annotate(&self, words: &str) {
        self.kubectl(&format!("annotate serviceaccount orders --overwrite {words}"));
    }

    pub(crate) fn azure(&self, words: &[&str]) {
        let line: Vec<&str> = std::iter::once("azure").chain(words.iter().copied()).collect();
        self.world.sandbox(&line).expect(0);
    }

    pub(crate) fn set_vault(&self, change: &str) {
        self.azure(&["set", &format!("vault/{}", self.vault), change]);
    }

    /// Switches a fault on over this case alone.
    pub(crate) fn front(&self, weather: &Value) {
        // The identity's name and the token's subject both hold it.
        let over = &self.namespace;
        self.azure(&["fault", &weather.to_string(), "--over", over, "--as", over]);
    }

    /// Switches weather on over what the vault's roles and requests name.
    pub(crate) fn vault_front(&self, weather: &Value) {
        self.azure(&[
            "fault",
            &weather.to_string(),
            "--over",
            &self.vault,
            "--as",
            &self.namespace,
        ]);
    }

    pub(crate) fn calm(&self) {
        self.azure(&["fault", "--end", &self.namespace]);
    }

    pub(crate) fn cluster_fault(&self, words: &[&str]) {
        let line: Vec<&str> = std::iter::once("fault").chain(words.iter().copied()).collect();
        self.world.sandbox(&line).expect(0);
    }

    /// Lets Entra read the issuer's documents, or nobody who is not signed in.
    pub(crate) fn publish_issuer(&self, published: bool) {
        if published {
            self.kubectl(&format!(
                "create clusterrolebinding {PUBLISHED} --clusterrole=system:service-account-issuer-discovery --group=system:unauthenticated"
            ));
        } else {
            self.kubectl(&format!("delete clusterrolebinding {PUBLISHED}"));
        }
        // Entra forgets in a day what it has read.
        self.azure(&["forget-issuers"]);
    }

    /// Takes away every role that the identity has in the vault, and gives it one elsewhere if asked.
    pub(crate) fn move_role(&self, to: Option<&str>) {
        let path = format!(
            "{}/providers/Microsoft.Authorization/roleAssignments?api-version=2022-04-01&$filter=principalId%20eq%20'{}'",
            self.vault_id(),
            self.made("principalId")
        );
        let list = self.world.rest("GET", &path, None);
        for assignment in list["value"].as_array().into_iter().flatten() {
            let id = assignment["id"].as_str().expect("an assignment has an id");
            self.azure(&["remove", id]);
        }
        if let Some(to) = to {
            let scope = format!("{}{to}", self.vault_id());
            let grant = json!({"principal": self.made("principalId"), "role": "Key Vault Secrets User", "scope": scope});
            self.azure(&["add", &json!({"roleAssignments": [grant]}).to_string()]);
        }
    }

    /// Makes the deployment anew with this pod template's metadata and container.
    pub(crate) fn deploy(&self, labels: &Value, annotations: &Value, environment: &Value) {
        let mut all = json!({"app": "orders"});
        for (name, value) in labels.as_object().into_iter().flatten() {
            all[name] = value.clone();
        }
        let metadata = json!({"labels": all, "annotations": annotations});
        self.deploy_template(
            &metadata,
            json!({"containers": [
            {"name": "main", "image": "demo-app.sandbox/absent:dev", "env": environment}]}),
        );
    }

    /// Makes it anew with nothing wrong but what is in the pod's specification.
    pub(crate) fn deploy_with(&self, more: &Value) {
        let metadata = json!({"labels": {"app": "orders", "azure.workload.identity/use": "true"}});
        let mut spec = json!({"containers": [{"name": "main", "image": "demo-app.sandbox/absent:dev"}]});
        for (name, value) in more.as_object().into_iter().flatten() {
            spec[name] = value.clone();
        }
        self.deploy_template(&metadata, spec);
    }

    fn deploy_template(&self, metadata: &Value, mut spec: Value) {
        self.kubectl("delete deployment orders --ignore-not-found --wait=true");
        spec["serviceAccountName"] = json!("orders");
        self.apply(&json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "orders"},
            "spec": {
                "replicas": 0,
                "selector": {"matchLabels": {"app": "orders"}},
                "template": {"metadata": metadata, "spec": spec},
            },
        }));
    }

    /// The kubeconfig of somebody with the rights that the case gives, [`LIMITED`] in a row's flags.
    fn limited(&self) -> String {
        self.world
            .folder()
            .join(format!("{}.kubeconfig", self.namespace))
            .display()
            .to_string()
    }

    pub(crate) fn verify(&self, flags: &str, more: &str) -> (i32, Value) {
        let flags = flags.replace(LIMITED, &self.limited());
        let line = format!(
            "kubectl wi verify --context {CONTEXT} -n {} --secret {}/db {flags} {more} -o json",
            self.namespace, self.vault
        );
        let ended = self.world.run(&line);
        for text in [&ended.stdout, &ended.stderr] {
            assert!(
                !text.contains("value-of-the") && !text.contains("eyJ"),
                "{line} tells a secret: {text}"
            );
        }
        (ended.code, ended.json())
    }

    /// Runs a command as it was printed, with what a person would answer or leave out here.
    pub(crate) fn run_printed(&self, fix: &str) {
        let more = if fix.starts_with("kubectl wi setup") {
            " --yes --wait none"
        } else if fix.starts_with("kubectl wi verify") {
            " --from local"
        } else {
            ""
        };
        self.world
            .run_words(&["sh", "-c", &format!("{fix}{more}")])
            .expect(0);
    }

    /// Holds what follows from the first finding: nothing else fails by itself, and what is named is found.
    fn hold_consequences(row: &Row, findings: &Value) {
        let all: Vec<&Value> = findings.as_array().into_iter().flatten().collect();
        for other in all.iter().skip(1).filter(|other| other["verdict"] == "fail") {
            let is_alike = other["code"] == row.code && other["becauseOf"] == Value::Null;
            assert!(
                is_alike || other["becauseOf"] == row.code,
                "{other:#}\nis no consequence of {}",
                row.code
            );
        }
        for (code, verdict) in row.then {
            let found = all.iter().find(|it| it["code"] == *code);
            let found = found.unwrap_or_else(|| panic!("no {code} beside {}: {findings:#}", row.code));
            assert_eq!(found["verdict"], *verdict, "{found:#}");
            if matches!(*verdict, "fail" | "skipped") {
                assert_eq!(found["becauseOf"], row.code, "{found:#}");
            }
        }
    }

    /// Breaks, verifies, mends and verifies again.
    pub(crate) fn try_it(&self, row: &Row) {
        (row.breaking)(self);
        let (code, document) = self.verify(row.flags, "");
        let findings = &document["clusters"][0]["report"]["findings"];
        let first = &findings[0];
        assert_eq!(first["code"], row.code, "{findings:#}");
        assert_eq!(first["verdict"], row.verdict, "{first:#}");
        assert_eq!(code, i32::from(row.verdict == "fail"), "{first:#}");
        assert_eq!(first["becauseOf"], Value::Null, "{first:#}");
        let fix = first["fixes"][0].as_str().unwrap_or_default();
        assert!(
            fix.contains(row.fix),
            "{}: {fix:?} instead of {:?}",
            row.code,
            row.fix
        );
        Self::hold_consequences(row, findings);
        if row.flags == HERE && row.verdict == "fail" {
            self.hold_documented(first);
        }
        match row.mend {
            Mend::Printed => self.run_printed(fix),
            Mend::PrintedAfter(comes_about) => {
                comes_about(self);
                self.run_printed(fix);
            }
            Mend::Undo(undo) => undo(self),
        }
        let (code, document) = self.verify(row.flags, "");
        let findings = &document["clusters"][0]["report"]["findings"];
        assert_eq!(code, 0, "{} is not mended: {findings:#}", row.code);
        assert_ne!(findings[0]["code"], row.code, "{findings:#}");
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        // Also after a failed assertion: the next test finds the cluster and the clock as they were.
        let published = format!("kubectl --context {CONTEXT} get clusterrolebinding {PUBLISHED}");
        if self.world.run(&published).code != 0 && !std::thread::panicking() {
            self.publish_issuer(true);
        }
        for words in [
            &["fault", "calm", CONTEXT][..],
            &["azure", "fault", "--end", &self.namespace],
            &["azure", "clock", "0s"],
            &["azure", "set", "cluster/aks-weu-1", "oidcIssuerEnabled=true"],
        ] {
            let _ = self.world.sandbox(words);
        }
    }
}
