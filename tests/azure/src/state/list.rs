//! The state as a document for people: everything but secrets.

use serde_json::{Value, json};

use super::State;
use crate::arm::roles;
use crate::clock::{Millis, rfc3339};

impl State {
    /// Everything that exists, without values of secrets and client secrets.
    pub(crate) fn list(&self, now: Millis) -> Value {
        json!({
            "tenant": {"id": self.tenant().id, "displayName": self.tenant().display_name},
            "subscriptions": self.subscriptions.iter()
                .map(|subscription| json!({"id": subscription.id, "displayName": subscription.display_name}))
                .collect::<Vec<_>>(),
            "servicePrincipals": self.applications.iter().map(|application| json!({
                "displayName": application.name, "clientId": application.client_id,
                "objectId": application.object_id, "federatedCredentials": application.credentials,
            })).collect::<Vec<_>>(),
            "resourceGroups": self.groups.values().map(|group| json!({
                "id": group.id, "name": group.name, "location": group.location, "tags": group.tags,
            })).collect::<Vec<_>>(),
            "clusters": self.clusters.values().map(|cluster| json!({
                "id": cluster.id, "name": cluster.name, "location": cluster.location, "tags": cluster.tags,
                "fqdn": cluster.properties.get("fqdn"),
                "issuerUrl": cluster.issuer_url,
                "oidcIssuerProfile": cluster.properties.get("oidcIssuerProfile"),
                "securityProfile": cluster.properties.get("securityProfile"),
                "provisioningState": cluster.properties.get("provisioningState"),
            })).collect::<Vec<_>>(),
            "identities": self.identities.values().map(|identity| json!({
                "id": identity.id, "name": identity.name, "location": identity.location, "tags": identity.tags,
                "clientId": identity.client_id, "principalId": identity.principal_id,
                "federatedCredentials": identity.credentials.values().collect::<Vec<_>>(),
                "replicating": identity.credentials.lags(now),
            })).collect::<Vec<_>>(),
            "customRoles": self.roles.values().map(|role| json!({
                "id": roles::definition_id("", role.id), "name": role.name, "actions": role.actions,
                "dataActions": role.data_actions,
                "assignableScopes": role.custom.as_ref().map(|custom| &custom.assignable_scopes),
            })).collect::<Vec<_>>(),
            "roleAssignments": self.assignments.values().map(|assignment| json!({
                "id": assignment.id, "scope": assignment.scope, "roleId": assignment.role,
                "role": self.role(assignment.role).map(|role| &role.name),
                "principalId": assignment.principal_id,
                "principal": self.by_object_id(assignment.principal_id).map(|principal| principal.name),
                "created": rfc3339(assignment.created),
                "condition": assignment.condition,
            })).collect::<Vec<_>>(),
            "vaults": self.vaults.values().map(|vault| json!({
                "id": vault.id, "name": vault.name, "location": vault.location, "tags": vault.tags,
                "vaultUri": vault.uri, "enableRbacAuthorization": vault.rbac,
                "tenantId": vault.tenant.unwrap_or(self.tenant().id), "allowedIps": vault.allowed_ips,
                "publicNetworkAccess": if vault.public_network_access { "Enabled" } else { "Disabled" },
                "accessPolicies": vault.access_policies,
                "secrets": vault.secrets.values().map(|secret| json!({
                    "name": secret.name,
                    "versions": secret.versions.iter().map(|version| json!({
                        "id": version.id, "enabled": version.enabled, "created": rfc3339(version.created),
                    })).collect::<Vec<_>>(),
                })).collect::<Vec<_>>(),
            })).collect::<Vec<_>>(),
            "locks": self.rules.locks,
            "policies": self.rules.policies,
            "denyAssignments": self.rules.denials.iter().map(|denial| json!({
                "id": denial.id, "name": denial.name, "scope": denial.scope, "actions": denial.actions,
                "dataActions": denial.data_actions, "principals": denial.principals,
            })).collect::<Vec<_>>(),
        })
    }
}
