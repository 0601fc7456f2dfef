//! A number of targets, given as such or as a share of a stage.

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;

/// How many targets of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// So many.
    Count(usize),
    /// So many of a hundred.
    Percent(u8),
}

impl Amount {
    /// The number for a stage of `total` targets, rounded down: 25% of 5 is 1.
    pub const fn of(self, total: usize) -> usize {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => total * percent as usize / 100,
        }
    }

    /// As [`Self::of`], but at least one: a concurrency of none would never end.
    pub fn of_at_least_one(self, total: usize) -> usize {
        self.of(total).max(1)
    }
}

impl std::str::FromStr for Amount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("{text:?} is neither a number nor a percentage such as \"25%\"");
        match text.strip_suffix('%') {
            None => text.parse().map(Self::Count).map_err(|_| wrong()),
            Some(number) => match number.parse() {
                Ok(percent @ 0..=100) => Ok(Self::Percent(percent)),
                _ => Err(wrong()),
            },
        }
    }
}

#[cfg(test)]
impl schemars::JsonSchema for Amount {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Amount".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A number of clusters, or a share of the stage's, rounded down.",
            "oneOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^([0-9]+|[0-9]{1,2}%|100%)$"}],
        })
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AmountVisitor;
        impl Visitor<'_> for AmountVisitor {
            type Value = Amount;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a number, or a percentage such as \"25%\"")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Amount, E> {
                usize::try_from(number).map(Amount::Count).map_err(E::custom)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Amount, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(AmountVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_rounded_down() {
        assert_eq!(Amount::Percent(25).of(5), 1);
        assert_eq!(Amount::Percent(25).of(3), 0);
        assert_eq!(Amount::Percent(25).of_at_least_one(3), 1);
        assert_eq!(Amount::Percent(100).of(7), 7);
        assert_eq!(Amount::Count(4).of(2), 4);
    }

    #[test]
    fn only_numbers_and_percentages_are_amounts() {
        assert_eq!("25%".parse(), Ok(Amount::Percent(25)));
        assert_eq!("3".parse(), Ok(Amount::Count(3)));
        for bad in ["101%", "-1", "x", "", "%", "2.5%"] {
            assert!(bad.parse::<Amount>().is_err(), "{bad}");
        }
    }
}
