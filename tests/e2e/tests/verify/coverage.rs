//! Every finding that there is, and what produces it here.

use crate::case::{Case, Row};
use crate::documented::page;
use crate::{access, policy, rebuilt, rights, trust, workload};
use std::collections::BTreeSet;

/// What passes on a workload that works.
const HEALTHY: [&str; 11] = [
    "issuer-ok",
    "account-ok",
    "workload-ok",
    "injection-ok",
    "identity-ok",
    "credential-ok",
    "discovery-ok",
    "exchange-ok",
    "other-account-refused",
    "secret-ok",
    "access-narrow",
];

/// What has no row, and why.
const WITHOUT_ROW: [(&str, &str); 1] = [(
    "azure-unknown",
    "a run without a sign-in cannot be mended into one with it; it is held after the rows of access.rs",
)];

fn rows() -> Vec<Row> {
    let parts: [fn() -> Vec<Row>; 7] = [
        access::rows,
        policy::rows,
        rebuilt::rows,
        rights::rows,
        trust::rows,
        workload::account_rows,
        workload::workload_rows,
    ];
    parts.iter().flat_map(|rows| rows()).collect()
}

#[test]
fn every_finding_is_produced_by_a_row_or_says_why_not() {
    let page = page();
    let codes: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .collect();
    let mut produced: BTreeSet<&str> = HEALTHY.into();
    for row in rows() {
        produced.insert(row.code);
        produced.extend(row.then.iter().map(|(code, _)| *code));
    }
    let excused: BTreeSet<&str> = WITHOUT_ROW.iter().map(|(code, _)| *code).collect();
    assert_eq!(
        produced.intersection(&excused).count(),
        0,
        "an excuse is out of date"
    );
    let told: BTreeSet<&str> = produced.union(&excused).copied().collect();
    assert_eq!(
        told, codes,
        "every code is produced or excused, and there is no other"
    );
}

#[test]
fn a_workload_that_works_passes_in_every_check() {
    let case = Case::new("healthy");
    case.deploy_with(&serde_json::json!({}));
    let (code, document) = case.verify("deploy/orders --from both --least-privilege", "");
    let findings = &document["clusters"][0]["report"]["findings"];
    assert_eq!(code, 0, "{findings:#}");
    let all = findings.as_array().into_iter().flatten();
    let passed: BTreeSet<&str> = all
        .filter(|finding| finding["verdict"] == "pass")
        .filter_map(|finding| finding["code"].as_str())
        .collect();
    assert_eq!(passed, HEALTHY.into(), "{findings:#}");
    assert_eq!(
        document["clusters"][0]["report"]["verdict"], "pass",
        "{findings:#}"
    );
}
