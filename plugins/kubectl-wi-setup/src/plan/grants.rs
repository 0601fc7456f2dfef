//! What the identity may do: a role at each named secret, what was asked for besides, and access policies where
//! somebody accepted them.

use super::{Change, GrantSpec, PolicySpec};
use crate::observe::{ObservedGrant, ObservedSecret};
use crate::{Observed, Workload, roles as familiar};
use aks_shared::azure::Scope;
use aks_shared::azure::arm::{RoleAssignment, Vault, role_definition_id, roles};

/// The name of the role that lets an identity read secrets.
const SECRETS_USER: &str = "Key Vault Secrets User";

/// The parts of a plan that give the identity rights.
pub(super) struct GrantPart {
    pub(super) grants: Vec<Change<GrantSpec>>,
    pub(super) policies: Vec<Change<PolicySpec>>,
}

pub(super) fn plan(workload: &Workload, observed: &Observed, notes: &mut Vec<String>) -> GrantPart {
    let mut grants = Vec::new();
    let mut policies: Vec<Change<PolicySpec>> = Vec::new();
    for secret in &observed.secrets {
        if secret.vault.uses_roles || !workload.allow_vault_wide {
            grants.push(at_secret(observed, secret, notes));
        } else if !policies
            .iter()
            .any(|policy| policy.target().id == secret.vault.id)
        {
            policies.push(at_vault(observed, &secret.vault, notes));
        }
    }
    grants.extend(
        observed
            .grants
            .iter()
            .map(|grant| at_scope(observed, grant, notes)),
    );
    wider(observed, notes);
    GrantPart { grants, policies }
}

fn principal(observed: &Observed) -> Option<String> {
    let identity = observed.identity.as_ref()?;
    Some(identity.principal_id.clone())
}

fn at_secret(observed: &Observed, secret: &ObservedSecret, notes: &mut Vec<String>) -> Change<GrantSpec> {
    let spec = GrantSpec {
        secret: Some(secret.named.clone()),
        vault: Some(secret.vault.name.clone()),
        scope: Scope::from(secret.scope.clone()),
        role: roles::KEY_VAULT_SECRETS_USER.to_owned(),
        role_name: SECRETS_USER.to_owned(),
        role_definition_id: role_definition_id(secret.scope.subscription(), roles::KEY_VAULT_SECRETS_USER),
        principal_id: principal(observed),
    };
    if !secret.vault.uses_roles {
        let why = "its vault uses access policies, which cannot be limited to a named secret; use a vault with Azure RBAC, or accept that the identity reads every secret of the vault with --allow-vault-wide".to_owned();
        return Change::Conflict { wanted: spec, why };
    }
    if let Some(why) = foreign_tenant(observed, &secret.vault) {
        return Change::Conflict { wanted: spec, why };
    }
    compare_grant(spec, &secret.grants, notes)
}

/// Access to all of a vault, where its owner's model leaves no other way.
fn at_vault(observed: &Observed, vault: &Vault, notes: &mut Vec<String>) -> Change<PolicySpec> {
    let spec = PolicySpec {
        vault: vault.name.clone(),
        id: vault.id.clone(),
        tenant_id: vault.tenant_id.clone(),
        principal_id: principal(observed),
    };
    if let Some(why) = foreign_tenant(observed, vault) {
        return Change::Conflict { wanted: spec, why };
    }
    notes.push(format!(
        "vault {} uses access policies: the identity can read every secret of it; accepted by --allow-vault-wide",
        vault.name
    ));
    compare_policy(spec, vault)
}

/// A policy that lets the identity read secrets already is in sync.
pub(crate) fn compare_policy(spec: PolicySpec, vault: &Vault) -> Change<PolicySpec> {
    let is_reader = spec.principal_id.as_ref().is_some_and(|id| {
        let mut readers = vault.secret_readers.iter();
        readers.any(|reader| reader.eq_ignore_ascii_case(id))
    });
    if is_reader {
        Change::InSync { current: spec }
    } else {
        Change::Create { wanted: spec }
    }
}

fn at_scope(observed: &Observed, grant: &ObservedGrant, notes: &mut Vec<String>) -> Change<GrantSpec> {
    let spec = GrantSpec {
        secret: None,
        vault: None,
        scope: grant.scope.clone(),
        role: grant.definition.role.clone(),
        role_name: grant.definition.name.clone(),
        role_definition_id: grant.definition.id.clone(),
        principal_id: principal(observed),
    };
    compare_grant(spec, &grant.assignments, notes)
}

/// Why a vault's tokens cannot be the identity's: a managed identity is of one tenant only
/// (managed-identities-faq, "Can I use a managed identity to access a resource in a different directory/tenant?").
fn foreign_tenant(observed: &Observed, vault: &Vault) -> Option<String> {
    (!vault.tenant_id.eq_ignore_ascii_case(&observed.tenant_id)).then(|| {
        format!(
            "vault {} accepts tokens of tenant {} only, and the identity is of tenant {}; use a vault of the identity's tenant",
            vault.name, vault.tenant_id, observed.tenant_id
        )
    })
}

/// A role that is there, or inherited, is in sync.
pub(crate) fn compare_grant(
    spec: GrantSpec,
    assignments: &[RoleAssignment],
    notes: &mut Vec<String>,
) -> Change<GrantSpec> {
    let scope = spec.scope.as_str();
    let mut same = assignments.iter().filter(|one| one.role == spec.role);
    if let Some(narrowed) = same
        .clone()
        .find(|one| one.is_at(scope) && one.condition.is_some())
    {
        notes.push(format!(
            "the grant at {} has a condition, which is not judged: {}",
            spec.place(),
            narrowed.id
        ));
    }
    if same.any(|one| one.covers(scope) || one.is_at(scope)) {
        Change::InSync { current: spec }
    } else {
        Change::Create { wanted: spec }
    }
}

/// What the identity has at or above the scopes in question and nobody asked for here.
fn wider(observed: &Observed, notes: &mut Vec<String>) {
    let secrets = observed.secrets.iter().map(|secret| {
        let asked = (secret.scope.as_str(), roles::KEY_VAULT_SECRETS_USER);
        (
            format!("secret {}", secret.named),
            asked,
            secret.grants.as_slice(),
        )
    });
    let others = observed.grants.iter().map(|grant| {
        let asked = (grant.scope.as_str(), grant.definition.role.as_str());
        (grant.scope.to_string(), asked, grant.assignments.as_slice())
    });
    let asked_for: Vec<(&str, &str)> = secrets
        .clone()
        .chain(others.clone())
        .map(|(_, asked, _)| asked)
        .collect();
    let is_asked_for = |one: &RoleAssignment| {
        let mut asked = asked_for.iter();
        asked.any(|(scope, role)| one.is_at(scope) && one.role == *role)
    };
    let mut told: Vec<&str> = Vec::new();
    for (place, (scope, _), assignments) in secrets.chain(others) {
        for wide in assignments {
            // Of what holds below, nothing is known about the place itself.
            let holds = wide.covers(scope) || wide.is_at(scope);
            if !holds || is_asked_for(wide) || told.contains(&wide.id.as_str()) {
                continue;
            }
            told.push(&wide.id);
            notes.push(format!(
                "the identity has a grant at {place} that is wider than asked: {} at {}",
                role_text(&wide.role),
                wide.scope
            ));
        }
    }
}

/// A role for people: the names that are known without asking.
fn role_text(role: &str) -> String {
    if role == roles::KEY_VAULT_SECRETS_USER {
        format!("role {SECRETS_USER}")
    } else {
        format!("role {}", familiar::name(role).unwrap_or(role))
    }
}
