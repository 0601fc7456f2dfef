//! The federated credential against the token.

use super::*;

#[test]
fn a_flexible_credential_is_evaluated_or_unknown_and_never_a_mismatch() {
    let flexible = |expression: Option<&str>| {
        let expression = expression.map(str::to_owned);
        report(move |facts| {
            let credential = credential(facts);
            credential.subject = String::new();
            credential.expression = expression;
        })
    };
    let admits = flexible(Some("claims['sub'] matches 'system:serviceaccount:shop:*'"));
    assert!(admits.has(FindingCode::CredentialOk, Verdict::Pass));
    for opaque in [None, Some("claims['team'] eq 'x'")] {
        let report = flexible(opaque);
        assert!(report.has(FindingCode::CredentialsUnknown, Verdict::Unknown));
        assert!(report.failures().next().is_none());
    }
    let refuses = flexible(Some("claims['sub'] matches 'system:serviceaccount:other:*'"));
    assert_eq!(cause(&refuses).0, FindingCode::SubjectMismatch);
}

#[test]
fn a_wrong_field_of_the_credential_is_named_with_both_values() {
    type Change = fn(&mut CredentialFacts);
    let cases: [(Change, u32, FindingCode, &str); 5] = [
        (
            |it| it.subject = "system:serviceaccount:shop:payments".into(),
            700_213,
            FindingCode::SubjectMismatch,
            "another subject",
        ),
        (
            |it| it.subject = "system:serviceaccount:Shop:orders".into(),
            7_002_138,
            FindingCode::SubjectMismatch,
            "in another case",
        ),
        (
            |it| it.issuer = ISSUER.trim_end_matches('/').into(),
            700_211,
            FindingCode::IssuerMismatch,
            "without the trailing slash",
        ),
        (
            |it| it.issuer = "https://old/".into(),
            700_211,
            FindingCode::IssuerMismatch,
            "another issuer",
        ),
        (
            |it| it.audiences = vec!["api://AzureADTokenExchangeUSGov".into()],
            700_212,
            FindingCode::AudienceMismatch,
            "another audience",
        ),
    ];
    for (change, aadsts, code, words) in cases {
        let report = report(|facts| {
            change(credential(facts));
            refuse(facts, aadsts);
        });
        let (found, finding) = cause(&report);
        assert_eq!(found, code);
        assert!(finding.message.contains(words), "{}", finding.message);
        let evidence = &finding.evidence[0];
        assert!(
            evidence.expected.is_some() && evidence.found.is_some() && evidence.expected != evidence.found
        );
        assert!(finding.fixes[0].starts_with("kubectl wi setup --context aks-weu-1 -n shop --service-account orders --secret kv-central/db-password"));
        let exchange = report
            .findings
            .iter()
            .find(|it| it.code == FindingCode::ExchangeRefused)
            .unwrap();
        assert_eq!(exchange.because_of, Some(code));
        assert!(report.has(FindingCode::SecretNotTried, Verdict::Skipped));
    }
}

#[test]
fn a_credential_of_somebody_else_is_no_near_miss() {
    let foreign = report(|facts| {
        let it = credential(facts);
        it.issuer = "https://other/".into();
        it.subject = "system:serviceaccount:a:b".into();
        refuse(facts, 700_211);
    });
    assert_eq!(cause(&foreign).0, FindingCode::NoFederatedCredential);
    let none = report(|facts| {
        azure(facts).credentials = Known::Known(Vec::new());
        refuse(facts, 70025);
    });
    let (code, finding) = cause(&none);
    assert_eq!(code, FindingCode::NoFederatedCredential);
    assert!(finding.message.contains("none at all"));
}

#[test]
fn the_right_credential_among_wrong_ones_is_enough() {
    let report = report(|facts| {
        let wrong = CredentialFacts {
            subject: "system:serviceaccount:a:b".into(),
            ..credential(facts).clone()
        };
        if let Known::Known(credentials) = &mut azure(facts).credentials {
            credentials.insert(0, wrong);
        }
    });
    assert_eq!(report.verdict(), Verdict::Pass);
}

#[test]
fn the_issuer_of_a_token_stands_in_for_the_discovery_document() {
    let report = report(|facts| facts.cluster.issuer = Known::Unknown("forbidden".into()));
    assert!(report.has(FindingCode::IssuerOk, Verdict::Pass));
    assert!(report.has(FindingCode::CredentialOk, Verdict::Pass));
}
