//! The weather: delays and faults that are switched on and off while the simulator runs, everywhere or in one place.

mod front;
mod sky;

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::entra;
use crate::http::{Call, Reply};
use crate::log::Service;

pub use front::Front;
pub(crate) use sky::Sky;

/// Delays and faults. Everything is calm by default, except that slow operations take a noticeable moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Weather {
    /// Milliseconds until Entra knows a federated credential that was written.
    pub credential_delay_ms: u64,
    /// Milliseconds until a role assignment that was written counts.
    pub role_delay_ms: u64,
    /// Milliseconds until a fresh identity's principal can be given roles without naming its type.
    pub principal_delay_ms: u64,
    /// Milliseconds until a fresh identity can be given credentials; until then it is not found as their parent.
    pub identity_delay_ms: u64,
    /// Milliseconds until Resource Graph knows what was made, changed or deleted.
    pub graph_delay_ms: u64,
    /// Milliseconds that the update of a cluster takes.
    pub cluster_update_ms: u64,
    /// Whether the update of a cluster ends as failed, after which the cluster is as it was.
    pub cluster_update_fails: bool,
    /// Milliseconds that writing a federated credential takes; another write to the same identity meanwhile is a 409.
    pub credential_write_ms: u64,
    /// Share, 0 to 1, of token exchanges that fail with 700213 although all is well.
    pub spurious_700213: f64,
    /// Resources on one page of a list.
    pub page_size: usize,
    /// Whether the documented budgets of the resource manager, managed identities, Resource Graph and vaults are enforced
    /// (429). What is left of them is answered in any case.
    pub budgets: bool,
    /// Requests that go wrong.
    pub faults: Vec<Fault>,
    /// Weather of single places, by a name that whoever set it chose.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub fronts: BTreeMap<String, Front>,
}

impl Default for Weather {
    fn default() -> Self {
        Self {
            credential_delay_ms: 0,
            role_delay_ms: 0,
            principal_delay_ms: 0,
            identity_delay_ms: 0,
            graph_delay_ms: 0,
            cluster_update_ms: 300,
            cluster_update_fails: false,
            credential_write_ms: 50,
            spurious_700213: 0.0,
            page_size: 100,
            budgets: false,
            faults: Vec::new(),
            fronts: BTreeMap::new(),
        }
    }
}

/// One kind of request that goes wrong, whatever it asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// `entra`, `arm` or `vault`; all of them if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The method; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// A part of the path, compared without case; every path if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The status to answer; absent: the request is only delayed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The error code in the body; one that fits the status if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Seconds in a `Retry-After` header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
    /// Whether the body is a page of HTML, as proxies send it.
    #[serde(default)]
    pub html: bool,
    /// Whether there is no answer: the connection is closed, over HTTP/2 its stream is reset. The log does not have such
    /// a request.
    #[serde(default)]
    pub drop: bool,
    /// Milliseconds to wait first.
    #[serde(default)]
    pub delay_ms: u64,
    /// Milliseconds before each of the sixteen pieces in which the answer's body then comes.
    #[serde(default)]
    pub trickle_ms: u64,
    /// How often; always if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// Share of matching requests, 0 to 1.
    #[serde(default = "always")]
    pub rate: f64,
}

fn always() -> f64 {
    1.0
}

/// What a fault does to a request.
#[derive(Debug)]
pub(crate) struct Strike {
    pub(crate) delay: Duration,
    /// Between two pieces of the body; none: it comes at once.
    pub(crate) trickle: Option<Duration>,
    /// Whether there is no answer after the delay.
    pub(crate) drop: bool,
    /// Absent: the request goes on after the delay.
    pub(crate) reply: Option<Reply>,
}

impl Fault {
    fn matches(&self, service: Service, call: &Call) -> bool {
        let path = self.path.as_ref().map(|part| part.to_lowercase());
        self.times != Some(0)
            && self.service.as_deref().is_none_or(|name| name == service.name())
            && self
                .method
                .as_deref()
                .is_none_or(|method| call.method.as_str().eq_ignore_ascii_case(method))
            && path.is_none_or(|part| call.path.to_lowercase().contains(&part))
    }

    /// Strikes once.
    fn strike(&mut self, service: Service, call: &Call) -> Strike {
        if let Some(times) = &mut self.times {
            *times -= 1;
        }
        Strike {
            delay: Duration::from_millis(self.delay_ms),
            trickle: Some(Duration::from_millis(self.trickle_ms)).filter(|pause| !pause.is_zero()),
            drop: self.drop,
            reply: self.reply(service, call),
        }
    }

    fn reply(&self, service: Service, call: &Call) -> Option<Reply> {
        let status = StatusCode::from_u16(self.status?).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let code = self.code.clone().unwrap_or_else(|| match status.as_u16() {
            429 => "TooManyRequests".to_owned(),
            503 => "ServiceUnavailable".to_owned(),
            504 => "GatewayTimeout".to_owned(),
            _ => "InternalServerError".to_owned(),
        });
        let reply = if self.html {
            Reply::html(
                status,
                format!("<html><head><title>{status}</title></head><body>{status}</body></html>"),
            )
        } else if service == Service::Entra {
            let given = self.code.as_deref().map(|code| code.trim_start_matches("AADSTS"));
            entra::outage(status, given.and_then(|code| code.parse().ok()), call)
        } else {
            let message = "The request failed because of a fault that was switched on.";
            Reply::json(status, json!({"error": {"code": code, "message": message}}))
        };
        let reply = match reply.code {
            Some(_) => reply,
            None => reply.with_code(code),
        };
        Some(match self.retry_after {
            Some(seconds) => reply.with_header("retry-after", seconds.to_string()),
            None => reply,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_switches_are_refused() {
        assert!(serde_json::from_str::<Weather>(r#"{"credentialDelay": 3}"#).is_err());
        assert!(serde_json::from_str::<Front>(r#"{"over": "x", "pageSize": 3}"#).is_err());
    }
}
