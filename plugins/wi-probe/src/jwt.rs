//! Reading the claims of a token without checking its signature: to show and compare them, never to trust them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What a service account token says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AssertionClaims {
    /// `iss`, byte for byte.
    pub issuer: String,
    /// `sub`.
    pub subject: String,
    /// `aud`; one text or several in the token.
    pub audiences: Vec<String>,
    /// `exp`, seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    /// `nbf`, seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<i64>,
    /// `kid` of the header: which key of the issuer signed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// `alg` of the header; Entra takes RS256 only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
}

/// What an access token of Entra says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AccessClaims {
    /// `aud`: the resource it opens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// `tid`: the tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// `oid`: the principal, to which roles are assigned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object_id: Option<String>,
    /// `appid` or `azp`: the client id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// `xms_mirid`: the ARM id of the managed identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity_id: Option<String>,
    /// `exp`, seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
}

#[derive(Deserialize)]
struct Header {
    kid: Option<String>,
    alg: Option<String>,
}

#[derive(Deserialize)]
struct AssertionBody {
    #[serde(default)]
    iss: String,
    #[serde(default)]
    sub: String,
    #[serde(default)]
    aud: serde_json::Value,
    exp: Option<f64>,
    nbf: Option<f64>,
}

#[derive(Deserialize)]
struct AccessBody {
    aud: Option<String>,
    tid: Option<String>,
    oid: Option<String>,
    appid: Option<String>,
    azp: Option<String>,
    xms_mirid: Option<String>,
    exp: Option<f64>,
}

/// The claims of a service account token; none when the text is no JWT.
pub fn assertion_claims(token: &str) -> Option<AssertionClaims> {
    let header: Header = part(token, 0)?;
    let body: AssertionBody = part(token, 1)?;
    let audiences = match body.aud {
        serde_json::Value::String(one) => vec![one],
        serde_json::Value::Array(several) => several
            .into_iter()
            .filter_map(|value| value.as_str().map(str::to_owned))
            .collect(),
        _ => Vec::new(),
    };
    Some(AssertionClaims {
        issuer: body.iss,
        subject: body.sub,
        audiences,
        expires_at: body.exp.map(seconds),
        not_before: body.nbf.map(seconds),
        key_id: header.kid,
        algorithm: header.alg,
    })
}

/// The claims of an access token; none when the text is no JWT (Entra may encrypt tokens for its own APIs).
pub fn access_claims(token: &str) -> Option<AccessClaims> {
    let body: AccessBody = part(token, 1)?;
    Some(AccessClaims {
        audience: body.aud,
        tenant_id: body.tid,
        object_id: body.oid,
        client_id: body.appid.or(body.azp),
        identity_id: body.xms_mirid,
        expires_at: body.exp.map(seconds),
    })
}

fn part<T: DeserializeOwned>(token: &str, index: usize) -> Option<T> {
    let parts: Vec<&str> = token.trim().split('.').collect();
    if parts.len() != 3 {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(parts[index].trim_end_matches('=')).ok()?;
    serde_json::from_slice(&bytes).ok()
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "JWT times are whole seconds far below 2^52"
)]
fn seconds(number: f64) -> i64 {
    number as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str, body: &str) -> String {
        format!(
            "{}.{}.c2ln",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(body)
        )
    }

    #[test]
    fn the_claims_of_an_assertion_are_read() {
        let token = token(
            r#"{"alg":"RS256","kid":"k1"}"#,
            r#"{"iss":"https://i/","sub":"system:serviceaccount:a:b","aud":["x"],"exp":1700000000,"nbf":1}"#,
        );
        let claims = assertion_claims(&token).unwrap();
        assert_eq!(claims.issuer, "https://i/");
        assert_eq!(claims.audiences, ["x"]);
        assert_eq!(claims.expires_at, Some(1_700_000_000));
        assert_eq!(claims.key_id.as_deref(), Some("k1"));
    }

    #[test]
    fn one_audience_may_be_a_plain_text() {
        assert_eq!(
            assertion_claims(&token("{}", r#"{"aud":"x"}"#))
                .unwrap()
                .audiences,
            ["x"]
        );
    }

    #[test]
    fn what_is_no_token_has_no_claims() {
        for text in ["", "a.b", "a.b.c", "not a token"] {
            assert_eq!(assertion_claims(text), None, "{text}");
        }
    }

    #[test]
    fn the_client_id_of_an_access_token_is_appid_or_azp() {
        let claims = access_claims(&token("{}", r#"{"azp":"client","oid":"principal"}"#)).unwrap();
        assert_eq!(claims.client_id.as_deref(), Some("client"));
        assert_eq!(claims.object_id.as_deref(), Some("principal"));
    }
}
