//! Reports as text: a checklist for people, `JUnit` and Markdown for pipelines. Nothing here prints or judges.

pub mod checklist;
pub mod junit;
pub mod markdown;

use crate::finding::{Evidence, Finding};

/// What explains a finding and what mends it. A consequence has nothing of its own to show: its cause has both.
fn explained(finding: &Finding) -> (&[Evidence], &[String]) {
    match finding.because_of {
        Some(_) => (&[], &[]),
        None => (&finding.evidence, &finding.fixes),
    }
}

/// What was found in the place of what was expected.
fn found(evidence: &Evidence) -> &str {
    evidence.found.as_deref().unwrap_or("(none)")
}
