"""Signs in with Azure's own SDK in every way that needs no stored secret, and reads a secret each time."""

import os

from azure.identity import AzurePipelinesCredential, CertificateCredential, ManagedIdentityCredential
from azure.keyvault.secrets import SecretClient

entra = {"authority": os.environ["SIM_ENTRA"], "disable_instance_discovery": True}
operator = {"tenant_id": os.environ["SIM_TENANT"], "client_id": os.environ["SIM_OPERATOR"], **entra}

ways = {
    "certificate": CertificateCredential(certificate_path=os.environ["SIM_CERTIFICATE"], **operator),
    "azure pipelines": AzurePipelinesCredential(
        service_connection_id=os.environ["SIM_CONNECTION"],
        system_access_token=os.environ["SYSTEM_ACCESSTOKEN"],
        **operator,
    ),
    "managed identity": ManagedIdentityCredential(client_id=os.environ["SIM_IDENTITY"]),
}

for name, credential in ways.items():
    vault = SecretClient(os.environ["SIM_VAULT"], credential, verify_challenge_resource=False)
    assert vault.get_secret("db-password").value == os.environ["SIM_SECRET"]
    print(name)
