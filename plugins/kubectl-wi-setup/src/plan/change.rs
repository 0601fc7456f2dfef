//! What has to happen to one object.

use serde::Serialize;
use std::fmt;

/// What has to happen to one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum Change<T> {
    /// It is as it should be.
    InSync {
        /// What is there.
        current: T,
    },
    /// It is missing.
    Create {
        /// What will be there.
        wanted: T,
    },
    /// It is there with other content.
    Update {
        /// What is there.
        from: T,
        /// What will be there.
        to: T,
    },
    /// It cannot be made what it should be without taking something away from somebody.
    Conflict {
        /// What was wanted.
        wanted: T,
        /// What stands in the way, and the way out.
        why: String,
    },
    /// Somebody else makes it.
    Left {
        /// What is expected to be there in the end.
        expected: T,
        /// Who makes it.
        why: String,
    },
}

impl<T: Clone> Change<T> {
    /// Leaves the object to somebody else, unless it is in order.
    pub(super) fn leave(&mut self, why: String) {
        if !matches!(self, Self::InSync { .. }) {
            *self = Self::Left {
                expected: self.target().clone(),
                why,
            };
        }
    }
}

impl<T> Change<T> {
    /// Whether nothing is to be done.
    pub fn is_settled(&self) -> bool {
        matches!(self, Self::InSync { .. } | Self::Left { .. })
    }

    /// What is there in the end.
    pub fn target(&self) -> &T {
        match self {
            Self::InSync { current: target }
            | Self::Create { wanted: target }
            | Self::Update { to: target, .. }
            | Self::Conflict { wanted: target, .. }
            | Self::Left { expected: target, .. } => target,
        }
    }

    /// What is written, when something is.
    pub fn written(&self) -> Option<&T> {
        match self {
            Self::Create { wanted: target } | Self::Update { to: target, .. } => Some(target),
            Self::InSync { .. } | Self::Conflict { .. } | Self::Left { .. } => None,
        }
    }

    /// The action's name in documents.
    pub fn action(&self) -> &'static str {
        match self {
            Self::InSync { .. } => "in-sync",
            Self::Create { .. } => "create",
            Self::Update { .. } => "update",
            Self::Conflict { .. } => "conflict",
            Self::Left { .. } => "left",
        }
    }
}

/// An object of a plan, as people name it.
pub(super) trait Described {
    /// What it is and its name.
    fn name(&self) -> String;
    /// What matters about it.
    fn detail(&self) -> String;
    /// How it differs from what is there.
    fn difference(&self, from: &Self) -> String;
}

/// What stands in the way of an object, with its name.
pub(super) fn conflict<T: Described>(change: &Change<T>) -> Option<String> {
    match change {
        Change::Conflict { wanted, why } => Some(format!("{}: {why}", wanted.name())),
        Change::InSync { .. } | Change::Create { .. } | Change::Update { .. } | Change::Left { .. } => None,
    }
}

impl<T: Described> fmt::Display for Change<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with_detail = |target: &T| match target.detail() {
            detail if detail.is_empty() => target.name(),
            detail => format!("{} ({detail})", target.name()),
        };
        match self {
            Self::InSync { current } => write!(formatter, "= {}", current.name()),
            Self::Create { wanted } => write!(formatter, "+ create {}", with_detail(wanted)),
            Self::Update { from, to } => write!(formatter, "~ update {}: {}", to.name(), to.difference(from)),
            Self::Conflict { wanted, why } => write!(formatter, "! {}: {why}", wanted.name()),
            Self::Left { expected, why } => write!(formatter, "- {}: {why}", expected.name()),
        }
    }
}
