//! Commands for a person to paste into a shell.

/// A word of a shell command: as it is where no shell reads anything into it, else in single quotes.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// The flags of kubectl, and of our commands, that say where.
pub fn place_flags(context: &str, namespace: &str) -> String {
    format!("--context {} -n {}", quoted(context), quoted(namespace))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_shell_would_read_is_quoted() {
        assert_eq!(quoted("./charts/orders"), "./charts/orders");
        for (word, expected) in [
            ("", "''"),
            ("aks-*", "'aks-*'"),
            ("it's", r"'it'\''s'"),
            ("$(id)", "'$(id)'"),
        ] {
            assert_eq!(quoted(word), expected);
        }
    }
}
