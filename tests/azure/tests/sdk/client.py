"""Sets up an identity with Azure's own SDKs and reads a secret as that identity. Prints `done` at the end."""

import os
import uuid

from azure.identity import WorkloadIdentityCredential
from azure.keyvault.secrets import SecretClient
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.containerservice import ContainerServiceClient
from azure.mgmt.msi import ManagedServiceIdentityClient

subscription = os.environ["SIM_SUBSCRIPTION"]
issuer = os.environ["SIM_ISSUER"]
arm = {"base_url": os.environ["SIM_ARM"], "credential_scopes": ["https://management.azure.com/.default"]}


def sign_in(client_id):
    return WorkloadIdentityCredential(
        tenant_id=os.environ["SIM_TENANT"],
        client_id=client_id,
        token_file_path=os.environ["SIM_TOKEN_FILE"],
        authority=os.environ["SIM_ENTRA"],
        disable_instance_discovery=True,
    )


operator = sign_in(os.environ["SIM_OPERATOR"])

clusters = ContainerServiceClient(operator, subscription, **arm).managed_clusters
cluster = clusters.get("rg", "aks-1")
assert not cluster.oidc_issuer_profile.enabled and not cluster.oidc_issuer_profile.issuer_url
cluster.oidc_issuer_profile.enabled = True
cluster.security_profile = {"workloadIdentity": {"enabled": True}}
update = clusters.begin_create_or_update("rg", "aks-1", cluster, etag=cluster.e_tag, polling_interval=0)
assert update.result().oidc_issuer_profile.issuer_url == issuer
assert [one.name for one in clusters.list()] == ["aks-1"]

msi = ManagedServiceIdentityClient(operator, subscription, **arm)
identity = msi.user_assigned_identities.create_or_update("rg", "id-orders", {"location": "westeurope"})
trust = {"issuer": issuer, "subject": os.environ["SIM_SUBJECT"], "audiences": ["api://AzureADTokenExchange"]}
msi.federated_identity_credentials.create_or_update("rg", "id-orders", "orders", {"properties": trust})
assert [one.name for one in msi.federated_identity_credentials.list("rg", "id-orders")] == ["orders"]

group = f"/subscriptions/{subscription}/resourceGroups/rg"
scope = f"{group}/providers/Microsoft.KeyVault/vaults/kv/secrets/db-password"
role = "4633458b-17de-408a-b874-0445c86b69e6"
grant = {
    "roleDefinitionId": f"/subscriptions/{subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}",
    "principalId": identity.principal_id,
    "principalType": "ServicePrincipal",
}
roles = AuthorizationManagementClient(operator, subscription, **arm)
roles.role_assignments.create(scope, str(uuid.uuid4()), {"properties": grant})
assert any(one.principal_id == identity.principal_id for one in roles.role_assignments.list_for_scope(scope))

vault = SecretClient(os.environ["SIM_VAULT"], sign_in(identity.client_id), verify_challenge_resource=False)
assert vault.get_secret("db-password").value == os.environ["SIM_SECRET"]
print("done")
