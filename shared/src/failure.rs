//! What ends a command early: an exit status, an error with its causes, and hints to act on.
//!
//! Libraries return their own error enums; each plugin turns them into a [`Failure`] at its top, where the
//! status and the hints are decided. [`crate::entry`] prints it once.

use crate::exec_plugin::{PluginError, unmasked};
use crate::exit::ExitStatus;
use serde_json::{Value, json};
use std::error::Error;

/// The API version of the documents of `kubectl wi`.
pub const API_VERSION: &str = "kubectl-wi/v1alpha1";

/// An error at the top of a command.
#[derive(Debug, Clone)]
pub struct Failure {
    /// How the process ends.
    pub status: ExitStatus,
    /// What failed, without its causes.
    pub message: String,
    /// The cause chain, outermost first.
    pub causes: Vec<String>,
    /// Imperative sentences, best with a command to paste.
    pub hints: Vec<String>,
}

impl Failure {
    /// A failure that has no underlying error.
    pub fn new(status: ExitStatus, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            causes: Vec::new(),
            hints: Vec::new(),
        }
    }

    /// A bad flag, a bad file, an empty selection, or a declined prompt.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ExitStatus::Usage, message)
    }

    /// A precondition failed before anything was touched.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(ExitStatus::Refused, message)
    }

    /// Wraps an error: its own text is the message, its sources are the causes. A credential plugin among them
    /// brings its hint.
    pub fn from_error(status: ExitStatus, error: &dyn Error) -> Self {
        let mut failure = Self::new(status, error.to_string()).with_causes(causes(error));
        failure
            .hints
            .extend(PluginError::among_causes(error).map(PluginError::hint));
        failure
    }

    /// Replaces the cause chain.
    #[must_use]
    pub fn with_causes(mut self, causes: Vec<String>) -> Self {
        self.causes = causes;
        self
    }

    /// Adds the cause chain of `error`, its own text first.
    #[must_use]
    pub fn caused_by(mut self, error: &dyn Error) -> Self {
        self.causes.push(error.to_string());
        self.causes.extend(causes(error));
        self
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The document that `-o json` prints when a command failed before it had anything else to say, under the API
    /// version of the command's other documents.
    pub fn document(&self, api_version: &str) -> Value {
        let error = json!({"message": self.message, "causes": self.causes, "hints": self.hints});
        self.status
            .document(api_version, "Failure", json!({"error": error}))
    }
}

/// The sources of an error, outermost first, the error's own text left out and repetitions dropped. Of a refusal by
/// the API server only its message is told, without the status object that kube prints behind it.
pub fn causes(error: &dyn Error) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    let mut previous = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(message) = last_word(cause) {
            texts.push(message);
            break;
        }
        let text = cause.to_string();
        // Some libraries print their source in their own text as well; once is enough.
        if !previous.contains(&text) {
            texts.push(text.clone());
        }
        previous = text;
        source = cause.source();
    }
    texts
}

/// What an error of kube's client has to say, when neither its own text nor what lies below it may be told: the message
/// of the API server, which kube prints twice, or a failed credential, which kube prints with its secrets.
pub fn last_word(error: &(dyn Error + 'static)) -> Option<String> {
    let boxed = || error.downcast_ref::<Box<kube::Error>>().map(AsRef::as_ref);
    match error.downcast_ref::<kube::Error>().or_else(boxed) {
        Some(kube::Error::Api(status)) if !status.message.is_empty() => Some(status.message.clone()),
        _ => unmasked(error).map(|error| error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read it")]
    struct Outer(#[source] Box<kube::Error>);

    #[test]
    fn a_refusal_of_the_api_server_is_told_once_by_its_message() {
        let status = Status::failure("pods is forbidden", "Forbidden").with_code(403);
        let error = Outer(Box::new(kube::Error::Api(Box::new(status))));
        assert_eq!(causes(&error), ["pods is forbidden"]);
    }
}
