//! What was measured against what it may be: pure, and shown as text or as a document.

use serde_json::{Value, json};

use crate::output;

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Time, given in seconds.
    Seconds,
    /// Time, given in seconds and shown in thousandths.
    Milliseconds,
    /// Memory or a file, in millions of bytes.
    Megabytes,
    /// Processes.
    Processes,
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Seconds => format!("{value:.2} s"),
            Self::Milliseconds => format!("{:.1} ms", value * 1e3),
            Self::Megabytes => format!("{value:.1} MB"),
            Self::Processes => format!("{value:.0}"),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Seconds | Self::Milliseconds => "seconds",
            Self::Megabytes => "megabytes",
            Self::Processes => "processes",
        }
    }
}

/// What is allowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Budget {
    /// So many times what the other costs.
    Ratio(f64),
    /// So much.
    Most(f64),
}

/// One thing that was measured: ours, and where there is one, what a user would take instead, in the same order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) what: String,
    pub(super) unit: Unit,
    pub(super) ours: Vec<f64>,
    pub(super) other: Vec<f64>,
    pub(super) budget: Budget,
}

/// Median and both ends of what was measured more than once.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len().is_multiple_of(2) {
            f64::midpoint(values[middle - 1], values[middle])
        } else {
            values[middle]
        };
        Some(Self { median, least, most })
    }

    fn json(self) -> Value {
        json!({"median": self.median, "min": self.least, "max": self.most})
    }
}

impl Row {
    /// Pair by pair: what ours cost of what the other cost right after.
    fn ratio(&self) -> Option<Spread> {
        Spread::of(
            self.ours
                .iter()
                .zip(&self.other)
                .map(|(ours, other)| ours / other),
        )
    }

    /// Whether the median keeps the budget.
    fn holds(&self) -> bool {
        let (spread, most) = match self.budget {
            Budget::Ratio(most) => (self.ratio(), most),
            Budget::Most(most) => (Spread::of(self.ours.iter().copied()), most),
        };
        spread.is_some_and(|spread| spread.median <= most)
    }

    fn cells(&self) -> Vec<String> {
        let median =
            |values: &[f64]| Spread::of(values.iter().copied()).map(|spread| self.unit.show(spread.median));
        let ratio = self
            .ratio()
            .map(|ratio| format!("{:.3} ({:.3}–{:.3})", ratio.median, ratio.least, ratio.most));
        let budget = match self.budget {
            Budget::Ratio(most) => format!("≤ {most:.2} ×"),
            Budget::Most(most) => format!("≤ {}", self.unit.show(most)),
        };
        let absent = || "-".to_owned();
        vec![
            self.what.clone(),
            median(&self.ours).unwrap_or_else(absent),
            median(&self.other).unwrap_or_else(absent),
            ratio.unwrap_or_else(absent),
            budget,
            if self.holds() { "yes" } else { "NO" }.to_owned(),
        ]
    }

    fn json(&self) -> Value {
        let spread = |values: &[f64]| Spread::of(values.iter().copied()).map(Spread::json);
        let budget = match self.budget {
            Budget::Ratio(most) => json!({"ratio": most}),
            Budget::Most(most) => json!({"ours": most}),
        };
        json!({
            "what": self.what,
            "unit": self.unit.name(),
            "ours": spread(&self.ours),
            "other": spread(&self.other),
            "ratio": self.ratio().map(Spread::json),
            "budget": budget,
            "holds": self.holds(),
        })
    }
}

/// For people: medians, and how far the ratios of single pairs lie apart.
pub(super) fn text(rows: &[Row]) -> String {
    let head = ["WHAT", "OURS", "OTHER", "RATIO", "BUDGET", "HOLDS"];
    let head = head.map(str::to_owned).to_vec();
    let lines: Vec<Vec<String>> = std::iter::once(head).chain(rows.iter().map(Row::cells)).collect();
    output::table(&lines)
}

/// For programs.
pub(super) fn json(rows: &[Row]) -> Value {
    rows.iter().map(Row::json).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ours: &[f64], other: &[f64], budget: Budget) -> Row {
        Row {
            what: "upgrade".to_owned(),
            unit: Unit::Seconds,
            ours: ours.to_vec(),
            other: other.to_vec(),
            budget,
        }
    }

    #[test]
    fn the_ratio_is_that_of_pairs_and_its_median_is_what_the_budget_judges() {
        let row = row(&[1.0, 6.0, 2.0], &[2.0, 2.0, 2.0], Budget::Ratio(1.1));
        let expected = Spread {
            median: 1.0,
            least: 0.5,
            most: 3.0,
        };
        assert_eq!(row.ratio(), Some(expected));
        assert!(row.holds());
        assert_eq!(
            text(&[row]),
            "WHAT      OURS     OTHER    RATIO                 BUDGET     HOLDS\n\
             upgrade   2.00 s   2.00 s   1.000 (0.500–3.000)   ≤ 1.10 ×   yes\n"
        );
    }

    #[test]
    fn a_cost_of_its_own_has_no_ratio() {
        let row = row(&[0.5, 1.5], &[], Budget::Most(0.9));
        assert!(!row.holds());
        assert_eq!(row.cells()[1..], ["1.00 s", "-", "-", "≤ 0.90 s", "NO"]);
        let document = row.json();
        assert_eq!(document["ours"], json!({"median": 1.0, "min": 0.5, "max": 1.5}));
        assert_eq!(document["ratio"], Value::Null);
        assert_eq!(document["budget"], json!({"ours": 0.9}));
    }
}
