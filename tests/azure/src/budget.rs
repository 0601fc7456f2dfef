//! The documented budgets: how often the resource manager and the identities' provider may be asked.

use std::collections::HashMap;

use axum::http::{Method, StatusCode};
use serde_json::json;
use uuid::Uuid;

use crate::clock::Millis;
use crate::http::{Call, Reply};

const IDENTITIES: &str = "/providers/microsoft.managedidentity/userassignedidentities";

/// A rate, and how many requests may come at once.
#[derive(Debug, Clone, Copy)]
struct Rate {
    /// Milliseconds between two requests in the long run.
    interval: Millis,
    /// Requests that may come at once after a rest.
    burst: Millis,
}

/// One request per this many milliseconds, and what a second allows at once.
const fn each(interval: Millis) -> Rate {
    let second = 1000 / interval;
    Rate {
        interval,
        burst: if second > 1 { second } else { 1 },
    }
}

/// Something that has a budget: the operation's kind and whose it is.
type Key = (&'static str, String);

/// When each budget is full again.
#[derive(Debug, Default)]
pub(crate) struct Budgets {
    full_at: HashMap<Key, Millis>,
}

/// What the budgets say about a request.
#[derive(Debug)]
pub(crate) enum Spent {
    /// It may go on; the header's name and the requests of its kind that are left.
    Within(&'static str, Millis),
    /// It came too early.
    Over(Reply),
}

impl Budgets {
    /// Takes one request from every budget that it counts against, or from none if one of them is empty.
    pub(crate) fn spend(&mut self, call: &Call, caller: Uuid) -> Spent {
        let (kind, header, rate) = of_manager(&call.method);
        let manager = ((kind, format!("{caller}/{}", subscription(call))), rate);
        let mut all = of_identities(call);
        all.push(manager.clone());
        let wait = all
            .iter()
            .map(|(key, rate)| self.wait(key, *rate, call.now))
            .max();
        if let Some(wait) = wait.filter(|wait| *wait > 0) {
            return Spent::Over(refusal((wait + 999) / 1000));
        }
        for (key, rate) in all {
            let full_at = self.full_at.entry(key).or_insert(call.now);
            *full_at = (*full_at).max(call.now) + rate.interval;
        }
        let used = self.full_at.get(&manager.0).map_or(0, |at| at - call.now);
        Spent::Within(header, rate.burst - (used + rate.interval - 1) / rate.interval)
    }

    /// Milliseconds until a request fits; not above 0 if it fits now.
    fn wait(&self, key: &Key, rate: Rate, now: Millis) -> Millis {
        let full_at = self.full_at.get(key).copied().unwrap_or(now);
        full_at - (rate.burst - 1) * rate.interval - now
    }
}

/// The resource manager's budget, per subscription, caller and kind.
fn of_manager(method: &Method) -> (&'static str, &'static str, Rate) {
    let (reads, writes) = (
        Rate {
            interval: 40,
            burst: 250,
        },
        Rate {
            interval: 100,
            burst: 200,
        },
    );
    match *method {
        Method::GET | Method::HEAD => ("reads", "x-ms-ratelimit-remaining-subscription-reads", reads),
        Method::DELETE => ("deletes", "x-ms-ratelimit-remaining-subscription-deletes", writes),
        _ => ("writes", "x-ms-ratelimit-remaining-subscription-writes", writes),
    }
}

/// The budgets of the identities' provider: per tenant, per subscription and per resource. Credentials count against
/// their identity.
fn of_identities(call: &Call) -> Vec<(Key, Rate)> {
    let path = call.path.to_lowercase();
    let Some((scope, rest)) = path.split_once(IDENTITIES) else {
        return Vec::new();
    };
    let names: Vec<&str> = rest.split('/').filter(|name| !name.is_empty()).collect();
    let resource = format!("{scope}/{}", names.first().copied().unwrap_or_default());
    let (kind, [tenant, subscription_wide, one]) = match call.method {
        Method::GET if names.len() % 2 == 1 => ("identity get", [33, 100, 2000]),
        Method::GET => ("identity list", [66, 200, 4000]),
        Method::DELETE => ("identity delete", [100, 500, 4000]),
        _ => ("identity write", [100, 500, 4000]),
    };
    vec![
        ((kind, "tenant".to_owned()), each(tenant)),
        ((kind, subscription(call)), each(subscription_wide)),
        ((kind, resource), each(one)),
    ]
}

/// The subscription of the path, or nothing.
fn subscription(call: &Call) -> String {
    match call.segments.as_slice() {
        [first, id, ..] if first.eq_ignore_ascii_case("subscriptions") => id.to_lowercase(),
        _ => String::new(),
    }
}

fn refusal(seconds: Millis) -> Reply {
    let message = format!("The request was throttled. Retry after {seconds} seconds.");
    let body = json!({"error": {"code": "TooManyRequests", "message": message}});
    Reply::json(StatusCode::TOO_MANY_REQUESTS, body)
        .with_code("TooManyRequests")
        .with_header("retry-after", seconds.to_string())
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;
    use axum::http::HeaderMap;

    use super::*;

    fn passes(budgets: &mut Budgets, now: Millis, method: Method, path: &str) -> bool {
        let peer = [127, 0, 0, 1].into();
        let call = Call::new(now, method, (path, ""), HeaderMap::new(), Bytes::new(), peer);
        matches!(budgets.spend(&call, Uuid::nil()), Spent::Within(..))
    }

    fn identity(name: &str) -> String {
        format!(
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}"
        )
    }

    #[test]
    fn one_identity_takes_a_write_every_four_seconds_its_credentials_included() {
        let mut budgets = Budgets::default();
        let mut put = |now, name: &str| passes(&mut budgets, now, Method::PUT, &identity(name));
        assert!(put(0, "a"));
        assert!(!put(3_999, "A/federatedIdentityCredentials/x"));
        assert!(put(4_000, "A/federatedIdentityCredentials/x"));
        assert!(!put(4_001, "a/federatedIdentityCredentials/y"));
    }

    #[test]
    fn a_subscription_takes_two_writes_a_second_and_a_refusal_costs_nothing() {
        let mut budgets = Budgets::default();
        let mut put = |now, name: &str| passes(&mut budgets, now, Method::PUT, &identity(name));
        assert!(put(0, "a") && put(0, "b"));
        assert!(!put(0, "c") && !put(499, "c"));
        assert!(put(500, "c"));
    }

    #[test]
    fn a_caller_reads_250_times_at_once_and_25_times_a_second() {
        let mut budgets = Budgets::default();
        let mut get = |now| passes(&mut budgets, now, Method::GET, "/subscriptions/s/resourceGroups");
        assert!((0..250).all(|_| get(0)));
        assert!(!get(39) && get(40) && !get(40));
    }
}
