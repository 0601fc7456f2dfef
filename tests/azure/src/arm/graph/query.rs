//! A query, as it was understood.

/// A query: a table and what is done with its rows.
#[derive(Debug, PartialEq)]
pub(super) struct Query {
    /// `resources` or `resourcecontainers`.
    pub(super) table: String,
    pub(super) stages: Vec<Stage>,
}

/// One step of the pipe.
#[derive(Debug, PartialEq)]
pub(super) enum Stage {
    Where(Test),
    /// New name and what it holds.
    Project(Vec<(String, Operand)>),
    Extend(Vec<(String, Operand)>),
    Take(usize),
    Order {
        by: Operand,
        descending: bool,
    },
    Summarize {
        /// The name under which rows are counted.
        count: Option<String>,
        by: Vec<(String, Operand)>,
    },
}

/// What rows are kept.
#[derive(Debug, PartialEq)]
pub(super) enum Test {
    All(Vec<Test>),
    Any(Vec<Test>),
    Not(Box<Test>),
    Empty(Operand),
    Compare {
        left: Operand,
        how: How,
        right: Vec<Operand>,
        negated: bool,
    },
}

/// How values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Equal,
    /// Without case, as all the following.
    Alike,
    Contains,
    StartsWith,
    EndsWith,
}

/// A value in a query.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand {
    /// Field names, outermost first.
    Field(Vec<String>),
    Text(String),
    Bool(bool),
    Number(i64),
    Lower(Box<Operand>),
    /// As text.
    AsText(Box<Operand>),
}

impl Operand {
    /// The name of a column that holds this and was given none.
    pub(super) fn name(&self) -> Option<String> {
        match self {
            Self::Field(path) => Some(path.join("_")),
            Self::Lower(inner) | Self::AsText(inner) => inner.name(),
            Self::Text(_) | Self::Bool(_) | Self::Number(_) => None,
        }
    }
}
