//! What became of reading each secret, held against the roles that the identity has there.

use super::{Place, records, setup_command};
use crate::facts::{AssignmentFacts, Facts, Known, RoleFacts, SecretName, VaultFacts};
use crate::finding::{Finding, FindingCode, Phase, Verdict};
use wi_probe::secret::{SecretOutcome, VaultRefusal};

/// Built-in roles that may read a secret's value: Key Vault Secrets User, Secrets Officer, Administrator.
const READERS: [&str; 3] = [
    "4633458b-17de-408a-b874-0445c86b69e6",
    "b86a8fe4-44ce-4948-aee5-eccb2c155cd7",
    "00482a5a-887f-4fb3-b363-3b7fe8e74483",
];
const SECRETS_USER: &str = "Key Vault Secrets User";

pub(super) fn findings(facts: &Facts, before: &[Finding]) -> Vec<Finding> {
    let cause = no_token(before);
    let seen = records(facts);
    let mut findings = Vec::new();
    for (index, secret) in facts.secrets.iter().enumerate() {
        let outcomes: Vec<(Place, &SecretOutcome)> = seen
            .iter()
            .filter_map(|(place, record)| Some((*place, record.secrets.get(index)?.outcome.as_ref()?)))
            .collect();
        let is_read = outcomes
            .iter()
            .any(|(_, outcome)| **outcome == SecretOutcome::Read);
        if let Some(finding) = missing_vault(facts, secret).filter(|_| !is_read) {
            findings.push(finding);
        } else if outcomes.is_empty() {
            findings.push(not_tried(facts, secret, cause));
        } else {
            findings.extend(
                outcomes
                    .into_iter()
                    .map(|(place, outcome)| judge(facts, place, secret, outcome)),
            );
        }
    }
    findings
}

/// Why there was no access token: the failed exchange, or what explains it.
fn no_token(before: &[Finding]) -> Option<FindingCode> {
    let failed = before
        .iter()
        .find(|it| it.code.phase() == Phase::Exchange && it.verdict == Verdict::Fail)?;
    Some(failed.because_of.unwrap_or(failed.code))
}

fn missing_vault(facts: &Facts, secret: &SecretName) -> Option<Finding> {
    let Known::Known(None) = facts.azure.known()?.vaults.get(&secret.vault)? else {
        return None;
    };
    Some(
        Finding::new(
            FindingCode::VaultUnknown,
            Verdict::Fail,
            &secret.vault,
            format!("no vault {} can be read in your subscriptions", secret.vault),
        )
        .fix("name the vault by its ARM id, or its subscription with --subscription"),
    )
}

fn judge(facts: &Facts, place: Place, secret: &SecretName, outcome: &SecretOutcome) -> Finding {
    let name = secret.to_string();
    let from = place.seen_from();
    match outcome {
        SecretOutcome::Read => Finding::new(
            FindingCode::SecretOk,
            Verdict::Pass,
            name,
            format!("the secret {secret} was read ({from})"),
        ),
        SecretOutcome::Unreachable { why } => Finding::new(
            FindingCode::VaultUnreachable,
            seen_only_from_here(place),
            name,
            format!("the vault cannot be reached ({from}): {why}"),
        )
        .fix("check egress, DNS and the vault's private endpoint from where the workload runs"),
        SecretOutcome::Unreadable { status } => Finding::new(
            FindingCode::SecretUnreadable,
            Verdict::Fail,
            name,
            format!(
                "something else than a vault answers (HTTP {status}, {from}); is there a proxy on the way?"
            ),
        )
        .fix(format!(
            "let requests for {} pass unchanged: no proxy for it (NO_PROXY), or one that lets it through",
            secret.vault_name()
        )),
        SecretOutcome::Refused(refusal) => refused(facts, place, secret, refusal),
    }
}

fn refused(facts: &Facts, place: Place, secret: &SecretName, refusal: &VaultRefusal) -> Finding {
    let name = secret.to_string();
    let inner = refusal.inner_code.as_deref().unwrap_or_default();
    let finding = match (refusal.status, inner) {
        (403, "ForbiddenByConnection") => Finding::new(
            FindingCode::VaultPrivate,
            seen_only_from_here(place),
            name,
            format!("the vault takes requests through its private endpoint only ({}): {}", place.seen_from(), refusal.message),
        )
        .fix(format!("az network private-endpoint list -o table  # link the cluster's network to the endpoint of {} and to its DNS zone", secret.vault_name())),
        (403, "ForbiddenByFirewall") => Finding::new(
            FindingCode::VaultFirewall,
            seen_only_from_here(place),
            name,
            format!("the vault's network rules refuse it ({}): {}", place.seen_from(), refusal.message),
        )
        .fix(format!("az keyvault network-rule add --name {} --ip-address ADDRESS  # the cluster's egress address, or --subnet", secret.vault_name())),
        (403, "SecretDisabled") => Finding::new(
            FindingCode::SecretDisabled,
            Verdict::Fail,
            name,
            format!("the secret {secret} is disabled or outside its validity"),
        )
        .fix(format!("az keyvault secret set-attributes --vault-name {} --name {} --enabled true", secret.vault_name(), secret.name)),
        (403, _) => forbidden(facts, secret, refusal),
        (404, _) => Finding::new(
            FindingCode::SecretMissing,
            Verdict::Fail,
            name,
            format!("the identity may read here, and the vault {} has no secret {}", secret.vault, secret.name),
        )
        .fix(format!("az keyvault secret list --vault-name {} --query '[].name'  # how is it spelled?", secret.vault_name())),
        (401, _) => Finding::new(
            FindingCode::VaultUnauthorized,
            Verdict::Fail,
            name,
            format!("the vault does not accept the access token: {}", refusal.message),
        )
        .fix("check that vault and identity are of one tenant and cloud"),
        _ => Finding::new(
            FindingCode::SecretUnreadable,
            Verdict::Fail,
            name,
            format!("the vault answered HTTP {} {}: {}", refusal.status, refusal.code, refusal.message),
        )
        .fix(format!("{}  # and Azure's status page, should it stay so", super::verify_command(facts))),
    };
    match &refusal.request_id {
        Some(id) => finding.compared("request id", None, Some(id), "vault"),
        None => finding,
    }
}

fn forbidden(facts: &Facts, secret: &SecretName, refusal: &VaultRefusal) -> Finding {
    let name = secret.to_string();
    let by_policy = refusal.inner_code.as_deref() == Some("AccessDenied");
    if by_policy || vault(facts, secret).is_some_and(|vault| !vault.rbac) {
        return Finding::new(
            FindingCode::AccessPolicyMissing,
            Verdict::Fail,
            name,
            format!("no access policy of the vault {} lets the identity read secrets", secret.vault),
        )
        .compared("access policy", Some("secrets: get"), None, "vault")
        .fix(format!(
            "{} --allow-vault-wide  # an access policy always opens all secrets of the vault; single ones need Azure RBAC",
            setup_command(facts)
        ));
    }
    let finding =
        |message: String| Finding::new(FindingCode::SecretForbidden, Verdict::Fail, name.clone(), message);
    let Some(roles) = roles(facts, secret) else {
        return finding(format!("the identity may not read {secret}: {}", refusal.message))
            .compared("role", Some(SECRETS_USER), None, "vault")
            .fix(setup_command(facts));
    };
    match &roles.assignments {
        Known::Known(assignments) if assignments.iter().any(AssignmentFacts::reads) => Finding::new(
            FindingCode::RolePropagating,
            Verdict::Fail,
            name.clone(),
            format!("the identity has a role that may read {secret} and is refused all the same: the assignment was probably made just now and is not known everywhere yet; that takes up to ten minutes"),
        )
        .compared("role", Some(SECRETS_USER), Some(&listed(assignments)), &roles.scope)
        .fix(super::wait_command(facts)),
        Known::Known(assignments) => lacking(facts, secret, roles, assignments, Verdict::Fail),
        Known::Unknown(_) => finding(format!("the identity may not read {secret}"))
            .compared("role", Some(SECRETS_USER), None, &roles.scope)
            .fix(setup_command(facts)),
    }
}

fn lacking(
    facts: &Facts,
    secret: &SecretName,
    roles: &RoleFacts,
    assignments: &[AssignmentFacts],
    verdict: Verdict,
) -> Finding {
    let elsewhere: Vec<&AssignmentFacts> = roles.elsewhere.iter().filter(|it| it.reads()).collect();
    let but = match elsewhere.first() {
        Some(other) => format!("; it has one at {}", other.scope),
        None => String::new(),
    };
    let found = listed(assignments);
    let finding = Finding::new(
        FindingCode::SecretForbidden,
        verdict,
        secret.to_string(),
        format!("the identity has no role that may read {secret}{but}"),
    )
    .compared(
        "role",
        Some(SECRETS_USER),
        (!assignments.is_empty()).then_some(&found),
        &roles.scope,
    );
    let finding = elsewhere.into_iter().fold(finding, |finding, other| {
        finding.compared("role elsewhere", None, Some(&other.scope), "role assignments")
    });
    finding.fix(setup_command(facts))
}

fn not_tried(facts: &Facts, secret: &SecretName, cause: Option<FindingCode>) -> Finding {
    // Without an access token nothing was proven; that the role is missing can be told all the same.
    if vault(facts, secret).is_some_and(|vault| vault.rbac)
        && let Some(roles) = roles(facts, secret)
        && let Known::Known(assignments) = &roles.assignments
        && !assignments.iter().any(AssignmentFacts::reads)
    {
        return lacking(facts, secret, roles, assignments, Verdict::Warn);
    }
    let verdict = if cause.is_some() {
        Verdict::Skipped
    } else {
        Verdict::Unknown
    };
    Finding::new(
        FindingCode::SecretNotTried,
        verdict,
        secret.to_string(),
        format!("the secret {secret} was not read: there was no access token"),
    )
    .because(cause)
}

fn vault<'a>(facts: &'a Facts, secret: &SecretName) -> Option<&'a VaultFacts> {
    facts.vault(&secret.vault)
}

fn roles<'a>(facts: &'a Facts, secret: &SecretName) -> Option<&'a RoleFacts> {
    facts
        .azure
        .known()?
        .roles
        .iter()
        .find(|roles| roles.secret == *secret)
}

impl AssignmentFacts {
    /// Whether the role reads the values of secrets.
    pub(super) fn reads(&self) -> bool {
        READERS.contains(&self.role.to_ascii_lowercase().as_str())
    }
}

fn listed(assignments: &[AssignmentFacts]) -> String {
    let each = |assignment: &AssignmentFacts| format!("{} at {}", assignment.role, assignment.scope);
    assignments.iter().map(each).collect::<Vec<_>>().join(", ")
}

/// A network refusal seen only from the operator's machine says nothing about the cluster.
const fn seen_only_from_here(place: Place) -> Verdict {
    match place {
        Place::Pod => Verdict::Fail,
        Place::Here => Verdict::Unknown,
    }
}
