//! The part of the query language that is understood; everything else is refused by name.

use super::query::{How, Operand, Query, Stage, Test};
use super::tokens::{Token, tokens};

/// Why a query is not understood.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum QueryError {
    #[error("The text ends in the middle.")]
    End,
    #[error("A quoted text does not end.")]
    Quote,
    #[error("'{0}' is not understood by the simulator at this place.")]
    Unexpected(String),
    #[error("The simulator has no table '{0}'.")]
    Table(String),
}

/// Reads a query.
pub(super) fn query(text: &str) -> Result<Query, QueryError> {
    let mut reader = Reader {
        tokens: tokens(text)?,
        at: 0,
    };
    let table = reader.word()?.to_lowercase();
    if !["resources", "resourcecontainers"].contains(&table.as_str()) {
        return Err(QueryError::Table(table));
    }
    let mut stages = Vec::new();
    while reader.peek().is_some() {
        reader.sign("|")?;
        reader.stage(&mut stages)?;
    }
    Ok(Query { table, stages })
}

struct Reader {
    tokens: Vec<Token>,
    at: usize,
}

impl Reader {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Result<Token, QueryError> {
        let token = self.peek().cloned().ok_or(QueryError::End)?;
        self.at += 1;
        Ok(token)
    }

    fn word(&mut self) -> Result<String, QueryError> {
        match self.next()? {
            Token::Word(word) => Ok(word),
            other => Err(QueryError::Unexpected(other.text())),
        }
    }

    fn sign(&mut self, wanted: &str) -> Result<(), QueryError> {
        match self.next()? {
            Token::Sign(sign) if sign == wanted => Ok(()),
            other => Err(QueryError::Unexpected(other.text())),
        }
    }

    fn take_sign(&mut self, wanted: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Sign(sign)) if sign == wanted);
        self.at += usize::from(found);
        found
    }

    fn take_word(&mut self, wanted: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(word)) if word.eq_ignore_ascii_case(wanted));
        self.at += usize::from(found);
        found
    }

    fn keyword(&mut self, wanted: &str) -> Result<(), QueryError> {
        match self.word()? {
            word if word.eq_ignore_ascii_case(wanted) => Ok(()),
            other => Err(QueryError::Unexpected(other)),
        }
    }

    fn stage(&mut self, stages: &mut Vec<Stage>) -> Result<(), QueryError> {
        let name = self.word()?;
        let stage = match name.to_lowercase().as_str() {
            "where" => Stage::Where(self.any()?),
            "project" => Stage::Project(self.columns()?),
            "extend" => Stage::Extend(self.columns()?),
            "summarize" => self.summarize()?,
            "take" | "limit" => Stage::Take(self.number()?),
            "order" | "sort" => self.order()?,
            "top" => {
                let count = self.number()?;
                stages.push(self.order()?);
                Stage::Take(count)
            }
            _ => return Err(QueryError::Unexpected(name)),
        };
        stages.push(stage);
        Ok(())
    }

    fn number(&mut self) -> Result<usize, QueryError> {
        let word = self.word()?;
        word.parse().map_err(|_| QueryError::Unexpected(word))
    }

    fn order(&mut self) -> Result<Stage, QueryError> {
        self.keyword("by")?;
        let by = self.operand()?;
        // Without a direction the language sorts downwards.
        let descending = !self.take_word("asc");
        self.take_word("desc");
        Ok(Stage::Order { by, descending })
    }

    /// `[NAME =] count() [by COLUMNS]`, or only `by COLUMNS`: the different values of these.
    fn summarize(&mut self) -> Result<Stage, QueryError> {
        let mut count = None;
        if !self.take_word("by") {
            let named = self.word()?;
            count = Some(if self.take_sign("=") {
                self.keyword("count")?;
                named
            } else if named.eq_ignore_ascii_case("count") {
                "count_".to_owned()
            } else {
                return Err(QueryError::Unexpected(named));
            });
            self.sign("(")?;
            self.sign(")")?;
            if !self.take_word("by") {
                return Ok(Stage::Summarize {
                    count,
                    by: Vec::new(),
                });
            }
        }
        let by = self.columns()?;
        Ok(Stage::Summarize { count, by })
    }

    fn columns(&mut self) -> Result<Vec<(String, Operand)>, QueryError> {
        let mut columns = Vec::new();
        loop {
            let start = self.operand()?;
            let column = match (start.name(), self.take_sign("=")) {
                (Some(name), false) => (name, start),
                (Some(name), true) if matches!(&start, Operand::Field(path) if path.len() == 1) => {
                    (name, self.operand()?)
                }
                _ => return Err(QueryError::Unexpected(format!("{start:?}"))),
            };
            columns.push(column);
            if !self.take_sign(",") {
                return Ok(columns);
            }
        }
    }

    fn any(&mut self) -> Result<Test, QueryError> {
        let mut tests = vec![self.all()?];
        while self.take_word("or") {
            tests.push(self.all()?);
        }
        Ok(if tests.len() == 1 {
            tests.remove(0)
        } else {
            Test::Any(tests)
        })
    }

    fn all(&mut self) -> Result<Test, QueryError> {
        let mut tests = vec![self.test()?];
        while self.take_word("and") {
            tests.push(self.test()?);
        }
        Ok(if tests.len() == 1 {
            tests.remove(0)
        } else {
            Test::All(tests)
        })
    }

    fn test(&mut self) -> Result<Test, QueryError> {
        if self.take_sign("(") {
            let test = self.any()?;
            self.sign(")")?;
            return Ok(test);
        }
        for (function, negated) in [
            ("isempty", false),
            ("isnotempty", true),
            ("isnull", false),
            ("isnotnull", true),
        ] {
            if self.take_word(function) {
                self.sign("(")?;
                let test = Test::Empty(self.operand()?);
                self.sign(")")?;
                return Ok(if negated { Test::Not(Box::new(test)) } else { test });
            }
        }
        if self.take_word("not") {
            self.sign("(")?;
            let test = self.any()?;
            self.sign(")")?;
            return Ok(Test::Not(Box::new(test)));
        }
        let left = self.operand()?;
        let operator = match self.next()? {
            Token::Sign(sign) if sign == "!" => format!("!{}", self.word()?),
            other => other.text(),
        };
        let (how, negated, list) = match operator.to_lowercase().as_str() {
            "==" => (How::Equal, false, false),
            "!=" => (How::Equal, true, false),
            "=~" => (How::Alike, false, false),
            "!~" => (How::Alike, true, false),
            "contains" | "has" => (How::Contains, false, false),
            "!contains" | "!has" => (How::Contains, true, false),
            "startswith" => (How::StartsWith, false, false),
            "endswith" => (How::EndsWith, false, false),
            "in" => (How::Equal, false, true),
            "!in" => (How::Equal, true, true),
            "in~" => (How::Alike, false, true),
            "!in~" => (How::Alike, true, true),
            _ => return Err(QueryError::Unexpected(operator)),
        };
        let right = if list { self.list()? } else { vec![self.operand()?] };
        Ok(Test::Compare {
            left,
            how,
            right,
            negated,
        })
    }

    fn list(&mut self) -> Result<Vec<Operand>, QueryError> {
        self.sign("(")?;
        let mut list = vec![self.operand()?];
        while self.take_sign(",") {
            list.push(self.operand()?);
        }
        self.sign(")")?;
        Ok(list)
    }

    fn operand(&mut self) -> Result<Operand, QueryError> {
        let word = match self.next()? {
            Token::Quoted(text) => return Ok(Operand::Text(text)),
            Token::Word(word) => word,
            sign @ Token::Sign(_) => return Err(QueryError::Unexpected(sign.text())),
        };
        if self.take_sign("(") {
            let inner = Box::new(self.operand()?);
            self.sign(")")?;
            return match word.to_lowercase().as_str() {
                "tolower" => Ok(Operand::Lower(inner)),
                "tostring" => Ok(Operand::AsText(inner)),
                _ => Err(QueryError::Unexpected(word)),
            };
        }
        match word.as_str() {
            "true" => return Ok(Operand::Bool(true)),
            "false" => return Ok(Operand::Bool(false)),
            _ => {}
        }
        if let Ok(number) = word.parse() {
            return Ok(Operand::Number(number));
        }
        let mut path = vec![word];
        loop {
            if self.take_sign(".") {
                path.push(self.word()?);
            } else if self.take_sign("[") {
                match self.next()? {
                    Token::Quoted(name) => path.push(name),
                    other => return Err(QueryError::Unexpected(other.text())),
                }
                self.sign("]")?;
            } else {
                return Ok(Operand::Field(path));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_understood_is_named() {
        assert_eq!(
            query("Resources | distinct type"),
            Err(QueryError::Unexpected("distinct".to_owned()))
        );
        assert_eq!(
            query("Resources | summarize max(name)"),
            Err(QueryError::Unexpected("max".to_owned()))
        );
        assert_eq!(query("Machines"), Err(QueryError::Table("machines".to_owned())));
        assert_eq!(query("Resources | where type =~ 'x"), Err(QueryError::Quote));
        assert_eq!(
            query("Resources | where type ="),
            Err(QueryError::Unexpected("=".to_owned()))
        );
        assert_eq!(query("Resources | where"), Err(QueryError::End));
    }

    #[test]
    fn quotes_in_texts_are_escaped() {
        let query = query(r"resources | where name == 'it\'s \\' | take 1").unwrap();
        let [Stage::Where(Test::Compare { right, .. }), Stage::Take(1)] = query.stages.as_slice() else {
            panic!("{query:?}")
        };
        assert_eq!(right, &[Operand::Text(r"it's \".to_owned())]);
    }

    #[test]
    fn and_binds_closer_than_or() {
        let query = query("resources | where a == 'x' or b == 'y' and c == 'z'").unwrap();
        let [Stage::Where(Test::Any(tests))] = query.stages.as_slice() else {
            panic!("{query:?}")
        };
        assert!(matches!(tests.as_slice(), [Test::Compare { .. }, Test::All(both)] if both.len() == 2));
    }
}
