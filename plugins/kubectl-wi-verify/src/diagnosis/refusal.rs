//! Entra's codes: which findings explain one, and what one means when nothing explains it.
//!
//! The comparison of facts makes the diagnosis; codes only order it, because Entra changes its codes and texts.
//! Meanings: <https://learn.microsoft.com/entra/identity-platform/reference-error-codes>.

use super::{setup_command, wait_command};
use crate::facts::Facts;
use crate::finding::FindingCode;
use wi_probe::ProbeRecord;
use wi_probe::exchange::EntraRefusal;

/// What a code means, and what to do.
pub(super) struct Advice {
    pub(super) why: String,
    pub(super) fix: String,
}

/// What kind of no it is.
enum Kind {
    /// No federated credential fits the token.
    NoMatch,
    /// The issuer's documents cannot be used.
    Issuer,
    /// All else, which is about who asks whom.
    Other,
}

fn kind(refused: &EntraRefusal) -> Kind {
    match refused.codes.first() {
        Some(70021 | 700_211 | 700_212 | 700_213 | 7_002_138 | 70025) => Kind::NoMatch,
        Some(90061 | 50166 | 501_661 | 70024 | 700_221 | 7_000_272) => Kind::Issuer,
        Some(_) | None => Kind::Other,
    }
}

/// Whether Entra complains of the issuer's documents.
pub(super) fn is_about_the_issuer(refused: &EntraRefusal) -> bool {
    matches!(kind(refused), Kind::Issuer)
}

/// Whether Entra found no federated credential that fits the token.
pub(super) fn is_no_match(refused: &EntraRefusal) -> bool {
    matches!(kind(refused), Kind::NoMatch)
}

/// Whether Entra complains of the token's times.
pub(super) fn is_about_time(refused: &EntraRefusal) -> bool {
    refused.codes.first() == Some(&700_024)
}

/// Entra's own time, which it tells when it complains of a token's; seconds since 1970.
pub(super) fn time_of_entra(refused: &EntraRefusal) -> Option<i64> {
    let (_, rest) = refused.description.split_once("Current time: ")?;
    let text = rest.split([',', ' ']).next()?;
    let time: jiff::Timestamp = text.parse().ok()?;
    Some(time.as_second())
}

/// The findings that explain a refusal, those that fit its code best first.
pub(super) fn candidates(refused: &EntraRefusal) -> Vec<FindingCode> {
    use FindingCode::{
        AudienceMismatch, AuthorityMismatch, ClientIdDiffers, ClientIdIsPrincipal, ClientIdUnknown,
        ClockSkew, DiscoveryIssuerDiffers, DiscoveryUnreachable, InjectionIncomplete, IssuerDisabled,
        IssuerMismatch, KeyNotPublished, NoFederatedCredential, SubjectMismatch, TenantMismatch,
        TokenExpired, TrustPropagating,
    };
    if is_about_time(refused) {
        return vec![ClockSkew, InjectionIncomplete, TokenExpired];
    }
    match kind(refused) {
        Kind::Issuer => vec![
            IssuerDisabled,
            DiscoveryUnreachable,
            DiscoveryIssuerDiffers,
            KeyNotPublished,
        ],
        Kind::Other => vec![
            InjectionIncomplete,
            ClientIdIsPrincipal,
            ClientIdUnknown,
            AuthorityMismatch,
            TenantMismatch,
            ClientIdDiffers,
        ],
        Kind::NoMatch => {
            let first = match refused.codes.first() {
                Some(700_211) => IssuerMismatch,
                Some(700_212) => AudienceMismatch,
                Some(700_213 | 7_002_138) => SubjectMismatch,
                Some(_) | None => NoFederatedCredential,
            };
            let rest = [
                NoFederatedCredential,
                IssuerMismatch,
                SubjectMismatch,
                AudienceMismatch,
                IssuerDisabled,
                ClientIdDiffers,
                InjectionIncomplete,
                TrustPropagating,
            ];
            std::iter::once(first).chain(rest).collect()
        }
    }
}

/// What a refusal means when the comparison found no cause.
pub(super) fn advice(facts: &Facts, record: &ProbeRecord, refused: &EntraRefusal) -> Option<Advice> {
    let client = record.environment.client_id.as_deref().unwrap_or("(none)");
    let tenant = record.environment.tenant_id.as_deref().unwrap_or("(none)");
    let administrator = || "ask the tenant's administrator".to_owned();
    let restart = || "restart the workload, so that its pods get tokens of the new key".to_owned();
    let (why, fix) = match *refused.codes.first()? {
        70021 | 700_211 | 700_212 | 700_213 | 7_002_138 | 70025 => return Some(no_match(facts, refused)),
        700_016 => (
            format!(
                "tenant {tenant} knows no application {client}: the id is no client id, the identity was deleted, or the tenant is another one"
            ),
            setup_command(facts),
        ),
        700_024 => (
            "the token is outside its time range: it is old, or a clock is wrong".to_owned(),
            "compare the clocks of the node and of here, and let the application read the token file anew each time".to_owned(),
        ),
        7_000_272 => ("the key that signed the token is not published by the issuer (yet)".to_owned(), restart()),
        90061 | 50166 | 501_661 => {
            ("Entra could not fetch the issuer's documents; that may pass".to_owned(), wait_command(facts))
        }
        90002 | 900_021 | 900_023 => (
            format!("there is no tenant {tenant} at this authority: the tenant annotation is wrong, or the cloud is"),
            setup_command(facts),
        ),
        500_011 => (
            "the tenant does not know the vault service by this scope: it is that of another cloud".to_owned(),
            "name the cloud with --cloud".to_owned(),
        ),
        7_000_112 | 7_000_116 => ("the identity is disabled in its tenant".to_owned(), administrator()),
        53003 => ("a Conditional Access policy for workload identities blocks it".to_owned(), administrator()),
        _ => return None,
    };
    Some(Advice { why, fix })
}

/// Without the credentials to compare with, or with one that cannot be judged, the text is all there is.
fn no_match(facts: &Facts, refused: &EntraRefusal) -> Advice {
    let is_signed_in = facts.azure.known().is_some();
    let how = if is_signed_in {
        "which field differs could not be told"
    } else {
        "sign in to Azure to see which field"
    };
    Advice {
        why: format!(
            "no federated credential of the identity fits the token; {how}. {}",
            refused.description
        ),
        fix: setup_command(facts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_that_entra_tells_is_read() {
        let refused = |description: &str| EntraRefusal {
            status: 401,
            error: "invalid_client".into(),
            codes: vec![700_024],
            description: description.into(),
            correlation_id: None,
            trace_id: None,
        };
        for (text, expected) in [
            (
                "AADSTS700024: Client assertion is not within its valid time range. Current time: 2023-11-14T22:13:20.1234567Z, assertion valid from 2023-11-14T20:00:00.0000000Z",
                Some(1_700_000_000),
            ),
            ("AADSTS700024: Current time: soon, or later", None),
            ("AADSTS700024: no time", None),
        ] {
            assert_eq!(time_of_entra(&refused(text)), expected, "{text}");
        }
    }
}
