//! The service account, the webhook, the workload, and what else uses the account.

use crate::case::{API, CLIENT, CONTEXT, Case, ELSEWHERE, Mend, POD, Row, TENANT, WORKLOAD, fails};
use crate::policy;
use serde_json::{Value, json};

#[test]
fn what_is_wrong_with_account_and_webhook_is_the_first_finding() {
    let case = Case::new("account");
    for row in policy::rows().into_iter().chain(account_rows()) {
        case.try_it(&row);
    }

    // A probe that cannot start says why, and what can be told without it.
    let (code, document) = case.verify(POD, "--image absent.sandbox/wi-probe:none");
    let first = &document["clusters"][0]["report"]["findings"][0];
    assert_eq!((code, &first["code"]), (1, &json!("probe-failed")), "{first:#}");
    let fix = first["fixes"][0].as_str().unwrap_or_default();
    assert!(fix.contains("--from local"), "{first:#}");
    case.run_printed(fix);
}

pub(crate) fn account_rows() -> Vec<Row> {
    vec![
        fails(
            |case| {
                let path = case.made("identityId").replace("id-aks", "id-other");
                let other = case.world.rest(
                    "PUT",
                    &format!("{path}?{API}"),
                    Some(&json!({"location": "westeurope"})),
                );
                let client = other["properties"]["clientId"].as_str().unwrap_or_default();
                case.annotate(&format!("{CLIENT}={client}"));
            },
            "client-id-differs",
            "kubectl annotate",
            Mend::Printed,
        ),
        fails(
            |case| case.annotate(&format!("{CLIENT}={}", case.made("principalId"))),
            "client-id-is-principal",
            "kubectl annotate",
            Mend::Printed,
        ),
        fails(
            |case| case.annotate(&format!("{CLIENT}-")),
            "client-id-missing",
            "kubectl wi setup",
            Mend::Printed,
        ),
        fails(
            |case| case.annotate(&format!("{TENANT}={ELSEWHERE}")),
            "tenant-mismatch",
            "kubectl annotate",
            Mend::Printed,
        ),
        Row {
            flags: POD,
            then: &[("exchange-not-tried", "fail"), ("secret-not-tried", "skipped")],
            ..fails(
                // As a chart writes it whose value is empty.
                |case| case.annotate(&format!("{TENANT}=")),
                "injection-incomplete",
                "kubectl annotate",
                Mend::Printed,
            )
        },
        fails(
            |case| {
                case.kubectl("delete serviceaccount orders");
            },
            "account-missing",
            "--service-account-owner setup",
            Mend::Printed,
        ),
        Row {
            verdict: "warn",
            ..fails(
                |case| {
                    case.kubectl("label serviceaccount orders azure.workload.identity/use=true");
                },
                "label-on-account",
                "pod template",
                Mend::Undo(|case| {
                    case.kubectl("label serviceaccount orders azure.workload.identity/use-");
                }),
            )
        },
        Row {
            flags: POD,
            then: &[("token-missing", "fail"), ("secret-not-tried", "skipped")],
            ..fails(
                |case| case.cluster_fault(&["webhook", CONTEXT, "remove"]),
                "webhook-missing",
                "--enable-workload-identity",
                Mend::Undo(|case| case.cluster_fault(&["webhook", CONTEXT, "start"])),
            )
        },
        fails(
            |case| case.cluster_fault(&["webhook", CONTEXT, "stop"]),
            "webhook-refuses",
            "is the webhook running",
            Mend::Undo(|case| case.cluster_fault(&["webhook", CONTEXT, "start"])),
        ),
        Row {
            verdict: "warn",
            ..fails(
                |case| case.cluster_fault(&["webhook", CONTEXT, "double"]),
                "webhook-duplicate",
                "remove the other",
                // One that is for other namespaces may stay.
                Mend::Undo(|case| case.leave_out_of(SECOND_WEBHOOK)),
            )
        },
        fails(
            |case| case.cluster_fault(&["webhook", CONTEXT, "other-cloud"]),
            "authority-mismatch",
            "AZURE_ENVIRONMENT",
            Mend::Undo(|case| case.cluster_fault(&["webhook", CONTEXT, "start"])),
        ),
        fails(
            |case| case.leave_out_of(WEBHOOK),
            "injection-missing",
            "namespaceSelector",
            Mend::Undo(|case| case.select_namespaces(WEBHOOK, &json!({}))),
        ),
        fails(
            |case| {
                case.kubectl("create quota none --hard=pods=0");
                case.kubectl("wait --for=jsonpath={.status.hard.pods}=0 quota/none --timeout=60s");
            },
            "webhook-refuses",
            "describe quota",
            Mend::Undo(|case| {
                case.kubectl("delete quota none");
            }),
        ),
        // The last one: the identity that comes after it is another.
        fails(
            |case| case.azure(&["remove", case.made("identityId")]),
            "client-id-unknown",
            "--replace-identity",
            Mend::Printed,
        ),
    ]
}

#[test]
fn what_is_wrong_with_the_workload_is_the_first_finding() {
    let case = Case::new("workload");
    for row in workload_rows() {
        case.try_it(&row);
    }
}

pub(crate) fn workload_rows() -> Vec<Row> {
    let workload = |breaking, code, verdict, fix, mend| Row {
        flags: WORKLOAD,
        verdict,
        ..fails(breaking, code, fix, mend)
    };
    let undo_deployment = || {
        Mend::Undo(|case| {
            case.deploy(
                &json!({"azure.workload.identity/use": "true"}),
                &json!({}),
                &json!([]),
            );
        })
    };
    vec![
        workload(
            |case| case.deploy(&json!({}), &json!({}), &json!([])),
            "label-missing",
            "fail",
            "patch deployment/orders",
            Mend::Printed,
        ),
        workload(
            |case| {
                let environment = json!([{"name": "AZURE_CLIENT_ID", "value": ELSEWHERE}]);
                case.deploy(
                    &json!({"azure.workload.identity/use": "true"}),
                    &json!({}),
                    &environment,
                );
            },
            "preset-environment",
            "fail",
            "AZURE_CLIENT_ID-",
            Mend::Printed,
        ),
        workload(
            |case| {
                let annotations = json!({"azure.workload.identity/skip-containers": "main"});
                case.deploy(
                    &json!({"azure.workload.identity/use": "true"}),
                    &annotations,
                    &json!([]),
                );
            },
            "containers-skipped",
            "fail",
            "skip-containers",
            undo_deployment(),
        ),
        workload(
            |case| {
                let environment =
                    json!([{"name": "AZURE_CLIENT_SECRET", "value": "value-of-the-client-secret"}]);
                case.deploy(
                    &json!({"azure.workload.identity/use": "true"}),
                    &json!({}),
                    &environment,
                );
            },
            "client-secret-present",
            "warn",
            "delete the credential",
            undo_deployment(),
        ),
        workload(
            |case| {
                let labels = json!({"azure.workload.identity/use": "true", "aadpodidbinding": "orders"});
                case.deploy(&labels, &json!({}), &json!([]));
            },
            "pod-identity-leftover",
            "warn",
            "aadpodidbinding",
            undo_deployment(),
        ),
        workload(
            |case| {
                // A pod that was made before the account was annotated; it need not run.
                case.annotate(&format!("{CLIENT}-"));
                case.kubectl("patch deployment orders --type merge -p {\"spec\":{\"replicas\":1,\"strategy\":{\"type\":\"Recreate\",\"rollingUpdate\":null}}}");
                case.kubectl("wait --for=create pod -l app=orders --timeout=60s");
                case.annotate(&format!("{CLIENT}={}", case.made("clientId")));
            },
            "pods-outdated",
            "fail",
            "rollout restart deployment/orders",
            Mend::Undo(|case| {
                let old = case.kubectl("get pods -l app=orders -o name");
                case.kubectl("rollout restart deployment/orders");
                case.kubectl(&format!("wait --for=delete {} --timeout=60s", old.trim()));
            }),
        ),
        workload(
            |case| {
                case.define(
                    "secrets-store.csi.x-k8s.io",
                    "SecretProviderClass",
                    "secretproviderclasses",
                );
                case.provider_class(ELSEWHERE);
                case.deploy_with(&json!({"volumes": [{"name": "secrets", "csi": {
                    "driver": "secrets-store.csi.k8s.io", "readOnly": true,
                    "volumeAttributes": {"secretProviderClass": "kv"}}}]}));
            },
            "secret-provider-class-differs",
            "fail",
            "edit secretproviderclass/kv",
            Mend::Undo(|case| case.provider_class(case.made("clientId"))),
        ),
        workload(
            |case| {
                case.define("external-secrets.io", "SecretStore", "secretstores");
                case.secret_store(ELSEWHERE);
            },
            "secret-store-differs",
            "fail",
            "edit secretstore/kv",
            Mend::Undo(|case| case.secret_store(case.world.variable("AZURE_TENANT_ID"))),
        ),
    ]
}

impl Case {
    /// Tells a webhook to leave the case's namespace alone.
    fn leave_out_of(&self, webhook: &str) {
        let name =
            json!({"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": [self.namespace]});
        self.select_namespaces(webhook, &json!({"matchExpressions": [name]}));
    }

    /// Which namespaces a webhook looks at.
    fn select_namespaces(&self, webhook: &str, selector: &Value) {
        let change = json!([{"op": "add", "path": "/webhooks/0/namespaceSelector", "value": selector}]);
        let change = change.to_string();
        let words = [
            "kubectl",
            "--context",
            CONTEXT,
            "patch",
            "mutatingwebhookconfiguration",
            webhook,
            "--type=json",
            "-p",
            &change,
        ];
        self.world.run_words(&words).expect(0);
    }

    /// Defines a kind as its project does, with any fields.
    fn define(&self, group: &str, kind: &str, plural: &str) {
        let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        self.apply(&json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.{group}")},
            "spec": {"group": group, "scope": "Namespaced", "names": {"kind": kind, "plural": plural},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]},
        }));
        self.kubectl(&format!(
            "wait --for=condition=Established crd/{plural}.{group} --timeout=60s"
        ));
    }

    fn provider_class(&self, client: &str) {
        self.apply(&json!({
            "apiVersion": "secrets-store.csi.x-k8s.io/v1", "kind": "SecretProviderClass", "metadata": {"name": "kv"},
            "spec": {"provider": "azure", "parameters": {
                "clientID": client, "keyvaultName": self.vault, "tenantID": self.world.variable("AZURE_TENANT_ID")}},
        }));
    }

    fn secret_store(&self, tenant: &str) {
        self.apply(&json!({
            "apiVersion": "external-secrets.io/v1", "kind": "SecretStore", "metadata": {"name": "kv"},
            "spec": {"provider": {"azurekv": {
                "authType": "WorkloadIdentity", "tenantId": tenant, "serviceAccountRef": {"name": "orders"},
                "vaultUrl": format!("https://{}.vault.azure.net", self.vault)}}},
        }));
    }
}

/// The webhook's registration, as AKS names it.
const WEBHOOK: &str = "azure-wi-webhook-mutating-webhook-configuration";
/// That of one that somebody installed beside it.
const SECOND_WEBHOOK: &str = "second-azure-wi-webhook-mutating-webhook-configuration";
