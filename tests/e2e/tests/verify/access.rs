//! The secrets: roles, the vault's own rules, the way there, and the caller's own rights.

use crate::case::{API, CONTEXT, Case, ELSEWHERE, HERE, Mend, POD, Row, fails};
use serde_json::json;

#[test]
fn what_is_wrong_with_vault_egress_and_rights_is_the_first_finding() {
    let mut case = Case::new("access");
    let privileges = "--service-account orders --from local --least-privilege";
    for row in [
        fails(
            |case| case.move_role(None),
            "secret-forbidden",
            "kubectl wi setup",
            Mend::Printed,
        ),
        fails(
            |case| {
                // Right, and not known everywhere yet.
                case.move_role(None);
                case.vault_front(&json!({"roleDelayMs": 600_000}));
                case.run_printed(&case.setup());
            },
            "role-propagating",
            "--wait 10m",
            Mend::PrintedAfter(|case| {
                case.calm();
                case.move_role(Some("/secrets/db"));
            }),
        ),
        fails(
            |case| case.move_role(Some("/secrets/other")),
            "secret-forbidden",
            "kubectl wi setup",
            Mend::Printed,
        ),
        Row {
            flags: privileges,
            ..fails(
                |case| case.move_role(Some("")),
                "access-too-wide",
                "az role assignment delete",
                Mend::Undo(|case| case.move_role(Some("/secrets/db"))),
            )
        },
        Row {
            flags: privileges,
            ..fails(
                |case| {
                    let mut properties = case.credential["properties"].clone();
                    properties["subject"] =
                        json!(format!("system:serviceaccount:{}:default", case.namespace));
                    let path = format!(
                        "{}/federatedIdentityCredentials/another?{API}",
                        case.made("identityId")
                    );
                    case.world
                        .rest("PUT", &path, Some(&json!({"properties": properties})));
                },
                "other-account-accepted",
                "az identity federated-credential list",
                Mend::Undo(|case| {
                    let path = format!(
                        "{}/federatedIdentityCredentials/another?{API}",
                        case.made("identityId")
                    );
                    case.world.rest("DELETE", &path, None);
                }),
            )
        },
        fails(
            |case| case.azure(&["set", &format!("secret/{}/db", case.vault), "enabled=false"]),
            "secret-disabled",
            "--enabled true",
            Mend::Undo(|case| case.azure(&["set", &format!("secret/{}/db", case.vault), "enabled=true"])),
        ),
        fails(
            |case| case.set_vault("enableRbacAuthorization=false"),
            "access-policy-missing",
            "--allow-vault-wide",
            Mend::Undo(|case| case.set_vault("enableRbacAuthorization=true")),
        ),
        Row {
            flags: POD,
            ..fails(
                |case| case.set_vault("allowedIps=[\"192.0.2.1\"]"),
                "vault-firewall",
                "network-rule add",
                Mend::Undo(|case| case.set_vault("allowedIps=null")),
            )
        },
        Row {
            flags: POD,
            ..fails(
                |case| case.set_vault("publicNetworkAccess=Disabled"),
                "vault-private",
                "private-endpoint",
                Mend::Undo(|case| case.set_vault("publicNetworkAccess=Enabled")),
            )
        },
        fails(
            |case| case.set_vault(&format!("tenant={ELSEWHERE}")),
            "vault-unauthorized",
            "one tenant",
            Mend::Undo(|case| {
                case.set_vault(&format!("tenant={}", case.world.variable("AZURE_TENANT_ID")));
            }),
        ),
        fails(
            |case| {
                // A proxy answers instead of the vault.
                case.vault_front(&json!({"faults": [{"service": "vault", "status": 407, "html": true}]}));
            },
            "secret-unreadable",
            "no proxy",
            Mend::Undo(Case::calm),
        ),
        Row {
            flags: POD,
            ..fails(
                |case| case.cluster_fault(&["egress", CONTEXT, "block", "--to", "arm", "--reject"]),
                "vault-unreachable",
                "private endpoint",
                Mend::Undo(|case| case.cluster_fault(&["egress", CONTEXT, "open", "--to", "arm"])),
            )
        },
        Row {
            flags: POD,
            ..fails(
                |case| case.cluster_fault(&["egress", CONTEXT, "block", "--to", "entra", "--reject"]),
                "egress-blocked",
                "port 443",
                Mend::Undo(|case| case.cluster_fault(&["egress", CONTEXT, "open", "--to", "entra"])),
            )
        },
    ] {
        case.try_it(&row);
    }

    // What was granted is there, and nobody made the secret yet.
    case.move_role(Some(""));
    case.azure(&["remove", &format!("{}/secrets/db", case.vault_id())]);
    let (code, document) = case.verify(HERE, "");
    assert_eq!(code, 1);
    assert_eq!(
        document["clusters"][0]["report"]["findings"][0]["code"],
        "secret-missing"
    );
    case.set_vault("secrets=[{\"name\":\"db\",\"value\":\"value-of-the-secret\"}]");

    // A vault of that name is nowhere.
    let (code, document) = case.verify(HERE, &format!("--secret {}-typo/db", case.vault));
    let first = &document["clusters"][0]["report"]["findings"][0];
    assert_eq!((code, &first["code"]), (1, &json!("vault-unknown")), "{first:#}");

    // Who may not create jobs is told so, and gets what can be told from here.
    let limited = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "auditor"}},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "auditor"}, "rules": [
            {"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["get"]},
            {"apiGroups": [""], "resources": ["serviceaccounts/token"], "verbs": ["create"]}]},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "auditor"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "auditor"},
            "subjects": [{"kind": "ServiceAccount", "name": "auditor"}]}]});
    case.apply(&limited);
    let token = case.kubectl("create token auditor");
    let file = case.world.folder().join("auditor");
    std::fs::copy(case.world.variable("KUBECONFIG"), &file).expect("the kubeconfig can be copied");
    let config = format!("kubectl --kubeconfig {} config", file.display());
    let _ = case
        .world
        .run(&format!(
            "{config} set-credentials auditor --token={}",
            token.trim()
        ))
        .expect(0);
    let _ = case
        .world
        .run(&format!("{config} set-context {CONTEXT} --user=auditor"))
        .expect(0);
    let (code, document) = case.verify(&format!("{POD} --kubeconfig {}", file.display()), "");
    let findings = &document["clusters"][0]["report"]["findings"];
    let has = |code: &str, verdict: &str| {
        let mut all = findings.as_array().into_iter().flatten();
        all.any(|finding| finding["code"] == code && finding["verdict"] == verdict)
    };
    assert_eq!(code, 0, "{findings:#}");
    assert!(
        has("probe-pod-unavailable", "warn") && has("exchange-ok", "pass"),
        "{findings:#}"
    );

    // Without a sign-in to Azure its side is unknown, and the rest is proven all the same.
    case.world.unset("AZURE_CLIENT_SECRET");
    let (code, document) = case.verify(HERE, "");
    let findings = &document["clusters"][0]["report"]["findings"];
    assert_eq!(
        (code, &findings[0]["code"]),
        (0, &json!("azure-unknown")),
        "{findings:#}"
    );
}
