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
    /// An assertion that the application signed by its certificate.
    Certificate,
    /// A token of an issuer that the principal trusts.
    Federated,
    /// The machine to which the managed identity is assigned.
    Machine,
}

/// Who may present a token to Entra again, as the proof of another principal.
pub(crate) const EXCHANGE_AUDIENCE: &str = "api://AzureADTokenExchange";
/// The application behind that audience: the audience of the tokens that Entra issues for it.
pub(crate) const EXCHANGE_APPLICATION: &str = "fb60f99c-7a34-4190-8149-302f77469936";

/// A directory that issues.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Directory<'a> {
    pub(crate) tenant: Uuid,
    /// The URL of Entra, with a slash at the end.
    pub(crate) authority: &'a str,
}

impl Directory<'_> {
    /// The issuer of tokens of version 2.0, by which the directory publishes its keys.
    pub(crate) fn issuer(self) -> String {
        format!("{}{}/v2.0", self.authority, self.tenant)
    }
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

/// Seconds that a token lives: a day for managed identities, an hour for applications without a policy of their own.
pub(crate) fn lifetime(principal: &Principal) -> i64 {
    match (principal.token_lifetime_s, &principal.managed_identity) {
        (Some(seconds), _) => i64::from(seconds),
        (None, Some(_)) => 86_400,
        (None, None) => 3_600,
    }
}

/// The issuer of tokens of version 1.0 of a tenant, the same in every cloud.
pub(crate) fn issuer(tenant: Uuid) -> String {
    format!("https://sts.windows.net/{tenant}/")
}

/// A token for this audience.
pub(crate) fn issue(
    key: &SigningKey,
    now: Millis,
    directory: Directory<'_>,
    principal: &Principal,
    audience: &str,
    proof: Proof,
) -> Result<String, KeyError> {
    let seconds = now / 1000;
    let (tenant, client_id) = (directory.tenant, principal.client_id.to_string());
    // The exchange takes tokens of version 2.0; the resource manager and vaults those of version 1.0.
    let for_exchange = audience == EXCHANGE_AUDIENCE;
    let mut claims = json!({
        "aud": if for_exchange { EXCHANGE_APPLICATION } else { audience },
        "iss": if for_exchange { directory.issuer() } else { issuer(tenant) },
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
        "ver": if for_exchange { "2.0" } else { "1.0" },
    });
    if proof == Proof::Federated {
        // Marks a token that came by a federated credential; its content is not documented.
        claims["xms_ficinfo"] = Value::from("CAAQABgAIAAoAjAA");
    }
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

    fn directory(tenant: Uuid) -> Directory<'static> {
        Directory {
            tenant,
            authority: "https://login/",
        }
    }

    fn principal(managed_identity: Option<String>) -> Principal {
        Principal {
            name: "id-1".to_owned(),
            client_id: Uuid::from_u128(1),
            object_id: Uuid::from_u128(2),
            managed_identity,
            token_lifetime_s: None,
            created: 0,
            disabled: None,
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
            directory(tenant),
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
            directory(tenant),
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
        let text = issue(&key, 0, directory(Uuid::nil()), &identity, "a", Proof::Federated).unwrap();
        assert_eq!(
            Jwt::parse(&text).unwrap().text("xms_mirid"),
            Some("/subscriptions/x")
        );
    }
}
