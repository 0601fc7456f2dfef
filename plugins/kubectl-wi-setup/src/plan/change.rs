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
pub(crate) trait Described {
    /// What it is and its name.
    fn name(&self) -> String;
    /// What matters about it.
    fn detail(&self) -> String;
    /// How it differs from what is there.
    fn difference(&self, from: &Self) -> String;
}

/// What stands in the way of an object, with its name.
pub(crate) fn conflict<T: Described>(change: &Change<T>) -> Option<String> {
    match change {
        Change::Conflict { wanted, why } => Some(format!("{}: {why}", wanted.name())),
        Change::InSync { .. } | Change::Create { .. } | Change::Update { .. } | Change::Left { .. } => None,
    }
}

/// An object that is deleted, in words.
pub(super) fn deleted<T: Described>(object: &T) -> Row {
    Row {
        action: "delete",
        object: object.name(),
        detail: object.detail(),
    }
}

/// One object of a plan in words, for every rendering alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The action, as documents name it.
    pub action: &'static str,
    /// What the object is and its name.
    pub object: String,
    /// What will be there, what differs, what stands in the way, or who makes it.
    pub detail: String,
}

impl fmt::Display for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            action,
            object,
            detail,
        } = self;
        match *action {
            "in-sync" => write!(formatter, "= {object}"),
            "create" if detail.is_empty() => write!(formatter, "+ create {object}"),
            "create" => write!(formatter, "+ create {object} ({detail})"),
            "update" => write!(formatter, "~ update {object}: {detail}"),
            "conflict" => write!(formatter, "! {object}: {detail}"),
            "delete" if detail.is_empty() => write!(formatter, "x delete {object}"),
            "delete" => write!(formatter, "x delete {object} ({detail})"),
            _ => write!(formatter, "- {object}: {detail}"),
        }
    }
}

/// A change in words.
pub(super) fn row<T: Described>(change: &Change<T>) -> Row {
    let (target, detail) = match change {
        Change::InSync { current } => (current, String::new()),
        Change::Create { wanted } => (wanted, wanted.detail()),
        Change::Update { from, to } => (to, to.difference(from)),
        Change::Conflict { wanted: target, why }
        | Change::Left {
            expected: target,
            why,
        } => (target, why.clone()),
    };
    Row {
        action: change.action(),
        object: target.name(),
        detail,
    }
}

impl<T: Described> fmt::Display for Change<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        row(self).fmt(formatter)
    }
}
