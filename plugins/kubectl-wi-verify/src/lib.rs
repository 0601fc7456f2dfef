//! `kubectl wi verify`: proves that pods of a service account reach Azure as the identity that they should be, or
//! names the cause.
//!
//! Facts are gathered first ([`facts`]), a probe tries the exchange ([`probe_job`]), and pure functions judge
//! ([`diagnosis`]) what becomes the report ([`report`]).

mod args;
mod command;
pub mod diagnosis;
pub mod facts;
pub mod finding;
mod image;
mod local;
pub mod probe_job;
mod proof;
pub mod render;
pub mod report;
pub mod verification;

pub use args::{FailOn, VerifyArgs, VerifyCli};
pub use facts::Expected;
pub use finding::{Evidence, Finding, FindingCode, Verdict};
pub use image::ImageArgs;
pub use report::Report;
pub use verification::{ProbeOptions, Vantage, Verification, VerifyError, verify};
