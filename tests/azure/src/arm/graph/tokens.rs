//! A query's text in pieces: words, quoted texts and signs.

use super::parse::QueryError;

/// A piece of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Word(String),
    Quoted(String),
    Sign(String),
}

impl Token {
    /// As it was written, without quotes.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Word(text) | Self::Quoted(text) | Self::Sign(text) => text.clone(),
        }
    }
}

/// The pieces of a query.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, QueryError> {
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
