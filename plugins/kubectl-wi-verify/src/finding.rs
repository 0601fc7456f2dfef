//! What verification says: findings with stable codes out of the [catalogue].

mod catalogue;

pub use catalogue::{FindingCode, Phase};

use serde::{Deserialize, Serialize};

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It is as it should be.
    Pass,
    /// It was not looked at, because it does not matter any more.
    Skipped,
    /// It could not be told.
    Unknown,
    /// It works, and yet somebody should look.
    Warn,
    /// It is wrong.
    Fail,
}

impl Verdict {
    /// The word that documents and tables show.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Skipped => "skipped",
            Self::Unknown => "unknown",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

impl std::fmt::Display for FindingCode {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What was compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// The field or question.
    pub what: String,
    /// What it should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What it is; none when it is absent.
    pub found: Option<String>,
    /// Where it was found.
    pub source: String,
}

/// The outcome of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// What it is about.
    pub code: FindingCode,
    /// How the check ended.
    pub verdict: Verdict,
    /// The object it is about.
    pub subject: String,
    /// The finding in a sentence.
    pub message: String,
    /// What was compared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
    /// Commands or sentences that mend it, best first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fixes: Vec<String>,
    /// The finding that explains this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because_of: Option<FindingCode>,
}

impl Finding {
    /// A finding without evidence and fixes.
    pub fn new(
        code: FindingCode,
        verdict: Verdict,
        subject: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            code,
            verdict,
            subject: subject.into(),
            message: message.into(),
            evidence: Vec::new(),
            fixes: Vec::new(),
            because_of: None,
        }
    }

    /// Adds a comparison.
    #[must_use]
    pub fn compared(
        mut self,
        what: &str,
        expected: Option<&str>,
        found: Option<&str>,
        source: impl Into<String>,
    ) -> Self {
        self.evidence.push(Evidence {
            what: what.to_owned(),
            expected: expected.map(str::to_owned),
            found: found.map(str::to_owned),
            source: source.into(),
        });
        self
    }

    /// Adds a fix.
    #[must_use]
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fixes.push(fix.into());
        self
    }

    /// Says which finding explains this one, if any.
    #[must_use]
    pub const fn because(mut self, code: Option<FindingCode>) -> Self {
        self.because_of = code;
        self
    }
}
