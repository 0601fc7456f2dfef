use super::document::{FileError, parse};
use super::*;
use pretty_assertions::assert_eq;
use std::path::Path;

const SAMPLE: &str = "\
apiVersion: kubectl-wi/v1alpha1
kind: WorkloadIdentities
contexts: ['aks-prod-*']
workloads:
  - namespace: shop
    serviceAccount: orders
    secrets: [kv-central/db-password, kv-central/db-password]
  - contexts: [aks-dev]
    serviceAccount: reports
    secrets: [kv-central/api-key]
    grants: ['Storage Blob Data Reader@/subscriptions/s/resourceGroups/rg-data']
    identity: {name: 'id-{{ cluster.name }}-reports', group: rg-ids, tags: {team: shop}}
    audience: api://Other
    serviceAccountOwner: setup
    helmRelease: reports
    allowVaultWide: true
    replaceIdentity: true
    acceptUnproven: true
";

fn file(text: &str) -> Result<WorkloadFile, String> {
    parse(Path::new("wi.yaml"), text).map_err(|error: FileError| error.to_string())
}

fn sample() -> WorkloadFile {
    file(SAMPLE).unwrap()
}

/// Every file that `-f` takes, for the schema.
#[derive(schemars::JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is looked at")]
enum AnyFile {
    WorkloadIdentities(WorkloadFile),
    Grants(crate::grants::GrantFile),
}

#[test]
fn the_schema_is_the_one_of_the_types() {
    let mut schema = schemars::schema_for!(AnyFile);
    schema.insert("title".to_owned(), "Files of kubectl wi setup".into());
    let text = aks_shared::format::to_json(&schema).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/file/schema.json");
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(path).unwrap(),
        text,
        "write it anew: UPDATE_SCHEMA=1 cargo test -p kubectl-wi-setup the_schema"
    );
}

#[test]
fn a_workload_of_a_file_is_the_one_of_the_flags() {
    let outside = FileContext {
        namespace: Some("ops".into()),
        ..FileContext::default()
    };
    let first = sample().workload(0, "aks-prod-1", &outside).unwrap();
    let account = ServiceAccountRef::new("shop", "orders").unwrap();
    let expected = Workload {
        secrets: vec!["kv-central/db-password".parse().unwrap()],
        ..Workload::new(account)
    };
    assert_eq!(first, expected);
    let second = sample().workload(1, "aks-dev", &outside).unwrap();
    assert_eq!(second.account.to_string(), "ops/reports");
    assert_eq!(second.grants[0].role, "Storage Blob Data Reader");
    assert_eq!(second.identity_name, "id-{{ cluster.name }}-reports");
    assert_eq!(second.account_owner, AccountOwner::Setup);
    assert!(second.allow_vault_wide && second.replace_identity && second.accept_unproven);
    let globs: Vec<Vec<String>> = sample().contexts().map(<[String]>::to_vec).collect();
    assert_eq!(globs, [["aks-prod-*"], ["aks-dev"]]);
}

#[test]
fn what_is_wrong_is_told_by_line_column_and_key() {
    let broken = |from: &str, to: &str| file(&SAMPLE.replacen(from, to, 1)).unwrap_err();
    for (from, to, expected) in [
        (
            "    secrets: [kv",
            "    secret: [kv",
            "wi.yaml:7:5: workloads[0]: unknown field `secret`, expected one of `contexts`",
        ),
        (
            "kv-central/api-key",
            "api-key",
            "wi.yaml:10:15: workloads[1].secrets[0]: \"api-key\" is no secret: it must be VAULT/NAME",
        ),
        (
            "Data Reader@/sub",
            "Data Reader@sub",
            "wi.yaml:11:14: workloads[1].grants[0]: \"subscriptions/s/resourceGroups/rg-data\" is no scope",
        ),
        (
            "Owner: setup",
            "Owner: me",
            "wi.yaml:14:26: workloads[1].serviceAccountOwner: unknown variant `me`, expected one of `auto`, `setup`, `chart`",
        ),
        (
            "    serviceAccount: orders\n",
            "",
            "wi.yaml:5:5: workloads[0]: missing field `serviceAccount`",
        ),
        (
            "v1alpha1",
            "v1",
            "wi.yaml:1:13: apiVersion: unknown variant `kubectl-wi/v1`, expected `kubectl-wi/v1alpha1`",
        ),
    ] {
        let told = broken(from, to);
        assert!(told.starts_with(expected), "{told}");
    }
}

#[test]
fn names_and_identities_that_contradict_are_told_by_key() {
    let identity =
        "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/x";
    let vault = "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/kv";
    for (text, expected) in [
        (
            "{serviceAccount: Orders}".to_owned(),
            "workloads[0].serviceAccount: \"Orders\" is no service account name",
        ),
        (
            "{namespace: a.b, serviceAccount: a}".to_owned(),
            "workloads[0].namespace: \"a.b\" is no namespace",
        ),
        (
            format!("{{serviceAccount: a, identity: {{id: {vault}}}}}"),
            "workloads[0].identity.id: it must be the id of a user",
        ),
        (
            format!("{{serviceAccount: a, identity: {{id: {identity}, group: g}}}}"),
            "workloads[0].identity.id: an identity that exists",
        ),
    ] {
        let text =
            format!("apiVersion: kubectl-wi/v1alpha1\nkind: WorkloadIdentities\nworkloads: [{text}]\n");
        let told = file(&text)
            .unwrap()
            .workload(0, "c", &FileContext::default())
            .unwrap_err()
            .to_string();
        assert!(told.starts_with(expected), "{told}");
    }
}

#[test]
fn the_files_of_the_documentation_are_files() {
    let page = include_str!("../../../../shared/docs/setup-files.md");
    let blocks: Vec<&str> = page
        .split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    let [workloads, grants] = blocks.as_slice() else {
        panic!("{} blocks", blocks.len())
    };
    let workloads = file(workloads).unwrap();
    assert!(workloads.workload(1, "aks-dev", &FileContext::default()).is_ok());
    parse::<crate::grants::GrantFile>(Path::new("grants.yaml"), grants).unwrap();
}
