//! The secrets: roles, the vault's own rules, the way there, and the caller's own rights.

use crate::case::{API, CONTEXT, Case, ELSEWHERE, HERE, Mend, POD, Row, fails};
use serde_json::json;

#[test]
fn what_is_wrong_with_vault_egress_and_rights_is_the_first_finding() {
    let mut case = Case::new("access");
    for row in rows() {
        case.try_it(&row);
    }

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

pub(crate) fn rows() -> Vec<Row> {
    let privileges = "--service-account orders --from local --least-privilege";
    vec![
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
        fails(
            // What was granted is there, and nobody made the secret yet.
            |case| {
                case.move_role(Some(""));
                case.azure(&["remove", &format!("{}/secrets/db", case.vault_id())]);
            },
            "secret-missing",
            "az keyvault secret list",
            Mend::Undo(|case| {
                case.set_vault("secrets=[{\"name\":\"db\",\"value\":\"value-of-the-secret\"}]");
                case.move_role(Some("/secrets/db"));
            }),
        ),
        fails(
            |case| case.azure(&["remove", &case.vault_id()]),
            "vault-unknown",
            "by its ARM id",
            Mend::Undo(|case| {
                case.add_vault();
                case.move_role(Some("/secrets/db"));
            }),
        ),
    ]
}
