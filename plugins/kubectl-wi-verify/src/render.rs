//! Reports as text: a checklist for people, `JUnit` and Markdown for pipelines. Nothing here prints or judges.

pub mod checklist;
pub mod junit;
pub mod markdown;
