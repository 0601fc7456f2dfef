//! The documented budgets: how often the resource manager, the identities' provider, Resource Graph and vaults may be
//! asked. They are counted always, since answers say what is left, and enforced when told.
//!
//! Sources: "Understand how Azure Resource Manager throttles requests", "Azure service limits: Managed identity limits,
//! Key Vault limits", "Guidance for throttled requests in Azure Resource Graph".

use std::collections::HashMap;

use axum::http::{Method, StatusCode};
use serde_json::json;
use uuid::Uuid;

use crate::clock::Millis;
use crate::http::{Call, Reply};
use crate::log::Service;

const IDENTITIES: &str = "/providers/microsoft.managedidentity/userassignedidentities";
const GRAPH: &str = "/providers/microsoft.resourcegraph/resources";
/// Requests that Resource Graph takes of one caller, and in how many milliseconds.
const OF_GRAPH: (Millis, Millis) = (15, 5_000);
/// Requests for secrets that one vault takes, and in how many milliseconds.
const OF_VAULT: (Millis, Millis) = (4_000, 10_000);
/// How many callers' worth a whole subscription takes.
const GLOBAL: Millis = 15;

/// A rate, and how many requests may come at once.
#[derive(Debug, Clone, Copy)]
struct Rate {
    /// Requests that may come in `per` milliseconds in the long run.
    requests: Millis,
    per: Millis,
    /// Requests that may come at once after a rest.
    burst: Millis,
}

impl Rate {
    /// Thousandths of milliseconds that one request costs: the fastest rates have less than a millisecond each.
    fn cost(self) -> Millis {
        self.per * 1000 / self.requests
    }
}

/// One request per this many milliseconds, and what a second allows at once.
const fn each(interval: Millis) -> Rate {
    let second = 1000 / interval;
    Rate {
        requests: 1,
        per: interval,
        burst: if second > 1 { second } else { 1 },
    }
}

/// Something that has a budget: the operation's kind and whose it is.
type Key = (&'static str, String);

/// What has been used of each budget.
#[derive(Debug, Default)]
pub(crate) struct Budgets {
    /// When each bucket is full again, in thousandths of milliseconds.
    full_at: HashMap<Key, Millis>,
    /// When each window began, and the requests in it.
    windows: HashMap<Key, (Millis, Millis)>,
}

/// What the budgets say about a request.
#[derive(Debug, Default)]
pub(crate) struct Spent {
    /// Headers that tell what is left.
    pub(crate) left: Vec<(&'static str, String)>,
    /// Why it may not go on: it came too early.
    pub(crate) refusal: Option<Reply>,
}

impl Budgets {
    /// Takes one request from every budget that it counts against. Where they are enforced, it is taken from none if one
    /// of them is empty.
    pub(crate) fn spend(&mut self, service: Service, call: &Call, caller: Uuid, enforced: bool) -> Spent {
        match service {
            Service::Arm if call.path.to_lowercase().starts_with(GRAPH) => {
                self.of_graph(call.now, caller, enforced)
            }
            Service::Arm => self.of_manager(call, caller, enforced),
            Service::Vault => self.of_vault(call.now, enforced),
            Service::Entra | Service::Platform | Service::Machine => Spent::default(),
        }
    }

    fn of_graph(&mut self, now: Millis, caller: Uuid, enforced: bool) -> Spent {
        let (left, resets) = self.window(("graph", caller.to_string()), now, OF_GRAPH);
        let seconds = (resets + 999) / 1000;
        let details = json!([{"code": "RateLimiting", "message": "Client application has been throttled and should \
                              not continue to make requests for now."}]);
        Spent {
            left: vec![
                ("x-ms-user-quota-remaining", left.unwrap_or(0).to_string()),
                (
                    "x-ms-ratelimit-remaining-tenant-resource-requests",
                    left.unwrap_or(0).to_string(),
                ),
                ("x-ms-user-quota-resets-after", format!("00:00:{seconds:02}")),
            ],
            refusal: (enforced && left.is_none()).then(|| {
                let message = "The number of queries in the time window is exceeded.";
                let error = json!({"code": "RateLimiting", "message": message, "details": details});
                refusal("RateLimiting", &error, seconds)
            }),
        }
    }

    fn of_vault(&mut self, now: Millis, enforced: bool) -> Spent {
        let (left, resets) = self.window(("secrets", String::new()), now, OF_VAULT);
        let refusal = (enforced && left.is_none()).then(|| {
            let message = "Request was not processed because too many requests were received. Reason: \
                           VaultRequestTypeLimitReached";
            refusal(
                "Throttled",
                &json!({"code": "Throttled", "message": message}),
                (resets + 999) / 1000,
            )
        });
        Spent {
            left: Vec::new(),
            refusal,
        }
    }

    /// Counts in a window: the requests that are left in it, none if it was empty, and milliseconds until the next.
    fn window(
        &mut self,
        key: Key,
        now: Millis,
        (most, length): (Millis, Millis),
    ) -> (Option<Millis>, Millis) {
        let (began, used) = self.windows.entry(key).or_insert((now, 0));
        if now - *began >= length {
            (*began, *used) = (now, 0);
        }
        let left = (*used < most).then(|| most - *used - 1);
        *used += Millis::from(left.is_some());
        (left, *began + length - now)
    }

    fn of_manager(&mut self, call: &Call, caller: Uuid, enforced: bool) -> Spent {
        let (kind, headers, rate) = of_manager(call);
        let subscription = subscription(call);
        let own = ((kind, format!("{caller}/{subscription}")), rate);
        let global = Rate {
            requests: rate.requests * GLOBAL,
            burst: rate.burst * GLOBAL,
            ..rate
        };
        let global = ((kind, subscription), global);
        let mut all = of_identities(call);
        all.extend([own.clone(), global.clone()]);
        let wait = all
            .iter()
            .map(|(key, rate)| self.wait(key, *rate, call.now))
            .max();
        if let Some(wait) = wait.filter(|wait| enforced && *wait > 0) {
            let seconds = (wait + 999) / 1000;
            let message = format!("The request was throttled. Retry after {seconds} seconds.");
            let error = json!({"code": "TooManyRequests", "message": message});
            return Spent {
                left: Vec::new(),
                refusal: Some(refusal("TooManyRequests", &error, seconds)),
            };
        }
        for (key, rate) in all {
            let now = call.now * 1000;
            let full_at = self.full_at.entry(key).or_insert(now);
            // Never deeper in debt than an empty bucket: what was not enforced is not paid for later.
            *full_at = ((*full_at).max(now) + rate.cost()).min(now + rate.burst * rate.cost());
        }
        let left = |(key, rate): &(Key, Rate)| {
            let used = self.full_at.get(key).map_or(0, |at| at - call.now * 1000);
            (rate.burst - (used + rate.cost() - 1) / rate.cost()).to_string()
        };
        Spent {
            left: headers.into_iter().zip([left(&own), left(&global)]).collect(),
            refusal: None,
        }
    }

    /// Milliseconds until a request fits; not above 0 if it fits now.
    fn wait(&self, key: &Key, rate: Rate, now: Millis) -> Millis {
        let now = now * 1000;
        let full_at = self.full_at.get(key).copied().unwrap_or(now);
        let wait = full_at - (rate.burst - 1) * rate.cost() - now;
        (wait + 999).div_euclid(1000)
    }
}

/// The resource manager's budget, per subscription, caller and kind; with the headers that tell what is left of it, of
/// the caller's and of the whole subscription's. Requests outside a subscription count against the tenant.
fn of_manager(call: &Call) -> (&'static str, Vec<&'static str>, Rate) {
    let rate = |per_second, burst| Rate {
        requests: per_second,
        per: 1000,
        burst,
    };
    let (reads, writes) = (rate(25, 250), rate(10, 200));
    let (kind, in_subscription, global, in_tenant, rate) = match call.method {
        Method::GET | Method::HEAD => (
            "reads",
            "x-ms-ratelimit-remaining-subscription-reads",
            "x-ms-ratelimit-remaining-subscription-global-reads",
            "x-ms-ratelimit-remaining-tenant-reads",
            reads,
        ),
        Method::DELETE => (
            "deletes",
            "x-ms-ratelimit-remaining-subscription-deletes",
            "x-ms-ratelimit-remaining-subscription-global-deletes",
            "x-ms-ratelimit-remaining-tenant-deletes",
            writes,
        ),
        _ => (
            "writes",
            "x-ms-ratelimit-remaining-subscription-writes",
            "x-ms-ratelimit-remaining-subscription-global-writes",
            "x-ms-ratelimit-remaining-tenant-writes",
            writes,
        ),
    };
    let headers = if subscription(call).is_empty() {
        vec![in_tenant]
    } else {
        vec![in_subscription, global]
    };
    (kind, headers, rate)
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

fn refusal(code: &str, error: &serde_json::Value, seconds: Millis) -> Reply {
    Reply::json(StatusCode::TOO_MANY_REQUESTS, json!({"error": error}))
        .with_code(code)
        .with_header("retry-after", seconds.to_string())
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;
    use axum::http::HeaderMap;

    use super::*;

    fn ask(
        budgets: &mut Budgets,
        now: Millis,
        (service, method, path): (Service, Method, &str),
        enforced: bool,
    ) -> Spent {
        let peer = [127, 0, 0, 1].into();
        let call = Call::new(now, method, (path, ""), HeaderMap::new(), Bytes::new(), peer);
        budgets.spend(service, &call, Uuid::nil(), enforced)
    }

    fn passes(budgets: &mut Budgets, now: Millis, method: Method, path: &str) -> bool {
        ask(budgets, now, (Service::Arm, method, path), true)
            .refusal
            .is_none()
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

    #[test]
    fn what_is_not_enforced_is_counted_and_not_paid_for_later() {
        let mut budgets = Budgets::default();
        let asked = (Service::Arm, Method::GET, "/subscriptions/s/resourceGroups");
        for _ in 0..1000 {
            ask(&mut budgets, 0, asked.clone(), false);
        }
        let spent = ask(&mut budgets, 0, asked.clone(), false);
        assert!(spent.refusal.is_none());
        let own = ("x-ms-ratelimit-remaining-subscription-reads", "0".to_owned());
        assert!(spent.left.contains(&own), "{spent:?}");
        assert!(ask(&mut budgets, 40, asked, true).refusal.is_none());
    }

    #[test]
    fn queries_have_a_window_of_their_own() {
        let mut budgets = Budgets::default();
        let asked = (
            Service::Arm,
            Method::POST,
            "/providers/Microsoft.ResourceGraph/resources",
        );
        let first = ask(&mut budgets, 0, asked.clone(), true);
        let left = |spent: &Spent| {
            spent
                .left
                .iter()
                .map(|(_, text)| text.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(left(&first), ["14", "14", "00:00:05"]);
        for _ in 0..14 {
            assert!(ask(&mut budgets, 1000, asked.clone(), true).refusal.is_none());
        }
        let over = ask(&mut budgets, 4_500, asked.clone(), true);
        assert_eq!(left(&over), ["0", "0", "00:00:01"]);
        assert_eq!(over.refusal.unwrap().code.as_deref(), Some("RateLimiting"));
        assert!(ask(&mut budgets, 5_000, asked, true).refusal.is_none());
    }

    #[test]
    fn a_vault_takes_4000_requests_in_ten_seconds() {
        let mut budgets = Budgets::default();
        let mut get = |now| {
            let spent = ask(
                &mut budgets,
                now,
                (Service::Vault, Method::GET, "/secrets/x"),
                true,
            );
            spent.refusal.is_none()
        };
        assert!((0..4000).all(|_| get(0)));
        assert!(!get(9_999) && get(10_000));
    }
}
