//! The part of the query language that is understood; everything else is refused by name.

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

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Quoted(String),
    Sign(String),
}

impl Token {
    fn text(&self) -> String {
        match self {
            Self::Word(text) | Self::Quoted(text) | Self::Sign(text) => text.clone(),
        }
    }
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
        stages.push(reader.stage()?);
    }
    Ok(Query { table, stages })
}

fn tokens(text: &str) -> Result<Vec<Token>, QueryError> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$';
        let taken = if first == '\'' || first == '"' {
            let (text, length) = quoted(&rest[1..], first).ok_or(QueryError::Quote)?;
            tokens.push(Token::Quoted(text));
            length + 1
        } else if is_word(first) {
            let mut length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            if rest[..length].eq_ignore_ascii_case("in") && rest[length..].starts_with('~') {
                length += 1;
            }
            tokens.push(Token::Word(rest[..length].to_owned()));
            length
        } else {
            let two = rest.get(..2).filter(|two| ["==", "=~", "!=", "!~"].contains(two));
            let sign = two.unwrap_or(&rest[..first.len_utf8()]);
            tokens.push(Token::Sign(sign.to_owned()));
            sign.len()
        };
        rest = rest[taken..].trim_start();
    }
    Ok(tokens)
}

/// A text up to its closing quote, and how long it is with that; a backslash takes the next character as it is.
fn quoted(rest: &str, quote: char) -> Option<(String, usize)> {
    let mut text = String::new();
    let mut characters = rest.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => text.push(characters.next()?.1),
            end if end == quote => return Some((text, at + 1)),
            other => text.push(other),
        }
    }
    None
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

    fn stage(&mut self) -> Result<Stage, QueryError> {
        let name = self.word()?;
        match name.to_lowercase().as_str() {
            "where" => Ok(Stage::Where(self.any()?)),
            "project" => Ok(Stage::Project(self.columns()?)),
            "extend" => Ok(Stage::Extend(self.columns()?)),
            "take" | "limit" => {
                let count = self.word()?;
                count
                    .parse()
                    .map(Stage::Take)
                    .map_err(|_| QueryError::Unexpected(count))
            }
            "order" | "sort" => {
                if !self.take_word("by") {
                    return Err(QueryError::Unexpected(name));
                }
                let by = self.operand()?;
                let ascending = self.take_word("asc");
                // Without a direction the language sorts downwards.
                let descending = !ascending;
                self.take_word("desc");
                Ok(Stage::Order { by, descending })
            }
            _ => Err(QueryError::Unexpected(name)),
        }
    }

    fn columns(&mut self) -> Result<Vec<(String, Operand)>, QueryError> {
        let mut columns = Vec::new();
        loop {
            let start = self.operand()?;
            let column = match (&start, self.take_sign("=")) {
                (Operand::Field(path), true) if path.len() == 1 => (path[0].clone(), self.operand()?),
                (Operand::Field(path), false) => (path.join("_"), start),
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
            query("Resources | summarize count()"),
            Err(QueryError::Unexpected("summarize".to_owned()))
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
