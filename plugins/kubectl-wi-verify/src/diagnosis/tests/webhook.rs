//! The webhook, and what pods get from it.

use super::*;

#[test]
fn webhooks_that_do_not_do_their_work_are_told_apart() {
    let nothing = |facts: &mut Facts| {
        facts.cluster.dry_run = Known::Known(DryRun::Admitted(Injection::default()));
        let record = pod(facts);
        record.assertion = AssertionOutcome::Missing {
            why: "AZURE_FEDERATED_TOKEN_FILE is not set".into(),
        };
        record.discovery = None;
        record.exchange = ExchangeOutcome::NotTried {
            why: "AZURE_CLIENT_ID is not set".into(),
        };
        record.secrets[0].outcome = None;
    };
    let missing = report(|facts| {
        nothing(facts);
        facts.cluster.webhooks = Known::Known(Vec::new());
    });
    assert_eq!(cause(&missing).0, FindingCode::WebhookMissing);
    let token = missing
        .findings
        .iter()
        .find(|it| it.code == FindingCode::TokenMissing)
        .unwrap();
    assert_eq!(token.because_of, Some(FindingCode::WebhookMissing));
    assert_eq!(cause(&report(nothing)).0, FindingCode::InjectionMissing);
    let refusing = report(|facts| {
        facts.cluster.dry_run = Known::Known(DryRun::Refused {
            message: "failed calling webhook \"mutation.azure-workload-identity.io\"".into(),
        });
        facts.pod = Some(Known::Unknown("its pod would be refused".into()));
    });
    assert_eq!(cause(&refusing).0, FindingCode::WebhookRefuses);
    let with = |second: Option<&str>| {
        report(|facts| {
            facts.cluster.webhooks = Known::Known(vec![a_webhook("a/b", None), a_webhook("c/d", second)]);
        })
    };
    let twice = with(None);
    assert_eq!(found(&twice, FindingCode::WebhookDuplicate).subject, "a/b, c/d");
    let elsewhere = with(Some("namespaceSelector"));
    assert_eq!(elsewhere.verdict(), Verdict::Pass, "{:#?}", elsewhere.findings);
    // Of one that selects the pod and does nothing to it the selectors are not why.
    for (also, why) in [
        (None, "does not act on this namespace"),
        (Some("namespaceSelector"), "its objectSelector leaves it out"),
    ] {
        let idle = report(|facts| {
            nothing(facts);
            let webhooks = vec![a_webhook("a/b", Some("objectSelector")), a_webhook("c/d", also)];
            facts.cluster.webhooks = Known::Known(webhooks);
        });
        let (code, finding) = cause(&idle);
        assert_eq!(code, FindingCode::InjectionMissing);
        assert!(finding.message.ends_with(why), "{}", finding.message);
    }
}

#[test]
fn what_is_wrong_with_an_injection_decides_what_mends_it() {
    type Change = fn(&mut Injection);
    let cases: [(Change, &str, &str); 4] = [
        (
            |it| it.tenant_id = None,
            "AZURE_TENANT_ID",
            "kubectl annotate --context aks-weu-1 -n shop serviceaccount orders --overwrite azure.workload.identity/tenant-id-",
        ),
        (
            |it| it.client_id = Some("another".into()),
            "AZURE_CLIENT_ID",
            "get mutatingwebhookconfigurations",
        ),
        // A file that is there and is no projected token.
        (
            |it| it.audience = None,
            "audience of the token",
            "sets AZURE_FEDERATED_TOKEN_FILE in pods",
        ),
        (
            |it| {
                it.authority = None;
                it.token_file = None;
                it.audience = None;
            },
            "AZURE_AUTHORITY_HOST, AZURE_FEDERATED_TOKEN_FILE, audience of the token",
            "get configmap",
        ),
    ];
    for (change, names, fix) in cases {
        let report = report(|facts| {
            change(injection(facts));
            refuse(facts, 700_016);
        });
        let (code, finding) = cause(&report);
        assert_eq!(code, FindingCode::InjectionIncomplete);
        assert!(
            finding.message.ends_with(&format!(": {names}")),
            "{}",
            finding.message
        );
        assert!(finding.fixes[0].contains(fix), "{:?}", finding.fixes);
        let refused = found(&report, FindingCode::ExchangeRefused);
        assert_eq!(refused.because_of, Some(FindingCode::InjectionIncomplete));
    }
}

#[test]
fn a_sign_in_address_of_another_cloud_is_the_cause() {
    let elsewhere = |authority: &'static str| {
        move |facts: &mut Facts| injection(facts).authority = Some(authority.into())
    };
    let report_of = |authority: &'static str| {
        report(|facts| {
            elsewhere(authority)(facts);
            refuse(facts, 90002);
        })
    };
    assert_eq!(
        cause(&report_of("https://login.microsoftonline.us/")).0,
        FindingCode::AuthorityMismatch
    );
    assert_eq!(
        cause(&report_of("https://login.windows.net/")).0,
        FindingCode::ExchangeRefused
    );
    let works = report(elsewhere("https://login.microsoftonline.us/"));
    assert!(works.has(FindingCode::AuthorityMismatch, Verdict::Warn));
}
