//! Requests and answers as plain values; nothing here does I/O.

use super::ArmError;
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;
use url::Url;

/// One request to the resource manager.
#[derive(Debug, Clone)]
pub struct ArmRequest {
    pub(super) method: Method,
    target: Target,
    pub(super) body: Option<Value>,
    /// The version of the resource that a write is meant for; another one there is a conflict.
    pub(super) if_match: Option<String>,
}

#[derive(Debug, Clone)]
enum Target {
    Path {
        path: String,
        query: Vec<(String, String)>,
    },
    /// A link that Azure gave to a page or an operation, kept byte for byte: it carries signed parameters.
    Link(Url),
}

impl ArmRequest {
    /// A read.
    pub fn get(path: impl Into<String>, api_version: &str) -> Self {
        Self::new(Method::GET, path.into(), api_version)
    }

    /// A write of a whole resource.
    pub fn put(path: impl Into<String>, api_version: &str, body: Value) -> Self {
        Self {
            body: Some(body),
            ..Self::new(Method::PUT, path.into(), api_version)
        }
    }

    /// The end of a resource.
    pub fn delete(path: impl Into<String>, api_version: &str) -> Self {
        Self::new(Method::DELETE, path.into(), api_version)
    }

    /// A query or an action.
    pub fn post(path: impl Into<String>, api_version: &str, body: Value) -> Self {
        Self {
            body: Some(body),
            ..Self::new(Method::POST, path.into(), api_version)
        }
    }

    fn new(method: Method, path: String, api_version: &str) -> Self {
        let query = vec![("api-version".to_owned(), api_version.to_owned())];
        Self {
            method,
            target: Target::Path { path, query },
            body: None,
            if_match: None,
        }
    }

    /// Writes only what still has this version.
    #[must_use]
    pub(crate) fn if_match(mut self, tag: Option<String>) -> Self {
        self.if_match = tag;
        self
    }

    /// Adds a query parameter.
    #[must_use]
    pub fn query(mut self, name: &str, value: &str) -> Self {
        if let Target::Path { query, .. } = &mut self.target {
            query.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Whether it ends a resource.
    pub(super) fn is_delete(&self) -> bool {
        self.method == Method::DELETE
    }

    /// The path without its query.
    pub fn path(&self) -> &str {
        match &self.target {
            Target::Path { path, .. } => path,
            Target::Link(url) => url.path(),
        }
    }

    /// The request for the next page of a list.
    pub(super) fn next_page(&self, link: &str, base: &Url) -> Result<Self, ArmError> {
        Ok(Self {
            target: Target::Link(self.own_link(link, base)?),
            ..self.clone()
        })
    }

    /// The request that asks how the operation goes that this one started.
    pub(super) fn progress(&self, link: &str, base: &Url) -> Result<Self, ArmError> {
        Ok(Self {
            method: Method::GET,
            target: Target::Link(self.own_link(link, base)?),
            body: None,
            if_match: None,
        })
    }

    /// A link to another host is refused: the token must not travel there.
    fn own_link(&self, link: &str, base: &Url) -> Result<Url, ArmError> {
        let foreign = || ArmError::ForeignLink {
            path: self.path().to_owned(),
        };
        let url = Url::parse(link).map_err(|_| foreign())?;
        if url.origin() == base.origin() {
            Ok(url)
        } else {
            Err(foreign())
        }
    }

    pub(super) fn url(&self, base: &Url) -> Url {
        match &self.target {
            Target::Link(url) => url.clone(),
            Target::Path { path, query } => {
                let mut url = base.clone();
                url.set_path(path);
                let query = url::form_urlencoded::Serializer::new(String::new())
                    .extend_pairs(query)
                    .finish();
                // Azure's own tools write spaces as %20; a plus that was meant as one is already %2B.
                url.set_query(Some(&query.replace('+', "%20")));
                url
            }
        }
    }
}

/// An answer of the resource manager.
#[derive(Debug, Clone)]
pub struct ArmResponse {
    /// The HTTP status.
    pub status: u16,
    /// The body; null when it is empty or no JSON.
    pub body: Value,
    /// The id of this request, for Azure's support.
    pub request_id: Option<String>,
    /// The id that ties requests of one operation together.
    pub correlation_id: Option<String>,
    /// How long the service wants to be left alone.
    pub retry_after: Option<Duration>,
    /// Where to ask how the operation goes that the request started; signed, it must not reach a message.
    pub(super) operation: Option<String>,
}

impl ArmResponse {
    pub(super) fn read(status: u16, headers: &HeaderMap, body: &[u8]) -> Self {
        let text = |name: &str| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        Self {
            status,
            body: serde_json::from_slice(body).unwrap_or_default(),
            request_id: text("x-ms-request-id"),
            correlation_id: text("x-ms-correlation-request-id"),
            retry_after: text("retry-after")
                .and_then(|value| value.parse().ok())
                .map(Duration::from_secs),
            operation: text("azure-asyncoperation").or_else(|| text("location")),
        }
    }

    /// Reads the body as what was asked for.
    pub fn parse<T: DeserializeOwned>(self, what: &'static str) -> Result<T, ArmError> {
        parse(self.body, what)
    }
}

/// Reads a value of an answer.
pub(super) fn parse<T: DeserializeOwned>(value: Value, what: &'static str) -> Result<T, ArmError> {
    serde_json::from_value(value).map_err(|source| ArmError::Shape { what, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_escaped_as_azure_expects() {
        let base = Url::parse("https://management.azure.com/").unwrap();
        let request =
            ArmRequest::get("/subscriptions/s/x", "2022-04-01").query("$filter", "principalId eq 'a+b'");
        assert_eq!(
            request.url(&base).as_str(),
            "https://management.azure.com/subscriptions/s/x?api-version=2022-04-01&%24filter=principalId%20eq%20%27a%2Bb%27"
        );
    }

    #[test]
    fn a_page_on_another_host_is_refused() {
        let base = Url::parse("https://management.azure.com/").unwrap();
        let request = ArmRequest::get("/subscriptions", "2022-12-01");
        assert!(
            request
                .next_page(
                    "https://management.azure.com/subscriptions?$skiptoken=a%2Fb",
                    &base
                )
                .is_ok()
        );
        for link in [
            "https://evil.example/subscriptions",
            "http://management.azure.com/x",
            "x",
        ] {
            assert!(
                matches!(request.next_page(link, &base), Err(ArmError::ForeignLink { .. })),
                "{link}"
            );
        }
    }

    #[test]
    fn an_html_answer_has_no_body_and_keeps_its_ids() {
        let mut headers = HeaderMap::new();
        headers.insert("x-ms-request-id", "r".parse().unwrap());
        headers.insert("retry-after", "7".parse().unwrap());
        let answer = ArmResponse::read(502, &headers, b"<html>");
        assert_eq!(answer.body, Value::Null);
        assert_eq!(
            (answer.request_id.as_deref(), answer.retry_after),
            (Some("r"), Some(Duration::from_secs(7)))
        );
    }
}
