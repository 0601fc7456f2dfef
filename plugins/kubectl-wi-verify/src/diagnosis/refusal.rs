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

/// The findings that explain a refusal, those that fit its code best first.
pub(super) fn candidates(refused: &EntraRefusal) -> Vec<FindingCode> {
    use FindingCode::{
        AudienceMismatch, ClientIdDiffers, ClientIdIsPrincipal, ClientIdUnknown, DiscoveryIssuerDiffers,
        DiscoveryUnreachable, IssuerDisabled, IssuerMismatch, KeyNotPublished, NoFederatedCredential,
        SubjectMismatch, TenantMismatch,
    };
    match kind(refused) {
        Kind::Issuer => vec![
            IssuerDisabled,
            DiscoveryUnreachable,
            DiscoveryIssuerDiffers,
            KeyNotPublished,
        ],
        Kind::Other => vec![
            ClientIdIsPrincipal,
            ClientIdUnknown,
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

fn no_match(facts: &Facts, refused: &EntraRefusal) -> Advice {
    let compared = facts
        .azure
        .known()
        .is_some_and(|azure| azure.credentials.known().is_some());
    if compared {
        Advice {
            why: "every field of the federated credential is as it should be, so it was probably written just now and is not known everywhere yet; that takes minutes".to_owned(),
            fix: wait_command(facts),
        }
    } else {
        Advice {
            why: format!(
                "no federated credential of the identity fits the token; sign in to Azure to see which field. {}",
                refused.description
            ),
            fix: setup_command(facts),
        }
    }
}
