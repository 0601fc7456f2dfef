//! Access tokens: what Entra issues, and what the resource manager and vaults accept.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::clock::Millis;
use crate::jwt::{Jwt, KeyError, SigningKey};
use crate::state::Principal;

/// How a client proved who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    Secret,
    Assertion,
}

/// Who calls, as its token says.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) client_id: Uuid,
    pub(crate) object_id: Uuid,
    pub(crate) issuer: String,
}

/// Why a token is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TokenFault {
    Malformed,
    Signature,
    Expired,
    Audience(String),
    Tenant(String),
}

/// Seconds that a token lives: a day for managed identities, an hour for applications.
pub(crate) fn lifetime(principal: &Principal) -> i64 {
    if principal.managed_identity.is_some() {
        86_400
    } else {
        3_600
    }
}

/// The issuer of tokens of a tenant, the same in every cloud.
pub(crate) fn issuer(tenant: Uuid) -> String {
    format!("https://sts.windows.net/{tenant}/")
}

/// A token for this audience.
pub(crate) fn issue(
    key: &SigningKey,
    now: Millis,
    tenant: Uuid,
    principal: &Principal,
    audience: &str,
    proof: Proof,
) -> Result<String, KeyError> {
    let seconds = now / 1000;
    let client_id = principal.client_id.to_string();
    let mut claims = json!({
        "aud": audience,
        "iss": issuer(tenant),
        "iat": seconds,
        "nbf": seconds,
        "exp": seconds + lifetime(principal),
        "aio": "AZURE-SIM",
        "appid": client_id,
        "azp": client_id,
        "appidacr": if proof == Proof::Secret { "1" } else { "2" },
        "idp": issuer(tenant),
        "idtyp": "app",
        "oid": principal.object_id,
        "sub": principal.object_id,
        "tid": tenant,
        "uti": Uuid::new_v4().simple().to_string(),
        "ver": "1.0",
    });
    if let Some(id) = &principal.managed_identity {
        claims["xms_mirid"] = Value::from(id.clone());
        claims["xms_idrel"] = Value::from("7 32");
    }
    key.sign(&claims)
}

/// Checks a token that a client presents to a service.
pub(crate) fn accept(
    key: &SigningKey,
    now: Millis,
    tenant: Uuid,
    audiences: &[String],
    text: &str,
) -> Result<Caller, TokenFault> {
    let token = Jwt::parse(text).ok_or(TokenFault::Malformed)?;
    if token.header_text("kid") != Some(key.kid()) || !token.is_signed_by(key.public()) {
        return Err(TokenFault::Signature);
    }
    let found = token.text("tid").unwrap_or_default();
    if found != tenant.to_string() {
        return Err(TokenFault::Tenant(found.to_owned()));
    }
    let bare = |audience: &str| audience.trim_end_matches('/').to_owned();
    let audience = token.audiences().first().copied().unwrap_or_default().to_owned();
    if !audiences.iter().any(|accepted| bare(accepted) == bare(&audience)) {
        return Err(TokenFault::Audience(audience));
    }
    if token.time("exp").is_none_or(|end| end <= now)
        || token.time("nbf").is_some_and(|from| from > now + 300_000)
    {
        return Err(TokenFault::Expired);
    }
    let id = |claim: &str| token.text(claim).and_then(|text| Uuid::parse_str(text).ok());
    match (id("appid"), id("oid")) {
        (Some(client_id), Some(object_id)) => {
            let issuer = token.text("iss").unwrap_or_default().to_owned();
            Ok(Caller {
                client_id,
                object_id,
                issuer,
            })
        }
        _ => Err(TokenFault::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal(managed_identity: Option<String>) -> Principal {
        Principal {
            name: "id-1".to_owned(),
            client_id: Uuid::from_u128(1),
            object_id: Uuid::from_u128(2),
            managed_identity,
            created: 0,
            disabled: false,
        }
    }

    #[test]
    fn tokens_are_for_one_audience_tenant_and_time() {
        let (key, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let tenant = Uuid::from_u128(9);
        let vault = ["https://vault.azure.net".to_owned()];
        let text = issue(
            &key,
            1_000_000,
            tenant,
            &principal(None),
            "https://vault.azure.net/",
            Proof::Secret,
        )
        .unwrap();
        let caller = accept(&key, 1_000_000, tenant, &vault, &text).unwrap();
        assert_eq!(
            (caller.client_id, caller.object_id),
            (Uuid::from_u128(1), Uuid::from_u128(2))
        );
        let fault =
            |key, now, tenant, audiences: &[String]| accept(key, now, tenant, audiences, &text).unwrap_err();
        assert_eq!(fault(&other, 1_000_000, tenant, &vault), TokenFault::Signature);
        // The right key id, and claims that this key did not sign.
        let (parts, better) = (
            text.split('.').collect::<Vec<_>>(),
            principal(Some("/x".to_owned())),
        );
        let longer = issue(
            &key,
            1_000_000,
            tenant,
            &better,
            "https://vault.azure.net/",
            Proof::Secret,
        )
        .unwrap();
        let forged = [parts[0], longer.split('.').nth(1).unwrap(), parts[2]].join(".");
        assert_eq!(
            accept(&key, 1_000_000, tenant, &vault, &forged).unwrap_err(),
            TokenFault::Signature
        );
        assert_eq!(
            fault(&key, 1_000_000 + 3_600_000, tenant, &vault),
            TokenFault::Expired
        );
        assert_eq!(
            fault(&key, 1_000_000, Uuid::nil(), &vault),
            TokenFault::Tenant(tenant.to_string())
        );
        assert!(matches!(
            fault(&key, 1_000_000, tenant, &["x".to_owned()]),
            TokenFault::Audience(_)
        ));
    }

    #[test]
    fn tokens_of_managed_identities_live_a_day_and_name_them() {
        let identity = principal(Some("/subscriptions/x".to_owned()));
        assert_eq!((lifetime(&identity), lifetime(&principal(None))), (86_400, 3_600));
        let key = SigningKey::generate().unwrap();
        let text = issue(&key, 0, Uuid::nil(), &identity, "a", Proof::Assertion).unwrap();
        assert_eq!(
            Jwt::parse(&text).unwrap().text("xms_mirid"),
            Some("/subscriptions/x")
        );
    }
}
