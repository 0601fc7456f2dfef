//! Assertions in the place of a secret. Those of others are matched against the credentials, exactly, then proven by the
//! issuer's keys.

use std::net::IpAddr;

use url::{Host, Url};
use uuid::Uuid;

use super::certificate;
use super::error::Refusal;
use crate::clock::{Millis, rfc3339};
use crate::jwt::Jwt;
use crate::seed::FederatedCredential;
use crate::state::Principal;
use crate::token::{EXCHANGE_APPLICATION, EXCHANGE_AUDIENCE, Proof};
use crate::world::World;

/// The longest lifetime of an assertion, a day.
const LONGEST: Millis = 24 * 3600 * 1000;
/// How far clocks may differ.
const SKEW: Millis = 5 * 60 * 1000;

/// Whether a token proves that the caller is this principal, and how.
pub(super) async fn check(
    world: &World,
    now: Millis,
    tenant: Uuid,
    principal: &Principal,
    text: &str,
) -> Result<Proof, Refusal> {
    let token = Jwt::parse(text).ok_or(Refusal::Malformed)?;
    let issuer = token.text("iss").ok_or(Refusal::Field("iss"))?.to_owned();
    let subject = token.text("sub").ok_or(Refusal::Field("sub"))?.to_owned();
    if let Ok(application) = Uuid::parse_str(&issuer) {
        // An assertion that an application signed itself.
        if application != principal.client_id || subject != issuer {
            return Err(Refusal::SelfMade);
        }
        certificate::check(world, now, tenant, principal, &token)?;
        return Ok(Proof::Certificate);
    }
    let own = is_for_exchange(world, tenant, &token, &issuer)?;
    let credentials = world.state().credentials_seen(principal.client_id, now);
    if credentials.is_empty() {
        return Err(Refusal::NoCredentials(
            principal.client_id,
            principal.name.clone(),
        ));
    }
    let audiences = if own {
        vec![EXCHANGE_AUDIENCE]
    } else {
        token.audiences()
    };
    match_credentials(&credentials, &issuer, &subject, &audiences)?;
    let client = principal.client_id.to_string();
    let identity = principal.managed_identity.as_deref().unwrap_or_default();
    let marks = [client.as_str(), identity, &subject];
    if world.weather().strikes_spuriously(&marks) {
        return Err(Refusal::Subject(subject));
    }
    check_issuer_form(&issuer, world.allow_loopback_issuers)?;
    check_time(&token, now)?;
    check_lifetime(&token, now)?;
    if token.header_text("alg") != Some("RS256") {
        return Err(Refusal::Signature);
    }
    let signed = if own {
        token.is_signed_by(world.key.public())
    } else {
        let kid = token.header_text("kid").unwrap_or_default();
        token.is_signed_by(&world.issuers.key(now, &issuer, kid).await?)
    };
    if signed {
        Ok(Proof::Federated)
    } else {
        Err(Refusal::Signature)
    }
}

/// Whether this directory issued the token itself so that it is presented here: to a service connection, or to a managed
/// identity that did not come by a federated credential. An error for every other token of Entra.
fn is_for_exchange(world: &World, tenant: Uuid, token: &Jwt, issuer: &str) -> Result<bool, Refusal> {
    if issuer != world.directory(tenant).issuer() {
        let by_entra =
            issuer.starts_with("https://sts.windows.net/") || issuer.starts_with(&world.urls.entra);
        return match by_entra {
            true if token.audiences().contains(&EXCHANGE_APPLICATION) => {
                Err(Refusal::OtherDirectory(issuer.to_owned()))
            }
            true => Err(Refusal::OwnToken),
            false => Ok(false),
        };
    }
    if !token.audiences().contains(&EXCHANGE_APPLICATION) {
        return Err(Refusal::OwnToken);
    }
    if token.claims.contains_key("xms_ficinfo") {
        return Err(Refusal::FederatedTwice);
    }
    Ok(true)
}

/// Whether one credential trusts exactly this issuer, subject and audience; else what differs, issuer first.
fn match_credentials(
    credentials: &[FederatedCredential],
    issuer: &str,
    subject: &str,
    audiences: &[&str],
) -> Result<(), Refusal> {
    let of_issuer: Vec<_> = credentials
        .iter()
        .filter(|credential| credential.issuer == issuer)
        .collect();
    if of_issuer.is_empty() {
        return Err(Refusal::Issuer(issuer.to_owned()));
    }
    let meant = |credential: &&&FederatedCredential| {
        credential
            .audiences
            .iter()
            .any(|audience| audiences.contains(&audience.as_str()))
    };
    let of_audience: Vec<_> = of_issuer.iter().filter(meant).collect();
    if of_audience.is_empty() {
        return Err(Refusal::Audience(audiences.join(", ")));
    }
    if of_audience.iter().any(|credential| credential.subject == subject) {
        return Ok(());
    }
    let but_for_case = of_audience
        .iter()
        .any(|credential| credential.subject.eq_ignore_ascii_case(subject));
    Err(if but_for_case {
        Refusal::SubjectCase(subject.to_owned())
    } else {
        Refusal::Subject(subject.to_owned())
    })
}

fn check_issuer_form(issuer: &str, allow_loopback: bool) -> Result<(), Refusal> {
    let refusal = || Refusal::IssuerForm(issuer.to_owned());
    let url = Url::parse(issuer).map_err(|_| refusal())?;
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
        None => return Err(refusal()),
    };
    let proper = url.scheme() == "https" && url.query().is_none() && url.fragment().is_none();
    if proper && (allow_loopback || !loopback) {
        Ok(())
    } else {
        Err(refusal())
    }
}

/// Whether it is the time of a token, but for a difference between clocks.
pub(super) fn check_time(token: &Jwt, now: Millis) -> Result<(), Refusal> {
    let from = token.time("nbf").or(token.time("iat")).unwrap_or(now);
    let end = token.time("exp").ok_or(Refusal::Field("exp"))?;
    if now >= end.saturating_add(SKEW) || now.saturating_add(SKEW) < from {
        return Err(Refusal::Time {
            now: rfc3339(now),
            from: rfc3339(from),
            end: rfc3339(end),
        });
    }
    Ok(())
}

/// Whether a token of somebody else lives no longer than it may.
fn check_lifetime(token: &Jwt, now: Millis) -> Result<(), Refusal> {
    let issued = token.time("iat").or(token.time("nbf")).unwrap_or(now);
    let end = token.time("exp").ok_or(Refusal::Field("exp"))?;
    if end - issued > LONGEST {
        return Err(Refusal::Lifetime(
            "1.00:00:00".to_owned(),
            rfc3339(issued),
            rfc3339(end),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUDIENCE: &str = "api://AzureADTokenExchange";

    fn credential(issuer: &str, subject: &str) -> FederatedCredential {
        FederatedCredential {
            name: "one".to_owned(),
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            audiences: vec![AUDIENCE.to_owned()],
        }
    }

    #[test]
    fn what_differs_is_named_issuer_first() {
        let credentials = [credential("https://a/", "s"), credential("https://b/", "t")];
        let refusal = |issuer, subject, audience| {
            match_credentials(&credentials, issuer, subject, &[audience]).map_err(|refusal| refusal.code())
        };
        assert_eq!(refusal("https://a/", "s", AUDIENCE), Ok(()));
        assert_eq!(refusal("https://a", "s", AUDIENCE), Err(700_211));
        assert_eq!(refusal("https://A/", "s", AUDIENCE), Err(700_211));
        assert_eq!(refusal("https://a/", "x", "other"), Err(700_212));
        assert_eq!(refusal("https://a/", "t", AUDIENCE), Err(700_213));
        assert_eq!(refusal("https://a/", "S", AUDIENCE), Err(7_002_138));
    }

    #[test]
    fn issuers_are_public_https_urls() {
        for bad in [
            "http://a/",
            "https://localhost/",
            "https://127.0.0.2/",
            "https://[::1]/",
            "https://a/?q",
            "x",
        ] {
            assert_eq!(
                check_issuer_form(bad, false).map_err(|refusal| refusal.code()),
                Err(70_022),
                "{bad}"
            );
        }
        assert!(check_issuer_form("https://198.18.1.1/", false).is_ok());
        assert!(check_issuer_form("https://127.0.0.1:4443/", true).is_ok());
    }
}
