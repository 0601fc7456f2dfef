//! The way to Entra for `azure_identity`, which loses a refusal whose text has an escape in it.
//!
//! `azure_identity` 1.0 reads `error_description` as a borrowed string, so `\r\n` or `\"` in it, or an HTML page of
//! a proxy, leaves an error without code and text. Refusals are rewritten here before it sees them.

use azure_core::http::{AsyncRawResponse, HttpClient, Request};
use serde::Deserialize;
use serde_json::{Value, json};
use std::pin::Pin;

/// An HTTP client whose refusals are readable.
#[derive(Debug, Clone)]
pub(super) struct EntraTransport(pub(super) reqwest::Client);

type Answer<'a> = Pin<Box<dyn Future<Output = azure_core::Result<AsyncRawResponse>> + Send + 'a>>;

impl HttpClient for EntraTransport {
    fn execute_request<'client, 'request, 'answer>(
        &'client self,
        request: &'request Request,
    ) -> Answer<'answer>
    where
        'client: 'answer,
        'request: 'answer,
        Self: 'answer,
    {
        Box::pin(async move {
            let (status, headers, body) = self.0.execute_request(request).await?.deconstruct();
            if status.is_success() {
                return Ok(AsyncRawResponse::new(status, headers, Box::pin(body)));
            }
            let body = readable(u16::from(status), &body.collect().await?);
            Ok(AsyncRawResponse::from_bytes(status, headers, body))
        })
    }
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    error: String,
    error_description: String,
    #[serde(default)]
    error_codes: Vec<i32>,
}

/// A refusal without escapes. The lines of ids and time that end the text are kept: support asks for them.
fn readable(status: u16, body: &[u8]) -> Vec<u8> {
    let refusal: Value = match serde_json::from_slice::<Refusal>(body) {
        Ok(refusal) => json!({
            "error": plain(&refusal.error),
            "error_description": plain(&refusal.error_description),
            "error_codes": refusal.error_codes,
        }),
        Err(_) => json!({
            "error": "unreadable",
            "error_description": format!("the answer (HTTP {status}) is not Entra's"),
            "error_codes": [],
        }),
    };
    refusal.to_string().into_bytes()
}

/// The text without characters that JSON would escape.
fn plain(text: &str) -> String {
    let replaced = text.replace('"', "'").replace('\\', "/");
    replaced
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Borrowing<'a> {
        error_description: &'a str,
        error_codes: Vec<i32>,
    }

    #[test]
    fn a_refusal_can_be_borrowed_from() {
        let body = br#"{"error":"invalid_client","error_description":"AADSTS7000215: \"bad\" secret\u0027s\r\nTrace ID: x","error_codes":[7000215]}"#;
        let readable = readable(401, body);
        let read: Borrowing<'_> = serde_json::from_slice(&readable).unwrap();
        assert_eq!(
            read.error_description,
            "AADSTS7000215: 'bad' secret's Trace ID: x"
        );
        assert_eq!(read.error_codes, [7_000_215]);
    }

    #[test]
    fn a_page_of_somebody_else_is_told_as_such() {
        let readable = readable(502, b"<html>\"proxy\"</html>");
        let read: Borrowing<'_> = serde_json::from_slice(&readable).unwrap();
        assert_eq!(read.error_description, "the answer (HTTP 502) is not Entra's");
    }
}
