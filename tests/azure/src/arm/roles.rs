//! Roles: the built-in ones that this slice of Azure knows, with their public ids, and what a custom one is.

use std::sync::LazyLock;

use uuid::{Uuid, uuid};

use crate::clock::Millis;
use crate::state::within;

/// What a role allows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Role<T = String> {
    pub(crate) id: Uuid,
    pub(crate) name: T,
    pub(crate) description: T,
    pub(crate) actions: Vec<T>,
    pub(crate) not_actions: Vec<T>,
    pub(crate) data_actions: Vec<T>,
    pub(crate) not_data_actions: Vec<T>,
    /// Roles that its holder may hand out, where that is limited.
    pub(crate) may_assign: Option<Vec<Uuid>>,
    /// What a role has that somebody made; none: it is built in.
    pub(crate) custom: Option<Custom>,
}

/// What only custom roles have.
#[derive(Debug, Clone)]
pub(crate) struct Custom {
    /// Where it can be assigned, everything below included.
    pub(crate) assignable_scopes: Vec<String>,
    pub(crate) created: Millis,
    pub(crate) updated: Millis,
    /// None: it is there from the start.
    pub(crate) created_by: Option<Uuid>,
    pub(crate) updated_by: Option<Uuid>,
}

impl Role {
    /// Whether it can be assigned at a scope.
    pub(crate) fn is_assignable(&self, scope: &str) -> bool {
        self.custom.as_ref().is_none_or(|custom| {
            let mut scopes = custom.assignable_scopes.iter();
            scopes.any(|outer| within(scope, outer))
        })
    }
}

impl From<Role<&'static str>> for Role {
    fn from(role: Role<&'static str>) -> Self {
        let texts = |values: Vec<&str>| values.into_iter().map(str::to_owned).collect();
        Self {
            id: role.id,
            name: role.name.to_owned(),
            description: role.description.to_owned(),
            actions: texts(role.actions),
            not_actions: texts(role.not_actions),
            data_actions: texts(role.data_actions),
            not_data_actions: texts(role.not_data_actions),
            may_assign: role.may_assign,
            custom: role.custom,
        }
    }
}

const SECRETS_USER: Uuid = uuid!("4633458b-17de-408a-b874-0445c86b69e6");
const SECRETS_OFFICER: Uuid = uuid!("b86a8fe4-44ce-4948-aee5-eccb2c155cd7");
const VAULT_ADMINISTRATOR: Uuid = uuid!("00482a5a-887f-4fb3-b363-3b7fe8e74483");
const VAULT_READER: Uuid = uuid!("21090545-7ca7-4776-b22c-e363652d74d2");

/// What most service roles allow besides their service.
const COMMON: [&str; 5] = [
    "Microsoft.Authorization/*/read",
    "Microsoft.Insights/alertRules/*",
    "Microsoft.Resources/deployments/*",
    "Microsoft.Resources/subscriptions/resourceGroups/read",
    "Microsoft.Support/*",
];

/// What the data roles of vaults allow on their resource.
const VAULT_READ: [&str; 5] = [
    "Microsoft.KeyVault/checkNameAvailability/read",
    "Microsoft.KeyVault/deletedVaults/read",
    "Microsoft.KeyVault/locations/*/read",
    "Microsoft.KeyVault/vaults/*/read",
    "Microsoft.KeyVault/operations/read",
];

fn with_common(more: &[&'static str]) -> Vec<&'static str> {
    COMMON.iter().chain(more).copied().collect()
}

static ROLES: LazyLock<Vec<Role>> = LazyLock::new(|| built_in().into_iter().map(Role::from).collect());

/// The table.
fn built_in() -> Vec<Role<&'static str>> {
    vec![
        Role {
            id: uuid!("8e3af657-a8ff-443c-a75c-2fe8c4bcb635"),
            name: "Owner",
            description: "Full access to all resources, including the right to assign roles.",
            actions: vec!["*"],
            ..Role::default()
        },
        Role {
            id: uuid!("b24988ac-6180-42a0-ab88-20f7382dd24c"),
            name: "Contributor",
            description: "Full access to all resources, without the right to assign roles.",
            actions: vec!["*"],
            not_actions: vec![
                "Microsoft.Authorization/*/Delete",
                "Microsoft.Authorization/*/Write",
                "Microsoft.Authorization/elevateAccess/Action",
            ],
            ..Role::default()
        },
        Role {
            id: uuid!("acdd72a7-3385-48ef-bd42-f606fba81ae7"),
            name: "Reader",
            description: "View all resources.",
            actions: vec!["*/read"],
            ..Role::default()
        },
        Role {
            id: uuid!("18d7d88d-d35e-4fb5-a5c3-7773c20a72d9"),
            name: "User Access Administrator",
            description: "Manage access to resources.",
            actions: vec!["*/read", "Microsoft.Authorization/*", "Microsoft.Support/*"],
            ..Role::default()
        },
        Role {
            id: uuid!("f58310d9-a9f6-439a-9e8d-f62e7b41a168"),
            name: "Role Based Access Control Administrator",
            description: "Manage access to resources by assigning roles.",
            actions: vec![
                "Microsoft.Authorization/roleAssignments/write",
                "Microsoft.Authorization/roleAssignments/delete",
                "*/read",
                "Microsoft.Support/*",
            ],
            ..Role::default()
        },
        Role {
            id: uuid!("e40ec5ca-96e0-45a2-b4ff-59039f2c2b59"),
            name: "Managed Identity Contributor",
            description: "Create, read, update and delete user-assigned identities.",
            actions: with_common(&[
                "Microsoft.ManagedIdentity/userAssignedIdentities/read",
                "Microsoft.ManagedIdentity/userAssignedIdentities/write",
                "Microsoft.ManagedIdentity/userAssignedIdentities/delete",
                "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/read",
                "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/write",
                "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/delete",
                "Microsoft.ManagedIdentity/userAssignedIdentities/revokeTokens/action",
            ]),
            ..Role::default()
        },
        Role {
            id: uuid!("f1a07417-d97a-45cb-824c-7a7467783830"),
            name: "Managed Identity Operator",
            description: "Read and assign user-assigned identities.",
            actions: with_common(&[
                "Microsoft.ManagedIdentity/userAssignedIdentities/*/read",
                "Microsoft.ManagedIdentity/userAssignedIdentities/*/assign/action",
            ]),
            ..Role::default()
        },
        Role {
            id: SECRETS_USER,
            name: "Key Vault Secrets User",
            description: "Read secret contents.",
            data_actions: vec![
                "Microsoft.KeyVault/vaults/secrets/getSecret/action",
                "Microsoft.KeyVault/vaults/secrets/readMetadata/action",
            ],
            ..Role::default()
        },
        Role {
            id: SECRETS_OFFICER,
            name: "Key Vault Secrets Officer",
            description: "Any action on the secrets of a key vault, except manage permissions.",
            actions: with_common(&VAULT_READ),
            data_actions: vec!["Microsoft.KeyVault/vaults/secrets/*"],
            ..Role::default()
        },
        Role {
            id: VAULT_ADMINISTRATOR,
            name: "Key Vault Administrator",
            description: "All data plane operations on a key vault.",
            actions: with_common(&VAULT_READ),
            data_actions: vec!["Microsoft.KeyVault/vaults/*"],
            ..Role::default()
        },
        Role {
            id: VAULT_READER,
            name: "Key Vault Reader",
            description: "Read metadata of key vaults and their secrets, not the contents.",
            actions: with_common(&VAULT_READ),
            data_actions: vec![
                "Microsoft.KeyVault/vaults/*/read",
                "Microsoft.KeyVault/vaults/secrets/readMetadata/action",
            ],
            ..Role::default()
        },
        Role {
            id: uuid!("f25e0fa2-a7c8-4377-a976-54943a77a395"),
            name: "Key Vault Contributor",
            description: "Manage key vaults, without access to secrets and without the right to assign roles.",
            actions: with_common(&["Microsoft.KeyVault/*"]),
            not_actions: vec!["Microsoft.KeyVault/locations/deletedVaults/purge/action"],
            ..Role::default()
        },
        Role {
            id: uuid!("8b54135c-b56d-4d72-a534-26097cfdc8d8"),
            name: "Key Vault Data Access Administrator",
            description: "Manage access to key vaults by assigning the key vault roles.",
            actions: with_common(&[
                "Microsoft.Authorization/roleAssignments/write",
                "Microsoft.Authorization/roleAssignments/delete",
                "Microsoft.Resources/subscriptions/read",
                "Microsoft.KeyVault/vaults/*/read",
            ]),
            may_assign: Some(vec![
                SECRETS_USER,
                SECRETS_OFFICER,
                VAULT_ADMINISTRATOR,
                VAULT_READER,
            ]),
            ..Role::default()
        },
        Role {
            id: uuid!("ed7f3fbd-7b88-4dd4-9017-9adb7ce333f8"),
            name: "Azure Kubernetes Service Contributor Role",
            description: "Read and write AKS clusters.",
            actions: with_common(&[
                "Microsoft.ContainerService/locations/*",
                "Microsoft.ContainerService/managedClusters/*",
                "Microsoft.ContainerService/managedclustersnapshots/*",
                "Microsoft.ContainerService/snapshots/*",
            ]),
            ..Role::default()
        },
        Role {
            id: uuid!("0ab0b1a8-8aac-4efd-b8c2-3ee1fb270be8"),
            name: "Azure Kubernetes Service Cluster Admin Role",
            description: "List the cluster admin credential.",
            actions: vec![
                "Microsoft.ContainerService/managedClusters/listClusterAdminCredential/action",
                "Microsoft.ContainerService/managedClusters/accessProfiles/listCredential/action",
                "Microsoft.ContainerService/managedClusters/read",
                "Microsoft.ContainerService/managedClusters/runcommand/action",
            ],
            ..Role::default()
        },
        Role {
            id: uuid!("4abbcc35-e782-43d8-92c5-2d3f1bd2253f"),
            name: "Azure Kubernetes Service Cluster User Role",
            description: "List the cluster user credential.",
            actions: vec![
                "Microsoft.ContainerService/managedClusters/listClusterUserCredential/action",
                "Microsoft.ContainerService/managedClusters/read",
            ],
            ..Role::default()
        },
    ]
}

/// All built-in roles.
pub(crate) fn all() -> &'static [Role] {
    &ROLES
}

/// The built-in role with this id.
pub(crate) fn by_id(id: Uuid) -> Option<&'static Role> {
    ROLES.iter().find(|role| role.id == id)
}

/// A role's id as seen from a scope: below its subscription, if it is in one.
pub(crate) fn definition_id(scope: &str, role: Uuid) -> String {
    let mut segments = scope.split('/').filter(|segment| !segment.is_empty());
    let prefix = match (segments.next(), segments.next()) {
        (Some(kind), Some(id)) if kind.eq_ignore_ascii_case("subscriptions") => {
            format!("/subscriptions/{id}")
        }
        _ => String::new(),
    };
    format!("{prefix}/providers/Microsoft.Authorization/roleDefinitions/{role}")
}
