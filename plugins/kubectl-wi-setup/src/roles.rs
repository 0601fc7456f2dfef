//! Built-in roles that teams give to service connections, and why they do not suffice here.
//!
//! Source: <https://learn.microsoft.com/azure/role-based-access-control/built-in-roles>.

use crate::rights::Right;

/// A role that is often thought to be enough.
struct Familiar {
    id: &'static str,
    name: &'static str,
    /// What it does, and what it therefore lacks.
    reach: &'static str,
}

const FAMILIAR: [Familiar; 11] = [
    Familiar {
        id: "acdd72a7-3385-48ef-bd42-f606fba81ae7",
        name: "Reader",
        reach: "reads everything and writes nothing",
    },
    Familiar {
        id: "b24988ac-6180-42a0-ab88-20f7382dd24c",
        name: "Contributor",
        reach: "writes everything but role assignments",
    },
    Familiar {
        id: "0ab0b1a8-8aac-4efd-b8c2-3ee1fb270be8",
        name: "Azure Kubernetes Service Cluster Admin Role",
        reach: "fetches a cluster's admin kubeconfig; it reads and writes no identity, vault or role assignment",
    },
    Familiar {
        id: "b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b",
        name: "Azure Kubernetes Service RBAC Cluster Admin",
        reach: "does everything inside a cluster and nothing with Azure's own resources",
    },
    Familiar {
        id: "ed7f3fbd-7b88-4dd4-9017-9adb7ce333f8",
        name: "Azure Kubernetes Service Contributor Role",
        reach: "manages clusters; it writes no identity and no role assignment",
    },
    Familiar {
        id: "f1a07417-d97a-45cb-824c-7a7467783830",
        name: "Managed Identity Operator",
        reach: "reads identities and gives them to resources; it neither creates nor federates one",
    },
    Familiar {
        id: "e40ec5ca-96e0-45a2-b4ff-59039f2c2b59",
        name: "Managed Identity Contributor",
        reach: "creates and federates identities; it assigns no role to them",
    },
    Familiar {
        id: "00482a5a-887f-4fb3-b363-3b7fe8e74483",
        name: "Key Vault Administrator",
        reach: "does everything with the content of vaults; it lets nobody else in",
    },
    Familiar {
        id: "b86a8fe4-44ce-4948-aee5-eccb2c155cd7",
        name: "Key Vault Secrets Officer",
        reach: "does everything with secrets; it lets nobody else in",
    },
    Familiar {
        id: "f25e0fa2-a7c8-4377-a976-54943a77a395",
        name: "Key Vault Contributor",
        reach: "manages vaults; where roles rule a vault it lets nobody in",
    },
    Familiar {
        id: "8b54135c-b56d-4d72-a534-26097cfdc8d8",
        name: "Key Vault Data Access Administrator",
        reach: "assigns the roles of vaults and no others; it writes no identity",
    },
];

/// The name of a role, when it is a familiar one.
pub(crate) fn name(id: &str) -> Option<&'static str> {
    let mut known = FAMILIAR.iter();
    known.find(|role| role.id == id).map(|role| role.name)
}

/// What is said of the roles that a principal has, given by their ids, where rights are missing: one sentence for each
/// that is familiar.
pub(crate) fn explain(held: &[String], missing: &[Right]) -> Vec<String> {
    if missing.is_empty() {
        return Vec::new();
    }
    let is_held = |role: &&Familiar| held.iter().any(|id| id.eq_ignore_ascii_case(role.id));
    let familiar = FAMILIAR.iter().filter(is_held);
    familiar
        .map(|role| format!("{:?}, which is assigned, {}", role.name, role.reach))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::{nothing, workload};
    use crate::rights::{needed, without};
    use aks_shared::azure::arm::Permissions;
    use pretty_assertions::assert_eq;
    use serde_json::{Value, json};
    use std::collections::BTreeMap;

    const IDENTITY: &str = "identity";
    const CREDENTIAL: &str = "credential";
    const ASSIGNMENT: &str = "assignment";

    /// What a role that holds everywhere leaves undone of a setup from nothing.
    fn lacks(permissions: &Value) -> Vec<&'static str> {
        let permissions: Permissions = serde_json::from_value(permissions.clone()).unwrap();
        let needed = needed(&crate::plan(&workload(), &nothing()));
        let known: BTreeMap<String, Permissions> = needed
            .iter()
            .map(|right| (right.scope.clone(), permissions.clone()))
            .collect();
        let short = |right: &Right| match right.action {
            action if action.contains("federated") => CREDENTIAL,
            action if action.contains("roleAssignments") => ASSIGNMENT,
            _ => IDENTITY,
        };
        let mut lacks: Vec<_> = without(needed, &known).iter().map(short).collect();
        lacks.sort_unstable();
        lacks
    }

    fn role(actions: &[&str], not_actions: &[&str]) -> Value {
        json!({"actions": actions, "notActions": not_actions})
    }

    #[test]
    fn the_roles_that_teams_usually_give_lack_what_is_said() {
        let all = vec![ASSIGNMENT, CREDENTIAL, IDENTITY];
        let common = [
            "Microsoft.Authorization/*/read",
            "Microsoft.Resources/deployments/*",
        ];
        let with_common = |more: &[&str]| role(&[&common[..], more].concat(), &[]);
        let vault = [
            "Microsoft.KeyVault/vaults/*/read",
            "Microsoft.KeyVault/operations/read",
        ];
        let table: Vec<(&str, Value, Vec<&str>)> = vec![
            ("Owner", role(&["*"], &[]), vec![]),
            ("Reader", role(&["*/read"], &[]), all.clone()),
            (
                "Contributor",
                role(
                    &["*"],
                    &[
                        "Microsoft.Authorization/*/Delete",
                        "Microsoft.Authorization/*/Write",
                    ],
                ),
                vec![ASSIGNMENT],
            ),
            (
                "Azure Kubernetes Service Cluster Admin Role",
                role(
                    &[
                        "Microsoft.ContainerService/managedClusters/listClusterAdminCredential/action",
                        "Microsoft.ContainerService/managedClusters/read",
                    ],
                    &[],
                ),
                all.clone(),
            ),
            (
                "Azure Kubernetes Service Contributor Role",
                with_common(&["Microsoft.ContainerService/managedClusters/*"]),
                all.clone(),
            ),
            (
                "Managed Identity Operator",
                with_common(&[
                    "Microsoft.ManagedIdentity/userAssignedIdentities/*/read",
                    "Microsoft.ManagedIdentity/userAssignedIdentities/*/assign/action",
                ]),
                all.clone(),
            ),
            (
                "Managed Identity Contributor",
                with_common(&[
                    "Microsoft.ManagedIdentity/userAssignedIdentities/*/read",
                    "Microsoft.ManagedIdentity/userAssignedIdentities/*/write",
                    "Microsoft.ManagedIdentity/userAssignedIdentities/*/delete",
                    "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/*",
                ]),
                vec![ASSIGNMENT],
            ),
            ("Key Vault Administrator", with_common(&vault), all.clone()),
            ("Key Vault Secrets Officer", with_common(&vault), all.clone()),
            (
                "Key Vault Contributor",
                with_common(&["Microsoft.KeyVault/*"]),
                all,
            ),
            (
                "Key Vault Data Access Administrator",
                with_common(&["Microsoft.Authorization/roleAssignments/write"]),
                vec![CREDENTIAL, IDENTITY],
            ),
        ];
        for (name, permissions, expected) in &table {
            assert_eq!(&lacks(&json!([permissions])), expected, "{name}");
        }
        // The three roles of a usual service connection together still do not suffice; the two least ones do.
        let of = |name: &str| {
            let row = table.iter().find(|(other, ..)| *other == name);
            row.map(|(_, permissions, _)| permissions.clone())
        };
        let usual = [
            of("Azure Kubernetes Service Cluster Admin Role"),
            of("Managed Identity Operator"),
            of("Key Vault Administrator"),
        ];
        assert_eq!(lacks(&json!(usual)).len(), 3);
        let least = [
            of("Managed Identity Contributor"),
            of("Key Vault Data Access Administrator"),
        ];
        assert_eq!(lacks(&json!(least)), Vec::<&str>::new());
    }

    #[test]
    fn only_roles_that_are_held_are_explained_and_only_where_something_is_missing() {
        let missing = needed(&crate::plan(&workload(), &nothing()));
        let held = [
            "F1A07417-D97A-45CB-824C-7A7467783830".to_owned(),
            "11111111-1111-4111-8111-111111111111".to_owned(),
        ];
        let told = explain(&held, &missing);
        assert_eq!(told.len(), 1);
        assert!(
            told[0].starts_with("\"Managed Identity Operator\", which is assigned, "),
            "{told:?}"
        );
        assert_eq!(explain(&held, &[]), Vec::<String>::new());
    }
}
