//! The result of one verification, and the document of several.

use crate::finding::{Finding, FindingCode, Verdict};
use aks_shared::failure::API_VERSION;
use aks_shared::identity::ServiceAccountRef;
use aks_shared::{ExitStatus, Failure};
use serde::Serialize;

/// What verification found out about one service account of one cluster.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The kubeconfig context.
    pub context: String,
    /// The account.
    #[cfg_attr(test, schemars(with = "Account"))]
    pub account: ServiceAccountRef,
    /// The gravest verdict among the findings.
    pub verdict: Verdict,
    /// The findings; root causes first.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Puts root causes first, consequences after them, then what passed, each in the order of the chain.
    pub fn new(context: impl Into<String>, account: ServiceAccountRef, mut findings: Vec<Finding>) -> Self {
        findings.sort_by_key(|finding| {
            (
                std::cmp::Reverse(finding.verdict),
                finding.because_of.is_some(),
                finding.code.phase(),
            )
        });
        let verdict = findings
            .iter()
            .map(|finding| finding.verdict)
            .max()
            .unwrap_or(Verdict::Unknown);
        Self {
            context: context.into(),
            account,
            verdict,
            findings,
        }
    }

    /// The gravest verdict among the findings.
    pub const fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The findings that failed, root causes first.
    pub fn failures(&self) -> impl Iterator<Item = &Finding> {
        self.findings
            .iter()
            .filter(|finding| finding.verdict == Verdict::Fail)
    }

    /// The finding that explains the failure, when there is one.
    pub fn cause(&self) -> Option<&Finding> {
        self.failures().next()
    }

    /// Whether there is a finding with this code and verdict.
    pub fn has(&self, code: FindingCode, verdict: Verdict) -> bool {
        self.findings
            .iter()
            .any(|finding| finding.code == code && finding.verdict == verdict)
    }

    /// The findings in the order of the chain, for a checklist.
    pub fn checklist(&self) -> Vec<&Finding> {
        let mut findings: Vec<&Finding> = self.findings.iter().collect();
        findings.sort_by_key(|finding| finding.code.phase());
        findings
    }

    /// How a command that stops at `fail_on` ends.
    pub fn status(&self, fail_on: Verdict) -> ExitStatus {
        if self.verdict >= fail_on {
            ExitStatus::Failed
        } else {
            ExitStatus::Ok
        }
    }
}

/// One cluster of a run: its report, or why there is none.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ClusterResult {
    /// The kubeconfig context.
    pub context: String,
    /// How this cluster alone would have ended.
    pub exit_code: u8,
    /// The name of that code.
    pub exit_name: &'static str,
    /// What was found out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<Report>,
    /// Why nothing was found out, the error and its causes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub error: Vec<String>,
    /// What to do about that.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
}

impl ClusterResult {
    /// The result of one cluster that alone would have ended with `status`.
    pub fn new(context: String, status: ExitStatus, outcome: Result<Report, Failure>) -> Self {
        let (report, error, hints) = match outcome {
            Ok(report) => (Some(report), Vec::new(), Vec::new()),
            Err(failure) => {
                let error = std::iter::once(failure.message).chain(failure.causes).collect();
                (None, error, failure.hints)
            }
        };
        Self {
            context,
            exit_code: status.code(),
            exit_name: status.name(),
            report,
            error,
            hints,
        }
    }
}

/// The `VerificationReport` document.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Document<'a> {
    api_version: &'static str,
    kind: &'static str,
    exit_code: u8,
    exit_name: &'static str,
    clusters: &'a [ClusterResult],
}

impl<'a> Document<'a> {
    /// The document of a run that ends with `status`.
    pub const fn new(status: ExitStatus, clusters: &'a [ClusterResult]) -> Self {
        Self {
            api_version: API_VERSION,
            kind: "VerificationReport",
            exit_code: status.code(),
            exit_name: status.name(),
            clusters,
        }
    }
}

/// A service account, for the schema.
#[cfg(test)]
#[derive(schemars::JsonSchema)]
#[expect(dead_code, reason = "only its schema is looked at")]
struct Account {
    /// Its namespace.
    namespace: String,
    /// Its name.
    name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_the_one_of_the_types() {
        let mut schema = schemars::schema_for!(Document<'_>);
        schema.insert("title".to_owned(), "VerificationReport".into());
        let text = aks_shared::format::to_json(&schema).unwrap();
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../shared/docs/verification-report.schema.json");
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        assert!(
            std::fs::read_to_string(path).unwrap() == text,
            "write it anew: UPDATE_SCHEMA=1 cargo test -p kubectl-wi-verify the_schema"
        );
    }

    fn report(findings: Vec<Finding>) -> Report {
        Report::new(
            "aks-1",
            ServiceAccountRef::new("shop", "orders").unwrap(),
            findings,
        )
    }

    #[test]
    fn root_causes_come_first_and_consequences_after_them() {
        let report = report(vec![
            Finding::new(FindingCode::IssuerOk, Verdict::Pass, "", ""),
            Finding::new(FindingCode::ExchangeRefused, Verdict::Fail, "", "")
                .because(Some(FindingCode::SubjectMismatch)),
            Finding::new(FindingCode::SubjectMismatch, Verdict::Fail, "", ""),
            Finding::new(FindingCode::LabelOnAccount, Verdict::Warn, "", ""),
        ]);
        let codes: Vec<&str> = report
            .findings
            .iter()
            .map(|finding| finding.code.name())
            .collect();
        assert_eq!(
            codes,
            [
                "subject-mismatch",
                "exchange-refused",
                "label-on-account",
                "issuer-ok"
            ]
        );
        assert_eq!(
            report.cause().map(|finding| finding.code),
            Some(FindingCode::SubjectMismatch)
        );
    }

    #[test]
    fn the_threshold_decides_the_status() {
        let unknown = report(vec![Finding::new(
            FindingCode::AzureUnknown,
            Verdict::Unknown,
            "",
            "",
        )]);
        assert_eq!(unknown.status(Verdict::Fail), ExitStatus::Ok);
        assert_eq!(unknown.status(Verdict::Warn), ExitStatus::Ok);
        assert_eq!(unknown.status(Verdict::Unknown), ExitStatus::Failed);
        assert_eq!(report(Vec::new()).verdict(), Verdict::Unknown);
    }
}
