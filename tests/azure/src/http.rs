//! Requests and replies as the services see them.

use std::net::IpAddr;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use percent_encoding::percent_decode_str;
use serde_json::Value;
use url::form_urlencoded;

use crate::clock::Millis;

/// One request, read to its end.
#[derive(Debug)]
pub(crate) struct Call {
    /// When it came, on the simulator's clock.
    pub(crate) now: Millis,
    /// Its method.
    pub(crate) method: Method,
    /// Its path as sent.
    pub(crate) path: String,
    /// Its path, split at slashes and decoded; empty segments are gone.
    pub(crate) segments: Vec<String>,
    /// Its query, decoded.
    pub(crate) query: Vec<(String, String)>,
    /// Its headers.
    pub(crate) headers: HeaderMap,
    /// Its body.
    pub(crate) body: Bytes,
    /// Where it came from.
    pub(crate) peer: IpAddr,
    /// By what weather of one place knows it: its path, who calls, and for whom.
    pub(crate) marks: Vec<String>,
}

impl Call {
    /// Splits path and query.
    pub(crate) fn new(
        now: Millis,
        method: Method,
        (path, query): (&str, &str),
        headers: HeaderMap,
        body: Bytes,
        peer: IpAddr,
    ) -> Self {
        let decode = |segment: &str| percent_decode_str(segment).decode_utf8_lossy().into_owned();
        Self {
            now,
            method,
            path: path.to_owned(),
            segments: path
                .split('/')
                .filter(|segment| !segment.is_empty())
                .map(decode)
                .collect(),
            query: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            headers,
            body,
            peer,
            marks: vec![path.to_owned()],
        }
    }

    /// The value of a query parameter, whose name Azure compares without case.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The text of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The marks as text.
    pub(crate) fn marks(&self) -> Vec<&str> {
        self.marks.iter().map(String::as_str).collect()
    }

    /// The token of `Authorization: Bearer …`.
    pub(crate) fn bearer(&self) -> Option<&str> {
        let (scheme, token) = self.header("authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    }
}

/// What a reply carries.
#[derive(Debug)]
enum Content {
    Nothing,
    Json(Value),
    Html(String),
}

/// One reply, and what the log says about it.
#[derive(Debug)]
pub(crate) struct Reply {
    /// Its status.
    pub(crate) status: StatusCode,
    headers: Vec<(&'static str, String)>,
    content: Content,
    /// The error code, for the log.
    pub(crate) code: Option<String>,
}

impl Reply {
    /// A status without a body.
    pub(crate) fn empty(status: StatusCode) -> Self {
        Self {
            status,
            headers: Vec::new(),
            content: Content::Nothing,
            code: None,
        }
    }

    /// A JSON body.
    pub(crate) fn json(status: StatusCode, body: Value) -> Self {
        Self {
            content: Content::Json(body),
            ..Self::empty(status)
        }
    }

    /// 200 with a JSON body.
    pub(crate) fn ok(body: Value) -> Self {
        Self::json(StatusCode::OK, body)
    }

    /// A page of HTML.
    pub(crate) fn html(status: StatusCode, page: String) -> Self {
        Self {
            content: Content::Html(page),
            ..Self::empty(status)
        }
    }

    /// Names the error for the log.
    pub(crate) fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// Adds a header.
    pub(crate) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The reply on the wire.
    pub(crate) fn into_response(self) -> Response<Body> {
        let (kind, body) = match self.content {
            Content::Nothing => (None, Body::empty()),
            Content::Json(value) => (
                Some("application/json; charset=utf-8"),
                Body::from(value.to_string()),
            ),
            Content::Html(page) => (Some("text/html"), Body::from(page)),
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if let Some(kind) = kind {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.append(HeaderName::from_static(name), value);
            }
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_split_and_decoded_and_parameters_have_no_case() {
        let call = Call::new(
            0,
            Method::GET,
            (
                "//subscriptions/a%20b/",
                "API-version=2022-04-01&%24filter=atScope()",
            ),
            HeaderMap::new(),
            Bytes::new(),
            [127, 0, 0, 1].into(),
        );
        assert_eq!(call.segments, ["subscriptions", "a b"]);
        assert_eq!(call.parameter("api-version"), Some("2022-04-01"));
        assert_eq!(call.parameter("$filter"), Some("atScope()"));
        assert_eq!(call.bearer(), None);
    }
}
