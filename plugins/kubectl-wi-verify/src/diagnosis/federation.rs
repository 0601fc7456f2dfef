//! The federated credentials of the identity against the token that pods get: field by field, byte for byte.

use super::{audience, expression, identity, issuer, setup_command, small_difference};
use crate::facts::{CredentialFacts, Facts, IdentityFacts, Known};
use crate::finding::{Finding, FindingCode, Verdict};
use aks_shared::identity::{Audience, Issuer, Trust};

pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let Some(azure) = facts.azure.known() else {
        return Vec::new();
    };
    let Known::Known(Some(identity)) = &azure.identity else {
        return Vec::new();
    };
    let credentials = match &azure.credentials {
        Known::Known(credentials) => credentials,
        Known::Unknown(why) => {
            return vec![Finding::new(
                FindingCode::CredentialsUnknown,
                Verdict::Unknown,
                &identity.name,
                format!(
                    "the federated credentials of {} could not be read: {why}",
                    identity.name
                ),
            )];
        }
    };
    let Some(issuer) = issuer(facts) else {
        return Vec::new();
    };
    let wanted = Trust {
        issuer: Issuer(issuer),
        subject: facts.account.subject(),
        audience: Audience(audience(facts)),
    };
    judge(facts, identity, credentials, &wanted)
}

fn judge(
    facts: &Facts,
    identity: &IdentityFacts,
    credentials: &[CredentialFacts],
    wanted: &Trust,
) -> Vec<Finding> {
    let compared: Vec<(Vec<Difference>, &CredentialFacts)> = credentials
        .iter()
        .filter_map(|credential| Some((differences(credential, wanted)?, credential)))
        .collect();
    let is_settled = compared.iter().any(|(differences, _)| differences.is_empty());
    let unjudged = credentials
        .iter()
        .find(|credential| differences(credential, wanted).is_none());
    if let Some(flexible) = unjudged.filter(|_| !is_settled) {
        return vec![not_judged(identity, flexible)];
    }
    let nearest = compared
        .into_iter()
        .min_by_key(|(differences, _)| distance(differences));
    match nearest {
        Some((differences, credential)) if differences.is_empty() => {
            vec![
                Finding::new(
                    FindingCode::CredentialOk,
                    Verdict::Pass,
                    &credential.name,
                    format!(
                        "the federated credential {} trusts exactly this account of this cluster",
                        credential.name
                    ),
                )
                .compared(
                    "issuer",
                    Some(wanted.issuer.as_str()),
                    Some(&credential.issuer),
                    &identity.id,
                )
                .compared(
                    "subject",
                    Some(wanted.subject.as_str()),
                    Some(&credential.subject),
                    &identity.id,
                ),
            ]
        }
        // A credential that shares neither issuer nor subject is somebody else's.
        Some((differences, credential)) if is_related(&differences) => differences
            .iter()
            .map(|difference| mismatch(facts, identity, credential, difference))
            .collect(),
        Some(_) | None => vec![
            identity::intended(facts, &identity.client_id)
                .unwrap_or_else(|| absent(facts, identity, credentials, wanted)),
        ],
    }
}

/// A field of a credential that is not as wanted.
struct Difference {
    code: FindingCode,
    field: &'static str,
    expected: String,
    found: String,
    small: Option<&'static str>,
}

/// What of a credential is not as wanted; none when its expression cannot be evaluated here.
fn differences(credential: &CredentialFacts, wanted: &Trust) -> Option<Vec<Difference>> {
    let subject = match credential.expression.as_deref() {
        Some(expression) if expression::admits(expression, wanted.subject.as_str())? => {
            wanted.subject.as_str()
        }
        Some(expression) => expression,
        // Stable versions of the API leave the expression out.
        None if credential.subject.is_empty() => return None,
        None => credential.subject.as_str(),
    };
    let found_audience = credential.audiences.join(" ");
    let differences = [
        (
            FindingCode::IssuerMismatch,
            "issuer",
            wanted.issuer.as_str(),
            credential.issuer.as_str(),
        ),
        (
            FindingCode::SubjectMismatch,
            "subject",
            wanted.subject.as_str(),
            subject,
        ),
        (
            FindingCode::AudienceMismatch,
            "audience",
            wanted.audience.as_str(),
            found_audience.as_str(),
        ),
    ]
    .into_iter()
    .filter(|(_, _, expected, found)| expected != found)
    .map(|(code, field, expected, found)| Difference {
        code,
        field,
        expected: expected.to_owned(),
        found: found.to_owned(),
        small: small_difference(expected, found),
    })
    .collect();
    Some(differences)
}

/// A flexible credential that asks for more than is known here.
fn not_judged(identity: &IdentityFacts, credential: &CredentialFacts) -> Finding {
    Finding::new(
        FindingCode::CredentialsUnknown,
        Verdict::Unknown,
        &credential.name,
        format!(
            "the federated credential {} of {} is a flexible one, and whether it admits this account cannot be told here; the exchange tells",
            credential.name, identity.name
        ),
    )
    .compared(
        "claimsMatchingExpression",
        None,
        credential.expression.as_deref(),
        format!("{}/federatedIdentityCredentials/{}", identity.id, credential.name),
    )
}

/// How far a credential is from what is wanted; a field that differs little counts less.
fn distance(differences: &[Difference]) -> usize {
    differences
        .iter()
        .map(|difference| if difference.small.is_some() { 1 } else { 3 })
        .sum()
}

fn is_related(differences: &[Difference]) -> bool {
    let far = |code| {
        differences
            .iter()
            .any(|difference| difference.code == code && difference.small.is_none())
    };
    !(far(FindingCode::IssuerMismatch) && far(FindingCode::SubjectMismatch))
}

fn mismatch(
    facts: &Facts,
    identity: &IdentityFacts,
    credential: &CredentialFacts,
    difference: &Difference,
) -> Finding {
    let Difference {
        code,
        field,
        expected,
        found,
        small,
    } = difference;
    let how = match small {
        Some(small) => format!("has the {field} {small}"),
        None => format!("has another {field}"),
    };
    Finding::new(
        *code,
        Verdict::Fail,
        &credential.name,
        format!(
            "the federated credential {} of {} {how}: it has {found}, and pods bring {expected}",
            credential.name, identity.name
        ),
    )
    .compared(
        field,
        Some(expected),
        Some(found),
        format!("{}/federatedIdentityCredentials/{}", identity.id, credential.name),
    )
    .fix(setup_command(facts))
}

fn absent(
    facts: &Facts,
    identity: &IdentityFacts,
    credentials: &[CredentialFacts],
    wanted: &Trust,
) -> Finding {
    let others = match credentials {
        [] => "it has none at all".to_owned(),
        several => {
            let names: Vec<&str> = several
                .iter()
                .map(|credential| credential.name.as_str())
                .collect();
            format!("it has {} for others: {}", several.len(), names.join(", "))
        }
    };
    let source = format!("{}/federatedIdentityCredentials", identity.id);
    Finding::new(
        FindingCode::NoFederatedCredential,
        Verdict::Fail,
        &identity.name,
        format!(
            "the identity {} has no federated credential for this account of this cluster; {others}",
            identity.name
        ),
    )
    .compared("issuer", Some(wanted.issuer.as_str()), None, &source)
    .compared("subject", Some(wanted.subject.as_str()), None, &source)
    .compared("audience", Some(wanted.audience.as_str()), None, &source)
    .fix(setup_command(facts))
}
