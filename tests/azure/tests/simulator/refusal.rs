//! What every refusal by Entra has.

use serde_json::Value;

use crate::support::Answer;

/// The one error code, its body's shape checked on the way.
#[track_caller]
fn code(answer: &Answer) -> u64 {
    let code = answer.body["error_codes"][0]
        .as_u64()
        .unwrap_or_else(|| panic!("no refusal: {answer:?}"));
    let description = answer.body["error_description"].as_str().unwrap();
    assert!(
        description.starts_with(&format!("AADSTS{code}: ")),
        "{description}"
    );
    for part in [" Trace ID: ", " Correlation ID: ", " Timestamp: "] {
        assert!(description.contains(part), "{description}");
    }
    for field in ["error", "timestamp", "trace_id", "correlation_id"] {
        assert!(answer.body[field].is_string(), "{field} in {answer:?}");
    }
    code
}

#[track_caller]
pub(crate) fn assert_refused(answer: &Answer, wanted: u64, status: u16, error: &str) {
    assert_eq!(code(answer), wanted, "{answer:?}");
    assert_eq!(
        (answer.status, answer.body["error"].as_str()),
        (status, Some(error))
    );
}

pub(crate) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field]
        .as_str()
        .unwrap_or_else(|| panic!("no {field} in {value}"))
}
