//! What people and scripts see: talk on stderr, data on stdout.

use std::error::Error;
use std::io::{self, Write as _};

use clap::{Args, ValueEnum};
use serde_json::Value;

/// How a document is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// The flag for it.
#[derive(Debug, Args)]
pub struct OutputArgs {
    /// Output format
    #[arg(long, short, value_enum, default_value_t = Format::Text)]
    pub output: Format,
}

impl OutputArgs {
    /// A document as it is asked for.
    pub fn shown(&self, document: &Value, text: impl FnOnce(&Value) -> String) -> String {
        match self.output {
            Format::Text => text(document),
            Format::Json => json(document),
        }
    }
}

/// A document for programs.
pub fn json(document: &Value) -> String {
    format!("{document:#}\n")
}

/// One line of talk.
pub fn talk(line: &str) {
    // Nobody listens: the work goes on.
    let _ = writeln!(io::stderr(), "{line}");
}

/// Data, as it is.
pub fn data(text: &str) {
    // A reader that has gone, as `head` does, has had enough.
    let _ = io::stdout().write_all(text.as_bytes());
}

/// An error with its causes, and what can be done.
pub fn failure(error: &dyn Error, hint: Option<&str>) {
    let mut text = format!("error: {error}");
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !said.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        said = cause_text;
        source = cause.source();
    }
    talk(&text);
    if let Some(hint) = hint {
        talk(&format!("hint: {hint}"));
    }
}

/// Lines with aligned columns; the first row is the head.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..columns)
        .map(|column| width(column).unwrap_or_default())
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("   ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        assert_eq!(
            table(&[row(["NAME", "AGE"]), row(["a", "1"])]),
            "NAME   AGE\na      1\n"
        );
    }
}
