//! Diagnosis from recorded facts: a healthy workload, and one thing wrong with it at a time.

mod access;
mod chain;
mod federation;
mod time;
mod webhook;
mod workload;

use super::diagnose;
use crate::facts::{
    AccountFacts, AksFacts, AssignmentFacts, AzureFacts, ClusterFacts, CredentialFacts, DryRun, Expected,
    Facts, IdentityFacts, Injection, Known, OtherAccount, RoleFacts, SecretName, VaultFacts, WebhookFacts,
};
use crate::finding::{Finding, FindingCode, Verdict};
use crate::report::Report;
use aks_shared::identity::ServiceAccountRef;
use std::collections::BTreeMap;
use wi_probe::ProbeRecord;
use wi_probe::discovery::DiscoveryOutcome;
use wi_probe::exchange::EntraRefusal;
use wi_probe::jwt::{AccessClaims, AssertionClaims};
use wi_probe::record::{API_VERSION, AssertionOutcome, Attempts, Environment, ExchangeOutcome, SecretRecord};
use wi_probe::secret::{SecretOutcome, VaultRefusal};

const ISSUER: &str = "https://westeurope.oic.prod-aks.azure.com/t/u/";
const CLIENT: &str = "11111111-1111-1111-1111-111111111111";
const PRINCIPAL: &str = "22222222-2222-2222-2222-222222222222";
const SUBJECT: &str = "system:serviceaccount:shop:orders";
const AUDIENCE: &str = "api://AzureADTokenExchange";
const SECRETS_USER: &str = "4633458b-17de-408a-b874-0445c86b69e6";

fn identity() -> IdentityFacts {
    IdentityFacts {
        id: "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-orders".into(),
        name: "id-orders".into(),
        client_id: CLIENT.into(),
        principal_id: PRINCIPAL.into(),
        tenant_id: "t".into(),
    }
}

fn record() -> ProbeRecord {
    ProbeRecord {
        api_version: API_VERSION.into(),
        probe_version: "0.1.0".into(),
        environment: Environment {
            client_id: Some(CLIENT.into()),
            tenant_id: Some("t".into()),
            authority: Some("https://login.microsoftonline.com/".into()),
            token_file: Some("/var/run/secrets/azure/wi/token/azure-identity-token".into()),
        },
        assertion: AssertionOutcome::Read(AssertionClaims {
            issuer: ISSUER.into(),
            subject: SUBJECT.into(),
            audiences: vec![AUDIENCE.into()],
            key_id: Some("k1".into()),
            ..AssertionClaims::default()
        }),
        discovery: Some(DiscoveryOutcome::Published {
            issuer: ISSUER.into(),
            jwks_uri: "https://keys".into(),
            key_ids: vec!["k0".into(), "k1".into()],
        }),
        exchange: ExchangeOutcome::Granted(AccessClaims {
            client_id: Some(CLIENT.into()),
            object_id: Some(PRINCIPAL.into()),
            ..AccessClaims::default()
        }),
        secrets: vec![SecretRecord {
            vault: "kv-central".into(),
            name: "db-password".into(),
            outcome: Some(SecretOutcome::Read),
        }],
        forbidden: Vec::new(),
        tries: 1,
        attempts: Attempts {
            granted: 1,
            ..Attempts::default()
        },
        elapsed_ms: 100,
        clock: 1_700_000_000,
    }
}

fn a_webhook(name: &str, left_out_by: Option<&str>) -> WebhookFacts {
    WebhookFacts {
        name: name.into(),
        left_out_by: left_out_by.map(str::to_owned),
    }
}

fn healthy() -> Facts {
    let secret = SecretName {
        vault: "kv-central".into(),
        name: "db-password".into(),
    };
    let vault_id = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/kv-central";
    let scope = format!("{vault_id}/secrets/db-password");
    let vault = VaultFacts {
        id: vault_id.into(),
        uri: "https://kv-central.vault.azure.net/".into(),
        rbac: true,
    };
    Facts {
        context: "aks-weu-1".into(),
        account: ServiceAccountRef::new("shop", "orders").unwrap(),
        secrets: vec![secret.clone()],
        expected: Expected::default(),
        least_privilege: false,
        workload: None,
        surroundings: None,
        other: None,
        cluster: ClusterFacts {
            server: "https://a.hcp.westeurope.azmk8s.io/".into(),
            issuer: Known::Known(ISSUER.into()),
            account: Known::Known(Some(AccountFacts { client_id: Some(CLIENT.into()), ..AccountFacts::default() })),
            webhooks: Known::Known(vec![a_webhook("azure-wi-webhook/mutation", None)]),
            dry_run: Known::Known(DryRun::Admitted(Injection {
                client_id: Some(CLIENT.into()),
                tenant_id: Some("t".into()),
                authority: Some("https://login.microsoftonline.com/".into()),
                token_file: Some("/var/run/secrets/azure/wi/token/azure-identity-token".into()),
                audience: Some(AUDIENCE.into()),
            })),
        },
        azure: Known::Known(AzureFacts {
            authority: Some("https://login.microsoftonline.com/".into()),
            cluster: Known::Known(Some(AksFacts {
                id: "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/weu-1".into(),
                name: "weu-1".into(),
                group: "g".into(),
                issuer: Some(ISSUER.into()),
                issuer_enabled: true,
                workload_identity_enabled: true,
            })),
            identity: Known::Known(Some(identity())),
            mistaken: None,
            intended: None,
            credentials: Known::Known(vec![CredentialFacts {
                name: "fc".into(),
                issuer: ISSUER.into(),
                subject: SUBJECT.into(),
                audiences: vec![AUDIENCE.into()],
                expression: None,
            }]),
            vaults: BTreeMap::from([("kv-central".to_owned(), Known::Known(Some(vault)))]),
            roles: vec![RoleFacts {
                secret,
                scope: scope.clone(),
                assignments: Known::Known(vec![AssignmentFacts { role: SECRETS_USER.into(), scope }]),
                elsewhere: Vec::new(),
            }],
        }),
        pod: Some(Known::Known(record())),
        local: None,
    }
}

/// The healthy facts with something done to them, judged.
fn report(change: impl FnOnce(&mut Facts)) -> Report {
    let mut facts = healthy();
    change(&mut facts);
    // What a test changes must survive being written down: recorded facts are how diagnosis is reproduced.
    let written = serde_json::to_string(&facts).unwrap();
    assert_eq!(serde_json::from_str::<Facts>(&written).unwrap(), facts);
    let findings = diagnose(&facts);
    for finding in &findings {
        // What is said of a consequence is what the catalogue says.
        assert!(
            finding
                .because_of
                .is_none_or(|cause| cause.explains(finding.code)),
            "{} because of {:?}",
            finding.code,
            finding.because_of
        );
    }
    Report::new("aks-weu-1", facts.account.clone(), findings)
}

fn azure(facts: &mut Facts) -> &mut AzureFacts {
    match &mut facts.azure {
        Known::Known(azure) => azure,
        Known::Unknown(_) => panic!("signed in"),
    }
}

fn pod(facts: &mut Facts) -> &mut ProbeRecord {
    match &mut facts.pod {
        Some(Known::Known(record)) => record,
        _ => panic!("a pod ran"),
    }
}

fn account(facts: &mut Facts) -> &mut AccountFacts {
    match &mut facts.cluster.account {
        Known::Known(Some(account)) => account,
        _ => panic!("there is an account"),
    }
}

/// What the probe records when Entra refuses.
fn refuse(facts: &mut Facts, code: u32) {
    let record = pod(facts);
    record.exchange = ExchangeOutcome::Refused(EntraRefusal {
        status: 401,
        error: "invalid_client".into(),
        codes: vec![code],
        description: format!("AADSTS{code}: refused."),
        correlation_id: Some("c".into()),
        trace_id: None,
    });
    record.secrets[0].outcome = None;
}

fn forbid(facts: &mut Facts, status: u16, code: &str, inner: Option<&str>) {
    pod(facts).secrets[0].outcome = Some(SecretOutcome::Refused(VaultRefusal {
        status,
        code: code.into(),
        inner_code: inner.map(str::to_owned),
        message: "no".into(),
        request_id: None,
    }));
}

fn credential(facts: &mut Facts) -> &mut CredentialFacts {
    match &mut azure(facts).credentials {
        Known::Known(credentials) => &mut credentials[0],
        Known::Unknown(_) => panic!("credentials were read"),
    }
}

/// What the dry run said is added to pods.
fn injection(facts: &mut Facts) -> &mut Injection {
    match &mut facts.cluster.dry_run {
        Known::Known(DryRun::Admitted(injection)) => injection,
        _ => panic!("the pod was admitted"),
    }
}

/// The finding with this code.
fn found(report: &Report, code: FindingCode) -> &Finding {
    let mut findings = report.findings.iter();
    findings
        .find(|it| it.code == code)
        .unwrap_or_else(|| panic!("no {code}"))
}

fn cause(report: &Report) -> (FindingCode, &Finding) {
    let finding = report.cause().expect("something failed");
    assert_eq!(finding.because_of, None, "the top finding is a root cause");
    (finding.code, finding)
}
