//! What works, and what a vault refuses.

use super::*;

#[test]
fn a_healthy_workload_passes_in_every_check() {
    let report = report(|_| ());
    assert!(
        report
            .findings
            .iter()
            .all(|finding| finding.verdict == Verdict::Pass),
        "{:#?}",
        report.findings
    );
    for code in [
        FindingCode::IssuerOk,
        FindingCode::CredentialOk,
        FindingCode::ExchangeOk,
        FindingCode::SecretOk,
    ] {
        assert!(report.has(code, Verdict::Pass), "{code}");
    }
}

#[test]
fn a_missing_role_is_told_from_one_that_is_not_known_yet() {
    let missing = report(|facts| {
        azure(facts).roles[0].assignments = Known::Known(Vec::new());
        forbid(facts, 403, "Forbidden", Some("ForbiddenByRbac"));
    });
    let (code, finding) = cause(&missing);
    assert_eq!(code, FindingCode::SecretForbidden);
    assert!(finding.message.contains("no role"), "{}", finding.message);
    assert_eq!(
        finding.evidence[0].expected.as_deref(),
        Some("Key Vault Secrets User")
    );
    assert!(finding.fixes[0].starts_with("kubectl wi setup"));
    let fresh = report(|facts| forbid(facts, 403, "Forbidden", Some("ForbiddenByRbac")));
    let (code, finding) = cause(&fresh);
    assert_eq!(code, FindingCode::RolePropagating);
    assert!(finding.fixes[0].contains("--wait"), "{:?}", finding.fixes);
}

#[test]
fn refusals_of_a_vault_are_told_apart() {
    for (status, code, inner, expected) in [
        (404, "SecretNotFound", None, FindingCode::SecretMissing),
        (
            403,
            "Forbidden",
            Some("SecretDisabled"),
            FindingCode::SecretDisabled,
        ),
        (
            403,
            "Forbidden",
            Some("ForbiddenByFirewall"),
            FindingCode::VaultFirewall,
        ),
        (
            403,
            "Forbidden",
            Some("ForbiddenByConnection"),
            FindingCode::VaultPrivate,
        ),
        (
            403,
            "Forbidden",
            Some("AccessDenied"),
            FindingCode::AccessPolicyMissing,
        ),
        (401, "Unauthorized", None, FindingCode::VaultUnauthorized),
    ] {
        let report = report(|facts| forbid(facts, status, code, inner));
        assert_eq!(cause(&report).0, expected, "{status} {inner:?}");
    }
}

#[test]
fn a_role_at_another_secret_is_shown() {
    let report = report(|facts| {
        let roles = &mut azure(facts).roles[0];
        let other = format!("{}-other", roles.scope);
        roles.assignments = Known::Known(Vec::new());
        roles.elsewhere = vec![AssignmentFacts {
            role: SECRETS_USER.into(),
            scope: other,
        }];
        forbid(facts, 403, "Forbidden", Some("ForbiddenByRbac"));
    });
    let (code, finding) = cause(&report);
    assert_eq!(code, FindingCode::SecretForbidden);
    assert!(
        finding.message.contains("secrets/db-password-other"),
        "{}",
        finding.message
    );
}

#[test]
fn least_privilege_is_proven_by_refusals() {
    let tried = |outcome: SecretOutcome| SecretRecord {
        vault: "kv-central".into(),
        name: "wi-probe-x".into(),
        outcome: Some(outcome),
    };
    let refused = |status: u16| {
        SecretOutcome::Refused(VaultRefusal {
            status,
            code: "x".into(),
            inner_code: None,
            message: "no".into(),
            request_id: None,
        })
    };
    let with = |outcome: SecretOutcome| {
        report(|facts| {
            facts.least_privilege = true;
            pod(facts).forbidden = vec![tried(outcome)];
        })
    };
    assert!(with(refused(403)).has(FindingCode::AccessNarrow, Verdict::Pass));
    assert!(with(refused(404)).has(FindingCode::AccessTooWide, Verdict::Fail));
    assert!(with(refused(429)).has(FindingCode::AccessUnknown, Verdict::Unknown));
    let wide = report(|facts| {
        facts.least_privilege = true;
        pod(facts).forbidden = vec![tried(refused(403))];
        let vault = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/kv-central";
        azure(facts).roles[0].assignments = Known::Known(vec![AssignmentFacts {
            role: SECRETS_USER.into(),
            scope: vault.into(),
        }]);
    });
    let (code, finding) = cause(&wide);
    assert_eq!(code, FindingCode::AccessTooWide);
    assert!(
        finding.fixes[0].starts_with("az role assignment delete"),
        "{:?}",
        finding.fixes
    );
}

#[test]
fn another_account_must_be_refused() {
    let with = |exchange: ExchangeOutcome| {
        report(|facts| {
            facts.least_privilege = true;
            facts.other = Some(Known::Known(OtherAccount {
                name: "default".into(),
                exchange,
            }));
        })
    };
    let accepted = with(ExchangeOutcome::Granted(AccessClaims::default()));
    assert_eq!(cause(&accepted).0, FindingCode::OtherAccountAccepted);
    let unreachable = with(ExchangeOutcome::Unreachable {
        host: "login".into(),
        why: "no".into(),
    });
    assert!(unreachable.has(FindingCode::OtherAccountUnknown, Verdict::Unknown));
}

#[test]
fn a_firewall_seen_only_from_here_is_unknown() {
    let report = report(|facts| {
        forbid(facts, 403, "Forbidden", Some("ForbiddenByFirewall"));
        facts.local = facts.pod.take();
    });
    assert!(report.has(FindingCode::VaultFirewall, Verdict::Unknown));
    assert!(report.failures().next().is_none());
}

#[test]
fn what_works_beats_what_the_operator_may_not_see() {
    let report = report(|facts| {
        azure(facts).identity = Known::Known(None);
        azure(facts).credentials = Known::Unknown("there is no identity".into());
        azure(facts)
            .vaults
            .insert("kv-central".into(), Known::Known(None));
        azure(facts).roles.clear();
    });
    assert!(report.has(FindingCode::ClientIdUnknown, Verdict::Unknown));
    assert!(report.has(FindingCode::SecretOk, Verdict::Pass));
    assert!(report.failures().next().is_none());
}

#[test]
fn a_fix_names_the_vault_also_when_the_user_gave_its_id() {
    let id = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/kv-central";
    for (status, code, inner) in [
        (404, "SecretNotFound", None),
        (403, "Forbidden", Some("SecretDisabled")),
    ] {
        let report = report(|facts| {
            facts.secrets[0].vault = id.to_owned();
            forbid(facts, status, code, inner);
        });
        let fix = &cause(&report).1.fixes[0];
        assert!(fix.contains("--vault-name kv-central "), "{fix}");
    }
}
