//! Foreign text in Markdown.

/// Text that stays text: no table cell, emphasis, tag or link is made of it.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' | '#' => escaped.extend(['\\', character]),
            '<' => escaped.push_str("&lt;"),
            '\n' | '\r' => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_makes_no_markup() {
        assert_eq!(escaped("a|b <x> [l](u)\n*c*"), "a\\|b &lt;x> \\[l\\](u) \\*c\\*");
    }
}
