//! Least privilege: what must be refused and was tried, and role assignments wider than the named secrets.

use super::{Place, explained_by, records};
use crate::facts::{Facts, Known};
use crate::finding::{Finding, FindingCode, Verdict};
use wi_probe::record::ExchangeOutcome;
use wi_probe::secret::SecretOutcome;

/// Another account of the namespace that tried to become the identity.
pub(super) fn other_account(facts: &Facts, before: &[Finding]) -> Option<Finding> {
    let namespace = &facts.account.namespace;
    let other = match facts.other.as_ref()? {
        Known::Known(other) => other,
        Known::Unknown(why) => {
            return Some(
                Finding::new(
                    FindingCode::OtherAccountUnknown,
                    Verdict::Unknown,
                    namespace,
                    format!(
                        "whether another service account can become the identity could not be tried: {why}"
                    ),
                )
                .because(explained_by(before, FindingCode::OtherAccountUnknown)),
            );
        }
    };
    let name = format!("{namespace}/{}", other.name);
    Some(match &other.exchange {
        ExchangeOutcome::Granted(_) => Finding::new(
            FindingCode::OtherAccountAccepted,
            Verdict::Fail,
            &name,
            format!("the service account {name} can become the identity as well: Entra exchanged its token"),
        )
        .fix(format!(
            "az identity federated-credential list --identity-name {} -g {}  # and delete the one that trusts {}",
            identity_name(facts),
            identity_group(facts),
            other.name
        )),
        ExchangeOutcome::Refused(refusal) => Finding::new(
            FindingCode::OtherAccountRefused,
            Verdict::Pass,
            &name,
            format!("the service account {name} is refused as the identity ({})", refusal.code()),
        ),
        ExchangeOutcome::Unreachable { .. }
        | ExchangeOutcome::Unreadable { .. }
        | ExchangeOutcome::NotTried { .. } => Finding::new(
            FindingCode::OtherAccountUnknown,
            Verdict::Unknown,
            &name,
            "whether another service account can become the identity could not be tried: no answer of Entra",
        ),
    })
}

/// What a secret that nobody named was answered with, and which assignments reach beyond the named ones.
pub(super) fn access(facts: &Facts, before: &[Finding]) -> Vec<Finding> {
    if !facts.least_privilege || facts.secrets.is_empty() {
        return Vec::new();
    }
    let wide = wide_assignments(facts);
    if !wide.is_empty() {
        return wide;
    }
    let outcomes: Vec<(Place, &str, &SecretOutcome)> = records(facts)
        .into_iter()
        .flat_map(|(place, record)| {
            let tried = record.forbidden.iter();
            tried.filter_map(move |tried| Some((place, tried.vault.as_str(), tried.outcome.as_ref()?)))
        })
        .collect();
    if outcomes.is_empty() {
        return vec![
            Finding::new(
                FindingCode::AccessUnknown,
                Verdict::Unknown,
                facts.account.to_string(),
                "whether the identity may read more could not be tried: there was no access token",
            )
            .because(explained_by(before, FindingCode::AccessUnknown)),
        ];
    }
    outcomes
        .into_iter()
        .map(|(place, vault, outcome)| probed(place, vault, outcome))
        .collect()
}

fn probed(place: Place, vault: &str, outcome: &SecretOutcome) -> Finding {
    let from = place.seen_from();
    match outcome {
        SecretOutcome::Refused(refusal) if refusal.status == 403 => Finding::new(
            FindingCode::AccessNarrow,
            Verdict::Pass,
            vault,
            format!("a secret of {vault} that nobody named is refused ({from})"),
        ),
        // A vault says that a secret does not exist only to who may read it.
        SecretOutcome::Read => too_wide(vault, from),
        SecretOutcome::Refused(refusal) if refusal.status == 404 => too_wide(vault, from),
        _ => Finding::new(
            FindingCode::AccessUnknown,
            Verdict::Unknown,
            vault,
            format!("what {vault} answers for a secret that nobody named could not be told ({from})"),
        ),
    }
}

fn too_wide(vault: &str, from: &str) -> Finding {
    Finding::new(
        FindingCode::AccessTooWide,
        Verdict::Fail,
        vault,
        format!("the identity may read every secret of {vault}: for one that nobody named the vault answers that it does not exist, not that it is forbidden ({from})"),
    )
    .fix("delete the role assignment or access policy at the vault, and grant the role at each secret")
}

fn wide_assignments(facts: &Facts) -> Vec<Finding> {
    let roles = facts.azure.known().map(|azure| azure.roles.as_slice());
    let mut findings: Vec<Finding> = Vec::new();
    for roles in roles.unwrap_or_default() {
        let assignments = roles.assignments.known().into_iter().flatten();
        for wide in assignments.filter(|it| it.reads() && !it.scope.eq_ignore_ascii_case(&roles.scope)) {
            if findings.iter().any(|finding| finding.subject == wide.scope) {
                continue;
            }
            findings.push(
                Finding::new(
                    FindingCode::AccessTooWide,
                    Verdict::Fail,
                    &wide.scope,
                    format!(
                        "the identity has a role that reads secrets at {}, which is wider than the secret",
                        wide.scope
                    ),
                )
                .compared("scope", Some(&roles.scope), Some(&wide.scope), "role assignments")
                .fix(format!(
                    "az role assignment delete --assignee {} --role {} --scope {}",
                    principal(facts),
                    wide.role,
                    super::quoted(&wide.scope)
                )),
            );
        }
    }
    findings
}

fn principal(facts: &Facts) -> &str {
    facts
        .identity()
        .map_or("PRINCIPAL", |identity| &identity.principal_id)
}

fn identity_name(facts: &Facts) -> &str {
    facts.identity().map_or("IDENTITY", |identity| &identity.name)
}

fn identity_group(facts: &Facts) -> &str {
    // /subscriptions/S/resourceGroups/G/…
    facts
        .identity()
        .and_then(|identity| identity.id.split('/').nth(4))
        .unwrap_or("GROUP")
}
