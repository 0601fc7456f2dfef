//! The catalogue of findings: every code with what it means, what may explain it and what mends it. The page
//! `shared/docs/findings.md` has a heading for each; a test holds the two together.

use serde::{Deserialize, Serialize};

/// The part of the chain that a finding is about, in the order in which a token travels it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// The cluster's issuer.
    Cluster,
    /// The service account.
    Account,
    /// The workload and its pods.
    Workload,
    /// The webhook and what it injects.
    Webhook,
    /// The managed identity.
    Identity,
    /// Its federated credentials.
    Federation,
    /// What the issuer publishes.
    Discovery,
    /// The exchange, tried.
    Exchange,
    /// The secrets, read.
    Secrets,
}

macro_rules! catalogue {
    ($($variant:ident $name:literal $phase:ident $meaning:literal $remedy:literal;)*) => {
        /// What a finding is about. Codes are stable; documents and tests name them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[cfg_attr(test, derive(schemars::JsonSchema))]
        pub enum FindingCode {
            $(#[doc = $meaning] #[serde(rename = $name)] $variant,)*
        }

        impl FindingCode {
            /// Every code, in the order of the chain.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The stable kebab-case name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The part of the chain that it belongs to.
            pub const fn phase(self) -> Phase {
                match self { $(Self::$variant => Phase::$phase,)* }
            }

            /// What it means, one sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }

            /// What mends it in general, one sentence; empty where there is nothing to mend. A finding itself
            /// brings the command with the names filled in, where there is one.
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$variant => $remedy,)* }
            }
        }
    };
}

catalogue! {
    IssuerOk "issuer-ok" Cluster "The API server and Azure name the same issuer." "";
    IssuerUnknown "issuer-unknown" Cluster "The API server's issuer discovery could not be read." "Ask for the cluster role system:service-account-issuer-discovery.";
    ClusterUnknown "cluster-unknown" Cluster "No AKS cluster that can be read has this issuer or this address." "Sign in to the cluster's subscription, or name it with --subscription.";
    ClusterIssuerDiffers "cluster-issuer-differs" Cluster "The API server names another issuer than Azure does for this cluster." "Check that the context leads to the cluster that you mean; a cluster that was built anew has a new issuer.";
    IssuerDisabled "issuer-disabled" Cluster "The cluster's OIDC issuer is not enabled." "Enable it; that restarts the API server and cannot be undone.";
    WorkloadIdentityDisabled "workload-identity-disabled" Cluster "Workload identity is not enabled on the cluster." "Enable it, or keep the webhook that you installed yourself.";
    AzureUnknown "azure-unknown" Cluster "Without a sign-in to Azure its side of the chain could not be looked at." "Sign in to Azure.";
    AccountOk "account-ok" Account "The service account exists and names an identity." "";
    AccountMissing "account-missing" Account "The service account does not exist." "Let setup or the chart create it.";
    AccountUnknown "account-unknown" Account "The service account could not be read." "Ask for the right to get service accounts in the namespace.";
    ClientIdMissing "client-id-missing" Account "The service account has no client id annotation." "Annotate it: kubectl wi setup does.";
    ClientIdDiffers "client-id-differs" Account "The service account names another identity than the expected one." "Run setup with --replace-identity, or correct the expectation.";
    LabelOnAccount "label-on-account" Account "The use label stands on the service account, where it does nothing." "Set the label in the pod template.";
    WorkloadOk "workload-ok" Workload "The workload's pods ask for a token as this service account." "";
    LabelMissing "label-missing" Workload "The workload's pods lack the use label, so the webhook leaves them as they are." "Set the label azure.workload.identity/use to \"true\" in the pod template.";
    ContainersSkipped "containers-skipped" Workload "Containers of the workload are exempt from the injection." "Take them out of the annotation azure.workload.identity/skip-containers.";
    PresetEnvironment "preset-environment" Workload "The workload sets a variable itself that the webhook then leaves alone, to another value." "Take the variable out of the pod template.";
    ClientSecretPresent "client-secret-present" Workload "The workload has a credential in its environment that the SDKs prefer to workload identity." "Take the variable out of the pod template, and delete the credential.";
    PodsOutdated "pods-outdated" Workload "Pods run that were made before the service account was annotated as it is now." "Restart the workload.";
    PodsUnknown "pods-unknown" Workload "The pods of the service account could not be read." "Ask for the right to list pods in the namespace.";
    PodIdentityLeftover "pod-identity-leftover" Workload "Something of the retired pod-managed identity is left over." "Remove the label aadpodidbinding and the objects AzureIdentity and AzureIdentityBinding.";
    SecretProviderClassDiffers "secret-provider-class-differs" Workload "A secret provider class that the pods mount points to another identity, tenant or vault." "Correct its parameters.";
    SecretStoreDiffers "secret-store-differs" Workload "A secret store of External Secrets that uses this service account points to another tenant or does not use workload identity." "Correct its provider section.";
    InjectionOk "injection-ok" Webhook "The webhook injects token and settings into labelled pods." "";
    WebhookMissing "webhook-missing" Webhook "No workload identity webhook is installed." "Enable workload identity on the cluster.";
    WebhookDuplicate "webhook-duplicate" Webhook "More than one workload identity webhook acts on the pods." "Keep the AKS add-on and remove the other.";
    WebhookRefuses "webhook-refuses" Webhook "Labelled pods are refused at admission." "The message says who refuses: bring the webhook back, or satisfy the policy.";
    InjectionMissing "injection-missing" Webhook "The webhook is installed and yet leaves labelled pods as they are." "Look at the webhook's namespaceSelector and objectSelector.";
    InjectionIncomplete "injection-incomplete" Webhook "Labelled pods get other settings than the service account asks for, or not all." "Remove an empty tenant annotation, and what sets the variables before the webhook does; check the webhook's settings.";
    InjectionUnknown "injection-unknown" Webhook "What the webhook injects could not be read." "Ask for the right to create pods; the dry run persists nothing.";
    AuthorityMismatch "authority-mismatch" Webhook "Pods are sent to the sign-in address of another cloud than the identity's." "Correct AZURE_ENVIRONMENT in the webhook's settings, or --cloud.";
    IdentityOk "identity-ok" Identity "The managed identity with this client id exists." "";
    ClientIdUnknown "client-id-unknown" Identity "No managed identity that can be read has this client id." "Run setup with --replace-identity, or sign in where the identity lives.";
    ClientIdIsPrincipal "client-id-is-principal" Identity "The annotation holds the identity's principal id instead of its client id." "Annotate the service account with the client id.";
    IdentityUnknown "identity-unknown" Identity "The managed identities could not be read." "Ask for the role Reader where the identity lives.";
    TenantMismatch "tenant-mismatch" Identity "The pod signs in to another tenant than the identity's." "Annotate the service account with the identity's tenant.";
    CredentialOk "credential-ok" Federation "A federated credential trusts exactly this cluster, account and audience." "";
    NoFederatedCredential "no-federated-credential" Federation "The identity has no federated credential for this account." "Run setup.";
    IssuerMismatch "issuer-mismatch" Federation "The federated credential trusts another issuer." "Run setup, which adds the right one.";
    SubjectMismatch "subject-mismatch" Federation "The federated credential trusts another subject." "Run setup, which adds the right one.";
    AudienceMismatch "audience-mismatch" Federation "The federated credential expects another audience." "Run setup, which corrects it.";
    CredentialsUnknown "credentials-unknown" Federation "The identity's federated credentials could not be read or judged." "Ask for the role Reader on the identity.";
    DiscoveryOk "discovery-ok" Discovery "The issuer publishes its document and the key of the token." "";
    DiscoveryUnreachable "discovery-unreachable" Discovery "The issuer's discovery document or keys could not be fetched." "Reconcile the cluster with az aks update, and wait for some minutes.";
    DiscoveryIssuerDiffers "discovery-issuer-differs" Discovery "The discovery document names another issuer than the token." "Publish the document that the API server serves, unchanged: the issuer counts byte for byte.";
    KeyNotPublished "key-not-published" Discovery "The key that signed the token is not among the published ones." "Restart the workload, so that its pods get tokens of the new key.";
    ProbePodUnavailable "probe-pod-unavailable" Exchange "The probe could not run in a pod; it was tried from here instead." "Ask for the right to create jobs in the namespace.";
    ProbeFailed "probe-failed" Exchange "The probe gave no record, so nothing was proven." "The message says why its pod did not run; --from local tells what can be told without one.";
    TokenMissing "token-missing" Exchange "The pod has no service account token for Entra." "Mend what explains it: label, webhook or annotation.";
    TokenExpired "token-expired" Exchange "The service account token is past its end." "Let the application read the token file anew each time, and restart pods whose kubelet does not renew it.";
    ClockSkew "clock-skew" Exchange "A clock of the cluster, or of the place that the exchange was tried from, is wrong." "Set that clock.";
    EgressBlocked "egress-blocked" Exchange "Entra is reached from here and not from the cluster." "Let the cluster's egress reach Entra on port 443.";
    TrustPropagating "trust-propagating" Exchange "The federated credential is right and not known everywhere yet." "Wait for some minutes: kubectl wi verify --wait 10m.";
    ExchangeOk "exchange-ok" Exchange "Entra exchanged the service account token for an access token." "";
    ExchangeFlaky "exchange-flaky" Exchange "Some exchanges are refused after others were granted." "Let the application try again; report it to Azure's support when the rate stays.";
    ExchangeNotTried "exchange-not-tried" Exchange "The exchange could not be tried, because something that it needs is missing." "Mend what explains it.";
    ExchangeRefused "exchange-refused" Exchange "Entra refused the exchange." "Mend what explains it; the message has Entra's code.";
    ExchangeUnreachable "exchange-unreachable" Exchange "Entra could not be reached." "Let the cluster's egress reach Entra on port 443.";
    OtherAccountRefused "other-account-refused" Exchange "Another service account of the namespace cannot become the identity." "";
    OtherAccountAccepted "other-account-accepted" Exchange "Another service account of the namespace can become the identity as well." "Delete the federated credential that trusts it.";
    OtherAccountUnknown "other-account-unknown" Exchange "Whether another service account can become the identity could not be tried." "Ask for the right to create tokens of service accounts in the namespace.";
    SecretOk "secret-ok" Secrets "The secret was read." "";
    SecretForbidden "secret-forbidden" Secrets "The identity may not read the secret." "Run setup, which grants the role at the secret.";
    RolePropagating "role-propagating" Secrets "The role that opens the secret is assigned and not known everywhere yet." "Wait for up to ten minutes: kubectl wi verify --wait 10m.";
    AccessPolicyMissing "access-policy-missing" Secrets "The vault uses access policies, and none lets the identity read secrets." "Move the vault to Azure RBAC; an access policy always opens all its secrets.";
    SecretMissing "secret-missing" Secrets "The vault has no such secret." "Correct the name, or create the secret.";
    SecretDisabled "secret-disabled" Secrets "The secret is disabled or outside its validity." "Enable it, or make a new version.";
    VaultFirewall "vault-firewall" Secrets "The vault's network rules refuse the place that the request came from." "Let the cluster's egress address or subnet through the vault's firewall.";
    VaultPrivate "vault-private" Secrets "The vault takes requests through its private endpoint only." "Give the cluster's network a private endpoint of the vault, and its DNS zone.";
    VaultUnreachable "vault-unreachable" Secrets "The vault could not be reached." "Check egress, DNS and private endpoint from where the workload runs.";
    VaultUnauthorized "vault-unauthorized" Secrets "The vault does not accept the access token." "Check that vault and identity are of one tenant and cloud.";
    VaultUnknown "vault-unknown" Secrets "The vault was not found." "Name it by its ARM id, or its subscription with --subscription.";
    SecretUnreadable "secret-unreadable" Secrets "The vault's answer is none that a vault gives." "Look for a proxy on the way.";
    SecretNotTried "secret-not-tried" Secrets "The secret was not read, because there was no access token." "Mend what explains it.";
    AccessNarrow "access-narrow" Secrets "The identity is refused where nothing was granted to it." "";
    AccessTooWide "access-too-wide" Secrets "The identity may read more of the vault than the named secrets." "Delete the wider role assignment, and grant the role at each secret.";
    AccessUnknown "access-unknown" Secrets "Whether the identity may read more than the named secrets could not be told." "Verify from a pod once the exchange works.";
}

impl FindingCode {
    /// The codes that explain this one when they failed as well, those that fit best first. A code that Entra or a
    /// vault gave may change that order.
    pub const fn explained_by(self) -> &'static [Self] {
        match self {
            Self::WebhookRefuses => &[Self::AccountMissing],
            Self::ProbeFailed | Self::OtherAccountUnknown => &[Self::AccountMissing, Self::WebhookRefuses],
            Self::TokenMissing | Self::ExchangeNotTried => &[
                Self::AccountMissing,
                Self::WebhookMissing,
                Self::WebhookRefuses,
                Self::InjectionMissing,
                Self::ClientIdMissing,
                Self::InjectionIncomplete,
            ],
            Self::TokenExpired => &[Self::InjectionIncomplete],
            Self::ExchangeUnreachable => &[Self::AuthorityMismatch, Self::EgressBlocked],
            Self::ExchangeRefused => &[
                Self::NoFederatedCredential,
                Self::IssuerMismatch,
                Self::SubjectMismatch,
                Self::AudienceMismatch,
                Self::IssuerDisabled,
                Self::DiscoveryUnreachable,
                Self::DiscoveryIssuerDiffers,
                Self::KeyNotPublished,
                Self::ClientIdIsPrincipal,
                Self::ClientIdUnknown,
                Self::AuthorityMismatch,
                Self::TenantMismatch,
                Self::ClientIdDiffers,
                Self::InjectionIncomplete,
                Self::TokenExpired,
                Self::ClockSkew,
                Self::TrustPropagating,
            ],
            Self::SecretNotTried | Self::AccessUnknown => &[
                Self::ProbeFailed,
                Self::TokenMissing,
                Self::ExchangeNotTried,
                Self::ExchangeRefused,
                Self::ExchangeUnreachable,
            ],
            _ => &[],
        }
    }

    /// Whether this code explains `other`, directly or through what it explains.
    pub fn explains(self, other: Self) -> bool {
        let direct = other.explained_by();
        direct.contains(&self) || direct.iter().any(|between| self.explains(*between))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    const PAGE: &str = include_str!("../../../../shared/docs/findings.md");

    #[test]
    fn codes_are_kebab_case_distinct_and_ordered_by_phase() {
        let mut phase = Phase::Cluster;
        for (index, code) in FindingCode::ALL.iter().enumerate() {
            assert!(
                code.name().chars().all(|c| c.is_ascii_lowercase() || c == '-'),
                "{code}"
            );
            assert!(
                FindingCode::ALL[index + 1..]
                    .iter()
                    .all(|other| other.name() != code.name()),
                "{code}"
            );
            assert!(
                code.phase() >= phase,
                "{code} stands before a code of an earlier phase"
            );
            assert!(code.meaning().ends_with('.'), "{code}");
            phase = code.phase();
        }
    }

    #[test]
    fn a_code_is_written_as_its_name() {
        for code in FindingCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.name());
        }
    }

    #[test]
    fn nothing_explains_itself() {
        for code in FindingCode::ALL {
            assert!(!code.explains(*code), "{code}");
        }
    }

    /// What the page must say of a code, word for word.
    fn entry(code: FindingCode) -> String {
        let mut text = format!("### {code}\n\n{}", code.meaning());
        if !code.remedy().is_empty() {
            // Writing to a String cannot fail.
            let _ = write!(text, "\n\n**What to do:** {}", code.remedy());
        }
        let explaining: Vec<String> = code
            .explained_by()
            .iter()
            .map(|cause| format!("[{cause}](#{cause})"))
            .collect();
        if !explaining.is_empty() {
            let _ = write!(text, "\n\n**May be explained by:** {}.", explaining.join(", "));
        }
        text.push('\n');
        text
    }

    #[test]
    fn the_page_has_one_heading_for_each_code_and_says_what_the_catalogue_says() {
        let headings: Vec<&str> = PAGE
            .lines()
            .filter_map(|line| line.strip_prefix("### "))
            .collect();
        let names: Vec<&str> = FindingCode::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(
            headings, names,
            "the headings are the codes, in the order of the chain"
        );
        for code in FindingCode::ALL {
            let entry = entry(*code);
            assert!(PAGE.contains(&entry), "the page does not say:\n{entry}");
        }
    }
}
