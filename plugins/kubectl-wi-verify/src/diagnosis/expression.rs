//! The expressions of flexible federated credentials, as far as they speak of what is known of a token:
//! <https://learn.microsoft.com/entra/workload-id/workload-identities-flexible-federated-identity-credentials>.

/// Whether an expression admits a token of this subject; none when it asks for something else or is written otherwise.
pub(super) fn admits(expression: &str, subject: &str) -> Option<bool> {
    let mut rest = expression.trim();
    let mut all = true;
    loop {
        let (claim, after) = rest.strip_prefix("claims['")?.split_once("']")?;
        let (operator, after) = after.trim_start().split_once(' ')?;
        let (value, after) = after.trim_start().strip_prefix('\'')?.split_once('\'')?;
        if claim != "sub" {
            return None;
        }
        all &= match operator {
            "eq" => subject == value,
            "matches" => matches(value.as_bytes(), subject.as_bytes()),
            _ => return None,
        };
        rest = after.trim_start();
        if rest.is_empty() {
            return Some(all);
        }
        rest = rest.strip_prefix("and ")?.trim_start();
    }
}

/// Whether a text fits a pattern in which `*` is anything and `?` any one character.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, _) => text.is_empty(),
        (Some((b'*', rest)), _) => {
            matches(rest, text) || text.split_first().is_some_and(|(_, less)| matches(pattern, less))
        }
        (Some((b'?', rest)), Some((_, less))) => matches(rest, less),
        (Some((wanted, rest)), Some((found, less))) => wanted == found && matches(rest, less),
        (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBJECT: &str = "system:serviceaccount:shop:orders";

    #[test]
    fn what_speaks_of_the_subject_alone_is_evaluated() {
        for (expression, expected) in [
            ("claims['sub'] eq 'system:serviceaccount:shop:orders'", Some(true)),
            ("claims['sub'] matches 'system:serviceaccount:shop:*'", Some(true)),
            (
                "claims['sub'] matches 'system:serviceaccount:????:orders'",
                Some(true),
            ),
            (
                "claims['sub'] matches 'system:serviceaccount:other:*'",
                Some(false),
            ),
            ("claims['sub'] matches '*' and claims['sub'] eq 'x'", Some(false)),
            (
                "claims['sub'] matches '*' and claims['environment'] eq 'prod'",
                None,
            ),
            ("claims['sub'] like 'x'", None),
            ("", None),
        ] {
            assert_eq!(admits(expression, SUBJECT), expected, "{expression}");
        }
    }
}
