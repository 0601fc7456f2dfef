//! The weather: delays and faults that are switched on and off while the simulator runs.

use std::time::Duration;

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::budget::{Budgets, Spent};
use crate::http::{Call, Reply};
use crate::log::Service;

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
    /// Milliseconds until Resource Graph lists a fresh identity.
    pub graph_delay_ms: u64,
    /// Milliseconds that the update of a cluster takes.
    pub cluster_update_ms: u64,
    /// Milliseconds that writing a federated credential takes; another write to the same identity meanwhile is a 409.
    pub credential_write_ms: u64,
    /// Share, 0 to 1, of token exchanges that fail with 700213 although all is well.
    pub spurious_700213: f64,
    /// Resources on one page of a list.
    pub page_size: usize,
    /// Whether the documented budgets of the resource manager and of managed identities are enforced (429).
    pub budgets: bool,
    /// Requests that go wrong.
    pub faults: Vec<Fault>,
}

impl Default for Weather {
    fn default() -> Self {
        Self {
            credential_delay_ms: 0,
            role_delay_ms: 0,
            principal_delay_ms: 0,
            graph_delay_ms: 0,
            cluster_update_ms: 300,
            credential_write_ms: 50,
            spurious_700213: 0.0,
            page_size: 100,
            budgets: false,
            faults: Vec::new(),
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

/// The weather of now, with the dice by which shares are decided: the same sequence under the same seed.
#[derive(Debug)]
pub(crate) struct Sky {
    pub(crate) weather: Weather,
    at_start: Weather,
    budgets: Budgets,
    dice: u64,
}

/// What a fault does to a request.
#[derive(Debug)]
pub(crate) struct Strike {
    pub(crate) delay: Duration,
    /// Whether there is no answer after the delay.
    pub(crate) drop: bool,
    /// Absent: the request goes on after the delay.
    pub(crate) reply: Option<Reply>,
}

impl Sky {
    pub(crate) fn new(weather: Weather) -> Self {
        Self {
            at_start: weather.clone(),
            weather,
            budgets: Budgets::default(),
            dice: 0x9e37_79b9_7f4a_7c15,
        }
    }

    /// Back to the seed's weather, with full budgets.
    pub(crate) fn reset(&mut self) {
        self.weather = self.at_start.clone();
        self.budgets = Budgets::default();
    }

    /// Counts a request of this caller against the budgets; nothing if they are not enforced.
    pub(crate) fn spend(&mut self, call: &Call, caller: Uuid) -> Option<Spent> {
        self.weather.budgets.then(|| self.budgets.spend(call, caller))
    }

    /// Whether something of this share happens now.
    fn happens(&mut self, share: f64) -> bool {
        // xorshift64*: good enough to spread, and always the same.
        self.dice ^= self.dice >> 12;
        self.dice ^= self.dice << 25;
        self.dice ^= self.dice >> 27;
        let high = u32::try_from(self.dice.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32).unwrap_or_default();
        f64::from(high) / (f64::from(u32::MAX) + 1.0) < share
    }

    /// Whether this exchange fails although all is well.
    pub(crate) fn strikes_spuriously(&mut self) -> bool {
        let share = self.weather.spurious_700213;
        share > 0.0 && self.happens(share)
    }

    /// What happens to a request, if anything.
    pub(crate) fn strike(&mut self, service: Service, call: &Call) -> Option<Strike> {
        let matching: Vec<usize> = (0..self.weather.faults.len())
            .filter(|index| self.weather.faults[*index].matches(service, call))
            .collect();
        let index = matching.into_iter().find(|index| {
            let rate = self.weather.faults[*index].rate;
            self.happens(rate)
        })?;
        let fault = &mut self.weather.faults[index];
        if let Some(times) = &mut fault.times {
            *times -= 1;
        }
        Some(Strike {
            delay: Duration::from_millis(fault.delay_ms),
            drop: fault.drop,
            reply: fault.reply(),
        })
    }
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

    fn reply(&self) -> Option<Reply> {
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
        } else {
            let message = "The request failed because of a fault that was switched on.";
            Reply::json(status, json!({"error": {"code": code, "message": message}}))
        };
        let reply = reply.with_code(code);
        Some(match self.retry_after {
            Some(seconds) => reply.with_header("retry-after", seconds.to_string()),
            None => reply,
        })
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;
    use axum::http::{HeaderMap, Method};

    use super::*;

    fn call(path: &str) -> Call {
        Call::new(
            0,
            Method::GET,
            (path, ""),
            HeaderMap::new(),
            Bytes::new(),
            [127, 0, 0, 1].into(),
        )
    }

    fn fault(text: &str) -> Fault {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_fault_strikes_what_it_matches_as_often_as_told() {
        let fault =
            fault(r#"{"service": "arm", "path": "/VAULTS/", "status": 429, "retryAfter": 7, "times": 2}"#);
        let mut sky = Sky::new(Weather {
            faults: vec![fault],
            ..Weather::default()
        });
        assert!(sky.strike(Service::Vault, &call("/vaults/x")).is_none());
        assert!(sky.strike(Service::Arm, &call("/clusters/x")).is_none());
        for _ in 0..2 {
            let reply = sky
                .strike(Service::Arm, &call("/a/vaults/x"))
                .unwrap()
                .reply
                .unwrap();
            assert_eq!(
                (reply.status.as_u16(), reply.code.as_deref()),
                (429, Some("TooManyRequests"))
            );
        }
        assert!(sky.strike(Service::Arm, &call("/a/vaults/x")).is_none());
        sky.reset();
        assert!(sky.strike(Service::Arm, &call("/a/vaults/x")).is_some());
    }

    #[test]
    fn shares_are_about_right_and_always_the_same() {
        let count = || {
            let mut sky = Sky::new(Weather {
                spurious_700213: 0.3,
                ..Weather::default()
            });
            (0..1000).filter(|_| sky.strikes_spuriously()).count()
        };
        assert_eq!(count(), count());
        assert!((250..350).contains(&count()), "{}", count());
    }

    #[test]
    fn unknown_switches_are_refused() {
        assert!(serde_json::from_str::<Weather>(r#"{"credentialDelay": 3}"#).is_err());
    }
}
