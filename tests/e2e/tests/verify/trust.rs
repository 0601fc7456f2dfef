//! The trust between cluster and identity, and what Entra says of it.

use crate::case::{CONTEXT, Case, ELSEWHERE, Mend, Row, fails};
use serde_json::json;

#[test]
fn what_is_wrong_with_the_trust_is_the_first_finding() {
    let case = Case::new("trust");
    for row in rows() {
        case.try_it(&row);
    }
}

pub(crate) fn rows() -> Vec<Row> {
    vec![
        fails(
            |case| {
                let another = format!("system:serviceaccount:{}:payments", case.namespace);
                case.put_credential("subject", &json!(another));
            },
            "subject-mismatch",
            "kubectl wi setup",
            Mend::Printed,
        ),
        fails(
            |case| {
                let wrong = format!("system:serviceaccount:{}:Orders", case.namespace);
                case.put_credential("subject", &json!(wrong));
            },
            "subject-mismatch",
            "kubectl wi setup",
            Mend::Printed,
        ),
        fails(
            |case| {
                let issuer = case.credential["properties"]["issuer"]
                    .as_str()
                    .unwrap_or_default();
                case.put_credential("issuer", &json!(issuer.trim_end_matches('/')));
            },
            "issuer-mismatch",
            "kubectl wi setup",
            Mend::Printed,
        ),
        fails(
            |case| {
                case.delete_credentials();
                case.put_credential("audiences", &json!(["api://SomebodyElse"]));
            },
            "audience-mismatch",
            "kubectl wi setup",
            Mend::Printed,
        ),
        Row {
            flags: "--service-account orders --from local --least-privilege",
            then: &[
                ("exchange-refused", "fail"),
                ("secret-not-tried", "skipped"),
                ("access-unknown", "unknown"),
            ],
            ..fails(
                Case::delete_credentials,
                "no-federated-credential",
                "kubectl wi setup",
                Mend::Printed,
            )
        },
        fails(
            |case| {
                // Right, and not known everywhere yet.
                case.delete_credentials();
                case.front(&json!({"credentialDelayMs": 600_000}));
                case.put_credential("issuer", &case.credential["properties"]["issuer"]);
            },
            "trust-propagating",
            "--wait 10m",
            Mend::PrintedAfter(|case| {
                case.calm();
                case.put_credential("issuer", &case.credential["properties"]["issuer"]);
            }),
        ),
        Row {
            verdict: "warn",
            flags: "--service-account orders --from local --repeat 250",
            ..fails(
                |case| case.front(&json!({"spurious700213": 0.03})),
                "exchange-flaky",
                "try a refused exchange again",
                Mend::Undo(Case::calm),
            )
        },
        fails(
            |case| case.publish_issuer(false),
            "discovery-unreachable",
            "az aks update -g rg-fleet -n aks-weu-1",
            Mend::Undo(|case| case.publish_issuer(true)),
        ),
        fails(
            // What the issuer publishes stayed behind when its key was rotated.
            |case| case.cluster_fault(&["issuer", CONTEXT, "rotate"]),
            "key-not-published",
            "restart the workload",
            Mend::Undo(|case| case.cluster_fault(&["issuer", CONTEXT, "restore"])),
        ),
        fails(
            // The document that was published elsewhere names the issuer that it was copied from.
            |case| {
                case.cluster_fault(&["issuer", CONTEXT, "move"]);
                case.put_credential("issuer", &json!(e2e::azure::issuer(&case.world, CONTEXT)));
            },
            "discovery-issuer-differs",
            "get --raw /.well-known/openid-configuration",
            Mend::Undo(|case| {
                case.cluster_fault(&["issuer", CONTEXT, "restore"]);
                case.put_credential("issuer", &case.credential["properties"]["issuer"]);
            }),
        ),
        fails(
            // A policy of the tenant, of which nothing is seen from outside.
            |case| {
                let blocked = json!({"service": "entra", "path": "oauth2/v2.0/token", "status": 400, "code": "AADSTS53003"});
                case.front(&json!({"faults": [blocked]}));
            },
            "exchange-refused",
            "administrator",
            Mend::Undo(Case::calm),
        ),
        fails(
            // Nothing comes back from Entra, neither to pods nor to here.
            |case| {
                let lost = json!({"service": "entra", "path": "oauth2/v2.0/token", "drop": true});
                case.front(&json!({"faults": [lost]}));
            },
            "exchange-unreachable",
            "port 443",
            Mend::Undo(Case::calm),
        ),
        Row {
            verdict: "warn",
            ..fails(
                |case| {
                    let issuer = format!("issuerUrl=https://westeurope.oic.prod-aks.azure.com/{ELSEWHERE}/");
                    case.azure(&["set", "cluster/aks-weu-1", &issuer]);
                },
                "cluster-issuer-differs",
                "az aks get-credentials",
                Mend::Undo(|case| {
                    let issuer = case.credential["properties"]["issuer"].as_str();
                    let issuer = format!("issuerUrl={}", issuer.unwrap_or_default());
                    case.azure(&["set", "cluster/aks-weu-1", &issuer]);
                }),
            )
        },
        Row {
            verdict: "warn",
            ..fails(
                |case| case.azure(&["set", "cluster/aks-weu-1", "workloadIdentityEnabled=false"]),
                "workload-identity-disabled",
                "--enable-workload-identity",
                Mend::Undo(|case| {
                    case.azure(&["set", "cluster/aks-weu-1", "workloadIdentityEnabled=true"]);
                }),
            )
        },
        fails(
            |case| case.azure(&["clock", "2h"]),
            "clock-skew",
            "chronyc",
            Mend::Undo(|case| case.azure(&["clock", "0s"])),
        ),
        fails(
            |case| case.azure(&["set", "cluster/aks-weu-1", "oidcIssuerEnabled=false"]),
            "issuer-disabled",
            "--enable-oidc-issuer",
            Mend::Undo(|case| case.azure(&["set", "cluster/aks-weu-1", "oidcIssuerEnabled=true"])),
        ),
    ]
}
