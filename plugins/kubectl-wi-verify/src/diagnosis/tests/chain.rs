//! Account, identity, issuer and exchange.

use super::*;

#[test]
fn a_refusal_without_a_difference_is_propagation() {
    let report = report(|facts| refuse(facts, 700_213));
    let (code, finding) = cause(&report);
    assert_eq!(code, FindingCode::TrustPropagating);
    let refused = report
        .findings
        .iter()
        .find(|it| it.code == FindingCode::ExchangeRefused)
        .unwrap();
    assert_eq!(refused.because_of, Some(FindingCode::TrustPropagating));
    assert!(
        finding.message.contains("not known everywhere yet"),
        "{}",
        finding.message
    );
    assert!(finding.fixes[0].contains("--wait"));
}

#[test]
fn without_a_sign_in_the_code_is_explained_and_azure_is_unknown() {
    let report = report(|facts| {
        facts.azure = Known::Unknown("nobody is signed in".into());
        refuse(facts, 700_016);
    });
    assert!(report.has(FindingCode::AzureUnknown, Verdict::Unknown));
    let (code, finding) = cause(&report);
    assert_eq!(code, FindingCode::ExchangeRefused);
    assert!(
        finding.message.contains("AADSTS700016") && finding.message.contains("client id"),
        "{}",
        finding.message
    );
}

#[test]
fn the_account_is_the_cause_when_it_names_nobody() {
    let report = report(|facts| {
        account(facts).client_id = None;
        account(facts).helm_release = Some("orders".into());
        azure(facts).identity = Known::Unknown("none".into());
        let record = pod(facts);
        record.exchange = ExchangeOutcome::NotTried {
            why: "AZURE_CLIENT_ID is not set".into(),
        };
        record.secrets[0].outcome = None;
    });
    let (code, finding) = cause(&report);
    assert_eq!(code, FindingCode::ClientIdMissing);
    assert!(finding.fixes[1].contains("Helm release orders"));
    let exchange = report
        .findings
        .iter()
        .find(|it| it.code == FindingCode::ExchangeNotTried)
        .unwrap();
    assert_eq!(exchange.because_of, Some(FindingCode::ClientIdMissing));
}

#[test]
fn a_missing_account_explains_the_refused_pod() {
    let report = report(|facts| {
        facts.cluster.account = Known::Known(None);
        facts.cluster.dry_run = Known::Known(DryRun::Refused {
            message: "serviceaccounts \"orders\" not found".into(),
        });
        facts.pod = Some(Known::Unknown("there is no such service account".into()));
    });
    assert_eq!(cause(&report).0, FindingCode::AccountMissing);
    for code in [FindingCode::WebhookRefuses, FindingCode::ProbeFailed] {
        let finding = report.findings.iter().find(|it| it.code == code).unwrap();
        assert_eq!(finding.because_of, Some(FindingCode::AccountMissing), "{code}");
    }
}

#[test]
fn another_identity_than_the_expected_one_is_a_failure() {
    let report =
        report(|facts| facts.expected.client_id = Some("33333333-3333-3333-3333-333333333333".into()));
    assert_eq!(cause(&report).0, FindingCode::ClientIdDiffers);
}

#[test]
fn the_identity_that_was_set_up_for_the_account_is_proposed() {
    let other = || IdentityFacts {
        name: "id-set-up".into(),
        client_id: "44444444-4444-4444-4444-444444444444".into(),
        ..identity()
    };
    let named = report(|facts| {
        azure(facts).intended = Some(other());
        azure(facts).credentials = Known::Known(Vec::new());
        refuse(facts, 70025);
    });
    let unknown = report(|facts| {
        azure(facts).intended = Some(other());
        azure(facts).identity = Known::Known(None);
        refuse(facts, 700_016);
    });
    for report in [named, unknown] {
        let (code, finding) = cause(&report);
        assert_eq!(code, FindingCode::ClientIdDiffers);
        assert!(
            finding.fixes[0].ends_with("client-id=44444444-4444-4444-4444-444444444444"),
            "{:?}",
            finding.fixes
        );
    }
}

#[test]
fn client_ids_that_are_none_are_told_apart() {
    let unknown = report(|facts| {
        azure(facts).identity = Known::Known(None);
        refuse(facts, 700_016);
    });
    assert_eq!(cause(&unknown).0, FindingCode::ClientIdUnknown);
    let principal = report(|facts| {
        azure(facts).identity = Known::Known(None);
        azure(facts).mistaken = Some(identity());
        account(facts).client_id = Some(PRINCIPAL.into());
        if let Known::Known(DryRun::Admitted(injection)) = &mut facts.cluster.dry_run {
            injection.client_id = Some(PRINCIPAL.into());
        }
        refuse(facts, 700_016);
    });
    let (code, finding) = cause(&principal);
    assert_eq!(code, FindingCode::ClientIdIsPrincipal);
    assert!(
        finding.fixes[0].ends_with(&format!("azure.workload.identity/client-id={CLIENT}")),
        "{}",
        finding.fixes[0]
    );
}

#[test]
fn another_tenant_is_a_failure() {
    let report = report(|facts| {
        if let Known::Known(DryRun::Admitted(injection)) = &mut facts.cluster.dry_run {
            injection.tenant_id = Some("other".into());
        }
        refuse(facts, 700_016);
    });
    assert_eq!(cause(&report).0, FindingCode::TenantMismatch);
}

#[test]
fn an_issuer_is_unreachable_only_when_entra_says_so_too() {
    let unreachable = |facts: &mut Facts| {
        pod(facts).discovery = Some(DiscoveryOutcome::Unreachable {
            url: ISSUER.into(),
            why: "connection refused".into(),
        });
    };
    let harmless = report(unreachable);
    assert!(harmless.has(FindingCode::DiscoveryUnreachable, Verdict::Skipped));
    assert!(harmless.failures().next().is_none());
    let grave = report(|facts| {
        unreachable(facts);
        refuse(facts, 90061);
    });
    assert_eq!(cause(&grave).0, FindingCode::DiscoveryUnreachable);
}

#[test]
fn a_key_that_is_not_published_is_the_cause() {
    let report = report(|facts| {
        pod(facts).discovery = Some(DiscoveryOutcome::Published {
            issuer: ISSUER.into(),
            jwks_uri: "https://keys".into(),
            key_ids: vec!["k0".into()],
        });
        refuse(facts, 7_000_272);
    });
    assert_eq!(cause(&report).0, FindingCode::KeyNotPublished);
}

#[test]
fn without_the_right_to_run_pods_the_try_from_here_counts() {
    let report = report(|facts| {
        facts.local = facts
            .pod
            .replace(Known::Unknown("you may not create jobs in namespace shop".into()));
    });
    assert!(report.has(FindingCode::ProbePodUnavailable, Verdict::Warn));
    assert!(report.has(FindingCode::ExchangeOk, Verdict::Pass));
    assert_eq!(report.verdict(), Verdict::Warn);
}

#[test]
fn what_could_not_be_told_says_what_would_tell_it() {
    let blind = report(|facts| {
        facts.cluster.account = Known::Unknown("forbidden".into());
        facts.local = facts
            .pod
            .replace(Known::Unknown("you may not create jobs".into()));
    });
    for code in [FindingCode::AccountUnknown, FindingCode::ProbePodUnavailable] {
        assert_eq!(found(&blind, code).fixes, [code.remedy()]);
    }
}

#[test]
fn a_probe_that_gives_no_record_proves_nothing() {
    let report = report(|facts| facts.pod = Some(Known::Unknown("ImagePullBackOff".into())));
    assert_eq!(cause(&report).0, FindingCode::ProbeFailed);
    assert!(!report.has(FindingCode::SecretOk, Verdict::Pass));
}

#[test]
fn a_refusal_refers_to_what_explains_it_and_to_nothing_else() {
    let report = report(|facts| {
        facts.cluster.webhooks = Known::Known(Vec::new());
        facts.cluster.dry_run = Known::Known(DryRun::Admitted(Injection::default()));
        credential(facts).subject = "system:serviceaccount:shop:payments".into();
        refuse(facts, 700_213);
        facts.local = facts.pod.take();
    });
    let exchange = report
        .findings
        .iter()
        .find(|it| it.code == FindingCode::ExchangeRefused)
        .unwrap();
    assert_eq!(exchange.because_of, Some(FindingCode::SubjectMismatch));
    assert!(report.has(FindingCode::WebhookMissing, Verdict::Fail));
}

#[test]
fn an_exchange_that_works_from_here_alone_is_a_matter_of_egress() {
    let report = report(|facts| {
        facts.local = Some(Known::Known(record()));
        let record = pod(facts);
        record.exchange = ExchangeOutcome::Unreachable {
            host: "login.microsoftonline.com".into(),
            why: "timed out".into(),
        };
        record.secrets[0].outcome = None;
    });
    assert_eq!(cause(&report).0, FindingCode::EgressBlocked);
    let exchange = report
        .findings
        .iter()
        .find(|it| it.code == FindingCode::ExchangeUnreachable)
        .unwrap();
    assert_eq!(exchange.because_of, Some(FindingCode::EgressBlocked));
}

#[test]
fn refusals_after_a_grant_are_flakiness_and_before_it_patience() {
    let attempts = |after: u32| {
        report(move |facts| {
            pod(facts).attempts = Attempts {
                granted: 98,
                refused: BTreeMap::from([("AADSTS700213".to_owned(), 2)]),
                refused_after_grant: after,
            };
        })
    };
    let flaky = attempts(2);
    assert!(flaky.has(FindingCode::ExchangeFlaky, Verdict::Warn));
    let finding = flaky
        .findings
        .iter()
        .find(|it| it.code == FindingCode::ExchangeFlaky)
        .unwrap();
    assert!(
        finding.message.contains("98 of 100") && finding.message.contains("2 × AADSTS700213"),
        "{}",
        finding.message
    );
    let settled = attempts(0);
    assert_eq!(settled.verdict(), Verdict::Pass);
    let exchange = settled
        .findings
        .iter()
        .find(|it| it.code == FindingCode::ExchangeOk)
        .unwrap();
    assert!(
        exchange.message.contains("after 2 refusals"),
        "{}",
        exchange.message
    );
}
