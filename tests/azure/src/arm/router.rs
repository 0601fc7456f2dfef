//! From path and method to an operation.

use axum::http::Method;

use super::error::ArmError;
use super::{
    Ask, assignments, clusters, credentials, definitions, governance, graph, groups, identities, operations,
    vaults,
};
use crate::http::Reply;
use crate::state::{State, join, key};

/// A resource, or a kind of resources, in a group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) subscription: &'a str,
    pub(super) group: &'a str,
    /// Empty for a list.
    pub(super) name: &'a str,
}

impl Place<'_> {
    /// The id of the group.
    pub(super) fn group_id(&self) -> String {
        format!(
            "/subscriptions/{}/resourceGroups/{}",
            self.subscription, self.group
        )
    }

    /// The id of the resource of this kind.
    pub(super) fn id(&self, kind: &str) -> String {
        format!("{}/providers/{kind}/{}", self.group_id(), self.name)
    }

    /// Refuses unless the group exists.
    pub(super) fn require_group(&self, state: &State) -> Result<(), ArmError> {
        if state.groups.contains_key(&key(&self.group_id())) {
            Ok(())
        } else {
            Err(ArmError::group(self.group))
        }
    }
}

/// Which API versions each provider serves: the first and the last stable one.
const VERSIONS: [(&str, &str, &str); 6] = [
    ("microsoft.authorization", "2015-07-01", "2026-08-01"),
    ("microsoft.containerservice", "2020-03-01", "2026-08-01"),
    ("microsoft.keyvault", "2019-09-01", "2026-02-01"),
    ("microsoft.managedidentity", "2018-11-30", "2026-05-31"),
    ("microsoft.resourcegraph", "2019-04-01", "2024-04-01"),
    ("microsoft.resources", "2016-06-01", "2025-04-01"),
];

/// Answers a request of somebody who is known.
pub(super) async fn route(ask: Ask<'_>) -> Result<Reply, ArmError> {
    let segments: Vec<&str> = ask.call.segments.iter().map(String::as_str).collect();
    let lower: Vec<String> = segments.iter().map(|segment| segment.to_lowercase()).collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
    check_version(ask, &lower)?;
    if let ["subscriptions", _, ..] = lower.as_slice() {
        check_subscription(ask, segments[1])?;
        check_registration(ask, segments[1], &lower)?;
    }
    if let Some(at) = lower
        .windows(2)
        .rposition(|pair| pair == ["providers", "microsoft.authorization"])
    {
        let scope = join(&segments[..at]);
        return authorization(ask, &scope, &lower[at + 2..], &segments[at + 2..]);
    }
    let get = ask.call.method == Method::GET;
    match lower.as_slice() {
        ["subscriptions"] if get => groups::subscriptions(ask),
        ["subscriptions", _] if get => groups::subscription(ask, segments[1]),
        ["tenants"] if get => groups::tenants(ask),
        ["subscriptions", _, "resourcegroups"] if get => groups::list(ask, segments[1]),
        ["subscriptions", _, "resourcegroups", _] => groups::one(ask, segments[1], segments[3]),
        ["providers", "microsoft.resourcegraph", "resources"] if ask.call.method == Method::POST => {
            graph::answer(ask)
        }
        [
            "subscriptions",
            _,
            "providers",
            "microsoft.containerservice",
            "locations",
            _,
            "operations",
            id,
        ] if get => clusters::operation(ask, segments[1], id),
        ["providers", provider, "operations"] if get => operations::list(ask, provider),
        [
            "subscriptions",
            _,
            "providers",
            "microsoft.keyvault",
            "checknameavailability",
        ] if ask.call.method == Method::POST => vaults::check_availability(ask),
        ["subscriptions", _, "providers", provider, kind] if get => {
            in_subscription(ask, segments[1], &format!("{provider}/{kind}"))
        }
        [
            "subscriptions",
            _,
            "resourcegroups",
            _,
            "providers",
            provider,
            kind,
            rest @ ..,
        ] => {
            let place = Place {
                subscription: segments[1],
                group: segments[3],
                name: segments.get(7).copied().unwrap_or_default(),
            };
            let below = segments.get(8..).unwrap_or_default();
            in_group(ask, place, &format!("{provider}/{kind}"), rest, below).await
        }
        _ => Err(ArmError::path(&ask.call.path)),
    }
}

/// A list over a whole subscription.
fn in_subscription(ask: Ask<'_>, subscription: &str, kind: &str) -> Result<Reply, ArmError> {
    match kind {
        "microsoft.containerservice/managedclusters" => {
            clusters::list(ask, &format!("/subscriptions/{subscription}"))
        }
        "microsoft.managedidentity/userassignedidentities" => {
            identities::list(ask, &format!("/subscriptions/{subscription}"))
        }
        "microsoft.keyvault/vaults" => vaults::list(ask, &format!("/subscriptions/{subscription}")),
        _ => Err(ArmError::path(&ask.call.path)),
    }
}

/// Resources in a group. `rest` is what follows the kind, in lower case; `below` what follows the name, as sent.
async fn in_group(
    ask: Ask<'_>,
    place: Place<'_>,
    kind: &str,
    rest: &[&str],
    below: &[&str],
) -> Result<Reply, ArmError> {
    let get = ask.call.method == Method::GET;
    match (kind, rest) {
        ("microsoft.containerservice/managedclusters", []) if get => clusters::list(ask, &place.group_id()),
        ("microsoft.containerservice/managedclusters", [_]) => clusters::one(ask, place),
        ("microsoft.containerservice/managedclusters", [_, "listclusterusercredential"])
            if ask.call.method == Method::POST =>
        {
            clusters::user_credential(ask, place)
        }
        ("microsoft.managedidentity/userassignedidentities", []) if get => {
            identities::list(ask, &place.group_id())
        }
        ("microsoft.managedidentity/userassignedidentities", [_]) => identities::one(ask, place),
        ("microsoft.managedidentity/userassignedidentities", [_, "federatedidentitycredentials"]) if get => {
            credentials::list(ask, place)
        }
        ("microsoft.managedidentity/userassignedidentities", [_, "federatedidentitycredentials", _]) => {
            credentials::one(ask, place, below[1]).await
        }
        ("microsoft.keyvault/vaults", []) if get => vaults::list(ask, &place.group_id()),
        ("microsoft.keyvault/vaults", [_]) => vaults::one(ask, place),
        ("microsoft.keyvault/vaults", [_, "accesspolicies", _]) => {
            vaults::access_policies(ask, place, below[1])
        }
        ("microsoft.keyvault/vaults", [_, "secrets"]) if get => vaults::secrets(ask, place),
        ("microsoft.keyvault/vaults", [_, "secrets", _]) => vaults::secret(ask, place, below[1]),
        _ => Err(ArmError::path(&ask.call.path)),
    }
}

/// Roles at any scope. `lower` and `rest` follow the provider, in lower case and as sent.
fn authorization(ask: Ask<'_>, scope: &str, lower: &[&str], rest: &[&str]) -> Result<Reply, ArmError> {
    let get = ask.call.method == Method::GET;
    match lower {
        ["roleassignments"] if get => assignments::list(ask, scope),
        ["roleassignments", _] => assignments::one(ask, scope, rest[1]),
        ["roledefinitions"] if get => definitions::list(ask, scope),
        ["roledefinitions", _] => definitions::one(ask, scope, rest[1]),
        ["permissions"] if get => definitions::permissions(ask, scope),
        ["locks"] if get => governance::locks(ask, scope),
        ["denyassignments"] if get => governance::denials(ask, scope),
        _ => Err(ArmError::path(&ask.call.path)),
    }
}

fn check_subscription(ask: Ask<'_>, given: &str) -> Result<(), ArmError> {
    match ask.world.state().subscription(given) {
        Some(_) => Ok(()),
        None => Err(ArmError::subscription(given)),
    }
}

/// Resources are written by providers that are registered in the subscription alone.
fn check_registration(ask: Ask<'_>, subscription: &str, lower: &[&str]) -> Result<(), ArmError> {
    let provider = match lower {
        [.., "providers", provider, _] | [.., "providers", provider, _, _]
            if ask.call.method == Method::PUT =>
        {
            provider
        }
        _ => return Ok(()),
    };
    let state = ask.world.state();
    let missing = state.subscription(subscription).and_then(|own| {
        let mut names = own.unregistered_providers.iter();
        names.find(|name| name.eq_ignore_ascii_case(provider))
    });
    match missing {
        None => Ok(()),
        Some(name) => {
            let message = format!(
                "The subscription is not registered to use namespace '{name}'. See https://aka.ms/rps-not-found for how \
                 to register subscriptions."
            );
            Err(ArmError::conflict("MissingSubscriptionRegistration", message))
        }
    }
}

/// Every request names an API version that its provider serves.
fn check_version(ask: Ask<'_>, lower: &[&str]) -> Result<(), ArmError> {
    let Some(given) = ask
        .call
        .parameter("api-version")
        .filter(|given| !given.is_empty())
    else {
        let message = "The api-version query parameter (?api-version=) is required for all requests.";
        return Err(ArmError::bad_request("MissingApiVersionParameter", message));
    };
    let provider = lower
        .iter()
        .rposition(|segment| *segment == "providers")
        .and_then(|at| lower.get(at + 1))
        .copied()
        .unwrap_or("microsoft.resources");
    let date = given.strip_suffix("-preview").unwrap_or(given);
    let is_date = date.len() == 10 && date.chars().all(|c| c.is_ascii_digit() || c == '-');
    match VERSIONS.iter().find(|(name, ..)| *name == provider) {
        Some((_, first, last)) if !is_date || date < *first || date > *last => {
            let message = format!(
                "The HTTP resource that matches the request URI does not support the API version '{given}'; \
                 versions from {first} to {last} are served."
            );
            Err(ArmError::bad_request("InvalidApiVersionParameter", message))
        }
        _ => Ok(()),
    }
}
